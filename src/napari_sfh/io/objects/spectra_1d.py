"""Single spectra from files: SDSS, anything that specutils has a loader for, plain FITS tables and text.

A table needs a column of wavelengths (``wave``, ``wavelength``, ``lambda``, ``loglam``) and one of fluxes; errors come
from ``error``, ``err``, ``sigma``, ``ivar`` or ``variance``. A text file without names has wavelength, flux and error
in that order. Wavelengths are in Angstrom unless a unit says otherwise; whether in air or in vacuum is told by the
header or by the user, else air is assumed and said. A spectrum without errors gets those that its own scatter shows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.io.fits_access import READ_ERRORS, is_fits_name
from napari_sfh.io.objects.columns import split_column_name
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.physics.wavelength import vacuum_to_air
from napari_sfh.types import F32, F64, Bool

Medium = Literal["auto", "air", "vacuum"]

_WAVE_WORDS = ("loglam", "wave", "wavelength", "wavelengths", "lambda", "lam", "wl", "spectral", "energy")
_FLUX_WORDS = ("flux", "fluxes", "flam", "intensity", "counts", "spec", "spectrum")
_ERROR_WORDS = ("error", "err", "sigma", "uncertainty", "fluxerr", "unc", "noise")
_VARIANCE_WORDS = ("variance", "var")
_IVAR_WORDS = ("ivar", "invvar")
_SCATTER_LAG = 2  # pixels between which differences measure the noise


@dataclass(frozen=True)
class SingleSpectrum:
    """One observed spectrum."""

    name: str
    wave_aa: F64  # (n,) observed, air, increasing
    flux: F32  # (n,) any unit of f_lambda; 0 where bad
    variance: F32  # (n,)
    good: Bool  # (n,)
    redshift: float | None
    lsf: LineSpread | None
    notes: tuple[str, ...] = ()


def read_single_spectra(path: str | Path, medium: Medium = "auto") -> list[SingleSpectrum]:
    """All spectra of a file.

    Parameters
    ----------
    path : path
    medium : str
        ``air`` or ``vacuum`` where the file does not say it, or says it wrongly.

    Raises
    ------
    SfhInputError
        No such file, no spectrum in it, or one without usable pixels.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise SfhInputError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _read_fits(path, medium) if is_fits_name(path) else [_read_text(path, medium)]
    except SfhInputError:
        raise
    except READ_ERRORS as error:
        raise SfhInputError(f"{path}: not readable as a spectrum ({error})") from error


def _read_text(path: Path, medium: Medium) -> SingleSpectrum:
    table = Table.read(path, format="ascii.ecsv" if path.suffix == ".ecsv" else "ascii")
    return _from_table(table, {}, path, medium)


def _read_fits(path: Path, medium: Medium) -> list[SingleSpectrum]:
    with fits.open(path) as hdus:
        header = dict(hdus[0].header)
        tables = [k for k, hdu in enumerate(hdus) if isinstance(hdu, fits.BinTableHDU)]
        names = {k: {n.lower() for n in hdus[k].columns.names} for k in tables}
        coadd = next((k for k in tables if {"loglam", "flux", "ivar"} <= names[k]), None)
        if coadd is not None:
            return [_from_sdss(hdus, coadd, path)]
        plain = next((k for k in tables if _pick(names[k], _WAVE_WORDS) and _pick(names[k], _FLUX_WORDS)), None)
        if plain is not None:
            header |= dict(hdus[plain].header)
            table = Table.read(hdus[plain])
            if table[_pick(table.colnames, _WAVE_WORDS)].ndim == 1:
                return [_from_table(table, header, path, medium)]
    return _read_with_specutils(path, header, medium)


