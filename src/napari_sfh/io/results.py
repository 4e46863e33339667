"""The result file: one checksummed FITS file that holds a whole `types.Result` and gives it back unchanged.

What a person reads (the contract): images ``BIN_ID``, ``AGE_LW``, ``AGE_MW`` (log10 yr), ``MH_LW``, ``MH_MW`` (dex),
each of the four with ``*_ERR``, ``SNR``, ``OOD``, ``FLAG``; tables ``BINS`` and ``AGE_BINS``; images ``SPECTRUM``,
``SPECTRUM_ERR``, ``MODEL`` (bins x pixels of the instrument's grid). Spectra are relative to the column ``NORM``
(erg/s/cm2/AA), and NaN where a pixel is masked; band fluxes ``FLUX_<band>`` are in erg/s/cm2/AA, and NaN where a band
was not used. What the weights do not predict is absent: those of scalars leave maps, columns and ``Q_*`` of their own
names, and no AGE_BINS or MODEL.

What else is needed to restore the objects: ``WHITE`` (image), ``LATENT`` (bins x latent), ``Q_<NAME>`` (posterior
quantiles 2.5, 16, 50, 84, 97.5 % on the first FITS axis), the columns ``PHOT``, ``PHOT_ERR``, ``PHOT_MASK``,
``MODEL_PHOT`` (per band, relative to NORM), ``BIN_SNR`` and ``DATA_FLAG`` of BINS, and the tables ``PRIOR`` (quantiles
of what the weights believe without data) and ``SETTINGS`` (names with JSON values).

The file is written HDU by HDU to a temporary name beside its destination and renamed when complete.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.io import fits_access
from napari_sfh.io.atomic import write_atomically
from napari_sfh.io.cleaning.result_checks import check_own_fields, check_result
from napari_sfh.io.image_reader import to_native_float32
from napari_sfh.io.result_hdus import (
    BAND_VECTORS,
    FORMAT_VERSION,
    MEAN_KEYS,
    build_result_hdus,
    decode_settings,
    restore_instrument,
)
from napari_sfh.physics.columns import MISFIT_COLUMNS
from napari_sfh.types import BinMap, Observation, Prediction, Result


@check_arguments
def write_result(result: Result, path: str | Path, overwrite: bool = True) -> Path:
    """Write a result file.

    Parameters
    ----------
    result : types.Result
        Left unmodified; apart from it, memory for one HDU at a time is needed.
    path : path
        Where to; ``.fits`` is usual, ``.fits.gz`` is compressed.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    SfhInputError
        The folder does not exist or is not writable, or the file exists and must not be replaced.
    ComputeError
        The disk is full or fails. Nothing half-written is left in either case.

    Examples
    --------
    >>> write_result(read_result("result.fits"), "copy.fits").name
    'copy.fits'
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise SfhInputError(f"{path}: exists already; give another `output` or allow overwriting")
    with write_atomically(path) as part:
        if path.name.lower().endswith(".gz"):
            _write_compressed(result, part)
        else:
            _write_hdus(result, part)
    return path


def _write_compressed(result: Result, part: Path) -> None:
    """Write the HDUs beside ``part``, then compress them into it: astropy appends to plain files only."""
    with write_atomically(part.with_name(part.name[: -len(".gz")])) as plain:
        _write_hdus(result, plain)
        with plain.open("rb") as content, gzip.open(part, "wb", compresslevel=4) as out:
            shutil.copyfileobj(content, out, 2**20)
    part.with_name(part.name[: -len(".gz")]).unlink()


def _write_hdus(result: Result, part: Path) -> None:
    """Append one HDU after the other, so that only one big-endian copy exists at a time."""
    with fits.open(part, mode="append", memmap=False) as out:
        for hdu in build_result_hdus(result):
            hdu.add_checksum()
            out.append(hdu)
            hdu.verify("fix+warn")
            out.flush(output_verify="ignore")  # it would verify all that are written, each time
            # Written: only the header is needed from here on.
            del hdu.data


def is_result_file(hdus: fits.HDUList) -> bool:
    """Whether an open file is a result file."""
    return "SFHFORM" in hdus[0].header


