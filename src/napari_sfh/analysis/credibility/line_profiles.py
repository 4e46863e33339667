"""Whether the lines of the stars lie where a model has them, and are as wide: two score tests.

The residual that a small error of the velocity or of the width leaves is known: data over model differ by a multiple of
a derivative of the model,

    velocity v:           - v (d ln f / d ln lambda) / c
    width, s^2 in excess: s^2 / 2 (d^2 f / d (ln lambda)^2) / (c^2 f)

so that a sum over the pixels measures v and s^2, and its own error says how far it is from none. Lines that are all too
weak or too strong (a third multiple, of the model less its mean in each step) are fitted beside it. What the models of
galaxies miss anyway, stars of another abundance pattern above all, lies in few directions, which are known from the
prior and taken out of the residual and of the derivatives.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.types import F32, F64, Bool

#: Median velocity (km/s) and squared width (km/s)^2 of all bins of a field beyond which they are told, if they are so
#: many standard errors of the median, of so many bins. Foreign libraries give 2 km/s and 600 (km/s)^2.
_FIELD_KMS, _FIELD_KMS2, _FIELD_SIGMAS, _FIELD_BINS = 20.0, 3000.0, 4.0, 3
#: Standard error of a median over the median deviation, for one value.
_MEDIAN_ERROR = 1.2533 * SIGMA_PER_MAD
#: What a model misses in a pixel whatever the noise, a share of the light.
_FLOOR = 0.003


class LineProfiles(NamedTuple):
    """How far the lines are from a model's; NaN where it cannot be told."""

    shift: F64  # (N,) velocity in its standard errors
    width: F64  # (N,) excess of the squared width in its standard errors
    shift_kms: F64  # (N,) velocity of the data against the model
    excess_kms2: F64  # (N,) squared width of the data less that of the model


class FineResiduals(NamedTuple):
    """Residuals of N spectra without what is broader than a step of some 100 Angstrom."""

    residual: F32  # (N, W) data over model less its mean in each step; 0 where not used
    variance: F32  # (N, W) of an independent pixel
    used: Bool  # (N, W)
    onto: F32  # (W, S) one where a pixel lies in a step
    number: F64  # (N, S) used pixels of each step, NaN where there are too few


def score_line_profiles(fine: FineResiduals, model_flux: F32, wave_aa: F64, directions: F32) -> LineProfiles:
    """Score tests of velocity and width.

    Parameters
    ----------
    fine : FineResiduals
        Of N spectra.
    model_flux : array (N, W)
        Positive and finite where pixels are used.
    wave_aa : array (W,)
        Rest frame, Angstrom, evenly spaced.
    directions : array (K, W)
        Orthonormal residuals that models of galaxies have anyway; K may be 0.

    Returns
    -------
    LineProfiles
    """
    weight = fine.used / (fine.variance + np.float32(_FLOOR**2))
    model = _clean_model(fine, model_flux)
    depth = _take_out(_measure_depth(fine, model), directions)
    residual = _take_out(fine.residual.copy(), directions)
    depth_weight = weight * depth
    depth2 = _sum_products(depth_weight, depth)
    found = []
    for template in _derive_templates(model, wave_aa):
        _take_out(template, directions)
        with np.errstate(invalid="ignore", divide="ignore"):
            along = _sum_products(depth_weight, template) / depth2
            template -= along[:, None].astype(np.float32) * depth
            weighted = weight * template
            information = _sum_products(weighted, template)
            size = _sum_products(weighted, residual) / information
        found.append((size * np.sqrt(information), size))
    (shift, shift_kms), (width, excess) = found
    return LineProfiles(shift, width, shift_kms, excess)


