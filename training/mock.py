"""The bundled demo galaxy from end to end: sky, telescopes, bins of the MAPS file, files."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sfh.training import mock_files, mock_observe, templates
from napari_sfh.types import Progress

#: Target S/N of the bins in the MAPS file.
_MAPS_SNR = 35.0


def make(
    folder: Path, seed: int = 1, library: str = "bc03-miles"
) -> Generator[Progress, None, tuple[list[Path], mock_observe.Observed]]:
    """Make the mock galaxy's files in ``folder``.

    Parameters
    ----------
    folder : path
    seed : int
        Of noise and star clusters.
    library : str
        Template library of the stars.

    Yields
    ------
    Progress

    Returns
    -------
    list of paths, Observed
    """
    prepared = templates.prepare(library)
    observed = yield from mock_observe.observe(prepared, library, seed)
    yield Progress("mock files", 0, 1)
    return mock_files.write(observed, _bins(observed), prepared, folder), observed


def _bins(observed: mock_observe.Observed) -> NDArray[np.int32]:
    """Voronoi bins of the MAPS file, from the cube's own signal and noise; the star is left out."""
    from napari_sfh.prep.binning import SpaxelSN, make_bins

    window = (mock_observe.WAVE_OBS > 5313) & (mock_observe.WAVE_OBS < 5513)
    signal = observed.flux[window].mean(0)
    noise = np.sqrt(observed.variance[window].mean(0))
    good = np.isfinite(signal) & (signal > 0) & ~_near_star(observed.flux.shape[1:])
    return make_bins(
        SpaxelSN(signal, noise, good, mock_observe.cube_wcs(), Path(mock_files.NAME), True), _MAPS_SNR
    ).bin_id


def _near_star(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    from napari_sfh.training.mock_galaxy import STAR_XY

    py, px = np.mgrid[: shape[0], : shape[1]].astype(float)
    x, y = mock_observe.offsets(mock_observe.cube_wcs(), px, py)
    return np.hypot(x - STAR_XY[0], y - STAR_XY[1]) < 1.1
