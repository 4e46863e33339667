"""``napari-sfh-train``: the commands that make a weights bundle, one module of `commands` each.

Exit status: 0, 2 for input that cannot be used, 1 for a failure; errors are one line on stderr.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from napari_sfh.errors import ComputeError, SfhInputError

#: Subcommands in the order of the work. Each module offers ``add_<module>_parser(subparsers)`` and sets the default
#: ``run``.
COMMANDS: tuple[str, ...] = (
    "templates",
    "simulate",
    "plots",
    "mock",
    "train",
    "evaluate",
    "testbed",
    "retraining-bound",
    "leave-one-out",
    "paper-systems",
    "papers",
    "prior-summaries",
    "recalibrate",
    "release",
)


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = argparse.ArgumentParser(
        prog="napari-sfh-train", description="Make a weights bundle: templates, synthetic set, training, evaluation."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"napari_sfh.training.commands.{name.replace('-', '_')}")
        getattr(module, f"add_{module.__name__.rpartition('.')[2]}_parser")(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except SfhInputError as err:
        print(f"napari-sfh-train {args.command}: {err}", file=sys.stderr)
        return 2
    except ComputeError as err:
        print(f"napari-sfh-train {args.command}: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"napari-sfh-train {args.command}: interrupted; what is finished is kept", file=sys.stderr)
        return 1
