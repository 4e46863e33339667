"""``napari-sfh-train plots``: the page of plots of a synthetic set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_plots_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("plots", help="page of plots of a synthetic set", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of a set that simulate made")
    parser.add_argument("--n", type=int, default=20_000, help="objects shown (default 20000)")
    parser.add_argument("--output", type=Path, help="folder of the page (default: plots in the set's folder)")
    parser.set_defaults(run=run_plots)


def run_plots(args: argparse.Namespace) -> int:
    """Draw the page."""
    from napari_sfh.training.evaluation import set_figures

    print(set_figures.write_set_page(args.data, args.output, args.n))
    return 0
