"""Photometry of objects without spectra - rows of a catalogue, spaxels of band images - as `types.Observation`.

Fluxes are divided by the instrument's photometric norm: the median of an object's usable bands, or one band. A flux
that is not positive is left out unless the weights were trained with such (`FeatureSettings.band_scale`).
`CATALOGUE_CALIBRATION_ERROR` is added to the errors in quadrature, since catalogues state those of the counts alone and
training has both; errors that hold it already must say so, or weights that know one level of it call them strange.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.physics.extinction import milky_way_transmission
from napari_sfh.physics.filters import compute_photometry_scale, measure_photometry_snr
from napari_sfh.types import Bool, Flag, Observation, make_empty_observation

#: Calibration error of a band, a share of its flux.
CATALOGUE_CALIBRATION_ERROR: float = 0.015


def make_band_observation(
    instrument: Instrument,
    flux_cgs: NDArray[np.floating],
    error_cgs: NDArray[np.floating],
    mask: Bool,
    *,
    flag: NDArray[np.integer] | int = 0,
    redshift: NDArray[np.floating] | float = 0.0,
    ebv_mw: NDArray[np.floating] | float = 0.0,
    pivot_aa: NDArray[np.floating] | None = None,
    keep_negative: bool = False,
    calibration_error: float = CATALOGUE_CALIBRATION_ERROR,
) -> Observation:
    """What the network may see of N objects.

    Parameters
    ----------
    instrument : Instrument
        Without a spectrum.
    flux_cgs, error_cgs : arrays (N, B)
        Observed f_lambda and its 1 sigma, any common unit.
    mask : boolean array (N, B)
        True = measured.
    flag : int array (N,) or int
        Bits of `types.Flag` that are known already.
    redshift : array (N,) or float
        Beyond the instrument's largest one the object is flagged REDSHIFT and nothing of it is used; likewise where it
        is not a number.
    ebv_mw : array (N,) or float
        Milky Way E(B-V), mag; needs ``pivot_aa``.
    pivot_aa : array (B,), optional
        Pivot wavelengths of the bands as they were observed, Angstrom.
    keep_negative : bool
        Use fluxes that are not positive.
    calibration_error : float
        Share of the flux that is added to the errors in quadrature; 0 where they hold it already.

    Raises
    ------
    SfhInputError
        The instrument has a spectrum, or arrays do not have its bands.
    """
    if instrument.spectrum is not None:
        raise SfhInputError(f"instrument {instrument.name}: has a spectrum; band fluxes alone are not enough for it")
    shape = (len(flux_cgs), instrument.n_bands)
    if np.shape(flux_cgs) != shape or np.shape(error_cgs) != shape or np.shape(mask) != shape:
        raise SfhInputError(f"fluxes {np.shape(flux_cgs)} of instrument {instrument.name}: expected {shape}")
    flux, error = (np.asarray(x, np.float64) for x in (flux_cgs, error_cgs))
    z = np.broadcast_to(np.asarray(redshift, np.float64), shape[:1])
    if pivot_aa is not None and np.any(np.asarray(ebv_mw) > 0):
        passed = _milky_way_transmissions(pivot_aa, np.broadcast_to(np.asarray(ebv_mw, np.float64), shape[:1]))
        flux, error = flux / passed, error / passed
    beyond = ~((z <= instrument.redshift_max) & (z > -0.01))
    good = mask & np.isfinite(flux) & np.isfinite(error) & (error > 0) & ~beyond[:, None]
    if not keep_negative:
        good &= flux > 0
    scale = compute_photometry_scale(flux, good, instrument.photometry_norm, instrument.band_names)
    divisor = np.where(np.isfinite(scale), scale, 1.0)[:, None]
    good &= np.isfinite(scale)[:, None]
    phot = np.where(good, flux / divisor, 0.0).astype(np.float32)
    phot_error = np.where(good, np.hypot(error, calibration_error * flux) / divisor, 0.0).astype(np.float32)
    bits = np.broadcast_to(np.asarray(flag, np.int32), shape[:1]).copy()
    for bit, where in (
        (Flag.MISSING_BAND, ~good.all(1)),
        (Flag.NO_PHOTOMETRY, ~good.any(1)),
        (Flag.NEGATIVE_FLUX, (mask & (flux <= 0)).any(1)),
        (Flag.REDSHIFT, beyond),
    ):
        bits[where] |= int(bit)
    return replace(
        make_empty_observation(instrument, shape[0]),
        phot=phot,
        phot_error=phot_error,
        phot_mask=good,
        norm_cgs=scale,
        snr=measure_photometry_snr(phot, phot_error, good).astype(np.float32),
        flag=bits,
        redshift=z.astype(np.float32) if instrument.takes_redshift else None,
    )


def _milky_way_transmissions(pivot_aa: NDArray[np.floating], ebv: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, B): the law is linear in E(B-V) in magnitudes."""
    unit = -2.5 * np.log10(milky_way_transmission(pivot_aa, 1.0))
    return np.asarray(10 ** (-0.4 * np.nan_to_num(ebv)[:, None] * unit))
