"""HST mosaics: PHANGS-HST (MAST and team names), other drizzled images, WFPC2.

Flux density: f_lambda = data x ``PHOTFLAM`` (erg/s/cm2/AA per count rate); ``PHOTFNU`` is not used, it can be 0 for
ACS. Errors: 1/sqrt(weight), weight 0 = bad pixel. Drizzle also writes weights that are exposure times; such a map says
only where the image is deep, so it is scaled to the image's own pixel-to-pixel scatter, and the photon noise of the
source is added. Drizzle correlates neighbouring pixels, so that their scatter is smaller than the noise of the many
that a bin sums up: by R = r / (1 - 1 / (3 r)), r being the size of the drop in pixels of the image (1.5 where they are
equal; Fruchter & Hook 2002, PASP 114, 144, section 7). The scatter is measured between pixels four apart, where the
correlation has died away, and multiplied by the R that scatters of nearer ones show, up to that of such a drop. Weight
maps that are inverse variances hold the whole noise already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import load_instrument
from napari_sfh.instruments.instrument import Band, Instrument
from napari_sfh.io import fits_access
from napari_sfh.io.cleaning.cards import describe_duplicate_cards, find_coordinate_header
from napari_sfh.io.cleaning.celestial import clean_celestial_wcs
from napari_sfh.io.cleaning.cube_images import ERROR_KINDS, MASK_NAMES
from napari_sfh.io.cleaning.missing import ABSURD_FLAM, MAX_MASKED, find_fill_values, mark_masked
from napari_sfh.io.fits_access import holds_rounded_floats
from napari_sfh.io.image_reader import ImageReader, to_native_float32
from napari_sfh.io.mosaic_header import (
    SUBSTITUTE_FILTERS,
    describe_odd_calibration,
    find_camera_name,
    find_filter_name,
    find_mosaic_psf,
    find_other_optics,
    is_seen_by_other_cameras,
    read_flux_calibration,
)
from napari_sfh.physics.hst_psf import DETECTORS, find_detector
from napari_sfh.physics.robust import measure_nmad
from napari_sfh.types import F32, Cube, Mosaic, measure_pixel_arcsec

#: Errors from a weight map that exceed the image's own scatter by this factor show that it is no inverse variance.
#: (One-sided: in crowded fields the scatter is more than noise.)
_MAX_ERROR_OVER_SCATTER = 4.0
#: R below which pixels count as independent, and pixels by which it is known to 0.06 (1 sigma): fewer do not tell it.
_LEAST_CORRELATION, _TELLING_PIXELS = 1.2, 50_000
#: Share of an image's zeros that lie among zeros where an area was not observed.
_CONNECTED = 0.3
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


class _Noise(NamedTuple):
    """What strips of an image tell of its noise."""

    scatter: float  # in stored units
    level: float
    scale: float  # factor on 1/sqrt(weight)
    correlation: float  # noise of the sum of many pixels over that of independent ones with this scatter
    is_zero: bool  # all pixels looked at, or no numbers


@dataclass(frozen=True)
class CutoutReader:
    """``read`` of a `Mosaic`: cutouts of data and 1-sigma error in units of PHOTFLAM."""

    image: ImageReader
    weight: ImageReader | None
    shape: tuple[int, int]
    factor: float  # stored unit to count rate
    photons: float | None  # detected photons per unit of rate, for the source's own noise; None for no count rate
    limit: float = float("inf")  # absurd from here on, in units of PHOTFLAM
    error_kind: str = "weight"  # what `weight` holds: weight (inverse variance), sigma, variance
    error_name: str = ""  # of the image that holds sigma or variance
    mask: ImageReader | None = None  # nonzero = bad
    most_correlation: float = 1.0  # see `compute_drizzle_correlation`

    @cached_property
    def _fills(self) -> list[float]:
        """Fill values of the image, as stored; found with `_noise`."""
        return []

    def _weights(self, key: tuple[slice, slice]) -> NDArray[np.floating]:
        """Inverse variance in stored units; in double precision where single has no room, as for erg/s/cm2/A."""
        assert self.weight is not None
        stored = self.weight[key]
        if self.error_kind == "weight":
            return stored.astype(np.float64) if stored.dtype.itemsize > 4 else to_native_float32(stored)
        stored = stored.astype(np.float64)
        with np.errstate(all="ignore"):
            power = 2 if self.error_kind == "sigma" else 1
            return np.where((stored > 0) & (stored < np.inf), 1 / stored**power, 0)

    @cached_property
    def _noise(self) -> _Noise:
        """Measured in strips spread over the image."""
        strips, weights, raw = [], [], []
        for data, weight in self._read_strips():
            raw.append(data)
            usable = (data != 0) & (weight > 0) & (np.abs(data) * self.factor < self.limit)
            strips.append(np.where(usable, data, np.nan))
            weights.append(weight)
        self._fills.extend(find_fill_values(np.concatenate(raw)))
        sample = np.concatenate(strips)
        sample[np.isin(sample, self._fills)] = np.nan
        scatter = measure_pixel_scatter(sample)
        level = float(np.nanmedian(sample)) if np.isfinite(sample).any() else 0.0
        is_zero = not any(bool(np.any(np.isfinite(data) & (data != 0))) for data in raw)
        if self.weight is None:
            return _Noise(scatter, level, 1.0, find_noise_correlation(sample, self.most_correlation), is_zero)
        used = np.concatenate(weights)
        implied = 1 / np.sqrt(np.median(used[(used > 0) & np.isfinite(used)])) if np.any(used > 0) else np.nan
        relative = scatter > 0 and implied > _MAX_ERROR_OVER_SCATTER * scatter
        correlation = find_noise_correlation(sample, self.most_correlation) if relative else 1.0
        scale = float(correlation * scatter / implied) if relative else 1.0
        return _Noise(scatter, level, scale, correlation, is_zero)

    @cached_property
    def _zero_is_missing(self) -> bool:
        """Whether exact zeros are pixels that nobody observed; asked only where no weight map says it.

        Drizzle leaves zeros outside the exposures, in connected areas of floating-point images; the noise of such
        images is never exactly zero. Zeros of counts, and scattered ones of images that were clipped at zero or that
        a compression rounded, are numbers.
        """
        strips = [self.image[ysl, xsl] for ysl, xsl in self._strips()]
        whole = all(bool(np.all(strip[np.isfinite(strip)] % 1 == 0)) for strip in strips)
        zero = [strip == 0 for strip in strips]
        inner = sum(
            int(np.count_nonzero(z[1:-1, 1:-1] & z[:-2, 1:-1] & z[2:, 1:-1] & z[1:-1, :-2] & z[1:-1, 2:])) for z in zero
        )
        if whole or inner > _CONNECTED * sum(int(np.count_nonzero(z)) for z in zero):
            return not whole
        clipped = not any(bool(np.any(strip < 0)) for strip in strips)
        return not (clipped or holds_rounded_floats(self.image.path, self.image.index))

    def _strips(self) -> list[tuple[slice, slice]]:
        """Strips of rows spread over the image."""
        height = min(32, self.shape[0])
        rows = np.linspace(0, self.shape[0] - height, 12).astype(int)
        return [(slice(int(y), int(y) + height), slice(None)) for y in rows]

    def measure_masked_share(self) -> float:
        """Share of the pixels that the mask forbids, 0 to 1, in those strips."""
        if self.mask is None:
            return 0.0
        strips = [mark_masked(self.mask[place], None) for place in self._strips()]
        return float(np.mean(np.concatenate(strips)))

    def _read_strips(self) -> list[tuple[F32, NDArray[np.floating]]]:
        """The image and its weights in those strips; a small image is read at once, since it may be one tile."""
        places = self._strips()
        everything = slice(None), slice(None)
        small = self.shape[0] <= 2 * sum(y.stop - y.start for y, _ in places)
        read = []
        for place in [everything] if small else places:
            data = to_native_float32(self.image[place])
            read.append((data, np.ones_like(data) if self.weight is None else self._weights(place)))
        return [(read[0][0][place], read[0][1][place]) for place in places] if small else read

    @property
    def is_zero(self) -> bool:
        """Whether all pixels looked at are 0, which no exposure is, or no numbers."""
        return self._noise.is_zero

    @property
    def fill_values(self) -> tuple[float, ...]:
        """Numbers of the image that mean that nothing was observed, as stored."""
        return tuple(self._fills) if self._noise else ()

    @property
    def correlation(self) -> float:
        """Factor on the scatter of the pixels for that of sums of many, where errors rest on it."""
        return self._noise.correlation

    @property
    def weight_is_relative(self) -> bool:
        """Whether the weight map had to be scaled to the image's scatter."""
        return self.weight is not None and self._noise.scale != 1.0

    def __call__(self, ysl: slice, xsl: slice) -> tuple[F32, F32]:
        """Cutout of (data, 1-sigma error), bad pixels NaN and inf; see `types.Mosaic`."""
        data = to_native_float32(self.image[ysl, xsl])
        scatter, level, scale, correlation, _ = self._noise
        if self.weight is None:
            bad = data == 0 if self._zero_is_missing else np.zeros(data.shape, dtype=bool)
            error: F32 = np.full(data.shape, correlation * scatter * self.factor, dtype=np.float32)
        else:
            weight = self._weights((ysl, xsl))
            bad = ~(weight > 0) | ~(weight < np.inf)
            error = (scale * self.factor / np.sqrt(np.where(bad, 1, weight))).astype(np.float32)
        if self._fills:
            bad |= np.isin(data, np.array(self._fills, dtype=np.float32))
        if self.mask is not None:
            bad |= mark_masked(self.mask[ysl, xsl], None)
        data *= np.float32(self.factor)
        bad |= ~(np.abs(data) < self.limit)
        if self.photons and (self.weight is None or self.weight_is_relative):
            # The scatter holds the photon noise of the typical level already.
            excess = np.clip(np.nan_to_num(data) - np.float32(level * self.factor), 0, None)
            error = np.hypot(error, np.sqrt(excess / np.float32(self.photons)))
        bad |= ~np.isfinite(data) | ~np.isfinite(error)
        data[bad], error[bad] = np.nan, np.inf
        return data, error


