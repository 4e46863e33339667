"""The bins of a run, which need no network: a process of its own makes them while the command loads PyTorch."""

from __future__ import annotations

import threading

from napari_sfh import decisions
from napari_sfh.config import RunConfig
from napari_sfh.instruments.bundle_header import read_bundle_header
from napari_sfh.jobs import ReportProgress
from napari_sfh.stages.inputs import BinnedGalaxy, bin_galaxy, open_galaxy_files

#: Cubes beyond so many bytes, and packed ones, are not opened twice: a run of them takes minutes.
MOST_BYTES = 2**29


def start_run(
    config: RunConfig, progress: ReportProgress | None = None, cancel: threading.Event | None = None
) -> BinnedGalaxy | None:
    """Bin a galaxy.

    Parameters
    ----------
    config : RunConfig
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    BinnedGalaxy or None
        None where the run has to do it: its weights take bands, its redshift is to be measured, its cube is large, or
        not there.

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
    return bin_galaxy(inputs, redshift, progress, cancel)