def _from_sdss(hdus: fits.HDUList, number: int, path: Path) -> SingleSpectrum:
    """A ``spec`` file of SDSS or BOSS: vacuum, log10 steps, resolution by pixel in ``wdisp``."""
    rows = hdus[number].data
    wave = vacuum_to_air(10.0 ** np.asarray(rows["loglam"], np.float64))
    ivar = np.asarray(rows["ivar"], np.float64)
    bad = (
        np.asarray(rows["and_mask"]) != 0
        if "and_mask" in [n.lower() for n in rows.names]
        else np.zeros(ivar.size, bool)
    )
    redshift = next(
        (float(hdu.data["Z"][0]) for hdu in hdus[1:] if isinstance(hdu, fits.BinTableHDU) and "Z" in hdu.columns.names),
        None,
    )
    lsf = None
    if "wdisp" in [n.lower() for n in rows.names]:
        # wdisp is sigma in pixels of 1e-4 in log10 wavelength.
        fwhm = np.asarray(rows["wdisp"], np.float64) * 1e-4 * np.log(10) * wave * FWHM_PER_SIGMA
        lsf = _table_lsf(wave, fwhm)
    return _make(
        path, wave, rows["flux"], np.divide(1.0, ivar, out=np.zeros_like(ivar), where=ivar > 0), redshift, lsf, bad
    )


def _table_lsf(wave: F64, fwhm: F64) -> LineSpread | None:
    kept = np.flatnonzero(np.isfinite(fwhm) & (fwhm > 0))[::50]
    return LineSpread("table", table=tuple((float(wave[k]), float(fwhm[k])) for k in kept)) if kept.size > 1 else None


def _from_table(table: Table, header: Mapping[str, Any], path: Path, medium: Medium) -> SingleSpectrum:
    names = list(table.colnames)
    if names[0].lower() in ("col1", "col0") or not _pick(names, _FLUX_WORDS):
        if len(names) < 2:
            raise SfhInputError(f"{path}: one column; a spectrum needs wavelength and flux")
        wave_name, flux_name, error_name = (*names, "")[:3] if len(names) < 3 else tuple(names[:3])
    else:
        wave_name, flux_name, error_name = (_pick(names, words) for words in (_WAVE_WORDS, _FLUX_WORDS, _ERROR_WORDS))
    if not wave_name or not flux_name:
        raise SfhInputError(f"{path}: no columns of wavelength and flux among {', '.join(names)}; name them so")
    wave = _angstrom(table[wave_name], wave_name.lower() == "loglam")
    flux = _plain(table[flux_name])
    variance = _variance(table, names, error_name)
    air, notes = _to_air(wave, header, medium)
    redshift = next(
        (float(header[k]) for k in ("REDSHIFT", "Z", "ZHEL") if isinstance(header.get(k), int | float)), None
    )
    return _make(path, air, flux, variance, redshift, None, None, notes)


def _variance(table: Table, names: Sequence[str], error_name: str) -> F64 | None:
    if error_name:
        return _plain(table[error_name]) ** 2
    if name := _pick(names, _VARIANCE_WORDS):
        return _plain(table[name])
    if name := _pick(names, _IVAR_WORDS):
        ivar = _plain(table[name])
        return np.divide(1.0, ivar, out=np.zeros_like(ivar), where=ivar > 0)
    return None


def _read_with_specutils(path: Path, header: Mapping[str, Any], medium: Medium) -> list[SingleSpectrum]:
    from specutils import Spectrum, SpectrumList

    try:
        found = SpectrumList.read(path)
    except Exception:  # every loader has its own errors; the last word is that of `Spectrum`
        try:
            found = [Spectrum.read(path)]
        except Exception as error:
            line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise SfhInputError(f"{path}: no spectrum that specutils or this package can read ({line})") from error
    out = []
    for k, spectrum in enumerate(found):
        wave, notes = _to_air(spectrum.spectral_axis.to_value(u.AA), header, medium)
        rows = np.atleast_2d(np.asarray(spectrum.flux.value, np.float64))
        sigma = spectrum.uncertainty
        spread = None if sigma is None else np.atleast_2d(sigma.represent_as_variance().array)
        for row, flux in enumerate(rows.reshape(-1, wave.size)):
            name = path.stem if len(found) * len(rows) == 1 else f"{path.stem}[{k * len(rows) + row}]"
            variance = None if spread is None else spread.reshape(-1, wave.size)[row]
            out.append(_make(path, wave, flux, variance, None, None, None, notes, name))
    if not out:
        raise SfhInputError(f"{path}: holds no spectrum")
    return out


