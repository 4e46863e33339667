"""The napari window: the only importer of Qt and napari."""
