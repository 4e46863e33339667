"""Limits of a map's colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.maps import MAPS, MEAN_MAPS, make_map_image, paint_bins
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.columns import MISFIT_COLUMNS
from napari_sfh.types import FLAG_MEANING, Result

#: How the limits of a map's colours are found: name to words.
LIMITS: dict[str, str] = {
    "shared": "2-98 %, LW = MW",
    "robust": "2-98 % of each map",
    "full": "all of each map",
}


#: Maps whose limits count bins out of depth too: they are what the map is for.
_LIMITS_OF_ALL = frozenset({"OOD", "FLAG", "SNR", "CHI2", *MISFIT_COLUMNS})


def robust_limits(values: NDArray[np.floating], low: float = 1.0, high: float = 99.0) -> tuple[float, float]:
    """Percentiles of the finite values, kept apart so that a constant map can be drawn.

    Parameters
    ----------
    values : array (...)
    low, high : float
        Percentiles.

    Returns
    -------
    (float, float)
        In the unit of ``values``; 0 and 1 where none is finite.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    lo, hi = np.percentile(finite, [low, high])
    return (float(lo), float(hi)) if hi - lo > 1e-6 else (float(lo) - 0.5, float(hi) + 0.5)


def symmetric_limits(values: NDArray[np.floating]) -> tuple[float, float]:
    """Limits about 0 that hold 98 % of the finite values.

    Parameters
    ----------
    values : array (...)

    Returns
    -------
    (float, float)
        In the unit of ``values``.
    """
    finite = np.abs(values[np.isfinite(values)])
    size = float(np.percentile(finite, 98.0)) if finite.size else 0.0
    size = size if size > 1e-6 else 0.5
    return -size, size


def hide_untrusted_bins(result: Result, images: NDArray[np.floating]) -> NDArray[np.floating]:
    """Images of a result with NaN in bins out of the network's depth; unchanged where nothing would be left.

    Parameters
    ----------
    result : Result
    images : array (..., ny, nx)

    Returns
    -------
    array (..., ny, nx)
    """
    kept = np.where(paint_bins(result.bins.bin_id, result.prediction.ood) > 1, np.nan, images)
    return kept if np.isfinite(kept).any() else images


def choose_map_limits(result: Result, name: str, how: str = "shared") -> tuple[float, float]:
    """Limits of a map's colours, one of `LIMITS`; spaxels count, not bins.

    Bins out of the network's depth are left out but of ``full``: a foreground star must not set the scale of a galaxy.

    ``shared``: light- and mass-weighted maps of one quantity have the same, so that they can be compared.

    Parameters
    ----------
    result : Result
    name : str
        A key of `MAPS`.
    how : str
        One of `LIMITS`.

    Returns
    -------
    (float, float)
        In the map's unit.

    Raises
    ------
    SfhInputError
        ``name`` is not a map, or ``how`` not a way.
    """
    if how not in LIMITS:
        raise SfhInputError(f"limits {how!r} are unknown: choose one of {', '.join(LIMITS)}")
    percent = (0.0, 100.0) if how == "full" else (2.0, 98.0)
    like = [name]
    if how == "shared" and name in MEAN_MAPS:
        root = name.rsplit("_", 1)[0]
        known = result.prediction.quantiles
        like = [other for other, key in MEAN_MAPS.items() if other.startswith(root) and key in known]
    if name == "FLAG":
        return -0.5, len(FLAG_MEANING) + 0.5
    images = np.stack([make_map_image(result, each) for each in like])
    if how != "full" and name not in _LIMITS_OF_ALL:
        images = hide_untrusted_bins(result, images)
    limits = robust_limits(images, *percent)
    if name == "OOD":
        return limits[0], max(limits[1], 1.0)  # the warning's level is in sight
    if MAPS[name].diverging:
        far = max(abs(limits[0]), abs(limits[1]))
        return -far, far
    return limits
