"""Every goal of speed that the project set itself, beside what this machine reaches.

    python benchmarks/speed_goals.py [--only inference demo info window clicks sets full-size] [--docs DIR]

Each part runs benchmarks in a Python of their own, reads what they print, and puts it with machine, commit and load
into docs/report/speed.json; the parts that are not measured keep their last figures. The page of performance.md is
written anew. A goal is a time by the clock unless it says processor: only a quiet machine shows whether it is reached.
Windows open on a virtual screen (`xvfb-run`), where OpenGL is the processor's work. ``full-size`` needs 37 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import describe_measurement, make_plain_environment
from performance_page import write_page

HERE = Path(__file__).parent
CALLS = 3


@dataclass(frozen=True)
class Goal:
    """One figure: what it is, what it shall be, and where a benchmark prints it.

    Attributes
    ----------
    pattern : str
        Whose one group is the figure, in the output of the part.
    more_is_better : bool
        A rate, else a time or a memory.
    """

    what: str
    goal: float
    unit: str
    pattern: str
    more_is_better: bool = False


#: Of the window, by `bench_viewer`: each of its lines gives a median and a 95th percentile.
_CLICKS = (
    ("click until painted", r"click -> canvas and plots", 30, 60),
    ("map switch, first", r"map shown first", 100, None),
    ("map switch, again", r"map switch -> canvas", 60, None),
    ("four maps, first", r"four maps, first", 500, None),
    ("four maps, again", r"four maps, again", 200, None),
)


def _list_click_goals() -> list[Goal]:
    found = []
    for bins, start in (("the demo's", r"\b1\d{3} bins on"), ("10000", r"\b10000 bins on")):
        for what, name, middle, most in _CLICKS:
            line = rf"(?s:{start}.*?){name}\s+median"
            found.append(Goal(f"{what}, median, {bins} bins", middle, "ms", rf"{line}\s+([\d.]+) ms"))
            if most is not None:
                pattern = rf"{line}\s+[\d.]+ ms\s+95 %\s+([\d.]+) ms"
                found.append(Goal(f"{what}, 95 %, {bins} bins", most, "ms", pattern))
    return found


def _list_rate_goals() -> list[Goal]:
    found = []
    for threads, words, points, draws in ((1, "one core", 12000, 200), (2, "two cores", 23000, 390)):
        start = rf"(?s:cpu, {threads} thread.*?)"
        found += [
            Goal(f"point inference, {words}", points, "bins/s", rf"{start}point: ([\d.]+) bins/s", True),
            Goal(f"posterior, 1 000 draws a bin, {words}", draws, "bins/s", rf"{start}draws: ([\d.]+) bins/s", True),
        ]
    return found


#: Goals by part.
GOALS: dict[str, list[Goal]] = {
    "inference": _list_rate_goals(),
    "demo": [Goal("`napari-sfh demo --headless`, command to files", 10, "s", r"took ([\d.]+) s")],
    "info": [Goal("`napari-sfh info` on a folder", 2, "s", r"took ([\d.]+) s")],
    "window": [
        Goal("`napari-sfh demo`, first paint", 3, "s", r"first paint, clock: ([\d.]+) s"),
        Goal("`napari-sfh demo`, maps in the window", 15, "s", r"demo's maps, clock: ([\d.]+) s"),
    ],
    "clicks": _list_click_goals(),
    "sets": [
        Goal(f"synthetic set of 165 000 on disk, `{name}`", goal, "s", rf"(?s:prior {name};.*?)2 workers: ([\d.]+) s")
        for name, goal in (("galceran2026", 10), ("wide", 15))
    ],
    "full-size": [
        Goal("a run of 29 GB and five mosaics, processor", 250, "s", r"all: .*\(CPU (\d+) s\)"),
        Goal("the same, peak memory", 2.6, "GiB", r"all: .*peak ([\d.]+) GiB"),
    ],
}
#: Parts that are over in seconds, and are run this often.
_REPEATED = ("demo", "info", "window")


def list_commands(part: str, folder: Path) -> list[list[str]]:
    """Commands of a part, whose outputs are read as one; ``folder`` is empty."""
    from napari_sfh.demo import find_demo_folder

    python, screen = [sys.executable], ["xvfb-run", "-a", "-s", "-screen 0 1920x1200x24", sys.executable]
    package = [*python, "-m", "napari_sfh"]
    simulate = [*python, str(HERE / "bench_simulate.py"), "--only", "disk", "--folder", str(folder), "--config"]
    return {
        "inference": [[*python, str(HERE / "bench_infer.py"), "--device", "cpu"]],
        "demo": [[*package, "demo", "--headless", "--quiet", "--output", str(folder / "demo")]],
        "info": [[*package, "info", str(find_demo_folder()), "--quiet"]],
        "window": [[*screen, str(HERE / "window_start.py")]],
        "clicks": [[*screen, str(HERE / "bench_viewer.py")]],
        "sets": [[*simulate, "galceran2026"], [*simulate, "wide"]],
        "full-size": [[*python, str(HERE / "bench_fullsize.py"), "--folder", str(folder)]],
    }[part]


def run_part(part: str) -> str:
    """What the commands of a part printed, each with the seconds that it took.

    Raises
    ------
    subprocess.CalledProcessError
        A benchmark failed.
    """
    said = []
    with tempfile.TemporaryDirectory() as folder:
        for command in list_commands(part, Path(folder)):
            start = time.perf_counter()
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=make_plain_environment())
            said += [done.stdout, f"took {time.perf_counter() - start:.2f} s\n"]
    return "".join(said)


def read_goal(goal: Goal, text: str) -> float:
    """The figure that a benchmark printed.

    Raises
    ------
    ValueError
        It is not there: the benchmark prints something else now.
    """
    found = re.search(goal.pattern, text)
    if found is None:
        raise ValueError(f"{goal.what}: no line of the benchmark fits {goal.pattern!r}")
    return float(found[1])


def measure_goals(part: str) -> dict[str, Any]:
    """Figures of a part, all of its runs, with what they depend on."""
    about = describe_measurement()
    if part in _REPEATED:
        run_part(part)  # the first may write byte code, as an installation does
    texts = [run_part(part) for _ in range(CALLS if part in _REPEATED else 1)]
    figures = [
        {
            "what": goal.what,
            "goal": goal.goal,
            "unit": goal.unit,
            "more_is_better": goal.more_is_better,
            "values": [read_goal(goal, text) for text in texts],
        }
        for goal in GOALS[part]
    ]
    return {**about, "figures": figures, "load_after": round(os.getloadavg()[0], 1)}


def main() -> None:
    """Measure, keep, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(GOALS), default=list(GOALS), metavar="PART")
    parser.add_argument("--docs", type=Path, default=HERE.parent / "docs")
    options = parser.parse_args()
    path = options.docs / "report" / "speed.json"
    for part in options.only:
        found = measure_goals(part)
        print(part, *found["figures"], sep="\n  ", flush=True)
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**kept, part: found}, indent=1) + "\n", encoding="utf-8")
    figures = json.loads((options.docs / "report" / "performance.json").read_text(encoding="utf-8"))
    write_page(figures, options.docs / "results" / "performance.md")


if __name__ == "__main__":
    main()
