"""Spectra that FITS files hold as images: one axis of wavelength, in extensions or rows that a survey's habit names.

Extensions by name, as in cubes (DATA, STAT, DQ; FLUX, IVAR, WAVE; SCI, VAR, DQ; a first image and its errors), DESI's
arms (B_FLUX, R_FLUX, Z_FLUX of many targets), and rows of one image: SDSS DR7 and LAMOST (by TELESCOP), any file whose
ROWn cards say what its rows are, and IRAF's multispec format with linear or logarithmic dispersion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.cards import HeaderCards
from napari_sfh.io.cleaning.companions import list_error_files
from napari_sfh.io.cleaning.cube_images import DATA_NAMES, ERROR_KINDS, MASK_NAMES
from napari_sfh.io.cleaning.wavelength_lists import read_listed_wavelengths
from napari_sfh.io.cleaning.wavelengths import WavelengthAxis, read_wavelength_axis
from napari_sfh.io.fits_access import describe_hdus, merge_headers, open_fits
from napari_sfh.io.objects.spectrum_columns import SpectrumColumns
from napari_sfh.types import F64

_IMAGES = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)
_ARM = re.compile(r"^([A-Z0-9]+)_(WAVELENGTH|FLUX|IVAR|MASK)$")
#: What the rows of an image hold, by telescope (data models of SDSS DR7's spSpec and of LAMOST's DR1-DR7 files).
_ROWS: Mapping[str, Mapping[str, int]] = {
    "SDSS": {"flux": 0, "error": 2, "mask": 3},
    "LAMOST": {"flux": 0, "ivar": 1, "wavelength": 2, "andmask": 3},
}
_KIND_NAMES = {"variance": "variance", "sigma": "sigma", "inverse": "ivar"}
#: Words of ROWn, ARRAYn and IRAF's BANDIDn cards.
_ROW_WORDS = {"spectrum": "flux", "flux": "flux", "error": "error", "sigma": "error", "variance": "variance",
              "mask": "mask"}  # fmt: skip


def list_image_spectra(hdus: fits.HDUList, path: Path) -> list[SpectrumColumns]:
    """The spectra among a file's images; none where it has no image with one axis of wavelength.

    Parameters
    ----------
    hdus : HDUList
        Open.
    path : Path
        For messages.

    Returns
    -------
    list of SpectrumColumns
        One a spectrum, or one of an image of many rows.

    Raises
    ------
    SfhInputError
        Images that are spectra by their layout, but whose axis or rows cannot be told.
    """
    images = {i: hdu for i, hdu in enumerate(hdus) if isinstance(hdu, _IMAGES) and hdu.data is not None}
    if arms := {m.group(1) for hdu in images.values() if (m := _ARM.match(hdu.name.upper()))}:
        return _join_arms(hdus, arms)
    if not images:
        return []
    first = hdus[next(iter(images))]
    if "MULTISPE" in str(first.header.get("CTYPE1", "")):
        return _read_multispec(first, path)
    lines = {i: np.squeeze(hdu.data) for i, hdu in images.items() if np.squeeze(hdu.data).ndim == 1}
    if any(hdu.name.upper() in (*DATA_NAMES, "") or hdu is hdus[0] for i, hdu in images.items() if i in lines):
        return [_add_error_file(_read_lines(hdus, lines, path), path)]
    data = np.squeeze(first.data)
    return _read_rows(first, data, path) if data.ndim == 2 and (_find_rows(first.header)) else []


def _read_lines(hdus: fits.HDUList, lines: Mapping[int, NDArray[Any]], path: Path) -> SpectrumColumns:
    """1-D images: flux by name, else the first; errors and mask of its length by name."""
    names = {i: hdus[i].name.upper() for i in lines}
    flux = next((i for name in DATA_NAMES for i in lines if names[i] == name), next(iter(lines)))
    n = lines[flux].size
    columns: dict[str, NDArray[Any]] = {"flux": lines[flux]}
    units = {"flux": HeaderCards(hdus[flux].header, path).text("BUNIT")}
    for i, values in lines.items():
        kind = _KIND_NAMES.get(ERROR_KINDS.get(re.sub(r"^ERRS$", "ERR", names[i]), ""))
        kind = kind or ("mask" if names[i] in MASK_NAMES else None)
        if i != flux and kind and kind not in columns and values.size == n:
            columns[kind], units[kind] = values, HeaderCards(hdus[i].header, path).text("BUNIT")
    header = merge_headers(hdus[0].header, hdus[flux].header)
    listed = read_listed_wavelengths(hdus, n, path)
    axis = listed or _read_axis(hdus[flux].header, path, n, hdus)
    return _order(SpectrumColumns(columns, units, header, axis))


def _add_error_file(one: SpectrumColumns, path: Path) -> SpectrumColumns:
    """A spectrum with the errors of a file beside it, where its own has none and that one as many pixels."""
    if set(one.columns) & set(_KIND_NAMES.values()):
        return one
    for beside, kind in list_error_files(path):
        with suppress(SfhInputError), open_fits(beside) as hdus:
            lines = [np.squeeze(hdu.data) for hdu in hdus if isinstance(hdu, _IMAGES) and hdu.data is not None]
            fitting = [line for line in lines if line.shape == one.columns["flux"].shape]
            if len(fitting) == 1:
                falling = one.axis is not None and one.axis.falling
                errors = np.array(fitting[0][::-1] if falling else fitting[0])
                columns = {**one.columns, _KIND_NAMES[kind]: errors}
                notes = (*one.notes, f"errors of {beside.name} beside it ({kind})")
                return replace(one, columns=columns, notes=notes)
    return one


def _read_axis(header: fits.Header, path: Path, n: int, hdus: fits.HDUList | None = None) -> WavelengthAxis:
    """The axis of FITS number 1; SDSS's COEFF0 and COEFF1 are its log10."""
    if "COEFF0" in header and "COEFF1" in header:
        header = header.copy()
        header.update({"CTYPE1": "LOGLAM", "CRVAL1": header["COEFF0"], "CD1_1": header["COEFF1"], "CRPIX1": 1.0})
    elif "CRVAL1" in header and "CRPIX1" not in header:
        header = header.copy()
        header["CRPIX1"] = 1.0
        axis = read_wavelength_axis(header, path, n, 1, hdus)
        return axis._replace(notes=(*axis.notes, "no CRPIX1: CRVAL1 is taken for the first pixel's wavelength"))
    return read_wavelength_axis(header, path, n, 1, hdus)


