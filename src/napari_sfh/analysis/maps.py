"""From bins to images: every quantity that can be drawn on the sky, with its title, unit and colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
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
MEAN_MAPS: dict[str, str] = {"AGE_LW": "lg_age_lw", "AGE_MW": "lg_age_mw", "MH_LW": "mh_lw", "MH_MW": "mh_mw"}
_TITLES = {
    "AGE_LW": ("LW age", "log10 yr", "viridis"),
    "AGE_MW": ("MW age", "log10 yr", "viridis"),
    "MH_LW": ("LW [M/H]", "dex", "plasma"),
    "MH_MW": ("MW [M/H]", "dex", "plasma"),
}


def _specs() -> dict[str, MapSpec]:
    specs = {}
    for name, key in MEAN_MAPS.items():
        title, unit, colours = _TITLES[name]
        specs[name] = MapSpec(name, title, unit, colours, _median(key))
        specs[f"{name}_ERR"] = MapSpec(f"{name}_ERR", f"{title}, 1 sigma", "dex", "magma", _error(key))
    specs["EBV"] = MapSpec("EBV", "E(B-V), stars", "mag", "inferno", _median("ebv"))
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


def find_brightest_bin(result: Result) -> int:
    """Number (1..N) of the bin with the brightest white light among those in which the network is to be believed.

    Where there is none of these, the brightest of all counts. A foreground star is brighter than its galaxy, and its
    out-of-distribution score tells it.
    """
    bin_id = result.bins.bin_id
    good = (bin_id > 0) & np.isfinite(result.white)
    n = result.bins.n_bins
    total = np.bincount(bin_id[good], result.white[good], n + 1)[1:]
    count = np.bincount(bin_id[good], minlength=n + 1)[1:]
    mean = np.divide(total, count, out=np.full(n, -np.inf), where=count > 0)
    trusted = result.prediction.ood <= 1
    return int(np.argmax(np.where(trusted, mean, -np.inf) if trusted.any() else mean)) + 1


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
