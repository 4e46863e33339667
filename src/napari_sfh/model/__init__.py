"""Networks, heads, presets and the weights bundle."""
