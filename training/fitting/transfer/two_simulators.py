"""Calibration levels from two simulators: the prior of the weights, and the independent one.

A posterior that is calibrated on its own prior is too sure of galaxies that the prior does not know, and biased there
in the quantities that data say little of. Levels measured on both, in equal numbers, are a compromise (conformal
calibration; Vovk et al. 2005, Algorithmic Learning in a Random World): a little too wide at home, a little too narrow
elsewhere. They follow S/N and light-weighted age. The galaxies are not those by which weights are chosen or judged.
E(B-V) is that of the screen before all stars in both. Other dust and M/L keep the levels of the prior alone: they mean
another thing in the other simulator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from napari_sfh.console import LogLine
from napari_sfh.errors import SfhInputError
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.calibration import AGE, FRACTIONS, PosteriorCalibration, compute_pit
from napari_sfh.model.encoding import Features, encode_observation
from napari_sfh.model.posterior import make_base_points
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.prep.observation import mask_gas_lines
from napari_sfh.training.fitting.posterior import HELD_OUT_SNR, derive_held_out_settings, truth_from_batch
from napari_sfh.training.fitting.recipe import AugmentSettings
from napari_sfh.training.fitting.spectra_sources import Batches, make_fresh_source
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.prior.prior_config import restore_prior
from napari_sfh.training.simulator.independent_simulator import IndependentGalaxies, simulate_independent_galaxies
from napari_sfh.training.simulator.simulation import prepare_prior
from napari_sfh.types import Observation

#: Quantities that both simulators mean alike.
SHARED_QUANTITIES: tuple[str, ...] = (*MEAN_NAMES, "ebv", "light_frac", "mass_frac", "mh", "cum_mass")
_CHUNK, _PART, _SNR_STEPS = 512, 64, 12

Truth = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class RecalibrationSettings:
    """Objects of each simulator, posterior draws, share with hidden lines among the independent ones, and the seed."""

    n: int = 4000
    draws: int = 400
    hidden: float = 0.35
    seed: int = 20_261_128


def recalibrate_bundle(
    bundle: Bundle, libraries: Sequence[Templates], settings: RecalibrationSettings, say: LogLine
) -> None:
    """Measure the levels of a bundle anew, in place.

    Parameters
    ----------
    bundle : Bundle
        Of histories, for an instrument with a spectrum.
    libraries : sequence of Templates
        Stars and gas of the independent galaxies, for the bundle's instrument.
    settings : RecalibrationSettings
    say : callable
        Gets lines of progress.

    Raises
    ------
    SfhInputError
        Weights of scalars or bands alone, or that do not hold the text of their prior.
    """
    prior = bundle.meta["prior"]
    if not bundle.targets.n_age or bundle.instrument.spectrum is None or not prior.get("toml"):
        raise SfhInputError(
            f"{bundle.name}: give weights of histories from spectra, trained on a prior of this package"
        )
    names = (*bundle.targets.scalars, *bundle.targets.vectors)
    shared = [k for k in names if k in SHARED_QUANTITIES]
    home = _measure_ranks(bundle, observe_prior_objects(bundle, settings), names, settings.draws)
    say(f"ranks of {len(home.lg_snr)} objects of prior {prior['name']}")
    away = _measure_ranks(bundle, observe_independent_objects(libraries, settings), shared, settings.draws)
    say(f"ranks of {len(away.lg_snr)} galaxies of the independent simulator")
    calibration = bundle.model.calibration
    calibration.fit(home.ranks, home.lg_snr, draws=settings.draws)
    both = PosteriorCalibration(
        tuple(k for k in bundle.targets.scalars if k in shared),
        tuple(k for k in bundle.targets.vectors if k in shared),
        bundle.targets.n_age,
    )
    ranks = {k: torch.cat([home.ranks[k], away.ranks[k]]) for k in shared}
    lg_snr, lg_age = (torch.cat([getattr(home, k), getattr(away, k)]) for k in ("lg_snr", "lg_age"))
    both.fit(ranks, lg_snr, draws=settings.draws)
    for i, name in enumerate(both.scalars):
        calibration.scalar[:, bundle.targets.scalars.index(name)] = both.scalar[:, i]
    for i, name in enumerate(both.vectors):
        calibration.vector[:, bundle.targets.vectors.index(name)] = both.vector[:, i]
    calibration.fit_age_shift({k: ranks[k] for k in both.scalars}, lg_snr, lg_age, settings.draws)


def observe_prior_objects(bundle: Bundle, settings: RecalibrationSettings) -> Iterator[tuple[Features, Truth]]:
    """Objects of the prior, as the recipe's held-out ones are seen.

    Parameters
    ----------
    bundle : Bundle
        Its prior and its augmentation are used.
    settings : RecalibrationSettings
        ``n`` objects by ``seed``.

    Returns
    -------
    iterator of (Features, Truth)
        Batches.
    """
    stored = bundle.meta["training"].get("recipe", {}).get("augment", {})
    settings_by_name: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    augment = AugmentSettings(**settings_by_name)
    prior = restore_prior(bundle.meta["prior"], bundle.name)
    source = make_fresh_source(prepare_prior(prior, bundle.instrument), settings.n, settings.seed)
    for batch in Batches(source, np.arange(settings.n), _CHUNK, derive_held_out_settings(augment), settings.seed):
        yield batch.features, truth_from_batch(batch.y, batch, bundle.model)


def observe_independent_objects(
    libraries: Sequence[Templates], settings: RecalibrationSettings
) -> Iterator[tuple[Features, Truth]]:
    """Galaxies of the independent simulator at S/N even in the logarithm, a share with hidden lines.

    Parameters
    ----------
    libraries : sequence of Templates
        As many galaxies of each.
    settings : RecalibrationSettings
        ``n`` galaxies in all, the share ``hidden`` of them with hidden lines.

    Returns
    -------
    iterator of (Features, Truth)
        Batches, one a S/N and library.
    """
    rng = np.random.default_rng(settings.seed)
    low, high = np.log(HELD_OUT_SNR)
    for templates in libraries:
        n = settings.n // len(libraries)
        made = simulate_independent_galaxies(templates, n, rng)
        for step, rows in enumerate(np.array_split(rng.permutation(n), _SNR_STEPS)):
            snr = float(np.exp(low + (step + 0.5) / _SNR_STEPS * (high - low)))
            data = _select_galaxies(made, rows).observe(snr, rng)
            data = _hide_some_lines(data, rng.random(len(rows)) < settings.hidden)
            yield encode_observation(data), _read_truth(made, rows)


def _select_galaxies(galaxies: IndependentGalaxies, rows: np.ndarray) -> IndependentGalaxies:
    return replace(galaxies, flux=galaxies.flux[rows], phot=galaxies.phot[rows], labels=galaxies.labels.select(rows))


def _hide_some_lines(data: Observation, hit: np.ndarray) -> Observation:
    hidden = mask_gas_lines(data)
    rows = hit[:, None]
    flux = np.where(rows, hidden.flux, data.flux).astype(np.float32)
    return replace(data, mask=np.where(rows, hidden.mask, data.mask), flux=flux)


def _read_truth(galaxies: IndependentGalaxies, rows: np.ndarray) -> Truth:
    labels = galaxies.labels.select(rows)
    known = {k: getattr(labels, k) for k in SHARED_QUANTITIES if k not in ("cum_mass", "ebv")}
    known["ebv"] = labels.quantity("ebv")
    known["cum_mass"] = labels.mass_frac[:, ::-1].cumsum(1)[:, ::-1]
    return {k: torch.from_numpy(np.ascontiguousarray(v, dtype=np.float32)) for k, v in known.items()}


@dataclass(frozen=True)
class _Ranked:
    """Ranks of the truth among the draws by quantity, log10 S/N and the draws' median light-weighted age, (N,)."""

    ranks: dict[str, torch.Tensor]
    lg_snr: torch.Tensor
    lg_age: torch.Tensor


@torch.inference_mode()
def _measure_ranks(
    bundle: Bundle, objects: Iterator[tuple[Features, Truth]], names: Sequence[str], draws: int
) -> _Ranked:
    model, base = bundle.model, make_base_points(draws, bundle.targets.size)
    ranks: dict[str, list[torch.Tensor]] = {k: [] for k in names}
    lg_snr, lg_age = [], []
    for features, truth in objects:
        mu, context, _ = model.predict_centre(features)
        lg_snr.append(features.lg_snr[:, 0])
        for lo in range(0, len(mu), _PART):
            part = slice(lo, lo + _PART)
            made = model.draw(mu[part], context[part], base)
            lg_age.append(made[AGE].median(dim=1).values)
            for k in names:
                ranks[k].append(compute_pit(made[k], truth[k][part], bounds=k in FRACTIONS))
    return _Ranked({k: torch.cat(v) for k, v in ranks.items()}, torch.cat(lg_snr), torch.cat(lg_age))
