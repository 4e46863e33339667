"""Training on the user's own labels: a table of objects, such as the spaxels of galaxies that were fitted before.

One row an object. Columns, whatever their case:

- the bands of the instrument by name, each with its error (``BAND_ERR`` or ``E_BAND``), in one unit: flux density per
  wavelength or per frequency, or AB magnitudes; without units they are taken for flux densities per wavelength in a
  common unit. What is missing is NaN or masked.
- ``FLUX`` and ``ERROR``, vectors on the instrument's rest-frame grid, where it has a spectrum; NaN is masked.
- the targets by name, without NaN.
- optionally ``GALAXY``: rows of one galaxy stay together when the table is split, so that what is measured on held-out
  rows holds for other galaxies.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from astropy import units
from astropy.io.registry import IORegistryError
from astropy.table import Table
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.io.cleaning.units import FLAM
from napari_sfh.model.encoding import FeatureSettings
from napari_sfh.model.targets import Targets
from napari_sfh.physics.filters import Filter, compute_photometry_scale, flux_from_ab, measure_photometry_snr
from napari_sfh.training.fitting.augmentation import augment_spectra
from napari_sfh.training.fitting.recipe import AugmentSettings
from napari_sfh.training.fitting.spectra_sources import PLAIN_FEATURES, SPLIT_SHARES, SpectraSource
from napari_sfh.training.simulator import array_backend
from napari_sfh.training.simulator.array_backend import NUMPY_BACKEND, ArrayBackend
from napari_sfh.types import F32, F64, I64, Observation, make_empty_observation

_MAG_TO_LN = 0.4 * np.log(10.0)


@dataclass(frozen=True)
class TableLabels:
    """Labels (N,) by the names of the targets."""

    columns: dict[str, F32]

    @property
    def n(self) -> int:
        """Number of objects."""
        return len(next(iter(self.columns.values())))

    def select(self, index: Any) -> TableLabels:
        """The rows ``index`` of every column."""
        return TableLabels({k: v[index] for k, v in self.columns.items()})

    def quantity(self, name: str) -> F32:
        """One target's labels (N,)."""
        return self.columns[name]


@dataclass(frozen=True)
class TableSource(SpectraSource):
    """Objects of a table, as they were observed: more noise can be added, less cannot."""

    data: Observation
    labels: TableLabels
    targets: Targets
    galaxy: NDArray[np.int64] | None = None  # (N,) number of each row's galaxy
    galaxy_names: tuple[str, ...] = ()
    arrays: ArrayBackend = NUMPY_BACKEND
    features: FeatureSettings = PLAIN_FEATURES

    @property
    def instrument(self) -> Instrument:
        """That saw the objects."""
        return self.data.instrument

    def observe(self, rows: I64, settings: AugmentSettings, rng: np.random.Generator) -> Observation:
        """The rows, made worse."""
        data, put = self.data.select(rows), self.arrays.put
        data = replace(data, flux=put(data.flux), error=put(data.error), mask=put(data.mask))
        return augment_spectra(data, settings, rng)

    def to(self, device: str) -> Self:
        """Rows move to the device when they are read."""
        return replace(self, arrays=array_backend.select_backend(None if device == "cpu" else device))

    @property
    def on_device(self) -> bool:
        """True where torch makes the noise."""
        return self.arrays is not NUMPY_BACKEND

    def split(self, seed: int) -> tuple[I64, I64]:
        """Row numbers of training and validation: 70 and 30 % of the galaxies, or of the rows where none is named.

        Raises
        ------
        SfhInputError
            Fewer than 20 rows, or fewer than two galaxies.
        """
        n = self.labels.n
        if n < 20:
            raise SfhInputError(f"`data`: {n} rows are too few to split; give at least 20")
        group = np.arange(n) if self.galaxy is None else self.galaxy
        names = np.unique(group)
        if names.size < 2:
            raise SfhInputError("`data`: GALAXY has one value; give two galaxies at least, or leave the column out")
        order = np.random.default_rng([seed, n]).permutation(names)
        held = order[: max(1, round((1 - SPLIT_SHARES[0]) * names.size))]
        outside = np.isin(group, held)
        return np.flatnonzero(~outside), np.flatnonzero(outside)


