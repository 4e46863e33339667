"""Templates as pPXF takes them: the prior's own library on a regular grid of ages and metallicities.

Each template is the light of a constant star-formation rate within a group of the library's age sub-bins, at the
instrument's resolution and dispersion, divided by its V-band light: pPXF's weights are then intrinsic V-light, and mass
follows through the template's own light per mass formed. Bands are photon-counting means of the same light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sfh.physics.ages import N_AGE
from napari_sfh.physics.mass_to_light import find_bracket
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.simulator.forward_model import ForwardModel
from napari_sfh.types import F64


@dataclass(frozen=True)
class PpxfGrid:
    """Stellar templates of one library. G age groups, Z metallicities, T = G Z templates, Z varies fastest."""

    flux: F64  # (W, T)
    sed_wave_aa: F64  # (K,)
    sed: F64  # (K, T) in the unit of flux
    redshifts: F64  # (V,)
    band_weights: F64  # (2, V, K, B): of the instrument's bands, and with those of other cameras
    light_v: F64  # (G, Z) V-light per Msun formed, times a constant
    bin_of_group: NDArray[np.int_]  # (G,)
    mh: F64  # (Z,)

    @property
    def shape(self) -> tuple[int, int]:
        """(G, Z)."""
        return self.light_v.shape[0], self.light_v.shape[1]

    def bands(self, redshift: float, acs: bool) -> tuple[F64, F64]:
        """Band fluxes of the templates and their effective wavelengths in Angstrom, (B, T) each."""
        node, share = find_bracket(self.redshifts, np.array(redshift))
        low, high = self.band_weights[int(acs)][[int(node), int(node) + 1]]
        weights = low * (1 - share) + high * share
        flux = weights.T @ self.sed
        return flux, (weights * self.sed_wave_aa[:, None]).T @ self.sed / flux


def make_ppxf_grid(model: ForwardModel, groups_per_bin: int = 2) -> PpxfGrid:
    """Templates of a forward model's library, ``groups_per_bin`` age groups in each of the 16 bins.

    Parameters
    ----------
    model : ForwardModel
    groups_per_bin : int
        1 is fastest; the paper's has 2.
    """
    t = model.templates
    group = _group_sub_bins(t, groups_per_bin)
    n_group = int(group.max()) + 1
    width = np.diff(t.sub_edges_gyr)
    mix = np.zeros((n_group, t.n_sub))
    mix[group, np.arange(t.n_sub)] = width
    mix /= mix.sum(1, keepdims=True)

    def averaged(light: NDArray[np.floating]) -> F64:
        return np.moveaxis(np.einsum("gs,zsn->gzn", mix, light.astype(np.float64), optimize=True), -1, 0)

    light_v = mix @ t.light_v.T.astype(np.float64)
    flux, sed = averaged(t.spectrum), averaged(t.sed)
    # One common factor makes a template about one in the window, as data are: pPXF's regularisation counts on it.
    light_v = light_v * np.median(flux[t.instrument.norm_pixels].mean(0) / light_v)
    weights = np.stack([model.band_weights, model.substitute_weights]).astype(np.float64)
    return PpxfGrid(
        flux=(flux / light_v).reshape(t.wave_aa.size, -1),
        sed_wave_aa=t.sed_wave_aa,
        sed=(sed / light_v).reshape(t.sed_wave_aa.size, -1),
        redshifts=model.redshifts,
        band_weights=weights,
        light_v=light_v,
        bin_of_group=np.array([t.bin_of_sub[group == g][0] for g in range(n_group)]),
        mh=t.mh,
    )


def _group_sub_bins(t: Templates, per_bin: int) -> NDArray[np.int_]:
    """Group (S,) of each sub-bin: consecutive ones of the same age bin."""
    group, start = np.zeros(t.n_sub, int), 0
    for a in range(N_AGE):
        members = np.flatnonzero(t.bin_of_sub == a)
        for part in np.array_split(members, min(per_bin, len(members))):
            group[part] = start
            start += 1
    return group
