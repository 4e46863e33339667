"""``napari-sfh-train evaluate``: a report on any weights bundle, report.json and report.html."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sfh.model.bundle import Bundle
    from napari_sfh.training.evaluation.test_set import TestSet

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_evaluate_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("evaluate", help="report on a weights bundle", description=__doc__)
    parser.add_argument("--weights", required=True, help="name of a shipped bundle, a file, or a folder of a run")
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--prior", help="prior of the test spectra (default: the one the weights were trained on)")
    data.add_argument(
        "--data", type=Path, help="folder of a set that simulate made, or a table with your labels (weights of scalars)"
    )
    parser.add_argument("--n", type=int, default=16_500, help="test spectra (default 16500)")
    parser.add_argument("--again", type=int, help="spectra of each further test, at other S/N and so on (default 2048)")
    parser.add_argument("--ppxf", type=int, default=0, metavar="N", help="also run pPXF on the first N (default 0)")
    parser.add_argument("--ppxf-cache", type=Path, help="file of finished pPXF fits (default: in the output folder)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes of pPXF")
    parser.add_argument("--seed", type=int, help="of the test spectra (default one that no training uses)")
    parser.add_argument(
        "--library",
        action="append",
        default=[],
        metavar="NAME",
        help="galaxies from elsewhere also with the stars of this prepared library, which no weights know (repeatable)",
    )
    parser.add_argument(
        "--paper",
        action="store_true",
        help="instead of the report, every figure of the paper that these weights belong to",
    )
    parser.add_argument("--ppxf-variants", action="store_true", help="with --paper: pPXF also as the paper ran it")
    parser.add_argument("--size-curve", type=Path, metavar="FILE.json", help="of ablate-recipe --sizes, for --paper")
    parser.add_argument("--miles", type=Path, metavar="PATH", help="MILES models, for --paper of percentiles")
    parser.add_argument("--quick", action="store_true", help="small further tests: minutes become seconds")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--output", type=Path, required=True, help="folder of the report")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_evaluate)


def run_evaluate(args: argparse.Namespace) -> int:
    """Measure and write."""
    from napari_sfh.console import print_progress
    from napari_sfh.model.bundle import load_bundle
    from napari_sfh.training.evaluation import report
    from napari_sfh.training.evaluation.evaluation import EvaluationSettings, evaluate_bundle
    from napari_sfh.training.libraries import templates

    report.prepare_output_folder(args.output)
    bundle = load_bundle(_weights_file(args.weights))
    if args.data is not None and args.data.is_file():
        return _evaluate_table(args, bundle)
    if args.paper and not bundle.targets.n_age:
        return _draw_other_paper(args, bundle)
    testset = _open_test_set(args, bundle)
    cache = args.ppxf_cache or args.output / f"ppxf-{testset.name}.jsonl"
    if args.paper:
        return _draw_paper(args, bundle, testset, cache)
    make = EvaluationSettings.quick if args.quick else EvaluationSettings
    more: dict[str, Any] = {} if args.again is None else {"n_again": max(args.again, 16)}
    for name in args.library:
        templates.prepare_templates(name, bundle.instrument)  # what is not there is told before the work begins
    more["further_libraries"] = tuple(args.library)
    settings = make(device=args.device, ppxf=args.ppxf, ppxf_workers=args.workers, ppxf_cache=cache, **more)
    with print_progress(args.quiet) as progress:
        evaluation = evaluate_bundle(bundle, testset, settings, progress)
        paths = report.write_evaluation_report(evaluation, args.output, progress)
    for path in paths:
        print(path)
    return 0


def choose_paper_system(scalars: tuple[str, ...]) -> str:
    """The published system of weights that predict these scalars, as `paper_systems` names it.

    Raises
    ------
    SfhInputError
        None predicts them.
    """
    from napari_sfh.errors import SfhInputError

    if "ebv" in scalars:
        return "jpas"
    if any(name.startswith("t") and name[1:].isdigit() for name in scalars):
        return "percentiles"
    if "lg_age_lw" in scalars:
        return "spaxels"
    raise SfhInputError(f"--paper: no paper has weights for {', '.join(scalars)}; leave it out")


def _draw_other_paper(args: argparse.Namespace, bundle: Bundle) -> int:
    """Figures and numbers of the paper that weights for scalars belong to, by ``paper-systems``."""
    from napari_sfh.training.commands import paper_systems

    system = choose_paper_system(bundle.targets.scalars)
    words = ["paper-systems", system, "--output", str(args.output / f"{system}.json"), "--figures", str(args.output)]
    words += ["--model", args.weights] if system == "jpas" else []
    if system == "spaxels":
        words += ["--instrument", bundle.instrument.name]
        words += ["--galaxies", "16", "--spaxels", "40", "--epochs", "5"] if args.quick else []
    elif args.quick:
        words += ["--n", "200"]
    if args.miles:
        words += ["--folder", str(args.miles)]
    if args.quiet:
        words.append("--quiet")
    parser = argparse.ArgumentParser()
    paper_systems.add_paper_systems_parser(parser.add_subparsers())
    return paper_systems.run_paper_systems(parser.parse_args(words))


def _read_size_curve(path: Path) -> Any:
    """Rows of a file of ``ablate-recipe --sizes``."""
    from napari_sfh.errors import SfhInputError

    try:
        return json.loads(path.read_text(encoding="utf-8"))["rows"]
    except OSError as error:
        raise SfhInputError(f"--size-curve {path}: cannot be read ({error.strerror}); name a file") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SfhInputError(f"--size-curve {path}: no file of ablate-recipe --sizes; make it anew") from error


def _draw_paper(args: argparse.Namespace, bundle: Bundle, testset: TestSet, cache: Path) -> int:
    """Figures and numbers of the paper into the output folder."""
    from napari_sfh.console import print_progress
    from napari_sfh.io.atomic import write_text_atomically
    from napari_sfh.training.papers.main_paper.measurements import PaperFigureSettings, measure_paper_figures
    from napari_sfh.training.papers.main_paper.writing import write_paper_figures
    from napari_sfh.training.papers.ppxf_variants import measure_ppxf_variants

    settings = PaperFigureSettings(
        n=min(args.n, 256 if args.quick else 4096),
        n_ablation=min(args.n, 128 if args.quick else 2048),
        n_ppxf=args.ppxf,
        device=args.device,
        ppxf_workers=args.workers,
        ppxf_cache=cache,
    )
    curve = _read_size_curve(args.size_curve) if args.size_curve else None
    with print_progress(args.quiet) as progress:
        measured = measure_paper_figures(bundle, testset, settings, progress)
        paths = write_paper_figures(measured, args.output, curve, progress, args.device)
        if args.ppxf_variants:
            variants = measure_ppxf_variants(testset, args.ppxf, args.output, args.workers, progress)
            paths.append(args.output / "ppxf-variants.json")
            write_text_atomically(paths[-1], json.dumps(variants, indent=1) + "\n")
    for path in paths:
        print(path)
    return 0


def _evaluate_table(args: argparse.Namespace, bundle: Bundle) -> int:
    """Measure on a labelled table, and write."""
    from napari_sfh.console import print_progress
    from napari_sfh.training.evaluation import report
    from napari_sfh.training.evaluation.evaluation import EvaluationSettings
    from napari_sfh.training.evaluation.table_evaluation import evaluate_on_table

    with print_progress(args.quiet) as progress:
        evaluation = evaluate_on_table(bundle, args.data, args.n, EvaluationSettings(device=args.device), progress)
        paths = report.write_evaluation_report(evaluation, args.output, progress)
    for path in paths:
        print(path)
    return 0


def _weights_file(name: str) -> str | Path:
    """A bundle's name or file; of a folder the one bundle that lies in it."""
    from napari_sfh.errors import SfhInputError
    from napari_sfh.training.fitting.training_run import BUNDLE

    folder = Path(name)
    if not folder.is_dir():
        return name
    if (folder / BUNDLE).is_file():
        return folder / BUNDLE
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        raise SfhInputError(f"--weights {name}: the folder holds {len(found)} .safetensors files; name one of them")
    return found[0]


