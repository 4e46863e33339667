"""The true history of a mock galaxy, per spaxel, as ``napari-sfh-train mock`` writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.io import fits_access
from napari_sfh.types import F64, SpaxelTruth


@check_arguments
def read_truth(path: str | Path) -> SpaxelTruth:
    """Read ``MASS_FRAC``, ``LIGHT_FRAC``, ``MH`` (16, ny, nx) and the images ``MASS``, ``LIGHT``, ``STAR`` (ny, nx).

    Raises
    ------
    SfhInputError
        An extension is missing.
    """
    path = Path(path)
    with fits_access.open_fits(path) as hdus:

        def get(name: str) -> F64:
            if name not in hdus:
                raise SfhInputError(f"{path}: no extension {name}; write it again with napari-sfh-train mock")
            return np.asarray(hdus[name].data, dtype=np.float64)

        mass = get("MASS_FRAC") * get("MASS")
        light = get("LIGHT_FRAC") * get("LIGHT")
        return SpaxelTruth(mass=mass, light=light, mass_metals=mass * get("MH"), star=get("STAR"))