def _pick(names: Any, words: Sequence[str]) -> str:
    """The first name that is, or holds, one of the words."""
    for word in words:
        for name in names:
            if name.lower() == word:
                return str(name)
    return next((str(n) for w in words for n in names if w in split_column_name(n)), "")


def _plain(column: Any) -> F64:
    return np.asarray(np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan))


def _angstrom(column: Any, logarithmic: bool) -> F64:
    values = 10.0 ** _plain(column) if logarithmic else _plain(column)
    unit = None if logarithmic else getattr(column, "unit", None)
    if unit is None:
        return values
    try:
        return np.asarray((values * u.Unit(unit)).to_value(u.AA, u.spectral()))
    except u.UnitConversionError as error:
        raise SfhInputError(f"column of wavelengths in {unit}: {error}") from error


def _to_air(wave: F64, header: Mapping[str, Any], medium: Medium) -> tuple[F64, tuple[str, ...]]:
    """Wavelengths in air, and a note where the medium is assumed."""
    if medium != "auto":
        return (vacuum_to_air(wave) if medium == "vacuum" else wave), ()
    words = " ".join(str(header.get(k, "")) for k in ("AIRORVAC", "CTYPE1", "MEDIUM", "WAVEMED")).lower()
    if "vac" in words or bool(header.get("VACUUM")):
        return vacuum_to_air(wave), ()
    if "air" in words or "awav" in words:
        return wave, ()
    return wave, ("wavelengths taken for those in air; give --medium vacuum if they are not",)


def _make(
    path: Path,
    wave: F64,
    flux: NDArray[Any],
    variance: NDArray[Any] | None,
    redshift: float | None,
    lsf: LineSpread | None,
    bad: Bool | None = None,
    notes: tuple[str, ...] = (),
    name: str = "",
) -> SingleSpectrum:
    order = np.argsort(wave)
    wave, values = np.asarray(wave, np.float64)[order], np.asarray(flux, np.float64)[order]
    good = np.isfinite(values) & np.isfinite(wave) & (values != 0)
    if bad is not None:
        good &= ~np.asarray(bad)[order]
    if variance is None:
        spread = _measure_scatter(values, good)
        notes = (*notes, "no errors in the file: measured from the spectrum's own scatter")
    else:
        spread = np.asarray(variance, np.float64)[order]
        good &= np.isfinite(spread) & (spread > 0)
    if good.sum() < 50 or np.any(np.diff(wave) <= 0):
        raise SfhInputError(f"{path}: {int(good.sum())} usable pixels, or wavelengths twice; is it a spectrum?")
    scale = float(np.median(np.abs(values[good]))) or 1.0
    return SingleSpectrum(
        name or path.stem,
        wave,
        np.where(good, values / scale, 0.0).astype(np.float32),
        np.where(good, spread / scale**2, 0.0).astype(np.float32),
        good,
        redshift,
        lsf,
        notes,
    )


def _measure_scatter(flux: F64, good: Bool) -> F64:
    """Variance of pixels from differences of neighbours, one number for the spectrum."""
    difference = flux[_SCATTER_LAG:] - flux[:-_SCATTER_LAG]
    both = good[_SCATTER_LAG:] & good[:-_SCATTER_LAG]
    sigma = 1.4826 * float(np.median(np.abs(difference[both]))) / np.sqrt(2.0) if both.any() else 1.0
    return np.full(flux.size, max(sigma, 1e-30) ** 2)
