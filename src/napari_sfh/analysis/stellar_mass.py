r"""Masses, star-formation rates and formation times of bins in absolute units.

A bin's mean flux density in the window of normalisation (5300-5500 AA) gives its V band, its diffuse dust is undone,
the Sun gives the unit:

    L_V = 4 pi D^2 (1 + z) f_lambda W exp(tau_w) / L_lambda,sun(V),      M = L_V (M/L)_V

where W = (lambda_w / 5477 AA)^1.8 = 0.975 is V over the window (stars of the templates: 0.96 young to 0.99 old), tau_w
the dust at the window's middle lambda_w, 1.3 % thicker than in V, D is the luminosity distance and (M/L)_V the mass
*formed* over the intrinsic V light, with the IMF of the templates (Kroupa for BC03-MILES): no mass that dying stars
return is taken off. Per area the distance drops out, since a bin of solid angle Omega (steradian) covers
Omega D^2 / (1 + z)^4:

    Sigma = 4 pi f_lambda (1 + z)^5 W exp(tau_w) (M/L)_V / (L_lambda,sun Omega)

Birth clouds dim stars below 10 Myr further; their light is not corrected, which leaves their mass, and so a recent
star-formation rate, too low where the clouds are thick. The continuum of the nebula counts as light of stars, a fifth
of that of stars below 10 Myr (three fifths at the lowest metallicity) and nothing of older ones.

References: M_V,sun = 4.80 (AB; Willmer 2018, ApJS 236, 47), V pivot 5477 AA.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.arrays import F64
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import AGE_EDGES_GYR, limit_age_edges
from napari_sfh.physics.dust import dust_transmission
from napari_sfh.physics.filters import AB_ZERO, PARSEC_CM, SUN_V_AB
from napari_sfh.physics.formation import compute_formation_times, sum_mass_from_oldest
from napari_sfh.physics.hst_psf import ARCSEC_PER_RADIAN
from napari_sfh.physics.wavelength import C_AA_S
from napari_sfh.types import Result, measure_pixel_arcsec

#: Pivot wavelength of the V band in Angstrom, and how far the middle of the normalisation window may lie from it.
SUN_V_AA, _WINDOW_REACH_AA = 5477.0, 250.0
#: f_lambda of stars falls with this power of the wavelength from the window to V: 3 for young ones, 0.7 for old ones.
_STARS_FALL = 1.8


def solar_v_luminosity() -> float:
    """Luminosity density of the Sun in V, erg/s/AA."""
    flux_nu = 10 ** (-0.4 * (SUN_V_AB - AB_ZERO))
    return float(4 * np.pi * (10 * PARSEC_CM) ** 2 * flux_nu * C_AA_S / SUN_V_AA**2)


def measure_bin_area(result: Result) -> F64:
    """Area of each bin on the sky, arcsec^2, (N,)."""
    spaxel = measure_pixel_arcsec(result.wcs) ** 2
    return np.asarray(result.bins.nspax, dtype=float) * spaxel


def _intrinsic_flux(result: Result) -> F64:
    """Flux density in V without the galaxy's diffuse dust, erg/s/cm2/AA, (N,)."""
    grid = result.instrument.spectrum
    middle_aa = float("nan") if grid is None else float(np.mean(grid.norm_window_aa))
    if not abs(middle_aa - SUN_V_AA) <= _WINDOW_REACH_AA:
        raise SfhInputError(
            f"instrument {result.instrument.name}: its spectra are not normalised near V ({SUN_V_AA:g} AA), by which "
            "masses and rates are measured; use weights with such a window"
        )
    tau = np.asarray(result.prediction.median("tau_ism"), dtype=float)
    starlight = np.asarray(result.data.norm_cgs, dtype=float) / dust_transmission(np.array([middle_aa]), tau)[:, 0]
    return starlight * (middle_aa / SUN_V_AA) ** _STARS_FALL


def compute_light_density(result: Result) -> F64:
    """Intrinsic V-band luminosity per area in the plane of the sky, Lsun/kpc^2, (N,).

    Raises
    ------
    SfhInputError
        The instrument's spectra are not normalised near V.
    """
    solid_angle = measure_bin_area(result) / ARCSEC_PER_RADIAN**2
    brightness = 4 * np.pi * _intrinsic_flux(result) * (1 + result.redshift) ** 5 / solid_angle
    return np.asarray(brightness * (1e3 * PARSEC_CM) ** 2 / solar_v_luminosity())


def compute_mass_density(result: Result) -> F64:
    """Stellar mass formed per area, Msun/kpc^2, (N,).

    Raises
    ------
    SfhInputError
        As `compute_light_density`.
    """
    ratio = 10 ** np.asarray(result.prediction.median("lg_ml_v"), dtype=float)
    return compute_light_density(result) * ratio


