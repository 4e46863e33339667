"""The named priors, as TOML files."""
