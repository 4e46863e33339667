"""pPXF fits of bins as JSON types, for a workspace, and back.

A fit takes seconds to minutes and a package that the next computer may lack, so a workspace keeps what was found, not
only which bins were fitted: about 10 kB a bin, most of it the model spectrum (float32, base64). The four means, A_V,
chi2 and the gas stand in plain numbers. Each fit carries a checksum of the spectrum that it was made of: another run's
bin of the same number is not taken for it.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.comparison.ppxf_fit import PpxfFit
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result

_ARRAYS = ("mass_frac", "light_frac", "mh", "model", "phot_model")
_NUMBERS = ("a_v", "gas_v_kms", "gas_sigma_kms", "chi2", "seconds")


def encode_ppxf_fit(fit: PpxfFit, result: Result) -> dict[str, Any]:
    """A fit as JSON types; NaN becomes None.

    Parameters
    ----------
    fit : PpxfFit
    result : Result
        The one whose bin was fitted.

    Returns
    -------
    dict
        For `decode_ppxf_fit`.
    """
    arrays = {name: _encode_array(getattr(fit, name)) for name in _ARRAYS}
    numbers = {name: _nan_to_none(getattr(fit, name)) for name in _NUMBERS}
    means = {name: _nan_to_none(value) for name, value in fit.means.items()}
    return {
        "bin_id": fit.bin_id,
        "spectrum": compute_spectrum_checksum(result, fit.bin_id),
        "means": means,
        **numbers,
        **arrays,
    }


def decode_ppxf_fit(kept: Mapping[str, Any], result: Result) -> PpxfFit:
    """What `encode_ppxf_fit` kept, if it is of the result's own spectrum.

    Parameters
    ----------
    kept : mapping
        As it was read from a file.
    result : Result

    Returns
    -------
    PpxfFit

    Raises
    ------
    SfhInputError
        A value is missing or damaged, or the result has no such bin, or another spectrum in it.
    """
    try:
        bin_id = int(kept["bin_id"])
        arrays = {name: _decode_array(kept[name]) for name in _ARRAYS}
        numbers: dict[str, Any] = {name: _none_to_nan(kept[name]) for name in _NUMBERS}
        means = {str(name): _none_to_nan(value) for name, value in kept["means"].items()}
        spectrum = kept["spectrum"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SfhInputError(f"pPXF: a kept fit is damaged ({error}); fit the bin again") from error
    if not 1 <= bin_id <= result.bins.n_bins or spectrum != compute_spectrum_checksum(result, bin_id):
        raise SfhInputError(f"pPXF: the kept fit of bin {bin_id} is of another spectrum; fit the bin again")
    return PpxfFit(**{"bin_id": bin_id, "means": means, **numbers, **arrays})


def compute_spectrum_checksum(result: Result, bin_id: int) -> str:
    """CRC-32 of a bin's spectrum as the result file holds it: float32, zero where it is masked.

    Parameters
    ----------
    result : Result
    bin_id : int
        1 to N.

    Returns
    -------
    str
        Eight hexadecimal digits.
    """
    row = bin_id - 1
    flux = np.where(result.data.mask[row], result.data.flux[row], 0)
    return f"{zlib.crc32(np.ascontiguousarray(flux, dtype='<f4').tobytes()):08x}"


def _encode_array(values: NDArray[np.floating]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def _decode_array(text: str) -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float64)


def _nan_to_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _none_to_nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)