def read_provenance(path: str | Path) -> dict[str, Any]:
    """How a result was made, of a file that is complete and unaltered.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        ``Result.settings``, and its ``model_sha256``, ``model_name``, ``name`` and ``redshift``, and ``n_bins``.

    Raises
    ------
    SfhInputError
        As `read_result`; the last extension must be there, so that nothing before it can be missing.
    """
    path = Path(path)
    with _open_result(path) as hdus:
        names = {h.name.upper(): i for i, h in enumerate(hdus)}
        if "SETTINGS" not in names or "BINS" not in names:
            raise SfhInputError(f"{path}: extension SETTINGS or BINS is missing; the file is damaged, run again")
        settings, own = decode_settings(hdus[names["SETTINGS"]].data)
        return {**own, **settings, "n_bins": int(hdus[names["BINS"]].header["NAXIS2"])}


@contextmanager
def _open_result(path: Path) -> Iterator[fits.HDUList]:
    """A result file of a format that is known, its checksums verified."""
    with fits_access.open_fits(path, checksum=True) as hdus:
        if not is_result_file(hdus):
            raise SfhInputError(
                f"{path}: not a result file of napari-sfh (no SFHFORM); `napari-sfh run` makes one of a cube, "
                "`napari-sfh estimate` a table of a catalogue or of single spectra"
            )
        version = hdus[0].header["SFHFORM"]
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise SfhInputError(f"{path}: SFHFORM = {version!r} is no version; the file is damaged, run again")
        if version > FORMAT_VERSION:
            raise SfhInputError(f"{path}: result format {version} is newer than {FORMAT_VERSION}; update napari-sfh")
        yield hdus


@check_arguments
def read_result(path: str | Path) -> Result:
    """Read a result file back.

    Parameters
    ----------
    path : path

    Returns
    -------
    types.Result
        Equal to the one written, field by field.

    Raises
    ------
    SfhInputError
        No result file, of a newer format, an extension missing, or a checksum that does not match.

    Examples
    --------
    >>> result = read_result("result.fits")
    >>> result.prediction.quantiles["mh_lw"].shape  # probabilities of `types.QUANTILES`
    (4, 5)
    """
    path = Path(path)
    with _open_result(path) as hdus:
        result = _ResultReader(hdus, path).result()
    check_result(result, path)
    return result


