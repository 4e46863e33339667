"""``napari-sfh-train``: the commands that make a weights bundle, one module of `commands` each.

Exit status: 0, 2 for input that cannot be used, 1 for a failure; errors are one line on stderr.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from napari_sfh.console import list_option_names, resolve_home, run_command
from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import check_destination, ensure_folder, remove_parts_on_signals
from napari_sfh.io.outputs import is_same_file

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
    "added-bands",
    "paper-systems",
    "papers",
    "prior-summaries",
    "recalibrate",
    "release",
)
#: Commands whose ``--output`` is one file, and how its name ends; that of the others is a folder.
FILE_SUFFIXES: dict[str, str] = {
    "retraining-bound": ".json",
    "testbed": ".json",
    "ablate-recipe": ".json",
    "physics-choices": ".json",
    "paper-systems": ".json",
    "prior-summaries": ".json",
    "added-bands": ".json",
    "recalibrate": ".safetensors",
    "release": ".safetensors",
}


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = argparse.ArgumentParser(
        prog="napari-sfh-train", description="Make a weights bundle: templates, synthetic set, training, evaluation."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = importlib.import_module(f"napari_sfh.training.commands.{name.replace('-', '_')}")
        getattr(module, f"add_{module.__name__.rpartition('.')[2]}_parser")(subparsers)
    for command in subparsers.choices.values():
        command.set_defaults(option_names=list_option_names(command))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    args = build_parser().parse_args(resolve_home(sys.argv[1:] if argv is None else argv))
    program, left = f"napari-sfh-train {args.command}", "what is finished is kept"
    remove_parts_on_signals(program, left)

    def command() -> int | None:
        check_command_output(args)
        try:
            status: int | None = args.run(args)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith(__package__.partition(".")[0]):
                raise
            raise SfhInputError(
                f"{error.name} is not installed; training needs more packages than a run: install again with the "
                'extra, pip install ".[training]" in a clone, or "NAME.whl[training]" of a wheel'
            ) from error
        return status

    return run_command(command, program, left, args.option_names)


def check_command_output(args: argparse.Namespace) -> None:
    """Refuse, before any work, an ``--output`` that is an input, of another kind, or nowhere to be written.

    Raises
    ------
    SfhInputError
        Names the file.
    """
    output: Path | None = getattr(args, "output", None)
    if output is None:
        return
    suffix = FILE_SUFFIXES.get(args.command)
    for name, path in _list_input_paths(args):
        # A report may lie in the folder of the run that it is about; a run in the folder of its data would mix two.
        if is_same_file(output, path) and (path.is_file() or name in ("data", "folder")):
            raise SfhInputError(f"--output {output}: is the input --{name.replace('_', '-')}; name another place")
    if suffix is None:
        if output.exists() and not output.is_dir():
            raise SfhInputError(f"--output {output}: is a file, a folder is needed; name another place")
        return
    if output.suffix.lower() != suffix:
        raise SfhInputError(f"--output {output}: must end in {suffix}")
    ensure_folder(output.parent)  # now, and not after hours of work
    if check_destination(output).is_file() and not _is_of_kind(output, suffix):
        raise SfhInputError(f"--output {output}: exists and is no {suffix[1:]} file; it is not replaced: name another")


def _list_input_paths(args: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """Arguments that name existing files or folders."""
    for name, value in vars(args).items():
        for one in value if isinstance(value, list | tuple) else (value,):
            if name in ("output", "command") or not isinstance(one, str | Path) or not str(one):
                continue
            try:
                if Path(one).exists():
                    yield name, Path(one)
            except (OSError, ValueError):  # no path at all
                continue


def _is_of_kind(path: Path, suffix: str) -> bool:
    """Whether a file's first bytes are those of its ending; an empty one may be replaced."""
    with path.open("rb") as file:
        head = file.read(16)
    if suffix == ".safetensors":
        return not head or head[8:9] == b"{"
    return not head.strip() or head.lstrip()[:1] in b"{["
