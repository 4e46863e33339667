"""What one bin has to say: the arrays and numbers that the viewer's plots, the figures and the tables show.

Lookback times run on a logarithmic axis, so the youngest bin (0 to 14 Myr) is drawn from `YOUNGEST_GYR` on. The
star-formation rate is that of an SFH that has formed one solar mass: mass fraction over the bin's width. The
cumulative curve is the fraction of the mass that was formed before a lookback time (posterior median); t50 and t90 are
the lookback times at which half and 90 per cent of it had been formed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.credibility.prior_influence import describe_prior_share, measure_result_prior_share
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.physics.ages import AGE_EDGES_GYR, AGE_WIDTH_YR, TIME_EDGES_GYR
from napari_sfh.physics.formation import FORMED_FRACTIONS, compute_formation_times, sum_mass_from_oldest
from napari_sfh.physics.lines import HALPHA_AA, HBETA_AA, OI_AA, OIII_AA
from napari_sfh.physics.quantities import MEANS, QUANTITIES
from napari_sfh.types import FLAG_MEANING, NO_MISFIT_FLAG, Flag, Result

#: Colours of compared bins, in order (Okabe & Ito 2008, colour-blind safe).
COLORS: tuple[str, ...] = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2")


def choose_color(place: int) -> str:
    """Colour of the bin at a place (from 0) of those shown: `COLORS`, then lighter and darker ones, then anew."""
    tone = (place // len(COLORS)) % 3
    color = COLORS[place % len(COLORS)]
    parts = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
    mixed = [round(part + 0.5 * (255 - part)) if tone == 1 else round(0.6 * part) for part in parts]
    return color if tone == 0 else f"#{mixed[0]:02x}{mixed[1]:02x}{mixed[2]:02x}"


def list_view_colors(views: Sequence[BinView]) -> list[str]:
    """The colour of each bin or region: its own, or that of its place.

    Parameters
    ----------
    views : sequence of BinView
    """
    return [view.color or choose_color(place) for place, view in enumerate(views)]


#: Where the youngest age bin begins on a logarithmic axis, Gyr.
YOUNGEST_GYR: float = 0.005
#: Edges of the metallicity distribution's bins, dex.
MH_EDGES: NDArray[np.float64] = np.arange(-2.2, 0.85, 0.1)
#: Edges of the age bins as drawn, Gyr, shape (17,).
DRAWN_EDGES_GYR: NDArray[np.float64] = np.concatenate([[YOUNGEST_GYR], TIME_EDGES_GYR[1:]])
#: Main lines of the optical, the most important first: name and rest wavelength in air, Angstrom.
LINES_AA: tuple[tuple[str, float], ...] = (
    ("Hα", HALPHA_AA),
    ("Hβ", HBETA_AA),
    ("Mg b", 5175.4),
    ("Na D", 5892.9),
    ("O III", OIII_AA[0]),
    ("S II", 6723.5),
    ("Fe", 5335.2),
    ("O I", OI_AA[0]),
    ("O II", 3727.4),
    ("Ca K", 3933.7),
    ("Hδ", 4101.7),
    ("Hγ", 4340.5),
    ("Ca II", 8542.1),
    ("S III", 9530.6),
)
#: Curves that are drawn with what the weights believed before: field of `BinView` -> quantity.
PRIOR_CURVES: dict[str, str] = {"mass": "mass_frac", "light": "light_frac", "mh": "mh"}
#: The ways to draw an SFH: key, name, label of the axis (the SFR is per unit mass formed).
SFH_KINDS: dict[str, tuple[str, str]] = {
    "mass": ("Mass formed", "mass / bin"),
    "light": ("V-band light", "light / bin"),
    "sfr": ("SFR", "SFR (1/Gyr)"),
}


@dataclass(frozen=True)
class CredibleBand:
    """A curve and its 16-84 % band, each (n,); the band is NaN where the network gave none."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def scaled(self, factor: NDArray[np.float64]) -> CredibleBand:
        """The band times a positive factor per point."""
        return CredibleBand(self.value * factor, self.low * factor, self.high * factor)

    def select(self, points: NDArray[np.bool_]) -> CredibleBand:
        """Some of its points, a mask (n,)."""
        return CredibleBand(self.value[points], self.low[points], self.high[points])


