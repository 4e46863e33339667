"""``napari-sfh-train mock``: the bundled demo galaxy, made by the forward model."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_mock_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("mock", help="make the mock galaxy of the demo", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder of the files")
    parser.add_argument("--seed", type=int, default=1, help="of noise and star clusters (default 1)")
    parser.add_argument("--library", default="bc03-miles", help="template library (default bc03-miles)")
    parser.add_argument(
        "--dress", default="demo", help="write it as an archive does: native, acs, team, mpdaf, plain (default demo)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_mock)


def run_mock(args: argparse.Namespace) -> int:
    """Make the galaxy."""
    from napari_sfh.console import print_progress
    from napari_sfh.errors import SfhInputError
    from napari_sfh.training.mock import archive_layouts, build

    if args.dress == "demo":
        with print_progress(args.quiet) as progress:
            paths, _ = build.make_mock_galaxy(args.output, args.seed, args.library, progress)
    elif args.dress not in archive_layouts.DRESSES:
        raise SfhInputError(f"--dress {args.dress}: unknown; one of demo, {', '.join(archive_layouts.DRESSES)}")
    else:
        with TemporaryDirectory() as made, print_progress(args.quiet) as progress:
            build.make_mock_galaxy(Path(made), args.seed, args.library, progress)
            paths = archive_layouts.dress_mock_galaxy(Path(made), args.output, args.dress)
    if not args.quiet:
        total = sum(path.stat().st_size for path in paths)
        print(f"{len(paths)} files, {total / 1e6:.2f} MB, in {args.output}")
    return 0
