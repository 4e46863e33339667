"""Mock galaxies as a narrow-band survey sees them: spaxels that belong together, and two ways to split them.

A galaxy has an inner and an outer population, drawn from a prior; a spaxel at radius r holds a blend of both, with
scatter around the galaxy's own profile, and everything else - dust's slope, gas - is the galaxy's. So spaxels
of one galaxy resemble each other, as real ones do. Set A splits the spaxels of every galaxy at random, so that the
test spaxels' neighbours have been trained on; set B splits whole galaxies (Liew-Cain et al. 2021, section 3.2). What A
reaches and B does not is memory of galaxies, not knowledge of stars.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.filters import Filter
from napari_sfh.prep.band_fluxes import narrowband
from napari_sfh.training.libraries.resampling import line_binning_matrix
from napari_sfh.training.prior.prior_config import PriorConfig
from napari_sfh.training.prior.sampling import ObjectParameters, draw_parameters
from napari_sfh.training.simulator.forward_model import ForwardModel, compute_emitted_light, compute_labels
from napari_sfh.types import F32, F64, I64

Split = Literal["A", "B"]

#: Radius of the outermost spaxels, effective radii.
R_MAX = 1.5
#: Parts that galaxies or spaxels are split into: each is tested once.
FOLDS = 4
_BLEND_SCATTER = 0.08  # of the share of the outer population at a radius
_TAU_SCATTER = 0.25  # natural log, spaxel to spaxel
_CHUNK = 4096


@dataclass(frozen=True)
class MockSpaxels:
    """N spaxels of G galaxies in B bands."""

    flux: F32  # (N, B) f_lambda over the mean of the spaxel's bands, noisy
    lg_age: F32  # (N,) light-weighted, log10 yr
    mh: F32  # (N,) light-weighted, dex
    galaxy: NDArray[np.int32]  # (N,)
    r: F32  # (N,) effective radii
    filters: tuple[Filter, ...]


def make_mock_spaxels(
    model: ForwardModel,
    config: PriorConfig,
    filters: tuple[Filter, ...],
    n_galaxies: int,
    per_galaxy: int,
    seed: int,
    snr: float,
) -> MockSpaxels:
    """Galaxies, their spaxels and the truth.

    Parameters
    ----------
    model : Model
        Stars and gas of one library.
    config : PriorConfig
        What populations are drawn from.
    filters : tuple of Filter
    n_galaxies, per_galaxy : int
    seed : int
    snr : float
        Per band.

    Raises
    ------
    SfhInputError
        Fewer galaxies or spaxels than folds.
    """
    if min(n_galaxies, per_galaxy) < FOLDS:
        raise SfhInputError(f"{n_galaxies} galaxies of {per_galaxy} spaxels: at least {FOLDS} of each are needed")
    rng = np.random.default_rng([seed, 31])
    t = model.templates
    ends = draw_parameters(
        config, rng, 2 * n_galaxies, t.sub_edges_gyr, model.mh_limits, model.instrument.grid.sigma_kms
    )
    galaxy = np.repeat(np.arange(n_galaxies, dtype=np.int32), per_galaxy)
    r = R_MAX * np.sqrt(rng.random(galaxy.size))  # spaxels cover the disc evenly
    params = _blend(ends, galaxy, r / R_MAX, n_galaxies, rng)
    clean = np.concatenate([_bands(model, part, filters) for part in _chunks(params)])
    noisy = clean * (1 + rng.standard_normal(clean.shape) / snr)
    labels = [compute_labels(model, part) for part in _chunks(params)]
    return MockSpaxels(
        flux=(noisy / noisy.mean(1, keepdims=True)).astype(np.float32),
        lg_age=np.concatenate([x.lg_age_lw for x in labels]),
        mh=np.concatenate([x.mh_lw for x in labels]),
        galaxy=galaxy,
        r=r.astype(np.float32),
        filters=filters,
    )


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


def split_folds(spaxels: MockSpaxels, kind: Split, seed: int) -> list[I64]:
    """Rows of the four parts: ``A`` splits the spaxels of each galaxy, ``B`` the galaxies."""
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
