"""One mock galaxy in the dress of every archive: the same light, other names, headers, units and layouts.

The tests hold the reading of each dress against the others: light, noise and bins are equal pixel by pixel (to the
rounding of single precision), so the maps must be equal within the noise. Filters are not re-simulated: in the ACS
dress the images hold the flux densities of the UVIS bands; what the cameras' curves cost is measured by
`studies.camera_substitution`.

========  ===========================================================================================================
copt      PHANGS-MUSE of the ESO archive, homogenised; PHANGS-HST of MAST (UVIS)
native    the same, native resolution: no PSF in the name, some bad voxels (STAT zero, negative, NaN)
acs       B, V, I from ACS (F435W, FILTER1/FILTER2, PHOTFNU 0), names of MAST
team      copies inside the collaboration: ``mock0001_uvis_f275w_exp_drc_sci.fits``, ``MOCK0001-0.92asec_MAPS.fits``
mpdaf     MPDAF cube (DATA, STAT, DQ, FSF keywords, its unit), drizzled images with SCI, WHT, CTX in one file
plain     a cube of flux and 1 sigma errors in SI-like units and nm, images in counts with WHT maps
========  ===========================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import load_instrument
from napari_sfh.io.cleaning.celestial import cut_header
from napari_sfh.prep.mosaics.psf import MUSE_SLOPE
from napari_sfh.training.mock.files import MOCK_NAME, write_fits_files
from napari_sfh.types import F32, measure_pixel_arcsec

#: ACS filter of each band that has one, and its PHOTFLAM (erg/s/cm2/AA per e-/s) and pivot (AA).
_ACS: Mapping[str, tuple[str, float, float]] = {
    "F438W": ("F435W", 3.1e-19, 4330.2),
    "F555W": ("F555W", 1.95e-19, 5361.0),
    "F814W": ("F814W", 7.0e-20, 8045.5),
}
_MPDAF_UNIT = "1e-20 erg / (Angstrom cm2 s)"
_MARGIN_ARCSEC = 3.0


@dataclass(frozen=True)
class MockGalaxy:
    """The mock's files in memory, cut to a window. Headers hold WCS and calibration."""

    flux: F32  # (n, ny, nx) 1e-20 erg/s/cm2/AA
    variance: F32
    cube_header: fits.Header
    redshift: float
    psf_fwhm: float
    maps: Mapping[str, tuple[NDArray[Any], fits.Header]]
    images: Mapping[str, tuple[F32, F32, fits.Header]]  # band -> rate (e-/s), weight, header


FitsFiles = dict[str, fits.HDUList]


def dress_mock_galaxy(source: Path, folder: Path, style: str, window: tuple[slice, slice] | None = None) -> list[Path]:
    """Write the mock of ``source`` (a folder of `files.write_mock_galaxy`) anew.

    Parameters
    ----------
    source, folder : path
    style : str
        One of `DRESSES`.
    window : (slice, slice), optional
        Rows and columns of spaxels to keep; mosaics are cut with a margin.

    Returns
    -------
    list of paths

    Raises
    ------
    SfhInputError
        Unknown style, or no mock in ``source``.
    ComputeError
        The folder cannot be written.
    """
    if style not in DRESSES:
        raise SfhInputError(f"`dress` {style}: unknown; one of {', '.join(DRESSES)}")
    return write_fits_files(DRESSES[style](read_mock_galaxy(source, window)), folder)


