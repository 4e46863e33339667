"""Single spectra from files: FITS tables and images as surveys lay them out, text, VOTables, and what specutils reads.

A table needs a column of wavelengths (``wave``, ``wavelength``, ``lambda``, ``loglam``) and one of fluxes; errors come
from ``error``, ``err``, ``sigma``, ``ivar`` or ``variance``, unusable pixels from ``mask``, ``dq`` or ``qual``. A text
file without names has wavelength, flux and error in that order. Whether wavelengths are those in air or in vacuum is
told by the header, the column's name or the user, else air is assumed and said. A spectrum without errors gets those
that its own scatter shows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.nddata import VarianceUncertainty
from astropy.table import Table
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.io.cleaning.cards import describe_velocity_frame
from napari_sfh.io.cleaning.containers import find_container
from napari_sfh.io.cleaning.missing import find_fill_values
from napari_sfh.io.fits_access import READ_ERRORS, format_error_line, get_number_card, merge_headers, open_fits
from napari_sfh.io.objects.numpy_files import read_numpy_table
from napari_sfh.io.objects.spectrum_columns import (
    Medium,
    SpectrumColumns,
    holds_spectrum,
    is_eso_product,
    read_spectrum_columns,
)
from napari_sfh.io.objects.spectrum_images import describe_spectrum_layout, list_image_spectra
from napari_sfh.io.objects.spectrum_text import read_text_table
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.physics.wavelength import vacuum_to_air
from napari_sfh.types import F32, F64, Bool

#: Pixels of a spectrum.
_MIN_PIXELS = 50
#: As many pixels of one flux, side by side, hold no data.
_CONSTANT_PIXELS = 20
#: Of tables; images have no such number.
_TABLE_FILL = -99.0
_SCATTER_LAG = 2  # pixels between which differences measure the noise
#: Scatter of fluxes of one wavelength, in their errors, up to which they are the same.
_REPEATED_SIGMA = 2.0
#: Cards of a redshift.
_REDSHIFT_CARDS = ("REDSHIFT", "Z", "ZHEL", "Z_HELIO", "HELIO_Z")
#: What headers hold as redshifts of galaxies; a template's 0 and velocities in km/s are none.
_REDSHIFTS = (-0.01, 20.0)
#: Resolving powers that are believed.
_RESOLUTIONS = (100.0, 300_000.0)
_UNSAID = "the file says no redshift"


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
    no_redshift: str = _UNSAID  # why there is none


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
    try:
        known = path.is_file()
    except OSError as error:  # a name that no file system takes
        raise SfhInputError(f"{str(path)[:80]}...: {error.strerror}; check the path") from error
    if not known:
        there = "is a device or a pipe, no regular file; copy its content into a file"
        there = "is a folder; name a file in it" if path.is_dir() else there
        what = there if path.exists() else "no such file; check the path"
        raise SfhInputError(f"{path}: {what}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind = find_container(path)
            if kind == "fits":
                return _read_fits(path, medium)
            readers = {"xml": _read_votable, "numpy": read_numpy_table}
            table = readers.get(kind, read_text_table)(path)
            return _read_table(table, {}, path, medium)
    except SfhInputError:
        raise
    except READ_ERRORS as error:
        raise SfhInputError(f"{path}: not readable as a spectrum ({format_error_line(error)})") from error


def _read_votable(path: Path) -> Table:
    return parse_single_table(path).to_table(use_names_over_ids=True)


def _read_fits(path: Path, medium: Medium) -> list[SingleSpectrum]:
    with open_fits(path) as hdus:
        tables = [
            k for k, h in enumerate(hdus) if isinstance(h, fits.BinTableHDU) and not isinstance(h, fits.CompImageHDU)
        ]
        names = {k: {n.lower() for n in hdus[k].columns.names} for k in tables}
        coadd = next((k for k in tables if {"loglam", "flux", "ivar"} <= names[k]), None)
        if coadd is not None:
            return [_from_sdss(hdus, coadd, path)]
        spectra = [k for k in tables if holds_spectrum(hdus[k].columns.names)]
        if spectra:
            first = hdus[spectra[0]]
            read = _read_table(Table.read(first), merge_headers(hdus[0].header, first.header), path, medium)
            return _name_unused(read, first, [hdus[k] for k in spectra[1:]])
        found = list_image_spectra(hdus, path)
        header, layout = merge_headers(hdus[0].header), describe_spectrum_layout(hdus)
        known = _find_table_redshifts(hdus, len(found)) if found else []
    if found:
        read = [_from_columns(one, path, medium) for one in found]
        return [_put_redshift(one, *z) for one, z in zip(read, known, strict=True)] if known else read
    return _read_with_specutils(path, header, layout, medium)


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
    lsf = None
    if "wdisp" in [n.lower() for n in rows.names]:
        # wdisp is sigma in pixels of 1e-4 in log10 wavelength.
        fwhm = np.asarray(rows["wdisp"], np.float64) * 1e-4 * np.log(10) * wave * FWHM_PER_SIGMA
        lsf = _table_lsf(wave, fwhm)
    variance = np.divide(1.0, ivar, out=np.zeros_like(ivar), where=ivar > 0)
    redshift, note = _find_table_redshift(hdus)
    return _make(path, wave, rows["flux"], variance, redshift, lsf, bad, (note,) if note else ())


def _find_table_redshift(hdus: fits.HDUList) -> tuple[float | None, str]:
    """The redshift of the one object that a table of one row describes (``SPECOBJ`` of SDSS), and a doubt about it."""
    found = _find_table_redshifts(hdus, 1)
    return found[0] if found else (None, "")


def _find_table_redshifts(hdus: fits.HDUList, n: int) -> list[tuple[float | None, str]]:
    """Redshifts and doubts of n objects from a table of as many rows; empty where there is none."""
    for hdu in hdus[1:]:
        if isinstance(hdu, fits.BinTableHDU) and len(hdu.data) == n:
            names = {name.upper(): name for name in hdu.columns.names}
            name = names.get("Z") or names.get("Z_NOQSO")
            if name is None or hdu.data[name].ndim != 1 or hdu.data[name].dtype.kind not in "fiu":
                continue
            values = [float(z) for z in hdu.data[name]]
            doubt = next((names[key] for key in ("ZWARNING", "ZWARN") if key in names), None)
            warned = hdu.data[doubt] if doubt else np.zeros(n, int)
            if any(map(_is_redshift, values)):
                return [
                    (z if _is_redshift(z) else None, f"{doubt} = {bits}: redshift {z:g} is doubtful" if bits else "")
                    for z, bits in zip(values, warned, strict=True)
                ]
    return []


def _is_redshift(value: float) -> bool:
    return value != 0 and _REDSHIFTS[0] < value < _REDSHIFTS[1]


def _table_lsf(wave: F64, fwhm: F64) -> LineSpread | None:
    kept = np.flatnonzero(np.isfinite(fwhm) & (fwhm > 0))[::50]
    return LineSpread("table", table=tuple((float(wave[k]), float(fwhm[k])) for k in kept)) if kept.size > 1 else None


def _read_table(table: Table, header: Mapping[str, Any], path: Path, medium: Medium) -> list[SingleSpectrum]:
    """A table with one spectrum in its rows, or with a spectrum in every row."""
    names = list(table.colnames)
    if len(names) < 2:
        raise SfhInputError(f"{path}: one column; a spectrum needs wavelength and flux")
    unknown = not holds_spectrum(names)
    if unknown and not all(table[n].dtype.kind in "biuf" for n in names[:2]):
        raise SfhInputError(f"{path}: no columns of wavelength and flux among {', '.join(names)}; name them so")
    header = header or table.meta  # of text: what ECSV and VOTable say beside the columns
    units = {n: str(table[n].meta.get("unit") or table[n].unit or "") for n in names}
    ucds = {n: str(table[n].meta.get("ucd") or header.get(f"TUCD{k}") or "") for k, n in enumerate(names, start=1)}
    flat = [n for n in names if table[n].ndim == 1]
    if unknown or holds_spectrum(flat):
        columns = {n: table[n] for n in flat}
        return [_from_columns(SpectrumColumns(columns, units, header, ucds=ucds, names_unknown=unknown), path, medium)]
    length = max(table[n].shape[1] for n in names if table[n].ndim == 2)
    kept = [n for n in names if table[n].ndim == 2 and table[n].shape[1] == length]
    return [
        _from_columns(
            SpectrumColumns(
                {n: table[n][row] for n in kept}, units, header, suffix=f"[{row}]" if len(table) > 1 else "", ucds=ucds
            ),
            path,
            medium,
        )
        for row in range(len(table))
    ]


def _name_unused(read: list[SingleSpectrum], first: fits.BinTableHDU, others: list[Any]) -> list[SingleSpectrum]:
    """Spectra of a file's first table, with a word on its other tables of the same columns (arms, or other objects)."""
    alike = [h.name or "unnamed" for h in others if set(h.columns.names) == set(first.columns.names)]
    if not alike:
        return read
    names = ", ".join(alike[:5]) + (", ..." if len(alike) > 5 else "")
    told = (
        f"only the table {first.name or 'unnamed'} is read, not {names}: join arms, give others in files of their own"
    )
    return [replace(one, notes=(*one.notes, told)) for one in read]