def read_labelled_table(
    path: Path, instrument: Instrument, filters: tuple[Filter, ...], targets: Targets, allow_missing: bool = False
) -> TableSource:
    """A table of objects with labels.

    Parameters
    ----------
    path : path
        FITS, ECSV, CSV or whatever astropy reads.
    instrument : Instrument
    filters : tuple of Filter
        Curves of its bands: their pivots convert flux densities per frequency, and magnitudes.
    targets : ScalarTargets
    allow_missing : bool
        Whether one label is enough: to judge weights, not to train them.

    Raises
    ------
    SfhInputError
        No table; a column that is missing, of mixed units or of another length than the grid; labels that are not
        numbers; histories as targets.
    """
    if targets.n_age:
        raise SfhInputError(
            f"`data` {path}: a table labels scalars, these targets are histories; choose weights of scalars, or set "
            "[targets] kind = 'scalars' and names"
        )
    try:
        table = Table.read(path)
    except (OSError, ValueError, TypeError, KeyError, IORegistryError) as error:
        line = str(error).strip().splitlines()[0]
        raise SfhInputError(f"`data` {path}: not readable as a table ({line}); give FITS, ECSV or CSV") from error
    columns = _Columns(table, path)
    names = [name for name in targets.scalars if columns.find(name)] if allow_missing else targets.scalars
    if not names:
        columns.need(*targets.scalars)
    labels = TableLabels({name: columns.label(name) for name in names})
    data = make_empty_observation(instrument, len(table))
    if instrument.spectrum is not None:
        data = _add_spectra(data, columns)
    if instrument.bands:
        data = _add_bands(data, columns, filters)
    galaxy = columns.find("galaxy")
    if galaxy is None:
        return TableSource(_normalise(data), labels, targets)
    listed, number = np.unique(np.asarray(table[galaxy]).astype(str), return_inverse=True)
    return TableSource(_normalise(data), labels, targets, number, tuple(str(name) for name in listed))


def hash_table_file(path: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Columns:
    """Columns of a table by name, whatever its case."""

    def __init__(self, table: Table, path: Path) -> None:
        self.table, self.path = table, path
        self.names = {name.lower(): name for name in table.colnames}

    def find(self, *names: str) -> str | None:
        """The first of ``names`` that the table has."""
        return next((self.names[name.lower()] for name in names if name.lower() in self.names), None)

    def need(self, *names: str) -> str:
        found = self.find(*names)
        if found is None:
            have = ", ".join(self.table.colnames[:20])
            raise SfhInputError(f"`data` {self.path}: no column {' or '.join(names)}; it has {have}")
        return found

    def numbers(self, name: str) -> F64:
        """A column as float64, NaN where it is masked."""
        column = self.table[name]
        try:
            values = np.asarray(np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan))
        except (TypeError, ValueError) as error:
            raise SfhInputError(f"`data` {self.path}: column {name} holds no numbers ({error})") from error
        return np.ascontiguousarray(values, dtype=np.float64)

    def label(self, name: str) -> F32:
        values = self.numbers(self.need(name))
        if values.ndim != 1 or not np.isfinite(values).all():
            bad = int(np.sum(~np.isfinite(values)))
            raise SfhInputError(f"`data` {self.path}: label {name} is not a number in {bad} rows; leave these out")
        return values.astype(np.float32)

    def unit(self, name: str) -> units.UnitBase | None:
        return getattr(self.table[name], "unit", None)


