"""Thousands of mutated inputs: each is read right, told, or refused with its cause; none crashes, hangs, is silent."""

from __future__ import annotations

import collections
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))

from conventions.cases import list_convention_cases
from inputs import CUBE, make_inputs
from instruments import list_instrument_cases
from judge import OUTCOMES, Answer, judge, run_folder
from mutations import Case, list_cases

from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.io.results import write_result

RUNS = ("cube", "mosaic", "maps", "bins")
FORBIDDEN = ("traceback", "hang", "MemoryError", "silent")
CASES = [*list_cases(), *list_convention_cases(), *list_instrument_cases()]
#: The fast part takes one case of so many: no divisor of how many values a key is given, so that all of them come.
STRIDE = 31


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_inputs(tmp_path_factory.mktemp("corpus") / "untouched")
    from test_results import make_result

    write_result(make_result(), folder / "result.fits")
    shutil.copy(next(iter(list_bundles().values())), folder / "w.safetensors")
    return folder


@pytest.fixture(scope="module")
def untouched(source: Path) -> dict[str, Answer]:
    return {kind: run_folder(source, kind) for kind in RUNS}


def _files(case: Case, source: Path, folder: Path) -> None:
    kept = {"result": ("result.fits",), "weights": ("w.safetensors",), "workspace": (), "table": (), "regions": (CUBE,)}
    names = (
        kept.get(case.kind) if case.kind not in RUNS else [p.name for p in source.iterdir() if p.name[0] not in "rw"]
    )
    folder.mkdir()
    for name in names or ():
        shutil.copy(source / name, folder / name)


def _run(cases: list[Case], source: Path, untouched: dict[str, Answer], tmp_path: Path) -> list[str]:
    table: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    wrong = []
    for k, case in enumerate(cases):
        folder = tmp_path / str(k)
        _files(case, source, folder)
        try:
            outcome, line = judge(case, folder, untouched.get(case.kind))
        finally:
            shutil.rmtree(folder)
        table[case.kind][outcome] += 1
        if outcome in FORBIDDEN:
            wrong.append(f"{case.kind}: {case.name}: {outcome}: {line}")
    print("\n| inputs | tried | " + " | ".join(OUTCOMES) + " |\n|" + "---|" * (len(OUTCOMES) + 2))  # noqa: T201
    for kind, count in table.items():
        print(f"| {kind} | {count.total()} | " + " | ".join(str(count[o]) for o in OUTCOMES) + " |")  # noqa: T201
    print("\n".join(wrong))  # noqa: T201
    return wrong


@pytest.mark.timeout(1200)
def test_a_part_of_the_corpus(source: Path, untouched: dict[str, Answer], tmp_path: Path) -> None:
    assert _run(CASES[::STRIDE], source, untouched, tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_whole_corpus(source: Path, untouched: dict[str, Answer], tmp_path: Path) -> None:
    assert len(CASES) >= 2000
    assert _run(CASES, source, untouched, tmp_path) == []
