"""Spectra and bands of the bins put together into `types.Observation`, with the flags that say what to doubt.

Photometry beyond the instrument's largest redshift (0.01 for MUSE with HST) is left out: a band then samples light 1 %
and more bluer than the network was trained on, which shifts F275W - F336W colours of old galaxies by more than their
errors, and undoing it needs the spectrum between
the bands, i.e. the answer. Such bins carry REDSHIFT and rest on the spectrum alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.physics.filters import compute_photometry_scale
from napari_sfh.physics.lines import find_stellar_pixels
from napari_sfh.prep.mosaics.photometry import BandFlux
from napari_sfh.prep.rest_frame import RestSpectra
from napari_sfh.types import F32, I32, BinMap, Bool, Flag, Observation

#: Dispersion in km/s, in quadrature, by which a spectrum may exceed the instrument's before it is flagged.
MAX_EXCESS_KMS: float = 20.0
#: A bin counts as below the target under this share of it: vorbin's own scatter around the target is no defect.
LOW_SNR_SHARE = 0.8
#: Share of masked pixels above which a spectrum is flagged.
MAX_MASKED_SHARE: float = 0.1
#: Calibration error of a band, a share of its flux, added to the weight map's error in quadrature (ours): zero points,
#: PSF match and the offset between the two telescopes, which a weight map does not know and training has.
CALIBRATION_ERROR: float = 0.02


def make_observation(
    rest: RestSpectra,
    photometry: Mapping[str, BandFlux | tuple[F32, F32]],
    bins: BinMap,
    instrument: Instrument,
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
    instrument : Instrument
        On whose grid the spectra are.
    v_kms, sigma_kms : float or arrays (N,)
    redshift : float
    default_kinematics : bool or boolean array (N,)
        True where velocity and dispersion were not measured in the bin.
    other_camera : names of bands
        Bands that another camera's or another filter's image stands in for.

    Returns
    -------
    Observation

    Raises
    ------
    SfhInputError
        A band is unknown, or arrays do not have one value a bin.
    """
    n = bins.n_bins
    if rest.flux.shape[0] != n:
        raise SfhInputError(f"spectra of {rest.flux.shape[0]} bins for a bin map of {n}: extract them with this map")
    _check_photometry(photometry, n, instrument.band_names)
    phot, phot_error, phot_mask, negative = _normalise_bands(rest, photometry, redshift, instrument)
    sigma = np.broadcast_to(np.asarray(sigma_kms, dtype=np.float32), (n,)).copy()
    others = [instrument.band_names.index(band) for band in other_camera]
    flag = _compute_flags(rest, bins, phot_mask, sigma, instrument)
    flag |= np.where(np.any(phot_mask[:, others], axis=1), int(Flag.OTHER_CAMERA), 0)
    flag |= int(Flag.REDSHIFT) if instrument.n_bands and redshift > instrument.redshift_max else 0
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
        instrument=instrument,
        redshift=np.full(n, redshift, dtype=np.float32) if instrument.takes_redshift else None,
        added_kms=rest.added_kms,
    )


def describe_excess(rest: RestSpectra, instrument: Instrument) -> tuple[str, ...]:
    """A note where spectra are broader than the instrument's, even before anything is done to them.

    Parameters
    ----------
    rest : RestSpectra
    instrument : Instrument

    Returns
    -------
    tuple of str
        Empty where no bin is too broad.
    """
    too_broad = rest.excess_kms > MAX_EXCESS_KMS
    if not too_broad.any():
        return ()
    typical = float(np.median(rest.excess_kms[too_broad]))
    return (
        f"spectra of {int(too_broad.sum())} of {too_broad.size} bins are broader than what the weights know "
        f"({instrument.grid.sigma_kms:g} km/s at the LSF of {instrument.name}), by {typical:.0f} km/s in quadrature "
        f"(median): they stay so, and are flagged ({int(Flag.SIGMA_HIGH)}). Their [M/H] come out too low, and no "
        "interval holds that: with `wide` by 0.1 dex at 170 km/s, 0.2 at 200, 0.4 at 250 and 0.6 at 300. Leave "
        "[M/H] of these bins out, or take it from a fit at their own width (pPXF)",
    )


