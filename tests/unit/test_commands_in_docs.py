"""Commands that the documentation prints exist, with the options that it gives them."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from napari_sfh import cli
from napari_sfh.training import cli as training_cli

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "docs").glob("make_*.py")),
    *sorted((ROOT / "training").rglob("*.md")),
]
PAGES = [page for page in PAGES if "_build" not in page.parts]
_COMMAND = re.compile(r"\b(napari-sfh(?:-train)?)(?![\w-])([^\n`|#]*)")
_PARSERS = {"napari-sfh": cli.build_command_parser, "napari-sfh-train": training_cli.build_parser}


def list_subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (found,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(found.choices)


KNOWN = {program: list_subparsers(build()) for program, build in _PARSERS.items()}


def find_commands(text: str) -> list[tuple[str, str, list[str]]]:
    """Program, command and options of every call; words in prose behind a program's name are none."""
    joined = re.sub(r"\\\n\s*", " ", text)
    calls = []
    for program, rest in _COMMAND.findall(joined):
        words = rest.split()
        if words and re.fullmatch(r"[a-z][a-z-]+", words[0]):
            calls.append((program, words[0], re.findall(r"(?<!\S)--[a-z][a-z-]*", rest)))
    return calls


def quoted(text: str) -> str:
    """What stands in backquotes, in code blocks and in lines that begin with a program's name."""
    fenced = re.findall(r"```.*?```", text, re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", text)
    indented = re.findall(r"^(?: {4,}|!|\$ )(.*napari-sfh.*)$", text, re.MULTILINE)
    return "\n".join([*fenced, *inline, *indented])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_exist(page: Path) -> None:
    for program, command, options in find_commands(quoted(page.read_text(encoding="utf8"))):
        assert command in KNOWN[program], f"{program} {command}"
        known = {name for action in KNOWN[program][command]._actions for name in action.option_strings}
        assert set(options) <= known, f"{program} {command} {sorted(set(options) - known)}"


def test_there_are_commands_to_look_at() -> None:
    found = [call for page in PAGES for call in find_commands(quoted(page.read_text(encoding="utf8")))]
    assert len(found) > 100
    assert {program for program, *_ in found} == set(KNOWN)


@pytest.mark.parametrize("program", sorted(_PARSERS))
def test_every_argument_says_what_it_is(program: str) -> None:
    silent = [
        f"{program} {name} {action.option_strings or action.dest}"
        for name, parser in list_subparsers(_PARSERS[program]()).items()
        for action in parser._actions
        if not action.help
    ]
    assert silent == []
