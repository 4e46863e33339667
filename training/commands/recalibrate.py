"""``napari-sfh-train recalibrate``: posterior levels and OOD thresholds of trained weights, measured on new objects."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_sfh.training.command_lines import describe_command_line


def add_recalibrate_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("recalibrate", help="calibrate trained weights anew", description=__doc__)
    parser.add_argument("weights", help="name of a shipped bundle, or a file")
    parser.add_argument("--n", type=int, default=40_000, help="objects; a fifth is calibrated on (default 40000)")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="TABLE",
        help="instead of new objects: a table with labels, not that of the training",
    )
    parser.add_argument(
        "--independent",
        action="store_true",
        help="levels of means and histories from as many galaxies of the independent simulator too, a third with "
        "hidden gas lines; thresholds stay",
    )
    parser.add_argument("--seed", type=int, default=77, help="of the objects; not that of the training (default 77)")
    parser.add_argument("--output", type=Path, required=True, help="bundle to write; evaluate it, then release it")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_recalibrate)


def run_recalibrate(args: argparse.Namespace) -> int:
    """Calibrate as the arguments say."""
    from napari_sfh.console import make_stderr_logger
    from napari_sfh.errors import SfhInputError
    from napari_sfh.training.fitting.transfer.recalibration import calibrate_bundle

    if args.n < 100:
        raise SfhInputError(f"--n {args.n}: must be at least 100")
    if args.independent and args.data is not None:
        raise SfhInputError("--data: --independent draws its own galaxies; leave one of them out")
    if args.independent:
        return _recalibrate_on_two_simulators(args)
    command = describe_command_line()
    say = make_stderr_logger(args.quiet)
    print(calibrate_bundle(args.weights, args.n, args.seed, args.output, command, say, args.data))
    return 0


def _recalibrate_on_two_simulators(args: argparse.Namespace) -> int:
    """Levels from the prior of the weights and from the independent simulator, in equal numbers."""
    from dataclasses import asdict

    from napari_sfh.console import make_stderr_logger
    from napari_sfh.io.outputs import check_outputs
    from napari_sfh.model.bundle import load_bundle
    from napari_sfh.training.fitting.model_card import format_model_card
    from napari_sfh.training.fitting.selection.misfit_limits import LIMIT_OBJECTS, save_with_misfit_limits
    from napari_sfh.training.fitting.transfer.two_simulators import RecalibrationSettings, recalibrate_bundle
    from napari_sfh.training.libraries import templates
    from napari_sfh.training.libraries.catalogue import list_libraries

    bundle = load_bundle(args.weights)
    check_outputs([args.output], [bundle.path])
    settings = RecalibrationSettings(n=max(args.n // 5, 600), seed=args.seed)
    libraries = [templates.prepare_templates(name, bundle.instrument) for name in list_libraries()]
    recalibrate_bundle(bundle, libraries, settings, make_stderr_logger(args.quiet))
    record = {**bundle.meta["training"], "recalibration": asdict(settings)}
    meta = {**bundle.meta, "training": record, "evaluation": {}}
    meta["card"] = format_model_card(meta)
    say = make_stderr_logger(args.quiet)
    print(save_with_misfit_limits(args.output, bundle, meta, say, min(LIMIT_OBJECTS, args.n // 5)))
    return 0
