"""``napari-sfh-train ablate-recipe``: what each choice of the paper's recipe is worth, by short trainings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_ablate_recipe_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "ablate-recipe", help="what each choice of the paper's recipe is worth", description=__doc__
    )
    parser.add_argument("--prior", default="galceran2026", metavar="NAME|FILE", help="of the objects")
    parser.add_argument("--n", type=int, default=16_000, help="objects drawn for training (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=8, help="of each training (default %(default)s)")
    parser.add_argument("--n-test", type=int, default=2_048, help="test spectra (default %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some choices, by name or group")
    parser.add_argument("--threads", type=int, default=1, help="cores (default %(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json", help="what it holds is kept")
    parser.add_argument("--quiet", action="store_true", help="no line per training")
    parser.set_defaults(run=run_ablate_recipe)


def run_ablate_recipe(args: argparse.Namespace) -> int:
    """Train, test, and write after each training."""
    from dataclasses import asdict

    import torch

    from napari_sfh.training.fitting.posterior import make_stderr_logger
    from napari_sfh.training.papers import recipe_choices, study_files
    from napari_sfh.training.papers.small_trainings import SmallTrainingSettings
    from napari_sfh.training.prior.prior_config import load_prior
    from napari_sfh.training.simulator.simulation import prepare_prior

    torch.set_num_threads(args.threads)
    settings = SmallTrainingSettings(n=args.n, epochs=args.epochs, n_test=args.n_test)
    facts: dict[str, Any] = {"settings": asdict(settings), "prior": args.prior, "recipe": "galceran2026"}
    done = study_files.read_study_rows(args.output, facts)
    choices = study_files.select_named(recipe_choices.list_recipe_choices(), args.only)
    rows = recipe_choices.measure_recipe_choices(
        prepare_prior(load_prior(args.prior)),
        settings,
        choices,
        make_stderr_logger(args.quiet),
        done,
        on_row=lambda rows: study_files.write_study_rows(args.output, facts, rows),
    )
    for name, row in rows.items():
        print(f"{name:34s}", "  ".join(f"{k} {v['std']:.3f}" for k, v in row["accuracy"].items()))
    return 0
