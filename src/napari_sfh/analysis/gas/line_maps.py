"""What the ionised gas says, beside the stars: line maps, dust from the Balmer decrement, oxygen from O3N2.

Dust: case B at 10^4 K and 100 cm^-3 emits Halpha / Hbeta = 2.86 (Osterbrock & Ferland 2006, table 4.4); with k the
curve of Cardelli, Clayton & Mathis (1989, ApJ 345, 245), R_V = 3.1, as in Galceran et al. (2026, section 5),

    E(B-V) = 2.5 / (k_Hb - k_Ha) log10[(Ha / Hb) / 2.86].

Values below 0 are kept: they are noise, or gas that is no case B. Line ratios are corrected with max(E(B-V), 0).

Oxygen: O3N2 = log10([O III] 5007 / Hb) - log10([N II] 6583 / Ha), and 12 + log(O/H) = 8.533 - 0.214 O3N2 for -1.1 <
O3N2 < 1.7 (Marino et al. 2013, A&A 559, A114, equation 2; scatter of the calibration 0.18 dex, not in the errors
here). It is calibrated on H II regions: in the diagram of Baldwin, Phillips & Terlevich, gas above the
maximum-starburst line of Kewley et al. (2001, ApJ 556, 121) is an AGN's or a LINER's and gets none; that between it
and the line of Kauffmann et al. (2003, MNRAS 346, 1055) is composite, and gets one only if asked for. Nothing is made
of a line below a S/N of 3. Errors are propagated to first order from the lines' own; a line that enters twice, through
the dust as well, is counted once.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from napari_sfh.analysis import maps
from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.units import unit_conversion_factor
from napari_sfh.io.dap import LineMaps
from napari_sfh.physics.extinction import cardelli_curve
from napari_sfh.physics.lines import HALPHA_AA, HBETA_AA, NII_AA, OIII_AA, SII_AA
from napari_sfh.types import F64, BinMap, Result

#: Unit of fluxes measured in the bins' own spectra, erg/s/cm2.
UNIT_CGS: float = 1e-20
HALPHA, HBETA, OIII, NII = "HA6562", "HB4861", "OIII5006", "NII6583"
#: Lines that are shown, by the DAP's name: title and air wavelength in Angstrom.
LINES: Mapping[str, tuple[str, float]] = {
    HALPHA: ("Hα", HALPHA_AA),
    HBETA: ("Hβ", HBETA_AA),
    OIII: ("[O III] 5007", OIII_AA[0]),
    NII: ("[N II] 6583", NII_AA[0]),
    "SII6716": ("[S II] 6716", SII_AA[0]),
    "SII6730": ("[S II] 6731", SII_AA[1]),
}
#: Intrinsic Halpha / Hbeta.
CASE_B: float = 2.86
#: S/N below which a line is not used.
MIN_LINE_SNR: float = 3.0
#: O3N2 between which the calibration holds, its zero point and slope.
O3N2_RANGE: tuple[float, float] = (-1.1, 1.7)
_ZERO, _SLOPE = 8.533, -0.214
#: Classes of the BPT diagram; 0 = a line is too faint to say.
BPT_CLASSES: tuple[str, ...] = ("unknown", "star formation", "composite", "AGN or LINER")
#: Their colours but for the unknown, told apart by the colour-blind, and far from those of bins and regions.
BPT_COLORS: tuple[str, ...] = ("#437070", "#afaf79", "#bb1b1b")
#: Percentiles of a line's map between which its colours run; the upper one sets its unit's power of ten.
SHOWN_PERCENT: tuple[float, float] = (2.0, 98.0)
#: Beside Halpha and [N II], Angstrom: where the continuum of the equivalent width is measured.
CONTINUUM_AA: tuple[tuple[float, float], ...] = ((6490.0, 6530.0), (6605.0, 6650.0))
#: Share of a bin's spaxels that must have a flux for the bin to have one.
_MIN_COVERAGE = 0.9
_LN10 = float(np.log(10.0))


@dataclass(frozen=True)
class LineFluxes:
    """Fluxes of emission lines, keyed by the names of `LINES`: arrays of one shape, (N,) by bin or (ny, nx) by spaxel.

    NaN = not measured. Fluxes of bins are sums over their spaxels.
    """

    flux: Mapping[str, F64]
    error: Mapping[str, F64]  # 1 sigma, same unit
    unit: str
    source: str  # where they come from, for a person
    v_kms: F64 | None = None  # of the gas, relative to the redshift
    width_aa: F64 | None = None  # rest-frame equivalent width of Halpha, positive in emission

    def snr(self, name: str) -> F64:
        """Flux over error; 0 where there is none."""
        flux, error = self.flux[name], self.error[name]
        ok = np.isfinite(flux) & np.isfinite(error) & (error > 0)
        return np.divide(flux, error, out=np.zeros_like(flux), where=ok)

    @property
    def by_bin(self) -> bool:
        """Whether one value belongs to a bin, not to a spaxel."""
        return next(iter(self.flux.values())).ndim == 1


@dataclass(frozen=True)
class GasProperties:
    """What follows from the lines; arrays of the lines' shape, NaN where it cannot be said."""

    ebv: F64  # mag, of the gas
    ebv_error: F64
    o3n2: F64  # corrected for dust
    oxygen: F64  # 12 + log(O/H)
    oxygen_error: F64  # of the measurement; the calibration scatters by 0.18 dex
    bpt: NDArray[np.int8]  # index into `BPT_CLASSES`


