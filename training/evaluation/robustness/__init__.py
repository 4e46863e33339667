"""Weights judged where preparation, calibration, stars and gas are not those of their training."""
