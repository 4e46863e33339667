"""A galaxy at full size in files, dressed as PHANGS ships them: cube with DATA and STAT, MAPS, five mosaics, weights.

    python benchmarks/big_galaxy.py FOLDER [--side 1000] [--mosaic 10000]

An exponential disc whose stars get younger and poorer in metals outwards, with a rotation curve and star clusters; the
spectra are the bundled template basis's, which have 150 km/s, and so MAPS says. The cube is a product of a few dozen
spectra (radii x velocities) and their images, written plane by plane: the whole is never in memory. Every pixel is
written (no sparse file); in each plane some pixels are bad.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from napari_sfh.instruments.files import load_instrument
from napari_sfh.model.bundle import load_bundle
from napari_sfh.physics.ages import AGE_EDGES_GYR, AGE_GYR
from napari_sfh.physics.wavelength import C_KMS

Array = NDArray[np.floating]

_INSTRUMENT = load_instrument()
BANDS, WAVE_AA = _INSTRUMENT.band_names, _INSTRUMENT.wave_aa
NAME, REDSHIFT, SIGMA_KMS = "FULL0001", 0.0025, 149.0
WAVE_OBS = 4749.88 + 1.25 * np.arange(3681)
SPAXEL, PIXEL_HST, PSF_FWHM, PSF_HST, ROTATION = 0.2, 0.0396, 0.92, 0.08, 12.0  # arcsec, arcsec, arcsec, arcsec, deg
#: Flux of the central spaxel (1e-20 erg/s/cm2/AA), scale length as a share of the field's side, S/N at two fluxes.
_CENTRE, _SCALE = 3000.0, 0.22
_SNR_CENTRE, _SNR_EDGE, _EDGE_SHARE = 12.0, 1.9, 0.05
_V_NODES = np.linspace(-130.0, 130.0, 5)
_R_NODES = np.linspace(0.0, 5.0, 6)  # scale lengths
_CLUSTERS, _BAD_PER_PLANE, _PLANES = 400, 20, 16
#: UVIS: erg/s/cm2/AA per e-/s, pivots (AA), exposures (s), background noise (e-/s per pixel).
_PHOTFLAM = (3.2e-18, 1.3e-18, 6.7e-19, 1.85e-19, 1.5e-19)
_PIVOT = (2709.7, 3354.5, 4326.2, 5308.4, 8039.1)
_EXPOSURE, _BACKGROUND = (2190.0, 1110.0, 1050.0, 670.0, 830.0), (0.0022, 0.0030, 0.0040, 0.0065, 0.0065)
_UNIT = "10**(-20)*erg/s/cm**2/Angstrom"


def gigabytes(side: int, mosaic: int) -> float:
    """Size of the files."""
    return (8.0 * side**2 * WAVE_OBS.size + 8.0 * len(BANDS) * mosaic**2) / 1e9


def write(folder: Path, side: int = 1000, mosaic: int = 10_000, seed: int = 0) -> None:
    """Write all files of a field of ``side`` spaxels and ``mosaic`` HST pixels on a side."""
    flux, phot = _populations()
    write_cube(folder / f"{NAME}_PHANGS_DATACUBE_copt_{PSF_FWHM}asec.fits", side, flux, seed)
    write_maps(folder / f"{NAME}_MAPS_copt_{PSF_FWHM}asec.fits", side)
    for k, band in enumerate(BANDS):
        write_mosaic(folder, k, band, mosaic, side, phot, seed)


def _populations() -> tuple[Array, Array]:
    """Spectra (7, W) and bands (7, B), relative to the window's mean: six radii, and the clusters."""
    basis = load_bundle().basis
    width = np.diff(np.minimum(AGE_EDGES_GYR, 13.0)).clip(0.0)
    mass = np.stack([width * np.exp(np.minimum(AGE_GYR, 13.0) / tau) for tau in np.linspace(1.5, 9.0, 6)])
    mass = np.vstack([mass, np.where(AGE_GYR < 0.03, width, 0.0)])
    mh = np.broadcast_to(np.append(np.linspace(0.2, -0.3, 6), -0.1)[:, None], mass.shape)
    return basis.reconstruct(mass / mass.sum(1, keepdims=True), mh, np.full(7, 0.3), np.full(7, 0.8))


def sky_wcs(n: int, pixel: float, turn_deg: float = 0.0) -> WCS:
    """Tangent plane of n x n pixels around the galaxy's centre."""
    wcs, a = WCS(naxis=2), np.radians(turn_deg)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [24.17, 15.78], [0.5 * (n + 1)] * 2
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    wcs.wcs.cd = np.diag([-1.0, 1.0]) @ turn * pixel / 3600.0
    return wcs


