"""HST mosaics: PHANGS-HST (MAST and team names), other drizzled images, WFPC2.

Flux density: f_lambda = data x ``PHOTFLAM`` (erg/s/cm2/AA per count rate); ``PHOTFNU`` is not used, it can be 0 for
ACS. Errors: 1/sqrt(weight), weight 0 = bad pixel. Drizzle also writes weights that are exposure times; such a map says
only where the image is deep, so it is scaled to the image's own pixel-to-pixel scatter, and the photon noise of the
source is added. Drizzle correlates neighbouring pixels (`mosaic_images.noise`): the scatter is multiplied by the R that
scatters of near pixels show, up to that of the camera's drop. Weight maps that are inverse variances hold the whole
noise already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import load_instrument
from napari_sfh.instruments.instrument import Band, Instrument
from napari_sfh.io import fits_access
from napari_sfh.io.cleaning.cards import describe_duplicate_cards, find_coordinate_header
from napari_sfh.io.cleaning.celestial import clean_celestial_wcs
from napari_sfh.io.cleaning.cube_images import ERROR_KINDS, MASK_NAMES
from napari_sfh.io.cleaning.missing import ABSURD_FLAM, MAX_MASKED
from napari_sfh.io.image_reader import ImageReader
from napari_sfh.io.mosaic_images.cutouts import CutoutReader
from napari_sfh.io.mosaic_images.headers import (
    SUBSTITUTE_FILTERS,
    describe_odd_calibration,
    find_camera_name,
    find_filter_name,
    find_mosaic_psf,
    find_other_optics,
    is_seen_by_other_cameras,
    read_flux_calibration,
)
from napari_sfh.io.mosaic_images.noise import find_drizzle_correlation
from napari_sfh.io.mosaic_images.weight_maps import open_weight_map
from napari_sfh.types import Cube, Mosaic, measure_pixel_arcsec

#: Images that are no science image by their names.
_NO_SCIENCE = ("WHT", "WEIGHT", "CTX", *ERROR_KINDS, *MASK_NAMES)
#: Names of weight maps, which are inverse variances.
_WEIGHT_NAMES = ("WHT", "WEIGHT", *(name for name, kind in ERROR_KINDS.items() if kind == "inverse"))
#: Ends of the names of weight maps.
_WEIGHT_NAME = re.compile(r"[-_.](wht|weight|weights|ctx)$", re.IGNORECASE)


def is_camera_substitute(mosaic: Mosaic, instrument: Instrument | None = None) -> bool:
    """Whether another camera or filter stands in for the trained band (flag ``OTHER_CAMERA``).

    Where a band's curve is the user's own, no camera is another.

    Parameters
    ----------
    mosaic : Mosaic
    instrument : Instrument, optional
        Of the weights; the default one unless given.

    Returns
    -------
    bool
    """
    return bool(_describe_substitute(mosaic.band, f"{mosaic.filter_name} {mosaic.camera}", instrument))


def estimate_field_coverage(mosaic: Mosaic, cube: Cube) -> float:
    """Share of a cube's field, 0 to 1, that lies on a mosaic (on its array: gaps of the exposure count as covered).

    Parameters
    ----------
    mosaic : Mosaic
    cube : Cube
        Only its WCS and shape count.
    """
    ny, nx = cube.shape[1:]
    x, y = (v.ravel() for v in np.meshgrid(np.linspace(0, nx - 1, 25), np.linspace(0, ny - 1, 25)))
    with np.errstate(invalid="ignore"):
        mx, my = mosaic.wcs.wcs_world2pix(*cube.wcs.wcs_pix2world(x, y, 0), 0)
        inside = (mx >= -0.5) & (mx <= mosaic.shape[1] - 0.5) & (my >= -0.5) & (my <= mosaic.shape[0] - 0.5)
    return float(np.mean(inside))


class _MosaicLayout(NamedTuple):
    """Where the images of a mosaic's file are, and what its headers say."""

    science: int
    header: dict[str, Any]  # of the science image, the primary one's cards below it
    shape: tuple[int, ...]
    wcs: WCS
    notes: tuple[str, ...]  # on its images, cards and coordinates
    weight: int | None
    error: int | None
    error_name: str
    mask: int | None


def _check_linear_image(header: fits.Header, path: Path) -> None:
    """Refuse weight maps, and pixels that are no linear measure of the flux."""
    if _WEIGHT_NAME.search(fits_access.strip_fits_suffix(path)):
        raise SfhInputError(f"{path}: is a weight map by its name; give the image beside it")
    if "BSOFTEN" in header:
        raise SfhInputError(
            f"{path}: BSOFTEN = {header['BSOFTEN']} says that its pixels are arc sines (Pan-STARRS); give an image in "
            "linear units"
        )


