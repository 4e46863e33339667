"""A result that was read back, held against itself: shapes, bin numbers and ranges, whatever its checksums say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result

#: Ranges of what is physical: log10 yr, dex, mag, km/s, S/N, reduced chi2.
_RANGES: Mapping[str, tuple[float, float]] = {
    "lg_age_mw": (4.0, 11.0), "lg_age_lw": (4.0, 11.0),
    "mh_mw": (-10.0, 10.0), "mh_lw": (-10.0, 10.0), "mh": (-10.0, 10.0),
    "light_frac": (-0.01, 1.01), "mass_frac": (-0.01, 1.01), "cum_mass": (-0.01, 1.01),
}  # fmt: skip
_HISTORIES = ("light_frac", "mass_frac", "mh")
#: Names and JSON types of the fields that the file keeps of its own.
_OWN: Mapping[str, tuple[type, ...]] = {
    "name": (str,), "redshift": (int, float), "model_name": (str,), "model_sha256": (str,), "method": (str,),
    "target_snr": (int, float),
}  # fmt: skip


def check_own_fields(own: Any, path: Path) -> None:
    """Refuse a table SETTINGS whose own fields are missing or of another type.

    Parameters
    ----------
    own : mapping
        What the table SETTINGS holds for the package itself.
    path : Path
        For messages.

    Raises
    ------
    SfhInputError
        Names the field.
    """
    for name, types in _OWN.items():
        value = own.get(name)
        if not isinstance(value, types) or isinstance(value, bool):
            raise SfhInputError(f"{path}: SETTINGS has {name} = {str(value)[:60]!r}; the file is damaged, run again")
    for name in ("redshift", "target_snr"):
        if not np.isfinite(own[name]) or abs(own[name]) > 1e6:
            raise SfhInputError(f"{path}: SETTINGS has {name} = {own[name]!r}; the file is damaged, run again")


def check_result(result: Result, path: Path) -> None:
    """Refuse a result whose parts do not belong together, or hold numbers that no run writes.

    Parameters
    ----------
    result : Result
        As it was read.
    path : Path
        For messages.

    Raises
    ------
    SfhInputError
        Names the extension or column.
    """
    for problem in _find_problems(result):
        raise SfhInputError(f"{path}: {problem}; the file is damaged or altered, run again")


def _find_problems(result: Result) -> Iterator[str]:
    n = len(result.bins.x)
    shape = result.bins.bin_id.shape
    if len(shape) != 2 or result.white.shape != shape:
        yield f"BIN_ID is {shape} and WHITE {result.white.shape}: not one map"
        return
    numbers, counts = np.unique(result.bins.bin_id[result.bins.bin_id != 0], return_counts=True)
    if numbers.size != n or n == 0 or numbers[0] != 1 or numbers[-1] != n:
        yield f"BIN_ID has {numbers.size} bins and BINS {n} rows, or numbers that are not 1..{n}"
        return
    if np.any(result.bins.nspax != counts):
        yield "NSPAX of BINS differs from the spaxels of BIN_ID"
    for name, values, axes in _per_bin(result):
        if values.ndim != axes or values.shape[0] != n:
            yield f"{name} has the shape {values.shape} for {n} bins"
            return
    yield from _check_spectra(result)
    yield from _check_numbers(result)


def _per_bin(result: Result) -> Iterator[tuple[str, NDArray[Any], int]]:
    data, prediction = result.data, result.prediction
    columns: dict[str, NDArray[Any] | None] = {
        "SNR": data.snr,
        "V": data.v_kms,
        "SIGMA": data.sigma_kms,
        "SIGMA_ADD": data.added_kms,
        "NORM": data.norm_cgs,
        "CHI2": result.chi2,
        **result.misfit,
    }
    columns |= {"FLAG": result.flag, "DATA_FLAG": data.flag, "OOD": prediction.ood, "Y": result.bins.y}
    yield from ((name, values, 1) for name, values in columns.items() if values is not None)
    tables: dict[str, NDArray[Any] | None] = {
        "SPECTRUM": data.flux,
        "SPECTRUM_ERR": data.error,
        "MODEL": result.model_flux,
        "PHOT": data.phot,
    }
    tables |= {name.upper(): values for name, values in _histories(result).items()}
    tables["LATENT"] = prediction.latent
    yield from ((name, values, 2) for name, values in tables.items() if values is not None)
    for name, values in prediction.quantiles.items():
        yield f"Q_{name.upper()}", values, 3 if name in (*_HISTORIES, "cum_mass") else 2


def _histories(result: Result) -> dict[str, NDArray[Any]]:
    """Quantities with a value per age bin, where the weights predict some."""
    values = {name: getattr(result.prediction, name) for name in _HISTORIES}
    return {name: value for name, value in values.items() if value is not None}


def _check_spectra(result: Result) -> Iterator[str]:
    data, prediction = result.data, result.prediction
    bands = {
        "PHOT_ERR": data.phot_error.shape,
        "PHOT_MASK": data.phot_mask.shape,
        "MODEL_PHOT": data.phot.shape if result.model_phot is None else result.model_phot.shape,
    }
    for name, shape in bands.items():
        if shape != data.phot.shape:
            yield f"{name} is {shape} but PHOT {data.phot.shape}"
    if data.phot.shape[1] != len(data.bands):
        yield f"PHOT has {data.phot.shape[1]} bands but SETTINGS {len(data.bands)}"
    if len(shapes := {values.shape for values in _histories(result).values()}) > 1:
        yield f"LIGHT_FRAC, MASS_FRAC and MH have the shapes {sorted(shapes)}"
    for name, values in prediction.quantiles.items():
        if values.shape[-1] != 5:
            yield f"Q_{name.upper()} has {values.shape[-1]} quantiles, not 5"
    channels = {"SPECTRUM": data.flux, "SPECTRUM_ERR": data.error, "MODEL": result.model_flux}
    for name, spectra in channels.items():
        if spectra is not None and spectra.shape[1] != data.instrument.n_wave:
            yield f"{name} has {spectra.shape[1]} channels, the instrument {data.instrument.n_wave}"
    yield from _check_age_bins(result)


def _check_age_bins(result: Result) -> Iterator[str]:
    """Histories, their quantiles and priors, and the ages themselves belong to the same age bins."""
    prediction = result.prediction
    if prediction.mass_frac is None or prediction.age_edges_gyr is None:
        return
    edges, n_ages = prediction.age_edges_gyr, prediction.mass_frac.shape[1]
    if len(edges) != n_ages + 1 or not np.all(np.diff(edges) > 0):
        yield f"AGE_BINS has {len(edges) - 1} ages, or such as do not rise; MASS_FRAC has {n_ages}"
    of_bins = {
        f"Q_{name.upper()}": values.shape[1] for name, values in prediction.quantiles.items() if values.ndim == 3
    }
    of_bins |= {f"PRIOR of {name}": len(values) for name, values in result.prior.items() if values.ndim == 2}
    yield from (
        f"{name} has {found} age bins, MASS_FRAC {n_ages}" for name, found in of_bins.items() if found != n_ages
    )


def _check_numbers(result: Result) -> Iterator[str]:
    prediction, bins = result.prediction, result.bins
    ny, nx = bins.bin_id.shape
    if not (
        np.all(np.abs(bins.x - (nx - 1) / 2) <= nx / 2 + 1) and np.all(np.abs(bins.y - (ny - 1) / 2) <= ny / 2 + 1)
    ):
        yield "X, Y of BINS lie outside the map"
    if np.any(result.flag < 0) or np.any(result.data.flag < 0):
        yield "FLAG holds negative numbers"
    for name, values in _histories(result).items():
        yield from _out_of_range(name.upper(), values, *_RANGES[name])
    for name, values in prediction.quantiles.items():
        if name in _RANGES:
            yield from _out_of_range(f"Q_{name.upper()}", values, *_RANGES[name])
        with np.errstate(invalid="ignore"):
            if np.any(np.diff(values, axis=-1) < -1e-3):
                yield f"Q_{name.upper()} holds quantiles that fall"
    finite = {
        "NORM": np.isinf(result.data.norm_cgs),
        "SNR": np.isinf(result.data.snr),
        "SPECTRUM": np.isinf(result.data.flux),
        "LATENT": np.isinf(prediction.latent),
        "OOD": np.isinf(prediction.ood),
    }
    yield from (f"{name} holds infinite numbers" for name, infinite in finite.items() if infinite.any())


def _out_of_range(name: str, values: NDArray[Any], low: float, high: float) -> Iterator[str]:
    with np.errstate(invalid="ignore"):
        wrong = (values < low) | (values > high) | np.isinf(values)
    if wrong.any():
        yield f"{name} holds {float(values[wrong][0]):g}, outside {low:g}..{high:g}"