def _order(one: SpectrumColumns) -> SpectrumColumns:
    """Columns in the order of the axis, which rises."""
    if one.axis is None or not one.axis.falling:
        return one
    return SpectrumColumns({k: v[::-1] for k, v in one.columns.items()}, one.units, one.header, one.axis, one.suffix)


def _find_rows(header: fits.Header) -> Mapping[str, int]:
    telescope = str(header.get("TELESCOP", "")).upper()
    known = next((rows for word, rows in _ROWS.items() if word in telescope), None)
    if known is not None:
        return known
    found: dict[str, int] = {}
    for key in ("ROW", "ARRAY", "BANDID"):
        for k in range(1, 10):
            word = re.split(r"[ :,]", str(header.get(f"{key}{k}", "")).strip())[0].lower()
            if word in _ROW_WORDS:
                found.setdefault(_ROW_WORDS[word], k - 1)
    return found if "flux" in found else {}


def _read_rows(hdu: Any, data: NDArray[Any], path: Path) -> list[SpectrumColumns]:
    rows = _find_rows(hdu.header)
    if max(rows.values()) >= len(data):
        raise SfhInputError(
            f"{path}: has {len(data)} rows, but {max(rows.values()) + 1} are needed; get the file again"
        )
    columns = {name: data[k] for name, k in rows.items()}
    for name in ("mask", "andmask"):
        if name in columns:
            columns[name] = columns[name].astype(np.int64)
    header = merge_headers(hdu.header)
    axis = None if "wavelength" in columns else _read_axis(hdu.header, path, data.shape[1])
    units = {"wavelength": "Angstrom"} if "wavelength" in columns else {}
    return [_order(SpectrumColumns(columns, units, header, axis))]


