"""Galaxies from elsewhere: an independent small simulator, to judge weights beyond their own prior.

It shares the template libraries' arrays with `forward`, and nothing else. Histories: a log-normal in cosmic time
(Gladders et al. 2013), a constant rate cut off at some time, or an old and a younger component, each with up to two
bursts in half of the cases. Metals: a saturating law ending at a metallicity drawn from a mass-metallicity relation
(Z rises as 1 - exp(-3 M_cum)), or old stars poor and bursts fed by fresh gas. Dust: one screen with Calzetti et al.
(2000) or the SMC bar (Gordon et al. 2003), stars younger than 10 Myr behind twice as much. Gas: log U of -2.6, no
nebular continuum in half of the objects, metal lines off the grid by 0.2 dex. Noise: Gaussian at a given S/N, smooth
calibration errors of 1 %, bands wrong by 3 % that are told and 2 % that are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sfh.instruments.instrument import Instrument, SpectrumGrid
from napari_sfh.physics.ages import N_AGE
from napari_sfh.physics.dust import BV_AA, MAG_PER_TAU, slope_from_r_v
from napari_sfh.physics.filters import compute_photometry_scale, filter_weight_matrix, measure_photometry_snr
from napari_sfh.physics.formation import cumulative_fraction
from napari_sfh.physics.lsf import total_sigma_aa
from napari_sfh.training.libraries.dust_emission import DustGrid, compute_dust_spectra
from napari_sfh.training.libraries.resampling import line_binning_matrix
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.types import F64, Bool, Observation

#: Kinds of history, which `Labels.family` indexes.
INDEPENDENT_FAMILIES = (
    "lognormal",
    "truncated",
    "two components",
    "lognormal+bursts",
    "truncated+bursts",
    "two components+bursts",
)
_OLDEST_GYR = 13.4
_LG_U = -2.6


@dataclass(frozen=True)
class IndependentGalaxies:
    """Noiseless spectra (N, W) and bands (N, B), normalised as the instrument says, and their truth."""

    flux: F64
    phot: F64
    labels: Labels
    instrument: Instrument

    def observe(self, snr: float, rng: np.random.Generator) -> Observation:
        """Noise and calibration errors at an S/N per pixel in the window."""
        return _add_noise(self.flux, self.phot, snr, self.instrument, rng)


def simulate_independent_galaxies(templates: Templates, n: int, rng: np.random.Generator) -> IndependentGalaxies:
    """``n`` galaxies of one library's stars and gas.

    Parameters
    ----------
    templates : Templates
        Of one library.
    n : int
    rng : numpy.random.Generator

    Returns
    -------
    IndependentGalaxies
        Noiseless, over their norm.
    """
    family = rng.integers(0, len(INDEPENDENT_FAMILIES), n).astype(np.int32)
    mass = np.stack([_history(templates, int(f), rng) for f in family])
    mh = np.clip(_metals(mass, templates, rng), templates.mh[0], templates.mh[-1])
    a_v = np.abs(rng.normal(0.35, 0.3, n))
    flux, phot, slope = _light(templates, mass, mh, a_v, rng)
    labels, instrument = _labels(templates, mass, mh, a_v, slope, family), templates.instrument
    norm, scale = _measure_norms(flux, phot, np.ones(phot.shape, bool), instrument)
    return IndependentGalaxies(flux / norm, phot / scale, labels, instrument)


def _measure_norms(flux: F64, phot: F64, mask: Bool, instrument: Instrument) -> tuple[F64, F64]:
    """What spectra and bands are divided by, (N, 1) each."""
    norm = np.ones((len(phot), 1))
    if instrument.spectrum is not None:
        norm = flux[:, instrument.norm_pixels].mean(1, keepdims=True)
        if instrument.photometry_norm == "spectrum":
            return norm, norm
    return norm, compute_photometry_scale(phot, mask, instrument.photometry_norm, instrument.band_names)[:, None]


def observe_independent_galaxies(
    templates: Templates, n: int, seed: int, snr: float = 35.0
) -> tuple[Observation, Labels]:
    """Observed galaxies and their truth.

    Parameters
    ----------
    templates : Templates
        Stars and gas.
    n, seed : int
    snr : float
        Per pixel in the window.
    """
    rng = np.random.default_rng([seed, 77])
    made = simulate_independent_galaxies(templates, n, rng)
    return made.observe(snr, rng), made.labels


def _history(t: Templates, family: int, rng: np.random.Generator) -> F64:
    """Mass of each sub-bin (S,), by sums over a fine grid of lookback time."""
    fine = np.linspace(0.0, _OLDEST_GYR, 20001)[1:] - _OLDEST_GYR / 40000
    cosmic = _OLDEST_GYR + 0.3 - fine
    kind = family % 3
    if kind == 0:
        peak, width = rng.uniform(0.3, 2.3), rng.uniform(0.25, 0.9)
        rate = np.exp(-0.5 * ((np.log(cosmic) - peak) / width) ** 2) / cosmic
    elif kind == 1:
        start = rng.uniform(2.0, _OLDEST_GYR)
        end = start * rng.choice([0.0, rng.uniform(0.0, 0.6)], p=[0.5, 0.5])
        rate = ((fine < start) & (fine >= end)).astype(float) + 1e-9
    else:
        age, width, scale = rng.uniform(6, 13), rng.uniform(0.5, 3), 10 ** rng.uniform(-1.5, 0.7)
        share = rng.uniform(0.4, 0.98)
        old = np.exp(-0.5 * ((fine - age) / width) ** 2)
        young = np.exp(-fine / scale) * (fine < 4 * scale)
        rate = share * old / old.sum() + (1 - share) * young / young.sum()
    mass = np.histogram(fine, t.sub_edges_gyr, weights=rate)[0]
    mass = mass / mass.sum()
    if family >= 3:
        middle = 0.5 * (t.sub_edges_gyr[1:] + t.sub_edges_gyr[:-1])
        for _ in range(rng.integers(1, 3)):
            age, width = 10 ** rng.uniform(-2.2, 0.4), rng.uniform(0.1, 0.4)
            burst = np.exp(-0.5 * (np.log(middle / age) / width) ** 2) * np.diff(t.sub_edges_gyr)
            mass = mass + 10 ** rng.uniform(-2.5, -0.7) * burst / burst.sum()
    return mass / mass.sum()


def _metals(mass: F64, t: Templates, rng: np.random.Generator) -> F64:
    """[M/H] (N, S)."""
    n = len(mass)
    formed = cumulative_fraction(mass) - 0.5 * mass
    lg_mass = rng.uniform(8.5, 11.2, n)[:, None]
    # A relation of the kind of Gallazzi et al. (2005): poor dwarfs, saturation above 10^10.5 Msun, scatter of 0.15 dex.
    final = 0.2 - 1.0 * np.exp(-(lg_mass - 8.0) / 1.2) + 0.15 * rng.standard_normal((n, 1))
    growth = (1 - np.exp(-3.0 * formed)) / (1 - np.exp(-3.0))
    mh = final + np.log10(0.03 + 0.97 * growth)
    fresh = rng.random(n)[:, None] < 0.25
    middle = 0.5 * (t.sub_edges_gyr[1:] + t.sub_edges_gyr[:-1])
    diluted = mh - rng.uniform(0.1, 0.4, (n, 1)) * (middle < rng.uniform(0.1, 1.0, (n, 1)))
    return np.where(fresh, diluted, mh)


def independent_attenuation_curve(kind: int, wave_aa: F64) -> F64:
    """A(lambda) / A_V of Calzetti et al. (2000) or the SMC bar (Gordon et al. 2003).

    Parameters
    ----------
    kind : int
        0 for Calzetti's, 1 for the SMC.
    wave_aa : array (W,)
    """
    if kind == 0:
        x = wave_aa / 1e4
        blue = 2.659 * (-2.156 + 1.509 / x - 0.198 / x**2 + 0.011 / x**3) + 4.05
        red = 2.659 * (-1.857 + 1.040 / x) + 4.05
        return np.maximum(np.where(x < 0.63, blue, red), 0.0) / 4.05
    from astropy import units as u
    from dust_extinction.averages import G03_SMCBar

    law = G03_SMCBar()
    limits = [1e4 / x for x in reversed(law.x_range)]
    curve = np.asarray(law(np.clip(wave_aa, limits[0] + 1, limits[1] - 1) * u.AA), float)
    return curve * np.minimum(1.0, (limits[1] / wave_aa) ** 1.6)


def _light(t: Templates, mass: F64, mh: F64, a_v: F64, rng: np.random.Generator) -> tuple[F64, F64, F64]:
    """Spectra (N, W) and bands (N, B) behind dust, and the slopes (N,) of power laws with the same E(B-V) and A_V."""
    weights = filter_weight_matrix(t.filters, t.sed_wave_aa)
    grids = (t.wave_aa, t.sed_wave_aa, t.line_wave_aa)
    curves = {(k, g): independent_attenuation_curve(k, w) for k in (0, 1) for g, w in enumerate(grids)}
    blue_visual = (independent_attenuation_curve(k, np.array(BV_AA)) for k in (0, 1))
    slopes = [slope_from_r_v(1 / (b - v)) for b, v in blue_visual]
    flux, phot = np.empty((len(mass), t.wave_aa.size)), np.empty((len(mass), len(t.filters)))
    slope = np.empty(len(mass))
    for i in range(len(mass)):
        kind, continuum = int(rng.integers(2)), bool(rng.integers(2))
        slope[i] = slopes[kind]
        screens = [10 ** (-0.4 * a_v[i] * curves[kind, g]) for g in range(3)]
        stars = _stars(t, mass[i], mh[i], screens)
        gas = _gas(t, mass[i], float(mh[i, 0]), continuum, screens, rng)
        flux[i] = stars[0] + gas[0]
        sed = stars[1] + gas[1]
        if t.dust is not None:
            sed = sed + _dust_light(t.dust, mh[i], stars[2] + gas[2] - sed, np.diff(t.sed_edges_aa), rng)
        phot[i] = sed @ weights
    return flux, phot, slope


def _dust_light(dust: DustGrid, mh: F64, absorbed: F64, step_aa: F64, rng: np.random.Generator) -> F64:
    """Infrared emission of what dust absorbs; PAHs grow with metallicity (Draine et al. 2007, ApJ 663, 866)."""
    q_pah = np.clip(3.5 * 10 ** (0.8 * mh[:1]) * rng.lognormal(0.0, 0.3), 0.1, 4.58)
    u_min = np.clip(rng.lognormal(np.log(2.0), 0.8, 1), 0.1, 25.0)
    gamma = np.minimum(rng.lognormal(np.log(0.01), 1.0, 1), 0.3)
    return np.asarray((absorbed @ step_aa) * compute_dust_spectra(dust, q_pah, u_min, gamma)[0], float)


def _stars(t: Templates, mass: F64, mh: F64, screens: list[F64]) -> tuple[F64, F64, F64]:
    """Stellar light of one object on both grids, and on the coarse one before dust."""
    place = np.interp(mh, t.mh, np.arange(t.mh.size))
    low = np.minimum(place.astype(int), t.mh.size - 2)
    share = place - low
    s = np.arange(t.n_sub)
    young, old = slice(None, t.n_young), slice(t.n_young, None)

    def add(grid: NDArray[np.floating], part: slice) -> F64:
        """Light of the ages of a part, without dust."""
        lower, upper = grid[low[part], s[part]], grid[low[part] + 1, s[part]]
        return np.asarray((mass * (1 - share))[part] @ lower + (mass * share)[part] @ upper, float)

    spectrum = (add(t.spectrum, young) * screens[0] + add(t.spectrum, old)) * screens[0]
    fresh, aged = add(t.sed, young), add(t.sed, old)
    return spectrum, (fresh * screens[1] + aged) * screens[1], fresh + aged


def _gas(
    t: Templates, mass: F64, mh: float, continuum: bool, screens: list[F64], rng: np.random.Generator
) -> tuple[F64, F64, F64]:
    """Nebular light of one object on both grids, and on the coarse one before dust."""
    g = int(np.argmin(np.abs(t.mh_gas - mh)))
    place = float(np.interp(_LG_U, t.log_u, np.arange(t.log_u.size)))
    u = min(int(place), t.log_u.size - 2)
    share = place - u
    ionising = mass[: t.n_ion] * rng.uniform(0.3, 1.0)

    def at(grid: NDArray[np.floating]) -> F64:
        return ionising @ ((1 - share) * grid[g, u] + share * grid[g, u + 1])

    hydrogen = np.abs(t.line_wave_aa[:, None] - np.array([4101.7, 4340.5, 4861.3, 6562.8])).min(1) < 1.5
    lines = at(t.line_lum) * np.where(hydrogen, 1.0, 10 ** (0.2 * rng.standard_normal(hydrogen.size)))
    clear = lines @ line_binning_matrix(t.line_wave_aa, t.sed_edges_aa)
    lines = lines * screens[2] ** 2
    grid = t.instrument.spectrum
    spectrum = _line_spectrum(lines, t.line_wave_aa, grid) if grid else np.zeros(0)
    sed = lines @ line_binning_matrix(t.line_wave_aa, t.sed_edges_aa)
    if continuum:
        spectrum = spectrum + at(t.cont_spectrum) * screens[0] ** 2
        sed = sed + at(t.cont_sed) * screens[1] ** 2
        clear = clear + at(t.cont_sed)
    return spectrum, sed, clear


def _line_spectrum(lines: F64, line_aa: F64, grid: SpectrumGrid) -> F64:
    """Lines (L,) at the grid's line-spread function and dispersion, (W,)."""
    near = (line_aa > grid.wave_aa[0] - 30) & (line_aa < grid.wave_aa[-1] + 30)
    at = line_aa[near]
    sigma = total_sigma_aa(at, grid.lsf.fwhm_aa(at), grid.sigma_kms)[:, None]
    x = (grid.wave_aa - at[:, None]) / sigma
    return (lines[near][:, None] * np.exp(-0.5 * x**2) / (np.sqrt(2 * np.pi) * sigma)).sum(0)


