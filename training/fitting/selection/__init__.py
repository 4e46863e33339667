"""Which weights of a training run are kept."""
