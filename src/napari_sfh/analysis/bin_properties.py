"""The numbers of a bin, each a line with its unit, error and meaning: what stands beside the plots, and in tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from napari_sfh.analysis.credibility.prior_influence import describe_prior_share, measure_result_prior_share
from napari_sfh.analysis.credible_bands import CredibleBand
from napari_sfh.physics.formation import FORMED_FRACTIONS
from napari_sfh.physics.quantities import MEANS, QUANTITIES
from napari_sfh.types import FLAG_MEANING, NO_MISFIT_FLAG, Flag, Result


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