def _open_test_set(args: argparse.Namespace, bundle: Bundle) -> TestSet:
    """Fresh spectra of a prior, or those on disk."""
    from napari_sfh.errors import SfhInputError
    from napari_sfh.training.evaluation import test_set
    from napari_sfh.training.fitting.training_data import TABLE_PRIOR
    from napari_sfh.training.prior.prior_config import restore_prior

    if args.n < 1:
        raise SfhInputError(f"--n {args.n}: at least one test spectrum is needed")
    training = bundle.meta["training"]
    if args.data is not None:
        return test_set.read_test_set(
            args.data, args.n, training.get("data_sha256"), training.get("seed"), bundle.instrument
        )
    own = bundle.meta["prior"]
    seed = test_set.TEST_SEED if args.seed is None else args.seed
    if args.prior:
        return test_set.draw_test_set(args.prior, args.n, seed, bundle.instrument)
    name = own.get("name")
    if str(name).startswith(TABLE_PRIOR):
        raise SfhInputError(
            f"--weights {args.weights}: they were trained on {name}; give it, or other objects with labels, by --data"
        )
    if not name:
        raise SfhInputError(f"--weights {args.weights}: they do not say on which prior they were trained; give --prior")
    return test_set.draw_test_set(restore_prior(own, args.weights), args.n, seed, bundle.instrument)
