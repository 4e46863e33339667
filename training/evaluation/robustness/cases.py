"""Test cases nearer to the sky: galaxies of the independent simulator whose data are wrong in one known way.

Each case changes noiseless spectra, or what was observed. Shifts and widths are exact (a cubic spline and a Fourier
transform), not the expansion by which training disturbs its own spectra (`simulator.preparation_errors`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicSpline

from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.observation import mask_gas_lines
from napari_sfh.training.simulator.independent_simulator import IndependentGalaxies
from napari_sfh.training.simulator.noise import list_sky_lines
from napari_sfh.training.simulator.preparation_errors import make_telluric_profiles
from napari_sfh.types import F64, Observation

#: Sizes of the errors.
CALIBRATION, CALIBRATION_SCALES_AA = 0.05, (100.0, 1000.0)
TELLURIC, LSF, VELOCITY_KMS, SIGMA, SKY, SCATTERED = 0.05, 0.10, 20.0, 0.15, 4.0, 0.05
_SIGMA_STAR_KMS = (40.0, 150.0)  # of the galaxies whose dispersion is wrong
_REDSHIFT = (0.0, 0.01)  # where telluric bands and sky lines fall into the rest frame

Change = Callable[[IndependentGalaxies, np.random.Generator], IndependentGalaxies]
Fault = Callable[[Observation, np.random.Generator], Observation]


def _keep(galaxies: IndependentGalaxies, rng: np.random.Generator) -> IndependentGalaxies:
    return galaxies


def _pass(data: Observation, rng: np.random.Generator) -> Observation:
    return data


@dataclass(frozen=True)
class TestCase:
    """What happens to galaxies before they are observed, and to their data afterwards."""

    __test__ = False  # no test class, whatever its name says

    words: str
    change: Change = _keep
    fault: Fault = _pass

    def observe(self, galaxies: IndependentGalaxies, snr: float, seed: int) -> Observation:
        """Data of this case; the noise is the same in every case."""
        changed = self.change(galaxies, np.random.default_rng([seed, 1]))
        data = changed.observe(snr, np.random.default_rng([seed, 2]))
        return self.fault(data, np.random.default_rng([seed, 3]))


def _scale_flux(galaxies: IndependentGalaxies, factor: F64) -> IndependentGalaxies:
    return replace(galaxies, flux=galaxies.flux * factor)


def _spoil_calibration(galaxies: IndependentGalaxies, rng: np.random.Generator) -> IndependentGalaxies:
    """Three waves on scales of `CALIBRATION_SCALES_AA`, each with a scatter of its share of `CALIBRATION`."""
    n, wave = len(galaxies.flux), galaxies.instrument.wave_aa
    low, high = np.log(CALIBRATION_SCALES_AA)
    total = np.zeros(galaxies.flux.shape)
    for _ in range(3):
        scale = np.exp(rng.uniform(low, high, (n, 1)))
        total += np.cos(2 * np.pi * (wave / scale + rng.random((n, 1))))
    return _scale_flux(galaxies, 1 + CALIBRATION * np.sqrt(2 / 3) * total)


def _leave_telluric(galaxies: IndependentGalaxies, rng: np.random.Generator) -> IndependentGalaxies:
    n = len(galaxies.flux)
    profile = make_telluric_profiles(galaxies.instrument.wave_aa, rng.uniform(*_REDSHIFT, n))
    return _scale_flux(galaxies, 1 + TELLURIC * rng.standard_normal((n, 1)) * profile)


def _shift_spectra(galaxies: IndependentGalaxies, rng: np.random.Generator) -> IndependentGalaxies:
    wave = galaxies.instrument.wave_aa
    shift = 1 - VELOCITY_KMS / C_KMS * rng.choice([-1.0, 1.0], len(galaxies.flux))
    flux = np.stack([CubicSpline(wave, f)(wave * s) for f, s in zip(galaxies.flux, shift, strict=True)])
    return replace(galaxies, flux=flux)


def _change_width(galaxies: IndependentGalaxies, excess_px: F64) -> IndependentGalaxies:
    """Spectra whose squared width in pixels grows by ``excess_px`` (N,), or falls: they are smooth and noiseless."""
    flux, n_wave = galaxies.flux, galaxies.instrument.n_wave
    mirrored = np.concatenate([flux, flux[:, ::-1]], 1)
    frequency = np.fft.rfftfreq(2 * n_wave)
    transfer = np.exp(np.minimum(-2 * np.pi**2 * excess_px[:, None] * frequency**2, 6.0))
    return replace(galaxies, flux=np.fft.irfft(np.fft.rfft(mirrored) * transfer, 2 * n_wave)[:, :n_wave])


def _mistake_lsf(galaxies: IndependentGalaxies, rng: np.random.Generator) -> IndependentGalaxies:
    grid = galaxies.instrument.grid
    middle = grid.n_wave // 2
    width = float(grid.lsf.fwhm_aa(grid.wave_aa[middle])) / FWHM_PER_SIGMA / grid.pixel_aa[middle]
    share = LSF * rng.choice([-1.0, 1.0], len(galaxies.flux))
    return _change_width(galaxies, ((1 + share) ** 2 - 1) * width**2)


def _mistake_sigma(galaxies: IndependentGalaxies, rng: np.random.Generator) -> IndependentGalaxies:
    grid, n = galaxies.instrument.grid, len(galaxies.flux)
    middle = grid.n_wave // 2
    width = rng.uniform(*_SIGMA_STAR_KMS, n) / C_KMS * grid.wave_aa[middle] / grid.pixel_aa[middle]
    share = SIGMA * rng.choice([-1.0, 1.0], n)
    return _change_width(galaxies, ((1 + share) ** 2 - 1) * width**2)


def _scatter_light(galaxies: IndependentGalaxies, rng: np.random.Generator) -> IndependentGalaxies:
    """A constant in the spectrum, up to `SCATTERED` of the flux in the window; the bands do not have it."""
    constant = rng.uniform(0, SCATTERED, (len(galaxies.flux), 1))
    return replace(galaxies, flux=(galaxies.flux + constant) / (1 + constant))


def _leave_sky(data: Observation, rng: np.random.Generator) -> Observation:
    """Residuals of sky lines, `SKY` times the noise at [O I] 5577, that the error array does not know."""
    grid = data.instrument.grid
    redshift = rng.uniform(*_REDSHIFT, (data.n_bins, 1))
    flux = data.flux.astype(float)
    for line, strength in list_sky_lines(grid):
        x = (grid.wave_aa - line / (1 + redshift)) / (float(grid.lsf.fwhm_aa(line)) / FWHM_PER_SIGMA)
        even, odd = rng.standard_normal((2, data.n_bins, 1))
        flux += SKY * strength * np.exp(-0.5 * x**2) * (even + odd * x) * data.error
    return replace(data, flux=flux.astype(np.float32))


def _hide_lines(data: Observation, rng: np.random.Generator) -> Observation:
    return mask_gas_lines(data)


#: Cases by name, the unspoilt one first. They need a spectrum.
TEST_CASES: Mapping[str, TestCase] = {
    "clean": TestCase("S/N 35, calibration to 1 %"),
    "lines-hidden": TestCase("all pixels on gas lines masked", fault=_hide_lines),
    "calibration": TestCase(f"flux calibration wrong by {CALIBRATION:.0%} on 100-1000 Å", _spoil_calibration),
    "telluric": TestCase(f"telluric bands left over, A band {TELLURIC:.0%} deep", _leave_telluric),
    "lsf": TestCase(f"line-spread function wrong by {LSF:.0%}", _mistake_lsf),
    "velocity": TestCase(f"velocity wrong by {VELOCITY_KMS:.0f} km/s", _shift_spectra),
    "sigma": TestCase(f"stellar dispersion (40-150 km/s) wrong by {SIGMA:.0%}", _mistake_sigma),
    "sky": TestCase(f"sky residuals of {SKY:g} sigma that no error knows", fault=_leave_sky),
    "scattered-light": TestCase(f"scattered light of up to {SCATTERED:.0%} in the spectrum", _scatter_light),
}
