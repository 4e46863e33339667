"""The napari canvas: layers of a result, clicks, outlines, sky coordinates."""
