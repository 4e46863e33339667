"""What the columns of tables and the images of result files hold, in words, units and UCDs: for all that is written."""

from __future__ import annotations

import re

from napari_sfh.physics.ages import Z_SUN

#: How a model misses the data of a bin, in words.
MISFIT_COLUMNS: dict[str, str] = {
    "MISFIT_RMS": "rms of data over model less 1 beyond the noise, a share of the light",
    "MISFIT_NARROW": "mean square of narrow residuals over that of noise with their median",
    "MISFIT_SLOPE": "slope of the spectrum less that of the bands, both over the model, per 1000 Angstrom",
    "MISFIT_V": "velocity of the lines of the stars against those of the model",
    "MISFIT_SIGMA": "width of the lines of the stars beyond those of the model, in quadrature; below 0: narrower",
}
#: Names of columns and images without the suffixes of `_SUFFIXES`.
COLUMN_WORDS: dict[str, str] = {
    "BIN_ID": "number of the bin, from 1; 0 = a region",
    "NAME": "of the bin or region, as in the window",
    "RA": "of the light-weighted centre, ICRS",
    "DEC": "of the light-weighted centre, ICRS",
    "N_SPAXELS": "spaxels in the bin",
    "AREA": "of the bin on the sky",
    "SNR": "S/N per pixel, from the data",
    "V": "velocity of the stars, relative to the galaxy's redshift",
    "SIGMA": "velocity dispersion of the stars, before broadening to the network's resolution",
    "SIGMA_ADD": "velocity dispersion that this broadening added, what the line-spread function lacked included",
    "AGE_LW": "light-weighted mean of log10 age/yr",
    "AGE_MW": "mass-weighted mean of log10 age/yr",
    "MH_LW": f"light-weighted mean [M/H] in dex, solar Z = {Z_SUN}",
    "MH_MW": f"mass-weighted mean [M/H] in dex, solar Z = {Z_SUN}",
    "MH": f"[M/H] in dex, solar Z = {Z_SUN}",
    "EBV": "E(B-V) of the stars inside the galaxy",
    "LG_ML_V": "log10 of the mass formed over the intrinsic V light, solar units",
    "LG_MASS_DENSITY": "log10 of the stellar mass formed per area",
    "LG_SFR_DENSITY": "log10 of the star-formation rate per area, mean over the last 100 Myr",
    "CHI2": "reduced chi2 of the spectrum",
    **MISFIT_COLUMNS,
    "OOD": "out-of-distribution score of the network; above 1 do not trust",
    "FLAG": "bit mask of warnings",
    "FLAG_WORDS": "the warnings in words",
    "AGE_LO": "younger edge of the age bin, lookback time",
    "AGE_HI": "older edge of the age bin, lookback time",
    "MASS_FRAC": "share of the mass formed that was formed in the age bin",
    "LIGHT_FRAC": "share of today's V light that stars of the age bin emit",
    "CUM_MASS": "share of the mass that was formed before AGE_LO",
    "WAVE": "rest-frame wavelength in air",
    "FLUX": "mean f_lambda over the instrument's normalisation",
    "ERROR": "1 sigma of FLUX",
    "MODEL": "FLUX of the prediction's model",
    "BAND": "name of the band",
    "PIVOT": "pivot wavelength of the band",
    "QUANTITY": "what the row is about",
    "VALUE": "the number that the window shows, unrounded",
    "VALUE_ERR": "its 1 sigma; of a region the error of the mean",
    "SCATTER": "standard deviation among the bins of a region",
    "UNIT": "of the numbers",
    "TEXT": "as the window shows it",
    "R": "distance from the centre in the plane of the disc",
    "R_RE": "distance from the centre in the plane of the disc, in effective radii",
    "R_KPC": "distance from the centre in the plane of the disc",
    "SLOPE_RE": "gradient per effective radius",
    "SLOPE_KPC": "gradient per kpc",
    "CENTRE": "value of the fitted line at the centre",
    "AT_RE": "value of the fitted line at one effective radius",
    "N_BINS": "bins that were fitted",
    "R_MIN_RE": "innermost bin that was fitted, in effective radii",
    "R_MAX_RE": "outermost bin that was fitted, in effective radii",
    "METHOD": "of the fit",
    "DRAWS": "bootstrap samples",
    "MEDIAN": "running median",
    "TAU_ISM": "optical depth of the diffuse dust in V",
    "TAU_BC": "optical depth of the birth clouds in V",
    "LG_AGE": "log10 age/yr",
}
_SUFFIXES = {
    "_ERR": "half of the 16-84 % width of: ",
    "_P16": "16 % quantile of: ",
    "_P84": "84 % quantile of: ",
    "_USED": "whether the fit used the bin: ",
}
_FORMED = re.compile(r"T([1-9]0)")
_KEYS = {"LG_AGE_LW": "AGE_LW", "LG_AGE_MW": "AGE_MW"}
#: Beginnings of names with the UCD of the quantity (UCD1+ controlled vocabulary, IVOA 1.5).
_UCDS = {
    r"(LG_)?AGE(_[LM]W)?(_GYR)?|T[1-9]0": "time.age",
    r"MH(_[LM]W)?": "phys.abund.Z",
    r"EBV": "phot.color.excess",
    r"TAU_(ISM|BC)": "phys.absorption.opticalDepth",
    r"SNR": "stat.snr",
    r"RA": "pos.eq.ra",
    r"DEC": "pos.eq.dec",
    r"(BIN_)?ID": "meta.id",
    r"SIGMA": "phys.veloc.dispersion",
    r"CHI2": "stat.fit.chi2",
    r"MISFIT_\w+": "stat.fit.residual",
    r"FLAG": "meta.code.qual",
}


