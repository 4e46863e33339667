"""A user's own spaxels for the tests of `spaxel_tests`: a table of band fluxes with labels, galaxies and radii.

Beside what `fitting.labelled_table` reads (bands, ``galaxy``, and the targets ``lg_age_lw`` and ``mh_lw``, for example
of a full spectral fit) it may hold ``r_re``, the radius in the plane of the disc over the effective radius, without
which there are no gradients, and per galaxy ``lg_ssfr``, ``a_v``, ``inclination`` and ``lg_mass``, which the trends are
taken against.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import make_band_filters
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.model.targets import make_targets
from napari_sfh.training.fitting.labelled_table import read_labelled_table
from napari_sfh.training.studies.narrow_bands.narrow_galaxies import FOLDS, MockSpaxels
from napari_sfh.types import F32, Bool

#: Properties of galaxies that a table may hold.
GALAXY_PROPERTIES = ("lg_ssfr", "a_v", "inclination", "lg_mass")


def read_spaxel_table(path: Path, instrument: Instrument) -> MockSpaxels:
    """Read spaxels with labels.

    Parameters
    ----------
    path : Path
    instrument : Instrument

    Returns
    -------
    MockSpaxels

    Raises
    ------
    SfhInputError
        No such table, a column is missing, a band is missing somewhere, or there are too few galaxies.
    """
    filters = make_band_filters(instrument)
    source = read_labelled_table(path, instrument, filters, make_targets("scalars", ("lg_age_lw", "mh_lw")))
    if source.galaxy is None:
        raise SfhInputError(f"{path}: column 'galaxy' is missing; sets A and B need to know what belongs together")
    whole: Bool = np.all(source.data.phot_mask, axis=1, keepdims=False)
    if not whole.any():
        raise SfhInputError(f"{path}: no row has all {instrument.n_bands} bands; choose an instrument of fewer")
    names, galaxy = np.unique(source.galaxy[whole], return_inverse=True)
    if len(names) < FOLDS:
        raise SfhInputError(f"{path}: {len(names)} galaxies; at least {FOLDS} are needed to split them")
    table = Table.read(path)
    columns = {c.lower(): np.ma.filled(np.ma.asarray(table[c]), np.nan) for c in table.colnames}
    radius = np.asarray(columns.get("r_re", np.full(len(table), np.nan)), np.float32)
    if len(radius) != len(whole):
        raise SfhInputError(f"{path}: rows without labels; remove them")
    flux = source.data.phot[whole]
    return MockSpaxels(
        flux=(flux / flux.mean(1, keepdims=True)).astype(np.float32),
        lg_age=source.labels.quantity("lg_age_lw")[whole],
        mh=source.labels.quantity("mh_lw")[whole],
        galaxy=galaxy.astype(np.int32),
        r=radius[whole],
        filters=filters,
        properties={k: _average_per_galaxy(columns[k], whole, galaxy) for k in GALAXY_PROPERTIES if k in columns},
    )


def _average_per_galaxy(values: NDArray[Any], whole: Bool, galaxy: NDArray[np.integer]) -> F32:
    """Mean of a column over each galaxy's spaxels, (G,)."""
    chosen = np.asarray(values, float)[whole]
    return np.asarray(np.bincount(galaxy, chosen) / np.bincount(galaxy), np.float32)