def measure_pixel_scatter(image: NDArray[np.floating]) -> float:
    """Standard deviation of the noise per pixel from differences of pixels four apart (robust, blind to smooth light).

    Parameters
    ----------
    image : array (ny, nx)
        NaN = not to be used.

    Returns
    -------
    float
        In the image's unit; NaN where there is nothing to measure.
    """
    step = 4 if image.shape[1] > 4 else 1
    # Second differences: a gradient of the galaxy's light must not count as noise.
    d = image[:, : -2 * step] - 2 * image[:, step:-step] + image[:, 2 * step :]
    d = d[np.isfinite(d)]
    return measure_nmad(d) / float(np.sqrt(6.0))


def measure_noise_correlation(image: NDArray[np.floating]) -> float:
    """Noise of the sum of many pixels over that of as many independent ones with the same scatter.

    Second differences of pixels s apart have the variance sigma^2 (6 - 8 rho(s) + 2 rho(2 s)), which gives the
    correlations rho(1) to rho(3) along the rows; from four pixels on there is none. Columns count as alike.

    Parameters
    ----------
    image : array (ny, nx)
        NaN = not to be used.

    Returns
    -------
    float
        1 + 2 sum rho, at least 1; 1 where there is nothing to measure.
    """
    variance = {}
    for step in (1, 2, 3, 4):
        d = image[:, : -2 * step] - 2 * image[:, step:-step] + image[:, 2 * step :]
        variance[step] = measure_nmad(d[np.isfinite(d)]) ** 2
    if not variance[4] > 0:
        return 1.0
    rho = {4: 0.0, 6: 0.0}
    for step in (3, 2, 1):
        rho[step] = (6.0 + 2.0 * rho[2 * step] - 6.0 * variance[step] / variance[4]) / 8.0
    return max(1.0, 1.0 + 2.0 * (rho[1] + rho[2] + rho[3]))


