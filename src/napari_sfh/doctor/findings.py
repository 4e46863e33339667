"""What the doctor found, and the text that goes into a bug report."""

from __future__ import annotations

import getpass
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Status = Literal["ok", "note", "problem"]
_MARKS: dict[Status, str] = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes
    ----------
    topic : str
        What was looked at.
    text : str
        What was found.
    status : str
        ``ok``; ``note``, what works but may surprise; ``problem``, what does not work.
    fix : str
        What mends a problem.
    """

    topic: str
    text: str
    status: Status = "ok"
    fix: str = ""


def format_findings(findings: Sequence[Finding]) -> str:
    """The report: a line for each finding, the fix below it, personal paths taken out."""
    width = max((len(finding.topic) for finding in findings), default=0)
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.status]:7s}  {finding.topic:{width}s}  {finding.text}")
        if finding.fix:
            lines.append(f"{'':7s}  {'':{width}s}  fix: {finding.fix}")
    return hide_personal_paths("\n".join(lines))


def hide_personal_paths(text: str) -> str:
    """A text with the home folder as ``~`` and the user's name in other paths as ``USER``."""
    home = Path.home()
    for folder in sorted({str(home), str(home.resolve())}, key=len, reverse=True):
        if folder != "/":
            text = re.sub(rf"{re.escape(folder)}(?![\w.-])", "~", text)
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container may run a number that has no name
        return text
    return re.sub(rf"(?<=[/\\\\]){re.escape(user)}(?=[/\\\\]|$)", "USER", text, flags=re.MULTILINE)
