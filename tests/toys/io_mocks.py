"""Small files in each archive's dress, with contents that are known in every pixel: shared by the tests of io."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

N, NY, NX = 3681, 4, 5
ESO_UNIT = "10**(-20)*erg/s/cm**2/Angstrom"
MPDAF_UNIT = "1e-20 erg / (Angstrom cm2 s)"
CENTRE = (24.174, 15.783)


def flux_values(n: int = N, ny: int = NY, nx: int = NX) -> np.ndarray:
    """Flux of each voxel: (channel + 1) (1 + 0.01 spaxel), exactly representable order of magnitude 1e-20."""
    spaxel = np.arange(ny * nx).reshape(ny, nx)
    return ((np.arange(n)[:, None, None] + 1) * (1 + 0.01 * spaxel)).astype(np.float32)


def cube_header(ny: int = NY, nx: int = NX, angle_deg: float = 0.0, **cards: Any) -> fits.Header:
    """PHANGS-like cards of DATA; ``cards`` replace, None deletes."""
    h = fits.Header()
    a, s = np.deg2rad(angle_deg), 0.2 / 3600
    h.update(
        {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CTYPE3": "AWAV",
            "CUNIT1": "deg",
            "CUNIT2": "deg",
            "CUNIT3": "Angstrom",
            "CRVAL1": CENTRE[0],
            "CRVAL2": CENTRE[1],
            "CRVAL3": 4749.88,
            "CRPIX1": (nx + 1) / 2,
            "CRPIX2": (ny + 1) / 2,
            "CRPIX3": 1.0,
            "CD1_1": -s * np.cos(a),
            "CD1_2": s * np.sin(a),
            "CD2_1": s * np.sin(a),
            "CD2_2": s * np.cos(a),
            "CD3_3": 1.25,
            "BUNIT": ESO_UNIT,
        }
    )
    for key, value in cards.items():
        if value is None:
            h.remove(key, ignore_missing=True)
        else:
            h[key] = value
    return h


def write_cube(
    path: Path,
    flux: np.ndarray | None = None,
    stat: np.ndarray | str | None = "tenth",
    dq: np.ndarray | None = None,
    primary: dict[str, Any] | None = None,
    names: tuple[str, str] = ("DATA", "STAT"),
    compress: bool = False,
    angle_deg: float = 0.0,
    stat_unit: str | None = None,
    **cards: Any,
) -> Path:
    """Write a cube. ``stat``: variance, or "tenth" for (0.1 flux)^2, or None for no STAT."""
    flux = flux_values() if flux is None else flux
    header = cube_header(*flux.shape[1:], angle_deg=angle_deg, **cards)
    image = fits.CompImageHDU if compress else fits.ImageHDU
    options: dict[str, Any] = {"compression_type": "GZIP_2", "quantize_level": 0} if compress else {}
    hdus = [fits.PrimaryHDU(header=fits.Header({"OBJECT": "NGC0628", **(primary or {})}))]
    hdus.append(image(flux, header=header, name=names[0], **options))
    if stat is not None:
        variance = (0.1 * flux) ** 2 if isinstance(stat, str) else stat
        h = header.copy()
        h["BUNIT"] = f"({header.get('BUNIT', '')})**2" if stat_unit is None else stat_unit
        hdus.append(image(variance.astype(np.float32), header=h, name=names[1], **options))
    if dq is not None:
        hdus.append(fits.ImageHDU(dq, header=header, name="DQ"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def image_header(ny: int, nx: int, pixel_arcsec: float = 0.0396) -> fits.Header:
    """A celestial header around the cube's centre."""
    h = fits.Header()
    h.update(
        {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": CENTRE[0],
            "CRVAL2": CENTRE[1],
            "CRPIX1": (nx + 1) / 2,
            "CRPIX2": (ny + 1) / 2,
            "CD1_1": -pixel_arcsec / 3600,
            "CD1_2": 0.0,
            "CD2_1": 0.0,
            "CD2_2": pixel_arcsec / 3600,
        }
    )
    return h


#: HST keywords of a UVIS F275W image, as PHANGS-HST ships them.
UVIS = {
    "INSTRUME": "WFC3",
    "DETECTOR": "UVIS",
    "FILTER": "F275W",
    "BUNIT": "ELECTRONS/S",
    "PHOTFLAM": 3.3e-18,
    "PHOTPLAM": 2709.7,
    "EXPTIME": 2190.0,
}


def write_mosaic(
    path: Path, data: np.ndarray, weight: np.ndarray | None = None, weight_name: str | None = None, **cards: Any
) -> Path:
    """Write a science image in HDU 0 and, if given, its weight map beside it. None deletes a card."""
    header = image_header(*data.shape)
    for key, value in {**UVIS, **cards}.items():
        if value is not None:
            header[key] = value
    fits.PrimaryHDU(data.astype(np.float32), header).writeto(path, overwrite=True)
    if weight is not None:
        name = weight_name or path.name.replace("exp-drc-sci", "err-drc-wht").replace("exp_drc_sci", "err_drc_wht")
        fits.PrimaryHDU(weight.astype(np.float32), header).writeto(path.parent / name, overwrite=True)
    return path


PHANGS_LINES = ("HB4861", "OIII5006", "HA6562", "NII6583", "SII6716", "SII6730")


def write_maps(path: Path, bin_id: np.ndarray, redshift: float | None = 0.00219, **drop: bool) -> Path:
    """Write a public MAPS file: V = 10 x bin, sigma = 50 + bin, Halpha flux 1000 + bin. ``V_STARS=False`` drops it."""
    header = cube_header(*bin_id.shape)
    for key in ("CTYPE3", "CUNIT3", "CRVAL3", "CRPIX3", "CD3_3", "BUNIT"):
        del header[key]
    images: dict[str, np.ndarray] = {
        "BIN_ID": bin_id.astype(np.float64),
        "V_STARS": 10.0 * bin_id,
        "FORM_ERR_V_STARS": np.ones(bin_id.shape),
        "SIGMA_STARS": 50.0 + bin_id,
        "FORM_ERR_SIGMA_STARS": np.ones(bin_id.shape),
    }
    for k, line in enumerate(PHANGS_LINES):
        images |= {f"{line}_FLUX": 1000.0 * (k + 1) + bin_id, f"{line}_FLUX_ERR": np.ones(bin_id.shape)}
        images |= {f"{line}_VEL": 10.0 * bin_id, f"{line}_SIGMA": 60.0 + bin_id}
    primary = fits.Header({} if redshift is None else {"REDSHIFT": redshift})
    hdus = [fits.PrimaryHDU(header=primary)]
    hdus += [fits.ImageHDU(v, header=header, name=k) for k, v in images.items() if drop.get(k, True)]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def drizzled_noise(side: int, sigma: float) -> np.ndarray:
    """Noise of eight exposures at random places, each pixel spread over the four that it meets: drizzle, pixfrac 1."""
    rng = np.random.default_rng(8)
    out = np.zeros((side, side))
    for _ in range(8):
        a, b = rng.random(2)
        one = rng.normal(0, sigma * np.sqrt(8), (side + 1, side + 1))
        out += (1 - a) * ((1 - b) * one[:-1, :-1] + b * one[:-1, 1:]) + a * ((1 - b) * one[1:, :-1] + b * one[1:, 1:])
    return out / 8
