"""The compact basis of the viewer, summed up from the templates: constant star formation inside each age bin."""

from __future__ import annotations

import numpy as np

from napari_sfh.physics.ages import N_AGE
from napari_sfh.physics.lsf import line_profiles
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.training.libraries.age_grid import interpolation_matrix
from napari_sfh.training.libraries.dust_emission import compute_dust_spectra
from napari_sfh.training.libraries.resampling import line_binning_matrix
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.types import F32, F64

#: PAH share in per cent, starlight intensity and share of dust that sees more: middling values of nearby discs
#: (Draine & Li 2007, Aniano et al. 2020).
MIDDLING_DUST: tuple[float, float, float] = (2.5, 1.5, 0.02)


def make_template_basis(templates: Templates, log_u: float = -3.0) -> TemplateBasis:
    """The compact basis of ``templates``.

    Parameters
    ----------
    templates : Templates
    log_u : float
        Ionisation parameter of its nebulae, interpolated in the grid. Gas has the metallicity of its stars and the
        instrument's velocity dispersion; no ionising photon escapes.
    """
    share = constant_sfr_mass_share(templates)
    young, older = share.copy(), share.copy()
    young[:, templates.n_young :] = 0.0
    older[:, : templates.n_young] = 0.0
    nebula, nebula_sed = _nebular_emission_at(templates, log_u)
    return TemplateBasis(
        mh=templates.mh,
        wave_aa=templates.wave_aa,
        spectrum=_sum_sub_bins(older, templates.spectrum, nebula),
        young=_sum_sub_bins(young[:1], templates.spectrum)[0],
        young_nebular=_sum_sub_bins(young[:1, : templates.n_ion], nebula)[0],
        sed_wave_aa=templates.sed_wave_aa,
        sed=_sum_sub_bins(older, templates.sed, nebula_sed),
        young_sed=_sum_sub_bins(young[:1], templates.sed)[0],
        young_nebular_sed=_sum_sub_bins(young[:1, : templates.n_ion], nebula_sed)[0],
        light_v=np.asarray(share @ templates.light_v.T, dtype=np.float32),
        log_u=np.array(log_u),
        filters=templates.filters,
        norm_pixels=templates.instrument.norm_pixels,
        dust_sed=_middling_dust_emission(templates),
    )


def _middling_dust_emission(templates: Templates) -> F32 | None:
    """Emission (K,) per unit of energy of the dust of `MIDDLING_DUST`; None without infrared bands."""
    if templates.dust is None:
        return None
    q_pah, u_min, gamma = (np.array([value]) for value in MIDDLING_DUST)
    return compute_dust_spectra(templates.dust, q_pah, u_min, gamma)[0]


def constant_sfr_mass_share(templates: Templates) -> F64:
    """Share (A, S) of an age bin's mass in each sub-bin when stars form at a constant rate in it."""
    width = np.diff(templates.sub_edges_gyr)
    share = np.zeros((N_AGE, templates.n_sub))
    share[templates.bin_of_sub, np.arange(templates.n_sub)] = width
    return share / share.sum(1, keepdims=True)


def _nebular_emission_at(templates: Templates, log_u: float) -> tuple[F64, F64]:
    """Lines and continuum of the ionising sub-bins at the stars' metallicities: (Z, I, W) and (Z, I, K)."""
    at_u = interpolation_matrix(templates.log_u, np.array([log_u]))[0]
    at_mh = interpolation_matrix(templates.mh_gas, templates.mh)
    lines, continuum, sed = (
        np.einsum("zg,u,guin->zin", at_mh, at_u, grid, optimize=True)
        for grid in (templates.line_lum, templates.cont_spectrum, templates.cont_sed)
    )
    sed = sed + lines @ line_binning_matrix(templates.line_wave_aa, templates.sed_edges_aa)
    grid = templates.instrument.spectrum
    if grid is None:
        return continuum, sed
    line_fwhm_aa = grid.lsf.fwhm_aa(templates.line_wave_aa)
    profiles = line_profiles(templates.line_wave_aa, templates.wave_aa, line_fwhm_aa, grid.sigma_kms)
    return continuum + lines @ profiles, sed


def _sum_sub_bins(share: F64, stars: F32 | F64, nebula: F64 | None = None) -> F32:
    """Sums (A, Z, n) of the sub-bins' stars (Z, S, n) and nebulae (Z, I, n) with shares (A, S)."""
    light = np.einsum("as,zsn->azn", share, stars, optimize=True)
    if nebula is not None:
        light += np.einsum("ai,zin->azn", share[:, : nebula.shape[1]], nebula, optimize=True)
    return np.asarray(light, dtype=np.float32)
