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

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Column, Table
from numpy.typing import NDArray

from napari_sfh import __version__
from napari_sfh.analysis.credibility.misfit_check import check_models, load_misfit_limits
from napari_sfh.analysis.credibility.prediction_flags import derive_credibility_flags
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import list_bundles, read_bundle_header
from napari_sfh.instruments.coverage import check_rest_range
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.instruments.line_spread import LineSpread, guess_line_spread
from napari_sfh.io.objects.blocks import BLOCK_ROWS, Catalogue, open_catalogue
from napari_sfh.io.objects.columns import BandColumns, match_band_columns
from napari_sfh.io.objects.photometry import DEFAULT_RELATIVE_ERROR, read_band_photometry
from napari_sfh.io.objects.spectra_1d import SingleSpectrum, read_single_spectra
from napari_sfh.io.objects.spectrum_columns import Medium, holds_spectrum
from napari_sfh.io.objects.vector_columns import match_catalogue_columns
from napari_sfh.io.objects.writing import CatalogueWriter
from napari_sfh.jobs import ReportProgress, raise_if_cancelled, report_progress
from napari_sfh.model import inference
from napari_sfh.model.bundle import Bundle, load_bundle
from napari_sfh.model.prior_summary import load_prior_quantiles
from napari_sfh.model.targets import ScalarTargets
from napari_sfh.physics.columns import describe_column, find_column_ucd, find_column_unit
from napari_sfh.physics.quantities import format_fits_unit
from napari_sfh.prep.bad_channels import describe_repeated_channels, mask_tiny_errors
from napari_sfh.prep.band_fluxes.band_rows import CATALOGUE_CALIBRATION_ERROR, make_band_observation
from napari_sfh.prep.cross_checks import check_against_templates, check_errors
from napari_sfh.prep.observation import describe_excess, make_observation
from napari_sfh.prep.rest_frame import RestSpectra, shift_to_rest_frame
from napari_sfh.prep.spectra import BinSpectra, remove_milky_way_dust, restore_dropped_channels
from napari_sfh.types import (
    F32,
    F64,
    FLAG_MEANING,
    I32,
    BinMap,
    Flag,
    Observation,
    Prediction,
    Progress,
    join_observations,
)

#: Stellar dispersion in km/s where none is given.
DEFAULT_SIGMA_KMS = 150.0
_BATCH = 512
#: Names under which catalogues have redshifts.
_REDSHIFT_NAME = re.compile(
    r"(?i)(z|.*redshift|z_?(spec|phot|best|ml|cosmo|helio|cmb)|(spec|phot|photo)_?z)([_-]\w{1,4})?"
)
#: Why a row is not estimated, the first that holds.
REFUSALS = (Flag.REDSHIFT, Flag.NO_PHOTOMETRY, Flag.NO_SPECTRUM)


@dataclass(frozen=True)
class EstimateConfig:
    """What `estimate_objects` needs."""

    inputs: tuple[Path, ...]  # catalogues or spectra
    output: Path  # table that is written
    model: str = "jpas"  # weights: a name, or a file
    columns: Mapping[str, str] = field(default_factory=dict)  # band -> column, see `match_band_columns`
    redshift: float | None = None  # of all objects
    redshift_column: str = ""  # of the catalogue, where it is not named as usual
    ebv_mw: float = 0.0  # Milky Way E(B-V) of all objects, mag
    calibration_error: float = CATALOGUE_CALIBRATION_ERROR  # of bands, a share of the flux, beyond the stated errors
    sigma_kms: float | None = None  # stellar dispersion of spectra
    lsf: str | None = None  # line-spread function of the spectra: FWHM in Angstrom, or a table's file
    medium: Medium = "auto"  # of the spectra: air, vacuum, or as the file says
    device: str = "auto"  # where the network runs
    draws: int = inference.DRAWS  # of the posterior, an object
    rows: int = BLOCK_ROWS  # of a block of the catalogue

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(Path(p) for p in self.inputs))
        object.__setattr__(self, "output", Path(self.output))
        if not self.inputs:
            raise SfhInputError("no input: give a catalogue, or spectra")
        if self.redshift is not None and not -0.01 < self.redshift < 20:
            raise SfhInputError(f"`redshift` {self.redshift}: must lie between -0.01 and 20")
        if self.sigma_kms is not None and not 0 <= self.sigma_kms <= 1000:
            raise SfhInputError(f"`sigma_kms` {self.sigma_kms}: must lie in 0-1000 km/s")
        if not 0 <= self.ebv_mw <= 5:
            raise SfhInputError(f"`ebv_mw` {self.ebv_mw}: E(B-V) in mag must lie between 0 and 5")
        if not 0 <= self.calibration_error < 1:
            raise SfhInputError(f"`calibration_error` {self.calibration_error}: a share of the flux, 0 to below 1")


