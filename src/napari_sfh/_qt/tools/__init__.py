"""The explorer's tools, one module each; see `base` for what a tool is."""
