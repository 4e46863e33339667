"""``MAPS`` files of the PHANGS-MUSE data-analysis pipeline (DAP), public and collaboration releases; MaNGA's, Pipe3D's.

``BIN_ID`` is stored as float64, counted from 0 with -1 for "no bin"; here bins are int32, counted from 1 without gaps,
and 0 is none. Stellar velocities are relative to the redshift in PRIMARY. Emsellem et al. (2022, A&A 659, A191).
Bins and kinematics of MaNGA and of Pipe3D are read by `io.survey_maps`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.io import fits_access
from napari_sfh.io.cleaning.bin_maps import renumber_bins
from napari_sfh.io.cleaning.cards import HeaderCards
from napari_sfh.io.cleaning.missing import find_fill_values
from napari_sfh.io.cleaning.units import unit_conversion_factor
from napari_sfh.io.image_reader import to_native_float32
from napari_sfh.io.survey_maps import SurveyMaps, is_survey_maps, read_survey_maps
from napari_sfh.types import F32, I32, BinnedMaps, Bool, Cube

_FLUX_MAP = re.compile(r"^([A-Z]+\d{4})_FLUX$")


@dataclass(frozen=True)
class LineMaps:
    """Maps of one emission line; absent ones are None. Fluxes are in the file's own unit, ``flux_unit``."""

    flux: F32  # (ny, nx)
    flux_error: F32 | None
    v_kms: F32 | None
    flux_unit: str


def is_maps_file(hdus: fits.HDUList) -> bool:
    """Whether an open file has the images of a MAPS file, or is MaNGA's or Pipe3D's."""
    names = {h.name.upper() for h in hdus}
    return ("BIN_ID" in names and "V_STARS" in names) or is_survey_maps(hdus)


@check_arguments
def read_maps(path: str | Path) -> BinnedMaps:
    """Read bins and stellar kinematics of a MAPS file, MaNGA's MAPS or a cube of Pipe3D's maps.

    Parameters
    ----------
    path : path

    Returns
    -------
    types.BinnedMaps

    Raises
    ------
    SfhInputError
        BIN_ID, V_STARS or SIGMA_STARS is absent or of another shape, no bin is set, or the WCS cannot be read.

    Examples
    --------
    >>> from pathlib import Path
    >>> maps = read_maps(next(Path("NGC0628").glob("*MAPS*")))
    >>> maps.bin_id.shape == maps.sigma_kms.shape
    True
    """
    path = Path(path)
    with fits_access.open_fits(path) as hdus:
        if is_survey_maps(hdus):
            return _binned_survey_maps(read_survey_maps(hdus, path), path)
        bin_id = _read_image(hdus, "BIN_ID", path)
        v, sigma = (_read_velocities(hdus, name, path, bin_id.shape) for name in ("V_STARS", "SIGMA_STARS"))
        wcs = fits_access.read_celestial_wcs(hdus["BIN_ID"].header, path)
        z = fits_access.get_number_card(fits_access.merge_headers(hdus[0].header), "REDSHIFT", "Z")
    bins, _ = renumber_bins(bin_id, f"{path}: BIN_ID", zero_is_bin=True)
    return _make_binned_maps(path, bins, v, sigma, z, wcs)


def _binned_survey_maps(maps: SurveyMaps, path: Path) -> BinnedMaps:
    bins, _ = renumber_bins(maps.bins, f"{path}: bins of {maps.maker}", zero_is_bin=True)
    wcs = fits_access.read_celestial_wcs(maps.header, path)
    return _make_binned_maps(path, bins, maps.v_kms, maps.sigma_kms, maps.redshift, wcs)


def _make_binned_maps(path: Path, bins: I32, v: F32, sigma: F32, redshift: float | None, wcs: WCS) -> BinnedMaps:
    none = (bins == 0) | _find_missing_kinematics(v, sigma)
    return BinnedMaps(
        path=path,
        bin_id=bins,
        v_kms=np.where(none, np.float32(np.nan), v),
        sigma_kms=np.where(none, np.float32(np.nan), sigma),
        redshift=redshift if redshift is not None and redshift != 0 and -0.01 < redshift < 2 else None,
        wcs=wcs,
    )


def _find_missing_kinematics(v_kms: F32, sigma_kms: F32) -> Bool:
    """Spaxels whose fit is missing: no number, a fill value such as -999, or a dispersion that is not positive."""
    missing = ~np.isfinite(v_kms) | ~np.isfinite(sigma_kms)
    for image in (v_kms, sigma_kms):
        missing |= np.isin(image, np.asarray(find_fill_values(image), dtype=image.dtype))
    return missing | ~(sigma_kms > 0)


def list_line_names(path: str | Path) -> tuple[str, ...]:
    """Emission lines whose flux a MAPS file holds, in the file's order."""
    with fits_access.open_fits(path) as hdus:
        found = [_FLUX_MAP.match(h.name.upper()) for h in hdus]
    return tuple(m.group(1) for m in found if m)


