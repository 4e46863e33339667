"""For how long each act in the window blocks it: ``xvfb-run -a python benchmarks/window_blocks.py [--label after]``.

The walk of tests/qt/walk.py, with its real mouse and keys, goes through the mock spiral and through a galaxy of 10 000
bins made of it. For every act the longest block of the event loop is kept: by the clock, of the main thread's
processor, and how much of that is drawing (see `window_meter`). The start is measured first, by `window_start`. The
figures go to docs/report/window.json under a label, for ``performance.py --page``. ``--profiles DIR`` keeps the
processor's time of each act by function, for Python's pstats; the blocks are longer then.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from machine import machine
from window_meter import Block, Heart, settle, start_application, wait
from window_start import measure_start

ROOT = Path(__file__).parents[1]
for folder in ("qt", "toys"):
    sys.path.insert(0, str(ROOT / "tests" / folder))
FIGURES = ROOT / "docs" / "report" / "window.json"


def make_walk(profiles: Path | None) -> type:
    """A walk that measures blocks; with a folder each act is profiled, too."""
    from walk import Walk

    class MeasuredWalk(Walk):
        """Keeps the longest block of each act, with what the act starts and what comes after it."""

        def do(self, name: str, act: Callable[[], object]) -> None:
            """An act, until the window has come to rest."""
            heart = Heart()
            profile = cProfile.Profile(time.thread_time) if profiles is not None else None
            if profile is not None:
                profile.enable()
            super().do(name, act)
            settle(0.35)
            if profile is not None:
                profile.disable()
                profile.dump_stats(profiles / f"{name}-{len(self.times_ms[name])}.prof")
            self.blocks.setdefault(name, []).extend(heart.stop())

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.blocks: dict[str, list[Block]] = {}

    return MeasuredWalk


def answer_dialogs() -> Callable[[Path], None]:
    """Have file dialogs answered by what is given to the returned function: no one can press their buttons."""
    answers: list[Path] = []
    import_module("napari_sfh._qt.explorer")
    for name, module in list(sys.modules.items()):
        if name.startswith("napari_sfh._qt") and hasattr(module, "show_file_dialog"):
            module.show_file_dialog = lambda *_, **__: answers.pop()
    return answers.append


def walk_through(result: Any, profiles: Path | None) -> dict[str, list[Block]]:
    """All acts on one result in a window of its own."""
    import napari
    from test_walk import do_all
    from window_acts import open_explorer, window

    from napari_sfh import demo
    from napari_sfh.io.identify import find_galaxy_files

    viewer = napari.Viewer(show=True)
    window(viewer).resize(1280, 720)
    dock = open_explorer(viewer)
    wait(lambda: not dock.cards.reading and not dock.preloader.waiting)
    settle(2)
    heart = Heart()
    dock.show_result(result)
    dock.wait()
    settle(0.5)
    shown = heart.stop()
    walk = make_walk(profiles)(viewer, dock, Path(tempfile.mkdtemp(prefix="napari-sfh-walk-")), answer_dialogs())
    walk.blocks["result shown"] = shown
    dock.data.set_files(None, find_galaxy_files(demo.find_demo_folder()).mosaics, None)
    do_all(walk, real=True)
    dock.files.unsaved = False
    viewer.close()
    return dict(walk.blocks)


def summarise(blocks: dict[str, list[Block]]) -> list[dict[str, Any]]:
    """Of each act the longest pause by the clock; of the one with the most processor time beside drawing, its parts."""
    rows = []
    for name, found in blocks.items():
        most = max(found, key=lambda block: block.ours_ms)
        figures = max(b.wall_ms for b in found), max(b.cpu_ms for b in found), most.drawing_ms, most.garbage_ms
        names = ("wall", "cpu", "drawing", "garbage", "ours")
        rows.append({"act": name, **dict(zip(names, map(round, (*figures, most.ours_ms)), strict=True))})
    return rows


def print_rows(rows: list[dict[str, Any]]) -> None:
    """A line an act, the longest first."""
    print(f"  {'act':24s} {'wall':>6s} {'CPU':>6s}   {'CPU without drawing':>20s} {'garbage':>8s} {'drawing':>8s}  ms")
    for row in sorted(rows, key=lambda row: -row["ours"]):
        parts = f"{row['ours']:20d} {row['garbage']:8d} {row['drawing']:8d}"
        print(f"  {row['act']:24s} {row['wall']:6d} {row['cpu']:6d}   {parts}")


def keep(label: str, found: dict[str, Any]) -> None:
    """Put the figures into the file under a label."""
    kept = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    FIGURES.write_text(json.dumps({**kept, label: found}, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="*", type=Path, help="instead of the mock spiral and its enlargement")
    parser.add_argument("--bins", type=int, default=10_000)
    parser.add_argument("--label", default="", help="keep the figures under this name: before, or after")
    parser.add_argument("--profiles", type=Path, help="a folder: where the time of each act goes, for pstats")
    options = parser.parse_args()
    application = start_application()
    from big_result import big_result

    from napari_sfh import demo, pipeline
    from napari_sfh.io.results import read_result

    results = [read_result(path) for path in options.results]
    if not results:
        run = pipeline.run_pipeline(demo.make_demo_config("cpu"))
        results = [run, big_result(options.bins, run)]
    found: dict[str, Any] = {"machine": machine(), "acts": {}}
    if options.profiles is None:
        found["start"] = measure_start()
        print(found["start"], flush=True)
    for result in results:
        rows = summarise(walk_through(result, options.profiles))
        found["acts"][f"{result.bins.n_bins} bins"] = rows
        print(f"{result.name}, {result.bins.n_bins} bins; {machine()}")
        print_rows(rows)
    if options.label:
        keep(options.label, found)
    del application


if __name__ == "__main__":
    main()
