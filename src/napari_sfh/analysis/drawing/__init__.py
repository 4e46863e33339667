"""How results are drawn, in the window and on pages alike: limits, ranges, colours, contours, outlines, words."""