def _place(wcs: WCS, x: Array, y: Array, side: int) -> tuple[Array, Array]:
    """Radius in scale lengths and cosine of the azimuth in the disc's plane, of 0-based pixels."""
    (a, b), (c, d) = wcs.wcs.cd * 3600.0 / (_SCALE * side * SPAXEL)
    x, y = x - np.float32(wcs.wcs.crpix[0] - 1), y - np.float32(wcs.wcs.crpix[1] - 1)
    along, across = -(a * x + b * y), (c * x + d * y) / np.cos(np.radians(40.0))
    r = np.hypot(along, across)
    return r, along / np.maximum(r, 1e-6)


def _hats(nodes: Array, x: Array) -> Array:
    """Weights (nodes, ...) of linear interpolation, constant outside."""
    x = np.clip(x, nodes[0], nodes[-1])
    return np.maximum(0.0, 1.0 - np.abs(x - nodes[(...,) + (None,) * x.ndim]) / (nodes[1] - nodes[0]))


def velocity(r: Array, cosine: Array) -> Array:
    """Line-of-sight velocity, km/s."""
    return 120.0 * np.tanh(r / 0.7) * cosine


def _clusters(image: Array, wcs: WCS, side: int, pixel: float, fwhm: float, seed: int) -> Array:
    """Star clusters with a PSF, in place: in units of the central spaxel's flux."""
    rng = np.random.default_rng(seed)
    field = 0.45 * side * SPAXEL
    sky = rng.uniform(-field, field, (_CLUSTERS, 2))  # arcsec
    light = 10 ** rng.uniform(-1.0, 0.8, _CLUSTERS)
    sigma = fwhm / 2.3548 / pixel
    reach = int(np.ceil(5 * sigma))
    for (x, y), flux in zip(np.linalg.solve(wcs.wcs.cd * 3600.0, sky.T).T + wcs.wcs.crpix - 1, light):
        low = np.array([y, x]).round().astype(int) - reach
        box = tuple(slice(max(0, a), a + 2 * reach + 1) for a in low)
        yy, xx = np.ogrid[: image.shape[0], : image.shape[1]]
        d2 = (yy[box[0]] - y) ** 2 + (xx[:, box[1]] - x) ** 2
        image[box] += flux * np.exp(-0.5 * d2 / sigma**2) / (2 * np.pi * sigma**2)
    return image


def _header(wcs: WCS, **cards: str | float) -> fits.Header:
    header = fits.Header()
    for i, axis in enumerate(wcs.wcs.ctype, start=1):
        header[f"CTYPE{i}"], header[f"CUNIT{i}"] = axis, "deg"
        header[f"CRVAL{i}"], header[f"CRPIX{i}"] = float(wcs.wcs.crval[i - 1]), float(wcs.wcs.crpix[i - 1])
        for j in (1, 2):
            header[f"CD{i}_{j}"] = float(wcs.wcs.cd[i - 1, j - 1])
    header.update({"OBJECT": NAME, **cards})
    return header


def write_cube(path: Path, side: int, spectra: Array, seed: int) -> None:
    """DATA with noise and bad pixels, and STAT, plane by plane."""
    wcs = sky_wcs(side, SPAXEL)
    rest = [WAVE_OBS / ((1 + REDSHIFT) * np.exp(v / C_KMS)) for v in _V_NODES]
    rows = [np.interp(wave, WAVE_AA, row) for row in spectra[:-1] for wave in rest]
    table = np.array([*rows, np.interp(rest[2], WAVE_AA, spectra[-1])], dtype=np.float32)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    r, cosine = _place(wcs, x, y, side)
    by_radius, by_v = _hats(_R_NODES, r), _hats(_V_NODES, velocity(r, cosine))
    disc = np.exp(-r)
    images = [(disc * a * b).ravel() for a in by_radius for b in by_v]
    weight = np.array([*images, _clusters(np.zeros_like(r), wcs, side, SPAXEL, PSF_FWHM, seed).ravel()], np.float32)
    del by_radius, by_v, images
    faint = _EDGE_SHARE * _CENTRE
    variances = (_CENTRE / _SNR_CENTRE) ** 2, (faint / _SNR_EDGE) ** 2
    per_flux = (variances[0] - variances[1]) / (_CENTRE - faint)
    sky = variances[1] - per_flux * faint
    rng = np.random.default_rng(seed + 1)

    def data(flux: Array) -> Array:
        flux += np.sqrt(per_flux * flux + sky) * rng.standard_normal(flux.shape, dtype=np.float32)
        for plane in flux:
            plane[rng.integers(0, plane.size, _BAD_PER_PLANE)] = np.nan
        return flux

    fits.PrimaryHDU(header=fits.Header({"OBJECT": NAME, "REDSHIFT": REDSHIFT})).writeto(path, overwrite=True)
    for name, unit, made in (
        ("DATA", _UNIT, data),
        ("STAT", f"({_UNIT})**2", lambda flux: np.float32(per_flux) * flux + np.float32(sky)),
    ):
        _write_planes(path, name, unit, wcs, side, table, weight, made)


