"""``napari-sfh-train release``: the bundle of a finished run, with its figures and model card."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_release_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("release", help="write the bundle that ships", description=__doc__)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder of `train`, or a bundle")
    parser.add_argument("--name", required=True, help="name of the bundle")
    parser.add_argument(
        "--report", type=Path, action="append", default=[], help="folder of `evaluate`; repeat for several test sets"
    )
    parser.add_argument("--output", type=Path, help="file to write (default: among the package's own weights)")
    parser.add_argument("--summary", default="", help="one line on the weights (default: the recipe's)")
    parser.add_argument("--quiet", action="store_true", help="no output but errors")
    parser.set_defaults(run=run_release)


def run_release(args: argparse.Namespace) -> int:
    """Release as the arguments say."""
    from napari_sfh.console import make_stderr_logger
    from napari_sfh.model.bundle import load_bundle
    from napari_sfh.training.fitting.release import release_bundle

    path = release_bundle(
        args.run_dir, args.name, args.report, args.output, args.summary, make_stderr_logger(args.quiet)
    )
    if not args.quiet:
        print(load_bundle(path).card)
        print(f"\n{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0
