"""Pages that are made from the package itself: the command line from its parsers, the instruments from their files,
the tables of `generated_tables` from the code that they describe.

They are written into ``docs/reference`` (names with a leading underscore, ignored by git) before Sphinx reads the pages
that include them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generated_tables import describe_age_bins, describe_flags, describe_mass_scales, describe_result_file

from napari_sfh import cli
from napari_sfh.instruments.files import list_instruments, load_instrument
from napari_sfh.training.cli import build_parser


def setup(app: Any) -> dict[str, bool]:
    """Write the pages when a build starts."""
    app.connect("builder-inited", lambda app: write_generated_pages(Path(app.srcdir) / "reference"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_generated_pages(folder: Path) -> None:
    """Write the generated pages into a folder; what has not changed keeps its date."""
    pages = {
        "_napari-sfh.md": "\n".join(describe_commands(cli.build_command_parser())),
        "_napari-sfh-train.md": "\n".join(describe_commands(build_parser())),
        "_instruments.md": "\n".join(describe_instruments()),
        "_age_bins.md": "\n".join(describe_age_bins()),
        "_mass_scale.md": "\n".join(describe_mass_scales()),
        "_flags.md": "\n".join(describe_flags()),
        "_result_file.md": "\n".join(describe_result_file()),
    }
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text + "\n":
            path.write_text(text + "\n", encoding="utf-8")


def describe_commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Markdown of a parser's commands: usage, and a list of arguments and options."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    helps = {choice.dest: choice.help for choice in commands._choices_actions}
    for name, command in commands.choices.items():
        yield from ("", f"### {parser.prog} {name}", "", sentence(helps.get(name) or ""), "")
        usage = " ".join(command.format_usage().split()).removeprefix("usage: ")
        yield from ("```text", *wrap_usage(usage), "```", "")
        for group in command._action_groups:
            actions = [a for a in group._group_actions if a.dest != "help" and a.help != argparse.SUPPRESS]
            if not actions:
                continue
            if group.title not in ("options", "positional arguments"):
                yield from (f"*{sentence(str(group.title))}*", "")
            for action in actions:
                yield from (f"{name_action(action)}", f": {escape(explain_action(action, command))}", "")


def name_action(action: argparse.Action) -> str:
    """An argument with its value, as it is typed."""
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = (
        "" if action.nargs == 0 else action.metavar or "|".join(map(str, action.choices or ())) or action.dest.upper()
    )
    return ", ".join(f"`{option} {value}`".replace(" `", "`") for option in action.option_strings)


def explain_action(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    """The help of an argument, its default put in."""
    about = dict(vars(action), prog=parser.prog)
    text = (action.help or "") % about
    shown = action.default not in (None, False, "", argparse.SUPPRESS, []) and "default" not in text
    return sentence(f"{text} (default {action.default})" if shown else text)


def sentence(text: str) -> str:
    """A help text with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def escape(text: str) -> str:
    """Text in which Markdown sees no markup."""
    return text.replace("*", "\\*").replace("<", "&lt;").replace("{name}", "`{name}`")


def wrap_usage(usage: str) -> list[str]:
    """A usage line, broken before its options where it is long."""
    lines, line = [], ""
    for word in usage.replace(" [", "\n[").replace(" --", "\n--").split("\n"):
        if line and len(line) + len(word) > 78:
            lines.append(line)
            line = f"    {word}"
        else:
            line = f"{line} {word}".lstrip() if not line.startswith("    ") else f"{line} {word}"
    return [*lines, line]


def describe_instruments() -> Iterator[str]:
    """Markdown of the shipped instruments: a table, then the file of each."""
    yield from ("| name | what it is | spectrum at rest | bands |", "|---|---|---|---|")
    paths = list_instruments()
    for name, path in paths.items():
        known = load_instrument(str(path))
        grid = known.spectrum
        axis = "none" if grid is None else f"{grid.wave_aa[0]:.0f}-{grid.wave_aa[-1]:.0f} Å, {len(grid.wave_aa)} pixels"
        yield f"| `{name}` | {known.summary} | {axis} | {len(known.band_names) or 'none'} |"
    for name, path in paths.items():
        yield from ("", f"### {name}", "", f":::{{dropdown}} `{path.name}`", "```toml")
        yield from (path.read_text(encoding="utf-8").rstrip(), "```", ":::")
