"""MUSE cubes: PHANGS (ESO and MPDAF dress), plain MPDAF cubes, and any cube with a flux and perhaps a variance image.

Wavelengths are returned in air (`physics.wavelength`): ``AWAV`` axes as they are, vacuum (``WAVE``) converted with
Ciddor (1996), both linear or logarithmic (``-LOG``, Greisen et al. 2006, A&A 446, 747). The spectral axis and its unit
are spectral-cube's reading of the header. Data stay on disk and are read in wavelength blocks.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.line_spread import find_line_spread
from napari_sfh.io import fits_access
from napari_sfh.io.image_reader import ImageReader
from napari_sfh.io.muse_psf import find_muse_psf_fwhm, fsf_beta
from napari_sfh.physics.wavelength import vacuum_to_air
from napari_sfh.types import F32, F64, Bool, Cube

#: Unit of flux density everywhere in this package.
FLAM = u.erg / u.s / u.cm**2 / u.AA
_DATA_NAMES = ("DATA", "FLUX", "SCI")
_SIGMA_NAMES = ("ERR", "ERROR")
_VARIANCE_NAMES = ("STAT", "VAR", "VARIANCE", *_SIGMA_NAMES)
#: Spaxels that are read and tested at a time.
_SPAXELS_PER_READ = 2**18


@dataclass(frozen=True)
class _Layout:
    """Which HDU holds what."""

    data: int
    variance: int | None
    variance_name: str
    dq: int | None


@dataclass(frozen=True)
class SlabReader:
    """``read`` of a `Cube`: wavelength blocks of flux, variance and usability."""

    shape: tuple[int, int, int]  # (n_channels, ny, nx)
    flux: ImageReader
    variance: ImageReader | None
    is_sigma: bool  # the variance image holds 1 sigma
    variance_factor: float
    dq: ImageReader | None

    def __call__(self, lo: int, hi: int) -> tuple[F32, F32 | None, Bool]:
        """Channels lo..hi-1: flux, variance, usable; see `types.Cube`."""
        if not 0 <= lo < hi <= self.shape[0]:
            # Beyond the last channel lies the next extension, which would be read as flux.
            raise IndexError(f"channels {lo}..{hi - 1} of {self.shape[0]}")
        flux = np.empty((hi - lo, *self.shape[1:]), dtype=np.float32)
        variance = None if self.variance is None else np.empty_like(flux)
        good = np.empty(flux.shape, dtype=np.bool_)
        # Plane by plane, so that reading, swapping and testing happen within the processor's cache.
        plain = self.flux.is_plain and (self.variance is None or self.variance.is_plain)
        step = max(1, _SPAXELS_PER_READ // flux[0].size) if plain else hi - lo
        for i in range(0, hi - lo, step):
            piece = slice(i, i + step)
            self.flux.fill(lo + i, flux[piece])
            np.isfinite(flux[piece], out=good[piece])
            if self.variance is not None and variance is not None:
                self.variance.fill(lo + i, variance[piece])
                self._to_variance(variance[piece])
                # NaN compares false, so two comparisons do for "finite and positive".
                good[piece] &= variance[piece] > 0
                good[piece] &= variance[piece] < np.inf
        if self.dq is not None:
            good &= self.dq[lo:hi] == 0
        return flux, variance, good

    def _to_variance(self, stored: F32) -> None:
        """In place: square a 1-sigma image, bring the stored unit to that of the flux."""
        if self.is_sigma:
            np.square(stored, out=stored)
        if self.variance_factor != 1.0:
            stored *= np.float32(self.variance_factor)


def read_cube(path: str | Path) -> Cube:
    """Open an integral-field cube.

    Parameters
    ----------
    path : path
        FITS file: plain, gzipped or tile-compressed.

    Returns
    -------
    types.Cube
        Axes in memory, data on disk. ``notes`` says what was assumed.

    Raises
    ------
    SfhInputError
        The file is no cube, is damaged, or has no usable flux unit, celestial WCS or wavelength axis.

    Examples
    --------
    >>> from pathlib import Path
    >>> cube = read_cube(next(Path("NGC0628").glob("*DATACUBE*")))
    >>> flux, variance, good = cube.read(0, 10)  # channels
    >>> flux.shape == (10, *cube.shape[1:])
    True
    """
    path = Path(path)
    with fits_access.open_fits(path) as hdus:
        layout = _find_images(hdus, path)
        header = hdus[layout.data].header
        n, ny, nx = hdus[layout.data].shape
        merged = fits_access.merge_headers(hdus[0].header, header)
        fits_access.check_wcs_cards(header, path)
        spectral, medium, axis_note = _spectral_cards(header, path)
        wcs = fits_access.read_celestial_wcs(header, path)
        wave = _wavelengths(spectral, medium, n, path)
        scale = _flux_scale(header, path)
        factor = _variance_factor(hdus, layout, scale)
    fwhm, _ = find_muse_psf_fwhm(merged, path)
    reader, stat_note = _make_reader(path, layout, factor, (n, ny, nx))
    z = fits_access.get_number_card(merged, "REDSHIFT", "Z")
    return Cube(
        path=path,
        wave_aa=wave,
        shape=(n, ny, nx),
        wcs=wcs,
        flux_scale=scale,
        read=reader,
        has_variance=reader.variance is not None,
        name=fits_access.find_galaxy_name(merged, path),
        redshift=z if z is not None and -0.01 < z < 2 else None,
        psf_fwhm_arcsec=fwhm,
        psf_beta=fsf_beta(merged),
        lsf=find_line_spread(str(merged.get("INSTRUME", ""))),
        header=merged,
        notes=tuple(note for note in (axis_note, stat_note) if note),
    )


def _find_images(hdus: fits.HDUList, path: Path) -> _Layout:
    """Match the 3-D images of a file to flux, variance and quality by name, else by order."""
    cubes = {i: h.name.upper() for i, h in enumerate(hdus) if len(fits_access.image_shape(h)) == 3}
    data = next((i for name in _DATA_NAMES for i, n in cubes.items() if n == name), None)
    others = (*_VARIANCE_NAMES, "DQ", "WEIGHT", "MASK")
    if data is None:
        data = next((i for i, name in cubes.items() if name not in others), None)
    if data is None:
        raise SfhInputError(
            f"{path}: not a cube, no 3-D flux image (DATA) among [{fits_access.describe_hdus(hdus)}]; "
            "give a cube with EXTNAME DATA"
        )
    shape = hdus[data].shape
    same = {n: i for i, n in cubes.items() if i != data}
    variance = next((v for v in _VARIANCE_NAMES if v in same), "")
    for name in (variance, "DQ"):
        if name in same and hdus[same[name]].shape != shape:
            raise SfhInputError(
                f"{path}: {name} has the shape {hdus[same[name]].shape} but DATA {shape}; they must be equal"
            )
    return _Layout(data, same.get(variance), variance, same.get("DQ"))


def _make_reader(path: Path, layout: _Layout, factor: float, shape: tuple[int, int, int]) -> tuple[SlabReader, str]:
    """The slab reader; a variance without one positive value in three probed channels counts as absent."""

    def image(i: int | None) -> ImageReader | None:
        return None if i is None else ImageReader(path, i)

    flux, variance, dq = ImageReader(path, layout.data), image(layout.variance), image(layout.dq)
    if variance is None:
        note = "no STAT: errors are estimated from the spectra themselves"
        return SlabReader(shape, flux, None, False, 1.0, dq), note
    probed = (variance[slice(k, k + 1)] for k in (shape[0] // 4, shape[0] // 2, (3 * shape[0]) // 4))
    if not any(bool(np.any((p > 0) & (p < np.inf))) for p in probed):
        note = (
            f"{layout.variance_name} is nowhere positive and ignored: errors are estimated from the spectra themselves"
        )
        return SlabReader(shape, flux, None, False, 1.0, dq), note
    return SlabReader(shape, flux, variance, layout.variance_name in _SIGMA_NAMES, factor, dq), ""


def _flux_scale(header: fits.Header, path: Path) -> float:
    """erg/s/cm2/AA per stored unit."""
    text = header.get("BUNIT")
    if text is None or not str(text).strip():
        raise SfhInputError(f"{path}: DATA has no BUNIT; add it, for MUSE '10**(-20)*erg/s/cm**2/Angstrom'")
    scale = fits_access.unit_conversion_factor(text, FLAM)
    if scale is not None:
        return scale
    if fits_access.unit_conversion_factor(text, FLAM**2) is not None:
        raise SfhInputError(
            f"{path}: BUNIT of DATA is '{text}', a flux density squared; are DATA and STAT swapped? Rename them"
        )
    raise SfhInputError(
        f"{path}: BUNIT '{text}' of DATA is no flux density per Angstrom; write one such as '1e-20 erg/s/cm2/Angstrom'"
    )


def _variance_factor(hdus: fits.HDUList, layout: _Layout, flux_scale: float) -> float:
    """What brings the stored variance to the stored flux unit squared; 1 where its BUNIT is absent or wrong.

    Old pipelines write units of STAT that are no squares (``.../Angstrom**2``): such text cannot be trusted, and every
    pipeline seen stores the square of the unit of DATA.
    """
    if layout.variance is None:
        return 1.0
    sigma = layout.variance_name in _SIGMA_NAMES
    scale = fits_access.unit_conversion_factor(
        hdus[layout.variance].header.get("BUNIT", ""), FLAM if sigma else FLAM**2
    )
    if scale is None:
        return 1.0
    return (scale**2 if sigma else scale) / flux_scale**2


def _wavelengths(header: fits.Header, medium: str, n: int, path: Path) -> F64:
    """Air wavelengths in Angstrom of the n channels; ``medium`` is AWAV or WAVE."""
    from spectral_cube import SpectralCube

    # The values of this stand-in are never touched: only the axis is wanted, whatever the size of the cube.
    stand_in = np.broadcast_to(np.float32(0), (n, header["NAXIS2"], header["NAXIS1"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            cube = SpectralCube(stand_in, WCS(header), header=header)
            # Not with_spectral_unit(u.AA): that turns an air axis into vacuum.
            wave = np.asarray(cube.spectral_axis.to_value(u.AA), dtype=np.float64)
        except Exception as e:  # wcslib and spectral-cube raise many classes for one fault: a broken header
            raise SfhInputError(
                f"{path}: the wavelength axis cannot be read ({fits_access.format_error_line(e)}); "
                "repair CTYPE3, CRVAL3, CD3_3"
            ) from e
    if not np.all(np.isfinite(wave)) or not np.all(np.diff(wave) > 0):
        raise SfhInputError(f"{path}: wavelengths do not increase along axis 3; check CRVAL3 and CD3_3 (or CDELT3)")
    return vacuum_to_air(wave) if medium == "WAVE" else wave


def _spectral_cards(header: fits.Header, path: Path) -> tuple[fits.Header, str, str]:
    """Check axis 3's cards; returns a (repaired) header, ``AWAV`` or ``WAVE``, and a note."""
    types = [str(header.get(f"CTYPE{i}", "")).strip().upper() for i in (1, 2, 3)]
    spectral = re.compile(r"(AWAV|WAVE|FREQ|ENER|VELO|VRAD|VOPT|ZOPT|BETA|LINEAR$|LAMBDA|WAVELENGTH)")
    if not spectral.match(types[2]) and any(spectral.match(t) for t in types[:2]):
        raise SfhInputError(
            f"{path}: the axes are {types}, wavelength must be axis 3; reorder them, e.g. with "
            "spectral_cube.SpectralCube.read().write()"
        )
    # Not left to wcslib, which takes a step of 1 for one that is absent or 0.
    if not (header.get("CD3_3") or header.get("CDELT3")):
        raise SfhInputError(
            f"{path}: CD3_3 or CDELT3 is absent or 0, the wavelength step is unknown; add CD3_3 in Angstrom"
        )
    kind = types[2][:4]
    if kind in ("AWAV", "WAVE") and types[2] != "WAVELENGTH":
        header = header.copy()
        header.setdefault("CUNIT3", "Angstrom")
        return header, kind, ""
    if (
        types[2] in ("LINEAR", "LAMBDA", "WAVELENGTH")
        and fits_access.unit_conversion_factor(header.get("CUNIT3", ""), u.AA) is not None
    ):
        header = header.copy()
        header["CTYPE3"] = "AWAV"
        return header, "AWAV", f"CTYPE3 '{types[2]}' does not say air or vacuum: taken as air"
    raise SfhInputError(
        f"{path}: CTYPE3 '{types[2]}' is no wavelength axis; write AWAV (air) or WAVE (vacuum) with CUNIT3 'Angstrom'"
    )