def read_mock_galaxy(source: Path, window: tuple[slice, slice] | None = None) -> MockGalaxy:
    """Read a mock's files, cut to a window of spaxels.

    Parameters
    ----------
    source : Path
        Folder of ``napari-sfh-train mock``.
    window : (slice, slice), optional
        Rows and columns of spaxels; default all.

    Returns
    -------
    MockGalaxy

    Raises
    ------
    SfhInputError
        There is no mock galaxy in the folder.
    """
    found = {key: sorted(source.glob(pattern)) for key, pattern in (("cube", "*DATACUBE*"), ("maps", "*_MAPS_*"))}
    if not all(found.values()):
        raise SfhInputError(f"{source}: no mock galaxy; make one with napari-sfh-train mock")
    with fits.open(found["cube"][0]) as hdus:
        header = hdus["DATA"].header
        part = window or (slice(0, header["NAXIS2"]), slice(0, header["NAXIS1"]))
        cube_header = cut_header(_strip_header(header), part)
        flux, variance = (np.asarray(hdus[name].data[:, *part], np.float32) for name in ("DATA", "STAT"))
        redshift = float(hdus[0].header["REDSHIFT"])
    with fits.open(found["maps"][0]) as hdus:
        maps = {h.name: (np.array(h.data[part]), cut_header(_strip_header(h.header), part)) for h in hdus[1:]}
    bands = load_instrument("muse-hst").band_names
    images = {band: _read_image(source, band, cube_header, flux.shape[1:]) for band in bands}
    return MockGalaxy(flux, variance, cube_header, redshift, 0.92, maps, images)


def _read_image(
    source: Path, band: str, cube_header: fits.Header, shape: tuple[int, ...]
) -> tuple[F32, F32, fits.Header]:
    """Rate, weight and header of a band, cut to the cube with a margin."""
    (science,) = source.glob(f"*_{band.lower()}_*exp-drc-sci.fits")
    with (
        fits.open(science) as hdus,
        fits.open(science.with_name(science.name.replace("exp-drc-sci", "err-drc-wht"))) as w,
    ):
        header = _strip_header(hdus[1].header)
        wcs = WCS(header)
        y, x = (a.ravel() for a in np.meshgrid([-1, shape[0]], [-1, shape[1]], indexing="ij"))
        px, py = wcs.wcs_world2pix(*WCS(cube_header).celestial.wcs_pix2world(x, y, 0), 0)
        margin = _MARGIN_ARCSEC / measure_pixel_arcsec(wcs)
        rows, columns = (
            slice(max(0, int(p.min() - margin)), min(n, int(p.max() + margin) + 1))
            for p, n in ((py, hdus[1].shape[0]), (px, hdus[1].shape[1]))
        )
        part = (rows, columns)
        data, weight = (np.asarray(h[1].data[part], np.float32) for h in (hdus, w))
    return data, weight, cut_header(header, part)


def _strip_header(header: fits.Header) -> fits.Header:
    """A header without what belongs to the HDU that it came from."""
    out = header.copy(strip=True)
    for key in ("EXTNAME", "CHECKSUM", "DATASUM", "ZSIMPLE", "ZQUANTIZ", "ZDITHER0"):
        out.remove(key, ignore_missing=True)
    return out


def _with_cards(header: fits.Header, **cards: Any) -> fits.Header:
    """A copy with other cards; None deletes."""
    out = header.copy()
    for key, value in cards.items():
        if value is None:
            out.remove(key, ignore_missing=True)
        else:
            out[key] = value
    return out


def _primary_hdu(**cards: Any) -> fits.PrimaryHDU:
    return fits.PrimaryHDU(header=fits.Header(cards))


def _cube(galaxy: MockGalaxy, primary: fits.PrimaryHDU, *more: Any, unit: str | None = None) -> fits.HDUList:
    header = galaxy.cube_header if unit is None else _with_cards(galaxy.cube_header, BUNIT=unit)
    stat = _with_cards(header, BUNIT=f"({header['BUNIT']})**2")
    images = [fits.ImageHDU(galaxy.flux, header, "DATA"), fits.ImageHDU(galaxy.variance, stat, "STAT")]
    return fits.HDUList([primary, *images, *more])


