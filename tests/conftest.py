"""Of all tests: which of them pytest-xdist keeps together (``--dist loadgroup``)."""

from __future__ import annotations

from pathlib import Path

import pytest

WINDOWS = Path(__file__).parent / "qt"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Windows follow one another in one process, beside which other files go on; a file's fixtures are made once."""
    for item in items:
        group = "windows" if item.path.is_relative_to(WINDOWS) else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
