"""What the commands of `napari-sfh` do; `cli` has their parser."""
