"""What became of a case: read right, told, refused with its cause, or one of the things that must not happen."""

from __future__ import annotations

import resource
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from inputs import BINS, CUBE, MAPS, MOSAIC
from mutations import Case

from napari_sfh.analysis.region_files import read_regions
from napari_sfh.batch.galaxies_report import read_galaxy_options
from napari_sfh.config import RunConfig
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.io.results import read_result
from napari_sfh.io.workspaces import read_workspace
from napari_sfh.model.bundle import load_bundle
from napari_sfh.pipeline import run_pipeline

OUTCOMES = ("right", "told", "clean error", "traceback", "hang", "MemoryError", "silent")
#: Seconds that a case may take, and the difference of a map that must be told, dex.
LIMIT_S, LARGE_DEX = 60, 0.1
MEANS = ("lg_age_lw", "lg_age_mw", "mh_lw", "mh_mw")
_BYTES = 12 * 2**30


class Hang(BaseException):
    """The time limit."""


@dataclass(frozen=True)
class Answer:
    """Maps (4, ny, nx) and the notes of a run."""

    maps: np.ndarray
    notes: tuple[str, ...]


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise `Hang` after some seconds, `MemoryError` beyond 12 GiB; in the main thread."""

    def stop(*_: object) -> None:
        raise Hang

    before, space = signal.signal(signal.SIGALRM, stop), resource.getrlimit(resource.RLIMIT_AS)
    signal.alarm(seconds)
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, space[1]))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, space)


@lru_cache(maxsize=1)
def _bundle() -> Any:
    return load_bundle("default")


def run_folder(folder: Path, kind: str) -> Answer:
    """The maps of a run for the inputs in a folder, with its notes."""
    options: dict[str, Any] = {"binning": str(folder / BINS), "kinematics": "0,60"}
    if kind == "maps":
        options = {"maps": folder / MAPS}
    if kind == "mosaic":
        options["photometry"] = {"F555W": folder / MOSAIC}
    config = RunConfig(cube=folder / CUBE, ebv_mw=0.0, device="cpu", draws=50, **options)
    # Reading the weights takes half of the time.
    with mock.patch("napari_sfh.model.bundle.load_bundle", return_value=_bundle()):
        result = run_pipeline(config)
    bin_id = result.bins.bin_id
    maps = np.full((len(MEANS), *bin_id.shape), np.nan)
    for k, name in enumerate(MEANS):
        maps[k][bin_id > 0] = result.prediction.median(name)[bin_id[bin_id > 0] - 1]
    return Answer(maps, tuple(str(result.settings["notes"]).split(" | ")))


def _read_back(case: Case, folder: Path) -> Any:
    if case.kind == "result":
        return read_result(folder / "result.fits")
    if case.kind == "workspace":
        return read_workspace(folder / "w.json")
    if case.kind == "weights":
        return load_bundle(folder / "w.safetensors")
    if case.kind == "table":
        return read_galaxy_options(next(folder.glob("t.*csv")))
    from napari_sfh.io.cubes import read_cube

    return read_regions(folder / "r.reg", read_cube(folder / CUBE).wcs)


def judge(case: Case, folder: Path, untouched: Answer | None) -> tuple[str, str]:
    """Outcome of a case whose files lie in ``folder``, and a line about it."""
    case.change(folder)
    try:
        with limited(LIMIT_S), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if untouched is None:
                _read_back(case, folder)
                return "right", "read back"
            found = run_folder(folder, case.kind)
    except (SfhInputError, ComputeError) as error:
        text = str(error)
        return ("clean error", text) if text.strip() and "\n" not in text else ("traceback", "message of several lines")
    except Hang:
        return "hang", f"over {LIMIT_S} s"
    except MemoryError:
        return "MemoryError", ""
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"[:200]
    if found.maps.shape == untouched.maps.shape:
        difference = np.abs(found.maps - untouched.maps)
        lost = int((np.isfinite(untouched.maps) & ~np.isfinite(found.maps)).any(0).sum())
        worst = float(np.nanmax(difference, initial=0.0))
    else:
        worst, lost = np.inf, 0
    new = [note for note in found.notes if note not in untouched.notes]
    if worst < LARGE_DEX and lost == 0:
        return "right", f"{worst:.3f} dex"
    return ("told" if new else "silent"), f"{worst:.3f} dex, {lost} spaxels lost: {'; '.join(new)[:150]}"