@cache
def line_extinction(name: str) -> float:
    """k = A(line) / E(B-V) of a line of `LINES`, Cardelli, Clayton & Mathis (1989)."""
    return float(cardelli_curve(LINES[name][1]))


def line_fluxes_from_maps(found: Mapping[str, LineMaps], source: str = "MAPS") -> LineFluxes:
    """Line maps of a MAPS file (`io.dap.read_line_maps`) as they are, spaxel by spaxel.

    Parameters
    ----------
    found : mapping of str to LineMaps
        Images (ny, nx).
    source : str
        For messages.

    Returns
    -------
    LineFluxes
        Images (ny, nx).

    Raises
    ------
    SfhInputError
        None of `LINES` is there.
    """
    kept = {name: found[name] for name in LINES if name in found}
    if not kept:
        raise SfhInputError(f"{source}: none of the lines {', '.join(LINES)}; give the MAPS file of a DAP run with gas")
    shape = next(iter(kept.values())).flux.shape
    flux = {name: np.asarray(line.flux, dtype=np.float64) for name, line in kept.items()}
    error = {
        name: np.full(shape, np.nan) if line.flux_error is None else np.asarray(line.flux_error, dtype=np.float64)
        for name, line in kept.items()
    }
    unit = next(iter(kept.values())).flux_unit or "file's unit"
    velocity = kept[HALPHA].v_kms if HALPHA in kept else None
    return LineFluxes(flux, error, unit, source, None if velocity is None else np.asarray(velocity, dtype=np.float64))


def sum_lines_in_bins(lines: LineFluxes, bins: BinMap) -> LineFluxes:
    """Sums of spaxels' fluxes over bins, (N,); errors in quadrature (neighbours count as independent).

    Missing spaxels are made up for by the others; a bin with less than nine tenths of them has no flux.

    Parameters
    ----------
    lines : LineFluxes
        Images (ny, nx); by bin already, they come back as they are.
    bins : BinMap

    Returns
    -------
    LineFluxes
        Arrays (N,).

    Raises
    ------
    SfhInputError
        The maps have another shape than the bins.
    """
    if lines.by_bin:
        return lines
    flux, error = {}, {}
    for name, image in lines.flux.items():
        if image.shape != bins.bin_id.shape:
            raise SfhInputError(
                f"{lines.source}: line maps of {image.shape[0]} x {image.shape[1]} spaxels for bins on "
                f"{bins.bin_id.shape[0]} x {bins.bin_id.shape[1]}; give the MAPS made from the same cube"
            )
        sigma = lines.error[name]
        good = np.isfinite(image) & np.isfinite(sigma) & (sigma > 0)
        share = _sum_in_bins(bins, good) / np.maximum(bins.nspax, 1)
        scale = np.divide(1.0, share, out=np.full(share.shape, np.nan), where=share >= _MIN_COVERAGE)
        flux[name] = scale * _sum_in_bins(bins, np.where(good, image, 0.0))
        error[name] = scale * np.sqrt(_sum_in_bins(bins, np.where(good, sigma, 0.0) ** 2))
    return LineFluxes(flux, error, lines.unit, lines.source)


def _sum_in_bins(bins: BinMap, image: NDArray[np.generic]) -> F64:
    total = np.bincount(bins.bin_id.ravel(), image.ravel().astype(np.float64), minlength=bins.n_bins + 1)
    return np.asarray(total[1:], dtype=np.float64)