def estimate_mass_error(result: Result) -> F64:
    """Half of the 16-84 % width of the logarithm of a bin's mass, dex, (N,); NaN without. The flux counts as known.

    Dust and M/L are taken as independent. They work against each other: the posterior's own draws are narrower, by a
    median factor of 1.13 in the mock galaxy.

    Parameters
    ----------
    result : Result
        N bins, of weights for histories.
    """
    prediction = result.prediction
    ratio, dust = prediction.half_width("lg_ml_v"), math.log10(math.e) * prediction.half_width("tau_ism")
    return np.where(compute_mass_density(result) > 0, np.hypot(ratio, dust), np.nan)


def estimate_sfr_error(result: Result, lookback_gyr: float) -> F64:
    """Half of the 16-84 % width of the logarithm of a bin's rate over ``lookback_gyr``, dex, (N,); NaN without.

    From the light of the age bins that are young enough, each with its own interval, and the dust, all taken as
    independent: 0.89 of the width of the posterior's own draws, the median in the mock galaxy.

    Parameters
    ----------
    result : Result
        N bins, of weights for histories.
    lookback_gyr : float
    """
    prediction = result.prediction
    quantiles = prediction.quantiles.get("light_frac")
    if quantiles is None:
        return np.full(prediction.ood.shape, np.nan)
    light = np.asarray(prediction.history("light_frac"), dtype=float)
    mass = np.asarray(prediction.history("mass_frac"), dtype=float)
    half = 0.5 * (quantiles[..., 3] - quantiles[..., 1]).astype(float)
    young = _cover_age_bins(lookback_gyr, find_age_edges(result))
    per_light = np.divide(mass, light, out=np.zeros_like(mass), where=light > 0) * young
    made, width = (per_light * light).sum(axis=1), np.sqrt(((per_light * half) ** 2).sum(axis=1))
    known = (made > 0) & (compute_light_density(result) > 0)
    of_light = np.divide(width, made, out=np.full(made.shape, np.nan), where=known)
    return np.asarray(math.log10(math.e) * np.hypot(of_light, prediction.half_width("tau_ism")), dtype=float)


def compute_young_share(
    fractions: NDArray[np.floating], lookback_gyr: float, edges_gyr: NDArray[np.floating] = AGE_EDGES_GYR
) -> F64:
    """Share of the mass (or light) of stars younger than a lookback time.

    The rate is constant within an age bin. For light that is rough where a time cuts a bin: young stars shine more.

    Parameters
    ----------
    fractions : array (..., A)
        Per age bin, youngest first.
    lookback_gyr : float
    edges_gyr : array (A + 1,)
        Edges of the age bins, Gyr of lookback time.

    Returns
    -------
    array (...)
    """
    return np.asarray(np.asarray(fractions, dtype=float) @ _cover_age_bins(lookback_gyr, edges_gyr))


def _cover_age_bins(lookback_gyr: float, edges_gyr: NDArray[np.floating]) -> F64:
    """Share of each age bin that is younger than a lookback time, (A,)."""
    edges = limit_age_edges(np.asarray(edges_gyr))
    return np.asarray(np.clip((lookback_gyr - edges[:-1]) / np.diff(edges), 0.0, 1.0))


def compute_ages_share(
    fractions: NDArray[np.floating],
    low_gyr: float,
    high_gyr: float,
    edges_gyr: NDArray[np.floating] = AGE_EDGES_GYR,
) -> F64:
    """Share of the mass (or light) of stars between two ages, as `compute_young_share`.

    Parameters
    ----------
    fractions : array (..., A)
        Of mass or light in the age bins.
    low_gyr, high_gyr : float
        Ages, Gyr.
    edges_gyr : array (A + 1,)
        As of `compute_young_share`.

    Returns
    -------
    array (...)

    Raises
    ------
    SfhInputError
        The ages do not rise, or the first is negative.
    """
    if not 0 <= low_gyr < high_gyr:
        raise SfhInputError(f"ages {low_gyr:g} to {high_gyr:g} Gyr: give the younger first, from 0 on")
    return compute_young_share(fractions, high_gyr, edges_gyr) - compute_young_share(fractions, low_gyr, edges_gyr)


def parse_distance(text: str) -> float | None:
    """Luminosity distance in Mpc of what a user types: a number of Mpc, or a redshift as ``z=0.0024``; None if empty.

    Redshifts are those of the Planck 2018 cosmology (Planck Collaboration 2020, A&A 641, A6), without peculiar motion.

    Raises
    ------
    SfhInputError
        Neither, or out of range.

    Examples
    --------
    >>> parse_distance("9.84"), parse_distance(" "), round(parse_distance("z=0.01"))
    (9.84, None, 45)
    """
    text = text.strip()
    if not text:
        return None
    by_redshift = text.lower().startswith("z")
    try:
        number = float(text.lstrip("zZ =:"))
    except ValueError:
        number = float("nan")
    if by_redshift and 0 < number < 3:
        from astropy.cosmology import Planck18

        return float(Planck18.luminosity_distance(number).value)
    if not by_redshift and 1e-3 <= number <= 2e4:
        return number
    raise SfhInputError(f"distance: {text!r} given; type it in Mpc (0.001 to 20000), or as z=0.0024, or leave it empty")


