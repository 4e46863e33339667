"""``napari-sfh-train testbed``: weights judged on galaxies whose data are wrong in known ways.

Galaxies of the independent simulator, as they are and with faults of calibration, preparation and sky, with their gas
lines hidden, and with the stars of other libraries. Weights joined by ``+`` answer together, as an ensemble.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_testbed_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("testbed", help="judge weights on spoilt and strange galaxies", description=__doc__)
    parser.add_argument("--weights", nargs="+", required=True, metavar="W", help="shipped names, files, or W+W")
    parser.add_argument("--case", action="append", metavar="NAME", help="only this case (repeatable; default: all)")
    parser.add_argument(
        "--library", action="append", default=[], metavar="NAME", help="also stars of this prepared one"
    )
    parser.add_argument("--n", type=int, default=400, help="galaxies of each library (default 400)")
    parser.add_argument("--snr", type=float, default=35.0, help="per pixel in the window (default 35)")
    parser.add_argument("--draws", type=int, default=400, help="posterior draws a galaxy (default 400)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or mps (default cpu)")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_testbed)


def run_testbed(args: argparse.Namespace) -> int:
    """Measure, print a table of each mean, and write."""
    import json

    from napari_sfh.console import make_stderr_logger
    from napari_sfh.errors import SfhInputError
    from napari_sfh.io.atomic import ensure_folder, write_text_atomically
    from napari_sfh.model.bundle import load_bundle
    from napari_sfh.physics.means import MEAN_NAMES
    from napari_sfh.training.evaluation.robustness.cases import TEST_CASES
    from napari_sfh.training.evaluation.robustness.testbed import (
        TestbedSettings,
        format_testbed_table,
        measure_testbed,
    )
    from napari_sfh.training.libraries import templates
    from napari_sfh.training.libraries.catalogue import list_libraries

    cases = tuple(args.case or TEST_CASES)
    if unknown := [c for c in cases if c not in TEST_CASES]:
        raise SfhInputError(f"--case {unknown[0]}: choose from {', '.join(TEST_CASES)}")
    if args.n < 20:
        raise SfhInputError(f"--n {args.n}: at least 20 galaxies are needed")
    ensembles = {words: [load_bundle(name) for name in words.split("+")] for words in args.weights}
    bundles = [b for members in ensembles.values() for b in members]
    for b in bundles:
        if not b.targets.n_age or b.instrument.spectrum is None or b.instrument.sha256 != bundles[0].instrument.sha256:
            raise SfhInputError(f"--weights {b.name}: give weights of histories, for one instrument with a spectrum")
    own = list(list_libraries())
    libraries = {k: templates.prepare_templates(k, bundles[0].instrument) for k in [*own, *args.library]}
    settings = TestbedSettings(args.n, args.snr, args.draws, args.device)
    table = measure_testbed(ensembles, libraries, own, settings, make_stderr_logger(args.quiet), cases)
    for quantity in MEAN_NAMES:
        print(f"\n{quantity}: bias (median) / std / share inside the 68 % interval\n")
        print(format_testbed_table(table, quantity))
    if args.output is not None:
        ensure_folder(args.output.parent)
        write_text_atomically(args.output, json.dumps(table, indent=1) + "\n")
    return 0
