"""The mean star-formation history of a region: many bins, weighted by mass or light, with scatter and error.

The light of a bin is its observed flux density in the instrument's window (5400 AA for MUSE), corrected for the diffuse
dust that the network finds (A_V = 1.086 tau; the few per cent between 5400 AA and V are neglected); its mass is that
light times the network's mass-to-light ratio. Both are relative: distance and stellar mass scale cancel in a mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.bin_properties import (
    PropertyRow,
    ScalarEstimate,
    format_kinematics,
    format_scalar_estimate,
    list_formation_times,
)
from napari_sfh.analysis.bin_view import BinView, find_masked_ranges
from napari_sfh.analysis.credible_bands import NO_BAND, CredibleBand
from napari_sfh.analysis.drawing.outlines import mask_points_inside
from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import AGE_WIDTH_YR
from napari_sfh.physics.formation import cumulative_fraction
from napari_sfh.physics.quantities import MEANS, QUANTITIES
from napari_sfh.types import Result

Weight = Literal["mass", "light"]
#: What an outline is, as far as its corners tell: points around an ellipse, the four corners of a box, or others.
OutlineKind = Literal["polygon", "ellipse", "box"]
Spread = Literal["scatter", "error"]
#: Bins of which spectra are averaged together.
_BLOCK = 128


@dataclass(frozen=True)
class RegionTrace:
    """The line of a region as it is drawn.

    Attributes
    ----------
    path : array (n, 2)
        (y, x) in pixels of the maps; of a closed line, the last is the first.
    color : str
        ``#rrggbb``.
    name : str
        Empty where it has none.
    """

    path: NDArray[np.float64]
    color: str
    name: str


@check_arguments
@dataclass(frozen=True)
class Outline:
    """A closed line on the map; what it encloses an odd number of times counts, or (``include`` False) does not."""

    points: NDArray[np.float64]  # (n, 2) corners (y, x) in pixels
    include: bool = True
    shape: str | None = None  # as DS9 writes the shape, where it was read from a file and nobody has changed it since
    name: str = ""
    kind: OutlineKind = "polygon"

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.points.shape[1] != 2 or not np.isfinite(self.points).all():
            raise SfhInputError(
                f"Outline: `points` has the shape {self.points.shape}, or numbers that are not finite: give corners "
                "(y, x) in pixels, (n, 2)"
            )

    def state(self) -> dict[str, Any]:
        """All of it as JSON types."""
        return {**asdict(self), "points": self.points.tolist()}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Outline:
        """The outline of what `state` returned, perhaps in an older version."""
        kind = state.get("kind", "polygon")
        return cls(
            np.asarray(state["points"], dtype=float),
            bool(state["include"]),
            state.get("shape"),
            str(state.get("name", "")),
            kind if kind in get_args(OutlineKind) else "polygon",
        )

    def find_axes(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Centre (y, x) of an ellipse or a box, and two half axes (or half sides) as vectors, each (2,), in pixels."""
        centre = self.points.mean(0)
        if self.kind == "box":
            return centre, (self.points[1] - self.points[0]) / 2, (self.points[2] - self.points[1]) / 2
        # Points that lie evenly in the ellipse's own angle have half the squares of the half axes as variances.
        away = self.points - centre
        _, length, axes = np.linalg.svd(away / np.sqrt(len(away) / 2), full_matrices=False)
        return centre, length[0] * axes[0], length[1] * axes[1]


def find_bins_in_polygon(result: Result, polygon: NDArray[np.floating]) -> NDArray[np.intp]:
    """Rows (0..N-1) of the bins whose centres lie inside a polygon.

    Parameters
    ----------
    result : Result
    polygon : array (n, 2)
        Corners (y, x) in pixels of the maps; closed by itself.
    """
    return np.flatnonzero(mask_points_inside(np.column_stack([result.bins.y, result.bins.x]), polygon))


@check_arguments
def find_bins_in_outlines(result: Result, outlines: Sequence[Outline]) -> NDArray[np.intp]:
    """Rows of the bins inside any outline that counts, and inside no hole.

    Parameters
    ----------
    result : Result
    outlines : sequence of Outline

    Returns
    -------
    int array (M,)
        Rows, from 0.
    """
    inside = np.zeros(result.bins.n_bins, dtype=bool)
    for outline in outlines:
        if outline.include:
            inside[find_bins_in_polygon(result, outline.points)] = True
    for outline in outlines:
        if not outline.include:
            inside[find_bins_in_polygon(result, outline.points)] = False
    return np.flatnonzero(inside)


