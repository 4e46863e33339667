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

from napari_sfh.analysis.ppxf_bin import PpxfFit
from napari_sfh.errors import SfhInputError
from napari_sfh.types import Result

_ARRAYS = ("mass_frac", "light_frac", "mh", "model", "phot_model")
_NUMBERS = ("a_v", "gas_v_kms", "gas_sigma_kms", "chi2", "seconds")


def pack(fit: PpxfFit, result: Result) -> dict[str, Any]:
    """A fit as JSON types; NaN becomes None."""
    arrays = {name: _text(getattr(fit, name)) for name in _ARRAYS}
    numbers = {name: _number(getattr(fit, name)) for name in _NUMBERS}
    means = {name: _number(value) for name, value in fit.means.items()}
    return {"bin_id": fit.bin_id, "spectrum": checksum(result, fit.bin_id), "means": means, **numbers, **arrays}


def unpack(kept: Mapping[str, Any], result: Result) -> PpxfFit:
    """What `pack` kept, if it is of the result's own spectrum.

    Raises
    ------
    SfhInputError
        A value is missing or damaged, or the result has no such bin, or another spectrum in it.
    """
    try:
        bin_id = int(kept["bin_id"])
        arrays = {name: _array(kept[name]) for name in _ARRAYS}
        numbers: dict[str, Any] = {name: _nan(kept[name]) for name in _NUMBERS}
        means = {str(name): _nan(value) for name, value in kept["means"].items()}
        spectrum = kept["spectrum"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SfhInputError(f"pPXF: a kept fit is damaged ({error}); fit the bin again") from error
    if not 1 <= bin_id <= result.bins.n_bins or spectrum != checksum(result, bin_id):
        raise SfhInputError(f"pPXF: the kept fit of bin {bin_id} is of another spectrum; fit the bin again")
    return PpxfFit(**{"bin_id": bin_id, "means": means, **numbers, **arrays})


def checksum(result: Result, bin_id: int) -> str:
    """CRC-32 of a bin's spectrum as the result file holds it: float32, zero where it is masked."""
    row = bin_id - 1
    flux = np.where(result.data.mask[row], result.data.flux[row], 0)
    return f"{zlib.crc32(np.ascontiguousarray(flux, dtype='<f4').tobytes()):08x}"


def _text(values: NDArray[np.floating]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def _array(text: str) -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float64)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)