def find_noise_correlation(image: NDArray[np.floating], most: float) -> float:
    """`measure_noise_correlation`, at most ``most``; 1 where it is below 1.2 or too few pixels tell it.

    Parameters
    ----------
    image : array (ny, nx)
        NaN = not to be used.
    most : float
        What resampling can have made, see `compute_drizzle_correlation`: light that is smooth looks correlated, too.
    """
    if np.count_nonzero(np.isfinite(image)) < _TELLING_PIXELS:
        return 1.0
    found = min(measure_noise_correlation(image), most)
    return found if found > _LEAST_CORRELATION else 1.0


def compute_drizzle_correlation(drop_over_pixel: float) -> float:
    """R of Fruchter & Hook (2002, PASP 114, 144, equations 9 and 10), of a drop of so many pixels' size.

    Examples
    --------
    >>> round(compute_drizzle_correlation(1.0), 2), round(compute_drizzle_correlation(0.5), 2)
    (1.5, 1.2)
    """
    r = drop_over_pixel
    return r / (1.0 - 1.0 / (3.0 * r)) if r >= 1.0 else 1.0 / (1.0 - r / 3.0)


def _find_drizzle_correlation(camera: str, wave_aa: float, pixel_arcsec: float) -> float:
    """That of a camera's images; of others nothing is known, and none is assumed."""
    known = camera in DETECTORS
    return compute_drizzle_correlation(find_detector(camera, wave_aa).pixel_arcsec / pixel_arcsec) if known else 1.0


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
    weight_path, weight = (None, None) if whole else _find_weight_map(path, inside, shape)
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
        _find_drizzle_correlation(camera, scale.photplam_aa, measure_pixel_arcsec(wcs)),
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


