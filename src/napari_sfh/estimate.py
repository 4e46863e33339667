"""Estimates for rows of catalogues and for single spectra: a table in, the same table with the weights' answers out.

A catalogue streams: `BLOCK_ROWS` rows are read, estimated and written together, so that any number of rows passes in
the memory of one block (of a few, where workers of a cluster estimate them: `batch.many_rows`). Which weights take
catalogues and which take spectra follows from their instrument.

Columns that are added, for each quantity that the weights predict (upper case): the posterior median ``NAME``, half of
the 16-84 % width ``NAME_ERR``, and ``NAME_P16``, ``NAME_P84``; then ``SNR``, ``OOD`` (above 1: unlike the training set)
and ``FLAG`` (bits of `types.Flag`). A column of the catalogue that has one of these names keeps it, and ours ends in
``_SFH``. No row is dropped: those that cannot be estimated have NaN and say why in ``FLAG``.
"""

from __future__ import annotations

import threading
from functools import partial

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.estimation.rows import BlockEstimator, estimate_catalogues, estimate_row_block
from napari_sfh.estimation.settings import EstimateConfig, EstimateSummary
from napari_sfh.estimation.spectra import estimate_spectra
from napari_sfh.jobs import ReportProgress
from napari_sfh.model.bundle import load_bundle

__all__ = ["EstimateConfig", "EstimateSummary", "estimate_objects"]


@check_arguments
def estimate_objects(
    config: EstimateConfig,
    estimate_blocks: BlockEstimator | None = None,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> EstimateSummary:
    """Estimate all rows of catalogues, or all spectra, into one table.

    Parameters
    ----------
    config : EstimateConfig
    estimate_blocks : callable, optional
        Where blocks of a catalogue are estimated, such as `batch.many_rows.estimate_on_workers`; default here.
    progress, cancel : optional
        See `jobs.report_progress`. After a cancel nothing is written.

    Raises
    ------
    SfhInputError
        An input that cannot be read, or that the weights' instrument has no use for.
    Cancelled
        ``cancel`` was set.
    """
    bundle = load_bundle(config.model)
    if bundle.instrument.spectrum is None:
        here = partial(map, partial(estimate_row_block, bundle=bundle, cancel=cancel))
        return estimate_catalogues(config, bundle, estimate_blocks or here, progress, cancel)
    if estimate_blocks is not None:
        raise SfhInputError(f"`scheduler`: weights {bundle.name} take single spectra; it is for catalogues")
    if config.columns:
        raise SfhInputError(f"`columns`: weights {bundle.name} take single spectra; leave it out")
    return estimate_spectra(config, bundle, progress, cancel)