#: Of weights that predict no histories.
NO_BAND = CredibleBand(np.empty(0), np.empty(0), np.empty(0))


@dataclass(frozen=True)
class PropertyRow:
    """One line of the numbers panel."""

    label: str
    text: str
    tip: str
    value: float = np.nan  # NaN where the line is no single number
    error: float = np.nan  # 1 sigma, or half of the 16-84 % width; of a region's mean its error
    scatter: float = np.nan  # standard deviation among the bins of a region
    unit: str = ""
    parts: tuple[PropertyRow, ...] = ()  # of a line of several numbers, each


@dataclass(frozen=True)
class ScalarEstimate:
    """A quantity of one bin or row: posterior median and 16-84 % interval, in its unit."""

    name: str  # key of `Prediction.quantiles`
    value: float
    low: float
    high: float


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
        mass = _quantity_band(result, "mass_frac", i)
        model, phot_model = (part[0] for part in result.model_rows(slice(i, i + 1)))
        used = data.phot_mask[i]
        view = cls(
            bin_id=bin_id,
            instrument=result.instrument,
            mass=mass,
            light=_quantity_band(result, "light_frac", i),
            sfr=mass.scaled(1e9 / AGE_WIDTH_YR) if histories else NO_BAND,
            cumulative=_cumulative(result, i) if histories else NO_BAND,
            mh=_quantity_band(result, "mh", i),
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
            prior={key: _prior_band(result.prior[name]) for key, name in PRIOR_CURVES.items() if name in result.prior},
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


def format_flux_label(instrument: Instrument, html: bool = False) -> str:
    """Label of spectra and bands: f_lambda over what it is divided by; for matplotlib, or in HTML.

    Parameters
    ----------
    instrument : Instrument
    html : bool
        For Qt; else for matplotlib.

    Returns
    -------
    str
    """
    if instrument.spectrum is None:
        return "F<sub>λ</sub>, relative" if html else r"$F_\lambda$, relative"
    lo, hi = instrument.spectrum.norm_window_aa
    if html:
        return f"F<sub>λ</sub> / F<sub>{0.5 * (lo + hi):.0f}</sub>"
    return r"$F_\lambda\ /\ F_\lambda$" + f"({lo:.0f}–{hi:.0f} Å)"


def list_scalar_estimates(result: Result, row: int) -> tuple[ScalarEstimate, ...]:
    """What weights without histories say of a bin (row 0..N-1).

    Parameters
    ----------
    result : Result
    row : int
        Of the bin, from 0.

    Returns
    -------
    tuple of ScalarEstimate
        Median and 16-84 % interval of each of ``result.prediction.scalars``.
    """
    quantiles = result.prediction.quantiles
    return tuple(
        ScalarEstimate(name, *(float(quantiles[name][row, k]) for k in (2, 1, 3))) for name in result.prediction.scalars
    )


def _check_age_bins(result: Result) -> None:
    edges = result.prediction.age_edges_gyr
    if edges is not None and not np.array_equal(np.round(edges, 6), np.round(AGE_EDGES_GYR, 6)):
        raise SfhInputError(
            f"{result.model_name}: its histories have {len(edges) - 1} age bins of their own; plots and tables of bins "
            f"know the {AGE_EDGES_GYR.size - 1} of the shipped weights; read them from `Result.prediction`"
        )


def _quantity_band(result: Result, name: str, i: int) -> CredibleBand:
    if not result.prediction.has_histories:
        return NO_BAND
    quantiles = result.prediction.quantiles.get(name)
    value = np.asarray(result.prediction.history(name)[i], dtype=float)
    if quantiles is None:
        return CredibleBand(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    return CredibleBand(value, np.asarray(quantiles[i, :, 1], float), np.asarray(quantiles[i, :, 3], float))


def _prior_band(quantiles: NDArray[np.floating]) -> CredibleBand:
    """Median and 16-84 % of the prior (A, 5)."""
    q = np.asarray(quantiles, dtype=float)
    return CredibleBand(q[:, 2], q[:, 1], q[:, 3])


def _cumulative(result: Result, i: int) -> CredibleBand:
    """Mass formed before each edge's lookback time: posterior median; 1 at the first edge, 0 at the last."""
    quantiles = result.prediction.quantiles.get("cum_mass")
    if quantiles is None:
        return sum_from_oldest(result.prediction.history("mass_frac")[i])
    low, value, high = (np.append(np.asarray(quantiles[i, :, k], float), 0.0) for k in (1, 2, 3))
    return CredibleBand(value, low, high)


def sum_from_oldest(share: NDArray[np.floating]) -> CredibleBand:
    """Shares of the age bins added up from the oldest on.

    Parameters
    ----------
    share : array (A,)

    Returns
    -------
    CredibleBand
        At the edges, (A + 1,), without an interval.
    """
    value = sum_mass_from_oldest(share)
    return CredibleBand(value, np.full_like(value, np.nan), np.full_like(value, np.nan))


def list_formation_times(times: CredibleBand) -> tuple[PropertyRow, ...]:
    """The lines t50 and t90; the nine times are in the first one's tip."""
    told = [_format_time(*each) for each in zip(times.value, times.low, times.high)]
    nine = "\n".join(f"t{100 * f:.0f}  {text}" for f, text in zip(FORMED_FRACTIONS, told))
    tip = "Lookback time at which {} % of the mass had formed, with the 16-84 % interval"
    rows = []
    for fraction, more in ((0.5, f"\n{nine}"), (0.9, "")):
        k = FORMED_FRACTIONS.index(fraction)
        error = 0.5 * abs(float(times.high[k] - times.low[k]))
        words = f"{tip.format(f'{100 * fraction:.0f}')}{more}"
        rows.append(PropertyRow(f"t{100 * fraction:.0f}", told[k], words, float(times.value[k]), error, unit="Gyr"))
    return tuple(rows)


def _format_time(value: float, low: float, high: float) -> str:
    """A time with its interval, for example ``4.2 (3.1-5.6) Gyr``."""
    if not np.isfinite(value):
        return "–"
    scale, unit, digits = (1.0, "Gyr", 1) if value >= 1 else (1e3, "Myr", 0)
    interval = f" ({low * scale:.{digits}f}–{high * scale:.{digits}f})" if np.isfinite([low, high]).all() else ""
    return f"{value * scale:.{digits}f}{interval} {unit}"


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


@cache
def describe_flags(flag: int) -> str:
    """The meanings of a bin's flags, separated by semicolons; "none" for none."""
    return "; ".join(text for bit, text in FLAG_MEANING.items() if Flag(int(flag)) & bit) or "none"


def describe_bin_flags(result: Result, row: int) -> str:
    """The meanings of the flags of a bin, and what was not judged.

    Parameters
    ----------
    result : Result
    row : int
        From 0.
    """
    told = describe_flags(int(result.flag[row]))
    return told if result.judges_misfit else f"{told}; {NO_MISFIT_FLAG}"


def list_history_bands(result: Result) -> dict[str, CredibleBand]:
    """Histories of all bins with their intervals, (N, 16) each: ``MASS_FRAC``, ``LIGHT_FRAC``, ``MH``, ``CUM_MASS``."""
    prediction = result.prediction
    fractions = np.asarray(prediction.history("mass_frac"), dtype=float)
    points = {key: np.asarray(prediction.history(key), dtype=float) for key in ("mass_frac", "light_frac", "mh")}
    points["cum_mass"] = sum_mass_from_oldest(fractions)[..., :-1]
    bands = {}
    for key, value in points.items():
        quantiles = prediction.quantiles.get(key)
        if quantiles is None:
            low = middle = high = np.full_like(value, np.nan)
        else:
            low, middle, high = (np.asarray(quantiles[..., k], dtype=float) for k in (1, 2, 3))
        by_median = key == "cum_mass" and quantiles is not None
        bands[key.upper()] = CredibleBand(middle if by_median else value, low, high)
    return bands


def _measure_mean(result: Result, label: str, name: str, i: int, scale: str, tip: str) -> PropertyRow:
    """A scalar of a bin with its error."""
    text = _with_error(result, name, i, scale)
    if text == "–":
        return PropertyRow(label, text, tip)
    value, error = float(result.prediction.median(name)[i]), float(result.prediction.half_width(name, i))
    return PropertyRow(label, text, tip, value, error, unit=QUANTITIES[name].unit)


def _with_error(result: Result, name: str, i: int, scale: str) -> str:
    if name not in result.prediction.quantiles:
        return "–"
    value, error = result.prediction.median(name)[i], result.prediction.half_width(name, i)
    if not np.isfinite(value):
        return "–"
    if scale == "age":
        text = f"{value:z.2f} ± {error:.2f} ({_format_age(10 ** (value - 9))})"
    else:
        text = f"{value:z.2f} ± {error:.2f}"
    return text.replace("-", "−")


def _capitalised(text: str) -> str:
    """A tip: first letter large, Å as people write it."""
    return (text[:1].upper() + text[1:]).replace("AA", "Å")


def _format_spaxel_count(n: int) -> str:
    return "1 spaxel" if n == 1 else f"{n} spaxels"


def _format_age(age: float) -> str:
    return f"{age:.1f} Gyr" if age >= 1 else f"{age * 1000:.0f} Myr"


def _format_prior_shares(result: Result, i: int) -> PropertyRow:
    """Width of the posterior over that of the prior: the largest of the four means, the others in the tip."""
    tip = "Width of the posterior over that of the prior: near 1 the prior decides, near 0 the data"
    known = [m for m in MEANS if m.name in result.prior and m.name in result.prediction.quantiles]
    shares = {m.title: float(measure_result_prior_share(result, m.name, i)) for m in known}
    if not shares or not np.isfinite(list(shares.values())).all():
        return PropertyRow("Prior", "–", tip)
    most = max(shares, key=lambda k: shares[k])
    lines = "\n".join(f"{title}  {describe_prior_share(share)}" for title, share in shares.items())
    return PropertyRow("Prior", f"{shares[most]:.2f} ({most})", f"{tip}\n{lines}")


def list_bin_properties(result: Result, bin_id: int, times: CredibleBand) -> tuple[PropertyRow, ...]:
    """The numbers panel of a bin: label, value with unit, and what it means; ``times``: see `BinView.formed`.

    Parameters
    ----------
    result : Result
    bin_id : int
        1 to N.
    times : CredibleBand
        Formation times, see `BinView.formed`.
    """
    i = bin_id - 1
    data, prediction, bins = result.data, result.prediction, result.bins
    chi2, ood = result.chi2_of(i), float(prediction.ood[i])
    histories = prediction.has_histories
    verdict = "within its depth" if ood <= 1 else "out of its depth"
    ra, dec = (float(v) for v in result.centres_deg[i])
    kinematics = format_kinematics(float(data.v_kms[i]), float(data.sigma_kms[i]), "Stellar, before broadening")
    place = [("RA", ra, f"{ra:.5f}"), ("Dec", dec, f"{dec:+.5f}")]
    snr, spaxels = float(data.snr[i]), int(bins.nspax[i])
    quality = (
        PropertyRow("χ²", f"{chi2:.2f}" if np.isfinite(chi2) else "–", "Reduced, of the spectrum", chi2),
        PropertyRow(
            "Depth", f"{ood:.2f}, {verdict}" if np.isfinite(ood) else "–", "OOD score: above 1 do not trust", ood
        ),
        *((_format_prior_shares(result, i),) if histories else ()),
        PropertyRow("Flags", describe_bin_flags(result, i), "Why this bin deserves care"),
    )
    return (
        PropertyRow(
            "RA, Dec",
            f"{ra:.5f}, {dec:+.5f}",
            "Light-weighted centre of the bin, degrees",
            parts=tuple(PropertyRow(label, text, "", value, unit="deg") for label, value, text in place),
        ),
        PropertyRow(
            "S/N", f"{snr:.0f} in {_format_spaxel_count(spaxels)}", _capitalised(data.instrument.snr_text), snr
        ),
        *((kinematics,) if data.instrument.spectrum is not None else ()),
        *(_list_history_properties(result, i, times) if times.value.size else _list_scalar_properties(result, i)),
        *(quality if result.chi2 is not None else quality[1:]),
    )


def _list_scalar_properties(result: Result, i: int) -> tuple[PropertyRow, ...]:
    """What weights without histories predict, with the 16-84 % interval."""
    rows = []
    for one in list_scalar_estimates(result, i):
        about = QUANTITIES.get(one.name)
        label, tip = (one.name, "") if about is None else (about.title, about.unit)
        rows.append(PropertyRow(label, format_scalar_estimate(one), f"{tip}; median and 16-84 % interval".strip("; ")))
    return tuple(rows)


def format_scalar_estimate(one: ScalarEstimate) -> str:
    """A quantity with interval and unit: ``9.71 (9.63–9.80) log yr``; the age in Gyr beside its logarithm."""
    if not np.isfinite(one.value):
        return "–"
    about = QUANTITIES.get(one.name)
    unit = about.unit if about is not None else ""
    age = f" ({_format_age(10 ** (one.value - 9))})" if unit == "log yr" else ""
    return f"{one.value:z.2f} ({one.low:z.2f}–{one.high:z.2f}) {unit}{age}".strip().replace("-", "−")


def _list_history_properties(result: Result, i: int, times: CredibleBand) -> tuple[PropertyRow, ...]:
    """Means, formation times, dust."""
    return (
        _measure_mean(result, "LW age", "lg_age_lw", i, "age", "log age/yr, mean weighted by V-band light"),
        _measure_mean(result, "MW age", "lg_age_mw", i, "age", "log age/yr, mean weighted by mass formed"),
        _measure_mean(result, "LW [M/H]", "mh_lw", i, "dex", "dex, mean weighted by V-band light"),
        _measure_mean(result, "MW [M/H]", "mh_mw", i, "dex", "dex, mean weighted by mass formed"),
        *list_formation_times(times),
        _measure_mean(result, "E(B−V)", "ebv", i, "dex", "Reddening inside the galaxy, mag"),
    )


def format_kinematics(v_kms: float, sigma_kms: float, tip: str) -> PropertyRow:
    """A line of the mean velocity and its dispersion.

    Parameters
    ----------
    v_kms, sigma_kms : float
    tip : str
        What they are of.

    Returns
    -------
    PropertyRow
        With V and sigma as its parts.
    """
    parts = (("V", v_kms, f"{v_kms:z.0f}".replace("-", "−")), ("σ", sigma_kms, f"{sigma_kms:.0f}"))
    rows = tuple(PropertyRow(label, f"{text} km/s", tip, value, unit="km/s") for label, value, text in parts)
    return PropertyRow("V, σ", f"{', '.join(text for _, _, text in parts)} km/s", tip, parts=rows)


def choose_residual_range(residual: NDArray[np.floating]) -> float:
    """Half of the range of a residual about 0 that shows the continuum's; emission lines leave it.

    Parameters
    ----------
    residual : array (W,)
        NaN where unusable.

    Returns
    -------
    float
        In its unit.
    """
    finite = np.abs(residual[np.isfinite(residual)])
    if finite.size == 0:
        return 1.0
    # Of a Gaussian 4.9 and 8 standard deviations; the median is the continuum's also where 5 % of the pixels are lines.
    middle, high = np.percentile(finite, [50.0, 95.0])
    return max(min(2.5 * float(high), 12.0 * float(middle)), 1e-6)


def choose_flux_range(flux: NDArray[np.floating], model: NDArray[np.floating]) -> tuple[float, float]:
    """Range of flux that shows the continuum and its absorption; strong emission lines leave at the top.

    A few per cent of the pixels are emission lines, ten times as high as the features that matter; in the window the
    range follows the wavelengths in sight.

    Parameters
    ----------
    flux, model : array (W,)
        Of one unit; NaN where unusable.

    Returns
    -------
    (float, float)
        In their unit.
    """
    seen = np.concatenate([flux[np.isfinite(flux)], model[np.isfinite(model)]])
    if seen.size == 0:
        return 0.0, 1.0
    low, middle, high, highest = np.percentile(seen, [0.2, 50, 95, 100])
    top = min(highest, high + 1.5 * max(high - low, 0.2 * abs(middle)))
    room = 0.06 * (top - low)
    return float(low - room), float(top + room)