def _join_arms(hdus: fits.HDUList, arms: set[str]) -> list[SpectrumColumns]:
    """DESI: arms of every target one after the other, each up to the middle of its overlap with the next."""
    parts = {arm: {k: hdus[f"{arm}_{k}"].data for k in ("WAVELENGTH", "FLUX", "IVAR", "MASK")
                   if f"{arm}_{k}" in hdus} for arm in arms}  # fmt: skip
    order = sorted(parts, key=lambda arm: float(parts[arm]["WAVELENGTH"][0]))
    kept, low = [], -np.inf
    for k, arm in enumerate(order):
        wave: F64 = np.asarray(parts[arm]["WAVELENGTH"], np.float64)
        after = parts[order[k + 1]]["WAVELENGTH"][0] if k + 1 < len(order) else np.inf
        high = 0.5 * (wave[-1] + after) if after < wave[-1] else np.inf
        kept.append((wave >= low) & (wave < high))
        low = high if np.isfinite(high) else -np.inf
    header = merge_headers(hdus[0].header)
    names = {"WAVELENGTH": "wave_vac", "FLUX": "flux", "IVAR": "ivar", "MASK": "mask"}  # DESI writes those in vacuum
    spectra = []
    for row in range(len(np.atleast_2d(parts[order[0]]["FLUX"]))):
        columns = {
            name: np.concatenate(
                [np.atleast_2d(parts[arm][key])[0 if key == "WAVELENGTH" else row][use]
                 for arm, use in zip(order, kept, strict=True)]
            )
            for key, name in names.items()
            if all(key in parts[arm] for arm in order)
        }  # fmt: skip
        spectra.append(SpectrumColumns(columns, {"wave_vac": "Angstrom"}, header, None, f"[{row}]"))
    return spectra


def _read_multispec(hdu: Any, path: Path) -> list[SpectrumColumns]:
    """IRAF's multispec: the first band of each aperture, and the fourth, sigma, where there are four."""
    cards = [str(hdu.header[k]).ljust(68) for k in sorted(k for k in hdu.header if re.match(r"WAT2_\d{3}$", k))]
    lines = re.findall(r'spec\d+\s*=\s*"([^"]*)"', "".join(cards))
    data = np.asarray(hdu.data, np.float64)
    bands = data if data.ndim == 3 else data[None]
    if bands.ndim != 3 or len(lines) < bands.shape[1]:
        raise SfhInputError(f"{path}: WAT2_001... do not describe its {bands.shape[-2]} apertures; repair them")
    header = merge_headers(hdu.header)
    spectra = []
    for k in range(bands.shape[1]):
        kind, first, step, n, z = (float(word) for word in lines[k].split()[2:7])
        if int(kind) not in (0, 1):
            raise SfhInputError(
                f"{path}: WAT2: aperture {k + 1} has a dispersion that is neither linear nor logarithmic (type "
                f"{kind:g}); make it linear in IRAF with dispcor"
            )
        axis = first + step * np.arange(int(n))
        wave = (10.0**axis if int(kind) else axis) / (1.0 + z)
        columns = {"wavelength": wave, "flux": bands[0, k, : int(n)]}
        if len(bands) == 4:
            columns["sigma"] = bands[3, k, : int(n)]
        suffix = f"[{k}]" if bands.shape[1] > 1 else ""
        spectra.append(SpectrumColumns(columns, {"wavelength": "Angstrom"}, header, None, suffix))
    return spectra


def describe_spectrum_layout(hdus: fits.HDUList) -> str:
    """What a file holds that is no spectrum, for messages."""
    tables = [f"table {h.name or 'unnamed'} ({', '.join(h.columns.names[:6])})" for h in hdus
              if isinstance(h, fits.BinTableHDU) and not isinstance(h, fits.CompImageHDU)]  # fmt: skip
    return "; ".join([*tables, f"images {describe_hdus(hdus)}"])
