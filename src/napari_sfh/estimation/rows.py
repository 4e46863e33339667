"""Rows of catalogues: bands to estimates, block by block, and the posterior of one row."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from napari_sfh.analysis.credibility.prediction_flags import derive_credibility_flags
from napari_sfh.errors import SfhInputError
from napari_sfh.estimation.answers import (
    BATCH_OBJECTS,
    RowTally,
    describe_estimate_run,
    join_estimates,
    list_target_units,
)
from napari_sfh.estimation.settings import EstimateConfig, EstimateSummary
from napari_sfh.instruments.bundle_header import list_bundles, read_bundle_header
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.io.objects.blocks import Catalogue, open_catalogue
from napari_sfh.io.objects.columns import BandColumns, match_band_columns
from napari_sfh.io.objects.photometry import DEFAULT_RELATIVE_ERROR, read_band_photometry
from napari_sfh.io.objects.spectra_1d import read_single_spectra
from napari_sfh.io.objects.spectrum_columns import holds_spectrum
from napari_sfh.io.objects.vector_columns import match_catalogue_columns
from napari_sfh.io.objects.writing import CatalogueWriter
from napari_sfh.jobs import ReportProgress, raise_if_cancelled, report_progress
from napari_sfh.model import inference
from napari_sfh.model.bundle import Bundle, load_bundle
from napari_sfh.model.prior_summary import load_prior_quantiles
from napari_sfh.prep.band_fluxes.band_rows import CATALOGUE_CALIBRATION_ERROR, make_band_observation
from napari_sfh.types import F32, F64, Observation, Progress

#: Names under which catalogues have redshifts.
_REDSHIFT_NAME = re.compile(
    r"(?i)(z|.*redshift|z_?(spec|phot|best|ml|cosmo|helio|cmb)|(spec|phot|photo)_?z)([_-]\w{1,4})?"
)


@dataclass(frozen=True)
class RowBlock:
    """Rows of a catalogue, and what is needed to estimate them in this process or another."""

    rows: Table
    source: Path  # of the catalogue, for messages
    columns: Mapping[str, BandColumns]
    config: EstimateConfig


@dataclass(frozen=True)
class EstimatedBlock:
    """The rows of a `RowBlock` with their estimates."""

    rows: Table
    flag: NDArray[np.integer]  # (n,) bits of `types.Flag`
    ood: F32  # (n,) NaN: not estimated


#: Estimates of blocks, in the order of the blocks.
BlockEstimator = Callable[[Iterable[RowBlock]], Iterator[EstimatedBlock]]


def estimate_row_block(
    block: RowBlock, bundle: Bundle | None = None, cancel: threading.Event | None = None
) -> EstimatedBlock:
    """Estimate rows of a catalogue.

    Parameters
    ----------
    block : RowBlock
    bundle : Bundle, optional
        The weights of its configuration, loaded unless given.
    cancel : Event, optional

    Raises
    ------
    SfhInputError
        A column cannot be read.
    Cancelled
        ``cancel`` was set.
    """
    config = block.config
    bundle = bundle or load_bundle(config.model)
    data = _observe_rows(block, bundle)
    prediction = inference.predict_histories(
        data, bundle, device=config.device, batch_size=BATCH_OBJECTS, draws=config.draws, cancel=cancel
    )
    strange = derive_credibility_flags(data, prediction, load_prior_quantiles(bundle))
    table = join_estimates(block.rows, data, prediction, strange, list_target_units(bundle), {})
    return EstimatedBlock(table, data.flag, prediction.ood)


def _match_columns(
    catalogue: Catalogue, bundle: Bundle, config: EstimateConfig
) -> tuple[dict[str, BandColumns], tuple[str, ...]]:
    """As `match_catalogue_columns`; of a spectrum it is said what weights take one."""
    try:
        return match_catalogue_columns(catalogue, bundle.instrument.band_names, config.columns)
    except SfhInputError as error:
        if not holds_spectrum(catalogue.names):
            raise
        raise SfhInputError(
            f"{catalogue.path}: columns of a spectrum, and {bundle.name} are weights for catalogues of bands; give "
            f"`model` {_list_spectral_weights()}, or name the bands with `columns`"
        ) from error


def _list_spectral_weights() -> str:
    headers = [read_bundle_header(name) for name in list_bundles()]
    *known, last = [header.name for header in headers if header.instrument.spectrum is not None]
    return f"{', '.join(known)} or {last}"


def _open_catalogue(path: Path, bundle: Bundle) -> Catalogue:
    """As `open_catalogue`; of what can be read as spectra it is said what weights take one."""
    try:
        return open_catalogue(path)
    except SfhInputError as error:
        try:
            read_single_spectra(path)
        except SfhInputError:
            raise error from None
        raise SfhInputError(
            f"{error}. It can be read as a spectrum, and {bundle.name} are weights for catalogues of bands: if it is "
            f"one, give `model` {_list_spectral_weights()}"
        ) from error


def estimate_catalogues(
    config: EstimateConfig,
    bundle: Bundle,
    estimate_blocks: BlockEstimator,
    progress: ReportProgress | None,
    cancel: threading.Event | None,
) -> EstimateSummary:
    """Estimate all rows of catalogues into one table, block by block.

    Parameters
    ----------
    config : EstimateConfig
    bundle : Bundle
        Of weights without a spectrum.
    estimate_blocks : callable
        Where blocks are estimated.
    progress, cancel : optional
        See `jobs.report_progress`. After a cancel nothing is written.

    Returns
    -------
    EstimateSummary

    Raises
    ------
    SfhInputError
        An input cannot be read, or the catalogues have different columns.
    Cancelled
        ``cancel`` was set.
    """
    catalogues = [_open_catalogue(path, bundle) for path in config.inputs]
    if len({c.names for c in catalogues}) > 1:
        raise SfhInputError(f"{catalogues[1].path}: other columns than {catalogues[0].path}; estimate them one by one")
    matched = [_match_columns(catalogue, bundle, config) for catalogue in catalogues]
    bands = [columns for columns, _ in matched]
    notes = [*(note for c in catalogues for note in c.notes), *(note for _, more in matched for note in more)]
    notes += [*_describe_missing_bands(bundle.instrument, bands[0])]
    notes += [*_describe_assumed_errors(bands[0]), *_describe_assumed_redshift(config, catalogues[0].names)]
    notes += _describe_renamed_columns(bundle, catalogues[0].names)
    tally = RowTally()
    total = sum(c.n_rows or 0 for c in catalogues)
    with CatalogueWriter(config.output, describe_estimate_run(config, bundle, notes)) as out:
        blocks = (
            RowBlock(rows, catalogue.path, columns, config)
            for catalogue, columns in zip(catalogues, bands)
            for rows in catalogue.read_blocks(config.rows)
        )
        report_progress(Progress("estimating", 0, total), progress, cancel)
        for done in estimate_blocks(blocks):
            out.append(done.rows)
            tally.add(done.flag, done.ood)
            report_progress(Progress("estimating", tally.rows, total), progress, cancel)
    report_progress(Progress("estimating", tally.rows, tally.rows), progress)
    return tally.summarise(config.output, notes)


def _describe_missing_bands(instrument: Instrument, columns: Mapping[str, BandColumns]) -> tuple[str, ...]:
    missing = [b for b in instrument.band_names if b not in columns]
    if not missing:
        return ()
    more = ", ..." if len(missing) > 6 else ""
    return (f"{len(missing)} of {instrument.n_bands} bands have no column: {', '.join(missing[:6])}{more}",)


def _describe_assumed_errors(columns: Mapping[str, BandColumns]) -> tuple[str, ...]:
    """Which bands have no errors of their own, and which have them from something else."""
    bare = [band for band, column in columns.items() if not column.error]
    others = {c.error_kind: c.error for c in reversed(list(columns.values())) if c.error_kind}
    told = tuple(f"errors follow from the {kind} of a column, as in {name}" for kind, name in others.items())
    if not bare:
        return told
    which = "no band has" if len(bare) == len(columns) else f"{len(bare)} of {len(columns)} bands do not have"
    more = ", ..." if len(bare) > 6 else ""
    return (
        *told,
        f"{which} a column of errors ({', '.join(bare[:6])}{more}): {100 * DEFAULT_RELATIVE_ERROR:g} % of the flux is "
        "assumed; name them with `columns` BAND=COLUMN:UNIT,ERROR_COLUMN",
    )


def _describe_assumed_redshift(config: EstimateConfig, names: Sequence[str]) -> tuple[str, ...]:
    """That rows are taken at rest, where no redshift was given, and the columns that may hold it."""
    if config.redshift is not None or config.redshift_column:
        return ()
    likely = [name for name in names if _REDSHIFT_NAME.fullmatch(name)]
    which = f" ({', '.join(likely[:4])}?)" if likely else ""
    return (f"no redshift was given: all rows are taken at rest; give `redshift`, or `redshift_column`{which}",)


def _describe_renamed_columns(bundle: Bundle, names: Sequence[str]) -> tuple[str, ...]:
    """Which columns of the catalogue have names of ours: theirs stay as they are."""
    ours = [*(name.upper() for name in bundle.targets.scalars), "SNR", "OOD", "FLAG"]
    taken = [name for name in ours if name in names]
    if not taken:
        return ()
    return (
        f"the catalogue has columns {', '.join(taken)} of its own, which stay; the estimates are "
        f"{', '.join(f'{name}_SFH' for name in taken)}",
    )


def _observe_rows(block: RowBlock, bundle: Bundle) -> Observation:
    instrument = bundle.instrument
    pivot = bundle_pivots_aa(bundle)
    seen = read_band_photometry(block.rows, block.columns, instrument.band_names, pivot, str(block.source))
    return make_band_observation(
        instrument,
        seen.flux,
        seen.error,
        seen.mask,
        flag=seen.flag,
        redshift=_read_redshifts(block.rows, block.source, block.config),
        ebv_mw=block.config.ebv_mw,
        pivot_aa=pivot,
        keep_negative=bundle.features.band_scale == "asinh",
        calibration_error=block.config.calibration_error,
    )


def bundle_pivots_aa(bundle: Bundle) -> F64:
    """Pivot wavelengths in Angstrom of a bundle's bands, (B,).

    Raises
    ------
    SfhInputError
        The bundle has neither curves nor trapezoids of its bands.
    """
    from napari_sfh.instruments.files import make_band_filters

    if bundle.basis is not None and len(bundle.basis.filters) == bundle.instrument.n_bands:
        return np.array([f.pivot_aa for f in bundle.basis.filters])
    return np.array([f.pivot_aa for f in make_band_filters(bundle.instrument)])


def _read_redshifts(rows: Table, source: Path, config: EstimateConfig) -> F64 | float:
    if not config.redshift_column:
        return config.redshift or 0.0
    if config.redshift_column not in rows.colnames:
        raise SfhInputError(f"`redshift_column` {config.redshift_column}: {source} has no such column")
    try:
        return np.asarray(np.ma.filled(np.ma.asarray(rows[config.redshift_column]).astype(float), np.nan))
    except (TypeError, ValueError) as error:
        raise SfhInputError(f"`redshift_column` {config.redshift_column}: holds no numbers ({error})") from error


def draw_row_posterior(
    row: Table, meta: Mapping[str, str], source: Path, n: int = 4096, cancel: threading.Event | None = None
) -> Mapping[str, NDArray[np.floating]]:
    """Joint posterior of one row of a table that `estimate_objects` has made of a catalogue, drawn anew.

    Parameters
    ----------
    row : Table
        One row, with the catalogue's own columns.
    meta : mapping
        What the file says of the run: ``MODEL``, ``MODELSHA``, ``EBVMW``, ``CALERR``, ``REDSHIFT`` or ``ZCOLUMN``.
    source : Path
        Of the table, for messages.
    n : int
        Number of draws.
    cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    mapping
        Quantity to draws, (n,).

    Raises
    ------
    SfhInputError
        The table does not say its weights, others have their name now, or the bands are not in it.
    """
    if not meta.get("MODEL"):
        raise SfhInputError(f"{source}: does not say which weights made it; write .fits or .ecsv, which keep that")
    bundle = load_bundle(meta["MODEL"])
    if meta.get("MODELSHA") and not bundle.sha256.startswith(meta["MODELSHA"]):
        raise SfhInputError(f"{source}: was made with other weights of the name {bundle.name}; estimate it again")
    if bundle.instrument.spectrum is not None:
        raise SfhInputError(
            f"{source}: its spectra are not in the table, which a posterior needs; it has their intervals"
        )
    columns = match_band_columns(row.colnames, bundle.instrument.band_names, {}, str(source))
    if not columns:
        raise SfhInputError(f"{source}: no columns of the bands of {bundle.name}; it has the intervals alone")
    config = EstimateConfig(
        inputs=(source,),
        output=source,
        redshift=float(meta["REDSHIFT"]) if meta.get("REDSHIFT") else None,
        redshift_column=meta.get("ZCOLUMN", ""),
        ebv_mw=float(meta.get("EBVMW") or 0.0),
        calibration_error=float(meta.get("CALERR", CATALOGUE_CALIBRATION_ERROR)),
    )
    data = _observe_rows(RowBlock(row, source, columns, config), bundle)
    if not data.phot_mask.any():
        raise SfhInputError(f"{source}: this row has no usable band, hence no posterior; choose another")
    made = inference.draw_posterior_samples(data, bundle, n, calibrated=True)
    raise_if_cancelled(cancel)
    return {name: values[0] for name, values in made.items() if values.ndim == 2}