def compute_kpc_per_arcsec(distance_mpc: float, redshift: float) -> float:
    """Length that an arcsec on the sky has at a galaxy.

    Parameters
    ----------
    distance_mpc : float
        Luminosity distance D, Mpc; the angular-size distance is D / (1 + z)^2 (Hogg 1999, astro-ph/9905116).
    redshift : float
        z, systemic.

    Returns
    -------
    float
        kpc.

    Examples
    --------
    >>> round(compute_kpc_per_arcsec(206.264806, 0.0), 6)
    1.0
    """
    return 1e3 * distance_mpc / ARCSEC_PER_RADIAN / (1 + redshift) ** 2


def compute_sfr_density(result: Result, lookback_gyr: float, low_gyr: float = 0.0) -> F64:
    """Mean star-formation rate per area over the last ``lookback_gyr``, Msun/yr/kpc^2, (N,).

    Parameters
    ----------
    result : Result
        N bins, of weights for histories.
    lookback_gyr : float
        Only as much of it counts as the histories reach back: no star formed before the Universe began.
    low_gyr : float
        Where the time ends, Gyr of lookback time; below ``lookback_gyr``.
    """
    edges = find_age_edges(result)
    share = compute_ages_share(result.prediction.history("mass_frac"), low_gyr, lookback_gyr, edges)
    begin_gyr = float(limit_age_edges(edges)[-1])
    span_gyr = (min(lookback_gyr, begin_gyr) if low_gyr < begin_gyr else lookback_gyr) - low_gyr
    return compute_mass_density(result) * share / (span_gyr * 1e9)


def compute_total_mass(
    result: Result, distance_mpc: float, rows: Any = slice(None), share: NDArray[np.floating] | None = None
) -> float:
    """Stellar mass formed in some bins.

    Parameters
    ----------
    result : Result
    distance_mpc : float
        Luminosity distance, Mpc.
    rows : optional
        Index of the bins, from 0; default: all.
    share : array (N,), optional
        Share of each bin's mass that counts; default: all of it.

    Returns
    -------
    float
        Solar masses; bins without a prediction are left out.

    Raises
    ------
    SfhInputError
        The distance is not positive.
    """
    if not isinstance(distance_mpc, Real):
        raise SfhInputError(f"distance: {distance_mpc} given; it must be a plain number, in Mpc")
    if not distance_mpc > 0:
        raise SfhInputError(f"distance: {distance_mpc:g} given; it must be above 0 Mpc")
    kpc_per_arcsec = compute_kpc_per_arcsec(distance_mpc, result.redshift)
    mass = compute_mass_density(result) * measure_bin_area(result) * kpc_per_arcsec**2
    return float(np.nansum((mass if share is None else mass * share)[rows]))


def compute_total_error(
    result: Result,
    rows: Any,
    error_dex: NDArray[np.floating],
    share: NDArray[np.floating] | None = None,
) -> float:
    """Error of a sum over bins as `compute_total_mass`, as a share of it, from the bins' own taken as independent.

    Parameters
    ----------
    result : Result
    rows : index
        Of the bins, from 0.
    error_dex : array (N,)
        Of the logarithm of each bin's mass, or rate.
    share : array (N,), optional
        Share of each bin's mass that counts; default: all of it.

    Returns
    -------
    float
        NaN where nothing is summed.
    """
    mass = compute_mass_density(result) * measure_bin_area(result)
    part = (mass if share is None else mass * share)[rows]
    total = np.nansum(part)
    error = np.sqrt(np.nansum((part * np.log(10) * np.asarray(error_dex)[rows]) ** 2))
    return float(error / total) if total > 0 else float("nan")


def compute_bin_formation_times(result: Result, fractions: Sequence[float], quantile: int = 2) -> F64:
    """Lookback times in Gyr at which shares of the mass had formed, (N, F), from the posterior's median curve.

    NaN without a prediction. The rate is constant within an age bin.

    Parameters
    ----------
    result : Result
        N bins, of weights for histories.
    fractions : sequence of float
        F shares of the mass formed, 0 to 1.
    quantile : int
        Place in `types.QUANTILES` of another curve; the 16 and 84 % ones bound the times' interval.
    """
    quantiles, edges = result.prediction.quantiles.get("cum_mass"), find_age_edges(result)
    if quantiles is None:
        return compute_formation_times(sum_mass_from_oldest(result.prediction.history("mass_frac")), fractions, edges)
    curve = np.asarray(quantiles[..., quantile], dtype=float)
    return compute_formation_times(np.concatenate([curve, np.zeros((len(curve), 1))], axis=1), fractions, edges)


def find_age_edges(result: Result) -> F64:
    """Edges (A + 1,) of the age bins of a result's histories, Gyr of lookback time."""
    edges = result.prediction.age_edges_gyr
    return AGE_EDGES_GYR if edges is None else edges
