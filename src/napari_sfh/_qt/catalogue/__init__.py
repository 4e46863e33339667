"""The window of a table of estimates: rows, scatter plot, what the weights say of the selected ones."""
