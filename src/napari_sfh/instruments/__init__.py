"""Instruments: what a network is shown. One TOML file each; see `instrument` for the format and the objects."""