def _maps(galaxy: MockGalaxy, **more: NDArray[Any]) -> fits.HDUList:
    """All images of MAPS, and ``more``."""
    header = galaxy.maps["BIN_ID"][1]
    images = [fits.ImageHDU(data, head, name) for name, (data, head) in galaxy.maps.items()]
    images += [fits.ImageHDU(data, header, name) for name, data in more.items()]
    return fits.HDUList([_primary_hdu(OBJECT=MOCK_NAME, REDSHIFT=galaxy.redshift), *images])


def _mast(galaxy: MockGalaxy) -> FitsFiles:
    """Mosaics and weights with the names and layout of MAST: the image in HDU 0."""
    files: FitsFiles = {}
    for band, (data, weight, header) in galaxy.images.items():
        stem = f"hlsp_phangs-hst_hst_wfc3-uvis_{MOCK_NAME.lower()}_{band.lower()}_v1"
        files[f"{stem}_exp-drc-sci.fits"] = fits.HDUList([fits.PrimaryHDU(data, header)])
        files[f"{stem}_err-drc-wht.fits"] = fits.HDUList([fits.PrimaryHDU(weight, header)])
    return files


def _copt(galaxy: MockGalaxy) -> FitsFiles:
    tail = f"copt_{galaxy.psf_fwhm}asec.fits"
    cube = _cube(galaxy, _primary_hdu(OBJECT=MOCK_NAME, TELESCOP="ESO-VLT-U4", INSTRUME="MUSE"))
    return {f"{MOCK_NAME}_PHANGS_DATACUBE_{tail}": cube, f"{MOCK_NAME}_MAPS_{tail}": _maps(galaxy), **_mast(galaxy)}


def _native(galaxy: MockGalaxy) -> FitsFiles:
    rng = np.random.default_rng(3)
    variance = galaxy.variance.copy()
    for value in (0.0, -1.0, np.nan):
        variance[rng.random(variance.shape) < 2e-4] = value
    bad = MockGalaxy(**{**galaxy.__dict__, "variance": variance})
    cube = _cube(bad, _primary_hdu(OBJECT=MOCK_NAME, INSTRUME="MUSE"))
    return {
        f"{MOCK_NAME}_PHANGS_DATACUBE_native.fits": cube,
        f"{MOCK_NAME}_MAPS_native.fits": _maps(galaxy),
        **_mast(galaxy),
    }


def _acs(galaxy: MockGalaxy) -> FitsFiles:
    files = _copt(galaxy)
    for band, (name, photflam, pivot) in _ACS.items():
        data, weight, header = galaxy.images[band]
        factor = np.float32(header["PHOTFLAM"] / photflam)
        cards = {"INSTRUME": "ACS", "DETECTOR": "WFC", "FILTER": None, "FILTER1": name, "FILTER2": "CLEAR2L"}
        head = _with_cards(header, **cards, PHOTFLAM=photflam, PHOTPLAM=pivot, PHOTFNU=0.0)
        if name == "F814W":
            head["FILTER1"], head["FILTER2"] = "CLEAR1L", name
        for kind, values in (("exp-drc-sci", data * factor), ("err-drc-wht", weight / factor**2)):
            del files[f"hlsp_phangs-hst_hst_wfc3-uvis_{MOCK_NAME.lower()}_{band.lower()}_v1_{kind}.fits"]
            stem = f"hlsp_phangs-hst_hst_acs-wfc_{MOCK_NAME.lower()}_{name.lower()}_v1"
            files[f"{stem}_{kind}.fits"] = fits.HDUList([fits.PrimaryHDU(values, head)])
    return files


