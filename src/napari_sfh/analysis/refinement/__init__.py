"""Posteriors by likelihood: the forward model itself, sampled from the network's draws."""
