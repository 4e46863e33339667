"""The mock galaxy: made, observed, and written in the dress of every archive."""
