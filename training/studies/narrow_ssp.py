"""Simple stellar populations as a survey of 56 narrow bands sees them, from one library or from several mixed.

After Dominguez Sanchez et al. (2025, Highlights of Spanish Astrophysics XII): single ages, metallicities and E(B-V),
no redshift, noise by magnitude. Ours where the text is silent: log age and [M/H] are even over the range that all
libraries share (63 Myr, below which E-MILES borrows from BC03-MILES, to 13.5 Gyr), E(B-V) is even over 0-1 mag of the
power law of `physics.dust`. Errors of a band of AB magnitude m are hypot(floor, 0.2 * 10^(0.4 (m - m5))): 1.5 % of
calibration, and sky of 5 sigma at m5 = 22.3 in the blue, falling to 21.3 at 9300 AA. The magnitude of an object is its
mean over 7000-8400 AA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.narrow_bands import make_jpas_like_filters
from napari_sfh.physics.dust import dust_transmission, tau_from_ebv
from napari_sfh.physics.mass_to_light import find_bracket
from napari_sfh.prep.band_fluxes import narrowband
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.types import F32, F64

#: Magnitudes at which objects are observed.
MAGNITUDES: tuple[float, ...] = tuple(np.arange(16.0, 22.01, 0.5).tolist())
#: Quantities that are read, with the error beyond which an answer counts as an outlier.
OUTLIER_LIMITS: dict[str, float] = {"lg_age": 0.5, "mh": 0.5, "ebv": 0.2}
AGE_RANGE_GYR = (0.063, 13.5)
EBV_RANGE = (0.0, 1.0)
_FLOOR, _DEPTH_BLUE, _DEPTH_RED = 0.015, 22.3, 21.3
_I_BAND_AA = (7000.0, 8400.0)


@dataclass(frozen=True)
class SspSample:
    """N populations of one library, without noise."""

    library: str
    flux: F32  # (N, B) f_nu over its mean in the i band
    lg_age: F32  # (N,) log10 yr
    mh: F32  # (N,) dex
    ebv: F32  # (N,) mag
    pivot_aa: F64  # (B,)

    def labels(self, name: str) -> F32:
        """One of `OUTLIER_LIMITS`, (N,)."""
        return np.asarray(getattr(self, name), np.float32)


def find_common_mh_range(libraries: Sequence[Templates]) -> tuple[float, float]:
    """[M/H] range that all libraries have.

    Raises
    ------
    SfhInputError
        There is none.
    """
    low, high = max(float(t.mh[0]) for t in libraries), min(float(t.mh[-1]) for t in libraries)
    if low >= high:
        raise SfhInputError(f"libraries: no common range of [M/H] ({low:.2f} to {high:.2f}); name others")
    return low, high


def draw_ssp_sample(t: Templates, n: int, mh_range: tuple[float, float], seed: int) -> SspSample:
    """Draw populations of a library.

    Parameters
    ----------
    t : Templates
        Their time averages over narrow sub-bins stand for single ages, linear in log age between them.
    n : int
    mh_range : (float, float)
    seed : int
    """
    rng = np.random.default_rng([seed, 33])
    youngest, oldest = (float(np.log10(age)) for age in AGE_RANGE_GYR)
    lg_age = rng.uniform(youngest, oldest, n)
    mh, ebv = rng.uniform(*mh_range, n), rng.uniform(*EBV_RANGE, n)
    filters = make_jpas_like_filters()
    sed = _spectra(t, lg_age, mh) * dust_transmission(t.sed_wave_aa, tau_from_ebv(ebv))
    bands = narrowband.measure_narrowband_fluxes(sed, t.sed_wave_aa, filters).flux
    pivot = np.array([f.pivot_aa for f in filters])
    f_nu = bands * pivot**2
    f_nu = f_nu / f_nu[:, _in_i_band(pivot)].mean(1, keepdims=True)
    columns = (f_nu, lg_age + 9.0, mh, ebv)
    flux, age, metals, reddening = (np.asarray(x, np.float32) for x in columns)
    return SspSample(str(t.provenance["name"]), flux, age, metals, reddening, pivot)


def _in_i_band(pivot_aa: F64) -> NDArray[np.bool_]:
    return (pivot_aa > _I_BAND_AA[0]) & (pivot_aa < _I_BAND_AA[1])


def _spectra(t: Templates, lg_age_gyr: F64, mh: F64) -> F32:
    """SEDs (N, K), bilinear in log age and [M/H]."""
    middle = np.log10(0.5 * (t.sub_edges_gyr[1:] + t.sub_edges_gyr[:-1]))
    (s, ws), (z, wz) = find_bracket(middle, lg_age_gyr), find_bracket(t.mh, mh)
    out = np.zeros((mh.size, t.sed_wave_aa.size), np.float32)
    for ds, share_s in ((0, 1 - ws), (1, ws)):
        for dz, share_z in ((0, 1 - wz), (1, wz)):
            out += t.sed[z + dz, s + ds] * (share_s * share_z)[:, None].astype(np.float32)
    return out


def relative_band_error(magnitude: F64, pivot_aa: F64) -> F64:
    """1 sigma over the flux of bands (B,) of AB magnitudes (N, B)."""
    depth = np.interp(pivot_aa, [6000.0, 9300.0], [_DEPTH_BLUE, _DEPTH_RED])
    return np.hypot(_FLOOR, 0.2 * 10 ** (0.4 * (magnitude - depth)))


def observe_ssp_sample(populations: SspSample, magnitude: F64 | float, rng: np.random.Generator) -> F32:
    """Noisy fluxes (N, B), f_nu over each object's median, at i magnitudes (N,) or one for all."""
    flux = populations.flux.astype(float)
    each = np.asarray(magnitude, float).reshape(-1, 1) - 2.5 * np.log10(np.maximum(flux, 1e-9))
    noisy = flux * (1 + relative_band_error(each, populations.pivot_aa) * rng.standard_normal(flux.shape))
    middle = np.maximum(np.median(noisy, axis=1, keepdims=True), 1e-3)
    return np.clip(noisy / middle, -10.0, 30.0).astype(np.float32)
