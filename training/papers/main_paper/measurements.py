"""What the figures of Galceran et al. (2026) show, measured once for some weights.

Test spectra are drawn fresh from the weights' own prior, as for `evaluate`. Ablations take the point network's answers,
by permutation as in the paper (section 4.3) and by masking: a permuted input lies, a masked one is missing, and the
network knows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.inference import predict_point_values, reconstruct_observations
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.evaluation import ablation, ppxf_comparison
from napari_sfh.training.evaluation.evaluation import SNR_VALUES
from napari_sfh.training.evaluation.predictions import (
    PredictionsWithTruth,
    predict_test_set,
    truth_from_labels,
)
from napari_sfh.training.evaluation.report_figures import compute_latent_projection
from napari_sfh.training.evaluation.test_set import TestSet
from napari_sfh.training.fitting.spectra_sources import FreshSource
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.types import F32, F64, Observation, Progress, join_observations

Means = Mapping[str, F64]
#: Latent vectors that are projected.
_MOST_PROJECTED = 4000
#: The four cases are among the first so many objects.
_MOST_CASES = 1024


@dataclass(frozen=True)
class PaperFigureSettings:
    """How much is measured: objects of the figures, of the ablations, of pPXF; draws of the posterior."""

    n: int = 4096
    n_ablation: int = 2048
    n_ppxf: int = 60
    draws: int = 200
    device: str = "auto"
    ppxf_workers: int = 1
    ppxf_cache: Path | None = None
    ppxf: ppxf_comparison.PpxfTestSettings = field(default_factory=ppxf_comparison.PpxfTestSettings)


@dataclass(frozen=True)
class AblationTest:
    """Answers of M objects to inputs of which a part was replaced."""

    truth: Means  # (M,) of the four means
    found: Mapping[str, Mapping[str, Means]]  # "permuted", "masked" -> change -> the four means (M,)


@dataclass(frozen=True)
class PaperMeasurements:
    """All that the figures need, for N objects."""

    bundle: Bundle
    test_set: TestSet
    data: Observation  # as observed
    labels: Labels
    main: PredictionsWithTruth
    model_flux: F32 | None  # (N, W) rebuilt from the answers
    model_phot: F32 | None  # (N, B)
    realistic: PredictionsWithTruth | None  # the same objects with noise of real spectra
    noise: Mapping[str, Means]  # the same objects with parts of that noise, point values
    by_snr: Mapping[float, Means]
    ablation: AblationTest
    ppxf: list[ppxf_comparison.PpxfTestFit]
    cases: list[int]  # four of the objects, see `select_four_cases`
    ppxf_models: Mapping[int, ppxf_comparison.PpxfTestModel]  # of the four, where pPXF was run
    places: F64  # (P, 2) of the latent vectors of the first P objects in the plane
    projection: str  # how that was found


def measure_paper_figures(
    bundle: Bundle, test_set: TestSet, settings: PaperFigureSettings, progress: ReportProgress | None = None
) -> PaperMeasurements:
    """Measure.

    Parameters
    ----------
    bundle : Bundle
    test_set : TestSet
    settings : PaperFigureSettings
    progress : optional
        See `jobs.report_progress`.

    Returns
    -------
    PaperMeasurements

    Raises
    ------
    SfhInputError
        Weights that predict no histories, or take no spectrum.
    """
    if not bundle.targets.n_age or bundle.instrument.spectrum is None:
        raise SfhInputError(
            f"`paper`: {bundle.name!r} predicts no histories from spectra; these figures are of weights that do"
        )
    few = test_set.first(settings.n)
    seen = [(data, block.labels) for block, data in few.observe()]
    main = predict_test_set(seen, bundle, settings.device, "figures", few.n, settings.draws, progress)
    model_flux, model_phot = _reconstruct(seen, bundle, settings)
    fits = _fit_with_ppxf(few, settings, progress)
    cases = select_four_cases(few.labels, fits, len(seen[0][0].flux))
    places, projection = compute_latent_projection(main.latent[:_MOST_PROJECTED])
    return PaperMeasurements(
        bundle=bundle,
        test_set=few,
        data=join_observations([data for data, _ in seen]),
        labels=few.labels,
        main=main,
        model_flux=model_flux,
        model_phot=model_phot,
        realistic=_observe_with_real_noise(few, bundle, settings, progress),
        noise=_observe_with_parts_of_noise(few, bundle, settings.device, progress),
        by_snr=_observe_at_other_noise(few, bundle, settings.device, progress),
        ablation=measure_ablation(bundle, few.first(settings.n_ablation), settings.device, progress),
        ppxf=fits,
        cases=cases,
        ppxf_models=ppxf_comparison.fit_test_models(few, cases, settings.ppxf) if fits else {},
        places=places,
        projection=projection,
    )


def select_four_cases(labels: Labels, fits: Sequence[ppxf_comparison.PpxfTestFit], n_first: int) -> list[int]:
    """Objects of four ages that pPXF fitted too, where it did.

    Parameters
    ----------
    labels : Labels
        Of N objects.
    fits : sequence of PpxfTestFit
    n_first : int
        Without fits the objects are among the first so many.

    Returns
    -------
    list of int
        Rows.
    """
    rows = [f.index for f in fits] or list(range(min(n_first, _MOST_CASES)))
    age = np.asarray(labels.lg_age_lw)[rows]
    return [rows[int(np.argmin(np.abs(age - np.percentile(age, q))))] for q in (5, 35, 65, 95)]


def _observe_at_other_noise(
    few: TestSet, bundle: Bundle, device: str, progress: ReportProgress | None
) -> dict[float, Means]:
    """Point values of the same objects at each S/N."""
    found = {}
    for snr in SNR_VALUES:
        report_progress(Progress(f"S/N {snr:g}", 0, few.n), progress)
        found[snr] = _predict_means([data for _, data in few.observe(snr)], bundle, device)
    return found


def _reconstruct(
    seen: list[tuple[Observation, Labels]], bundle: Bundle, settings: PaperFigureSettings
) -> tuple[F32 | None, F32 | None]:
    """Rebuilt spectra of the first piece, from which the four cases are taken."""
    from napari_sfh.model.inference import predict_histories

    data = seen[0][0]
    return reconstruct_observations(data, predict_histories(data, bundle, settings.device, draws=64), bundle)


def _predict_means(parts: list[Observation], bundle: Bundle, device: str) -> Means:
    answers = [predict_point_values(data, bundle, device) for data in parts]
    return {k: np.concatenate([a[k] for a in answers]).astype(np.float64) for k in MEAN_NAMES}


def measure_ablation(
    bundle: Bundle, few: TestSet, device: str = "auto", progress: ReportProgress | None = None
) -> AblationTest:
    """Answers with each band and segment permuted, and with it masked.

    Parameters
    ----------
    bundle : Bundle
    few : TestSet
        Its objects are predicted once for each change.
    device : str
        auto, cpu, cuda or mps.
    progress : callable, optional

    Returns
    -------
    AblationTest
    """
    seen = [data for _, data in few.observe()]
    found: dict[str, dict[str, Means]] = {}
    for kind in ablation.CHANGE_KINDS:
        found[kind] = {}
        for name, change in ablation.list_input_changes(bundle.instrument, kind):
            report_progress(Progress(f"{kind}: {name}", 0, few.n), progress)
            rng = np.random.default_rng([few.seed, 5])
            found[kind][name] = _predict_means([change(data, rng) for data in seen], bundle, device)
    truth = truth_from_labels(few.labels)
    return AblationTest({k: truth[k] for k in MEAN_NAMES}, found)


#: Parts of the noise of the prior `wide`, added one after the other: its name and the settings of the prior.
NOISE_PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("residuals of sky lines, independent pixels", ("sky", "redshift", "background")),
    ("and correlated pixels", ("correlation", "broadened")),
    ("and wrong errors", ("error_scale_dex",)),
    ("and wiggles of the calibration", ("wiggle",)),
)


def _change_noise(few: TestSet, parts: tuple[str, ...] | None) -> TestSet:
    """The same objects with settings of the noise of the prior `wide`, or with all of it."""
    assert few.prepared is not None
    config, wide = few.prepared.config, load_prior("wide").noise
    if parts is None:
        noise = replace(wide, snr=config.noise.snr)
    else:
        changes: dict[str, Any] = {k: getattr(wide, k) for k in parts}
        noise = replace(config.noise, **changes)
    worse = replace(config, noise=noise)
    blocks = tuple(
        replace(b, source=replace(b.source, config=worse)) if isinstance(b.source, FreshSource) else b
        for b in few.blocks
    )
    return replace(few, blocks=blocks)


def _observe_with_real_noise(
    few: TestSet, bundle: Bundle, settings: PaperFigureSettings, progress: ReportProgress | None
) -> PredictionsWithTruth | None:
    """The same objects with the noise of the prior `wide`: residuals of sky lines, correlation, wiggles, masks."""
    if few.prepared is None:
        return None
    observed = ((data, block.labels) for block, data in _change_noise(few, None).observe())
    return predict_test_set(observed, bundle, settings.device, "realistic noise", few.n, settings.draws, progress)


def _observe_with_parts_of_noise(
    few: TestSet, bundle: Bundle, device: str, progress: ReportProgress | None
) -> dict[str, Means]:
    """Which part of that noise matters."""
    found: dict[str, Means] = {}
    keys: tuple[str, ...] = ()
    for name, more in NOISE_PARTS if few.prepared is not None else ():
        report_progress(Progress(name, 0, few.n), progress)
        keys = (*keys, *more)
        found[name] = _predict_means([data for _, data in _change_noise(few, keys).observe()], bundle, device)
    return found


def _fit_with_ppxf(
    few: TestSet, settings: PaperFigureSettings, progress: ReportProgress | None
) -> list[ppxf_comparison.PpxfTestFit]:
    if not settings.n_ppxf or few.prepared is None:
        return []
    cache = settings.ppxf_cache or Path("ppxf.jsonl")
    return ppxf_comparison.fit_test_spectra(few, settings.n_ppxf, cache, settings.ppxf, settings.ppxf_workers, progress)
