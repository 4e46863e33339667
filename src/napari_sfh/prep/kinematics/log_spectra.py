"""Bins and templates on one grid of ln(wavelength), broadened alike: what every fit of stellar kinematics starts from.

The templates are the network's own, which have the instrument's dispersion already. The observed spectra get the same
on their way to the fit (`rest_frame.resampling_matrix`), so that the dispersion that takes the templates to the data is
the stars' own: both sides are seen through one line-spread function and one broadening. Gas lines are masked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_sfh.instruments.instrument import SpectrumGrid
from napari_sfh.physics.lines import GAS_LINES_AA
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.rest_frame import compute_missing_variance, resampling_matrix
from napari_sfh.prep.spectra import BinSpectra
from napari_sfh.types import F64, Bool

if TYPE_CHECKING:
    from scipy import sparse

#: Step of the grid in ln(wavelength): 60 km/s, 2.5 pixels per sigma of 150 km/s.
LN_STEP = 2e-4
#: Share of a spectrum's pixels below which nothing is fitted.
MIN_USABLE = 0.3
_GAS_KMS = 500.0  # half-width of the range that a gas line takes away
_MARGIN_KMS = (
    1950.0  # by which templates reach beyond the fitted range: pPXF asks for it, with V up to `config.MAX_V_KMS`
)


class LogSpectra(NamedTuple):
    """N spectra of m pixels, and T templates that reach beyond them on either side."""

    flux: F64  # (N, m) at the systemic rest frame with the templates' dispersion added, median 1
    noise: F64  # (N, m) 1 sigma, as if the pixels were independent
    usable: Bool  # (N, m)
    templates: F64  # (m_t, T) mean 1 each
    ln_wave: F64  # (m,)
    ln_template: F64  # (m_t,)
    operator: sparse.csr_array  # (m, n) from the observed channels to the grid
    scale: F64  # (N,) of the observed flux at `flux` = 1, in the unit of the observed flux
    observed: BinSpectra  # what the fluxes were made of
    redshift: float  # systemic; velocities are relative to it

    @property
    def fittable(self) -> Bool:
        """Bins (N,) with enough usable pixels."""
        return self.usable.mean(1) >= MIN_USABLE


def make_log_spectra(spectra: BinSpectra, redshift: float, basis: TemplateBasis, grid: SpectrumGrid) -> LogSpectra:
    """Spectra and templates on one logarithmic grid, broadened alike.

    Parameters
    ----------
    spectra : BinSpectra
    redshift : float
        Systemic.
    basis : TemplateBasis
    grid : SpectrumGrid
        Of the basis.
    """
    ln_template = np.arange(np.log(grid.wave_aa[0]), np.log(grid.wave_aa[-1]), LN_STEP)
    margin = _MARGIN_KMS / C_KMS
    ln_wave = ln_template[(ln_template > ln_template[0] + margin) & (ln_template < ln_template[-1] - margin)]
    rest, stretch = np.exp(ln_wave), 1.0 + redshift
    want, have = grid.lsf.fwhm_aa(rest) * stretch, (spectra.lsf or grid.lsf).fwhm_aa(rest * stretch)
    missing = compute_missing_variance(rest * stretch, grid.sigma_kms, want, have)
    operator = resampling_matrix(spectra.wave_aa, rest * stretch, np.sqrt(np.maximum(missing, 0.0)))
    flux = np.where(spectra.good, spectra.flux, 0.0) @ operator.T
    held = spectra.good.astype(np.float64) @ operator.T
    variance = np.where(spectra.good, spectra.variance, 0.0) @ operator.T
    usable = (held > 0.97) & (variance > 0)
    for line in GAS_LINES_AA:
        usable &= np.abs(ln_wave - np.log(line)) > _GAS_KMS / C_KMS
    level = np.array([np.median(f[ok]) if ok.any() else 0.0 for f, ok in zip(flux, usable)])
    usable &= (level > 0)[:, None]
    scale = np.where(level > 0, level, 1.0)
    noise = np.sqrt(np.where(usable, variance, 1.0)) / np.where(usable, scale[:, None], 1.0)
    return LogSpectra(
        flux=flux / scale[:, None],
        noise=noise,
        usable=usable,
        templates=_resample_templates(basis, ln_template),
        ln_wave=ln_wave,
        ln_template=ln_template,
        operator=operator,
        scale=scale,
        observed=spectra,
        redshift=redshift,
    )


def _resample_templates(basis: TemplateBasis, ln_wave: F64) -> F64:
    """Stars of some ages at three metallicities on the logarithmic grid, (m, T), each with mean 1."""
    ages = np.unique(np.linspace(2, basis.spectrum.shape[0] - 1, 7).astype(int))
    metals = np.unique(np.linspace(0, basis.mh.size - 1, 4).astype(int))[1:]
    chosen = basis.spectrum[np.ix_(ages, metals)].reshape(-1, basis.wave_aa.size).astype(np.float64)
    rows = resampling_matrix(basis.wave_aa, np.exp(ln_wave), np.zeros(ln_wave.size)) @ chosen.T
    return rows / rows.mean(0)
