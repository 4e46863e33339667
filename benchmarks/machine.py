"""Where a benchmark ran: one line that every benchmark prints before its figures."""

from __future__ import annotations

import os
import platform
import subprocess
import time

import numpy as np
import torch

from napari_sfh.training.fitting.provenance import read_processor_name


def machine() -> str:
    """Processor, cores, memory, load, system and versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{read_processor_name()}, {os.cpu_count()} cores, {memory:.0f} GiB, load {load:.1f}, {platform.platform()}, "
        f"Python {platform.python_version()}, numpy {np.__version__}"
    )


def measure_pace(seconds: float = 1.0) -> int:
    """Products of two 512 x 512 matrices that one thread makes in a second: a shared host changes it by the hour."""
    matrix, took = torch.randn(512, 512), []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        matrix @ matrix
        took.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    return round(1 / float(np.median(took)))


def describe_measurement() -> dict[str, object]:
    """What a figure depends on besides the code: machine, its pace, commit and load."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip()  # others may commit meanwhile
    return {"machine": machine(), "torch": torch.__version__, "commit": commit, "pace": measure_pace()}


def make_plain_environment() -> dict[str, str]:
    """The environment of a user, whose Python keeps byte code."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
