"""What a run does without a network, made by a process of its own: the command loads PyTorch meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from napari_sfh import decisions
from napari_sfh.config import RunConfig
from napari_sfh.instruments.bundle_header import read_bundle_header
from napari_sfh.jobs import ReportProgress
from napari_sfh.physics.filters import Filter
from napari_sfh.prep.mosaics.bands import BandPhotometry
from napari_sfh.processes.calls import ChildPython, ProcessEnded
from napari_sfh.processes.held_values import HeldBy, HeldValue
from napari_sfh.stages.inputs import (
    BinnedGalaxy,
    RunInputs,
    bin_galaxy,
    explain_refusal,
    open_galaxy_files,
    open_mosaics,
)
from napari_sfh.stages.observation import SummedSpectra, measure_photometry, sum_bin_spectra

#: Cubes beyond so many bytes, and packed ones, are not opened twice: a run of them takes minutes.
MOST_BYTES = 2**29


@dataclass(frozen=True)
class BegunRun:
    """A run until it needs the weights."""

    galaxy: BinnedGalaxy
    summed: SummedSpectra
    missing: tuple[str, ...]  # what was left out of the cube's channels


class MeasuredBands(NamedTuple):
    """Photometry of the bins of a run that was begun, and what is left out of the cube's channels by now."""

    photometry: BandPhotometry
    missing: tuple[str, ...]


def start_run(
    config: RunConfig, progress: ReportProgress | None = None, cancel: threading.Event | None = None
) -> HeldValue | None:
    """Open a galaxy's files, bin its spaxels and sum the spectra of the bins.

    Parameters
    ----------
    config : RunConfig
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    HeldValue or None
        A `BegunRun` is told. Its inputs are held for `measure_begun_bands`: what was decompressed of the files is there
        for the photometry. None where the run has to do it: its weights take bands, its redshift is to be measured, its
        cube is large, or not there.

    Raises
    ------
    SfhInputError
        As the stages of a run.
    Cancelled
        ``cancel`` was set.
    """
    header, path = read_bundle_header(config.model), config.cube
    if header.instrument.spectrum is None or path is None or path.suffix != ".fits" or not path.is_file():
        return None
    if path.stat().st_size > MOST_BYTES:
        return None
    inputs = open_galaxy_files(config, header)
    redshift = decisions.choose_redshift(config, inputs.cube, inputs.maps).value
    if redshift is None:
        return None
    with explain_refusal(inputs):
        galaxy = bin_galaxy(inputs, redshift, progress, cancel)
        summed = sum_bin_spectra(inputs, galaxy, progress, cancel)
    return HeldValue(BegunRun(galaxy, summed, inputs.cube.describe_missing()), (inputs, galaxy))


def measure_begun_bands(
    begun: tuple[RunInputs, BinnedGalaxy],
    filters: Sequence[Filter],
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> MeasuredBands:
    """Measure the bands of a run that was begun.

    Parameters
    ----------
    begun : tuple
        What `start_run` has held.
    filters : sequence of Filter
        Of the weights.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    MeasuredBands

    Raises
    ------
    SfhInputError
        A mosaic cannot be used, or does not belong to the cube.
    """
    inputs, galaxy = begun
    instrument = inputs.bundle.instrument
    images = decisions.match_band_names(inputs.config.photometry, instrument.band_names)
    inputs = replace(inputs, mosaics=open_mosaics(inputs.config, images, instrument))
    with explain_refusal(inputs):
        photometry = measure_photometry(inputs, galaxy, filters, progress, cancel)
    return MeasuredBands(photometry, inputs.cube.describe_missing())


class RunAhead:
    """A run of which another process makes what needs no network; where that process is killed, the run does it.

    Parameters
    ----------
    child : ChildPython
        Begins at once with `start_run`.
    config : RunConfig
    """

    def __init__(self, child: ChildPython, config: RunConfig) -> None:
        self._child = child
        self._start = child.begin(start_run, (config,), follow=True)
        self._bands: int | None = None

    def finish_start(
        self,
        filters: Sequence[Filter],
        progress: ReportProgress | None = None,
        cancel: threading.Event | None = None,
    ) -> BegunRun | None:
        """Wait for the value of `start_run`, and have the bands measured; None where the run has to do both.

        Parameters
        ----------
        filters : sequence of Filter
            Of the weights.
        progress, cancel : optional
            See `jobs.report_progress`.
        """
        begun: BegunRun | None = self._finish(self._start, "bins", progress, cancel)
        if begun is not None:
            self._bands = self._child.begin(measure_begun_bands, (HeldBy(self._start), tuple(filters)), follow=True)
        return begun

    def finish_bands(
        self, progress: ReportProgress | None = None, cancel: threading.Event | None = None
    ) -> MeasuredBands | None:
        """Wait for the bands of a run that was begun; None where the run has to do all by itself.

        Parameters
        ----------
        progress, cancel : optional
            See `jobs.report_progress`.
        """
        return None if self._bands is None else self._finish(self._bands, "photometry", progress, cancel)

    def _finish(self, call: int, stage: str, progress: ReportProgress | None, cancel: threading.Event | None) -> Any:
        """The value of a call; None where the process is no more."""
        with suppress(ProcessEnded):
            return self._child.finish(call, stage, progress, cancel)
        return None
