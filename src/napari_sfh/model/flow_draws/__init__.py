"""Draws from the two kinds of flow: the numbers of zuko's inverse, in a part of its time."""
