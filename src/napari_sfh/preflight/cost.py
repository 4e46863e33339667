"""How long a run will take and how much memory it will need, from rates that were measured.

A run is a sum of stages, each proportional to what it works through. The rates are processor seconds on one core as
printed by ``benchmarks/bench_estimate.py`` (the mock galaxy) and ``benchmarks/bench_fullsize.py`` (1000 x 1000
spaxels, five mosaics of 10 000 x 10 000 pixels), on an AMD EPYC, one core of two, other work beside
(Python 3.11, numpy 2.4, torch 2.13, November 2026). Another machine differs by its own factor, a slow disk
by more: the estimate is for deciding between a coffee and a night, not for a schedule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from napari_sfh.jobs import format_duration
from napari_sfh.prep.kinematics.fast_kinematics import FAST_SECONDS
from napari_sfh.prep.kinematics.stellar_kinematics import PPXF_SECONDS
from napari_sfh.types import F32


class _Rates(NamedTuple):
    """Processor seconds for one of each."""

    start: float = 7.0  # imports and weights
    cube_gb: float = 4.0  # of plain float32 DATA and STAT: signal and noise, spectra, images through F555W and F814W
    packed_gb: float = 45.0  # the same of a compressed file, by its size when unpacked
    mosaic_mpix: float = 0.3  # of mosaic under the cube: blurred, sampled, with its weight
    vorbin_spaxel: float = 1.6e-4  # at `_MANY` spaxels; grows with the root of their number
    powerbin_spaxel: float = 3.5e-5
    rest_bin: float = 1.2e-3  # rest frame and 150 km/s
    ppxf_bin: float = PPXF_SECONDS
    fast_bin: float = FAST_SECONDS
    network_bin: float = 7.5e-3  # posterior draws of the default number, depth, reconstruction
    refine_bin: float = 9.0  # likelihood sampled with the usual settings
    write_bin: float = 2e-4  # result file and page
    end: float = 3.6


RATES = _Rates()
_MANY = 10_000
#: Bytes: the libraries; blocks of the cube and strips of a mosaic; a bin in all its arrays; a spaxel in all its maps.
_BASE_BYTES, _BLOCK_BYTES, _BIN_BYTES, _SPAXEL_BYTES = 0.55e9, 0.3e9, 1.0e5, 100.0
#: Bins that vorbin makes (of the mock galaxy) for each that spaxels below the target could fill exactly: it lets some
#: bins stay below.
BIN_EFFICIENCY: float = 1.08


@dataclass(frozen=True)
class Workload:
    """What a run works through."""

    spaxels: int  # that enter bins
    bins: int
    cube_bytes: float  # of the channels that are read, unpacked
    packed: bool = False  # compressed
    mosaic_pixels: float = 0.0  # under the cube, all bands
    binning: str = "vorbin"  # vorbin, powerbin, or anything else for bins that are given
    kinematics: str = "maps"  # maps, fast, ppxf, or constants


@dataclass(frozen=True)
class CostEstimate:
    """What a run will take."""

    seconds: Mapping[str, float]  # by stage
    memory_bytes: float  # highest

    @property
    def total_seconds(self) -> float:
        """All stages."""
        return sum(self.seconds.values())

    def text(self) -> str:
        """For a person."""
        longest = max(self.seconds, key=lambda stage: self.seconds[stage])
        time = f"about {format_duration(self.total_seconds)} (most of it {longest})"
        return f"{time}, {self.memory_bytes / 1e9:.1f} GB of memory"


def estimate_cost(work: Workload, rates: _Rates = RATES) -> CostEstimate:
    """Time and memory of a run.

    Parameters
    ----------
    work : Workload
    rates : _Rates, optional
    """
    gigabytes = work.cube_bytes / 1e9
    tessellated = work.spaxels * (work.spaxels / _MANY) ** 0.5
    binning = {"vorbin": rates.vorbin_spaxel * tessellated, "powerbin": rates.powerbin_spaxel * work.spaxels}
    seconds = {
        "starting": rates.start,
        "reading the cube": gigabytes * (rates.packed_gb if work.packed else rates.cube_gb),
        "binning": binning.get(work.binning, 0.0),
        "kinematics": rates.fast_bin * work.bins if work.kinematics == "fast" else 0.0,
        "pPXF": rates.ppxf_bin * work.bins if work.kinematics == "ppxf" else 0.0,
        "rest frame": rates.rest_bin * work.bins,
        "photometry": rates.mosaic_mpix * work.mosaic_pixels / 1e6,
        "the network": rates.network_bin * work.bins,
        "writing": rates.write_bin * work.bins + rates.end,
    }
    memory = _BASE_BYTES + _BLOCK_BYTES + _BIN_BYTES * work.bins + _SPAXEL_BYTES * work.spaxels
    return CostEstimate(seconds, memory)


def estimate_bin_count(snr: F32, target: float, least: float) -> int:
    """Bins that spaxels of a given S/N will fill.

    Parameters
    ----------
    snr : (ny, nx)
        Of each spaxel; NaN or below ``least`` = in no bin.
    target : float
        S/N of a bin. n equal spaxels have sqrt(n) times the S/N of one, so a spaxel fills (snr / target)^2 of a bin,
        and never more than one.
    least : float
    """
    used = snr[np.isfinite(snr) & (snr >= least)].astype(np.float64)
    alone = used >= target
    shared = float(np.sum((used[~alone] / target) ** 2))
    return round(np.count_nonzero(alone) + BIN_EFFICIENCY * shared)