def add_halpha_width(lines: LineFluxes, result: Result) -> LineFluxes:
    """The lines with the rest-frame equivalent width of Halpha, over the continuum of the bins' own spectra.

    The continuum is the median of the bin's spectrum in `CONTINUUM_AA`; spaxels have their bin's width. Without
    Halpha, a unit of erg/s/cm2 or a spectrum there, the lines come back as they are.

    Parameters
    ----------
    lines : LineFluxes
        By bin (N,) or by spaxel (ny, nx).
    result : Result

    Returns
    -------
    LineFluxes
        With the equivalent width in Angstrom.
    """
    wave, data = result.instrument.wave_aa, result.data
    unit_cgs = unit_conversion_factor(lines.unit, u.erg / u.s / u.cm**2)
    beside = np.logical_or.reduce([(wave > low) & (wave < high) for low, high in CONTINUUM_AA])
    if HALPHA not in lines.flux or unit_cgs is None or beside.sum() < 10:
        return lines
    flux_cgs = unit_cgs * sum_lines_in_bins(lines, result.bins).flux[HALPHA]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # bins of which all these pixels are masked
        level = np.nanmedian(np.where(data.mask, data.flux, np.nan)[:, beside], axis=1)
    continuum = level * data.norm_cgs * (1.0 + result.redshift)
    width = np.divide(flux_cgs, continuum, out=np.full(continuum.shape, np.nan), where=continuum > 0)
    painted = width if lines.by_bin else maps.paint_bins(result.bins.bin_id, width)
    return replace(lines, width_aa=np.asarray(painted, dtype=np.float64))


def derive_gas_properties(lines: LineFluxes, min_snr: float = MIN_LINE_SNR, composite: bool = False) -> GasProperties:
    """Dust, oxygen and the BPT class from line fluxes.

    Parameters
    ----------
    lines : LineFluxes
    min_snr : float
        A line below it says nothing.
    composite : bool
        Oxygen also for gas between the lines of Kauffmann et al. and Kewley et al., where LINER-like nebulae (those of
        cooling flows, old stars' gas) lie too.

    Returns
    -------
    GasProperties
        Arrays of the lines' shape.

    Raises
    ------
    SfhInputError
        Halpha, Hbeta, [O III] or [N II] is missing altogether.
    """
    missing = [name for name in (HALPHA, HBETA, OIII, NII) if name not in lines.flux]
    if missing:
        raise SfhInputError(
            f"{lines.source}: no line {', '.join(missing)}; dust and oxygen need Hβ, [O III], Hα, [N II]"
        )
    seen = {name: lines.snr(name) >= min_snr for name in (HALPHA, HBETA, OIII, NII)}
    lg = {name: np.log10(np.where(seen[name], lines.flux[name], np.nan)) for name in seen}
    lg_error = {
        name: np.divide(1.0, _LN10 * lines.snr(name), out=np.full(lg[name].shape, np.nan), where=seen[name])
        for name in seen
    }
    per_dex = 2.5 / (line_extinction(HBETA) - line_extinction(HALPHA))
    ebv = per_dex * (lg[HALPHA] - lg[HBETA] - np.log10(CASE_B))
    ebv_error = per_dex * np.hypot(lg_error[HALPHA], lg_error[HBETA])
    bpt = classify_bpt(lg[NII] - lg[HALPHA], lg[OIII] - lg[HBETA])
    o3n2, o3n2_error = _o3n2(lg, lg_error, ebv, per_dex)
    valid = np.isin(bpt, (1, 2) if composite else (1,)) & (o3n2 > O3N2_RANGE[0]) & (o3n2 < O3N2_RANGE[1])
    oxygen = np.where(valid, _ZERO + _SLOPE * o3n2, np.nan)
    return GasProperties(ebv, ebv_error, o3n2, oxygen, np.where(valid, abs(_SLOPE) * o3n2_error, np.nan), bpt)


def _o3n2(lg: Mapping[str, F64], lg_error: Mapping[str, F64], ebv: F64, per_dex: float) -> tuple[F64, F64]:
    """O3N2 behind no dust and its error, from log10 fluxes: linear in each of the four lines."""
    sign = {OIII: 1.0, HBETA: -1.0, NII: -1.0, HALPHA: 1.0}
    # A(l) brightens by 0.4 k E(B-V) in log10; the four curves' values nearly cancel.
    reddening = 0.4 * sum(sign[name] * line_extinction(name) for name in sign)
    value = sum(sign[name] * lg[name] for name in sign) + reddening * np.maximum(ebv, 0.0)
    through_dust = {HALPHA: per_dex * reddening, HBETA: -per_dex * reddening}
    corrected = np.where(ebv > 0, 1.0, 0.0)
    variance = sum((sign[name] + corrected * through_dust.get(name, 0.0)) ** 2 * lg_error[name] ** 2 for name in sign)
    return np.asarray(value), np.sqrt(np.asarray(variance))


