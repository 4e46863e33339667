"""The mock galaxy's field seen by another spectrograph: 6 AA wide lines, a logarithmic grid in vacuum, oblong spaxels.

Each spaxel is a bin of S/N enough, so that a cube of one spectrograph and a cube of another compare spaxel by spaxel.
The stars have one dispersion; noise, light and kinematics are alike but for what the spectrographs differ in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from napari_sfh.instruments.instrument import Instrument, SpectrumGrid
from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.physics.wavelength import C_KMS, vacuum_to_air
from napari_sfh.training.libraries import templates
from napari_sfh.training.mock.galaxy import MOCK_REDSHIFT, evaluate_mock_galaxy
from napari_sfh.training.simulator import forward_model

NY, NX = 9, 11
SPAXEL_ARCSEC = (1.0, 1.6)  # along x and along y
SIGMA_KMS, GAS_SIGMA_KMS = 60.0, 30.0
SNR = 45.0


@dataclass(frozen=True)
class Spectrograph:
    """What differs: line-spread function and grid of the cube."""

    name: str
    lsf: LineSpread
    wave_vacuum_aa: np.ndarray  # observed
    is_log: bool


#: 6 AA wide, from 3750 to 7300 AA in vacuum, in steps of ln(wavelength).
OTHER = Spectrograph(
    "other", LineSpread("constant_fwhm_aa", 6.0), np.exp(np.arange(np.log(3750.0), np.log(7300.0), 2.5e-4)), True
)
#: MUSE's line-spread function and steps.
MUSE = Spectrograph("muse", LineSpread("muse"), np.arange(4750.0, 7350.0, 1.25), False)


def make_cube(spectrograph: Spectrograph, folder: Path, seed: int = 3) -> tuple[Path, forward_model.Labels]:
    """Write a cube; the truth of its spaxels, row by row."""
    air = vacuum_to_air(spectrograph.wave_vacuum_aa)
    first, last = air[0] / (1 + MOCK_REDSHIFT) - 40, air[-1] / (1 + MOCK_REDSHIFT) + 40
    grid = SpectrumGrid(first, last, (5300.0, 5500.0), spectrograph.lsf, log_step=1e-4, sigma_kms=SIGMA_KMS)
    made = templates.prepare_templates("bc03-miles", Instrument(spectrograph.name, grid), cache=folder)
    model = forward_model.build_forward_model(made)
    y, x = (a.ravel().astype(float) for a in np.mgrid[:NY, :NX])
    x, y = (x - (NX - 1) / 2) * SPAXEL_ARCSEC[0], (y - (NY - 1) / 2) * SPAXEL_ARCSEC[1]
    sky = evaluate_mock_galaxy(x, y, made.sub_edges_gyr, model.mh_limits, 1)
    light = forward_model.compute_emitted_light(model, sky.params)
    gas = np.full(x.size, np.hypot(GAS_SIGMA_KMS, 0.0))
    rest = light.spectrum
    forward_model.add_emission_lines(rest, light.lines, made.line_wave_aa, gas, np.zeros(x.size), grid)
    stretch = (1 + MOCK_REDSHIFT) * (1 + sky.v_kms / C_KMS)
    seen = np.stack([np.interp(air / s, made.wave_aa, row) / s for s, row in zip(stretch, rest, strict=True)])
    seen *= 100.0 / seen[:, (air > 5310) & (air < 5510)].mean(1, keepdims=True)
    step = np.gradient(air)[np.searchsorted(air, 5400)]
    # The same light in wider pixels: S/N per 1.25 AA is alike.
    error = np.sqrt(np.maximum(seen, 2.0) * 100.0) / (SNR * np.sqrt(step / 1.25))
    noisy = seen + error * np.random.default_rng(seed).standard_normal(seen.shape)
    shape = (air.size, NY, NX)
    path = folder / f"MOCK_{spectrograph.name}_cube.fits"
    cubes = [(a.T.reshape(shape)).astype(np.float32) for a in (noisy, error**2)]
    header = _header(spectrograph)
    hdus = [fits.ImageHDU(cube, header, name=name) for cube, name in zip(cubes, ("DATA", "STAT"), strict=True)]
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = "MOCK"
    fits.HDUList([primary, *hdus]).writeto(path, overwrite=True)
    return path, forward_model.compute_labels(model, sky.params)


def write_bins(folder: Path) -> Path:
    """Every spaxel a bin."""
    path = folder / "bins.fits"
    fits.PrimaryHDU(np.arange(1, NY * NX + 1, dtype=np.int32).reshape(NY, NX)).writeto(path, overwrite=True)
    return path


def _header(spectrograph: Spectrograph) -> fits.Header:
    header, wave = fits.Header(), spectrograph.wave_vacuum_aa
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg", "CUNIT3": "Angstrom"})
    header.update({"CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": (NX + 1) / 2, "CRPIX2": (NY + 1) / 2, "CRPIX3": 1.0})
    header.update({"CD1_1": -SPAXEL_ARCSEC[0] / 3600, "CD2_2": SPAXEL_ARCSEC[1] / 3600, "CD1_2": 0.0, "CD2_1": 0.0})
    step = wave[0] * np.log(wave[1] / wave[0]) if spectrograph.is_log else wave[1] - wave[0]
    header.update({"CTYPE3": "WAVE-LOG" if spectrograph.is_log else "WAVE", "CRVAL3": wave[0], "CD3_3": step})
    header["BUNIT"] = "10**(-20)*erg/s/cm**2/Angstrom"
    return header
