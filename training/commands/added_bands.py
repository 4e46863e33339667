"""``napari-sfh-train added-bands``: what further bands add to each quantity."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_added_bands_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "added-bands", help="weights with and without some bands, on the same objects", description=__doc__
    )
    parser.add_argument("--weights", required=True, help="name or file of the bundle that knows the bands")
    parser.add_argument("--without", required=True, help="bundle of the same instrument without them")
    parser.add_argument("--n", type=int, default=8192, help="objects of the first bundle's prior (default 8192)")
    parser.add_argument("--independent", type=int, default=2048, help="independent galaxies (default 2048)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write; a table in Markdown is printed")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_added_bands)


def run_added_bands(args: argparse.Namespace) -> int:
    """Measure as the arguments say."""
    import json

    from napari_sfh.console import make_stderr_logger
    from napari_sfh.errors import SfhInputError
    from napari_sfh.io.atomic import ensure_folder, write_text_atomically
    from napari_sfh.model.bundle import load_bundle
    from napari_sfh.training.studies.added_bands import (
        AddedBandsSettings,
        format_added_bands_table,
        measure_added_bands,
    )

    if min(args.n, args.independent) < 64:
        raise SfhInputError(f"--n {args.n}, --independent {args.independent}: at least 64 objects are needed")
    settings = AddedBandsSettings(args.n, args.independent, args.device)
    say = make_stderr_logger(args.quiet)
    report = measure_added_bands(load_bundle(args.weights), load_bundle(args.without), settings, say)
    ensure_folder(args.output.parent)
    write_text_atomically(args.output, json.dumps(report, indent=1) + "\n")
    print(format_added_bands_table(report))
    return 0