def compute_bin_weights(result: Result, rows: NDArray[np.integer], weight: Weight) -> NDArray[np.float64]:
    """Relative mass or light of bins.

    Parameters
    ----------
    result : Result
    rows : int array (M,)
        From 0.
    weight : str
        ``mass`` or ``light``; without histories the measured light counts in both cases.

    Returns
    -------
    array (M,)
        Summing to 1; 0 for bins without a prediction.
    """
    prediction = result.prediction
    if not prediction.has_histories:  # no dust, no M/L: by the light that was measured
        known = np.isfinite(prediction.ood[rows])
        value = np.where(known, np.nan_to_num(result.data.norm_cgs[rows]), 0.0).clip(0)
        return value / value.sum() if value.sum() > 0 else known / max(known.sum(), 1)
    light = result.data.norm_cgs[rows] * np.exp(prediction.median("tau_ism")[rows])
    value = light * 10 ** prediction.median("lg_ml_v")[rows] if weight == "mass" else light
    value = np.where(np.isfinite(value) & (value > 0), value, 0.0)
    total = value.sum()
    return value / total if total > 0 else value


@check_arguments
def average_bin_views(
    result: Result, rows: NDArray[np.integer], weight: Weight = "mass", spread: Spread = "scatter"
) -> BinView:
    """What the plots show of a region: means over its bins.

    Parameters
    ----------
    result : Result
    rows : int array (M,)
        Bins, 0..N-1.
    weight : {"mass", "light"}
        By what the bins count.
    spread : {"scatter", "error"}
        What the bands are: the 16-84 % range of the bins' values, or the mean's error, from the bins' own intervals
        taken as independent (what all bins have wrong together is not in it).

    Raises
    ------
    SfhInputError
        No bin with a prediction, or a row that is none.
    """
    if rows.size and not 0 <= rows.min() <= rows.max() < result.bins.n_bins:
        raise SfhInputError(
            f"region: rows {rows.min()} to {rows.max()}: those of the bins are 0 to {result.bins.n_bins - 1}"
        )
    share = compute_bin_weights(result, rows, weight) if rows.size else np.empty(0)
    if share.sum() == 0:
        raise SfhInputError("region: no bin with a prediction lies inside; draw it around the centres of some bins")
    rows, share = rows[share > 0], share[share > 0]
    if not result.prediction.has_histories:
        return _average_scalar_view(result, rows, share, spread)
    prediction = result.prediction
    share_of = share[:, None]
    mass_frac = prediction.history("mass_frac")
    mass = _mean_band(_quantity_band(result, "mass_frac", mass_frac, rows), share_of, spread)
    grown = _quantity_band(result, "cum_mass", cumulative_fraction(mass_frac), rows, median=True)
    grown = _mean_band(grown, share_of, spread)
    mh_weight = share_of * mass_frac[rows]
    view = BinView(
        bin_id=0,
        mass=mass,
        light=_mean_band(
            _quantity_band(result, "light_frac", prediction.history("light_frac"), rows), share_of, spread
        ),
        sfr=mass.scaled(1e9 / AGE_WIDTH_YR),
        cumulative=CredibleBand(*(np.append(curve, 0.0) for curve in (grown.value, grown.low, grown.high))),
        mh=_mean_band(_quantity_band(result, "mh", prediction.history("mh"), rows), mh_weight, spread),
        numbers=(),
        **_average_data(result, rows, share),
    )
    return replace(view, numbers=_region_properties(result, rows, share, weight, view))


def _average_data(result: Result, rows: NDArray[np.integer], share: NDArray[np.float64]) -> dict[str, Any]:
    """Spectrum, bands and models of a region, as fields of its `BinView`."""
    data = result.data
    by_flux = np.nan_to_num(data.norm_cgs[rows])
    by_flux = by_flux / by_flux.sum() if by_flux.sum() > 0 else share
    flux, error, usable = _mean_spectrum(data.flux, data.error, data.mask, rows, by_flux)
    phot, phot_error, _ = _mean_spectrum(data.phot, data.phot_error, data.phot_mask, rows, by_flux)
    models = [tuple(by_flux[at] @ model for model in result.model_rows(rows[at])) for at in _blocks(rows.size)]
    model_flux, model_phot = (np.sum(parts, axis=0) for parts in zip(*models))
    return {
        "instrument": data.instrument,
        "flux": np.where(usable, flux, np.nan).astype(np.float32),
        "error": np.where(usable, error, np.nan).astype(np.float32),
        "model": model_flux.astype(np.float32),
        "masked": find_masked_ranges(usable, data.instrument.wave_aa),
        "bands": data.bands,
        "phot": phot,
        "phot_error": phot_error,
        "phot_model": model_phot,
    }


