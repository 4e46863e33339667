"""``napari-sfh-train papers | ablate-recipe | physics-choices``: the published systems against ours, and their choices.

``papers`` writes one page from reports. The two others measure by short trainings what the choices of the paper's
recipe, and other stars and gas, are worth.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sfh.training.papers.small_trainings import SmallTrainingSettings

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_papers_parser(subparsers: Subparsers) -> None:
    """Add the three subcommands."""
    parser = subparsers.add_parser("papers", help="every printed number of the papers beside ours, one page")
    parser.add_argument(
        "--reports", type=Path, default=Path("docs/report"), metavar="DIR", help="(default %(default)s)"
    )
    parser.add_argument(
        "--figures", type=Path, metavar="DIR", help="of evaluate --paper: small copies go beside the page"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("docs/results"), metavar="DIR", help="(default %(default)s)"
    )
    parser.set_defaults(run=run_papers)

    recipe = subparsers.add_parser("ablate-recipe", help="what each choice of the paper's recipe is worth")
    recipe.add_argument("--only", nargs="+", metavar="NAME", help="some choices, by name or group")
    recipe.add_argument(
        "--sizes", nargs="+", type=int, metavar="N", help="instead: sizes of the training set, to the stopping rule"
    )
    recipe.add_argument("--recipe", default="small", metavar="NAME|FILE", help="of --sizes (default %(default)s)")
    recipe.add_argument("--bands", action="store_true", help="instead: what photometry adds, with gas and without")
    _add_training_arguments(recipe)
    recipe.set_defaults(run=run_ablate_recipe)

    physics = subparsers.add_parser("physics-choices", help="how much other stars and other gas move the means")
    physics.add_argument("--train", nargs="+", default=["e-miles", "bc03-miles"], metavar="NAME", help="libraries")
    physics.add_argument(
        "--test", nargs="+", default=[], metavar="NAME", help="further prepared libraries to test with (see templates)"
    )
    _add_training_arguments(physics)
    physics.set_defaults(run=run_physics_choices)


def _add_training_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prior", default="galceran2026", metavar="NAME|FILE", help="of the objects")
    parser.add_argument("--n", type=int, default=16_000, help="objects drawn for training (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=8, help="of each training (default %(default)s)")
    parser.add_argument("--n-test", type=int, default=2_048, help="test spectra (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="cores (default %(default)s)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or mps (default %(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json", help="what it holds is kept")
    parser.add_argument("--quiet", action="store_true", help="no line per training")


def _read_settings(args: argparse.Namespace) -> SmallTrainingSettings:
    import torch

    from napari_sfh.training.papers.small_trainings import SmallTrainingSettings

    torch.set_num_threads(args.threads)
    return SmallTrainingSettings(n=args.n, epochs=args.epochs, n_test=args.n_test, device=args.device)


def run_papers(args: argparse.Namespace) -> int:
    """Write the page."""
    from napari_sfh.training.papers.papers_page import write_papers_page

    for path in write_papers_page(args.reports, args.output, args.figures):
        print(path)
    return 0


def run_ablate_recipe(args: argparse.Namespace) -> int:
    """Train, test, and write after each training."""
    from napari_sfh.console import make_stderr_logger
    from napari_sfh.training.papers import band_worth, recipe_choices, size_curve, study_files
    from napari_sfh.training.prior.prior_config import load_prior
    from napari_sfh.training.simulator.simulation import prepare_prior

    settings, say = _read_settings(args), make_stderr_logger(args.quiet)
    source = prepare_prior(load_prior(args.prior))
    facts: dict[str, Any] = {"settings": settings.to_json(), "prior": args.prior}
    facts["recipe"] = args.recipe if args.sizes else "small" if args.bands else "galceran2026"
    if args.sizes:
        facts["sizes"] = sorted(args.sizes)  # the set that all are parts of is as large as the largest needs
    kept = study_files.StudyRows(args.output, facts)
    if args.sizes:
        rows = size_curve.measure_size_curve(source, sorted(args.sizes), settings, say, kept, args.recipe)
    elif args.bands:
        rows = band_worth.measure_band_worth(source, settings, say, kept)
    else:
        choices = study_files.select_named(recipe_choices.list_recipe_choices(), args.only)
        rows = recipe_choices.measure_recipe_choices(source, settings, choices, say, kept)
    for name, row in rows.items():
        print(f"{name:34s}", "  ".join(f"{k} {v['std']:.3f}" for k, v in row["accuracy"].items()))
    return 0


def run_physics_choices(args: argparse.Namespace) -> int:
    """Train, test, and write after each training."""
    from napari_sfh.console import make_stderr_logger
    from napari_sfh.training.libraries.templates import prepare_templates
    from napari_sfh.training.papers import physics_choices, study_files
    from napari_sfh.training.prior.prior_config import load_prior

    settings = _read_settings(args)
    libraries = {name: prepare_templates(name) for name in dict.fromkeys([*args.train, *args.test])}
    facts: dict[str, Any] = {"settings": settings.to_json(), "prior": args.prior, "recipe": "small"}
    facts["libraries"] = {
        k: {part: str(t.provenance[part]) for part in ("isochrones", "imf")} for k, t in libraries.items()
    }
    rows = physics_choices.measure_physics_choices(
        load_prior(args.prior),
        libraries,
        tuple(args.train),
        settings,
        make_stderr_logger(args.quiet),
        study_files.StudyRows(args.output, facts),
    )
    for home, row in rows.items():
        for test, found in row["tests"].items():
            print(f"{home:12s} {test:24s}", "  ".join(f"{k} {v:+.3f}" for k, v in found["shift"].items()))
    return 0
