"""The bundled demo galaxy from end to end: sky, telescopes, bins of the MAPS file, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sfh.instruments.files import load_instrument
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.training.libraries import templates
from napari_sfh.training.mock import files, observations
from napari_sfh.types import Progress

#: Target S/N of the bins in the MAPS file.
_MAPS_SNR = 35.0


def make_mock_galaxy(
    folder: Path, seed: int = 1, library: str = "bc03-miles", progress: ReportProgress | None = None
) -> tuple[list[Path], observations.MockObservation]:
    """Make the mock galaxy's files in ``folder``.

    Parameters
    ----------
    folder : path
    seed : int
        Of noise and star clusters.
    library : str
        Template library of the stars.

    Returns
    -------
    list of paths, Observed
    """
    prepared = templates.prepare_templates(library, load_instrument("muse-hst"))
    observed = observations.observe_mock_galaxy(prepared, library, seed, progress=progress)
    report_progress(Progress("mock files", 0, 1), progress)
    return files.write_mock_galaxy(observed, _bin_maps_spaxels(observed), prepared, folder), observed


def _bin_maps_spaxels(observed: observations.MockObservation) -> NDArray[np.int32]:
    """Voronoi bins of the MAPS file, from the cube's own signal and noise; the star is left out."""
    from napari_sfh.prep.binning import SpaxelSN, bin_spaxels

    window = (observations.WAVE_OBS > 5313) & (observations.WAVE_OBS < 5513)
    signal = observed.flux[window].mean(0)
    noise = np.sqrt(observed.variance[window].mean(0))
    good = np.isfinite(signal) & (signal > 0) & ~_foreground_star_mask(observed.flux.shape[1:])
    return bin_spaxels(
        SpaxelSN(signal, noise, good, observations.make_cube_wcs(), Path(files.MOCK_NAME), True), _MAPS_SNR
    ).bin_id


def _foreground_star_mask(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    from napari_sfh.training.mock.galaxy import STAR_XY

    py, px = np.mgrid[: shape[0], : shape[1]].astype(float)
    x, y = observations.pixel_offsets_arcsec(observations.make_cube_wcs(), px, py)
    return np.hypot(x - STAR_XY[0], y - STAR_XY[1]) < 1.1