def _average_scalar_view(
    result: Result, rows: NDArray[np.integer], share: NDArray[np.float64], spread: Spread
) -> BinView:
    """Means of what weights without histories predict."""
    quantiles, estimates, lines = result.prediction.quantiles, [], []
    for name in result.prediction.scalars:
        low, value, high = (np.asarray(quantiles[name][rows, k], dtype=float)[:, None] for k in (1, 2, 3))
        band = _mean_band(CredibleBand(value, low, high), share[:, None], spread)
        one = ScalarEstimate(name, float(band.value[0]), float(band.low[0]), float(band.high[0]))
        estimates.append(one)
        label = QUANTITIES[name].title if name in QUANTITIES else name
        lines.append(PropertyRow(label, format_scalar_estimate(one), "Mean over the bins, weighted by their light"))
    first = PropertyRow("Bins", f"{rows.size} bins, weighted by light", "Bins whose centres lie inside")
    return BinView(
        bin_id=0,
        mass=NO_BAND,
        light=NO_BAND,
        sfr=NO_BAND,
        cumulative=NO_BAND,
        mh=NO_BAND,
        numbers=(first, *lines),
        estimates=tuple(estimates),
        **_average_data(result, rows, share),
    )


def _quantity_band(
    result: Result, name: str, point: NDArray[np.floating], rows: NDArray[np.integer], median: bool = False
) -> CredibleBand:
    """A quantity of some bins with its 16-84 % interval, each (M, A); no interval = the value itself."""
    value = np.asarray(point[rows], float)
    quantiles = result.prediction.quantiles.get(name)
    if quantiles is None:
        return CredibleBand(value, value, value)
    low, middle, high = (np.asarray(quantiles[rows, :, k], float) for k in (1, 2, 3))
    return CredibleBand(middle if median else value, low, high)


def _mean_band(bins: CredibleBand, weight: NDArray[np.float64], spread: Spread) -> CredibleBand:
    """Mean over bins (M, A) and its scatter or error; ``weight`` is (M, 1) or (M, A)."""
    value = bins.value
    w = np.broadcast_to(weight, value.shape)
    total = w.sum(0)
    mean = np.divide((w * value).sum(0), total, out=np.full(value.shape[1], np.nan), where=total > 0)
    if spread == "scatter":
        low, high = _quantiles(value, w, (0.16, 0.84))
    else:
        part = np.divide(w, total, out=np.zeros_like(value), where=total > 0)
        low = mean - np.sqrt((part**2 * np.maximum(value - bins.low, 0) ** 2).sum(0))
        high = mean + np.sqrt((part**2 * np.maximum(bins.high - value, 0) ** 2).sum(0))
    return CredibleBand(mean, np.minimum(low, mean), np.maximum(high, mean))


def _quantiles(
    value: NDArray[np.float64], w: NDArray[np.float64], levels: tuple[float, ...]
) -> list[NDArray[np.float64]]:
    """Weighted quantiles of each column."""
    order = np.argsort(value, axis=0)
    value, w = np.take_along_axis(value, order, 0), np.take_along_axis(w, order, 0)
    reached = np.cumsum(w, axis=0) - 0.5 * w
    total = w.sum(0)
    columns = list(zip(total, reached.T, value.T))
    return [np.array([np.interp(q * t, at, v) if t > 0 else np.nan for t, at, v in columns]) for q in levels]


def _blocks(n: int) -> Iterator[slice]:
    """Rows in parts that stay in the processor's cache: twice as fast as all at once."""
    return (slice(start, start + _BLOCK) for start in range(0, n, _BLOCK))


