"""Objects that are no bins of a cube, as `types.Observation`: rows of a catalogue, single spectra.

Nothing is invented for what is missing: a band without a measurement, or a part of the spectrum that was not observed,
is masked, and networks read masks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.physics.filters import compute_photometry_scale, measure_photometry_snr
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.observation import MAX_EXCESS_KMS, MAX_MASKED_SHARE
from napari_sfh.prep.rest_frame import shift_to_rest_frame
from napari_sfh.prep.spectra import BinSpectra
from napari_sfh.types import F32, F64, I32, Bool, Flag, Floats, Observation, make_empty_observation


def make_photometry_observation(
    instrument: Instrument, flux_cgs: Floats, error_cgs: Floats, redshift: Floats | float = 0.0
) -> Observation:
    """What the network may see of N objects of which only bands are known.

    Parameters
    ----------
    instrument : Instrument
        Without a spectrum.
    flux_cgs, error_cgs : arrays (N, B)
        f_lambda and its 1 sigma in one unit (erg/s/cm2/AA), in the order of the instrument's bands, corrected for the
        Milky Way. A band counts where flux and error are finite and positive.
    redshift : float or array (N,)
        Beyond the instrument's largest one all bands are masked, and the object is flagged.

    Returns
    -------
    Observation
        ``norm_cgs`` is what the fluxes were divided by; NaN without a band.

    Raises
    ------
    SfhInputError
        The instrument has a spectrum, or arrays have other shapes.

    Examples
    --------
    >>> from napari_sfh.instruments.files import load_instrument
    >>> jpas = load_instrument("jpas")
    >>> flux = np.full((2, jpas.n_bands), 1e-17)
    >>> make_photometry_observation(jpas, flux, 0.1 * flux).snr.tolist()
    [10.0, 10.0]
    """
    if instrument.spectrum is not None:
        raise SfhInputError(f"instrument {instrument.name}: takes spectra; choose weights for bands alone")
    flux, error = (np.asarray(a, dtype=np.float64) for a in (flux_cgs, error_cgs))
    if flux.ndim != 2 or flux.shape != error.shape or flux.shape[1] != instrument.n_bands:
        raise SfhInputError(
            f"photometry of shape {flux.shape} with errors of {error.shape}: give one column for each of the "
            f"{instrument.n_bands} bands of {instrument.name}"
        )
    z = np.broadcast_to(np.asarray(redshift, dtype=np.float32), flux.shape[:1])
    measured = np.isfinite(flux) & np.isfinite(error) & (np.where(np.isfinite(error), error, 0.0) > 0)
    positive = measured & (np.where(measured, flux, 0.0) > 0)
    too_far = ~(z <= instrument.redshift_max)
    mask = positive & ~too_far[:, None]
    scale = compute_photometry_scale(flux, mask, instrument.photometry_norm, instrument.band_names)
    snr = measure_photometry_snr(np.where(mask, flux, 0.0), np.where(mask, error, 0.0), mask)
    per = np.where(np.isfinite(scale), 1.0 / np.where(np.isfinite(scale), scale, 1.0), 0.0)[:, None]
    return replace(
        make_empty_observation(instrument, len(flux)),
        phot=np.where(mask, flux * per, 0.0).astype(np.float32),
        phot_error=np.where(mask, error * per, 0.0).astype(np.float32),
        phot_mask=mask,
        norm_cgs=scale,
        snr=snr.astype(np.float32),
        flag=_flag_bands(mask, measured & ~positive, too_far),
        redshift=z.copy() if instrument.takes_redshift else None,
    )


def _flag_bands(mask: Bool, negative: Bool, too_far: Bool) -> I32:
    """Bits of `types.Flag` that follow from bands, (N,)."""
    flag = np.zeros(len(mask), dtype=np.int32)
    flag[~mask.all(1)] |= int(Flag.MISSING_BAND)
    flag[~mask.any(1)] |= int(Flag.NO_PHOTOMETRY | Flag.NO_SPECTRUM)
    flag[negative.any(1)] |= int(Flag.NEGATIVE_FLUX)
    flag[too_far] |= int(Flag.REDSHIFT)
    return flag


def make_spectra_observation(
    instrument: Instrument, spectra: BinSpectra, redshift: Floats | float, sigma_kms: Floats | float
) -> Observation:
    """What the network may see of N spectra on one observed grid, each at its own redshift; without bands.

    Parameters
    ----------
    instrument : Instrument
    spectra : BinSpectra
        Air wavelengths, with the LSF of the data; corrected for the Milky Way.
    redshift : float or array (N,)
        Of each spectrum, its velocity included.
    sigma_kms : float or array (N,)
        Stellar dispersion without the LSF.

    Returns
    -------
    Observation

    Raises
    ------
    SfhInputError
        The instrument has no spectrum, or kinematics are not finite or not one a spectrum.
    """
    n = spectra.n_bins
    z: F64 = np.broadcast_to(np.asarray(redshift, dtype=np.float64), (n,))
    sigma: F32 = np.broadcast_to(np.asarray(sigma_kms, dtype=np.float32), (n,))
    grid = instrument.grid
    rest = shift_to_rest_frame(spectra, grid, 0.0, (C_KMS * np.log1p(z)).astype(np.float64), sigma)
    flag = np.zeros(n, dtype=np.int32)
    for bit, where in (
        (Flag.MASKED_PIXELS, rest.mask.mean(1) < 1.0 - MAX_MASKED_SHARE),
        (Flag.SIGMA_HIGH, (sigma > grid.sigma_kms) | (rest.excess_kms > MAX_EXCESS_KMS)),
        (Flag.NO_SPECTRUM, ~np.isfinite(rest.norm_cgs)),
        (Flag.MISSING_BAND | Flag.NO_PHOTOMETRY, np.full(n, instrument.n_bands > 0)),
    ):
        flag[where] |= int(bit)
    return replace(
        make_empty_observation(instrument, n),
        flux=rest.flux,
        error=rest.error,
        mask=rest.mask,
        norm_cgs=rest.norm_cgs,
        snr=rest.snr,
        sigma_kms=sigma.copy(),
        flag=flag,
        redshift=z.astype(np.float32) if instrument.takes_redshift else None,
    )
