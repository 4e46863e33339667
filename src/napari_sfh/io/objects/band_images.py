"""Band images of a survey on one grid: flux density per pixel, with errors from the file or from the image itself.

The data are the first two-dimensional HDU. Errors come from another HDU of the same shape, under the names that errors
of cubes have (`cleaning.cube_images`), or from inverse variances in WHT. Without one, the noise is measured from the
image's own small-scale scatter, times the factor for correlated neighbours that it shows (`mosaics`). Masks under the
names of cubes' forbid pixels. BUNIT must be a flux density, in f_lambda or f_nu; ``ZP_AB`` or ``MAGZERO`` serves for
counts (f_nu of one count is that of the AB zero point).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.cube_images import ERROR_KINDS, MASK_NAMES
from napari_sfh.io.cleaning.missing import MAX_MASKED, find_fill_values, mark_masked
from napari_sfh.io.cleaning.units import FLAM, FNU, unit_conversion_factor
from napari_sfh.io.fits_access import (
    find_galaxy_name,
    get_number_card,
    get_text_card,
    image_shape,
    merge_headers,
    open_fits,
    read_celestial_wcs,
)
from napari_sfh.io.mosaic_images.headers import ZERO_POINT_CARDS
from napari_sfh.io.mosaic_images.noise import (
    compute_drizzle_correlation,
    find_noise_correlation,
    measure_pixel_scatter,
)
from napari_sfh.physics.filters import AB_ZERO
from napari_sfh.physics.wavelength import C_AA_S
from napari_sfh.types import F32, F64, Bool

_ERROR_KINDS = {**ERROR_KINDS, "WHT": "inverse"}
_SAME_GRID_PX = 0.1


@dataclass(frozen=True)
class BandImages:
    """B images of one field on one grid."""

    bands: tuple[str, ...]
    flux: F32  # (B, ny, nx) erg/s/cm2/AA per pixel; NaN where masked
    error: F32  # (B, ny, nx) 1 sigma
    wcs: WCS  # celestial
    name: str
    path: Path  # of the first, for messages
    notes: tuple[str, ...] = ()


def read_band_images(paths: Mapping[str, Path], pivot_aa: Mapping[str, float]) -> BandImages:
    """Read the images of a stack.

    Parameters
    ----------
    paths : mapping
        Band to file.
    pivot_aa : mapping
        Band to pivot wavelength in Angstrom, for the bands of the weights.

    Raises
    ------
    SfhInputError
        A file without a flux unit, or images on different grids.
    """
    fluxes, errors, notes = [], [], []
    first: tuple[tuple[int, ...], WCS, str, Path] | None = None
    for band, path in paths.items():
        flux, error, wcs, headers, note = _read_image(Path(path), pivot_aa[band])
        if first is None:
            first = (flux.shape, wcs, find_galaxy_name(headers, Path(path)), Path(path))
        _check_same_grid(flux.shape, wcs, first, Path(path))
        fluxes.append(flux)
        errors.append(error)
        notes += [note] if note else []
    assert first is not None  # there is a path at least
    return BandImages(tuple(paths), np.stack(fluxes), np.stack(errors), first[1], first[2], first[3], tuple(notes))


def _read_image(path: Path, pivot_aa: float) -> tuple[F32, F32, WCS, dict[str, Any], str]:
    with open_fits(path) as hdus:
        number = next((k for k, hdu in enumerate(hdus) if len(image_shape(hdu)) == 2), None)
        if number is None:
            raise SfhInputError(f"{path}: no two-dimensional image; a cube is given by `cube`")
        headers = merge_headers(hdus[0].header, hdus[number].header)
        factor = _flux_factor(headers, path, pivot_aa)
        data = np.array(hdus[number].data, np.float64)
        forbidden = _find_forbidden(hdus, data)
        if forbidden.mean() > MAX_MASKED:
            raise SfhInputError(f"{path}: its mask forbids {forbidden.mean():.0%} of the pixels; usable ones must be 0")
        data[forbidden] = np.nan
        sigma = _find_errors(hdus, number, data.shape)
        wcs = read_celestial_wcs(hdus[number].header, path)
    note = ""
    if sigma is None:
        seen = np.where(data != 0, data, np.nan)
        # An image on another's grid was resampled: neighbours are correlated as by a drop of one pixel.
        correlation = find_noise_correlation(seen, compute_drizzle_correlation(1.0))
        scatter = correlation * measure_pixel_scatter(seen)
        if not scatter > 0:
            raise SfhInputError(f"{path}: no errors, and no scatter to measure them from; add an HDU named ERR")
        sigma, note = np.full(data.shape, scatter), f"{path.name}: no errors in the file, measured from its scatter"
        note += f", times {correlation:.2g} as neighbours are correlated" if correlation > 1 else ""
    bad = ~np.isfinite(data) | ~np.isfinite(sigma) | ~(sigma > 0)
    flux, error = (np.where(bad, np.nan, x * factor).astype(np.float32) for x in (data, sigma))
    return flux, error, wcs, headers, note


def _find_errors(hdus: fits.HDUList, number: int, shape: tuple[int, ...]) -> F64 | None:
    """1 sigma errors from another HDU of the same shape."""
    kinds = {
        _ERROR_KINDS.get(hdu.name.upper(), ""): k
        for k, hdu in reversed(list(enumerate(hdus)))
        if k != number and image_shape(hdu) == shape
    }
    kind = next((kind for kind in ("sigma", "variance", "inverse") if kind in kinds), "")
    if not kind:
        return None
    values = np.asarray(hdus[kinds[kind]].data, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        sigma = values if kind == "sigma" else values ** (0.5 if kind == "variance" else -0.5)
    return np.asarray(np.where(values > 0, sigma, np.nan))


def _find_forbidden(hdus: fits.HDUList, data: F64) -> Bool:
    """Pixels that a mask of the file forbids or that hold a fill value."""
    bad = np.isin(data, find_fill_values(data))
    for hdu in hdus:
        if hdu.name.upper() in MASK_NAMES and image_shape(hdu) == data.shape:
            bad |= mark_masked(np.asarray(hdu.data), None)
    return bad


def _flux_factor(headers: Mapping[str, Any], path: Path, pivot_aa: float) -> float:
    """erg/s/cm2/AA of one unit of the image."""
    to_lambda = C_AA_S / pivot_aa**2
    unit = get_text_card(headers, "BUNIT")
    if unit:
        if (factor := unit_conversion_factor(unit, FLAM)) is not None:
            return factor
        if (factor := unit_conversion_factor(unit, FNU)) is not None:
            return factor * to_lambda
    zero = get_number_card(headers, *ZERO_POINT_CARDS)
    if zero is not None:
        return float(10 ** (-0.4 * (zero - AB_ZERO))) * to_lambda
    raise SfhInputError(
        f"{path}: BUNIT = {unit!r} is no flux density and there is no AB zero point; set BUNIT (erg/s/cm2/AA, Jy, uJy) "
        "or MAGZERO"
    )


def _check_same_grid(
    shape: tuple[int, ...], wcs: WCS, first: tuple[tuple[int, ...], WCS, str, Path], path: Path
) -> None:
    if shape != first[0]:
        raise SfhInputError(f"{path}: {shape} pixels, {first[3].name} has {first[0]}; bring the images to one grid")
    corner = np.array([[0, 0], [shape[1] - 1, shape[0] - 1]], float)
    away = first[1].wcs_world2pix(wcs.wcs_pix2world(corner, 0), 0) - corner
    if not np.all(np.abs(away) < _SAME_GRID_PX):
        raise SfhInputError(
            f"{path}: its pixels lie {np.nanmax(np.abs(away)):.1f} px from those of {first[3].name}; bring the images "
            "to one grid"
        )
