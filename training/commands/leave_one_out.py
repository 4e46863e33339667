"""``napari-sfh-train leave-one-out``: what it costs not to know a family of the prior, or to have fewer spectra."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sfh.training.command_lines import describe_command_line

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_leave_one_out_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("leave-one-out", help="families held out in turn; set sizes", description=__doc__)
    parser.add_argument("--config", default="small", help="recipe of the networks: a name or a TOML file (small)")
    parser.add_argument("--prior", help="the whole prior (default: the recipe's)")
    parser.add_argument("--only", help="kinds, names or labels of families, separated by commas (default: all)")
    parser.add_argument("--list", action="store_true", help="print the families and stop")
    parser.add_argument("--sizes", help="instead of families: sizes of the set, separated by commas")
    parser.add_argument("--n", type=int, help="objects of each set instead of the recipe's")
    parser.add_argument("--epochs", type=int, help="epochs instead of the recipe's; with --sizes of the largest set")
    parser.add_argument("--n-test", type=int, default=2000, help="test spectra per family (default 2000)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=1, help="cores to use (default 1)")
    parser.add_argument("--output", type=Path, help="folder of heldout.json (or sizes.json) and its page")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_leave_one_out)


def run_leave_one_out(args: argparse.Namespace) -> int:
    """Train, compare, write."""
    import json
    from dataclasses import replace

    import torch
    from threadpoolctl import threadpool_limits

    from napari_sfh.console import print_progress
    from napari_sfh.errors import SfhInputError
    from napari_sfh.io.atomic import write_text_atomically
    from napari_sfh.training.fitting.recipe import load_recipe
    from napari_sfh.training.prior.prior_config import load_prior
    from napari_sfh.training.studies import leave_one_out, leave_one_out_page
    from napari_sfh.training.studies.held_out_families import choose_held_out_families

    recipe = load_recipe(args.config)
    config = load_prior(args.prior or recipe.prior)
    families = choose_held_out_families(config, _split_names(args.only))
    if args.list:
        print("\n".join(h.label for h in families))
        return 0
    if args.output is None:
        raise SfhInputError("--output: give a folder for the results")
    _check_arguments(args)
    fit = replace(recipe.fit, epochs=args.epochs or recipe.fit.epochs)
    recipe = replace(recipe, n=args.n or recipe.n, fit=fit)
    options = leave_one_out.LeaveOneOutOptions(args.output, n_test=args.n_test, device=args.device)
    torch.set_num_threads(args.threads)
    command = describe_command_line()
    with threadpool_limits(args.threads), print_progress(args.quiet) as progress:
        if args.sizes:
            counts, name = _parse_sizes(args.sizes), "sizes"
            result = leave_one_out.measure_training_sizes(recipe, config, counts, options, progress)
            page = leave_one_out_page.format_training_sizes_page(result, command)
        else:
            name = "leave-one-out"
            result = leave_one_out.measure_leave_one_out(recipe, config, families, options, progress)
            page = leave_one_out_page.format_leave_one_out_page(result, command)
    write_text_atomically(args.output / f"{name}.md", page)
    write_text_atomically(args.output / f"{name}.json", json.dumps(result, indent=1, allow_nan=False))
    print(args.output / f"{name}.md")
    return 0


def _split_names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _parse_sizes(text: str) -> list[int]:
    from napari_sfh.errors import SfhInputError

    try:
        return [int(x) for x in text.split(",")]
    except ValueError as error:
        raise SfhInputError(
            f"--sizes {text!r}: expected numbers separated by commas, 20000,40000 for example"
        ) from error


def _check_arguments(args: argparse.Namespace) -> None:
    from napari_sfh.errors import SfhInputError

    for key, least in (("n", 20), ("epochs", 1), ("n_test", 50), ("threads", 1)):
        value = getattr(args, key)
        if value is not None and value < least:
            raise SfhInputError(f"--{key.replace('_', '-')} {value}: must be at least {least}")
