"""From bins to images: every quantity that can be drawn on the sky, with its title, unit and colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.quantities import MEANS, QUANTITIES
from napari_sfh.types import F32, I32, Result

#: How the limits of a map's colours are found: name to words.
LIMITS: dict[str, str] = {
    "shared": "2-98 %, LW = MW",
    "robust": "2-98 % of each map",
    "full": "all of each map",
}


@dataclass(frozen=True)
class MapSpec:
    """How one quantity is shown. ``values(result)`` gives one number a bin, (N,)."""

    name: str  # extension of the result file
    title: str
    unit: str
    colormap: str  # perceptually uniform; known to napari and matplotlib alike
    values: Callable[[Result], F32]


def _median(key: str) -> Callable[[Result], F32]:
    return lambda result: result.prediction.median(key)


def _error(key: str) -> Callable[[Result], F32]:
    return lambda result: result.prediction.half_width(key)


#: The four mean maps: name in result files -> key of Prediction.quantiles.
MEAN_MAPS: dict[str, str] = {quantity.map_name: quantity.name for quantity in MEANS}


def _specs() -> dict[str, MapSpec]:
    specs = {}
    for q in MEANS:
        error = f"{q.map_name}_ERR"
        specs[q.map_name] = MapSpec(q.map_name, q.title, q.unit, q.colormap, _median(q.name))
        specs[error] = MapSpec(error, f"{q.title}, 1 sigma", q.error_unit, "magma", _error(q.name))
    ebv = QUANTITIES["ebv"]
    specs["EBV"] = MapSpec("EBV", f"{ebv.title}, stars", ebv.unit, ebv.colormap, _median("ebv"))
    specs["SNR"] = MapSpec("SNR", "S/N per pixel", "", "cividis", lambda result: result.data.snr)
    specs["OOD"] = MapSpec("OOD", "Out of depth", "1 = warning", "magma", lambda result: result.prediction.ood)
    specs["FLAG"] = MapSpec("FLAG", "Flags", "bit mask", "gray", lambda result: result.flag.astype(np.float32))
    return specs


#: All maps by name, in the order of menus and layer lists.
MAPS: dict[str, MapSpec] = _specs()


def paint_bins(bin_id: I32, values: NDArray[np.floating]) -> F32:
    """Paint one value a bin onto the sky.

    Parameters
    ----------
    bin_id : int array (ny, nx)
        Bin of each spaxel, 1..N; 0 = none.
    values : array (N,)

    Returns
    -------
    float32 array (ny, nx), NaN outside the bins.
    """
    table = np.concatenate([[np.nan], np.asarray(values, dtype=np.float32)]).astype(np.float32)
    return table[bin_id]


def make_map_image(result: Result, name: str) -> F32:
    """The map ``name`` (a key of `MAPS`) of a result, (ny, nx), NaN outside the bins.

    Raises
    ------
    SfhInputError
        ``name`` is not a map.
    """
    if name not in MAPS:
        raise SfhInputError(f"map {name!r} is unknown: choose one of {', '.join(MAPS)}")
    return paint_bins(result.bins.bin_id, MAPS[name].values(result))


def robust_limits(values: NDArray[np.floating], low: float = 1.0, high: float = 99.0) -> tuple[float, float]:
    """Percentiles of the finite values, kept apart so that a constant map can be drawn."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    lo, hi = np.percentile(finite, [low, high])
    return (float(lo), float(hi)) if hi - lo > 1e-6 else (float(lo) - 0.5, float(hi) + 0.5)


def choose_map_limits(result: Result, name: str, how: str = "shared") -> tuple[float, float]:
    """Limits of a map's colours, one of `LIMITS`; spaxels count, not bins.

    ``shared``: light- and mass-weighted maps of one quantity have the same, so that they can be compared.

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
        like = [other for other in MEAN_MAPS if other.startswith(root)]
    return robust_limits(np.stack([make_map_image(result, each) for each in like]), *percent)
