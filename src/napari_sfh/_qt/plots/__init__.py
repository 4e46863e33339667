"""Plots in pyqtgraph."""
