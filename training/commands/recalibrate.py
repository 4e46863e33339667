"""``napari-sfh-train recalibrate``: posterior levels and OOD thresholds of trained weights, measured on new objects."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path


def add_recalibrate_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("recalibrate", help="calibrate trained weights anew", description=__doc__)
    parser.add_argument("weights", help="name of a shipped bundle, or a file")
    parser.add_argument("--n", type=int, default=40_000, help="objects; a fifth is calibrated on (default 40000)")
    parser.add_argument("--seed", type=int, default=77, help="of the objects; not that of the training (default 77)")
    parser.add_argument("--output", type=Path, required=True, help="bundle to write; evaluate it, then release it")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_recalibrate)


def run_recalibrate(args: argparse.Namespace) -> int:
    """Calibrate as the arguments say."""
    from napari_sfh.errors import SfhInputError
    from napari_sfh.training.fitting.posterior import make_stderr_logger
    from napari_sfh.training.fitting.transfer.recalibration import calibrate_bundle

    if args.n < 100:
        raise SfhInputError(f"--n {args.n}: must be at least 100")
    command = shlex.join(["napari-sfh-train", *sys.argv[1:]])
    say = make_stderr_logger(args.quiet)
    print(calibrate_bundle(args.weights, args.n, args.seed, args.output, command, say))
    return 0