def _mean_spectrum(
    flux: NDArray[np.float32],
    error: NDArray[np.float32],
    mask: NDArray[np.bool_],
    rows: NDArray[np.integer],
    share: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Weighted mean of ``rows`` of spectra (N, n) over the usable ones, its error, and where over half are usable."""
    seen, total, variance, number = np.zeros((4, flux.shape[1]))
    for at in _blocks(rows.size):
        some, w = rows[at], share[at].astype(np.float32)
        good = mask[some]
        # A product with float32 sums faster than a sum of bool, which is of whole numbers of 64 bits.
        at_once = np.stack([w, np.ones_like(w)]) @ good.astype(np.float32)
        seen += at_once[0]
        number += at_once[1]
        total += w @ np.where(good, flux[some], 0)
        variance += w**2 @ np.where(good, error[some], 0) ** 2
    per = np.divide(1.0, seen, out=np.full(seen.shape, np.nan), where=seen > 0)
    return total * per, np.sqrt(variance) * per, number > 0.5 * rows.size


def _region_properties(
    result: Result, rows: NDArray[np.integer], share: NDArray[np.float64], weight: Weight, view: BinView
) -> tuple[PropertyRow, ...]:
    """Weighted means of the four quantities with their statistical error and the scatter among the bins; times."""
    spaxels = int(result.bins.nspax[rows].sum())
    about = f"{rows.size} bins, weighted by {weight}"
    lines = [
        PropertyRow("Bins", about, "Bins whose centres lie inside", float(rows.size), unit="bins"),
        PropertyRow("Spaxels", f"{spaxels}", "In the region's bins", float(spaxels)),
    ]
    lines += [_average_row(result, rows, share, quantity.name, quantity.title, quantity.unit) for quantity in MEANS]
    lines += list_formation_times(view.formed())
    if "ebv" in result.prediction.quantiles:
        lines.append(_average_row(result, rows, share, "ebv", "E(B−V)", "mag"))
    return (*lines, *_region_data_properties(result, rows, share))


def _average_row(
    result: Result, rows: NDArray[np.integer], share: NDArray[np.float64], name: str, title: str, unit: str
) -> PropertyRow:
    """The mean of a scalar over a region's bins, its error and the scatter."""
    value = result.prediction.median(name)[rows].astype(float)
    error = float(np.sqrt(((share * result.prediction.half_width(name)[rows]) ** 2).sum()))
    mean = float((share * value).sum())
    spread = float(np.sqrt((share * (value - mean) ** 2).sum()))
    digits = 2 if error >= 0.01 else 3
    text = f"{mean:z.{digits}f} ± {error:.{digits}f}, scatter {spread:.2f}".replace("-", "−")
    tip = "Mean, error of the mean, standard deviation among the bins"
    return PropertyRow(title, text, tip, mean, error, spread, unit)


def _region_data_properties(
    result: Result, rows: NDArray[np.integer], share: NDArray[np.float64]
) -> Iterator[PropertyRow]:
    """S/N of the sum, kinematics, fit and warnings of a region's bins."""
    data = result.data
    with np.errstate(divide="ignore", invalid="ignore"):
        light, noise = data.norm_cgs[rows], data.norm_cgs[rows] / data.snr[rows]
    good = np.isfinite(light) & np.isfinite(noise)
    if good.any():
        snr = float(light[good].sum() / np.sqrt((noise[good] ** 2).sum()))
        tip = f"Of the bins' sum, {data.instrument.snr_text}, their noise taken as independent".replace("AA", "Å")
        yield PropertyRow("S/N", f"{snr:.0f}", tip, snr)
    known = np.isfinite(data.v_kms[rows]) & np.isfinite(data.sigma_kms[rows])
    if data.instrument.spectrum is not None and known.any():
        weight = share[known] / share[known].sum()
        v, sigma = (float(weight @ kms[rows][known]) for kms in (data.v_kms, data.sigma_kms))
        tip = "Stellar, before broadening: means over the bins; the bins' velocities are no part of the dispersion"
        yield format_kinematics(v, sigma, tip)
    if result.chi2 is not None:
        chi2 = float(np.nanmedian(result.chi2[rows]))
        yield PropertyRow("χ²", f"{chi2:.2f}", "Reduced, of the spectra: median of the bins", chi2)
    far = int((result.prediction.ood[rows] > 1).sum())
    flagged = int((result.flag[rows] != 0).sum())
    yield PropertyRow("Depth", f"{far}/{rows.size} bins out", "Bins with an OOD score above 1: do not trust them")
    yield PropertyRow("Flags", f"{flagged}/{rows.size} bins", "Bins that carry a flag; hide bins under Maps")