def _read_mosaic_layout(path: Path) -> _MosaicLayout:
    with fits_access.open_fits(path) as hdus:
        science = _science_index(hdus, path)
        header, inherited = find_coordinate_header(hdus, science)
        _check_linear_image(header, path)
        shape = fits_access.image_shape(hdus[science])
        wcs, sky_notes = clean_celestial_wcs(header, path, hdus)
        spreads = tuple(name for name, kind in ERROR_KINDS.items() if kind != "inverse")
        error, mask = (_named_index(hdus, shape, names) for names in (("ERR", *spreads), MASK_NAMES))
        error_name = "" if error is None else hdus[error].name.upper()
        merged = fits_access.merge_headers(hdus[0].header, header)
        other = _describe_other_images(hdus, science)
        notes = (*filter(None, (other, inherited)), *sky_notes, *describe_duplicate_cards(header))
        return _MosaicLayout(science, merged, shape, wcs, notes, _weight_index(hdus, shape), error, error_name, mask)


@check_arguments
@fits_access.keep_fits_open()
def read_mosaic(path: str | Path, band: str | None = None, instrument: Instrument | None = None) -> Mosaic:
    """Open one HST or NIRCam image with its weight map.

    Parameters
    ----------
    path : path
        The science image (HDU 0, or SCI in HDU 1). The weight map is found by name beside it or in the same file.
    band : str, optional
        The instrument's band that the user says it is. Needed only where the header names no filter.
    instrument : Instrument, optional
        Of the weights; the default one unless given.

    Returns
    -------
    types.Mosaic

    Raises
    ------
    SfhInputError
        No image, unknown filter, filter other than ``band``, no PHOTFLAM, a unit that is no count rate, no WCS.

    Examples
    --------
    >>> from pathlib import Path
    >>> mosaic = read_mosaic(next(Path("NGC0628").glob("*f555w*sci*")))
    >>> mosaic.band, mosaic.camera
    ('F555W', 'UVIS')
    """
    path, own = Path(path), instrument or load_instrument()
    asked = _find_asked_band(band, own, path)
    science, merged, shape, wcs, notes, inside, error, error_name, mask = _read_mosaic_layout(path)
    name, camera, trained = _name_band(merged, path, asked, own)
    pivot_aa = float(own.pivot_aa[own.band_names.index(trained)])
    scale = read_flux_calibration(merged, wcs, camera, path, pivot_aa)
    # The weights of JWST's pipeline hold the read noise alone, its ERR all of the noise.
    whole = camera == "NIRCAM" and error is not None
    weight_path, weight = (None, None) if whole else open_weight_map(path, inside, shape)
    kind = "weight"
    if weight is None and error is not None:
        weight_path, weight, kind = path, ImageReader(path, error, 2), ERROR_KINDS[error_name]
    reader = CutoutReader(
        ImageReader(path, science, 2),
        weight,
        (int(shape[0]), int(shape[1])),
        scale.factor,
        scale.photons,
        ABSURD_FLAM / scale.photflam,
        kind,
        error_name,
        None if mask is None else ImageReader(path, mask, 2),
        find_drizzle_correlation(camera, scale.photplam_aa, measure_pixel_arcsec(wcs)),
    )
    _check_mask(reader, path)
    fwhm, psf_note = find_mosaic_psf(merged, camera, scale.photplam_aa, measure_pixel_arcsec(wcs))
    return Mosaic(
        path=path,
        band=trained,
        filter_name=name,
        camera=camera,
        shape=reader.shape,
        wcs=wcs,
        photflam=scale.photflam,
        photplam_aa=scale.photplam_aa,
        read=reader,
        psf_fwhm_arcsec=fwhm,
        weight_path=weight_path,
        notes=(
            *notes,
            *filter(None, (psf_note,)),
            *describe_odd_calibration(scale, camera, name, pivot_aa, find_other_optics(merged)),
            *fits_access.check_data_sums(path),
            *_mosaic_notes(reader, scale.note, _describe_substitute(trained, f"{name} {camera}", instrument)),
        ),
    )


def _find_asked_band(band: str | None, instrument: Instrument, path: Path) -> Band | None:
    """The band that a user names, capitals or not."""
    if band is None:
        return None
    found = next((one for one in instrument.bands if one.name.upper() == band.upper()), None)
    if found is None:
        known = ", ".join(instrument.band_names)
        raise SfhInputError(f"`photometry` {band}={path}: unknown band; one of {known}")
    return found


