"""The mock galaxy as FITS files, named and dressed as the archives do: cube, MAPS, mosaics and their weights, truth.

Files are tile-compressed to fit into the package. Fluxes are quantised to half of the noise, which adds 2 % to its
variance; variances are rounded to steps of 10 % (5 % in the error) and then compressed without loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from napari_sfh.errors import ComputeError
from napari_sfh.instruments.files import load_instrument
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.physics.means import compute_population_means
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.mock import galaxy, observations
from napari_sfh.training.mock.observations import MockObservation

MOCK_NAME = "MOCK0001"
_UNIT = "10**(-20)*erg/s/cm**2/Angstrom"
_VARIANCE_STEP = 0.1
#: Quantisation steps per standard deviation of the noise.
_LEVELS = 2.0


def write_mock_galaxy(
    observed: MockObservation, bin_id: NDArray[np.int32], templates: Templates, folder: Path
) -> list[Path]:
    """Write cube, mosaics with weights, MAPS and truth.

    Parameters
    ----------
    observed : MockObservation
    bin_id : int array (ny, nx)
        Bins of the MAPS file, from 1; 0 = none.
    templates : Templates
        For the filters' pivots and the provenance.
    folder : path

    Returns
    -------
    list of paths

    Raises
    ------
    ComputeError
        When the folder cannot be written.
    """
    files = {
        f"{MOCK_NAME}_PHANGS_DATACUBE_copt_{observations.PSF_FWHM}asec.fits": _cube(observed),
        f"{MOCK_NAME}_MAPS_copt_{observations.PSF_FWHM}asec.fits": _maps(observed, bin_id),
        f"{MOCK_NAME}_TRUTH.fits": _truth(observed, templates),
    }
    for band in load_instrument("muse-hst").band_names:
        image, weight = observed.images[band]
        stem = f"hlsp_phangs-hst_hst_wfc3-uvis_{MOCK_NAME.lower()}_{band.lower()}_v1"
        files[f"{stem}_exp-drc-sci.fits"] = _mosaic(image, band, templates, quantize=_LEVELS)
        files[f"{stem}_err-drc-wht.fits"] = _mosaic(_round_in_log(weight), band, templates, quantize=None)
    return write_fits_files(files, folder)


def write_fits_files(files: Mapping[str, fits.HDUList], folder: Path) -> list[Path]:
    """Write FITS files by name into ``folder``, which is made, with checksums.

    Parameters
    ----------
    files : mapping of str to HDUList
        By file name.
    folder : Path
        What it holds of these names is replaced.

    Returns
    -------
    list of Path

    Raises
    ------
    ComputeError
        The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, hdus in files.items():
            hdus.writeto(folder / name, overwrite=True, checksum=True)
    except OSError as err:
        raise ComputeError(f"`output` {folder}: cannot be written ({err}); choose another folder") from err
    return [folder / name for name in files]