def describe_column(name: str) -> str:
    """What a column or an image holds.

    Parameters
    ----------
    name : str
        ``AGE_LW``, ``T50_P16``, in any case.

    Returns
    -------
    str
        Empty for a name that is not known.

    Examples
    --------
    >>> describe_column("AGE_LW_ERR")
    'half of the 16-84 % width of: light-weighted mean of log10 age/yr'
    >>> describe_column("t50")
    'lookback time before which 50 % of the mass had formed'
    """
    name = name.upper()
    name = _KEYS.get(name, name)
    if name in COLUMN_WORDS:
        return COLUMN_WORDS[name]
    if found := _FORMED.fullmatch(name):
        return f"lookback time before which {found[1]} % of the mass had formed"
    for suffix, words in _SUFFIXES.items():
        if name.endswith(suffix) and (about := describe_column(name.removesuffix(suffix))):
            return words + about
    if name.startswith("AGE_") and name.endswith("_GYR"):
        return COLUMN_WORDS.get(name.removesuffix("_GYR"), "").replace("log10 age/yr", "age")
    return ""


def find_column_unit(name: str) -> str:
    """Unit of a quantity's column in a table; what FITS has no unit for (logarithms, dex) is in its words.

    Parameters
    ----------
    name : str
        ``T50``, ``EBV_ERR``, in any case.

    Returns
    -------
    str
        Empty if it has none.

    Examples
    --------
    >>> [find_column_unit(name) for name in ("t50_p16", "EBV", "LG_AGE_LW")]
    ['Gyr', 'mag', '']
    """
    name = _strip_suffix(name.upper())
    if name in ("MISFIT_V", "MISFIT_SIGMA"):
        return "km/s"
    return "mag" if name == "EBV" else "Gyr" if name.endswith("_GYR") or _FORMED.fullmatch(name) else ""


def find_column_ucd(name: str) -> str:
    """What the Virtual Observatory calls the quantity of a column: its Unified Content Descriptor.

    Parameters
    ----------
    name : str
        ``T50``, ``EBV_ERR``, in any case.

    Returns
    -------
    str
        Empty where there is no word for it, as for quantiles.

    Examples
    --------
    >>> [find_column_ucd(name) for name in ("T50", "MH_LW_ERR", "EBV_P16")]
    ['time.age', 'stat.error;phys.abund.Z', '']
    """
    name = name.upper()
    plain = name.removesuffix("_ERR")
    ucd = next((ucd for pattern, ucd in _UCDS.items() if re.fullmatch(pattern, plain)), "")
    return f"stat.error;{ucd}" if ucd and plain != name else ucd


def _strip_suffix(name: str) -> str:
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)