def _add_spectra(data: Observation, columns: _Columns) -> Observation:
    flux, error = (columns.numbers(columns.need(name)) for name in ("flux", "error"))
    shape = (data.n_bins, data.instrument.n_wave)
    for name, values in (("FLUX", flux), ("ERROR", error)):
        if values.shape != shape:
            grid = data.instrument.wave_aa
            raise SfhInputError(
                f"`data` {columns.path}: {name} has shape {values.shape}, the grid of instrument "
                f"{data.instrument.name} {shape}; resample to {grid[0]:.2f}-{grid[-1]:.2f} AA at rest"
            )
    mask = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    kept = (np.where(mask, a, 0.0) for a in (flux, error))
    return replace(data, flux=next(kept), error=next(kept), mask=mask)


def _add_bands(data: Observation, columns: _Columns, filters: tuple[Filter, ...]) -> Observation:
    found = [columns.find(band.name) for band in filters]
    if not any(found):
        raise SfhInputError(
            f"`data` {columns.path}: no column of the bands {', '.join(data.instrument.band_names)} of instrument "
            f"{data.instrument.name}; name the columns after them"
        )
    kinds = {str(columns.unit(name)) for name in found if name is not None}
    if len(kinds) > 1:
        raise SfhInputError(f"`data` {columns.path}: bands in mixed units ({', '.join(sorted(kinds))}); convert them")
    flux, error = np.full((2, data.n_bins, len(filters)), np.nan)
    for k, (band, name) in enumerate(zip(filters, found, strict=True)):
        if name is not None:
            width = columns.need(f"{name}_err", f"e_{name}", f"{name}_error")
            flux[:, k], error[:, k] = _convert(columns, name, width, band)
    mask = np.isfinite(flux) & np.isfinite(error) & (flux > 0) & (error > 0)
    return replace(data, phot=np.where(mask, flux, 0.0), phot_error=np.where(mask, error, 0.0), phot_mask=mask)


def _convert(columns: _Columns, name: str, width: str, band: Filter) -> tuple[F64, F64]:
    """Flux density per wavelength of a band, and its error."""
    value, error, unit = columns.numbers(name), columns.numbers(width), columns.unit(name)
    if unit is None or unit == units.dimensionless_unscaled:
        return value, error
    if str(unit).startswith("mag"):
        flux = np.asarray(flux_from_ab(band, value), float)
        return flux, flux * _MAG_TO_LN * error
    try:
        per_unit = unit.to(FLAM, equivalencies=units.spectral_density(band.pivot_aa * units.AA))
    except units.UnitConversionError as problem:
        raise SfhInputError(f"`data` {columns.path}: column {name} in {unit} is no flux density") from problem
    return value * per_unit, error * per_unit


def _normalise(data: Observation) -> Observation:
    """Fluxes divided by what the instrument says, S/N measured."""
    instrument = data.instrument
    flux, error, mask = np.asarray(data.flux), np.asarray(data.error), np.asarray(data.mask)
    norm = snr = np.ones(data.n_bins)
    if instrument.spectrum is not None:
        in_window = mask & instrument.norm_pixels
        pixels = np.maximum(in_window.sum(1), 1)
        norm = (flux * in_window).sum(1) / pixels
        norm = np.where(norm > 0, norm, np.nan)
        snr = norm / np.sqrt(((error * in_window) ** 2).sum(1) / pixels)
    scale = norm
    if instrument.photometry_norm != "spectrum":
        phot, seen = np.asarray(data.phot), np.asarray(data.phot_mask)
        scale = compute_photometry_scale(phot, seen, instrument.photometry_norm, instrument.band_names)
    if instrument.spectrum is None:
        snr = measure_photometry_snr(np.asarray(data.phot), np.asarray(data.phot_error), np.asarray(data.phot_mask))

    def over(values: NDArray[np.floating], by: F64) -> F32:
        return np.nan_to_num(values / by[:, None]).astype(np.float32)

    return replace(
        data,
        flux=over(flux, norm),
        error=over(error, norm),
        phot=over(np.asarray(data.phot), scale),
        phot_error=over(np.asarray(data.phot_error), scale),
        snr=np.nan_to_num(snr).astype(np.float32),
        flag=np.zeros(data.n_bins, np.int32),
    )