def _round_in_log(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Positive values rounded to steps of `_VARIANCE_STEP` in their logarithm."""
    return np.exp(np.round(np.log(values) / _VARIANCE_STEP) * _VARIANCE_STEP).astype(np.float32)


def _compressed(
    data: NDArray[Any], header: fits.Header, name: str, tile: tuple[int, ...], quantize: float | None
) -> Any:
    """Tile-compressed image: quantised to ``1 / quantize`` of the noise (Rice), or without loss (None, gzip)."""
    if quantize is None:
        # Level 0 stores floats as they are; GZIP_2 shuffles their bytes first.
        return fits.CompImageHDU(
            data, header, name=name, compression_type="GZIP_2", tile_shape=tile, quantize_level=0.0
        )
    return fits.CompImageHDU(
        data, header, name=name, compression_type="RICE_1", tile_shape=tile, quantize_level=quantize, dither_seed=1
    )


def _primary_hdu(**cards: Any) -> fits.PrimaryHDU:
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = MOCK_NAME
    primary.header["REDSHIFT"] = galaxy.MOCK_REDSHIFT
    for key, value in cards.items():
        primary.header[key] = value
    primary.header["COMMENT"] = "A mock galaxy: napari-sfh-train mock. No telescope saw it."
    return primary


def _celestial(wcs: WCS) -> fits.Header:
    header = wcs.to_header()
    for key in [k for k in header if k.startswith(("PC", "CDELT"))]:
        del header[key]
    for i in (1, 2):
        for j in (1, 2):
            header[f"CD{i}_{j}"] = float(wcs.wcs.cd[i - 1, j - 1])
    return header


def _cube(observed: MockObservation) -> fits.HDUList:
    header = _celestial(observations.make_cube_wcs())
    header["CTYPE3"], header["CUNIT3"], header["CRPIX3"] = "AWAV", "Angstrom", 1.0
    header["CRVAL3"], header["CD3_3"] = float(observations.WAVE_OBS[0]), 1.25
    for key in ("CD1_3", "CD2_3", "CD3_1", "CD3_2"):
        header[key] = 0.0
    header["BUNIT"], header["OBJECT"] = _UNIT, MOCK_NAME
    stat = header.copy()
    stat["BUNIT"] = f"({_UNIT})**2"
    ny, nx = observed.flux.shape[1:]
    return fits.HDUList(
        [
            _primary_hdu(INSTRUME="MUSE", TELESCOP="ESO-VLT-U4"),
            _compressed(observed.flux, header, "DATA", (1, ny, nx), _LEVELS),
            _compressed(_round_in_log(observed.variance), stat, "STAT", (60, ny, nx), None),
        ]
    )


def _mosaic(image: NDArray[np.float32], band: str, templates: Templates, quantize: float | None) -> fits.HDUList:
    flam, pivot, exposure = observations.mock_hst_calibration(band, templates)
    header = _celestial(observations.make_hst_wcs())
    cards = {
        "TELESCOP": "HST", "INSTRUME": "WFC3", "DETECTOR": "UVIS", "FILTER": band, "BUNIT": "ELECTRONS/S",
        "PHOTFLAM": flam, "PHOTPLAM": round(pivot, 2), "PHOTZPT": -21.1, "EXPTIME": exposure, "OBJECT": MOCK_NAME,
    }  # fmt: skip
    for key, value in cards.items():
        header[key] = value
    return fits.HDUList(
        [_primary_hdu(), _compressed(image, header, "SCI" if quantize else "WHT", image.shape, quantize)]
    )


def _maps(observed: MockObservation, bin_id: NDArray[np.int32]) -> fits.HDUList:
    """Kinematics as the DAP would find them in its bins: bin means with an error of 3 km/s in V, 6 in sigma."""
    header = _celestial(observations.make_cube_wcs())
    rng = np.random.default_rng(len(np.unique(bin_id)))
    light = np.clip(observed.flux[520:680].mean(0), 0, None)
    count = bin_id.max() + 1
    total = np.bincount(bin_id.ravel(), light.ravel(), count)
    hdus: list[Any] = [_primary_hdu()]
    images: dict[str, NDArray[Any]] = {"BIN_ID": (bin_id - 1).astype(np.float64)}
    for name, truth, error in (("V_STARS", observed.v_kms, 3.0), ("SIGMA_STARS", observed.sigma_kms, 6.0)):
        mean = np.bincount(bin_id.ravel(), (light * truth).ravel(), count) / np.maximum(total, 1e-30)
        image = (mean + error * rng.standard_normal(count))[bin_id]
        images[name] = np.where(bin_id > 0, image, np.nan).astype(np.float32)
        images[f"FORM_ERR_{name}"] = np.where(bin_id > 0, error, np.nan).astype(np.float32)
    for name, image in images.items():
        head = header.copy()
        if name != "BIN_ID":
            head["BUNIT"] = "km/s"
        hdus.append(_compressed(image, head, name, image.shape, None))
    return fits.HDUList([*hdus, *_line_hdus(observed.lines, header)])


def _line_hdus(lines: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]], header: fits.Header) -> list[Any]:
    """Images of line fluxes and errors, named as the DAP does; errors in steps of 5 %, so that they compress."""
    head = header.copy()
    head["BUNIT"] = "1e-20 erg/s/cm2/spaxel"
    out = []
    for name, (flux, error) in lines.items():
        out.append(_compressed(flux, head, f"{name}_FLUX", flux.shape, _LEVELS))
        out.append(_compressed(np.sqrt(_round_in_log(error**2)), head, f"{name}_FLUX_ERR", error.shape, None))
    return out


def _scaled_image(values: NDArray[np.floating], step: float, header: fits.Header, name: str) -> fits.CompImageHDU:
    """Integers times ``step``, Rice-compressed."""
    head = header.copy()
    head["BSCALE"], head["BZERO"] = step, 0.0
    stored = np.round(values / step).astype(np.int16)
    hdu = fits.CompImageHDU(stored, head, name=name, compression_type="RICE_1", tile_shape=(1, *values.shape[1:]))
    hdu.header["BSCALE"], hdu.header["BZERO"] = step, 0.0
    return hdu


def _truth(observed: MockObservation, templates: Templates) -> fits.HDUList:
    """Fractions (16, ny, nx), [M/H], totals and the four means per spaxel, seen through the cube's PSF."""
    header = _celestial(observations.make_cube_wcs())
    mass, light = observed.mass, observed.light
    mass_frac, light_frac = mass / mass.sum(0), light / light.sum(0)
    mh = observed.mass_metals / np.maximum(mass, 1e-30)
    axis_last = [np.moveaxis(a, 0, -1) for a in (mass_frac, light_frac, mh)]
    means = compute_population_means(*axis_last)
    primary = _primary_hdu(LIBRARY=str(templates.provenance["name"]), TPL_SHA=templates.sha256[:32])
    primary.header["AGE_EDGE"] = (" ".join(f"{e:g}" for e in AGE_EDGES_GYR), "Gyr, lookback time")
    hdus: list[Any] = [primary]
    hdus += [
        _scaled_image(mass_frac, 1 / 32000, header, "MASS_FRAC"),
        _scaled_image(light_frac, 1 / 32000, header, "LIGHT_FRAC"),
        _scaled_image(np.clip(mh, -3, 3), 1e-4, header, "MH"),
    ]
    totals = {"MASS": mass.sum(0), "LIGHT": light.sum(0), "STAR": observed.star}
    units = {"lg_age_mw": "log(yr)", "lg_age_lw": "log(yr)", "mh_mw": "dex", "mh_lw": "dex"}
    for name, image in {**totals, **means}.items():
        head = header.copy()
        head["BUNIT"] = units.get(name, "relative")
        title = name.upper().removeprefix("LG_")
        hdus.append(fits.CompImageHDU(image.astype(np.float32), head, name=title, quantize_level=100.0))
    return fits.HDUList(hdus)
