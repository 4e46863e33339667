"""The weights' answers as columns of a table, and what became of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Column, Table
from numpy.typing import NDArray

from napari_sfh import __version__
from napari_sfh.analysis.credibility.misfit_check import load_misfit_limits
from napari_sfh.estimation.settings import EstimateConfig, EstimateSummary
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.targets import ScalarTargets
from napari_sfh.physics.columns import describe_column, find_column_ucd, find_column_unit
from napari_sfh.physics.quantities import format_fits_unit
from napari_sfh.types import F32, I32, Flag, Observation, Prediction

BATCH_OBJECTS = 512


#: Why a row is not estimated, the first that holds.
REFUSALS = (Flag.REDSHIFT, Flag.NO_PHOTOMETRY, Flag.NO_SPECTRUM, Flag.MISSING_BAND)


class RowTally:
    """Counts what becomes of the rows."""

    def __init__(self) -> None:
        self.rows = self.estimated = self.out_of_depth = 0
        self.refused: dict[Flag, int] = {}

    def add(self, flag: NDArray[np.integer], ood: F32) -> None:
        """Rows with their flags and OOD scores, (n,); NaN: not estimated."""
        known = np.isfinite(ood)
        self.rows += len(ood)
        self.estimated += int(known.sum())
        self.out_of_depth += int((ood[known] > 1).sum())
        left = ~known
        for reason in REFUSALS:
            now = left & ((flag & int(reason)) > 0)
            if now.any():
                self.refused[reason] = self.refused.get(reason, 0) + int(now.sum())
            left &= ~now

    def summarise(self, path: Path, notes: Sequence[str]) -> EstimateSummary:
        """What was done; notes are said once."""
        told = tuple(dict.fromkeys(notes))
        return EstimateSummary(path, self.rows, self.estimated, self.out_of_depth, told, self.refused)


def list_target_units(bundle: Bundle) -> dict[str, str]:
    """Units that a recipe states of quantities of its own, by name."""
    targets = bundle.targets.targets if isinstance(bundle.targets, ScalarTargets) else ()
    written = {target.name: format_fits_unit(target.unit) for target in targets}
    return {
        name: unit for name, unit in written.items() if "dex" not in unit
    }  # tables in FITS have none for logarithms


def join_estimates(
    block: Table,
    data: Observation,
    prediction: Prediction,
    strange: I32,
    units: Mapping[str, str],
    missed: Mapping[str, F32],
) -> Table:
    """The block with the columns that `estimate` names.

    Parameters
    ----------
    block : Table
        n rows.
    data : Observation
    prediction : Prediction
    strange : int32 array (n,)
        Flags of the answers, bits of `types.Flag`.
    units : mapping
        Of `list_target_units`.
    missed : mapping
        Columns (n,) of how the models miss the data, by name.

    Returns
    -------
    Table
    """
    out, taken = block.copy(copy_data=False), set(block.colnames)

    def put(name: str, values: Any, unit: str = "") -> None:
        column = Column(values, unit=find_column_unit(name) or unit or None, description=describe_column(name) or None)
        if ucd := find_column_ucd(name):
            column.meta["ucd"] = ucd
        out[f"{name}_SFH" if name in taken else name] = column

    for name in prediction.scalars:
        quantiles, unit = prediction.quantiles[name], units.get(name, "")
        put(name.upper(), quantiles[:, 2], unit)
        put(f"{name.upper()}_ERR", prediction.half_width(name), unit)
        put(f"{name.upper()}_P16", quantiles[:, 1], unit)
        put(f"{name.upper()}_P84", quantiles[:, 3], unit)
    put("SNR", data.snr)
    for name, values in missed.items():
        put(name, values)
    put("OOD", prediction.ood)
    put("FLAG", data.flag | strange)
    return out


def describe_estimate_run(config: EstimateConfig, bundle: Bundle, notes: Sequence[str]) -> dict[str, Any]:
    """Header of the table: what made it, and the notes.

    Parameters
    ----------
    config : EstimateConfig
    bundle : Bundle
    notes : sequence of str

    Returns
    -------
    dict
        Key to value, or to value and comment.
    """
    judged = bool(bundle.instrument.n_wave) and load_misfit_limits(bundle) is not None
    return {
        "SFHVERS": (__version__, "napari-sfh"),
        "MODEL": (bundle.name, "weights"),
        "MODELSHA": (bundle.sha256[:16], "sha256 of the weights"),
        "INSTRUME": (bundle.instrument.name, "what the weights were shown"),
        "DRAWS": (config.draws, "posterior draws a row"),
        "EBVMW": (config.ebv_mw, "Milky Way E(B-V), mag"),
        "CALERR": (config.calibration_error, "calibration error of the bands, share of flux"),
        "ZCOLUMN": (config.redshift_column, "column of the redshift"),
        **({} if judged else {"MISFIT": (False, "FLAG262144 not judged: OOD score alone warns")}),
        **{f"NOTE{k}": note for k, note in enumerate(dict.fromkeys(notes), start=1)},
        **({} if config.redshift is None else {"REDSHIFT": (config.redshift, "of all rows")}),
    }
