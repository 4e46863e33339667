"""A toy sky with analytic truth, held in memory: what the tests of prep share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.wcs import WCS
from muse_hst import NORM_PIXELS, WAVE_AA

from napari_sfh.instruments.line_spread import MUSE_LSF
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.types import BinMap, Cube, Mosaic

MUSE_WAVE = 4749.88 + 1.25 * np.arange(2300)  # to 7623 AA
#: Rest wavelength, depth (negative = absorption) in Angstrom of equivalent width.
LINES = ((4861.3, -5.0), (5175.0, -4.0), (5270.0, -2.5), (5335.0, -2.0), (5892.0, -3.0), (6562.8, 20.0), (6583.4, 8.0))


def toy_wcs(ny: int, nx: int, pixel_arcsec: float, centre=(24.174, 15.783)) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = centre
    wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    wcs.wcs.cdelt = [-pixel_arcsec / 3600, pixel_arcsec / 3600]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.set()
    return wcs


def toy_spectrum(wave_aa, redshift=0.0, v_kms=0.0, sigma_kms=0.0):
    """Observed f_lambda of a tilted continuum with Gaussian lines, exact for LSF and dispersion."""
    stretch = (1 + redshift) * np.exp(v_kms / C_KMS)
    rest = wave_aa / stretch
    continuum = 1.0 + 0.3 * (rest - 5400.0) / 1000.0
    out = continuum.copy()
    for centre, width_aa in LINES:
        lsf = MUSE_LSF.fwhm_aa(centre * stretch) / FWHM_PER_SIGMA / stretch
        sigma = np.hypot(lsf, centre * sigma_kms / C_KMS)
        level = 1.0 + 0.3 * (centre - 5400.0) / 1000.0
        out += level * width_aa * np.exp(-0.5 * ((rest - centre) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
    return out


def toy_cube(flux, variance=None, good=None, wave=MUSE_WAVE, pixel=0.2, name="toy.fits", **extra) -> Cube:
    """A cube (n, ny, nx) in memory, 1e-20 erg/s/cm2/AA."""
    flux = np.asarray(flux, dtype=np.float32)
    valid = np.isfinite(flux) if good is None else good & np.isfinite(flux)
    if variance is not None:
        variance = np.asarray(variance, dtype=np.float32)
        valid = valid & (variance > 0)

    def read(lo, hi):
        part = None if variance is None else variance[lo:hi].copy()
        return flux[lo:hi].copy(), part, valid[lo:hi].copy()

    values = {
        "path": Path(name),
        "wave_aa": wave,
        "shape": flux.shape,
        "wcs": toy_wcs(*flux.shape[1:], pixel),
        "flux_scale": 1e-20,
        "read": read,
        "has_variance": variance is not None,
        "name": "Toy",
        "redshift": None,
        "psf_fwhm_arcsec": None,
    }
    return Cube(**(values | extra))


def toy_mosaic(data, error, pixel=0.04, photflam=1e-19, fwhm=0.08, name="toy_f555w.fits", wcs=None) -> Mosaic:
    data, error = np.asarray(data, dtype=np.float32), np.asarray(error, dtype=np.float32)
    return Mosaic(
        path=Path(name),
        band="F555W",
        filter_name="F555W",
        camera="UVIS",
        shape=data.shape,
        wcs=toy_wcs(*data.shape, pixel) if wcs is None else wcs,
        photflam=photflam,
        photplam_aa=5308.0,
        read=lambda y, x: (data[y, x].copy(), error[y, x].copy()),
        psf_fwhm_arcsec=fwhm,
    )


def toy_bins(bin_id) -> BinMap:
    bin_id = np.asarray(bin_id, dtype=np.int32)
    n = int(bin_id.max())
    y, x = np.nonzero(bin_id)
    label = bin_id[y, x] - 1
    nspax = np.bincount(label, minlength=n)
    return BinMap(
        bin_id=bin_id,
        x=np.bincount(label, x, minlength=n) / nspax,
        y=np.bincount(label, y, minlength=n) / nspax,
        nspax=nspax.astype(np.int32),
        snr=np.full(n, 40, dtype=np.float32),
        target_snr=35.0,
        method="vorbin",
    )


_RNG = np.random.default_rng(7)
FOREST = _RNG.uniform(4700.0, 7100.0, 90)
STRENGTH = _RNG.uniform(0.1, 0.9, (16, 4, 90)) * np.linspace(0.3, 1.0, 16)[:, None, None]


def forest(wave_aa, weights, redshift=0.0, v_kms=0.0, sigma_kms=0.0):
    """Spectrum with 90 absorption lines whose strengths depend on age and metallicity; ``weights`` (16, 4)."""
    stretch = (1 + redshift) * np.exp(v_kms / C_KMS)
    rest = wave_aa / stretch
    strength = np.tensordot(weights / weights.sum(), STRENGTH, 2)
    out = 1.0 - 0.2 * (rest - 5400.0) / 1000.0
    for centre, width_aa in zip(FOREST, strength):
        lsf = MUSE_LSF.fwhm_aa(centre * stretch) / FWHM_PER_SIGMA / stretch
        sigma = np.hypot(lsf, centre * sigma_kms / C_KMS)
        out -= width_aa * np.exp(-0.5 * ((rest - centre) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
    return out


def forest_basis() -> TemplateBasis:
    """Templates of `forest` at 150 km/s, with Hbeta, [O III], Halpha in the gas of the youngest."""
    spectrum = np.zeros((16, 4, WAVE_AA.size), dtype=np.float32)
    for a in range(16):
        for z in range(4):
            one = np.zeros((16, 4))
            one[a, z] = 1.0
            spectrum[a, z] = forest(WAVE_AA, one, sigma_kms=150.0)
    gas = sum(
        peak * np.exp(-0.5 * ((WAVE_AA - line) / 3.5) ** 2)
        for line, peak in ((4861.3, 1.0), (4958.9, 0.4), (5006.8, 1.2), (6562.8, 3.0), (6583.5, 0.9))
    )
    sed_wave = np.arange(1900.0, 10500.1, 50.0)
    return TemplateBasis(
        mh=np.array([-1.5, -0.7, 0.0, 0.2]),
        wave_aa=WAVE_AA,
        spectrum=spectrum,
        young=spectrum[0],
        young_nebular=np.broadcast_to(gas, spectrum[0].shape).astype(np.float32),
        sed_wave_aa=sed_wave,
        sed=np.ones((16, 4, sed_wave.size), np.float32),
        young_sed=np.ones((4, sed_wave.size), np.float32),
        young_nebular_sed=np.zeros((4, sed_wave.size), np.float32),
        light_v=np.ones((16, 4), np.float32),
        log_u=np.array(-3.0),
        filters=(),
        norm_pixels=NORM_PIXELS,
    )
