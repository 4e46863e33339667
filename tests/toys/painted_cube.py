"""Cubes painted in closed form: Gaussian lines on a smooth continuum, whose widths add in quadrature with those of the
stars' motion and of the line-spread function.
"""

from typing import NamedTuple

import numpy as np
from astropy.io import fits

from napari_sfh.physics.wavelength import C_KMS, vacuum_to_air

NY, NX = 2, 3
FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
LINE_SIGMA_AA = 4.0  # of the lines before anything broadens them
ERROR = 1e-3  # of a pixel of the cube, the continuum being near 1
FLUX_SCALE, UNIT = 1e-20, "10**(-20)*erg/s/cm**2/Angstrom"


class PaintedCube(NamedTuple):
    """How a cube is made."""

    is_log: bool = False
    medium: str = "air"
    fwhm_aa: float = 3.0  # of its line-spread function, observed
    redshift: float = 0.002
    v_kms: float = 0.0
    sigma_kms: float = 60.0
    seed: int = 1

    @property
    def stretch(self):
        return (1 + self.redshift) * np.exp(self.v_kms / C_KMS)


class Paint:
    """Spectra of N spaxels as functions of the rest wavelength."""

    def __init__(self, first, last, seed, shape=(NY, NX)):
        rng, n = np.random.default_rng(seed), shape[0] * shape[1]
        self.shape = shape
        self.middle = 0.5 * (first + last)
        self.light = 10 ** rng.uniform(2, 2.5, n)
        self.slope = rng.uniform(-2, 2, n)
        self.lines_aa = np.arange(first + 30.0, last, 61.0)
        self.depth = rng.uniform(0.02, 0.2, (n, self.lines_aa.size))

    def draw(self, rest_aa, sigma_aa):
        """(N, W): each line as broad as its own width and ``sigma_aa`` (W,) make it."""
        out = (rest_aa / self.middle) ** self.slope[:, None]
        width = np.hypot(LINE_SIGMA_AA, sigma_aa)
        for line, depth in zip(self.lines_aa, self.depth.T, strict=True):
            profile = LINE_SIGMA_AA / width * np.exp(-0.5 * ((rest_aa - line) / width) ** 2)
            out = out - depth[:, None] * profile * (rest_aa / self.middle) ** self.slope[:, None]
        return self.light[:, None] * out


def write_painted_cube(folder, paint, cube, first, last):
    """The cube, every spaxel a bin, oblong on the sky; its wavelengths in air."""
    own = np.arange(first * cube.stretch - 60.0, last * cube.stretch + 60.0, 1.1)
    if cube.is_log:
        own = own[0] * np.exp(np.arange(0.0, np.log(own[-1] / own[0]), 2.2e-4))
    air = vacuum_to_air(own) if cube.medium == "vacuum" else own
    rest = air / cube.stretch
    seen = np.hypot(rest * cube.sigma_kms / C_KMS, cube.fwhm_aa / FWHM_PER_SIGMA / cube.stretch)
    error = np.broadcast_to(ERROR * paint.light[:, None], (paint.light.size, air.size))
    flux = paint.draw(rest, seen) + error * np.random.default_rng(cube.seed).standard_normal(error.shape)
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg"})
    header.update({"CRVAL1": 10.0, "CRVAL2": 5.0, "CRPIX1": 1.0, "CRPIX2": 1.0})
    header.update({"CD1_1": -1e-4, "CD2_2": 2e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CUNIT3": "Angstrom"})
    kind = "AWAV" if cube.medium == "air" else "WAVE"
    step = own[0] * np.log(own[1] / own[0]) if cube.is_log else own[1] - own[0]
    header.update({"CTYPE3": kind + ("-LOG" if cube.is_log else ""), "CRPIX3": 1.0, "CRVAL3": own[0], "CD3_3": step})
    hdus = [
        fits.ImageHDU(a.T.reshape(-1, *paint.shape).astype(np.float32), header, name=name)
        for a, name in ((flux, "DATA"), (error**2, "STAT"))
    ]
    for hdu, unit in zip(hdus, (UNIT, f"({UNIT})**2"), strict=True):
        hdu.header["BUNIT"] = unit
    path, bins = folder / "cube.fits", folder / "bins.fits"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    fits.PrimaryHDU(np.arange(1, paint.light.size + 1, dtype=np.int32).reshape(paint.shape)).writeto(bins)
    return path, bins, air
