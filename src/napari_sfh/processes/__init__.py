"""Calls in a Python of their own, which share no interpreter with a window: `calls` makes them, `serving` answers."""
