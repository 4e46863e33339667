"""The mean star-formation history of a region: many bins, weighted by mass or light, with scatter and error.

The light of a bin is its observed flux density at 5400 AA, corrected for the diffuse dust that the network finds
(A_V = 1.086 tau; the few per cent between 5400 AA and V are neglected); its mass is that light times the network's
mass-to-light ratio. Both are relative: distance and stellar mass scale cancel in a mean.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_sfh.binview import Band, BinView, Number, masked_ranges
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result

Weight = Literal["mass", "light"]
_LABELS = {"lg_age_lw": "Age LW", "lg_age_mw": "Age MW", "mh_lw": "[M/H] LW", "mh_mw": "[M/H] MW"}


def bins_inside(result: Result, polygon: NDArray[np.floating]) -> NDArray[np.intp]:
    """Rows (0..N-1) of the bins whose centres lie inside a polygon.

    Parameters
    ----------
    result : Result
    polygon : array (n, 2)
        Corners (y, x) in pixels of the maps; closed by itself.
    """
    y, x = result.bins.y[:, None], result.bins.x[:, None]
    (y0, x0), (y1, x1) = polygon.T, np.roll(polygon, -1, axis=0).T
    crosses = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = x < (x1 - x0) * (y - y0) / (y1 - y0) + x0
    return np.flatnonzero((crosses & left).sum(1) % 2 == 1)


def weights(result: Result, rows: NDArray[np.integer], weight: Weight) -> NDArray[np.float64]:
    """Relative mass or light (M,) of bins, summing to 1; 0 for bins without a prediction."""
    prediction = result.prediction
    light = result.data.norm_cgs[rows] * np.exp(prediction.median("tau_ism")[rows])
    value = light * 10 ** prediction.median("lg_ml_v")[rows] if weight == "mass" else light
    value = np.where(np.isfinite(value) & (value > 0), value, 0.0)
    total = value.sum()
    return value / total if total > 0 else value


def mean_view(result: Result, rows: NDArray[np.integer], weight: Weight = "mass") -> BinView:
    """What the plots show of a region: means over its bins, the band being the scatter (16-84 %) among them.

    Parameters
    ----------
    result : Result
    rows : int array (M,)
        Bins, 0..N-1.
    weight : {"mass", "light"}
        By what the bins count.

    Raises
    ------
    SfhInputError
        No bin with a prediction.
    """
    rows = np.asarray(rows)
    share = weights(result, rows, weight) if rows.size else np.empty(0)
    if share.sum() == 0:
        raise SfhInputError("region: no bin with a prediction lies inside; draw it around the centres of some bins")
    rows, share = rows[share > 0], share[share > 0]
    views = [BinView.of(result, int(r) + 1) for r in rows]
    mass = np.stack([v.mass.value for v in views])
    by_flux = result.data.norm_cgs[rows] / result.data.norm_cgs[rows].sum()
    usable = result.data.mask[rows].mean(0) > 0.5
    flux = np.where(usable, _stack([v.flux for v in views], by_flux), np.nan)
    return BinView(
        bin_id=0,
        mass=_mean([v.mass for v in views], share),
        light=_mean([v.light for v in views], share),
        sfr=_mean([v.sfr for v in views], share),
        cumulative=_mean([v.cumulative for v in views], share),
        mh=_mean([v.mh for v in views], share[:, None] * mass),
        flux=flux.astype(np.float32),
        error=_error([v.error for v in views], by_flux).astype(np.float32),
        model=(by_flux @ result.model_flux[rows]).astype(np.float32),
        masked=masked_ranges(usable),
        bands=views[0].bands,
        phot=_stack([v.phot for v in views], by_flux),
        phot_error=_error([v.phot_error for v in views], by_flux),
        phot_model=by_flux @ result.model_phot[rows],
        numbers=_numbers(result, rows, share, weight),
    )


def _mean(bands: list[Band], share: NDArray[np.float64]) -> Band:
    """Weighted mean and weighted 16-84 % range of the values; ``share`` is (M,) or (M, n)."""
    value = np.stack([b.value for b in bands])
    w = np.broadcast_to(share if share.ndim == 2 else share[:, None], value.shape)
    total = w.sum(0)
    mean = np.divide((w * value).sum(0), total, out=np.full(value.shape[1], np.nan), where=total > 0)
    low, high = (_quantile(value, w, q) for q in (0.16, 0.84))
    return Band(mean, np.minimum(low, mean), np.maximum(high, mean))


def _quantile(value: NDArray[np.float64], w: NDArray[np.float64], q: float) -> NDArray[np.float64]:
    """Weighted quantile of each column."""
    order = np.argsort(value, axis=0)
    value, w = np.take_along_axis(value, order, 0), np.take_along_axis(w, order, 0)
    level = np.cumsum(w, axis=0) - 0.5 * w
    total = w.sum(0)
    return np.array([np.interp(q * t, at, v) if t > 0 else np.nan for t, at, v in zip(total, level.T, value.T)])


def _stack(arrays: list[NDArray[np.floating]], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted mean of spectra over those that have a value; NaN where none has."""
    value = np.stack(arrays)
    w = np.where(np.isfinite(value), share[:, None], 0.0)
    total = w.sum(0)
    summed = np.where(np.isfinite(value), w * value, 0.0).sum(0)
    return np.divide(summed, total, out=np.full(total.shape, np.nan), where=total > 0)


def _error(errors: list[NDArray[np.floating]], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Error of a weighted mean of independent values."""
    total: NDArray[np.float64] = np.sqrt(np.nansum((share[:, None] * np.stack(errors)) ** 2, axis=0))
    return total


def _numbers(
    result: Result, rows: NDArray[np.integer], share: NDArray[np.float64], weight: Weight
) -> tuple[Number, ...]:
    """Weighted means of the four quantities with their statistical error and the scatter among the bins."""
    lines = [
        Number("Region", f"{rows.size} bins, weighted by {weight}", "Bins whose centres lie inside"),
        Number("Spaxels", f"{int(result.bins.nspax[rows].sum())}", "In the region's bins"),
    ]
    for name, label in _LABELS.items():
        value = result.prediction.median(name)[rows].astype(float)
        error = float(np.sqrt(((share * result.prediction.half_width(name)[rows]) ** 2).sum()))
        mean = float((share * value).sum())
        spread = float(np.sqrt((share * (value - mean) ** 2).sum()))
        text = f"{mean:.2f} ± {error:.2f}, scatter {spread:.2f}".replace("-", "−")
        lines.append(Number(label, text, "Mean, error of the mean, standard deviation among the bins"))
    return tuple(lines)
