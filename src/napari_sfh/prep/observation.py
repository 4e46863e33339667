"""Spectra and bands of the bins put together into `types.Observation`, with the flags that say what to doubt.

Photometry beyond z = 0.01 is left out: a band then samples light 1 % and more bluer than the network was trained on,
which shifts F275W - F336W colours of old galaxies by more than their errors, and undoing it needs the spectrum between
the bands, i.e. the answer. Such bins carry REDSHIFT and rest on the spectrum alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.lines import STELLAR_PIXELS
from napari_sfh.physics.wavelength import SIGMA_TARGET_KMS
from napari_sfh.prep.mosaics.photometry import BandFlux
from napari_sfh.prep.rest_frame import RestSpectra
from napari_sfh.types import BANDS, F32, I32, BinMap, Bool, Flag, Observation

#: Redshift above which the bands are not used.
MAX_PHOTOMETRY_REDSHIFT: float = 0.01
#: A bin counts as below the target under this share of it: vorbin's own scatter around the target is no defect.
_LOW_SNR_SHARE = 0.8
_MAX_MASKED = 0.1
#: Calibration error of a band, a share of its flux, added to the weight map's error in quadrature (ours): zero points,
#: PSF match and the offset between the two telescopes, which a weight map does not know and training has.
CALIBRATION_ERROR: float = 0.02


def make_observation(
    rest: RestSpectra,
    photometry: Mapping[str, BandFlux | tuple[F32, F32]],
    bins: BinMap,
    v_kms: F32 | float,
    sigma_kms: F32 | float,
    redshift: float,
    default_kinematics: Bool | bool = False,
    other_camera: Collection[str] = (),
) -> Observation:
    """What the network may see of N bins.

    Parameters
    ----------
    rest : RestSpectra
    photometry : mapping band -> (flux_cgs (N,), error_cgs (N,))
        Observed f_lambda of the bins, corrected for the Milky Way where the spectra are. Absent bands are masked.
    bins : BinMap
    v_kms, sigma_kms : float or arrays (N,)
    redshift : float
    default_kinematics : bool or boolean array (N,)
        True where velocity and dispersion were not measured in the bin.
    other_camera : names of bands
        Bands that another camera's or another filter's image stands in for.

    Returns
    -------
    BinData

    Raises
    ------
    SfhInputError
        A band is unknown, or arrays do not have one value a bin.
    """
    n = bins.n_bins
    if rest.flux.shape[0] != n:
        raise SfhInputError(f"spectra of {rest.flux.shape[0]} bins for a bin map of {n}: extract them with this map")
    _check_photometry(photometry, n)
    phot, phot_error, phot_mask, negative = _normalise_bands(rest, photometry, redshift)
    sigma = np.broadcast_to(np.asarray(sigma_kms, dtype=np.float32), (n,)).copy()
    others = [BANDS.index(band) for band in other_camera]
    flag = _compute_flags(rest, bins, phot_mask, sigma, redshift, np.any(phot_mask[:, others], axis=1))
    flag |= np.where(negative, int(Flag.NEGATIVE_FLUX), 0)
    flag |= np.where(default_kinematics, int(Flag.DEFAULT_KINEMATICS), 0)
    return Observation(
        flux=rest.flux,
        error=rest.error,
        mask=rest.mask,
        phot=phot,
        phot_error=phot_error,
        phot_mask=phot_mask,
        norm_cgs=rest.norm_cgs,
        snr=rest.snr,
        v_kms=np.broadcast_to(np.asarray(v_kms, dtype=np.float32), (n,)).copy(),
        sigma_kms=sigma,
        flag=flag,
    )


def mask_gas_lines(data: Observation) -> Observation:
    """The same bins with the pixels on gas lines (`physics.lines.STELLAR_PIXELS`) masked.

    For galaxies whose gas is not lit by young stars (active nuclei, LINERs, shocks): the network has learnt lines of
    H II regions, and takes others for young stars too.
    """
    mask = data.mask & STELLAR_PIXELS
    return replace(data, mask=mask, flux=np.where(mask, data.flux, 0.0).astype(np.float32))


def _compute_flags(
    rest: RestSpectra, bins: BinMap, phot_mask: Bool, sigma_kms: F32, redshift: float, other: Any
) -> I32:
    """Bits of `types.Flag` that follow from spectra, bins and bands, (N,)."""
    n = bins.n_bins
    flag = np.zeros(n, dtype=np.int32)
    for bit, where in (
        (Flag.LOW_SNR, rest.snr < _LOW_SNR_SHARE * bins.target_snr),
        (Flag.MISSING_BAND, ~phot_mask.all(1)),
        (Flag.NO_PHOTOMETRY, ~phot_mask.any(1)),
        (Flag.MASKED_PIXELS, rest.mask.mean(1) < 1.0 - _MAX_MASKED),
        (Flag.SIGMA_HIGH, sigma_kms > SIGMA_TARGET_KMS),
        (Flag.REDSHIFT, np.full(n, redshift > MAX_PHOTOMETRY_REDSHIFT)),
        (Flag.OTHER_CAMERA, other),
        (Flag.SINGLE_SPAXEL, bins.nspax == 1),
        (Flag.NO_SPECTRUM, ~np.isfinite(rest.norm_cgs)),
    ):
        flag[where] |= int(bit)
    return flag


def _check_photometry(photometry: Mapping[str, BandFlux | tuple[F32, F32]], n: int) -> None:
    for band, values in photometry.items():
        if band not in BANDS:
            raise SfhInputError(f"band {band!r} is unknown: the network knows {', '.join(BANDS)}")
        for array in values:
            if np.shape(array) != (n,):
                raise SfhInputError(f"band {band}: photometry of shape {np.shape(array)} for {n} bins")


def _normalise_bands(
    rest: RestSpectra, photometry: Mapping[str, BandFlux | tuple[F32, F32]], redshift: float
) -> tuple[F32, F32, Bool, Bool]:
    """Bands over the spectra's norm, errors, mask, each (N, B), and where a band was left out as not positive."""
    n = rest.norm_cgs.size
    phot, error = (np.zeros((n, len(BANDS)), dtype=np.float32) for _ in range(2))
    mask, negative = np.zeros((n, len(BANDS)), dtype=bool), np.zeros(n, dtype=bool)
    norm = np.where(np.isfinite(rest.norm_cgs), rest.norm_cgs, 1.0)
    for band, (flux, sigma) in photometry.items():
        k = BANDS.index(band)
        flux, sigma = np.asarray(flux, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
        measured = np.isfinite(flux) & np.isfinite(sigma) & (sigma > 0)
        positive = np.where(measured, flux, 0.0) > 0
        if redshift <= MAX_PHOTOMETRY_REDSHIFT:
            negative |= measured & ~positive
            mask[:, k] = measured & positive & np.isfinite(rest.norm_cgs)
        phot[:, k] = np.where(mask[:, k], flux / norm, 0.0)
        error[:, k] = np.where(mask[:, k], np.hypot(sigma, CALIBRATION_ERROR * flux) / norm, 0.0)
    return phot, error, mask, negative