def list_weight_map_names(path: Path) -> list[str]:
    """Lower-case names that the weight map of a science image may have, best first, without suffix."""
    name = fits_access.strip_fits_suffix(path).lower()
    swaps = [
        (("exp-drc-sci", "err-drc-wht"),),
        (("exp_drc_sci", "err_drc_wht"),),
        (("drc-sci", "drc-wht"),),
        (("drc_sci", "drc_wht"),),
        (("drz-sci", "drz-wht"),),
        (("drz_sci", "drz_wht"),),
        (("sci", "wht"),),
        (("sci", "weight"),),
    ]
    names = [name.replace(old, new) for ((old, new),) in swaps if old in name]
    return list(dict.fromkeys([*names, f"{name}_wht", f"{name}-wht", f"{name}_weight", f"{name}.weight"]))


def find_weight_map_file(path: Path) -> Path | None:
    """The weight map beside a science image, by its name; None where there is none."""
    beside = {
        fits_access.strip_fits_suffix(p).lower(): p
        for p in sorted(path.parent.iterdir() if path.parent.is_dir() else ())
        if fits_access.is_fits_name(p) and p != path
    }
    return next((beside[n] for n in list_weight_map_names(path) if n in beside), None)


def _find_weight_map(path: Path, inside: int | None, shape: tuple[int, ...]) -> tuple[Path | None, ImageReader | None]:
    """Weight map of a science image: in the same file, else beside it by name."""
    if inside is not None:
        return path, ImageReader(path, inside, 2)
    found = find_weight_map_file(path)
    if found is None:
        return None, None
    with fits_access.open_fits(found) as hdus:
        index = next((i for i, h in enumerate(hdus) if fits_access.image_shape(h) == shape), None)
    if index is None:
        raise SfhInputError(
            f"{found}: the weight map has another shape than {path.name} {shape}; give the pair of one drizzle"
        )
    return found, ImageReader(found, index, 2)
