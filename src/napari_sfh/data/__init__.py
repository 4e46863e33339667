"""Bundled files: the demo galaxy and the released weights."""
