"""A bin map from an image of numbers."""

import numpy as np

from napari_sfh.types import BinMap


def bins_of(image) -> BinMap:
    """Bins 1..N of an image; 0 = none."""
    image = np.asarray(image, dtype=np.int32)
    n = int(image.max())
    count = np.bincount(image.ravel(), minlength=n + 1)[1:].astype(np.int32)
    y, x = np.indices(image.shape)
    centre = [np.bincount(image.ravel(), a.ravel(), minlength=n + 1)[1:] / count for a in (x, y)]
    return BinMap(image, *centre, count, np.full(n, 40, np.float32), 35.0, "file")
