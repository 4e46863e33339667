"""``napari-sfh-train train``: from a recipe to a weights bundle. Interrupted, it goes on with ``--resume``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sfh.console import make_stderr_logger
from napari_sfh.training.command_lines import describe_command_line

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


_THREADS_HELP = (
    "cores of this process (default 1; several were measured 10 to 30 times slower beside other work: its products are "
    "small, and threads wait for each other; give more on an idle machine, or train several networks at once)"
)


def add_train_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("train", help="train a network and its posterior", description=__doc__)
    parser.add_argument("--config", required=True, help="recipe: galceran2026, phangs, wide, tiny or a TOML file")
    parser.add_argument("--data", type=Path, help="a set of `simulate`, or a table with labels (default: drawn anew)")
    parser.add_argument(
        "--from", dest="start", metavar="WEIGHTS", help="weights to train further: a shipped name or a file"
    )
    parser.add_argument(
        "--keep-worse", action="store_true", help="with --from: also weights that became worse on independent galaxies"
    )
    parser.add_argument("--instrument", help="what sees the objects: a name or a TOML file (default: the recipe's)")
    parser.add_argument("--n", type=int, help="objects to draw (default: the recipe's)")
    parser.add_argument("--endless", action="store_true", help="new objects in every step too; no set is kept on disk")
    parser.add_argument("--epochs", type=int, help="epochs of the network (default: the recipe's)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default auto)")
    parser.add_argument("--devices", type=int, default=1, help="GPUs that fit the network together (default 1)")
    parser.add_argument("--threads", type=int, default=1, help=_THREADS_HELP)
    parser.add_argument("--resume", action="store_true", help="go on with the run in the output folder")
    parser.add_argument("--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_train)


def run_train(args: argparse.Namespace) -> int:
    """Train as the arguments say."""
    say = make_stderr_logger(args.quiet)
    say(f"train {args.config} in {args.output}: loading PyTorch")
    from dataclasses import replace

    from napari_sfh.arrays import keep_freed_memory
    from napari_sfh.errors import SfhInputError
    from napari_sfh.training.fitting.recipe import load_recipe, validate_network
    from napari_sfh.training.fitting.training_run import TrainingOptions, train_bundle

    recipe = load_recipe(args.config)
    for key, least in (("n", 20), ("epochs", 1), ("threads", 1)):
        value = getattr(args, key)
        if value is not None and value < least:
            raise SfhInputError(f"--{key} {value}: must be at least {least}")
    if args.n is not None:
        recipe = replace(recipe, n=args.n)
    if args.epochs is not None:
        recipe = replace(recipe, fit=replace(recipe.fit, epochs=args.epochs))
    if args.instrument is not None:
        recipe = replace(recipe, instrument=args.instrument)
        validate_network(recipe, f"--instrument {args.instrument}")
    if args.endless:
        recipe = replace(recipe, fit=replace(recipe.fit, endless=True))
    if args.data is not None and recipe.fit.endless:
        raise SfhInputError(f"--data {args.data}: an endless source needs no set; leave out --data or --endless")
    if args.data is not None and args.n is not None:
        raise SfhInputError(f"--n {args.n}: a stored set is used whole; leave out --n or --data")
    command = describe_command_line()
    options = TrainingOptions(
        args.output,
        args.data,
        args.device,
        args.threads,
        args.resume,
        args.quiet,
        command,
        args.devices,
        args.start,
        args.keep_worse,
    )
    keep_freed_memory(1 << 30, (1 << 31) - 1)
    print(train_bundle(recipe, options))
    return 0