def _add_noise(flux: F64, phot: F64, snr: float, instrument: Instrument, rng: np.random.Generator) -> Observation:
    """Noise and calibration errors; everything divided by what the instrument says, measured on noisy data.

    The noise is independent from pixel to pixel, as in spectra that need no broadening: the dispersion says so.
    """
    n = len(phot)
    sigma_kms = 0.0 if instrument.spectrum is None else instrument.grid.sigma_kms
    error = np.sqrt(np.maximum(flux, 0.02)) / snr
    x = np.linspace(0, 1, instrument.n_wave)
    wave = np.sin(2 * np.pi * (rng.uniform(0.5, 3, (n, 1)) * x + rng.random((n, 1))))
    noisy = flux * (1 + 0.01 * np.sqrt(2) * wave) + error * rng.standard_normal(flux.shape)
    share = 0.03 if instrument.spectrum is not None else 1.0 / snr
    bands = phot * (1 + share * rng.standard_normal(phot.shape)) * (1 + 0.02 * rng.standard_normal(phot.shape))
    seen = bands > 0
    norm, scale = _measure_norms(noisy, bands, seen, instrument)
    told = share * phot / scale
    measured = np.full(n, snr) if instrument.spectrum is not None else measure_photometry_snr(bands / scale, told, seen)
    return Observation(
        flux=(noisy / norm).astype(np.float32),
        error=(error / norm).astype(np.float32),
        mask=np.ones(flux.shape, bool),
        phot=np.where(seen, bands / scale, 0.0).astype(np.float32),
        phot_error=told.astype(np.float32),
        phot_mask=seen,
        norm_cgs=np.full(n, np.nan),
        snr=measured.astype(np.float32),
        v_kms=np.zeros(n, np.float32),
        sigma_kms=np.full(n, sigma_kms, np.float32),
        flag=np.zeros(n, np.int32),
        instrument=instrument,
        redshift=np.zeros(n, np.float32) if instrument.takes_redshift else None,
    )


def _labels(t: Templates, mass: F64, mh: F64, a_v: F64, slope: F64, family: NDArray[np.int32]) -> Labels:
    """The truth on the 16 age bins, from the same masses."""
    onto = np.zeros((t.n_sub, N_AGE))
    onto[np.arange(t.n_sub), t.bin_of_sub] = 1.0
    light_v = np.stack(
        [[np.interp(z, t.mh, t.light_v[:, s]) for s, z in enumerate(row)] for row in mh]
    )  # Lsun,V per Msun formed
    light = mass * light_v
    trace = mass + 1e-12 * np.diff(t.sub_edges_gyr)
    total = light.sum(1)
    return Labels.from_fractions(
        (mass @ onto).astype(np.float32),
        (light @ onto / total[:, None]).astype(np.float32),
        ((trace * mh) @ onto / (trace @ onto)).astype(np.float32),
        tau_ism=(a_v / MAG_PER_TAU).astype(np.float32),
        tau_bc=(a_v / MAG_PER_TAU).astype(np.float32),
        slope=slope.astype(np.float32),
        lg_ml_v=(-np.log10(total)).astype(np.float32),
        family=family,
        family_names=INDEPENDENT_FAMILIES,
    )