class _ResultReader:
    """Rebuilds a `types.Result` from an open result file."""

    def __init__(self, hdus: fits.HDUList, path: Path) -> None:
        self.hdus = hdus
        self.path = path
        self.names = {h.name.upper(): i for i, h in enumerate(hdus)}
        self.settings, self.own = decode_settings(self._hdu("SETTINGS").data)
        check_own_fields(self.own, path)
        self.table = self._hdu("BINS").data
        self.instrument = restore_instrument(self.own)
        self.has_histories = "MASS_FRAC" in self.table.names

    def _hdu(self, name: str) -> Any:
        if name not in self.names:
            raise SfhInputError(f"{self.path}: extension {name} is missing; the file is damaged, run again")
        return self.hdus[self.names[name]]

    def image(self, name: str) -> NDArray[np.float32]:
        """A float image as native float32, which takes over the memory that astropy read it into."""
        hdu = self._hdu(name)
        data = to_native_float32(hdu.data)
        del hdu.data
        return data

    def column(self, name: str, dtype: type) -> NDArray[Any]:
        if name not in self.table.names:
            raise SfhInputError(f"{self.path}: BINS has no column {name}; the file is damaged, run again")
        return np.ascontiguousarray(self.table[name], dtype=dtype)

    def result(self) -> Result:
        """The whole object."""
        own = self.own
        header = self._hdu("BIN_ID").header
        return Result(
            bins=self.bins(own),
            data=self.data(),
            prediction=self.prediction(),
            model_flux=self.model_flux(),
            model_phot=self.model_phot(),
            chi2=self.column("CHI2", np.float32) if self.has_histories and self.instrument.n_wave else None,
            flag=self.column("FLAG", np.int32),
            white=self.image("WHITE"),
            wcs=fits_access.read_celestial_wcs(header, self.path),
            name=own["name"],
            redshift=own["redshift"],
            model_name=own["model_name"],
            model_sha256=own["model_sha256"],
            settings=self.settings,
            prior=self.prior(),
            misfit={name: self.column(name, np.float32) for name in MISFIT_COLUMNS if name in self.table.names},
        )

    def prior(self) -> dict[str, NDArray[np.float32]]:
        """Quantiles of the prior; empty in files of weights or versions that do not know them."""
        if "PRIOR" not in self.names:
            return {}
        table = self._hdu("PRIOR").data
        quantity = np.array([str(name).strip() for name in table["QUANTITY"]])
        values = np.asarray(table["QUANTILES"], dtype=np.float32)
        scalar = np.asarray(table["AGE_BIN"]) < 0
        names = dict.fromkeys(quantity.tolist())
        return {k: values[quantity == k][0] if scalar[quantity == k][0] else values[quantity == k] for k in names}

    def bins(self, own: Mapping[str, Any]) -> BinMap:
        return BinMap(
            bin_id=np.ascontiguousarray(self._hdu("BIN_ID").data, dtype=np.int32),
            x=self.column("X", np.float64),
            y=self.column("Y", np.float64),
            nspax=self.column("NSPAX", np.int32),
            snr=self.column("BIN_SNR", np.float32),
            target_snr=own["target_snr"],
            method=own["method"],
        )

    def vector(self, name: str, dtype: type, width: int) -> NDArray[Any]:
        """A column of ``width`` numbers a row; empty rows where the width is 0."""
        n = len(self.table)
        return self.column(name, dtype).reshape(n, width) if width else np.zeros((n, 0), dtype=dtype)

    def model_flux(self) -> NDArray[np.float32] | None:
        if not self.has_histories:
            return None
        return self.image("MODEL") if self.instrument.n_wave else np.zeros((len(self.table), 0), np.float32)

    def model_phot(self) -> NDArray[np.float32] | None:
        return self.vector("MODEL_PHOT", np.float32, self.instrument.n_bands) if self.has_histories else None

    def data(self) -> Observation:
        n, width = len(self.table), self.instrument.n_bands
        if self.instrument.n_wave:
            flux, error = self.image("SPECTRUM"), self.image("SPECTRUM_ERR")
        else:
            flux, error = np.zeros((n, 0), np.float32), np.zeros((n, 0), np.float32)
        mask = np.isfinite(flux)
        flux[~mask] = 0.0
        return Observation(
            flux=flux,
            error=error,
            mask=mask,
            phot=self.vector(BAND_VECTORS[0], np.float32, width),
            phot_error=self.vector(BAND_VECTORS[1], np.float32, width),
            phot_mask=self.vector(BAND_VECTORS[2], np.bool_, width),
            norm_cgs=self.column("NORM", np.float64),
            snr=self.column("SNR", np.float32),
            v_kms=self.column("V", np.float32),
            sigma_kms=self.column("SIGMA", np.float32),
            flag=self.column("DATA_FLAG", np.int32),
            instrument=self.instrument,
            redshift=np.full(n, self.own["redshift"], np.float32) if self.instrument.takes_redshift else None,
            added_kms=self.column("SIGMA_ADD", np.float32) if "SIGMA_ADD" in self.table.names else None,
        )

    def age_edges(self) -> NDArray[np.float64]:
        table = self._hdu("AGE_BINS").data
        return np.append(table["AGE_LO"], table["AGE_HI"][-1]).astype(np.float64)

    def prediction(self) -> Prediction:
        quantiles = {n[2:].lower(): self.image(n) for n in self.names if n.startswith("Q_")}
        histories = self.has_histories
        missing = [k for k in MEAN_KEYS.values() if k not in quantiles] if histories else []
        if missing:
            raise SfhInputError(
                f"{self.path}: extension Q_{missing[0].upper()} is missing; the file is damaged, run again"
            )
        return Prediction(
            light_frac=self.column("LIGHT_FRAC", np.float32) if histories else None,
            mass_frac=self.column("MASS_FRAC", np.float32) if histories else None,
            mh=self.column("MH", np.float32) if histories else None,
            quantiles=quantiles,
            ood=self.column("OOD", np.float32),
            latent=self.image("LATENT"),
            age_edges_gyr=self.age_edges() if histories else None,
        )