def mask_gas_lines(data: Observation) -> Observation:
    """The same bins with the pixels on gas lines (`physics.lines.find_stellar_pixels`) masked.

    For galaxies whose gas is not lit by young stars (active nuclei, LINERs, shocks): the network has learnt lines of
    H II regions, and takes others for young stars too.
    """
    mask = data.mask & find_stellar_pixels(data.instrument.wave_aa)
    return replace(data, mask=mask, flux=np.where(mask, data.flux, 0.0).astype(np.float32))


def _compute_flags(rest: RestSpectra, bins: BinMap, phot_mask: Bool, sigma_kms: F32, instrument: Instrument) -> I32:
    """Bits of `types.Flag` that follow from spectra, bins and bands, (N,)."""
    n = bins.n_bins
    flag = np.zeros(n, dtype=np.int32)
    for bit, where in (
        (Flag.LOW_SNR, rest.snr < LOW_SNR_SHARE * bins.target_snr),
        (Flag.MISSING_BAND, ~phot_mask.all(1)),
        (Flag.NO_PHOTOMETRY, ~phot_mask.any(1) & (instrument.n_bands > 0)),
        (Flag.MASKED_PIXELS, rest.mask.mean(1) < 1.0 - MAX_MASKED_SHARE),
        (Flag.SIGMA_HIGH, (sigma_kms > instrument.grid.sigma_kms) | (rest.excess_kms > MAX_EXCESS_KMS)),
        (Flag.SINGLE_SPAXEL, bins.nspax == 1),
        (Flag.NO_SPECTRUM, ~np.isfinite(rest.norm_cgs)),
    ):
        flag[where] |= int(bit)
    return flag


def _check_photometry(photometry: Mapping[str, BandFlux | tuple[F32, F32]], n: int, bands: tuple[str, ...]) -> None:
    for band, values in photometry.items():
        if band not in bands:
            raise SfhInputError(f"band {band!r} is unknown: the network knows {', '.join(bands) or 'no bands'}")
        for array in values:
            if np.shape(array) != (n,):
                raise SfhInputError(f"band {band}: photometry of shape {np.shape(array)} for {n} bins")


def _normalise_bands(
    rest: RestSpectra, photometry: Mapping[str, BandFlux | tuple[F32, F32]], redshift: float, instrument: Instrument
) -> tuple[F32, F32, Bool, Bool]:
    """Bands over the instrument's norm, errors, mask, each (N, B), and where a band was left out as not positive."""
    shape = n, n_bands = rest.norm_cgs.size, instrument.n_bands
    phot, error = (np.zeros(shape) for _ in range(2))
    mask, negative = np.zeros((n, n_bands), dtype=bool), np.zeros(n, dtype=bool)
    norm = np.where(np.isfinite(rest.norm_cgs), rest.norm_cgs, 1.0)
    for band, (flux, sigma) in photometry.items():
        k = instrument.band_names.index(band)
        flux, sigma = np.asarray(flux, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
        measured = np.isfinite(flux) & np.isfinite(sigma) & (sigma > 0)
        positive = np.where(measured, flux, 0.0) > 0
        if redshift <= instrument.redshift_max:
            negative |= measured & ~positive
            mask[:, k] = measured & positive & np.isfinite(rest.norm_cgs)
        phot[:, k] = np.where(mask[:, k], flux / norm, 0.0)
        error[:, k] = np.where(mask[:, k], np.hypot(sigma, CALIBRATION_ERROR * flux) / norm, 0.0)
    if instrument.photometry_norm != "spectrum":
        scale = compute_photometry_scale(phot, mask, instrument.photometry_norm, instrument.band_names)
        per = np.where(np.isfinite(scale), 1.0 / scale, 1.0)[:, None]
        phot, error = phot * per, error * per
    return phot.astype(np.float32), error.astype(np.float32), mask, negative
