"""The command line: ``napari-sfh demo | run | estimate | gradient | info | models | instruments | view | doctor``.

Exit status 0, 2 for input that cannot be used, 1 for a failure; one-line errors; progress on stderr.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_sfh import __version__
from napari_sfh.commands.galaxies import DEMO_FOLDER, run_demo_command, run_galaxy_command
from napari_sfh.commands.looking import (
    run_doctor_command,
    run_info_command,
    run_instruments_command,
    run_models_command,
)
from napari_sfh.commands.objects import add_object_parsers
from napari_sfh.commands.window import run_view_command
from napari_sfh.config import OPTIONS, SETTINGS
from napari_sfh.console import drop_teardown, list_option_names, resolve_home, run_command
from napari_sfh.io.atomic import remove_parts_on_signals
from napari_sfh.processes.environment import restrict_algebra_threads


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    Without ``argv`` it is that of this process, which shall end with it (`console.drop_teardown`).
    """
    end_with = None
    if argv is None:
        restrict_algebra_threads(os.environ)
        end_with = drop_teardown()
    options = build_command_parser().parse_args(resolve_home(sys.argv[1:] if argv is None else argv))
    program, left = "napari-sfh", "no result was left half-written"
    if threading.current_thread() is threading.main_thread():
        remove_parts_on_signals(program, left)
    status = run_command(lambda: options.command(options), program, left, options.option_names)
    if end_with is not None:
        end_with(status)
    return status


def build_command_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="napari-sfh", description="Star-formation histories of integral-field galaxies."
    )
    parser.add_argument("--version", action="version", version=f"napari-sfh {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="the bundled mock galaxy, whose truth is known")
    demo.add_argument("--headless", action="store_true", help="no window: write FITS and PNG")
    demo.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help=f"where FITS and PNG of a headless run go (default {DEMO_FOLDER})",
    )
    _add_setting(demo, "device")
    demo.add_argument("--quiet", action="store_true", help="no progress; notes and warnings stay")
    demo.set_defaults(command=run_demo_command)

    run = commands.add_parser("run", help="from a cube and mosaics to a result file; many galaxies too")
    _add_run_arguments(run)
    run.set_defaults(command=run_galaxy_command)

    add_object_parsers(commands)

    _add_look_parsers(commands)
    for command in commands.choices.values():
        command.set_defaults(option_names={**OPTIONS, **list_option_names(command)})
    return parser


def _add_look_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Commands that look, and compute nothing to keep."""
    info = commands.add_parser("info", help="what files are, what is missing, what would be done")
    info.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files or galaxy folders")
    info.add_argument(
        "--plot", type=Path, metavar="FILE.png", help="draw the footprints of a folder's cube and mosaics"
    )
    for name in (name for name, setting in SETTINGS.items() if not setting.is_file):
        _add_setting(info, name)
    info.add_argument("--quiet", action="store_true", help="no progress; notes and warnings stay")
    info.set_defaults(command=run_info_command)

    models = commands.add_parser("models", help="the weights at hand, or one's model card")
    models.add_argument("name", nargs="?", help="a name of the list, or a file")
    models.set_defaults(command=run_models_command)

    instruments = commands.add_parser("instruments", help="what weights may be made for: grid, resolution, bands")
    instruments.add_argument("name", nargs="?", metavar="NAME|FILE", help="a name of the list, or a TOML file")
    instruments.set_defaults(command=run_instruments_command)

    view = commands.add_parser("view", help="the viewer on a saved result or workspace")
    view.add_argument("result", type=Path, metavar="OUT.fits|WORKSPACE.json", help="what is opened")
    view.set_defaults(command=run_view_command)

    doctor = commands.add_parser("doctor", help="check the installation; a text for bug reports")
    doctor.add_argument("--no-run", action="store_true", help="do not run the tiny galaxy")
    doctor.set_defaults(command=run_doctor_command)


def _add_run_arguments(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "galaxies", nargs="*", type=Path, metavar="GALAXY_DIR", help="folder with cube, mosaics and MAPS, one a galaxy"
    )
    for name in SETTINGS:
        _add_setting(run, name)
    run.add_argument("--images", nargs="+", default=[], metavar="BAND=FILE", help="band images instead of a cube")
    run.add_argument("--quiet", action="store_true", help="no progress; notes and warnings stay")
    run.add_argument(
        "--output",
        required=True,
        metavar="OUT.fits|DIR|PATTERN",
        help="a file; for many galaxies a folder, or a pattern such as results/{name}_sfh.fits",
    )
    many = run.add_argument_group("many galaxies")
    many.add_argument("--table", type=Path, metavar="FILE", help="CSV or ECSV: name, redshift, ebv_mw, ... by galaxy")
    many.add_argument("--scheduler", metavar="local|ADDRESS", help="a Dask scheduler (default local)")
    many.add_argument(
        "--workers", type=int, metavar="N", help="galaxies at a time (default 1, or all of the cluster's)"
    )


def _add_setting(parser: argparse.ArgumentParser, name: str) -> None:
    """The option of a setting of `config.SETTINGS`; its value is that field's."""
    setting = SETTINGS[name]
    about: dict[str, Any] = {"dest": name, "help": setting.help}
    if setting.kind is bool:
        about["action"] = "store_true"
    elif setting.is_file:
        about |= {"nargs": "+", "metavar": "BAND=FILE"} if setting.kind is dict else {"type": Path, "metavar": "FILE"}
    elif setting.choices and not setting.other[0]:
        about["choices"] = list(setting.choices)
    else:
        about |= {"type": setting.kind, "metavar": setting.metavar or "|".join([*setting.choices, setting.other[0]])}
    if not setting.is_file:
        about["default"] = setting.default
        known = setting.unset or ("" if setting.kind is bool else setting.default)
        limits = "" if setting.low is None else f"{setting.low:g} to {setting.high:g} {setting.unit}".rstrip()
        words = [text for text in (limits, f"default {known}" if known != "" else "") if text]
        about["help"] += f" ({'; '.join(words)})" if words else ""
    parser.add_argument(OPTIONS[name], **about)


if __name__ == "__main__":
    sys.exit(main())
