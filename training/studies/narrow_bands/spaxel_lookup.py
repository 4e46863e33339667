"""How far memory alone goes in sets A and B: the label of the most similar spectrum that was trained on.

No network, and nothing is learnt of stars. In set A the most similar spectrum is mostly one of the same galaxy, whose
populations are nearly those of the spaxel asked for; in set B it cannot be. What the look-up reaches in set A and not
in set B, any estimator that can remember its training set reaches there, too (Liew-Cain et al. 2021, section 3.2).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from napari_sfh.training.studies.narrow_bands.narrow_galaxies import MockSpaxels, split_folds
from napari_sfh.training.studies.narrow_bands.spaxel_tests import SPAXEL_QUANTITIES, SPAXEL_SETS, summarise_errors
from napari_sfh.types import I64


def find_nearest_spectra(made: MockSpaxels, rows: I64, trained: I64) -> I64:
    """The trained spaxel whose bands are most like those of each spaxel, every band over its mean.

    Parameters
    ----------
    made : MockSpaxels
        N spaxels.
    rows : int array (n,)
        Spaxels that are asked for.
    trained : int array (m,)
        Spaxels that may be found.

    Returns
    -------
    int array (n,)
        Of ``trained``.
    """
    relative = made.flux.astype(np.float64) / made.flux[trained].mean(0)
    _, nearest = cKDTree(relative[trained]).query(relative[rows])
    return np.asarray(trained[nearest], np.int64)


def measure_spaxel_lookup(made: MockSpaxels, seed: int) -> dict[str, dict[str, Any]]:
    """Errors of the look-up in both sets, every spaxel asked for once.

    Parameters
    ----------
    made : MockSpaxels
    seed : int
        Of the parts, as that of the networks' tests.

    Returns
    -------
    dict
        Of each set {quantity: errors against the labels}, and ``same_galaxy``, the share of spectra that were found in
        the galaxy of the spaxel.
    """
    out: dict[str, dict[str, Any]] = {}
    for kind in SPAXEL_SETS:
        parts = split_folds(made, kind, seed)
        found = np.zeros(made.galaxy.size, np.int64)
        for k, test in enumerate(parts):
            found[test] = find_nearest_spectra(made, test, np.concatenate([p for j, p in enumerate(parts) if j != k]))
        row: dict[str, Any] = {"same_galaxy": float(np.mean(made.galaxy[found] == made.galaxy))}
        for name in SPAXEL_QUANTITIES:
            label = getattr(made, name)
            row[name] = summarise_errors(label[found], label)
        out[kind] = row
    return out