@dataclass(frozen=True)
class EstimateSummary:
    """What was done."""

    path: Path
    n_rows: int
    n_estimated: int
    n_out_of_depth: int
    notes: tuple[str, ...]
    refused: Mapping[Flag, int] = field(default_factory=dict)  # why rows were not estimated: number of rows

    def describe_refused(self, instrument: Instrument) -> str:
        """Why rows were not estimated, for a person; nothing where all were."""
        limit = f" (these weights: up to z = {instrument.redshift_max:g})"
        return ", ".join(
            f"{n} not: {FLAG_MEANING[flag]}{limit if flag == Flag.REDSHIFT else ''}" for flag, n in self.refused.items()
        )


class _Tally:
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
        return _estimate_catalogues(config, bundle, estimate_blocks or here, progress, cancel)
    if estimate_blocks is not None:
        raise SfhInputError(f"`scheduler`: weights {bundle.name} take single spectra; it is for catalogues")
    if config.columns:
        raise SfhInputError(f"`columns`: weights {bundle.name} take single spectra; leave it out")
    return _estimate_spectra(config, bundle, progress, cancel)


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
        data, bundle, device=config.device, batch_size=_BATCH, draws=config.draws, cancel=cancel
    )
    strange = derive_credibility_flags(data, prediction, load_prior_quantiles(bundle))
    table = _join_estimates(block.rows, data, prediction, strange, _list_units(bundle), {})
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
        headers = [read_bundle_header(name) for name in list_bundles()]
        known = [header.name for header in headers if header.instrument.spectrum is not None]
        raise SfhInputError(
            f"{catalogue.path}: columns of a spectrum, and {bundle.name} are weights for catalogues of bands; give "
            f"`model` {', '.join(known[:-1])} or {known[-1]}, or name the bands with `columns`"
        ) from error


def _estimate_catalogues(
    config: EstimateConfig,
    bundle: Bundle,
    estimate_blocks: BlockEstimator,
    progress: ReportProgress | None,
    cancel: threading.Event | None,
) -> EstimateSummary:
    catalogues = [open_catalogue(path) for path in config.inputs]
    if len({c.names for c in catalogues}) > 1:
        raise SfhInputError(f"{catalogues[1].path}: other columns than {catalogues[0].path}; estimate them one by one")
    matched = [_match_columns(catalogue, bundle, config) for catalogue in catalogues]
    bands = [columns for columns, _ in matched]
    notes = [*(note for c in catalogues for note in c.notes), *(note for _, more in matched for note in more)]
    notes += [*_describe_missing_bands(bundle.instrument, bands[0])]
    notes += [*_describe_assumed_errors(bands[0]), *_describe_assumed_redshift(config, catalogues[0].names)]
    notes += _describe_renamed_columns(bundle, catalogues[0].names)
    tally = _Tally()
    total = sum(c.n_rows or 0 for c in catalogues)
    with CatalogueWriter(config.output, _describe_run(config, bundle, notes)) as out:
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


def _append_estimates(
    out: CatalogueWriter,
    block: Table,
    data: Observation,
    bundle: Bundle,
    config: EstimateConfig,
    cancel: threading.Event | None,
) -> F32:
    """Write spectra with their estimates; their OOD scores, NaN where there is none."""
    prediction = inference.predict_histories(
        data, bundle, device=config.device, batch_size=_BATCH, draws=config.draws, cancel=cancel
    )
    model_flux, model_phot = inference.reconstruct_observations(data, prediction, bundle)
    draw_spectra = partial(inference.draw_predicted_spectra, bundle=bundle)
    prior = load_prior_quantiles(bundle)
    missed = check_models(data, model_flux, model_phot, load_misfit_limits(bundle))
    strange = derive_credibility_flags(data, prediction, prior, model_flux, draw_spectra, missed.flagged)
    out.append(_join_estimates(block, data, prediction, strange, _list_units(bundle), missed.columns))
    return prediction.ood


def _list_units(bundle: Bundle) -> dict[str, str]:
    """Units that a recipe states of quantities of its own, by name."""
    targets = bundle.targets.targets if isinstance(bundle.targets, ScalarTargets) else ()
    written = {target.name: format_fits_unit(target.unit) for target in targets}
    return {
        name: unit for name, unit in written.items() if "dex" not in unit
    }  # tables in FITS have none for logarithms


