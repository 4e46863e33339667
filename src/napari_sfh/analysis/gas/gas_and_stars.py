"""The gas held against the young stars that light it up: metallicity and dust, bin by bin.

Stars of up to 28 Myr (the two youngest age bins; the gas in H II regions is ionised by those below 10 Myr) formed
from gas like that seen today, so their [M/H] should follow the gas's oxygen: [O/H] = 12 + log(O/H) - 8.69 (Asplund et
al. 2009, ARA&A 47, 481). Three things part the two: O3N2's own zero point (its calibration on electron temperatures
lies some 0.2 dex below the stars'), 0.18 dex of scatter between H II regions, and that [M/H] is scaled by Z = 0.019
and counts all metals. A trend is to be expected, not equality. The stars' E(B-V) is that of the diffuse dust; the gas
also lies behind its birth clouds: Calzetti et al. (2000, ApJ 533, 682) find E(stars) = 0.44 E(gas).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.table import Table
from numpy.typing import NDArray

from napari_sfh.analysis.gas.line_maps import (
    BPT_CLASSES,
    HALPHA,
    HBETA,
    LINES,
    NII,
    OIII,
    UNIT_CGS,
    LineFluxes,
    derive_gas_properties,
    sum_lines_in_bins,
)
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.physics.lines import measure_line_continuum
from napari_sfh.physics.means import weighted_mean
from napari_sfh.types import F32, F64, Bool, Observation, Result

#: 12 + log(O/H) of the Sun.
SOLAR_OXYGEN: float = 8.69
#: E(B-V) of the stars over that of the gas.
EBV_STARS_OVER_GAS: float = 0.44
#: Oldest edge in Gyr of the age bins that count as young.
YOUNG_GYR: float = 0.028
#: Share of the V-band light that young stars must have for their metallicity to say something.
MIN_LIGHT: float = 0.05
#: log10([N II]/Halpha) that stars cannot reach: the line of Kewley et al. (2001) as Cid Fernandes et al. (2010, MNRAS
#: 403, 1036) transpose it where [O III] is not asked.
MAX_LG_N2: float = -0.10
#: Equivalent width of Halpha in Angstrom below which its ratios are those of the model's absorption.
MIN_EW_AA: float = 1.0
_SIGMAS = 3.0


class YoungStars(NamedTuple):
    """The young stars of N bins; NaN where they give too little light."""

    mh: F64  # (N,) light-weighted [M/H], dex
    low: F64  # 16 %
    high: F64  # 84 %
    light: F64  # share of the V-band light


def measure_young_stars(result: Result, youngest_gyr: float = YOUNG_GYR, min_light: float = MIN_LIGHT) -> YoungStars:
    """Light-weighted [M/H] of the age bins younger than ``youngest_gyr``.

    The intervals are the light-weighted means of the age bins' own, as if these erred together: not too narrow.

    Parameters
    ----------
    result : Result
    youngest_gyr : float
        Gyr.
    min_light : float
        Bins where these ages give a smaller share of the light get NaN.

    Returns
    -------
    YoungStars
        Arrays (N,).
    """
    bins = slice(0, max(1, int(np.searchsorted(AGE_EDGES_GYR, youngest_gyr * 1.001, side="right")) - 1))
    light = result.prediction.history("light_frac")[:, bins].astype(np.float64)
    share = light.sum(1)
    quantiles = result.prediction.quantiles["mh"][:, bins].astype(np.float64)
    values = (result.prediction.history("mh")[:, bins].astype(np.float64), quantiles[..., 1], quantiles[..., 3])
    mh, low, high = (weighted_mean(light, value) for value in values)
    enough = share >= min_light
    mh, low, high = (np.where(enough, mean, np.nan).astype(np.float64) for mean in (mh, low, high))
    return YoungStars(mh, low, high, share)


def find_non_star_forming_gas(data: Observation, model_flux: F32, redshift: float, lines: LineFluxes) -> Bool:
    """Bins (N,) whose gas young stars alone do not light: the network, which knows no other gas, takes it for youth.

    Either [N II]/Halpha lies three errors above `MAX_LG_N2`, or [N II]/Halpha and [O III]/Hbeta (S/N of 3 each) lie
    above the line of Kewley et al. (2001); Halpha is at least `MIN_EW_AA` strong.

    Parameters
    ----------
    data : Observation
    model_flux : array (N, W)
        The spectra rebuilt from the prediction, in the unit of ``data.flux``.
    redshift : float
    lines : LineFluxes
        Of `line_fitting.fit_emission_lines`, by bin.
    """
    ratio = np.divide(lines.flux[NII], lines.flux[HALPHA], out=np.zeros(data.n_bins), where=_both_lines_detected(lines))
    noise = [
        np.divide(1.0, lines.snr(name), out=np.zeros(ratio.shape), where=_both_lines_detected(lines))
        for name in (NII, HALPHA)
    ]
    sure = ratio * (1 - _SIGMAS * np.hypot(*noise)) > 10**MAX_LG_N2
    continuum = measure_line_continuum(model_flux, data.instrument.wave_aa, LINES[HALPHA][1])
    # Of a rest frame's Angstrom: the observed width is (1 + z) times as large.
    density = data.norm_cgs * (1 + redshift) * continuum / UNIT_CGS
    strong = lines.flux[HALPHA] > MIN_EW_AA * density
    return (sure | (derive_gas_properties(lines).bpt == len(BPT_CLASSES) - 1)) & strong


def _both_lines_detected(lines: LineFluxes) -> Bool:
    return (lines.snr(NII) >= _SIGMAS) & (lines.snr(HALPHA) >= _SIGMAS)


class GasDiagrams(NamedTuple):
    """What is drawn of N bins: oxygen against young stars, dust against dust, the BPT diagram; NaN where unknown."""

    oxygen: F64  # [O/H] of the gas, dex
    oxygen_error: F64
    young: YoungStars
    ebv_gas: F64  # mag
    ebv_gas_error: F64
    ebv_stars: F64  # mag
    ebv_stars_error: F64
    lg_n2: F64  # log10 [N II] 6583 / Halpha
    lg_o3: F64  # log10 [O III] 5007 / Hbeta
    bpt: NDArray[np.int8]  # index into `line_maps.BPT_CLASSES`


def derive_gas_diagrams(result: Result, lines: LineFluxes, composite: bool = False) -> GasDiagrams:
    """Gas and young stars of every bin, ready to be drawn.

    Parameters
    ----------
    result : Result
    lines : LineFluxes
        By bin or by spaxel (then summed over the bins).
    composite : bool
        As in `line_maps.derive_gas_properties`.

    Returns
    -------
    GasDiagrams
        Arrays (N,).

    Raises
    ------
    SfhInputError
        As `build_gas_table`.
    """
    lines = sum_lines_in_bins(lines, result.bins)
    found = derive_gas_properties(lines, composite=composite)
    known = found.bpt > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        lg_n2 = np.log10(lines.flux[NII] / lines.flux[HALPHA])
        lg_o3 = np.log10(lines.flux[OIII] / lines.flux[HBETA])
    return GasDiagrams(
        found.oxygen - SOLAR_OXYGEN,
        found.oxygen_error,
        measure_young_stars(result),
        found.ebv,
        found.ebv_error,
        np.asarray(result.prediction.median("ebv"), np.float64),
        np.asarray(result.prediction.half_width("ebv"), np.float64),
        np.where(known, lg_n2, np.nan),
        np.where(known, lg_o3, np.nan),
        found.bpt,
    )


def format_trend(x: F64, y: F64) -> str:
    """Number of pairs, median difference y - x, and Spearman's rank correlation.

    Parameters
    ----------
    x, y : array (N,)
        Of the gas and of the stars, in one unit; NaN where unknown.

    Returns
    -------
    str
    """
    from scipy.stats import spearmanr

    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < 3:
        return f"{int(both.sum())} bins"
    pair = x[both], y[both]
    varies = all(np.ptp(values) > 0 for values in pair)
    rank = float(spearmanr(*pair).statistic) if varies else float("nan")
    words = f"{int(both.sum())} bins: stars − gas {np.median((y - x)[both]):+z.2f}, ρ {rank:z.2f}"
    return words.replace("-", "−")


def trace_bpt_lines() -> tuple[tuple[F64, F64], tuple[F64, F64]]:
    """The dividing lines of Kauffmann et al. (2003) and Kewley et al. (2001): lg [N II]/Halpha, lg [O III]/Hbeta."""
    curves = []
    for pole, zero in ((0.05, 1.30), (0.47, 1.19)):
        x = np.linspace(-2.0, pole - 0.1, 200)
        curves.append((x, 0.61 / (x - pole) + zero))
    return curves[0], curves[1]


def build_gas_table(result: Result, lines: LineFluxes, composite: bool = False) -> Table:
    """Lines, gas and young stars of every bin, with units and descriptions; ``write`` it as ECSV, CSV or FITS.

    Parameters
    ----------
    result : Result
    lines : LineFluxes
        By bin or by spaxel (then summed over the bins).
    composite : bool
        As in `line_maps.derive_gas_properties`.

    Raises
    ------
    SfhInputError
        The lines are on another grid, or one of the four of O3N2 is missing.
    """
    lines = sum_lines_in_bins(lines, result.bins)
    found, young, prediction = (
        derive_gas_properties(lines, composite=composite),
        measure_young_stars(result),
        result.prediction,
    )
    sky = result.wcs.pixel_to_world(result.bins.x, result.bins.y)
    out = Table(meta={"galaxy": result.name, "lines": lines.source, "weights": result.model_name})
    _add_column(out, "BIN_ID", np.arange(1, result.bins.n_bins + 1), None, "number of the bin in the map")
    _add_column(out, "RA", sky.ra.deg, u.deg, "light-weighted centre")
    _add_column(out, "DEC", sky.dec.deg, u.deg, "light-weighted centre")
    for name in lines.flux:
        _add_column(out, f"{name}_FLUX", lines.flux[name], None, f"{LINES[name][0]}, sum over the bin, {lines.unit}")
        _add_column(out, f"{name}_FLUX_ERR", lines.error[name], None, "1 sigma")
    _add_column(out, "EBV_GAS", found.ebv, u.mag, "Balmer decrement, Cardelli et al. (1989), R_V 3.1")
    _add_column(out, "EBV_GAS_ERR", found.ebv_error, u.mag, "1 sigma")
    _add_column(out, "EBV_STARS", prediction.median("ebv"), u.mag, "diffuse dust in front of the stars")
    _add_column(out, "EBV_STARS_ERR", prediction.half_width("ebv"), u.mag, "half of the 16-84 % width")
    _add_column(out, "BPT", found.bpt, None, ", ".join(f"{k} {word}" for k, word in enumerate(BPT_CLASSES)))
    _add_column(out, "OH", found.oxygen, None, "12 + log(O/H) from O3N2, Marino et al. (2013)")
    _add_column(
        out, "OH_ERR", found.oxygen_error, None, "1 sigma of the measurement, without the calibration's 0.18 dex"
    )
    _add_column(out, "MH_YOUNG", young.mh, None, f"[M/H] of stars below {1000 * YOUNG_GYR:.0f} Myr, light-weighted")
    _add_column(out, "MH_YOUNG_P16", young.low, None, "16 %")
    _add_column(out, "MH_YOUNG_P84", young.high, None, "84 %")
    _add_column(out, "LIGHT_YOUNG", young.light, None, "their share of the V-band light")
    return out


def _add_column(out: Table, name: str, values: Any, unit: u.Unit | None, description: str) -> None:
    out[name] = values
    out[name].unit, out[name].description = unit, description
