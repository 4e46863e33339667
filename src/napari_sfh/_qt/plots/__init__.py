"""Plots in pyqtgraph."""

from pyqtgraph import LabelItem

# The garbage collector empties the attributes of a title before its window is gone. Qt still asks for the size, and
# PyQt5 ends the process at the error: an empty table on the class answers instead.
LabelItem._sizeHint = {}
