"""Pages and plots for paper and file, by matplotlib. No Qt."""
