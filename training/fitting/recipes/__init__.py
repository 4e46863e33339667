"""Training recipes, TOML: which network, on which prior, by which loss. Read by
`napari_sfh.training.fitting.recipe`.
"""