def _write_planes(
    path: Path, name: str, unit: str, wcs: WCS, side: int, table: Array, weight: Array, made: Callable[[Array], Array]
) -> None:
    header = fits.Header([("XTENSION", "IMAGE"), ("BITPIX", -32), ("NAXIS", 3)])
    header.update({"NAXIS1": side, "NAXIS2": side, "NAXIS3": WAVE_OBS.size, "PCOUNT": 0, "GCOUNT": 1, "EXTNAME": name})
    header.extend(_header(wcs, CTYPE3="AWAV", CUNIT3="Angstrom", CRPIX3=1.0, CRVAL3=WAVE_OBS[0], CD3_3=1.25))
    header["BUNIT"] = unit
    stream = fits.StreamingHDU(str(path), header)
    for lo in range(0, WAVE_OBS.size, _PLANES):
        flux = np.float32(_CENTRE) * (table[:, lo : lo + _PLANES].T @ weight)
        stream.write(made(flux).reshape(-1, side, side).astype(">f4"))
    stream.close()


def write_maps(path: Path, side: int) -> None:
    """Kinematics of the stars in blocks of 5 x 5 spaxels."""
    wcs = sky_wcs(side, SPAXEL)
    y, x = (5 * (a // 5) + 2 for a in np.mgrid[:side, :side].astype(np.float32))
    maps = {
        "BIN_ID": ((y // 5) * (side // 5 + 1) + x // 5).astype(np.float64),
        "V_STARS": velocity(*_place(wcs, x, y, side)).astype(np.float32),
        "SIGMA_STARS": np.full((side, side), SIGMA_KMS, np.float32),
    }
    hdus = [fits.ImageHDU(image, _header(wcs), name=name) for name, image in maps.items()]
    primary = fits.PrimaryHDU(header=fits.Header({"OBJECT": NAME, "REDSHIFT": REDSHIFT}))
    fits.HDUList([primary, *hdus]).writeto(path, overwrite=True)


def write_mosaic(folder: Path, k: int, band: str, n: int, side: int, phot: Array, seed: int) -> None:
    """One band's image and its weights, 1 / variance; a strip of the detector's gap is bad."""
    wcs = sky_wcs(n, PIXEL_HST, ROTATION)
    image = np.zeros((n, n), np.float32)
    _clusters(image, wcs, side, PIXEL_HST, PSF_HST, seed)
    # A cluster's light is that of so many central spaxels, whatever the pixel; a disc's surface brightness is not.
    image *= phot[-1, k]
    x = np.arange(n, dtype=np.float32)[None]
    rng = np.random.default_rng(seed + 2 + k)
    per_pixel = _CENTRE * 1e-20 / _PHOTFLAM[k]
    header = _header(
        wcs, TELESCOP="HST", INSTRUME="WFC3", DETECTOR="UVIS", FILTER=band, BUNIT="ELECTRONS/S",
        PHOTFLAM=_PHOTFLAM[k], PHOTPLAM=_PIVOT[k], EXPTIME=_EXPOSURE[k],
    )  # fmt: skip
    stem = f"hlsp_phangs-hst_hst_wfc3-uvis_{NAME.lower()}_{band.lower()}_v1"
    weight = np.empty((n, n), np.float32)
    for lo in range(0, n, 250):
        rows = slice(lo, min(lo + 250, n))
        r = _place(wcs, x, np.arange(rows.start, rows.stop, dtype=np.float32)[:, None], side)[0]
        disc = np.exp(-r) * np.interp(r, _R_NODES, phot[:-1, k]) * (PIXEL_HST / SPAXEL) ** 2
        rate = (image[rows] + disc) * per_pixel
        variance = rate / _EXPOSURE[k] + _BACKGROUND[k] ** 2
        image[rows] = rate + np.sqrt(variance) * rng.standard_normal(rate.shape, dtype=np.float32)
        weight[rows] = 1 / variance
    weight[n // 2 + n // 100 : n // 2 + n // 100 + 30] = 0.0
    for kind, pixels in (("exp-drc-sci", image), ("err-drc-wht", weight)):
        fits.PrimaryHDU(pixels, header).writeto(folder / f"{stem}_{kind}.fits", overwrite=True)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=1000, help="spaxels on a side of the cube")
    parser.add_argument("--mosaic", type=int, default=10_000, help="pixels on a side of the mosaics")
    options = parser.parse_args()
    print(f"{gigabytes(options.side, options.mosaic):.1f} GB to be written")
    options.folder.mkdir(parents=True, exist_ok=True)
    write(options.folder, options.side, options.mosaic)


if __name__ == "__main__":
    main()