def _put_redshift(one: SingleSpectrum, redshift: float | None, doubt: str) -> SingleSpectrum:
    """A spectrum with the redshift of its row in a table, where its header has none."""
    if one.redshift is not None or redshift is None:
        return one
    notes = (*one.notes, *([f"{one.name}: {doubt}"] if doubt else []))
    return replace(one, redshift=redshift, notes=notes)


def _find_resolution(header: Mapping[str, Any]) -> tuple[LineSpread | None, tuple[str, ...]]:
    """The line-spread function that ESO's products state, and what is said of it."""
    r = get_number_card(header, "SPEC_RES")
    if r is None or not _RESOLUTIONS[0] < r < _RESOLUTIONS[1] or not is_eso_product(header):
        return None, ()
    return LineSpread("constant_r", r), (f"resolving power {r:g} by SPEC_RES; another one by `lsf`",)


def _from_columns(one: SpectrumColumns, path: Path, medium: Medium) -> SingleSpectrum:
    seen = read_spectrum_columns(one, path, medium)
    redshift, told = _find_redshift(one.header)
    lsf, told_lsf = _find_resolution(one.header)
    notes = (*seen.notes, *describe_velocity_frame(one.header), *told_lsf)
    notes = notes if redshift is None or not told else (*notes, told)
    name = f"{path.stem}{one.suffix}"
    return _make(path, seen.wave_aa, seen.flux, seen.variance, redshift, lsf, seen.bad, notes, name, told)


