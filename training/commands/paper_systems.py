"""``napari-sfh-train paper-systems``: published systems measured on their own terms: JSON, a Markdown page, figures.

``spaxels``      Liew-Cain et al. (2021): sets A and B, gradients, classes, trends, learning curve; of mock galaxies, or
                 of a table of your own spaxels with labels.
``jpas``         Dominguez Sanchez et al. (2025): weights for catalogues by magnitude and library; the paper's networks.
``percentiles``  Iglesias-Navarro (2023): noiseless galaxies of one metallicity.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sfh.training.command_lines import describe_command_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from napari_sfh.jobs import ReportProgress
    from napari_sfh.model.bundle import Bundle
    from napari_sfh.training.prior.prior_config import PriorConfig
    from napari_sfh.training.simulator.simulation import PreparedPrior
    from napari_sfh.training.studies.narrow_bands.narrow_galaxies import MockSpaxels
    from napari_sfh.training.studies.narrow_bands.spaxel_tests import SpaxelTestSettings

Figures = Iterable[tuple[str, "Figure"]]


def add_paper_systems_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("paper-systems", help="published systems on their own terms", description=__doc__)
    parser.add_argument("system", choices=("spaxels", "jpas", "percentiles"), help="which of the papers' systems")
    parser.add_argument("--folder", type=Path, metavar="PATH", help="percentiles: MILES models (folder or tar archive)")
    parser.add_argument("--like-stacks", action="store_true", help="percentiles: of spectra at 320 km/s, 4023-6000 AA")
    parser.add_argument(
        "--model",
        metavar="NAME|FILE",
        help="jpas: weights for bands (default jpas); percentiles: weights on spectra like stacks, instead",
    )
    parser.add_argument(
        "--prior", metavar="NAME|FILE", help="what objects are drawn from (default: the weights' own, narrowband)"
    )
    parser.add_argument("--n", type=int, metavar="N", help="histories (default 10000), or objects a magnitude (1000)")
    parser.add_argument("--networks", type=int, default=0, metavar="N", help="jpas: also train the paper's networks")
    parser.add_argument("--beside", metavar="NAME|FILE", help="jpas: weights of galaxies, measured beside step by step")
    parser.add_argument("--data", type=Path, metavar="TABLE", help="spaxels: your own, with labels")
    parser.add_argument("--instrument", default="narrowband", help="spaxels: the bands (default narrowband)")
    parser.add_argument("--labels", choices=("fitted", "truth"), default="fitted", help="spaxels: of mock galaxies")
    parser.add_argument("--galaxies", type=int, default=190, help="spaxels: mock galaxies (default 190)")
    parser.add_argument("--spaxels", type=int, default=104, help="spaxels: of each (default 104)")
    parser.add_argument("--snr", type=float, default=40.0, help="spaxels: S/N of a pixel, or of a band (default 40)")
    parser.add_argument(
        "--label-snr",
        nargs="+",
        type=float,
        metavar="S/N",
        help="spaxels: instead, sets A and B with labels fitted at each of these S/N",
    )
    parser.add_argument(
        "--lookup",
        action="store_true",
        help="spaxels: instead, sets A and B by the label of the most similar spectrum that was trained on",
    )
    parser.add_argument("--runs", type=int, default=0, help="spaxels: runs of the learning curve (default none)")
    parser.add_argument("--search", type=int, default=0, metavar="N", help="spaxels: random networks to choose from")
    parser.add_argument("--epochs", type=int, metavar="N", help="most epochs of every network")
    parser.add_argument("--threads", type=int, default=1, help="cores to use (default 1)")
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="write the paper's figures there")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json", help="the page stands beside it")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_paper_systems)


def run_paper_systems(args: argparse.Namespace) -> int:
    """Measure, write the JSON file, the page and the figures."""
    import torch
    from threadpoolctl import threadpool_limits

    from napari_sfh.io.atomic import write_text_atomically
    from napari_sfh.training.evaluation.evaluation import describe_evaluation_machine
    from napari_sfh.training.evaluation.report import prepare_output_folder
    from napari_sfh.training.fitting.provenance import find_source_commit
    from napari_sfh.training.studies import system_pages

    _check_arguments(args)
    for folder in (args.output.parent, *([args.figures] if args.figures else [])):
        prepare_output_folder(folder)
    torch.set_num_threads(args.threads)
    measure, write_page = {
        "spaxels": (_measure_spaxels, system_pages.format_spaxel_page),
        "jpas": (_measure_jpas, system_pages.format_catalogue_page),
        "percentiles": (_measure_percentiles, system_pages.format_percentile_page),
    }[args.system]
    record: dict[str, Any] = {
        "command": describe_command_line(),
        "commit": find_source_commit(),
    }
    record["machine"] = describe_evaluation_machine()
    start = time.process_time()
    with threadpool_limits(args.threads):
        measured, figures = measure(args)
        if args.figures:
            _save_figures(figures, args.figures)
    measured = record | {"seconds": round(time.process_time() - start, 1)} | measured
    write_text_atomically(args.output, json.dumps(measured, indent=1))
    write_text_atomically(args.output.with_suffix(".md"), write_page(measured))
    print(args.output.with_suffix(".md"))
    return 0


def _check_arguments(args: argparse.Namespace) -> None:
    from napari_sfh.errors import SfhInputError

    if args.system == "percentiles" and args.folder is None and args.model is None:
        raise SfhInputError("--folder: give the MILES models of miles.iac.es, BaSTI isochrones; or weights by --model")
    for key, least in (("galaxies", 8), ("spaxels", 8), ("n", 10), ("epochs", 1), ("threads", 1), ("runs", 0)):
        value = getattr(args, key)
        if value is not None and value < least:
            raise SfhInputError(f"--{key} {value}: must be at least {least}")
    for key, values in (("snr", [args.snr]), ("label-snr", args.label_snr or [])):
        for value in values:
            if not value > 0:
                raise SfhInputError(f"--{key} {value:g}: must be positive")
    if args.label_snr and args.lookup:
        raise SfhInputError("--lookup: one thing at a time; leave --label-snr out")
    if args.label_snr and args.data is not None:
        raise SfhInputError("--label-snr: labels of a table are what they are; leave --data out")


def _save_figures(figures: Figures, folder: Path) -> None:
    for name, figure in figures:
        figure.savefig(folder / f"{name}.png", dpi=110)


def _measure_spaxels(args: argparse.Namespace) -> tuple[dict[str, Any], Figures]:
    from dataclasses import replace

    from napari_sfh.console import print_progress
    from napari_sfh.training.studies.narrow_bands import spaxel_figures, spaxel_tests

    settings = spaxel_tests.SpaxelTestSettings()
    settings = replace(settings, fit=replace(settings.fit, epochs=args.epochs or settings.fit.epochs))
    if args.label_snr:
        with print_progress(args.quiet) as progress:
            return _measure_label_noise(args, settings, progress), ()
    made, labels = _obtain_spaxels(args)
    if args.lookup:
        from napari_sfh.training.studies.narrow_bands.spaxel_lookup import measure_spaxel_lookup

        facts = {"n_galaxies": made.n_galaxies, "n_spaxels": len(made.r), "labels": labels}
        return facts | {"lookup": measure_spaxel_lookup(made, settings.seed)}, ()
    measured: dict[str, Any] = {
        "n_galaxies": made.n_galaxies,
        "n_spaxels": len(made.r),
        "bands": len(made.filters),
        "labels": labels,
        "spread": {q: float(getattr(made, q).std()) for q in spaxel_tests.SPAXEL_QUANTITIES},
        "sets": {},
    }
    with print_progress(args.quiet) as progress:
        if args.search:
            settings, measured["search"] = spaxel_tests.select_spaxel_network(made, settings, args.search, progress)
        test = spaxel_tests.predict_held_out_folds
        answers = {kind: test(made, kind, settings, progress) for kind in spaxel_tests.SPAXEL_SETS}
        for kind, one in answers.items():
            trends = spaxel_tests.measure_trends(made, one)
            measured["sets"][kind] = spaxel_tests.measure_set(made, one) | ({"trends": trends} if trends else {})
        if "lg_ssfr" in made.properties:
            measured["classes"] = spaxel_tests.measure_classes(made, settings)
        if args.runs:
            measured["learning_curve"] = spaxel_tests.measure_learning_curve(made, settings, args.runs, progress)
    return measured, spaxel_figures.plot_spaxel_figures(made, answers, measured)


def _measure_label_noise(
    args: argparse.Namespace, settings: SpaxelTestSettings, progress: ReportProgress | None
) -> dict[str, Any]:
    """Both sets at each S/N of the fit of the labels."""
    from napari_sfh.training.studies.narrow_bands.label_noise import measure_label_noise

    def make(snr: float) -> MockSpaxels:
        return _obtain_spaxels(argparse.Namespace(**(vars(args) | {"snr": snr})))[0]

    return {"label_noise": measure_label_noise(make, args.label_snr, settings, progress)}


def _obtain_spaxels(args: argparse.Namespace) -> tuple[MockSpaxels, str]:
    """Spaxels of a table or of mock galaxies, and what their labels are."""
    from napari_sfh.instruments.files import load_instrument, make_band_filters
    from napari_sfh.training.libraries import templates
    from napari_sfh.training.prior.prior_config import load_prior
    from napari_sfh.training.simulator.forward_model import build_forward_model
    from napari_sfh.training.studies.narrow_bands import narrow_galaxies
    from napari_sfh.training.studies.narrow_bands.spaxel_table import read_spaxel_table

    instrument = load_instrument(args.instrument)
    if args.data is not None:
        return read_spaxel_table(args.data, instrument), f"those of {args.data.name}"
    model = build_forward_model(templates.prepare_templates("bc03-miles", load_instrument("optical")))
    made = narrow_galaxies.make_mock_spaxels(
        model,
        load_prior(args.prior or "narrowband"),
        make_band_filters(instrument),
        args.galaxies,
        args.spaxels,
        5,
        args.snr,
        args.labels,
        0.85 * narrow_galaxies.PAPER_AGE_SIGMA,  # of the ends; blends and the fit widen it
    )
    words = {"fitted": "a fit of the spectrum that the bands are cut from", "truth": "the truth"}
    return made, words[args.labels]


def _load_prior_of(given: str | None, bundle: Bundle) -> PriorConfig:
    """The prior that is named, else the one that the weights were trained on."""
    from napari_sfh.training.prior.prior_config import load_prior, restore_prior

    return load_prior(given) if given else restore_prior(bundle.meta["prior"], bundle.name)


def _measure_stack_like(args: argparse.Namespace) -> dict[str, Any]:
    """Weights on spectra like stacks."""
    from napari_sfh.model.bundle import load_bundle
    from napari_sfh.training.simulator.simulation import prepare_prior
    from napari_sfh.training.studies.percentiles.stack_like import measure_stack_like

    bundle = load_bundle(args.model)
    source = prepare_prior(_load_prior_of(args.prior, bundle), bundle.instrument)
    rows = measure_stack_like(bundle, source, args.n or 2000)
    return {"model": bundle.name, "sha256": bundle.sha256, "stack_like": rows}


def _measure_percentiles(args: argparse.Namespace) -> tuple[dict[str, Any], Figures]:
    if args.model is not None:
        return _measure_stack_like(args), ()
    from dataclasses import replace

    from napari_sfh.console import make_stderr_logger
    from napari_sfh.training.libraries.emiles import load_miles_folder
    from napari_sfh.training.studies.percentiles import percentile_figures, percentile_galaxies, percentile_measure
    from napari_sfh.training.studies.percentiles.percentile_nets import PercentileFitSettings

    epochs = args.epochs or 30
    fit = PercentileFitSettings(epochs=epochs, flow_epochs=max(1, 2 * epochs // 3))
    settings = percentile_measure.PercentileSettings(histories=args.n or 10_000, fit=fit)
    if args.like_stacks:
        stacks = percentile_galaxies.STACK_RANGE_AA, percentile_galaxies.STACK_SIGMA_KMS
        settings = replace(settings, range_aa=stacks[0], sigma_kms=stacks[1])
    library = load_miles_folder(args.folder, "miles")
    measured, study = percentile_measure.measure_percentile_networks(library, settings, make_stderr_logger(args.quiet))
    return measured, percentile_figures.plot_percentile_figures(study)


def _measure_jpas(args: argparse.Namespace) -> tuple[dict[str, Any], Figures]:
    from dataclasses import replace

    from napari_sfh.console import print_progress
    from napari_sfh.model.bundle import load_bundle
    from napari_sfh.model.inference import predict_histories
    from napari_sfh.training.prior.prior_config import restore_prior
    from napari_sfh.training.simulator.simulation import prepare_prior
    from napari_sfh.training.studies.narrow_bands import (
        catalogue_figures,
        catalogue_measure,
        catalogue_networks,
        realistic_catalogues,
    )

    bundle, n = load_bundle(args.model or "jpas"), args.n or 1000
    source = prepare_prior(_load_prior_of(args.prior, bundle), bundle.instrument)
    measured: dict[str, Any] = {"model": bundle.name, "sha256": bundle.sha256, **_measure_catalogue(bundle, source, n)}
    sample = catalogue_networks.draw_catalogue_sample(source, 3 * n, catalogue_networks.TRAINING_MAGNITUDES, 9)
    prediction = predict_histories(sample.observed, bundle, device="cpu", draws=100)
    age = "lg_age" if "lg_age" in prediction.scalars else "lg_age_lw"
    found = {bundle.name: prediction.quantiles[age][:, 2].astype(float)}
    measured["all_magnitudes"] = catalogue_measure.measure_age_classes(
        found[bundle.name], sample.truth[age].astype(float)
    )
    if args.beside:
        beside = load_bundle(args.beside)
        galaxies = restore_prior(beside.meta["prior"], beside.name)
        measured["realism"] = realistic_catalogues.measure_realism([bundle, beside], source.config, galaxies, 2 * n)
    tables = {bundle.name: measured["by_magnitude"]}
    if args.networks:
        settings = catalogue_networks.PaperNetworkSettings(n=args.networks, n_test=2 * n)
        if args.epochs:
            settings = replace(settings, fit=replace(settings.fit, epochs=args.epochs))
        with print_progress(args.quiet) as progress:
            measured["paper_networks"], nets = catalogue_networks.measure_paper_networks(source, settings, progress)
        found["paper"] = nets["lg_age"].predict(sample.flux).astype(float)
        tables["paper"] = measured["paper_networks"]["by_magnitude"]
    return measured, catalogue_figures.plot_catalogue_figures(source, sample, found, tables, age)


def _measure_catalogue(bundle: Bundle, source: PreparedPrior, n: int) -> dict[str, Any]:
    """By magnitude, on each library, and the faint end beside what its bands allow."""
    from napari_sfh.training.studies.narrow_bands import catalogue_limit, catalogue_measure, catalogue_networks

    measured: dict[str, Any] = {
        "by_magnitude": catalogue_measure.measure_by_magnitude(bundle, source, n),
        "by_library": {},
    }
    for model in source.models:
        name = str(model.templates.provenance["name"])
        alone = catalogue_networks.keep_libraries(source, [name])
        rows = catalogue_measure.measure_by_magnitude(bundle, alone, n // 2, magnitudes=(16.0, 19.0, 22.0))
        measured["by_library"][name] = rows
    if "lg_age" in bundle.targets.scalars:
        measured["faint_end"] = catalogue_limit.measure_faint_end(bundle, source, 4 * n)
    return measured