def _team(galaxy: MockGalaxy) -> FitsFiles:
    files: FitsFiles = {}
    for band, (data, weight, header) in galaxy.images.items():
        stem = f"{MOCK_NAME.lower()}_uvis_{band.lower()}"
        files[f"{stem}_exp_drc_sci.fits"] = fits.HDUList([fits.PrimaryHDU(data, header)])
        files[f"{stem}_err_drc_wht.fits"] = fits.HDUList([fits.PrimaryHDU(weight, header)])
    signal = galaxy.flux.mean(0)
    more = {"FLUX": signal, "SNR": signal / np.sqrt(galaxy.variance.mean(0)), "AGE_MW": np.full(signal.shape, 9.5)}
    files[f"{MOCK_NAME}-{galaxy.psf_fwhm}asec_MAPS.fits"] = _maps(galaxy, **more)
    cube = f"{MOCK_NAME}_PHANGS_DATACUBE_copt_{galaxy.psf_fwhm}asec.fits"
    return files | {cube: _cube(galaxy, _primary_hdu(OBJECT=MOCK_NAME))}


def _mpdaf(galaxy: MockGalaxy) -> FitsFiles:
    # A Moffat profile of a large exponent is the Gaussian that blurred the mock; a width that falls with wavelength as
    # MUSE's does, and is the mock's where it matters.
    slope = MUSE_SLOPE * 4600.0
    middle = galaxy.psf_fwhm + MUSE_SLOPE * (7050.0 - np.mean(load_instrument("muse-hst").grid.norm_window_aa))
    fsf = {"FSFMODE": 2, "FSFLB1": 4750.0, "FSFLB2": 9350.0, "FSF00FNC": 2, "FSF00F00": slope, "FSF00F01": middle}
    primary = _primary_hdu(OBJECT=MOCK_NAME, **fsf, FSF00BNC=1, FSF00B00=200.0)
    dq = np.zeros(galaxy.flux.shape, np.int32)
    dq[700:703, 1, 1] = 1
    quality = fits.ImageHDU(dq, _with_cards(galaxy.cube_header, BUNIT=None), "DQ")
    files: FitsFiles = {"mock.fits": _cube(galaxy, primary, quality, unit=_MPDAF_UNIT), "mock_MAPS.fits": _maps(galaxy)}
    for band, (data, weight, header) in galaxy.images.items():
        parts = (("SCI", data), ("WHT", weight), ("CTX", np.ones(data.shape, np.int32)))
        images = [fits.ImageHDU(values, header, name) for name, values in parts]
        files[f"mock_{band.lower()}_drz.fits"] = fits.HDUList([_primary_hdu(INSTRUME="WFC3", DETECTOR="UVIS"), *images])
    return files


def _plain(galaxy: MockGalaxy) -> FitsFiles:
    nm = {"CUNIT3": "nm", "CRVAL3": galaxy.cube_header["CRVAL3"] / 10, "CD3_3": galaxy.cube_header["CD3_3"] / 10}
    header = _with_cards(galaxy.cube_header, **nm, BUNIT="1e-17 W m-2 um-1")  # of 1e-20 erg/s/cm2/AA: 1e-19 W/m2/um
    scale = np.float32(1e-2)
    error = np.sqrt(galaxy.variance) * scale
    images = [fits.ImageHDU(galaxy.flux * scale, header, "FLUX"), fits.ImageHDU(error, header, "ERR")]
    files: FitsFiles = {
        "cube.fits": fits.HDUList([_primary_hdu(OBJECT=MOCK_NAME), *images]),
        "maps.fits": _maps(galaxy),
    }
    for band, (data, weight, head) in galaxy.images.items():
        time = np.float32(head["EXPTIME"])
        counts = _with_cards(head, BUNIT="ELECTRONS")
        files[f"{band}_sci.fits"] = fits.HDUList([fits.PrimaryHDU(data * time, counts)])
        files[f"{band}_wht.fits"] = fits.HDUList([fits.PrimaryHDU(weight / time**2, counts)])
    return files


#: Dresses by name.
DRESSES: Mapping[str, Callable[[MockGalaxy], FitsFiles]] = {
    "copt": _copt,
    "native": _native,
    "acs": _acs,
    "team": _team,
    "mpdaf": _mpdaf,
    "plain": _plain,
}
