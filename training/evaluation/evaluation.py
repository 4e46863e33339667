"""How good a weights bundle is: every figure of report.json.

The parts: accuracy and coverage on the test set as the prior observes it; the same objects again at S/N 5 to 100, with
fewer bands, and with the wide prior's realistic noise; the OOD score at home and on inputs that it must catch
(`ood_cases`); galaxies of an independent simulator (`independent_simulator`); what each part of the input is worth
(`ablation`); pPXF on the same spectra (`ppxf_comparison`); speed.
"""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import napari_sfh
from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress
from napari_sfh.model.bundle import Bundle, hash_bundle_tensors
from napari_sfh.model.inference import choose_device
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.evaluation import ablation, metrics, ood_cases, ppxf_comparison
from napari_sfh.training.evaluation.predictions import PredictionsWithTruth, predict_test_set
from napari_sfh.training.evaluation.test_set import SpectraBlock, TestSet
from napari_sfh.training.evaluation.throughput import measure_throughput
from napari_sfh.training.fitting.augmentation import normalise_bands
from napari_sfh.training.fitting.labelled_table import TableLabels
from napari_sfh.training.fitting.provenance import find_source_commit
from napari_sfh.training.fitting.spectra_sources import FreshSource
from napari_sfh.training.libraries import templates
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.simulator import independent_simulator
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.types import F64, Observation

#: S/N at which the same objects are observed again.
SNR_VALUES: tuple[float, ...] = (5.0, 10.0, 20.0, 35.0, 50.0, 100.0)
_BAND_COUNTS = 6  # at most so many numbers of bands are looked at
#: Edges of the tables against optical depth.
TAU_ISM_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0, 3.0)
TAU_BC_EDGES = (0.0, 0.2, 0.4, 0.8, 1.6, 3.0, 20.0)
#: Classes of log age for the ablation: young, intermediate, old.
AGE_EDGES = (5.0, 8.5, 9.5, 11.0)


@dataclass(frozen=True)
class EvaluationSettings:
    """How much is measured."""

    device: str = "auto"
    draws: int = 400
    n_again: int = 2048  # objects of each further test: S/N, bands, noise
    n_ablation: int = 512
    n_ood_cases: int = 512
    n_independent: int = 1024  # per library
    further_libraries: tuple[str, ...] = ()  # of which galaxies from elsewhere are made too, each a table of its own
    ppxf: int = 0
    ppxf_workers: int = 1
    ppxf_cache: Path | None = None
    ppxf_settings: ppxf_comparison.PpxfTestSettings = field(default_factory=ppxf_comparison.PpxfTestSettings)

    @classmethod
    def quick(cls, **values: Any) -> EvaluationSettings:
        """A twentieth of the work, for a look."""
        small: dict[str, Any] = {"n_again": 128, "n_ablation": 96, "n_ood_cases": 64, "n_independent": 96, "draws": 100}
        return cls(**(small | values))


@dataclass(frozen=True)
class Evaluation:
    """The report's numbers, and what its pictures need."""

    report: dict[str, Any]
    predicted: PredictionsWithTruth
    labels: Labels | TableLabels
    independent: PredictionsWithTruth | None
    ppxf: list[ppxf_comparison.PpxfTestFit]


