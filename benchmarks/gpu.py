"""On a machine with a GPU, in ten minutes: tests marked cuda, simulator, throughput, a whole training of `wide`.

    python benchmarks/gpu.py [--seconds 600] [--output gpu-output] [--weights default] [--steps tests throughput ...]

Each step is a Python of its own with the time that is left; one that fails or runs out of time is told, and the others
go on. ``figures.json`` in the output is what `benchmarks/performance.py --gpu FILE` puts on the page.
Templates must be at hand (`napari-sfh-train templates`). Of the plugins of pytest none is needed, nor is Qt.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import torch
from machine import machine

HERE = Path(__file__).parent
ROOT = HERE.parent
#: Tests that compare a device with the processor.
TESTS = (
    "tests/unit/test_cuda.py",
    "tests/unit/test_arrays.py",
    "tests/unit/test_train.py::test_a_graph_on_the_device_descends_as_plain_steps_on_the_processor",
)
#: Goals of the figures whose names hold a text; less is better of seconds, more of rates.
GOALS = {"throughput, point": 300000, "throughput, posterior, 1000 draws": 10000, "165000 objects": 2}


def list_steps(weights: str, output: Path) -> dict[str, list[str]]:
    """Commands by the step's name, in the order of what matters most."""
    python = sys.executable
    return {
        "tests": [
            *(python, "-m", "pytest", "-q", "-ra", "-c", os.devnull, "--rootdir", str(ROOT)),
            *("-o", f"pythonpath={ROOT / 'tests' / 'toys'}", *(str(ROOT / name) for name in TESTS)),
        ],
        "throughput": [python, str(HERE / "bench_infer.py"), "--weights", weights, "--device", "cuda", "--threads"],
        **{
            f"simulator of {prior}": [
                *(python, str(HERE / "bench_simulate.py"), "--config", prior, "--device", "cuda"),
                *("--workers", str(min(8, len(os.sched_getaffinity(0))))),  # of an H100's 16, more wait for each other
            ]
            for prior in ("galceran2026", "wide")
        },
        "training of wide": [
            *(python, "-m", "napari_sfh.training", "train", "--config", "wide", "--device", "cuda"),
            *("--output", str(output / "wide")),
        ],
    }


def run_step(command: list[str], seconds: float, log: Path) -> tuple[int, float]:
    """Exit status and wall seconds of a command whose output goes to a file; 124 where its time ran out."""
    start = time.perf_counter()
    with log.open("w") as stream:
        try:
            status = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, timeout=seconds).returncode
        except subprocess.TimeoutExpired:
            status = 124
    return status, time.perf_counter() - start


def read_figures(name: str, text: str) -> list[dict[str, object]]:
    """Figures that a benchmark printed: ``words: NUMBER bins/s``, ``spectra/s`` or ``s``."""
    found = re.findall(r"^\s*(.+?): ([\d.]+) (bins/s|spectra/s|s)\b", text, flags=re.M)
    figures: list[dict[str, object]] = []
    for what, value, unit in found:
        words = f"{name}, {what.strip()}"
        goals = [goal for part, goal in GOALS.items() if part in words]
        figures.append({"what": words, "value": float(value), "unit": unit} | ({"goal": goals[0]} if goals else {}))
    return figures


def main() -> int:
    """Run the steps, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--output", type=Path, default=Path("gpu-output"))
    parser.add_argument("--weights", default="default")
    parser.add_argument("--steps", nargs="+", help="names of steps, e.g. tests throughput 'training of wide'")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu: this machine has no CUDA device; nothing was measured", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    about = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, torch {torch.__version__}; {machine()}"
    print(about, flush=True)
    end = time.perf_counter() + options.seconds
    figures: list[dict[str, object]] = []
    failed = False
    for name, command in list_steps(options.weights, options.output).items():
        if options.steps and name not in options.steps:
            continue
        left = end - time.perf_counter()
        if left < 10:
            print(f"{name}: no time left", flush=True)
            continue
        log = options.output / f"{name.replace(' ', '-')}.log"
        status, took = run_step(command, left, log)
        words = {0: "done", 124: "out of time", 5: "no test has that mark"}.get(status, f"failed, see {log}")
        failed |= status not in (0, 5, 124)
        print(f"{name}: {words}, {took:.0f} s", flush=True)
        if status == 0 and name.startswith("training"):
            figures.append({"what": f"{name}, whole", "value": round(took, 1), "unit": "s"})
        figures += read_figures(name, log.read_text(encoding="utf-8"))
        content = {"machine": about, "figures": figures}
        (options.output / "figures.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
