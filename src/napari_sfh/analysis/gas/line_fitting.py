"""Emission-line fluxes of the bins from their own spectra, where there is no MAPS file.

The stars are those of the prediction, rebuilt without gas (`remove_gas_emission`); what remains is fitted around
Hbeta-[O III] and [N II]-Halpha-[S II] together. In each window the spectrum is

    f(l) = S(l) (a + b l) + sum_k F_k G(l; l_k exp(v / c), s_k),   s_k^2 = LSF^2 + l_k^2 (sigma_gas^2 + extra^2) / c^2

with S the stars, ``extra`` the broadening by which prep brought the bin to the instrument's dispersion, one velocity v
(relative to the stars) and one sigma_gas for all lines, and the doublets' ratios fixed (`physics.lines`). v and
sigma_gas have priors N(0, 100) and N(40, 30) km/s, which matter in faint lines only. Linear in a, b, F; Gauss-Newton in
v and sigma_gas. Fluxes may come out negative where there is no line.

Limits: the Balmer absorption is the model's, and an error of 0.5 AA in its equivalent width is one of 0.5 AA in the
emission's (the whole of it where Hbeta is faint); at 150 km/s Halpha and [N II] blend, and are told apart by their
fixed wavelengths; one kinematic component; broad lines of an AGN are not fitted. Errors are those of the pixels,
raised where the fit is worse than they allow.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.gas.line_maps import LINES, NII, OIII, UNIT_CGS, LineFluxes
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import SpectrumGrid
from napari_sfh.jobs import ReportProgress, compute_blocks, report_progress
from napari_sfh.model import inference
from napari_sfh.model.bundle import Bundle
from napari_sfh.physics.lines import NII_AA, NII_RATIO, OIII_AA, OIII_RATIO, find_stellar_pixels
from napari_sfh.physics.lsf import FWHM_PER_SIGMA, broadening_kms
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.rest_frame import find_added_kms, noise_gain
from napari_sfh.types import F32, F64, I64, Bool, Observation, Prediction, Progress, Result

#: Rest-frame windows of the fit, Angstrom.
WINDOWS_AA: tuple[tuple[float, float], ...] = ((4805.0, 5070.0), (6480.0, 6790.0))
#: Weaker lines tied to the strong one of their doublet: air wavelength, share of its flux.
_TIED = {OIII: (OIII_AA[1], 1 / OIII_RATIO), NII: (NII_AA[1], 1 / NII_RATIO)}
_PRIOR_KMS = ((0.0, 100.0), (40.0, 30.0))  # mean and width of v, sigma_gas
_BOUNDS_KMS = ((-500.0, 500.0), (5.0, 250.0))
_MAX_STEP_KMS, _SMALL_STEP_KMS = 60.0, 0.5
_ITERATIONS = 12
_REACH_AA = 45.0  # over four sigma of the broadest line at the largest velocity
_BATCH = 128
_MIN_LINE = 0.7  # share of a line's profile on usable pixels
#: Columns of the design: two of the continuum in each window, those and the lines, and with v and sigma_gas.
_N_CONTINUUM = 2 * len(WINDOWS_AA)
_N_LINEAR = _N_CONTINUUM + len(LINES)
_N_COLUMNS = _N_LINEAR + 2
#: Age bins whose older part still ionises some gas in the basis.
_AGE_BINS_WITH_GAS = (0, 1)


class _Line(NamedTuple):
    name: str
    parts: tuple[tuple[float, float], ...]  # (wavelength, share of F)


_MODEL = tuple(
    _Line(name, ((wave, 1.0), *((_TIED[name],) if name in _TIED else ()))) for name, (_, wave) in LINES.items()
)
#: Wavelengths of the lines, the stronger one of a doublet, in the order of `LINES`.
_STRONG_AA = np.array([line.parts[0][0] for line in _MODEL])


def select_line_pixels(wave_aa: F64) -> Bool:
    """Pixels of a grid in one of the windows `WINDOWS_AA`.

    Parameters
    ----------
    wave_aa : array (W,)
        Rest frame, Angstrom in air.

    Returns
    -------
    bool array (W,)
    """
    return np.logical_or.reduce([(wave_aa >= lo) & (wave_aa <= hi) for lo, hi in WINDOWS_AA])


def holds_lines(grid: SpectrumGrid) -> bool:
    """Whether a grid reaches over one of the windows; of lines in the other nothing is measured (NaN)."""
    return any(grid.wave_aa[0] <= lo and grid.wave_aa[-1] >= hi for lo, hi in WINDOWS_AA)


class _LineGrid(NamedTuple):
    """The fitted pixels, and how wide the instrument makes a line."""

    wave_aa: F64  # (n,)
    grid: SpectrumGrid

    def widths(self, wave: NDArray[np.floating], sigma: F64, extra: F64) -> F64:
        """Sigma in Angstrom (B, k) of lines at ``wave`` (k,)."""
        lsf = self.grid.lsf.fwhm_aa(wave) / FWHM_PER_SIGMA
        return np.sqrt(lsf**2 + (wave / C_KMS) ** 2 * (sigma**2 + extra**2)[:, None])


def remove_gas_emission(basis: TemplateBasis) -> TemplateBasis:
    """A basis whose spectra hold no emission lines.

    The nebulae of stars younger than 10 Myr are apart in the basis and left out. Those of 10-28 Myr are not: there the
    pixels on lines are replaced by the mean shape of the gas-free templates on either side in age (younger than 10
    Myr, 28-57 Myr), relative to their continua.
    """
    spectrum = basis.spectrum.copy()
    wave = basis.wave_aa
    old = spectrum[_AGE_BINS_WITH_GAS[-1] + 1]
    shape = 0.5 * (_divide_by_continuum(basis.young, wave) + _divide_by_continuum(old, wave))
    for age in _AGE_BINS_WITH_GAS:
        straight = shape * _continuum(spectrum[age], wave)
        spectrum[age] = np.where(find_stellar_pixels(wave), spectrum[age], straight)
    none = np.zeros_like(basis.young_nebular)
    return replace(basis, spectrum=spectrum, young_nebular=none)


def _continuum(spectrum: F32, wave_aa: F64) -> F32:
    """Spectra (Z, W) drawn straight across the pixels on lines."""
    out, stars = spectrum.copy(), find_stellar_pixels(wave_aa)
    for row in out:
        row[~stars] = np.interp(wave_aa[~stars], wave_aa[stars], row[stars])
    return out


def _divide_by_continuum(spectrum: F32, wave_aa: F64) -> F32:
    return np.asarray(spectrum / _continuum(spectrum, wave_aa), dtype=np.float32)


def measure_line_fluxes(
    result: Result, bundle: Bundle, progress: ReportProgress | None = None, cancel: threading.Event | None = None
) -> LineFluxes:
    """Measure the emission lines in every bin of a result.

    Parameters
    ----------
    result : Result
    bundle : Bundle
        The weights of the result, for their template basis.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    LineFluxes
        By bin, in 1e-20 erg/s/cm2, observed frame.

    Raises
    ------
    SfhInputError
        The run hid the lines from the network, and so from its result; the weights have no templates; or the grid holds
        none of the lines.
    """
    grid = result.instrument.grid
    _find_line_pixels(bundle, grid, result.name)
    if not (result.data.mask & ~find_stellar_pixels(grid.wave_aa)).any():
        raise SfhInputError(
            f"{result.name}: the spectra of this result have no gas lines (`mask_lines`); measure them in one of a "
            "run without it, or take those of a MAPS file"
        )
    source = f"spectra of {result.name} less the stars of {result.model_name}"
    return fit_emission_lines(result.data, result.prediction, result.redshift, bundle, source, progress, cancel)


def _find_line_pixels(bundle: Bundle, grid: SpectrumGrid, name: str) -> Bool:
    """Pixels (W,) about the lines on a grid, for weights with templates; ``name`` is that of the data."""
    if bundle.basis is None:
        raise SfhInputError(f"{bundle.name}: these weights have no stellar templates; take the lines of a MAPS file")
    pixels = select_line_pixels(grid.wave_aa)
    if not pixels.any():
        raise SfhInputError(f"{name}: no emission line lies on the grid; take the lines of a MAPS file")
    return pixels


def fit_emission_lines(
    data: Observation,
    prediction: Prediction,
    redshift: float,
    bundle: Bundle,
    source: str = "",
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> LineFluxes:
    """Fit the emission lines of every bin to its spectrum less its stars.

    Parameters
    ----------
    data : Observation
    prediction : Prediction
        Of ``data``; bins that it leaves out have no lines.
    redshift : float
    bundle : Bundle
        Weights with the template basis of the stars.
    source : str
        What the fluxes were measured on, for a person.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    LineFluxes
        By bin, in 1e-20 erg/s/cm2, observed frame.

    Raises
    ------
    SfhInputError
        The weights have no templates or predict no histories, or the grid holds none of the lines.
    """
    grid = data.instrument.grid
    pixels = np.flatnonzero(_find_line_pixels(bundle, grid, data.instrument.name))
    report_progress(Progress("stars without gas", 0, 0), progress, cancel)
    stars = reconstruct_stars(data, prediction, bundle)
    n = data.n_bins
    flux, error = (np.full((n, len(_MODEL)), np.nan) for _ in range(2))
    velocity, added = np.full(n, np.nan), find_added_kms(data)

    def fit(block: slice) -> tuple[I64, tuple[F64, F64, F64] | None]:
        rows = block.start + np.flatnonzero(np.isfinite(stars[block, 0]))
        at = np.ix_(rows, pixels)
        found = data.flux[at], data.error[at], data.mask[at], stars[at], data.sigma_kms[rows], added[rows]
        return rows, fit_lines(*found, grid) if rows.size else None

    for block, (rows, found) in compute_blocks(fit, n, _BATCH):
        report_progress(Progress("emission lines", block.stop, n), progress, cancel)
        if found is not None:
            flux[rows], error[rows], velocity[rows] = found
    to_cgs = data.norm_cgs * (1.0 + redshift) * np.exp(data.v_kms / C_KMS) / UNIT_CGS
    columns = {line.name: k for k, line in enumerate(_MODEL)}
    return LineFluxes(
        {name: flux[:, k] * to_cgs for name, k in columns.items()},
        {name: error[:, k] * to_cgs for name, k in columns.items()},
        "1e-20 erg/s/cm2",
        source,
        np.asarray(data.v_kms + velocity, dtype=np.float64),
    )


def reconstruct_stars(data: Observation, prediction: Prediction, bundle: Bundle) -> F32:
    """Spectra that a prediction implies, without gas.

    Parameters
    ----------
    data : Observation
        N bins.
    prediction : Prediction
        Of the same bins.
    bundle : Bundle

    Returns
    -------
    array (N, W)
        In the unit of ``data.flux``; NaN rows where nothing was predicted.

    Raises
    ------
    SfhInputError
        The weights have no templates or predict no histories.
    """
    if bundle.basis is None:
        raise SfhInputError(f"{bundle.name}: these weights have no stellar templates; take the lines of a MAPS file")
    gas_free = replace(bundle, basis=remove_gas_emission(bundle.basis))
    stars, _ = inference.reconstruct_observations(data, prediction, gas_free)
    if stars is None:
        raise SfhInputError(f"{bundle.name}: these weights predict no histories; take the lines of a MAPS file")
    return stars


def fit_lines(
    flux: F32, error: F32, mask: Bool, stars: F32, sigma_kms: F32, added_kms: F64, grid: SpectrumGrid
) -> tuple[F64, F64, F64]:
    """Line fluxes of B bins on the pixels of `WINDOWS_AA` (`select_line_pixels`).

    Parameters
    ----------
    flux, error, mask, stars : arrays (B, n)
        Rest-frame spectra at the instrument's dispersion, errors as in `types.Observation`, usable pixels, the stars.
    sigma_kms : array (B,)
        Stellar dispersion before the broadening.
    added_kms : array (B,)
        Dispersion that the broadening added, which says how the noise is correlated.
    grid : SpectrumGrid
        Of the instrument.

    Returns
    -------
    flux, error : arrays (B, 6)
        In the order of `line_maps.LINES`, in units of ``flux`` times Angstrom; NaN where a line is on bad pixels.
    v_kms : array (B,)
        Velocity of the gas relative to the stars, km/s.
    """
    lines = _LineGrid(grid.wave_aa[select_line_pixels(grid.wave_aa)], grid)
    extra = np.asarray(broadening_kms(sigma_kms, grid.sigma_kms)[0], dtype=np.float64)
    ok = mask & (error > 0)
    weight = np.where(ok, 1.0 / np.where(ok, error, 1.0), 0.0).astype(np.float64)
    weight /= np.sqrt(noise_gain(added_kms, grid))[:, None]
    data = flux * weight
    v, sigma = np.zeros(len(flux)), np.full(len(flux), _PRIOR_KMS[1][0])
    design = np.empty((len(flux), _N_COLUMNS, lines.wave_aa.size))
    np.multiply(_continuum_columns(stars, lines.wave_aa), weight[:, None], out=design[:, :_N_CONTINUUM])
    moving = np.arange(len(flux))  # bins whose velocity or width still changes
    for _ in range(_ITERATIONS):
        part, before = design[moving], (v[moving], sigma[moving])
        _fill_design(part, lines, (*before, extra[moving]), weight[moving], data[moving])
        step = _solve(part, data[moving], before)[0][:, -2:]
        step = np.clip(step, -_MAX_STEP_KMS, _MAX_STEP_KMS)
        v[moving] = np.clip(before[0] + step[:, 0], *_BOUNDS_KMS[0])
        sigma[moving] = np.clip(before[1] + step[:, 1], *_BOUNDS_KMS[1])
        change = np.maximum(np.abs(v[moving] - before[0]), np.abs(sigma[moving] - before[1]))
        moving = moving[change >= _SMALL_STEP_KMS]
        if not moving.size:
            break
    return *_solve_final_fluxes(design, lines, (v, sigma, extra), weight, data, ok, added_kms), v


def _fill_design(
    design: F64, lines: _LineGrid, kinematics: tuple[F64, F64, F64], weight: F64, data: F64
) -> tuple[F64, F64]:
    """Set the columns of lines, and of steps in v and sigma_gas, in a weighted design (B, 12, n).

    The first four, of the continuum, stay. Returns the lines' profiles (B, 6, n) and the linear solution (B, 10).
    """
    profiles, by_v, by_sigma = _profiles(lines, *kinematics)
    np.multiply(profiles, weight[:, None], out=design[:, _N_CONTINUUM:_N_LINEAR])
    solution, _ = _solve(design[:, :_N_LINEAR], data)
    amplitude = solution[:, None, _N_CONTINUUM:]
    for column, slopes in ((-2, by_v), (-1, by_sigma)):
        np.multiply((amplitude @ slopes)[:, 0], weight, out=design[:, column])
    return profiles, solution


def _solve_final_fluxes(
    design: F64,
    lines: _LineGrid,
    kinematics: tuple[F64, F64, F64],
    weight: F64,
    data: F64,
    ok: Bool,
    added: F64,
) -> tuple[F64, F64]:
    """Fluxes and errors at the final velocity and width, whose own uncertainty is in the errors."""
    v, sigma, extra = kinematics
    profiles, solution = _fill_design(design, lines, kinematics, weight, data)
    _, covariance = _solve(design, data, (v, sigma))
    variance = np.diagonal(covariance, axis1=1, axis2=2)[:, _N_CONTINUUM:_N_LINEAR]
    residual = data - (solution[:, None] @ design[:, :_N_LINEAR])[:, 0]
    chi2 = (residual**2).sum(1) / np.maximum(ok.sum(1) - _N_COLUMNS, 1)
    widths = lines.widths(_STRONG_AA, sigma, extra)
    variance = variance * _correlated_noise_factor(lines, widths, added) * np.maximum(chi2, 1.0)[:, None]
    area = profiles.sum(2)
    held = np.divide((profiles * ok[:, None]).sum(2), area, out=np.zeros_like(area), where=area > 0)
    missing = held < _MIN_LINE
    return np.where(missing, np.nan, solution[:, _N_CONTINUUM:]), np.where(missing, np.nan, np.sqrt(variance))


def _correlated_noise_factor(lines: _LineGrid, width: F64, added: F64) -> F64:
    """Factor (B, 6) on a line's variance, where pixels were taken as independent with the broadened spectrum's scatter.

    Broadening by s_k leaves ``gain`` of a pixel's variance, but correlates pixels: a matched filter of width s sees the
    noise smoothed to sqrt(s^2 + s_k^2), so a line's variance is s / sqrt(s^2 + s_k^2) / gain of what it seems.
    """
    gain, kernel = noise_gain(added, lines.grid), added[:, None] / C_KMS * _STRONG_AA
    return np.asarray(width / np.hypot(width, kernel) / gain[:, None], dtype=np.float64)


def _continuum_columns(stars: F32, wave_aa: F64) -> F64:
    """Columns (B, 4, n): the stars and the stars times wavelength, in each window."""
    columns: list[NDArray[np.floating]] = []
    for lo, hi in WINDOWS_AA:
        inside = (lo <= wave_aa) & (hi >= wave_aa)
        x = (wave_aa - 0.5 * (lo + hi)) / (0.5 * (hi - lo))
        columns += [stars * inside, stars * inside * x]
    return np.stack(columns, axis=1).astype(np.float64)


def _profiles(lines: _LineGrid, v: F64, sigma: F64, extra: F64) -> tuple[F64, F64, F64]:
    """Line profiles of unit flux (B, 6, n) and their derivatives with respect to v and sigma_gas (per km/s)."""
    shape = (v.size, len(_MODEL), lines.wave_aa.size)
    out, by_v, by_sigma = (np.zeros(shape) for _ in range(3))
    for k, line in enumerate(_MODEL):
        for wave, share in line.parts:
            near = slice(*np.searchsorted(lines.wave_aa, (wave - _REACH_AA, wave + _REACH_AA)))
            width = lines.widths(np.array([wave]), sigma, extra)
            centre = wave * np.exp(v / C_KMS)[:, None]
            t = (lines.wave_aa[near] - centre) / width
            g = share * np.exp(-0.5 * t**2) / (np.sqrt(2 * np.pi) * width)
            out[:, k, near] += g
            by_v[:, k, near] += g * t / width * centre / C_KMS
            by_sigma[:, k, near] += g * (t**2 - 1) / width**2 * (wave / C_KMS) ** 2 * sigma[:, None]
    return out, by_v, by_sigma


def _solve(design: F64, data: F64, kinematics: tuple[F64, F64] | None = None) -> tuple[F64, F64]:
    """Least squares of B systems of weighted columns (B, k, n): solutions (B, k) and covariances (B, k, k).

    ``kinematics`` (v, sigma): the last two columns are steps of these, with their priors.
    """
    normal = design @ design.transpose(0, 2, 1)
    right = (design @ data[:, :, None])[..., 0]
    if kinematics is not None:
        for column, now, (mean, width) in zip((-2, -1), kinematics, _PRIOR_KMS):
            normal[:, column, column] += width**-2
            right[:, column] += (mean - now) * width**-2
    scale = np.sqrt(np.maximum(np.diagonal(normal, axis1=1, axis2=2), 1e-30))
    unit = normal / scale[:, :, None] / scale[:, None, :]
    # A column without data (a line on bad pixels) must not make the system singular.
    inverse = np.linalg.inv(unit + 1e-10 * np.eye(unit.shape[1])) / scale[:, :, None] / scale[:, None, :]
    return (inverse @ right[:, :, None])[..., 0], inverse