def evaluate_bundle(
    bundle: Bundle, testset: TestSet, settings: EvaluationSettings, progress: ReportProgress | None = None
) -> Evaluation:
    """Measure everything.

    Parameters
    ----------
    bundle : Bundle
    testset : TestSet
    settings : EvaluationSettings

    Returns
    -------
    Evaluation
    """
    start = time.process_time()
    check_test_seed(bundle, testset)
    choose_device(settings.device)
    if testset.name != bundle.meta["prior"].get("name"):
        testset = hide_mass_scale(testset)
    head = _header(bundle, testset)  # before the work: files may change meanwhile
    labels = testset.labels
    observed = ((data, block.labels) for block, data in testset.observe())
    main = predict_test_set(observed, bundle, settings.device, "test set", testset.n, settings.draws, progress=progress)
    report = head | _tables(main, labels, testset)
    few = testset.first(settings.n_again)
    report["by_snr"] = _by_snr(bundle, few, settings, progress=progress)
    report["by_bands"] = _by_bands(bundle, few, settings, progress=progress)
    report["realistic_noise"] = _with_realistic_noise(bundle, few, settings, progress=progress)
    report["out_of_depth"] = _ood_rates(bundle, testset, main, settings, progress=progress)
    report["ablation"] = _ablation(bundle, testset.first(settings.n_ablation), settings, progress=progress)
    other: PredictionsWithTruth | None = None
    if testset.prepared is not None and settings.n_independent:
        other, tables = _independent_tables(bundle, testset, settings, progress=progress)
        report |= tables
    report["throughput"] = measure_throughput(bundle, testset, settings.device, progress=progress)
    fits: list[ppxf_comparison.PpxfTestFit] = []
    if settings.ppxf:
        cache = settings.ppxf_cache or Path("ppxf.jsonl")
        fits = ppxf_comparison.fit_test_spectra(
            testset, settings.ppxf, cache, settings.ppxf_settings, settings.ppxf_workers, progress=progress
        )
        report["ppxf"] = build_ppxf_table(fits, main, settings.ppxf_settings)
    report["processor_seconds"] = round(time.process_time() - start, 1)
    return Evaluation(report, main, labels, other, fits)


def check_test_seed(bundle: Bundle, testset: TestSet) -> None:
    """Raise `SfhInputError` where the test set has the training set's seed and prior.

    Parameters
    ----------
    bundle : Bundle
    testset : TestSet
        Of a prior, or read from disk (then nothing is checked).

    Raises
    ------
    SfhInputError
        Network and test set share seed and prior.
    """
    if testset.prepared is None:
        return
    seeds = {bundle.meta["training"].get(k) for k in ("seed", "data_seed")}
    if testset.seed in seeds and testset.name == bundle.meta["prior"].get("name"):
        raise SfhInputError(f"`seed` {testset.seed}: these weights were trained with it; choose another")


def hide_mass_scale(testset: TestSet) -> TestSet:
    """A test set whose mass-to-light ratios are unknown.

    They are on the scale of the prior's first library (its IMF and remnants), which weights of another prior do not
    share.
    """

    def unknown(block: SpectraBlock) -> SpectraBlock:
        if not isinstance(block.source, FreshSource):
            return block
        labels = block.source.labels
        labels = replace(labels, lg_ml_v=np.full_like(labels.lg_ml_v, np.nan))
        return replace(block, source=replace(block.source, labels=labels))

    return replace(testset, blocks=tuple(unknown(b) for b in testset.blocks))


def describe_evaluated_weights(bundle: Bundle) -> dict[str, Any]:
    """Weights, code and machine, as the head of every report."""
    return {
        "weights": {
            "name": bundle.name,
            "file": bundle.path.name,
            "sha256": bundle.sha256,
            "tensors_sha256": hash_bundle_tensors(bundle),
            "training": {k: bundle.meta["training"].get(k) for k in ("n", "epochs", "seed", "data_sha256")},
        },
        "code_version": napari_sfh.__version__,
        "commit": find_source_commit(),
        "machine": describe_evaluation_machine(),
    }


