"""``napari-sfh-train recalibrate``: intervals of finished weights, calibrated on two simulators.

The levels at which posterior draws are read are measured on objects of the weights' own prior and on as many galaxies
of the independent simulator, a third of them with hidden gas lines. The network and its draws stay.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_recalibrate_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("recalibrate", help="intervals calibrated on two simulators", description=__doc__)
    parser.add_argument("--weights", required=True, help="name or file of a bundle")
    parser.add_argument("--n", type=int, default=4000, help="objects of each simulator (default 4000)")
    parser.add_argument("--output", type=Path, required=True, help="bundle to write")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_recalibrate)


def run_recalibrate(args: argparse.Namespace) -> int:
    """Measure and write."""
    from dataclasses import asdict

    from napari_sfh.errors import SfhInputError
    from napari_sfh.io.outputs import check_outputs
    from napari_sfh.model.bundle import load_bundle, save_bundle
    from napari_sfh.training.fitting.model_card import format_model_card
    from napari_sfh.training.fitting.posterior import make_stderr_logger
    from napari_sfh.training.fitting.selection.recalibration import RecalibrationSettings, recalibrate_bundle
    from napari_sfh.training.libraries import templates
    from napari_sfh.training.libraries.catalogue import list_libraries

    if args.n < 600:
        raise SfhInputError(f"--n {args.n}: at least 600 objects are needed, 50 at each S/N")
    bundle = load_bundle(args.weights)
    check_outputs([args.output], [bundle.path])
    settings = RecalibrationSettings(n=args.n)
    libraries = [templates.prepare_templates(name, bundle.instrument) for name in list_libraries()]
    recalibrate_bundle(bundle, libraries, settings, make_stderr_logger(args.quiet))
    record = {**bundle.meta["training"], "recalibration": asdict(settings)}
    meta = {**bundle.meta, "training": record, "evaluation": {}}
    meta["card"] = format_model_card(meta)
    print(save_bundle(args.output, bundle.model, bundle.instrument, bundle.filters, bundle.basis, meta))
    return 0