def _find_redshift(header: Mapping[str, Any]) -> tuple[float | None, str]:
    """The redshift of a header and, where its card is not called so, which it is; or why its number is none."""
    for key in _REDSHIFT_CARDS:
        value = get_number_card(header, key)
        if value is not None:
            if _is_redshift(value):
                return value, "" if key == "REDSHIFT" else f"redshift {value:g} is that of the card {key}"
            return None, f"{key} = {value:g} of the header is a placeholder or a velocity, no redshift"
    return None, _UNSAID


def _read_with_specutils(path: Path, header: Mapping[str, Any], layout: str, medium: Medium) -> list[SingleSpectrum]:
    from specutils import Spectrum, SpectrumList

    try:
        found = SpectrumList.read(path)
    except Exception:  # every loader has its own errors; the last word is that of `Spectrum`
        try:
            found = [Spectrum.read(path)]
        except Exception as error:
            raise SfhInputError(
                f"{path}: no spectrum that this package or specutils knows among {layout}; give a table with columns "
                "of wavelength and flux, or an image with one axis of wavelength (CTYPE1, CRVAL1, CD1_1)"
            ) from error
    out = []
    for k, spectrum in enumerate(found):
        wave = np.asarray(spectrum.spectral_axis.to_value(u.AA))
        rows = np.atleast_2d(np.asarray(spectrum.flux.value, np.float64)).reshape(-1, wave.size)
        sigma = spectrum.uncertainty
        spread = (
            None
            if sigma is None
            else np.atleast_2d(sigma.represent_as(VarianceUncertainty).array).reshape(-1, wave.size)
        )
        for row, flux in enumerate(rows):
            columns = {"wave": wave, "flux": flux}
            if spread is not None:
                columns["variance"] = spread[row]
            units = {"wave": "Angstrom", "flux": str(spectrum.flux.unit)}
            suffix = "" if len(found) * len(rows) == 1 else f"[{k * len(rows) + row}]"
            out.append(_from_columns(SpectrumColumns(columns, units, header, suffix=suffix), path, medium))
    if not out:
        raise SfhInputError(f"{path}: holds no spectrum")
    return out


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
    no_redshift: str = _UNSAID,
) -> SingleSpectrum:
    order = np.argsort(wave, kind="stable")
    wave, values = np.asarray(wave, np.float64)[order], np.asarray(flux, np.float64)[order]
    written, told = _find_written(values)
    good, notes = written & np.isfinite(wave), (*notes, *told)
    if bad is not None:
        good &= ~np.asarray(bad)[order]
    if variance is None:
        spread = _measure_scatter(values, good)
        notes = (*notes, "no errors in the file: measured from the spectrum's own scatter")
    else:
        spread = np.asarray(variance, np.float64)[order]
        good &= np.isfinite(spread) & (spread > 0)
    kept = np.isfinite(wave)
    wave, values, spread, good = wave[kept], values[kept], spread[kept], good[kept]
    if twice := int((np.diff(wave) == 0).sum()):
        wave, values, spread, good = _merge_repeated(path, wave, values, spread, good)
        notes = (*notes, f"{twice} wavelengths stand there twice, with fluxes that agree: their mean is used")
    if good.sum() < _MIN_PIXELS:
        raise SfhInputError(
            f"{path}: {int(good.sum())} of {good.size} pixels have a flux that is finite, not 0 and no constant, an "
            f"error above 0 and no mask; {_MIN_PIXELS} are needed"
        )
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
        no_redshift,
    )


