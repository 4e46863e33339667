"""``napari-sfh-train simulate``: make a synthetic set on disk."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_simulate_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("simulate", help="make a synthetic set", description=__doc__)
    parser.add_argument("--config", required=True, help="prior: galceran2026, wide, tiny or a TOML file")
    parser.add_argument("--instrument", help="what sees the objects: a name or a TOML file (default muse-hst)")
    parser.add_argument("--n", type=int, help="objects (default: the prior's own number)")
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads (default: all cores)")
    parser.add_argument("--scheduler", help="address of a Dask scheduler to use instead of threads")
    parser.add_argument(
        "--device",
        choices=("numpy", "cpu", "cuda", "mps"),
        default="numpy",
        help="numpy (default), or torch on a device: the same objects, their spectra equal to rounding, other noise",
    )
    parser.add_argument("--library", action="append", help="use this template library alone (repeat to mix equally)")
    parser.add_argument("--families", help="keep only these families of histories, separated by commas")
    parser.add_argument("--without", help="hold these families out, separated by commas")
    parser.add_argument("--plots", action="store_true", help="also make the page of plots in the output folder")
    parser.add_argument("--output", type=Path, required=True, help="folder of the set; an interrupted run goes on")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_simulate)


def _split_names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def run_simulate(args: argparse.Namespace) -> int:
    """Make the set that the arguments describe."""
    from dataclasses import replace

    from napari_sfh.console import print_progress
    from napari_sfh.instruments.files import load_instrument
    from napari_sfh.training.prior import prior_config
    from napari_sfh.training.simulator import simulation

    prior = prior_config.load_prior(args.config)
    if args.library:
        prior = replace(prior, libraries=dict.fromkeys(args.library, 1.0))
    if args.families or args.without:
        prior = prior.restrict_families(_split_names(args.families), _split_names(args.without) or ())
    instrument = load_instrument(args.instrument) if args.instrument else None
    source = simulation.prepare_prior(prior, instrument)
    if args.device != "numpy":
        source = source.to(args.device)
    with print_progress(args.quiet) as progress:
        manifest = simulation.simulate_set(
            source, args.n or prior.n, args.seed, args.output, args.workers, args.scheduler, progress
        )
    clipped = manifest["n_metallicity_clipped"]
    if not args.quiet:
        print(f"{manifest['n']} objects of {prior.name} in {args.output}, data sha256 {manifest['data_sha256'][:16]}")
        if clipped:
            print(f"{clipped} objects have stars moved into the library's metallicity range")
    if args.plots:
        from napari_sfh.training.evaluation import set_figures

        print(set_figures.write_set_page(args.output))
    return 0