def classify_bpt(lg_n2: F64, lg_o3: F64) -> NDArray[np.int8]:
    """Class of `BPT_CLASSES` from log10([N II]/Halpha) and log10([O III]/Hbeta); 0 where one is NaN.

    Both dividing lines are hyperbolae that hold to the left of their poles only: gas right of a pole is above the line.

    Parameters
    ----------
    lg_n2, lg_o3 : array (...)
        log10([N II]/Halpha) and log10([O III]/Hbeta).

    Returns
    -------
    int array (...)
        Place in `BPT_CLASSES`, from 0; 0 where a ratio is NaN.

    References
    ----------
    Kauffmann et al. (2003, MNRAS 346, 1055); Kewley et al. (2001, ApJ 556, 121)
    """
    known = np.isfinite(lg_n2) & np.isfinite(lg_o3)
    x, y = np.where(known, lg_n2, 0.0), np.where(known, lg_o3, 0.0)
    above_kauffmann = (x >= 0.05) | (y > 0.61 / np.minimum(x - 0.05, -1e-6) + 1.30)
    above_kewley = (x >= 0.47) | (y > 0.61 / np.minimum(x - 0.47, -1e-6) + 1.19)
    found = np.where(above_kewley, 3, np.where(above_kauffmann, 2, 1))
    return np.where(known, found, 0).astype(np.int8)


#: What can be drawn besides the lines: name -> (title, unit, colormap).
GAS_QUANTITIES: Mapping[str, tuple[str, str, str]] = {
    "EBV_GAS": ("E(B-V), gas", "mag", "inferno"),
    "OH": ("12 + log(O/H), O3N2", "dex", "plasma"),
    "BPT": ("BPT class", "", "viridis"),
}
#: What is known of single lines: name -> (title, unit, colormap).
HALPHA_QUANTITIES: Mapping[str, tuple[str, str, str]] = {
    "EW_HA": ("EW(Hα)", "Å, rest frame", "magma"),
    "V_GAS": ("V, gas", "km/s", "RdBu_r"),
}


def list_line_maps(lines: LineFluxes) -> tuple[str, ...]:
    """Names that `make_line_image` knows for these lines, in the order of menus."""
    full = all(name in lines.flux for name in (HALPHA, HBETA, OIII, NII))
    single = {"EW_HA": lines.width_aa, "V_GAS": lines.v_kms}
    known = (name for name, values in single.items() if values is not None)
    return (*(name for name in LINES if name in lines.flux), *known, *(GAS_QUANTITIES if full else ()))


def describe_line_map(name: str, unit: str = "") -> tuple[str, str, str]:
    """Title, unit and colormap of a name of `list_line_maps`; ``unit`` is that of the lines.

    Parameters
    ----------
    name : str
        One of `list_line_maps`.
    unit : str
        Of the lines.

    Returns
    -------
    tuple of three str
    """
    named = {**GAS_QUANTITIES, **HALPHA_QUANTITIES}
    return named[name] if name in named else (LINES[name][0], f"{unit} per spaxel", "magma")


def make_line_image(
    lines: LineFluxes, name: str, bins: BinMap, min_snr: float = MIN_LINE_SNR, composite: bool = False
) -> NDArray[np.float32]:
    """A line or a quantity on the sky, (ny, nx), NaN where it cannot be said.

    Parameters
    ----------
    lines : LineFluxes
    name : str
        One of `list_line_maps`. Lines come as flux per spaxel, those below ``min_snr`` too.
    bins : BinMap
        Onto which values by bin are painted.
    min_snr, composite
        As in `derive_gas_properties`.

    Raises
    ------
    SfhInputError
        ``name`` is none of `list_line_maps`.
    """
    if name not in list_line_maps(lines):
        raise SfhInputError(f"line {name!r} is not there: choose one of {', '.join(list_line_maps(lines))}")
    if name in LINES:
        values = lines.flux[name] / np.maximum(bins.nspax, 1) if lines.by_bin else lines.flux[name]
    elif name in HALPHA_QUANTITIES:
        single = lines.width_aa if name == "EW_HA" else lines.v_kms
        assert single is not None  # it is in the list
        faint = name == "V_GAS" and HALPHA in lines.flux
        values = np.where(lines.snr(HALPHA) >= min_snr, single, np.nan) if faint else single
    else:
        found = derive_gas_properties(lines, min_snr, composite)
        bpt = np.where(found.bpt > 0, found.bpt, np.nan)
        values = {"EBV_GAS": found.ebv, "OH": found.oxygen, "BPT": bpt}[name]
    return maps.paint_bins(bins.bin_id, values) if lines.by_bin else values.astype(np.float32)
