"""What one bin has to say: the arrays and numbers that the viewer's plots, the figures and the tables show.

Lookback times run on a logarithmic axis, so the youngest bin (0 to 14 Myr) is drawn from `YOUNGEST_GYR` on. The
star-formation rate is that of an SFH that has formed one solar mass: mass fraction over the bin's width. The
cumulative curve is the fraction of the mass that was formed before a lookback time (posterior median); t50 and t90 are
the lookback times at which half and 90 per cent of it had been formed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.bin_properties import PropertyRow, ScalarEstimate, list_bin_properties, list_scalar_estimates
from napari_sfh.analysis.credible_bands import (
    NO_BAND,
    CredibleBand,
    read_history_band,
    read_mass_curve,
    read_prior_band,
    sum_from_oldest,
)
from napari_sfh.analysis.drawing.bin_drawing import MH_EDGES, choose_color, choose_flux_range, choose_residual_range
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.physics.ages import AGE_EDGES_GYR, AGE_WIDTH_YR
from napari_sfh.physics.formation import FORMED_FRACTIONS, compute_formation_times
from napari_sfh.types import Result


def list_view_colors(views: Sequence[BinView]) -> list[str]:
    """The colour of each bin or region: its own, or that of its place.

    Parameters
    ----------
    views : sequence of BinView
    """
    return [view.color or choose_color(place) for place, view in enumerate(views)]


#: Curves that are drawn with what the weights believed before: field of `BinView` -> quantity.
PRIOR_CURVES: dict[str, str] = {"mass": "mass_frac", "light": "light_frac", "mh": "mh"}


@dataclass(frozen=True)
class BinView:
    """Everything the plots of one bin show. Arrays of 16 are per age bin, youngest first; empty without histories.

    ``flux``, ``error`` and ``model`` are f_lambda over the instrument's norm, (W,), NaN where masked (the model:
    without templates); ``masked`` are wavelength ranges; photometry (B,) is in its own norm, NaN where a band was not
    used.
    """

    bin_id: int  # 0 for a region
    instrument: Instrument  # whose pixels and bands these are
    mass: CredibleBand  # (A,) fraction of the mass formed
    light: CredibleBand  # (A,) fraction of the intrinsic V light
    sfr: CredibleBand  # (A,) 1/Gyr, of one solar mass formed
    cumulative: CredibleBand  # (17,) at the edges of the age bins
    mh: CredibleBand  # (A,) [M/H], dex
    flux: NDArray[np.float32]  # (W,)
    error: NDArray[np.float32]  # (W,) 1 sigma
    model: NDArray[np.float32]  # (W,) rebuilt from the prediction
    masked: tuple[tuple[float, float], ...]  # ranges in Angstrom
    bands: tuple[str, ...]  # names
    phot: NDArray[np.float64]  # (B,)
    phot_error: NDArray[np.float64]  # (B,) 1 sigma
    phot_model: NDArray[np.float64]  # (B,) rebuilt from the prediction
    numbers: tuple[PropertyRow, ...]  # what stands beside the plots
    estimates: tuple[ScalarEstimate, ...] = ()  # of weights without histories
    title: str = ""  # of a region: its name
    color: str = ""  # wherever it is shown; empty: that of its place among those shown
    prior: Mapping[str, CredibleBand] = field(
        default_factory=dict
    )  # of `PRIOR_CURVES`, before any data: mass, light, mh

    @classmethod
    def of(cls, result: Result, bin_id: int) -> BinView:
        """View of bin ``bin_id`` (1..N).

        Raises
        ------
        SfhInputError
            There is no such bin, or the result's histories have other age bins than the 16 of `physics.ages`.
        """
        _check_age_bins(result)
        result.bins.check_bin(bin_id)
        i = bin_id - 1
        data, histories = result.data, result.prediction.has_histories
        mass = read_history_band(result, "mass_frac", i)
        model, phot_model = (part[0] for part in result.model_rows(slice(i, i + 1)))
        used = data.phot_mask[i]
        view = cls(
            bin_id=bin_id,
            instrument=result.instrument,
            mass=mass,
            light=read_history_band(result, "light_frac", i),
            sfr=mass.scaled(1e9 / AGE_WIDTH_YR) if histories else NO_BAND,
            cumulative=read_mass_curve(result, i) if histories else NO_BAND,
            mh=read_history_band(result, "mh", i),
            flux=np.where(data.mask[i], data.flux[i], np.nan),
            error=np.where(data.mask[i], data.error[i], np.nan),
            model=model,
            masked=find_masked_ranges(data.mask[i], data.instrument.wave_aa),
            bands=data.bands,
            phot=np.where(used, data.phot[i], np.nan).astype(float),
            phot_error=np.where(used, data.phot_error[i], np.nan).astype(float),
            phot_model=phot_model.astype(float),
            numbers=(),
            estimates=() if histories else list_scalar_estimates(result, i),
            prior={
                key: read_prior_band(result.prior[name]) for key, name in PRIOR_CURVES.items() if name in result.prior
            },
        )
        times = view.formed() if histories else NO_BAND
        return replace(view, numbers=list_bin_properties(result, bin_id, times))

    @property
    def has_history(self) -> bool:
        """Whether there is a star-formation history."""
        return self.mass.value.size > 0

    @property
    def name(self) -> str:
        """What is shown, for a legend: a bin, or a region (number 0)."""
        return self.title or (f"bin {self.bin_id}" if self.bin_id else "region")

    @cached_property
    def residual(self) -> NDArray[np.float32]:
        """Data minus model, (W,), NaN where masked."""
        return self.flux - self.model

    @cached_property
    def flux_range(self) -> tuple[float, float]:
        """What `choose_flux_range` says of the whole spectrum."""
        return choose_flux_range(self.flux, self.model)

    @cached_property
    def residual_range(self) -> float:
        """What `choose_residual_range` says."""
        return choose_residual_range(self.residual)

    @cached_property
    def _kept(self) -> dict[tuple[Any, ...], Any]:
        """What was asked for: continua and formation times."""
        return {}

    @property
    def wave_aa(self) -> NDArray[np.float64]:
        """Rest-frame air wavelengths of the spectrum in Angstrom, (W,)."""
        return self.instrument.wave_aa

    @property
    def pivot_aa(self) -> NDArray[np.float64]:
        """Pivot wavelengths of the bands in Angstrom, (B,)."""
        return self.instrument.pivot_aa

    def continuum(self, step_aa: float = 100.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The model without its lines: wavelengths in Angstrom and the median of every ``step_aa``."""
        if not self.wave_aa.size:
            return np.empty(0), np.empty(0)
        if ("continuum", step_aa) in self._kept:
            kept: tuple[NDArray[np.float64], NDArray[np.float64]] = self._kept["continuum", step_aa]
            return kept
        width = max(1, round(step_aa / float(np.median(self.instrument.grid.pixel_aa))))
        n = self.wave_aa.size // width
        part = slice(0, n * width)
        middle = self.wave_aa[width // 2 : n * width : width]
        drawn = middle, np.median(self.model[part].reshape(n, width), axis=1).astype(np.float64)
        self._kept["continuum", step_aa] = drawn
        return drawn

    def sfh(self, kind: str) -> CredibleBand:
        """The SFH as ``mass``, ``light`` or ``sfr`` (`SFH_KINDS`)."""
        return {"mass": self.mass, "light": self.light, "sfr": self.sfr}[kind]

    def cumulative_share(self, kind: str) -> CredibleBand:
        """Share of the mass (``mass``, ``sfr``) or of today's V light (``light``) formed before each edge, (17,).

        The light's band is NaN: the network's intervals are those of the mass.
        """
        if kind != "light":
            return self.cumulative
        return sum_from_oldest(self.light.value)

    def formed(self, fractions: Sequence[float] = FORMED_FRACTIONS, kind: str = "mass") -> CredibleBand:
        """Lookback times in Gyr at which shares of the mass (or light, see `grown`) had been formed.

        Where the band's 16 % curve passes a share, 16 % of the posterior's times lie below: the times' 16-84 %
        interval is read from the curve's own, and is as well calibrated as that. NaN where there is none.
        """
        key = "formed", tuple(fractions), kind
        if key not in self._kept:
            grown = self.cumulative_share(kind)
            times = compute_formation_times(np.stack([grown.value, grown.low, grown.high]), fractions)
            self._kept[key] = CredibleBand(*times)
        band: CredibleBand = self._kept[key]
        return band

    def metallicity_distribution(self, kind: str = "mass") -> NDArray[np.float64]:
        """Share of the mass (``mass``, ``sfr``) or V light (``light``) in each interval of `MH_EDGES`.

        Every age bin's share is spread as a normal distribution about its [M/H], as wide as the 16-84 % interval:
        the galaxy's own spread and the error are not told apart.
        """
        share = self.light.value if kind == "light" else self.mass.value
        sigma = 0.5 * (self.mh.high - self.mh.low)
        sigma = np.where(np.isfinite(sigma), np.maximum(sigma, 0.02), 0.1)
        from scipy.special import ndtr  # slow to import

        below = ndtr((MH_EDGES[:, None] - self.mh.value) / sigma)
        below[0], below[-1] = 0.0, 1.0
        return np.diff(below, axis=0) @ share


def _check_age_bins(result: Result) -> None:
    edges = result.prediction.age_edges_gyr
    if edges is not None and not np.array_equal(np.round(edges, 6), np.round(AGE_EDGES_GYR, 6)):
        raise SfhInputError(
            f"{result.model_name}: its histories have {len(edges) - 1} age bins of their own; plots and tables of bins "
            f"know the {AGE_EDGES_GYR.size - 1} of the shipped weights; read them from `Result.prediction`"
        )


def find_masked_ranges(mask: NDArray[np.bool_], wave_aa: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """Wavelength ranges of a spectrum's unusable pixels.

    Parameters
    ----------
    mask : bool array (W,)
        True where a pixel is usable.
    wave_aa : array (W,)
        Angstrom.

    Returns
    -------
    tuple of (float, float)
        Lower and upper end of each range, Angstrom, half a pixel beyond the pixels' centres.
    """
    if not mask.size:
        return ()
    bad = np.concatenate([[False], ~mask, [False]])
    edges = np.flatnonzero(np.diff(bad.astype(np.int8)))
    half = 0.5 * np.gradient(wave_aa)
    return tuple(
        (float(wave_aa[a] - half[a]), float(wave_aa[b - 1] + half[b - 1])) for a, b in zip(edges[::2], edges[1::2])
    )