def _find_written(flux: F64) -> tuple[Bool, list[str]]:
    """Pixels with a number that somebody measured, and what the others hold, for the user."""
    good, notes = np.isfinite(flux) & (flux != 0), []
    if fills := _find_fills(flux):
        good &= ~np.isin(flux, fills)
        notes.append(f"fill values ({', '.join(f'{fill:g}' for fill in fills)}) of the flux are left out")
    if (constant := _find_constant_stretches(flux) & good).any():
        good &= ~constant
        notes.append(f"{int(constant.sum())} pixels in stretches of one constant flux are left out")
    return good, notes


def _merge_repeated(path: Path, wave: F64, flux: F64, variance: F64, good: Bool) -> tuple[F64, F64, F64, Bool]:
    """Pixels of equal wavelength as their mean, with the mean of their variances: copies add no information.

    Raises
    ------
    SfhInputError
        The fluxes of a wavelength are not the same within their errors.
    """
    own, index = np.unique(wave, return_inverse=True)
    count = np.bincount(index, weights=good)
    filled = np.maximum(count, 1.0)
    mean, spread = (np.bincount(index, weights=np.where(good, a, 0.0)) / filled for a in (flux, variance))
    several = good & (count > 1)[index]
    if several.any():
        misses = np.abs(flux - mean[index])[several] / np.sqrt(variance[several])
        if np.sqrt(np.mean(misses**2)) > _REPEATED_SIGMA:
            first = float(wave[several][np.argmax(misses)])
            raise SfhInputError(
                f"{path}: wavelengths stand there twice with other fluxes (at {first:g} Angstrom); give each pixel once"
            )
    return own, mean, spread, count > 0


def _find_fills(flux: F64) -> tuple[float, ...]:
    """Fill values of a spectrum: those of images, and -99 where nothing else is as large."""
    found = find_fill_values(flux)
    hole = flux == _TABLE_FILL
    others = np.abs(flux[np.isfinite(flux) & ~hole & ~np.isin(flux, found)])
    lies_out = np.count_nonzero(hole) > 1 and others.size > 0 and np.percentile(others, 99) < 0.3 * abs(_TABLE_FILL)
    return (*found, _TABLE_FILL) if lies_out else found


def _find_constant_stretches(flux: F64) -> Bool:
    """Pixels of long stretches of one number, as interpolation beyond the ends leaves it; rounded fluxes have none."""
    first = np.flatnonzero(np.append(True, np.diff(flux) != 0))
    length = np.diff(np.append(first, flux.size))
    found = np.repeat(length >= _CONSTANT_PIXELS, length)
    others = flux[~found]
    is_rounded = np.unique(others).size < max(others.size / 2, 1)
    return np.zeros_like(found) if is_rounded else found


def _measure_scatter(flux: F64, good: Bool) -> F64:
    """Variance of pixels from differences of neighbours, one number for the spectrum."""
    difference = flux[_SCATTER_LAG:] - flux[:-_SCATTER_LAG]
    both = good[_SCATTER_LAG:] & good[:-_SCATTER_LAG]
    sigma = SIGMA_PER_MAD * float(np.median(np.abs(difference[both]))) / np.sqrt(2.0) if both.any() else 1.0
    return np.full(flux.size, max(sigma, 1e-30) ** 2)
