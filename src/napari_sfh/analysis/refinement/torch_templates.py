"""The compact template basis in torch, so that a likelihood has gradients: the formulae of `physics.template_basis`.

A share of the ionising photons of stars younger than 10 Myr may escape, which the basis itself does not know: their
nebulae shine by what is left.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from napari_sfh.physics.dust import DUST_PIVOT_AA, compute_power_law_curve, compute_screen_transmission
from napari_sfh.physics.filters import filter_weight_matrix
from napari_sfh.physics.mass_to_light import find_bracket
from napari_sfh.physics.template_basis import TemplateBasis


@dataclass(frozen=True)
class _Light:
    """Templates on one grid of n wavelengths."""

    old: torch.Tensor  # (A * Z, n)
    young: torch.Tensor  # (Z, n)
    nebular: torch.Tensor  # (Z, n)
    lg_ratio: torch.Tensor  # (n,) ln(wavelength / 5500 AA)

    def average(self, weights: torch.Tensor) -> _Light:
        """Means by weights (n, m) of which each column's sum is one."""
        return _Light(*(getattr(self, f.name) @ weights for f in fields(self)))


@dataclass(frozen=True)
class TorchTemplates:
    """Templates of a basis as tensors. A age bins, Z metallicities, W pixels, B bands.

    Examples
    --------
    >>> from napari_sfh.model.bundle import load_bundle
    >>> templates = make_torch_templates(load_bundle("wide").basis)
    >>> mass, mh = torch.full((1, 16), 1 / 16), torch.zeros(1, 16)
    >>> dust = [torch.tensor([0.3]), torch.tensor([0.5]), torch.tensor([-0.7])]
    >>> flux, phot = templates.reconstruct(mass, mh, *dust)
    >>> tuple(flux.shape), tuple(phot.shape)
    ((1, 1761), (1, 5))
    """

    mh: torch.Tensor  # (Z,)
    spectrum: _Light
    sed: _Light
    band_weights: torch.Tensor  # (K, B)
    window: _Light  # pixels whose mean is one

    def average(self, weights: torch.Tensor) -> TorchTemplates:
        """Means over pixels of the spectrum by weights (W, P), still divided by the mean of the window."""
        return replace(self, spectrum=self.spectrum.average(weights))

    def reconstruct(
        self,
        mass_frac: torch.Tensor,
        mh: torch.Tensor,
        tau_ism: torch.Tensor,
        tau_bc: torch.Tensor,
        slope: torch.Tensor,
        escape: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Spectra (C, W) and bands (C, B), divided by the spectrum's mean in the window.

        Parameters
        ----------
        mass_frac, mh : tensors (C, A)
        tau_ism, tau_bc, slope : tensors (C,)
        escape : tensor (C,), optional
            Share of the ionising photons of the youngest stars that ionises nothing; none unless given.
        """
        weights = self._weights(mass_frac, mh)
        kept = torch.ones_like(tau_ism) if escape is None else 1 - escape
        dust = (kept, tau_ism, tau_bc, slope)
        flux, sed, window = (_shine(weights, light, *dust) for light in (self.spectrum, self.sed, self.window))
        norm = window.mean(1, keepdim=True)
        return flux / norm, sed @ self.band_weights / norm

    def _weights(self, mass_frac: torch.Tensor, mh: torch.Tensor) -> torch.Tensor:
        """Mass (C, A, Z) on the nodes of metallicity."""
        index, share = find_bracket(self.mh, mh.contiguous())
        weights = torch.zeros(*mass_frac.shape, len(self.mh), dtype=mass_frac.dtype)
        weights = weights.scatter_add(2, index[..., None], (mass_frac * (1 - share))[..., None])
        return weights.scatter_add(2, index[..., None] + 1, (mass_frac * share)[..., None])


def _shine(
    weights: torch.Tensor,
    light: _Light,
    kept: torch.Tensor,
    tau_ism: torch.Tensor,
    tau_bc: torch.Tensor,
    slope: torch.Tensor,
) -> torch.Tensor:
    """Light (C, n) behind birth clouds and the diffuse dust (Charlot & Fall 2000)."""
    curve = compute_power_law_curve(light.lg_ratio, slope)
    clouds, screen = (compute_screen_transmission(curve, tau) for tau in (tau_bc, tau_ism))
    first = weights[:, 0]
    young = first @ light.young + kept[:, None] * (first @ light.nebular)
    return screen * (weights.flatten(1) @ light.old + clouds * young)


def make_torch_templates(basis: TemplateBasis) -> TorchTemplates:
    """Tensors of a basis."""

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(array, np.float32))

    def light(old: np.ndarray, young: np.ndarray, nebular: np.ndarray, wave_aa: np.ndarray) -> _Light:
        lg_ratio = tensor(np.log(np.asarray(wave_aa, float) / DUST_PIVOT_AA))
        return _Light(tensor(old).flatten(0, 1), tensor(young), tensor(nebular), lg_ratio)

    spectrum = light(basis.spectrum, basis.young, basis.young_nebular, basis.wave_aa)
    return TorchTemplates(
        tensor(basis.mh),
        spectrum,
        light(basis.sed, basis.young_sed, basis.young_nebular_sed, basis.sed_wave_aa),
        tensor(filter_weight_matrix(basis.filters, basis.sed_wave_aa)),
        spectrum.average(torch.eye(len(basis.wave_aa))[:, tensor(basis.norm_pixels) > 0]),
    )
