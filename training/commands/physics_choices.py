"""``napari-sfh-train physics-choices``: how much other stars and other gas move the four means."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_physics_choices_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "physics-choices", help="how much other stars and other gas move the means", description=__doc__
    )
    parser.add_argument("--prior", default="galceran2026", metavar="NAME|FILE", help="of the objects")
    parser.add_argument("--train", nargs="+", default=["e-miles", "bc03-miles"], metavar="NAME", help="libraries")
    parser.add_argument(
        "--test", nargs="+", default=[], metavar="NAME", help="further prepared libraries to test with (see templates)"
    )
    parser.add_argument("--n", type=int, default=16_000, help="objects drawn for training (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=8, help="of each training (default %(default)s)")
    parser.add_argument("--n-test", type=int, default=2_048, help="test spectra (default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="cores (default %(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json", help="what it holds is kept")
    parser.add_argument("--quiet", action="store_true", help="no line per training")
    parser.set_defaults(run=run_physics_choices)


def run_physics_choices(args: argparse.Namespace) -> int:
    """Train, test, and write after each training."""
    from dataclasses import asdict

    import torch

    from napari_sfh.training.fitting.posterior import make_stderr_logger
    from napari_sfh.training.libraries.templates import prepare_templates
    from napari_sfh.training.papers import physics_choices, study_files
    from napari_sfh.training.papers.small_trainings import SmallTrainingSettings
    from napari_sfh.training.prior.prior_config import load_prior

    torch.set_num_threads(args.threads)
    settings = SmallTrainingSettings(n=args.n, epochs=args.epochs, n_test=args.n_test)
    libraries = {name: prepare_templates(name) for name in dict.fromkeys([*args.train, *args.test])}
    facts: dict[str, Any] = {"settings": asdict(settings), "prior": args.prior, "recipe": "small"}
    facts["libraries"] = {
        k: {part: str(t.provenance[part]) for part in ("isochrones", "imf")} for k, t in libraries.items()
    }
    rows = physics_choices.measure_physics_choices(
        load_prior(args.prior),
        libraries,
        tuple(args.train),
        settings,
        make_stderr_logger(args.quiet),
        study_files.read_study_rows(args.output, facts),
        on_row=lambda rows: study_files.write_study_rows(args.output, facts, rows),
    )
    for home, row in rows.items():
        for test, found in row["tests"].items():
            print(f"{home:12s} {test:24s}", "  ".join(f"{k} {v:+.3f}" for k, v in found["shift"].items()))
    return 0
