"""The compact template basis: what reconstruction and mass-to-light ratios need of a template library.

For each age bin and each metallicity it holds the light of 1 Msun formed at a constant rate in
the bin, at an instrument's resolution and dispersion, and on a coarse grid for photometry. The first age bin is
split at 10 Myr: its younger part (10/14 of its mass) and the nebulae around it shine through birth clouds.
Between metallicities the light is linear in [M/H], and constant beyond the library's range. A spectrum is
then (Charlot & Fall 2000, see `dust`)

    F = exp(-tau_ism) [ sum_a m_a S_a(Z_a) + exp(-tau_bc) m_0 (Y(Z_0) + N(Z_0)) ]

with m_a the mass fractions, S the stars older than 10 Myr with the little gas that they ionise, Y the younger ones,
N their nebulae at the basis's reference log U and gas of the stars' metallicity. Photometry is the photon-counting
mean of the same sum on the coarse grid; where the basis has infrared light of dust (``dust_sed``), the dust emits there
what it absorbs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.arrays import F32, F64, Floats
from napari_sfh.errors import SfhInputError
from napari_sfh.physics import dust
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.physics.filters import Filter, filter_weight_matrix
from napari_sfh.physics.mass_to_light import (
    find_bracket,
    interpolate_light_v,
    lg_mass_to_light,
    light_from_mass,
    mass_from_light,
)

_ARRAYS = (
    "mh",
    "wave_aa",
    "spectrum",
    "young",
    "young_nebular",
    "sed_wave_aa",
    "sed",
    "young_sed",
    "young_nebular_sed",
    "light_v",
    "log_u",
)
_OPTIONAL_ARRAYS = ("dust_sed",)


@dataclass(frozen=True)
class TemplateBasis:
    """Light per Msun formed at a constant rate in each age bin. A age bins, Z metallicities.

    Attributes
    ----------
    mh : array (Z,)
        [M/H], dex.
    wave_aa : array (W,)
    spectrum : float32 array (A, Z, W)
        Stars older than 10 Myr with the little gas that they ionise, Lsun/AA. In age bin 0 the part of 10-14 Myr
        (4/14 of the mass).
    young : float32 array (Z, W)
        Stars younger than 10 Myr of 1 Msun formed in age bin 0.
    young_nebular : float32 array (Z, W)
        Their nebular lines and continuum.
    sed_wave_aa : array (K,)
    sed, young_sed, young_nebular_sed : float32 arrays (A, Z, K), (Z, K), (Z, K)
        The same on the coarse grid.
    light_v : float32 array (A, Z)
        V-band light of the stars without dust (bin 0 whole), solar V luminosities.
    log_u : array ()
        Ionisation parameter of the nebulae.
    filters : tuple of Filter
        The bands of the photometry, in order.
    norm_pixels : boolean array (W,)
        Pixels whose mean flux density is one.
    age_edges_gyr : array (A + 1,)
        Edges of the age bins, lookback time.
    dust_sed : float32 array (K,), optional
        Infrared light of the dust per unit of absorbed energy, of middling dust; None without infrared bands.
    """

    mh: F64
    wave_aa: F64
    spectrum: F32
    young: F32
    young_nebular: F32
    sed_wave_aa: F64
    sed: F32
    young_sed: F32
    young_nebular_sed: F32
    light_v: F32
    log_u: F64
    filters: tuple[Filter, ...]
    norm_pixels: NDArray[np.bool_]
    age_edges_gyr: F64 = field(default_factory=lambda: AGE_EDGES_GYR)
    dust_sed: F32 | None = None

    def __post_init__(self) -> None:
        n_age, n_z, n_wave = self.spectrum.shape
        n_sed = self.sed_wave_aa.size
        wanted = {
            "mh": (n_z,),
            "wave_aa": (n_wave,),
            "young": (n_z, n_wave),
            "young_nebular": (n_z, n_wave),
            "sed": (n_age, n_z, n_sed),
            "young_sed": (n_z, n_sed),
            "young_nebular_sed": (n_z, n_sed),
            "light_v": (n_age, n_z),
            "norm_pixels": (n_wave,),
            "age_edges_gyr": (n_age + 1,),
        }
        if self.dust_sed is not None:
            wanted["dust_sed"] = (n_sed,)
        for key, shape in wanted.items():
            if getattr(self, key).shape != shape:
                raise SfhInputError(f"template basis: {key} has shape {getattr(self, key).shape}, not {shape}")

    def reconstruct(
        self,
        mass_frac: Floats,
        mh: Floats,
        tau_ism: Floats,
        tau_bc: Floats,
        slope: Floats | float = dust.SLOPE,
    ) -> tuple[F32, F32]:
        """Spectra and photometry of star-formation histories.

        Parameters
        ----------
        mass_frac, mh : arrays (N, A)
            Mass fractions and [M/H] of the age bins.
        tau_ism, tau_bc : arrays (N,)
            Optical depths at 5500 AA.
        slope : float or array (N,)
            Exponent of the attenuation.

        Returns
        -------
        flux : float32 array (N, W)
            Divided by its mean in the normalisation window.
        phot : float32 array (N, B)
            <f_lambda> in the filters, divided by the same number; without a spectrum by the median of the bands.
        """
        weights = self._weights(mass_frac, mh)
        first = weights[:, : self.mh.size]
        taus = (np.asarray(tau_ism), np.asarray(tau_bc), np.broadcast_to(slope, np.shape(tau_ism)))
        flux = _attenuate_templates(weights, first, self.spectrum, self.young + self.young_nebular, self.wave_aa, *taus)
        young_sed = self.young_sed + self.young_nebular_sed
        sed = _attenuate_templates(weights, first, self.sed, young_sed, self.sed_wave_aa, *taus)
        if self.dust_sed is not None:
            width = np.gradient(self.sed_wave_aa).astype(np.float32)
            emitted = weights @ (self.sed @ width).reshape(-1) + first @ (young_sed @ width)
            sed = sed + (emitted - sed @ width)[:, None] * self.dust_sed
        phot = sed @ filter_weight_matrix(self.filters, self.sed_wave_aa).astype(np.float32)
        if not flux.shape[1]:
            return flux, phot / np.median(phot, axis=1, keepdims=True)
        norm = flux[:, self.norm_pixels].mean(-1, keepdims=True)
        return flux / norm, phot / norm

    def light_from_mass(self, mass_frac: Floats, mh: Floats) -> NDArray[np.float64]:
        """Fractions (..., A) of the intrinsic V-band light from fractions of the mass formed."""
        return np.asarray(light_from_mass(np.asarray(mass_frac), self.light_per_mass(mh)))

    def mass_from_light(self, light_frac: Floats, mh: Floats) -> NDArray[np.float64]:
        """Fractions (..., A) of the mass formed from those of V-band light: the inverse of `light_from_mass`."""
        return np.asarray(mass_from_light(np.asarray(light_frac), self.light_per_mass(mh)))

    def lg_ml_v(self, mass_frac: Floats, mh: Floats) -> NDArray[np.float64]:
        """log10 of mass formed over intrinsic V-band light in solar units, shape (...)."""
        return np.asarray(lg_mass_to_light(np.asarray(mass_frac), self.light_per_mass(mh)))

    def light_per_mass(self, mh: Floats) -> NDArray[np.float64]:
        """V-band light per Msun formed (..., A), solar units, at [M/H] (..., A) of each age bin."""
        return np.asarray(interpolate_light_v(self.light_v, self.mh, mh))

    def _weights(self, mass_frac: Floats, mh: Floats) -> F32:
        """Weights (N, A * Z) of the flattened templates."""
        mass = np.atleast_2d(np.asarray(mass_frac, dtype=np.float32))
        index, share = find_bracket(self.mh, np.atleast_2d(mh))
        n, n_age = mass.shape
        weights = np.zeros((n, n_age, self.mh.size), dtype=np.float32)
        rows, bins = np.ogrid[:n, :n_age]
        weights[rows, bins, index] = mass * (1 - share)
        weights[rows, bins, index + 1] += mass * share
        return weights.reshape(n, -1)

    def to_tensors(self) -> dict[str, NDArray[Any]]:
        """The templates as plain arrays, for a safetensors file; `from_tensors` inverts it."""
        held = [key for key in (*_ARRAYS, *_OPTIONAL_ARRAYS) if getattr(self, key) is not None]
        return {key: np.asarray(getattr(self, key)) for key in held}

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, NDArray[Any]],
        filters: tuple[Filter, ...],
        norm_pixels: NDArray[np.bool_],
        age_edges_gyr: NDArray[np.floating] = AGE_EDGES_GYR,
    ) -> TemplateBasis:
        """Rebuild a basis from `to_tensors`.

        Raises
        ------
        SfhInputError
            Where an array is missing or has another shape.
        """
        missing = [key for key in _ARRAYS if key not in tensors]
        if missing:
            raise SfhInputError(f"template basis: {', '.join(missing)} missing; the weights bundle is damaged")
        arrays = {key: np.asarray(tensors[key]) for key in (*_ARRAYS, *_OPTIONAL_ARRAYS) if key in tensors}
        edges = np.asarray(age_edges_gyr, dtype=np.float64)
        return cls(**arrays, filters=filters, norm_pixels=np.asarray(norm_pixels), age_edges_gyr=edges)


def _attenuate_templates(
    weights: F32, first: F32, old: F32, young: F32, wave_aa: F64, tau_ism: Floats, tau_bc: Floats, slope: Floats
) -> F32:
    """Light behind dust: (N, n) from flattened templates (A, Z, n) and birth-cloud templates (Z, n)."""
    clouds = dust.dust_transmission(wave_aa, tau_bc.astype(np.float32), slope)
    screen = dust.dust_transmission(wave_aa, tau_ism.astype(np.float32), slope)
    light = weights @ old.reshape(weights.shape[1], -1) + clouds * (first @ young)
    return np.asarray(screen * light, dtype=np.float32)
