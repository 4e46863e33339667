"""Stellar velocity and dispersion of the bins: constants, or from a DAP MAPS file.

Velocities are v = c ln(1 + z_v) relative to the systemic redshift, as pPXF and the DAP give them; dispersions are those
of the stars, without the line-spread function.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.grids import check_same_grid
from napari_sfh.types import F32, BinMap, BinnedMaps, Bool

#: Dispersion in km/s of a bin in which none was measured: typical of a disc.
DEFAULT_SIGMA_KMS: float = 60.0
_SIGMA_RANGE_KMS = (1.0, 500.0)
_MAX_V_KMS = 1000.0


class Kinematics(NamedTuple):
    """Stellar kinematics of N bins."""

    v_kms: F32  # (N,) relative to the redshift in use
    sigma_kms: F32  # (N,) without the LSF
    measured: Bool  # (N,) False = a constant or a neighbour's value


def constant(text: str, n_bins: int) -> Kinematics:
    """One velocity and dispersion for all bins, from ``V,SIGMA`` in km/s.

    Raises
    ------
    SfhInputError
        Not two numbers, or sigma not positive.
    """
    try:
        v, sigma = (float(part) for part in text.split(","))
    except ValueError as exc:
        raise SfhInputError(f"--kinematics {text!r}: give maps, ppxf, or two numbers V,SIGMA in km/s") from exc
    if not (abs(v) <= _MAX_V_KMS and _SIGMA_RANGE_KMS[0] <= sigma <= _SIGMA_RANGE_KMS[1]):
        raise SfhInputError(
            f"--kinematics {text!r}: V must lie within {_MAX_V_KMS:.0f} km/s and SIGMA between "
            f"{_SIGMA_RANGE_KMS[0]:.0f} and {_SIGMA_RANGE_KMS[1]:.0f} km/s"
        )
    return fill(np.full(n_bins, v), np.full(n_bins, sigma), np.zeros(n_bins, dtype=bool))


def fill(v_kms: F32, sigma_kms: F32, measured: Bool) -> Kinematics:
    """Kinematics as float32 arrays."""
    return Kinematics(v_kms.astype(np.float32), sigma_kms.astype(np.float32), measured)


def from_maps(maps: BinnedMaps, bins: BinMap, redshift: float, cube_name: str = "the cube") -> Kinematics:
    """Median over each bin's spaxels of the maps' velocity and dispersion.

    Velocities are moved from the maps' redshift to ``redshift``. Bins without a measurement take the median of all
    bins' and are not ``measured``.

    Raises
    ------
    SfhInputError
        The maps lie on another grid, or hold no usable value in any bin.
    """
    check_same_grid(maps.path.name, maps.bin_id.shape, None, cube_name, bins.bin_id.shape, maps.wcs)
    v, sigma = bin_median(maps.v_kms, bins), bin_median(maps.sigma_kms, bins)
    if maps.redshift is not None:
        v = v + C_KMS * np.log((1.0 + maps.redshift) / (1.0 + redshift))
    lo, hi = _SIGMA_RANGE_KMS
    with np.errstate(invalid="ignore"):
        measured = (np.abs(v) <= _MAX_V_KMS) & (sigma >= lo) & (sigma <= hi)
    if not measured.any():
        raise SfhInputError(
            f"{maps.path.name}: V_STARS and SIGMA_STARS hold no usable value in any of {bins.n_bins} bins "
            f"(|V| <= {_MAX_V_KMS:.0f}, sigma {lo:.0f}-{hi:.0f} km/s relative to redshift {redshift:g}); "
            "check --redshift or give --kinematics V,SIGMA"
        )
    return fill(
        np.where(measured, v, np.median(v[measured])),
        np.where(measured, sigma, np.median(sigma[measured])),
        measured,
    )


def bin_median(image: F32, bins: BinMap) -> F32:
    """Median (N,) of an image's finite values over each bin; NaN where there is none."""
    inside = (bins.bin_id > 0) & np.isfinite(image)
    label, value = bins.bin_id[inside] - 1, image[inside].astype(np.float64)
    order = np.lexsort((value, label))
    value, count = value[order], np.bincount(label, minlength=bins.n_bins)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    out = np.full(bins.n_bins, np.nan)
    some = count > 0
    low, high = first[some] + (count[some] - 1) // 2, first[some] + count[some] // 2
    out[some] = 0.5 * (value[low] + value[high])
    return out.astype(np.float32)
