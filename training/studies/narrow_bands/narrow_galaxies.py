"""Mock galaxies as a narrow-band survey sees them: spaxels that belong together, and two ways to split them.

A galaxy has an inner and an outer population, drawn from a prior; a spaxel at radius r holds a blend of both, with
scatter around the galaxy's own profile, and everything else - dust's slope, gas - is the galaxy's. So spaxels
of one galaxy resemble each other, as real ones do. Set A splits the spaxels of every galaxy at random, so that the
test spaxels' neighbours have been trained on; set B splits whole galaxies (Liew-Cain et al. 2021, section 3.2). What A
reaches and B does not is memory of galaxies, not knowledge of stars.

Labels are the truth, or those of a fit of the spectrum that the bands are cut from (`spectral_labels`). Galaxies may
be chosen such that their ages spread as those of the paper do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.dust import a_v_from_tau
from napari_sfh.physics.filters import Filter
from napari_sfh.prep.band_fluxes import narrowband
from napari_sfh.training.libraries.resampling import line_binning_matrix
from napari_sfh.training.prior.prior_config import PriorConfig
from napari_sfh.training.prior.sampling import ObjectParameters, draw_parameters
from napari_sfh.training.simulator.forward_model import (
    ForwardModel,
    add_emission_lines,
    compute_emitted_light,
    compute_labels,
)
from napari_sfh.training.studies.narrow_bands.spectral_labels import build_population_grid, fit_light_weighted_means
from napari_sfh.types import F32, F64, I64

Split = Literal["A", "B"]
LabelKind = Literal["truth", "fitted"]

#: Radius of the outermost spaxels, effective radii.
R_MAX = 1.5
#: Parts that galaxies or spaxels are split into: each is tested once.
FOLDS = 4
#: Spread of the paper's log ages: the mean squared difference of two is 0.199 dex2.
PAPER_AGE_SIGMA = 0.315
#: log10 of the present specific rate below which a galaxy counts as early, 1/yr.
EARLY_LG_SSFR = -11.0
_BLEND_SCATTER = 0.08  # of the share of the outer population at a radius
_TAU_SCATTER = 0.25  # natural log, spaxel to spaxel
_CHUNK = 2048
_CANDIDATES = 12  # populations that are drawn for each that is chosen
_MIDDLE_LG_AGE, _OUTWARDS, _OUTWARDS_SIGMA = 9.6, -0.15, 0.15
_RECENT_GYR = 0.1


@dataclass(frozen=True)
class MockSpaxels:
    """N spaxels of G galaxies in B bands."""

    flux: F32  # (N, B) f_lambda over the mean of the spaxel's bands, noisy
    lg_age: F32  # (N,) label: light-weighted, log10 yr
    mh: F32  # (N,) label: light-weighted, dex
    galaxy: NDArray[np.int32]  # (N,)
    r: F32  # (N,) effective radii in the plane of the disc
    filters: tuple[Filter, ...] = ()
    angle: F32 | None = None  # (N,) in the plane of the disc, radian
    truth: Mapping[str, F32] = field(default_factory=dict)  # lg_age, mh where the labels are not the truth
    properties: Mapping[str, F32] = field(default_factory=dict)  # per galaxy (G,): lg_ssfr, a_v, inclination, lg_mass

    @property
    def n_galaxies(self) -> int:
        """Number of galaxies."""
        return int(self.galaxy.max()) + 1


def make_mock_spaxels(
    model: ForwardModel,
    config: PriorConfig,
    filters: tuple[Filter, ...],
    n_galaxies: int,
    per_galaxy: int,
    seed: int,
    snr: float,
    labels: LabelKind = "truth",
    age_sigma: float = 0.0,
) -> MockSpaxels:
    """Galaxies, their spaxels and the labels.

    Parameters
    ----------
    model : ForwardModel
        Stars and gas of one library.
    config : PriorConfig
        What populations are drawn from.
    filters : tuple of Filter
        Within the model's spectrum where labels are fitted to it.
    n_galaxies, per_galaxy : int
    seed : int
    snr : float
        Per band; of a pixel of the spectrum where labels are fitted.
    labels : LabelKind
    age_sigma : float
        Choose populations such that log ages spread by this much; 0 takes them as they are drawn.

    Raises
    ------
    SfhInputError
        Fewer galaxies or spaxels than folds.
    """
    if min(n_galaxies, per_galaxy) < FOLDS:
        raise SfhInputError(f"{n_galaxies} galaxies of {per_galaxy} spaxels: at least {FOLDS} of each are needed")
    rng = np.random.default_rng([seed, 31])
    ends = _draw_ends(model, config, rng, n_galaxies, age_sigma)
    galaxy = np.repeat(np.arange(n_galaxies, dtype=np.int32), per_galaxy)
    r = R_MAX * np.sqrt(rng.random(galaxy.size))  # spaxels cover the disc evenly
    params = _blend(ends, galaxy, r / R_MAX, n_galaxies, rng)
    made = [compute_labels(model, part) for part in _chunks(params)]
    truth = {
        "lg_age": np.concatenate([x.lg_age_lw for x in made]),
        "mh": np.concatenate([x.mh_lw for x in made]),
    }
    if labels == "fitted":
        flux, known = _observe_spectra(model, params, filters, snr, rng)
    else:
        clean = np.concatenate([_bands(model, part, filters) for part in _chunks(params)])
        flux, known = clean * (1 + rng.standard_normal(clean.shape) / snr), truth
    return MockSpaxels(
        flux=(flux / flux.mean(1, keepdims=True)).astype(np.float32),
        lg_age=known["lg_age"],
        mh=known["mh"],
        galaxy=galaxy,
        r=r.astype(np.float32),
        filters=filters,
        angle=(2 * np.pi * rng.random(galaxy.size)).astype(np.float32),
        truth=truth,
        properties=_describe_galaxies(model, params, truth["lg_age"], galaxy, rng),
    )


def _draw_ends(
    model: ForwardModel, config: PriorConfig, rng: np.random.Generator, n_galaxies: int, age_sigma: float
) -> ObjectParameters:
    """Inner populations of all galaxies, then their outer ones."""
    t, grid = model.templates, model.instrument.spectrum
    sigma_kms = 0.0 if grid is None else grid.sigma_kms
    n = 2 * n_galaxies * (_CANDIDATES if age_sigma else 1)
    drawn = draw_parameters(config, rng, n, t.sub_edges_gyr, model.mh_limits, sigma_kms)
    if not age_sigma:
        return drawn
    lg_age = np.concatenate([compute_labels(model, part).lg_age_lw for part in _chunks(drawn)])
    inner = _MIDDLE_LG_AGE - 0.5 * _OUTWARDS + age_sigma * rng.standard_normal(n_galaxies)
    outer = inner + _OUTWARDS + _OUTWARDS_SIGMA * rng.standard_normal(n_galaxies)
    wanted = np.clip(np.concatenate([inner, outer]), 8.3, 10.05)
    free, chosen = np.ones(n, bool), np.zeros(wanted.size, np.int64)
    for k in rng.permutation(wanted.size):
        chosen[k] = int(np.argmin(np.where(free, np.abs(lg_age - wanted[k]), np.inf)))
        free[chosen[k]] = False
    return drawn.select(chosen)


def _blend(
    ends: ObjectParameters, galaxy: NDArray[np.int32], x: F64, n_galaxies: int, rng: np.random.Generator
) -> ObjectParameters:
    """Spaxels between the inner (first half of ``ends``) and the outer population of their galaxy."""
    share = np.clip(x + _BLEND_SCATTER * rng.standard_normal(x.size), 0.0, 1.0)
    inner, outer = ends.select(galaxy), ends.select(galaxy + n_galaxies)
    mass = (1 - share)[:, None] * inner.mass + share[:, None] * outer.mass
    # Metals of the blend: by the mass that each population has at that age.
    metals = (1 - share)[:, None] * inner.mass * inner.mh + share[:, None] * outer.mass * outer.mh
    mean = (1 - share)[:, None] * inner.mh + share[:, None] * outer.mh
    mh = np.where(mass > 1e-9, metals / np.maximum(mass, 1e-9), mean)
    tau = ((1 - share) * inner.tau_ism + share * outer.tau_ism) * np.exp(_TAU_SCATTER * rng.standard_normal(x.size))
    return replace(inner, mass=mass, mh=mh, tau_ism=tau, redshift=np.zeros(x.size))


def _chunks(params: ObjectParameters) -> Iterator[ObjectParameters]:
    for start in range(0, params.n, _CHUNK):
        yield params.select(slice(start, start + _CHUNK))


def _bands(model: ForwardModel, params: ObjectParameters, filters: tuple[Filter, ...]) -> F64:
    """Noiseless band fluxes (n, B)."""
    t = model.templates
    light = compute_emitted_light(model, params, with_spectrum=False)
    sed = light.sed + light.lines @ line_binning_matrix(t.line_wave_aa, t.sed_edges_aa)
    return narrowband.measure_narrowband_fluxes(sed, t.sed_wave_aa, filters).flux.astype(float)


def _observe_spectra(
    model: ForwardModel, params: ObjectParameters, filters: tuple[Filter, ...], snr: float, rng: np.random.Generator
) -> tuple[F64, dict[str, F32]]:
    """Bands (N, B) cut from noisy spectra, and labels fitted to the same spectra without their emission lines."""
    t, grid = model.templates, model.instrument.grid
    populations = build_population_grid(t)
    bands, ages, metals = [], [], []
    for part in _chunks(params):
        light = compute_emitted_light(model, part)
        stars = np.asarray(light.spectrum, np.float32)
        scale = stars[:, model.instrument.norm_pixels].mean(1, keepdims=True)
        full = stars.copy()
        add_emission_lines(full, light.lines, t.line_wave_aa, part.gas_sigma_kms, part.gas_v_kms, grid)
        noise = rng.standard_normal(stars.shape).astype(np.float32) / snr
        lg_age, mh = fit_light_weighted_means(stars / scale + noise, populations)
        bands.append(narrowband.measure_narrowband_fluxes(full / scale + noise, t.wave_aa, filters).flux.astype(float))
        ages.append(lg_age)
        metals.append(mh)
    return np.concatenate(bands), {"lg_age": np.concatenate(ages), "mh": np.concatenate(metals)}


def _describe_galaxies(
    model: ForwardModel, params: ObjectParameters, lg_age: F32, galaxy: NDArray[np.int32], rng: np.random.Generator
) -> dict[str, F32]:
    """Properties of the galaxies (G,). The mass follows the mean age with scatter: a toy relation, drawn here."""
    n = int(galaxy.max()) + 1
    count = np.bincount(galaxy, minlength=n)
    young = model.templates.sub_edges_gyr[1:] <= _RECENT_GYR + 1e-9
    formed = np.maximum(params.mass[:, young].sum(1) / (_RECENT_GYR * 1e9), 1e-14)
    means = {
        "lg_ssfr": np.log10(np.bincount(galaxy, formed, minlength=n) / count),
        "a_v": np.bincount(galaxy, a_v_from_tau(params.tau_ism), minlength=n) / count,
        "inclination": np.degrees(np.arccos(rng.random(n))),
        "lg_mass": 10.5
        + 0.8 * (np.bincount(galaxy, lg_age, minlength=n) / count - _MIDDLE_LG_AGE)
        + 0.35 * rng.standard_normal(n),
    }
    return {k: np.asarray(v, np.float32) for k, v in means.items()}


def split_folds(spaxels: MockSpaxels, kind: Split, seed: int) -> list[I64]:
    """Rows of the four parts: ``A`` splits the spaxels of each galaxy, ``B`` the galaxies.

    Parameters
    ----------
    spaxels : MockSpaxels
    kind : str
        ``A`` or ``B``.
    seed : int

    Returns
    -------
    list of int array (n,)
        Rows of each part.
    """
    rng = np.random.default_rng([seed, 32])
    part = np.empty(spaxels.galaxy.size, np.int64)
    numbers = np.unique(spaxels.galaxy)
    if kind == "B":
        of_galaxy = dict(zip(rng.permutation(numbers).tolist(), np.arange(numbers.size) % FOLDS, strict=True))
        part[:] = [of_galaxy[g] for g in spaxels.galaxy.tolist()]
    else:
        for g in numbers:
            rows = np.flatnonzero(spaxels.galaxy == g)
            part[rng.permutation(rows)] = np.arange(rows.size) % FOLDS
    return [np.flatnonzero(part == k) for k in range(FOLDS)]