def _join_estimates(
    block: Table,
    data: Observation,
    prediction: Prediction,
    strange: I32,
    units: Mapping[str, str],
    missed: Mapping[str, F32],
) -> Table:
    """The block with the columns of the module's text.

    ``strange`` (n,) are flags of the answers, ``missed`` columns (n,) of how the models miss the data.
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


def _describe_run(config: EstimateConfig, bundle: Bundle, notes: Sequence[str]) -> dict[str, Any]:
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


def _estimate_spectra(
    config: EstimateConfig, bundle: Bundle, progress: ReportProgress | None, cancel: threading.Event | None
) -> EstimateSummary:
    spectra = [(path, one) for path in config.inputs for one in read_single_spectra(path, config.medium)]
    if config.redshift is not None:  # nobody needs to hear of the header's
        spectra = [(p, replace(s, notes=tuple(n for n in s.notes if n != s.no_redshift))) for p, s in spectra]
    notes: list[str] = []
    tally = _Tally()
    read = [note for _, one in spectra for note in one.notes]
    with CatalogueWriter(config.output, _describe_run(config, bundle, read)) as out:
        for start in range(0, len(spectra), _BATCH):
            report_progress(Progress("estimating spectra", start, len(spectra)), progress, cancel)
            part = spectra[start : start + _BATCH]
            seen = [_observe_spectrum(one, path, bundle, config, notes) for path, one in part]
            block = Table(
                {
                    "FILE": [path.name for path, _ in part],
                    "NAME": [one.name for _, one in part],
                    "REDSHIFT": [_redshift_of(one, path, config) for path, one in part],
                }
            )
            data = join_observations(seen)
            tally.add(data.flag, _append_estimates(out, block, data, bundle, config, cancel))
    return tally.summarise(config.output, notes)


def _redshift_of(one: SingleSpectrum, path: Path, config: EstimateConfig) -> float:
    z = config.redshift if config.redshift is not None else one.redshift
    if z is None:
        raise SfhInputError(f"{path}: {one.no_redshift}; give `redshift` (0 for a spectrum at rest)")
    return float(z)


def _observe_spectrum(
    one: SingleSpectrum, path: Path, bundle: Bundle, config: EstimateConfig, notes: list[str]
) -> Observation:
    """One spectrum on the instrument's grid; one that covers too little of it counts as none."""
    instrument = bundle.instrument
    z = _redshift_of(one, path, config)
    short = _describe_missing_range(one, path, bundle, z)
    sigma = DEFAULT_SIGMA_KMS if config.sigma_kms is None else config.sigma_kms
    lsf, words = one.lsf if config.lsf is None else LineSpread.from_text(config.lsf), ""
    if config.lsf is not None and lsf is not None:
        notes.extend(filter(None, (lsf.describe_reach(one.wave_aa),)))
    if lsf is None:
        lsf, words = guess_line_spread(one.wave_aa, instrument.grid.lsf)
    observed = BinSpectra(
        one.wave_aa, one.flux[None], one.variance[None], (one.good & (not short))[None], 1.0, True, lsf
    )
    observed, tiny = mask_tiny_errors(observed)
    repeated = describe_repeated_channels(observed)
    observed, dropped = restore_dropped_channels(observed)
    observed = remove_milky_way_dust(observed, config.ebv_mw)
    rest = shift_to_rest_frame(observed, instrument.grid, z, 0.0, sigma)
    notes.extend(f"{one.name}: {note}" for note in (*tiny, *repeated, *dropped, *check_errors(observed)))
    if not short:
        notes.extend(check_against_templates(observed, bundle.basis, z, np.zeros(1, np.float32), True, path, one.name))
    notes.extend((*one.notes, *describe_excess(rest, instrument), *_describe_coverage(one, rest, instrument, z, short)))
    if words:
        notes.append(f"line-spread function of the spectra unknown: taken as {words}; give `lsf`")
    if config.sigma_kms is None:
        notes.append(f"stellar dispersion not given: taken for {DEFAULT_SIGMA_KMS:g} km/s; give `sigma_kms`")
    zeros = np.zeros(1)
    row = BinMap(np.ones((1, 1), np.int32), zeros, zeros, np.zeros(1, np.int32), rest.snr, 0.0, "spectrum")
    return make_observation(rest, {}, row, instrument, 0.0, sigma, z, config.sigma_kms is None)


def _describe_missing_range(one: SingleSpectrum, path: Path, bundle: Bundle, z: float) -> str:
    """What a spectrum lacks of the weights' range, where that is more than they know; as `run` says it of a cube."""
    if not one.good.any():
        return ""
    try:
        check_rest_range(one.wave_aa[one.good], z, bundle.instrument.grid, bundle.min_coverage, path)
    except SfhInputError as error:
        return str(error)
    return ""


def _describe_coverage(
    one: SingleSpectrum, rest: RestSpectra, instrument: Instrument, z: float, short: str
) -> tuple[str, ...]:
    """Why a spectrum gives nothing, where its wavelengths do not reach the instrument's, or not enough of them do."""
    if np.isfinite(rest.norm_cgs[0]):
        return ()
    low, high = instrument.grid.wave_aa[[0, -1]] * (1 + z)
    seen = one.wave_aa[one.good]
    first, last = instrument.grid.wave_aa[instrument.grid.norm_pixels][[0, -1]] * (1 + z)
    inside = one.good & (one.wave_aa >= first) & (one.wave_aa <= last)
    if short and seen[-1] > first and seen[0] < last:
        return (short,)
    if seen[0] <= first and seen[-1] >= last:
        return (
            f"{one.name}: {int(inside.sum())} pixels of {first:.0f}-{last:.0f} A are usable, with a mean of "
            f"{float(one.flux[inside].mean()) if inside.any() else np.nan:.3g} of the spectrum's median: nothing to "
            "normalise it by; check its masks, fill values and sky subtraction",
        )
    return (
        f"{one.name}: usable from {seen[0]:.0f} to {seen[-1]:.0f} A; at redshift {z:g} these weights need "
        f"{low:.0f}-{high:.0f} A: check the unit of its wavelengths and the redshift",
    )