def read_line_maps(path: str | Path) -> dict[str, LineMaps]:
    """Emission-line maps of a MAPS file.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of str to LineMaps
        Keyed by the line's prefix, e.g. ``HA6562``; empty where the file has none.
    """
    path = Path(path)
    with fits_access.open_fits(path) as hdus:
        names = {h.name.upper(): i for i, h in enumerate(hdus)}
        shape = _read_image(hdus, "BIN_ID", path).shape

        def get(key: str) -> F32 | None:
            return to_native_float32(_read_image(hdus, key, path, shape)) if key in names else None

        lines = {}
        for key in names:
            match = _FLUX_MAP.match(key)
            flux = get(key) if match else None
            if match is None or flux is None:
                continue
            line = match.group(1)
            lines[line] = LineMaps(
                flux,
                get(f"{line}_FLUX_ERR"),
                get(f"{line}_VEL"),
                str(hdus[names[key]].header.get("BUNIT", "")),
            )
    return lines


def check_maps_on_cube(maps: BinnedMaps, cube: Cube) -> None:
    """Refuse maps that are not on the cube's spaxels: another shape, or corners off by more than half a spaxel.

    Parameters
    ----------
    maps : BinnedMaps
    cube : Cube

    Raises
    ------
    SfhInputError
        Says how the grids differ.
    """
    _check_maps_grid(maps.path, maps.wcs, maps.bin_id.shape, cube.wcs, cube.shape[1:], f"the cube {cube.path.name}")


def read_line_maps_on_grid(path: str | Path, wcs: WCS, shape: tuple[int, ...], name: str) -> dict[str, LineMaps]:
    """Emission-line maps that must lie on the spaxels of a result.

    Parameters
    ----------
    path : str or Path
        A MAPS file.
    wcs : astropy.wcs.WCS
        Of the result.
    shape : tuple of int
        The result's (ny, nx).
    name : str
        The result's, for messages.

    Returns
    -------
    dict of str to LineMaps
        By the line's name, images (ny, nx).

    Raises
    ------
    SfhInputError
        As `read_line_maps`, or the maps lie on other spaxels, or there is no line at all.
    """
    path = Path(path)
    with fits_access.open_fits(path) as hdus:
        own_shape = _read_image(hdus, "BIN_ID", path).shape
        own_wcs = fits_access.read_celestial_wcs(hdus["BIN_ID"].header, path)
    _check_maps_grid(path, own_wcs, own_shape, wcs, shape, f"the result of {name}")
    found = read_line_maps(path)
    if not found:
        raise SfhInputError(f"{path}: no emission-line maps (HA6562_FLUX, ...); measure the lines in the spectra")
    return found


def _check_maps_grid(
    path: Path, wcs: WCS, shape: tuple[int, ...], other_wcs: WCS, other_shape: tuple[int, ...], other: str
) -> None:
    ny, nx = other_shape
    if tuple(shape) != (ny, nx):
        raise SfhInputError(
            f"{path}: the maps are {shape[0]} x {shape[1]} spaxels but {other} is {ny} x {nx}; "
            "give the MAPS made from this cube (native with native, copt with copt)"
        )
    x, y = np.array([0.0, nx - 1, 0.0, nx - 1]), np.array([0.0, 0.0, ny - 1, ny - 1])
    mx, my = wcs.wcs_world2pix(*other_wcs.wcs_pix2world(x, y, 0), 0)
    offset = float(np.max(np.hypot(mx - x, my - y)))
    if not offset <= 0.5:
        raise SfhInputError(
            f"{path}: the maps lie up to {offset:.1f} spaxels beside {other}; give the MAPS file made from this cube"
        )


def _read_velocities(hdus: fits.HDUList, name: str, path: Path, shape: tuple[int, ...]) -> F32:
    """An image in km/s, whatever unit of velocity its BUNIT names; without one that is known it is taken in km/s."""
    values = to_native_float32(_read_image(hdus, name, path, shape))
    text = HeaderCards(hdus[name].header, path).text("BUNIT")
    factor = unit_conversion_factor(text, u.km / u.s) if text else 1.0
    if factor is None and unit_conversion_factor(text, u.AA) is not None:
        raise SfhInputError(f"{path}: BUNIT = {text!r} of {name} is no unit of velocity; give the map in km/s")
    return values if factor in (None, 1.0) else values * np.float32(factor)


def _read_image(hdus: fits.HDUList, name: str, path: Path, shape: tuple[int, ...] | None = None) -> NDArray[Any]:
    """Data of a named 2-D image."""
    index = next((i for i, h in enumerate(hdus) if h.name.upper() == name), None)
    if index is None or not fits_access.image_shape(hdus[index]):
        found = ", ".join(h.name for h in list(hdus)[1:8])
        raise SfhInputError(f"{path}: no image {name} (found {found} ...); give a PHANGS MAPS file")
    try:
        data = hdus[index].data
        data = None if data is None else data.reshape(fits_access.image_shape(hdus[index]))
    except fits_access.READ_ERRORS as e:
        raise SfhInputError(
            f"{path}: {name} cannot be read ({fits_access.format_error_line(e)}); download the file again"
        ) from e
    if data is None or data.ndim != 2 or (shape is not None and data.shape != shape):
        raise SfhInputError(
            f"{path}: {name} has the shape {getattr(data, 'shape', ())}, expected {shape or '2-D'}; the file is damaged"
        )
    return np.asarray(data)
