"""Docks and their frames."""
