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
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from array_api_compat import device as array_device
from numpy.typing import NDArray

from napari_sfh.arrays import F32, F64, AnyArray, Floats
from napari_sfh.errors import SfhInputError
from napari_sfh.physics import dust
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.physics.filters import Filter, compute_row_medians, filter_weight_matrix
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
        ism, clouds = np.asarray(tau_ism, np.float32), np.asarray(tau_bc, np.float32)
        slope = np.broadcast_to(np.asarray(slope, np.float32), np.shape(tau_ism))
        mass, metals = np.atleast_2d(np.asarray(mass_frac, np.float32)), np.atleast_2d(np.asarray(mh, np.float64))
        flux, phot = self.tables.reconstruct(mass, metals, ism, clouds, slope)
        return flux, phot

    @cached_property
    def tables(self) -> ReconstructionTables:
        """What `reconstruct` multiplies with; ``tables.to(device)`` for torch."""
        width = np.gradient(self.sed_wave_aa).astype(np.float32)
        young_sed = self.young_sed + self.young_nebular_sed
        return ReconstructionTables(
            mh=self.mh,
            spectrum=_flatten_templates(self.spectrum),
            young=self.young + self.young_nebular,
            lg_wave=np.log(self.wave_aa / dust.DUST_PIVOT_AA).astype(np.float32),
            norm_index=np.flatnonzero(self.norm_pixels),
            sed=_flatten_templates(self.sed),
            young_sed=young_sed,
            lg_sed_wave=np.log(self.sed_wave_aa / dust.DUST_PIVOT_AA).astype(np.float32),
            bands=filter_weight_matrix(self.filters, self.sed_wave_aa).astype(np.float32),
            width=width,
            energy=(self.sed @ width).reshape(-1),
            young_energy=young_sed @ width,
            dust_sed=self.dust_sed,
        )

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


def _flatten_templates(templates: F32) -> F32:
    """(A, Z, n) as (A * Z, n)."""
    n_age, n_mh, n_wave = templates.shape
    return templates.reshape(n_age * n_mh, n_wave)


@dataclass(frozen=True)
class ReconstructionTables:
    """The templates of a basis as `TemplateBasis.reconstruct` needs them: NumPy arrays, or tensors of one device.

    A age bins, Z metallicities, W pixels, K points of the coarse grid, B bands. Float32 but for ``mh``.
    """

    mh: AnyArray  # (Z,)
    spectrum: AnyArray  # (A * Z, W)
    young: AnyArray  # (Z, W) with their nebulae
    lg_wave: AnyArray  # (W,) ln(wavelength / 5500 AA)
    norm_index: AnyArray  # pixels whose mean is one
    sed: AnyArray  # (A * Z, K)
    young_sed: AnyArray  # (Z, K)
    lg_sed_wave: AnyArray  # (K,)
    bands: AnyArray  # (K, B)
    width: AnyArray  # (K,) Angstrom
    energy: AnyArray  # (A * Z,) light of the templates over all wavelengths
    young_energy: AnyArray  # (Z,)
    dust_sed: AnyArray | None  # (K,)

    def to(self, device: Any) -> ReconstructionTables:
        """The same as tensors on a torch device."""
        import torch

        def place(values: AnyArray | None) -> AnyArray | None:
            if values is None:
                return None
            tensor = torch.as_tensor(values, dtype=None if values.dtype.kind == "i" else torch.float32)
            return tensor.to(device)

        return ReconstructionTables(**{f.name: place(getattr(self, f.name)) for f in fields(self)})

    def reconstruct(
        self, mass_frac: AnyArray, mh: AnyArray, tau_ism: AnyArray, tau_bc: AnyArray, slope: AnyArray
    ) -> tuple[Any, Any]:
        """See `TemplateBasis.reconstruct`: one object a row, float32, NumPy or torch as the tables are.

        ``mh`` may be of another precision.
        """
        weights = self._weigh_templates(mass_frac, mh)
        first = weights[:, : self.mh.shape[0]]
        taus = (tau_ism, tau_bc, slope)
        flux = _attenuate_templates(weights, first, self.spectrum, self.young, self.lg_wave, *taus)
        sed = _attenuate_templates(weights, first, self.sed, self.young_sed, self.lg_sed_wave, *taus)
        if self.dust_sed is not None:
            emitted = weights @ self.energy + first @ self.young_energy
            sed = sed + (emitted - sed @ self.width)[:, None] * self.dust_sed
        phot = sed @ self.bands
        if not flux.shape[1]:
            return flux, phot / compute_row_medians(phot)[:, None]
        norm = flux[:, self.norm_index].mean(-1)[:, None]
        return flux / norm, phot / norm

    def _weigh_templates(self, mass: AnyArray, mh: AnyArray) -> Any:
        """Weights (N, A * Z) of the flattened templates."""
        xp = array_namespace(mass)
        index, share = find_bracket(self.mh, mh)
        nodes = xp.arange(self.mh.shape[0], device=array_device(mass))
        lower = xp.astype(mass * (1 - share), mass.dtype)[..., None]
        upper = xp.astype(mass * share, mass.dtype)[..., None]
        none = xp.zeros_like(lower)
        weights = xp.where(nodes == index[..., None], lower, none)
        weights = xp.where(nodes == index[..., None] + 1, upper, weights)
        return xp.reshape(weights, (mass.shape[0], -1))


def _attenuate_templates(
    weights: AnyArray,
    first: AnyArray,
    old: AnyArray,
    young: AnyArray,
    lg_wave: AnyArray,
    tau_ism: AnyArray,
    tau_bc: AnyArray,
    slope: AnyArray,
) -> Any:
    """Light behind dust: (N, n) from flattened templates (A * Z, n) and birth-cloud templates (Z, n)."""
    curve = dust.compute_power_law_curve(lg_wave, slope)
    clouds, screen = (dust.compute_screen_transmission(curve, tau) for tau in (tau_bc, tau_ism))
    return screen * (weights @ old + clouds * (first @ young))