def _header(bundle: Bundle, testset: TestSet) -> dict[str, Any]:
    return describe_evaluated_weights(bundle) | {
        "prior": testset.name,
        "seed": testset.seed,
        "n_test": testset.n,
        "libraries": list(testset.library_names),
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def describe_evaluation_machine() -> dict[str, Any]:
    """The machine that the speeds hold for."""
    import os

    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [x.split(":", 1)[1].strip() for x in info.read_text().splitlines() if x.startswith("model name")]
        model = names[0] if names else model
    out: dict[str, Any] = {"cpu": model, "cores": os.cpu_count()}
    out |= {"python": platform.python_version(), "torch": torch.__version__}
    if hasattr(os, "getloadavg"):
        out["load_average"] = round(os.getloadavg()[0], 1)
    return out


#: First test spectra whose figures are told by themselves: those that pPXF, which takes seconds for one, is given.
FIRST_SPECTRA: int = 500


def measure_first_spectra(main: PredictionsWithTruth) -> dict[str, Any]:
    """Accuracy of the first `FIRST_SPECTRA`, to stand beside another report's pPXF on the same prior and seed."""
    some = slice(0, FIRST_SPECTRA)
    found, truth = ({k: v[some] for k, v in values.items()} for values in (main.found, main.truth))
    return {"n": len(next(iter(found.values()))), "accuracy": metrics.measure_accuracy(found, truth)}


def _tables(main: PredictionsWithTruth, labels: Labels, testset: TestSet) -> dict[str, Any]:
    """What follows from the test set as observed."""
    found, truth = main.found, main.truth
    out = {
        "accuracy": metrics.measure_accuracy(found, truth),
        "spread": metrics.measure_spread({k: truth[k] for k in found}),
        "coverage": metrics.measure_coverage(main.quantiles, truth),
        "calibration": {
            k: dict(zip(("nominal", "true"), metrics.measure_quantile_calibration(q, truth[k]), strict=True))
            for k, q in main.quantiles.items()
            if q.ndim == 2 and np.isfinite(truth[k]).any()
        },
        "widths": metrics.compare_widths(main.quantiles, truth),
        "first_spectra": measure_first_spectra(main),
        "by_family": metrics.measure_accuracy_by_class(found, truth, labels.family, labels.family_names),
        "by_library": metrics.measure_accuracy_by_class(found, truth, testset.library, testset.library_names),
        "by_tau_ism": metrics.measure_accuracy_by_range(found, truth, labels.tau_ism, TAU_ISM_EDGES),
        "by_tau_bc": metrics.measure_accuracy_by_range(found, truth, labels.tau_bc, TAU_BC_EDGES),
    }
    return out if main.mass_frac is None else out | _history_tables(main, main.mass_frac)


def _history_tables(main: PredictionsWithTruth, mass_frac: F64) -> dict[str, Any]:
    """What follows from histories."""
    truth = main.truth
    vector_error = metrics.symmetric_percentage_error(mass_frac, truth["mass_frac"])
    return {
        "smape": {"median": float(np.nanmedian(vector_error)), "mean": float(np.nanmean(vector_error))},
        "sfr_error": metrics.measure_sfr_error(mass_frac, truth["mass_frac"]),
        "cumulative_error": metrics.measure_cumulative_error(main.quantiles["cum_mass"][..., 2], truth["cum_mass"]),
        "error_correlation": metrics.correlate_errors(main.found, truth),
    }


def summarise_predictions(p: PredictionsWithTruth) -> dict[str, Any]:
    """Accuracy, coverage, widths and warnings of one test."""
    scalars = {k: q for k, q in p.quantiles.items() if q.ndim == 2}
    return {
        "n": p.n,
        "accuracy": metrics.measure_accuracy(p.found, p.truth),
        "coverage": metrics.measure_coverage(scalars, p.truth),
        "widths": metrics.compare_widths(p.quantiles, p.truth),
        "out_of_depth_share": float(np.nanmean(p.ood > 1)),
    }


def _by_snr(
    bundle: Bundle, few: TestSet, settings: EvaluationSettings, progress: ReportProgress | None = None
) -> dict[str, Any]:
    out = {}
    for snr in SNR_VALUES:
        observed = ((data, block.labels) for block, data in few.observe(snr))
        p = predict_test_set(
            observed, bundle, settings.device, f"S/N {snr:g}", few.n, settings.draws, progress=progress
        )
        out[f"{snr:g}"] = summarise_predictions(p)
    return out


def _by_bands(
    bundle: Bundle, few: TestSet, settings: EvaluationSettings, progress: ReportProgress | None = None
) -> dict[str, Any]:
    """Accuracy with fewer bands, whichever they are; as many objects as elsewhere: bands are worth a few per cent."""
    seen, n = list(few.observe()), bundle.instrument.n_bands
    least = 0 if bundle.instrument.spectrum is not None else 1
    out = {}
    for count in sorted({round(k) for k in np.linspace(least, n, min(n - least + 1, _BAND_COUNTS))} if n else ()):
        observed = ((_keep_bands(data, count, few.seed), block.labels) for block, data in seen)
        p = predict_test_set(
            observed, bundle, settings.device, f"{count} bands", few.n, settings.draws, progress=progress
        )
        out[str(count)] = summarise_predictions(p)
    return out


def _keep_bands(data: Observation, count: int, seed: int) -> Observation:
    """Data with ``count`` bands of each object, chosen at random."""
    rank = np.random.default_rng([seed, count]).random(data.phot.shape).argsort(1).argsort(1)
    mask = data.phot_mask & (rank < count)
    return normalise_bands(replace(data, phot_mask=mask, phot=np.where(mask, data.phot, 0.0).astype(np.float32)))


def _with_realistic_noise(
    bundle: Bundle, few: TestSet, settings: EvaluationSettings, progress: ReportProgress | None = None
) -> dict[str, Any] | None:
    """The same objects with sky residuals, correlated noise, calibration errors and masks of the wide prior."""
    if few.prepared is None:
        return None
    config = few.prepared.config
    wide = load_prior("wide")
    worse = replace(config, noise=replace(wide.noise, snr=config.noise.snr))
    blocks = tuple(
        replace(b, source=replace(b.source, config=worse)) if isinstance(b.source, FreshSource) else b
        for b in few.blocks
    )
    observed = ((data, block.labels) for block, data in replace(few, blocks=blocks).observe())
    p = predict_test_set(observed, bundle, settings.device, "realistic noise", few.n, settings.draws, progress=progress)
    return summarise_predictions(p)


def _ood_rates(
    bundle: Bundle,
    testset: TestSet,
    main: PredictionsWithTruth,
    settings: EvaluationSettings,
    progress: ReportProgress | None = None,
) -> dict[str, Any]:
    """Shares of scores above 1, at home and on what must be caught."""
    out: dict[str, Any] = {
        "false_alarm_rate": float(np.nanmean(main.ood > 1)),
        "at_snr": ood_cases.OOD_CASE_SNR,
        "detection_rate": {},
    }
    source = testset.blocks[0].source
    if testset.prepared is None or not isinstance(source, FreshSource):
        return out
    rich = max(testset.prepared.models, key=lambda m: m.mh_limits[1])
    rng = np.random.default_rng([testset.seed, 99])
    n = min(settings.n_ood_cases, len(source.phot))
    labels = source.labels.select(np.arange(n))
    for name, data in ood_cases.make_ood_cases(source, n, rng, rich):
        p = predict_test_set(
            [(data, labels)], bundle, settings.device, f"out of distribution: {name}", n, 64, progress=progress
        )
        share = float(np.nanmean(p.ood > 1))
        if name == "at home":
            out["false_alarm_rate_at_snr"] = share
        else:
            out["detection_rate"][name] = share
    return out


def _ablation(
    bundle: Bundle, few: TestSet, settings: EvaluationSettings, progress: ReportProgress | None = None
) -> dict[str, Any]:
    seen = list(few.observe())
    out = {}
    for name, change in ablation.list_input_changes(bundle.instrument):
        rng = np.random.default_rng([few.seed, 5])
        observed = [(change(data, rng), block.labels) for block, data in seen]
        p = predict_test_set(observed, bundle, settings.device, f"ablation: {name}", few.n, 64, progress=progress)
        table: dict[str, Any] = {"accuracy": metrics.measure_accuracy(p.found, p.truth)}
        if "lg_age_lw" in p.truth:
            ages = metrics.measure_accuracy_by_range(p.found, p.truth, p.truth["lg_age_lw"], AGE_EDGES)
            table["by_lg_age_lw"] = ages
        out[name] = table
    return out


def _independent_tables(
    bundle: Bundle, testset: TestSet, settings: EvaluationSettings, progress: ReportProgress | None = None
) -> tuple[PredictionsWithTruth, dict[str, Any]]:
    """Galaxies from elsewhere with the stars of the libraries at hand, and of each that no weights know."""
    assert testset.prepared is not None
    own = {str(m.templates.provenance["name"]): m.templates for m in testset.prepared.models}
    for name in ("bc03-miles", "e-miles"):
        if name not in own and templates.templates_cache_path(name, bundle.instrument).is_file():
            own[name] = templates.prepare_templates(name, bundle.instrument)
    other, table = _independent_table(bundle, own, testset.seed, settings, progress=progress)
    strange = {}
    for name in settings.further_libraries:
        _, strange[name] = _independent_table(
            bundle,
            {name: templates.prepare_templates(name, bundle.instrument)},
            testset.seed,
            settings,
            progress=progress,
        )
    return other, {"elsewhere": table, "strange_libraries": strange}


def _independent_table(
    bundle: Bundle,
    listed: dict[str, templates.Templates],
    seed: int,
    settings: EvaluationSettings,
    progress: ReportProgress | None = None,
) -> tuple[PredictionsWithTruth, dict[str, Any]]:
    """Galaxies of the independent simulator, on each of the libraries."""
    made = [
        independent_simulator.observe_independent_galaxies(t, settings.n_independent, seed) for t in listed.values()
    ]
    n = len(made) * settings.n_independent
    p = predict_test_set(made, bundle, settings.device, "elsewhere", n, settings.draws, progress=progress)
    number = np.repeat(np.arange(len(made)), settings.n_independent)
    family = np.concatenate([labels.family for _, labels in made])
    # Mass-to-light ratios of libraries are on different scales, and the dust law has no slope: left out.
    four = {k: p.quantiles[k] for k in metrics.list_accuracy_names(p.quantiles)}
    return p, {
        "n": n,
        "snr": 35.0,
        "accuracy": metrics.measure_accuracy(p.found, p.truth),
        "coverage": metrics.measure_coverage(four, p.truth),
        "widths": metrics.compare_widths(p.quantiles, p.truth),
        "by_library": metrics.measure_accuracy_by_class(p.found, p.truth, number, list(listed)),
        "by_family": metrics.measure_accuracy_by_class(
            p.found, p.truth, family, independent_simulator.INDEPENDENT_FAMILIES
        ),
        "out_of_depth_share": float(np.nanmean(p.ood > 1)),
    }


def build_ppxf_table(
    fits: list[ppxf_comparison.PpxfTestFit], main: PredictionsWithTruth, settings: ppxf_comparison.PpxfTestSettings
) -> dict[str, Any]:
    """pPXF's figures, and the network's on the very same spectra.

    Parameters
    ----------
    fits : list of PpxfTestFit
        Of some objects of the test set.
    main : PredictionsWithTruth
        The network's answers for the whole of it.
    settings : PpxfTestSettings

    Returns
    -------
    dict
        JSON types: accuracy of both on the same rows, times, versions.
    """
    from dataclasses import asdict
    from importlib.metadata import version

    rows = [f.index for f in fits]
    found = {k: v[rows] for k, v in main.found.items()}
    truth = {k: main.truth[k][rows] for k in MEAN_NAMES}
    return ppxf_comparison.summarise_ppxf_fits(fits, main.truth) | {
        "version": version("ppxf"),
        "settings": asdict(settings),
        "network_on_the_same": metrics.measure_accuracy(found, truth),
    }
