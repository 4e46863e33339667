"""``napari-sfh doctor``: does the installation work, and what mends it where it does not."""