def _name_band(
    header: Mapping[str, Any], path: Path, asked: Band | None, instrument: Instrument
) -> tuple[str, str, str]:
    """Filter, camera, and the band for which the filter stands."""
    any_camera = asked is not None and is_seen_by_other_cameras(asked)
    name = find_filter_name(header, path, asked.name if asked else None, instrument.band_names, any_camera)
    trained = SUBSTITUTE_FILTERS.get(name, name)
    if asked is not None and trained != asked.name:
        raise SfhInputError(f"{path}: given as {asked.name} but its filter is {name}; name the right file or band")
    return name, find_camera_name(header, path, any_camera), trained


def _describe_substitute(band: str, found: str, instrument: Instrument | None) -> str:
    """A note where a filter (name and camera) is another than the band's own; empty where it is the same."""
    own_band = next(b for b in (instrument or load_instrument()).bands if b.name == band)
    curve = own_band.curve
    if " " not in curve or curve == found or is_seen_by_other_cameras(own_band):
        return ""
    found, own = (" ".join(reversed(words.split(" ", 1))) for words in (found, curve))
    return f"{found} stands in for {own}"


def _check_mask(reader: CutoutReader, path: Path) -> None:
    """Refuse a mask that forbids nearly all pixels: usable ones must be 0."""
    share = reader.measure_masked_share()
    if share > MAX_MASKED:
        raise SfhInputError(
            f"{path}: its mask (HDU {reader.mask.index if reader.mask else ''}) forbids {share:.0%} of the pixels; "
            "usable ones must be 0: invert it, or remove it"
        )


def _mosaic_notes(reader: CutoutReader, unit_note: str, substitute: str) -> tuple[str, ...]:
    notes = [unit_note] if unit_note else []
    if reader.is_zero:
        notes.append("all of its pixels are 0 or no numbers. WARNING: nothing was observed; get the file again")
    if reader.error_kind != "weight":
        notes.append(f"errors are those of the {reader.error_name} image")
    if reader.mask is not None:
        notes.append(f"its mask is used (0 = usable): {reader.measure_masked_share():.1%} of the pixels left out")
    if reader.fill_values:
        notes.append(f"missing: fill values ({', '.join(f'{v:g}' for v in reader.fill_values)})")
    correlated = f", times {reader.correlation:.2g} as neighbours are correlated" if reader.correlation > 1 else ""
    if reader.weight is None:
        notes.append(f"no weight map: errors are estimated from the image's own pixel-to-pixel scatter{correlated}")
    elif reader.weight_is_relative:
        notes.append(
            f"the weight map is no inverse variance: scaled to the image's own pixel-to-pixel scatter{correlated}"
        )
    return (*notes, substitute) if substitute else tuple(notes)


def _science_index(hdus: fits.HDUList, path: Path) -> int:
    """HDU of the science image: SCI, else the first 2-D image that is no weight."""
    images = {i: h.name.upper() for i, h in enumerate(hdus) if len(fits_access.image_shape(h)) == 2}
    named = [i for i, n in images.items() if n == "SCI"]
    if len(named) > 1:
        raise SfhInputError(
            f"{path}: {len(named)} images are called SCI: the chips of one exposure (flt, flc), no mosaic; give "
            "the drizzled image (drz, drc)"
        )
    other = [i for i, n in images.items() if n not in _NO_SCIENCE]
    if not named + other:
        raise SfhInputError(
            f"{path}: no 2-D science image among [{fits_access.describe_hdus(hdus)}]; give a drizzled HST image"
        )
    return (named + other)[0]


def _describe_other_images(hdus: fits.HDUList, science: int) -> str:
    """What is said of images of other filters, of which a file has but one used."""
    own = str(hdus[science].header.get("FILTER", "")).upper()
    other = {i: str(h.header.get("FILTER", "")).upper() for i, h in enumerate(hdus) if i != science}
    names = [f"{hdus[i].name or i} ({name})" for i, name in other.items() if name and own and name != own]
    used = f"HDU {hdus[science].name or science} ({own}) is used, not {', '.join(names)}"
    return f"{used}; write each into a file of its own" if names else ""


def _named_index(hdus: fits.HDUList, shape: tuple[int, ...], names: tuple[str, ...]) -> int | None:
    """HDU of an image of the science image's shape by its name; of several the one whose name stands first."""
    fitting = {h.name.upper(): i for i, h in reversed(list(enumerate(hdus))) if fits_access.image_shape(h) == shape}
    return next((fitting[name] for name in names if name in fitting), None)


def _weight_index(hdus: fits.HDUList, shape: tuple[int, ...]) -> int | None:
    """HDU of a weight map in the same file."""
    return _named_index(hdus, shape, _WEIGHT_NAMES)
