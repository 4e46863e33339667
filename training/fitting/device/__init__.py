"""Training on a GPU: what is done there otherwise than on a processor."""