def describe_common_profiles(shift_kms: F64, excess_kms2: F64) -> tuple[str, ...]:
    """Notes on a velocity or a width that is wrong in the whole field; empty where there is none.

    Parameters
    ----------
    shift_kms, excess_kms2 : arrays (N,)
        Of the bins, NaN where they are not known; see `LineProfiles`.
    """
    notes = []
    velocity = _find_common_value(shift_kms, _FIELD_KMS)
    if velocity:
        notes.append(
            f"the lines of the stars lie {velocity:+.0f} km/s from those of the models in the median bin: look at the "
            "redshift, the velocities, and whether wavelengths are those in air"
        )
    excess = _find_common_value(excess_kms2, _FIELD_KMS2)
    if excess:
        wide = "broader" if excess > 0 else "narrower"
        notes.append(
            f"the lines of the stars are {np.sqrt(abs(excess)):.0f} km/s (in quadrature) {wide} than those of the "
            "models in the median bin: look at the dispersions and the line-spread function"
        )
    return tuple(notes)


def _find_common_value(values: F64, least: float) -> float:
    """The median of the known values (N,) if it is beyond ``least`` and no accident; else 0."""
    known = values[np.isfinite(values)]
    if known.size < _FIELD_BINS:
        return 0.0
    middle = float(np.median(known))
    error = _MEDIAN_ERROR * float(np.median(np.abs(known - middle))) / np.sqrt(known.size)
    return middle if abs(middle) > max(least, _FIELD_SIGMAS * error) else 0.0


def find_common_residuals(fine: FineResiduals, model_flux: F32, n: int, largest: float) -> F32:
    """The directions (n, W) in which models of galaxies miss most, orthonormal.

    Parameters
    ----------
    fine : FineResiduals
        Of N galaxies almost without noise.
    model_flux : array (N, W)
    n : int
        Directions.
    largest : float
        Residuals count no more than this, a share of the light.
    """
    depth = _measure_depth(fine, _clean_model(fine, model_flux))
    size = _sum_products(depth, fine.residual) / np.maximum(_sum_products(depth, depth), 1e-12)
    residual = fine.residual - size[:, None].astype(np.float32) * depth
    residual = np.clip(residual, -largest, largest) * (fine.used.mean(0) > 0.5)
    values, vectors = np.linalg.eigh((residual.T @ residual).astype(np.float64))
    return np.asarray(vectors[:, np.argsort(values)[::-1][:n]].T, np.float32)


def _clean_model(fine: FineResiduals, model_flux: F32) -> F32:
    """The models with a positive number in each pixel."""
    model = np.maximum(model_flux, np.float32(1e-6))
    if not np.isfinite(model.sum()):
        model = np.where(np.isfinite(model), model, np.float32(1))
    return model.astype(np.float32, copy=False)


def _measure_depth(fine: FineResiduals, model: F32) -> F32:
    """Residual (N, W) of lines that are stronger by their own depth: the model less its mean in each step."""
    level = np.nan_to_num(((model * fine.used) @ fine.onto) / fine.number, nan=1.0).astype(np.float32)
    depth = model * np.repeat(1 / level, fine.onto.sum(0).astype(int), axis=1)
    depth -= 1
    depth *= fine.used
    return depth


def _derive_templates(model: F32, wave_aa: F64) -> tuple[F32, F32]:
    """Residuals (N, W) per km/s of velocity and per (km/s)^2 of width."""
    per_kms = (wave_aa / np.gradient(wave_aa) / C_KMS).astype(np.float32)  # pixels
    ahead, behind = model[:, 2:], model[:, :-2]
    half = np.zeros_like(model)
    np.divide(np.float32(0.5) * per_kms[1:-1], model[:, 1:-1], out=half[:, 1:-1])
    velocity, curvature = half.copy(), half
    velocity[:, 1:-1] *= behind - ahead
    curvature *= per_kms
    curvature[:, 1:-1] *= behind + ahead - 2 * model[:, 1:-1]
    return velocity, curvature


def _take_out(values: F32, directions: F32) -> F32:
    """What is left of rows (N, W); they are changed."""
    if len(directions):
        values -= (values @ directions.T) @ directions
    return values


def _sum_products(a: F32, b: F32) -> F64:
    return np.einsum("ij,ij->i", a, b).astype(np.float64)
