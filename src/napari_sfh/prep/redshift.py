"""The redshift of a galaxy from its own spectrum, where nobody gives it.

Spectrum and templates are divided by their running median, put on a grid of ln(wavelength) and correlated at every
shift (Tonry & Davis 1979, AJ 84, 1511). With weights w, a template t explains at shift s

    N(s)^2 / D(s),   N = sum w d t(s),  D = sum w t(s)^2

of the weighted variance of the data d. Stars (the best of several ages) and gas (the nebular lines) are added, each
counting only where its amplitude is positive. The error is that of a parabola through the peak, scaled to the
residual's scatter.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy  # its parts load when they are used: a run whose redshift is known needs none here

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.prep import sky_lines
from napari_sfh.prep.spectra import BinSpectra
from napari_sfh.types import F64, Bool

#: Redshifts that are searched.
SEARCH_RANGE: tuple[float, float] = (-0.005, 0.3)
_STEP = 1e-4  # of ln(wavelength): 30 km/s
_CONTINUUM_PIX = 301  # of that grid: 150 AA
_SOFTENING = 0.01  # of the continuum: no pixel weighs more than one of this error
_MIN_RIVAL_RATIO = 1.3  # times what the runner-up explains
_LINE_FREE = 0.02  # of the strongest gas line: less is no gas
_MUCH_GAS = 0.1  # of the lines of the youngest stars' gas: such stars, nearly without lines, are part of the light
_DEPTH_ERROR = 0.1  # of the ratio of depths: with more, nothing is said
_RIVAL_LN = 0.003  # peaks closer than 900 km/s are one


def estimate_redshift(spectra: BinSpectra, basis: TemplateBasis, path: Path) -> tuple[float, float]:
    """Redshift and its 1-sigma error from the bin with the most light.

    Parameters
    ----------
    spectra : BinSpectra
        Of every channel that there is (`spectra.extract_bin_spectra` without a redshift).
    basis : TemplateBasis
        Templates at rest, in air.
    path : Path
        Of the cube, for messages.

    Raises
    ------
    SfhInputError
        No usable spectrum, or no shift that clearly beats all others.
    """
    row = int(np.argmax(np.where(spectra.good, spectra.flux, 0.0).sum(1)))
    good = spectra.good[row]
    if good.sum() < 500:
        raise SfhInputError(f"{path.name}: too few good channels to measure a redshift; give `redshift`")
    grid = np.arange(np.log(spectra.wave_aa[0]), np.log(spectra.wave_aa[-1]), _STEP)
    data, weight = _prepare_data(spectra, row, grid)
    templates, valid, template_grid = _prepare_templates(basis)
    explained = _explained_variance(data, weight, templates, valid)
    # Shift index k of the full correlation: template pixel 0 lies on data pixel k - (n_template - 1).
    shift = grid[0] - template_grid[0] + _STEP * (np.arange(explained.size) - (template_grid.size - 1))
    inside = (shift >= np.log1p(SEARCH_RANGE[0])) & (shift <= np.log1p(SEARCH_RANGE[1]))
    shift, explained = shift[inside], explained[inside]
    if shift.size < 3:
        raise SfhInputError(f"{path.name}: its wavelengths do not reach the templates' range; give `redshift`")
    peak = int(np.clip(np.argmax(explained), 1, shift.size - 2))
    total = float((weight * data**2).sum())
    rival = float(explained[np.abs(shift - shift[peak]) > _RIVAL_LN].max(initial=0.0))
    if explained[peak] < _MIN_RIVAL_RATIO * rival:
        raise SfhInputError(
            f"{path.name}: the redshift cannot be measured (best {np.expm1(shift[peak]):.4f} explains "
            f"{explained[peak] / total:.0%} of the structure, another one {rival / total:.0%}); give `redshift`"
        )
    left, top, right = explained[peak - 1 : peak + 2]
    curvature = left - 2 * top + right
    centre = shift[peak] + 0.5 * _STEP * (left - right) / curvature
    scatter = max(total - top, 0.0) / max(int((weight > 0).sum()) - 2, 1)
    error = _STEP * np.sqrt(2.0 * scatter / max(-curvature, 1e-30))
    return float(np.expm1(centre)), float(error * np.exp(centre))


def measure_line_depth(spectra: BinSpectra, basis: TemplateBasis, redshift: float) -> tuple[float, float] | None:
    """Depth of the absorption lines over that of templates of several ages: the least and the largest ratio.

    Parameters
    ----------
    spectra : BinSpectra
        The bin with the most light counts.
    basis : TemplateBasis
    redshift : float
        Of the spectrum itself.

    Returns
    -------
    (float, float) or None
        About 1 for stars; little where light without lines was added, such as the night sky; much where it was
        subtracted. None where the noise does not tell, and for shallow lines beside strong ones of gas: the stars that
        light it have hardly any.
    """
    row = int(np.argmax(np.where(spectra.good, spectra.flux, 0.0).sum(1)))
    grid = np.arange(np.log(spectra.wave_aa[0]), np.log(spectra.wave_aa[-1]), _STEP)
    data, weight = _prepare_data(spectra, row, grid)
    templates, _, template_grid = _prepare_templates(basis)
    moved = [np.interp(grid, template_grid + np.log1p(redshift), t, left=np.nan, right=np.nan) for t in templates]
    *stars, gas = np.array(moved)
    known = (weight > 0) & np.isfinite(gas)
    use = known & (gas < _LINE_FREE * np.nanmax(gas))
    ratios = []
    for star in stars:
        power = float((weight * star**2)[use].sum())
        if not power > 0 or power**-0.5 > _DEPTH_ERROR:
            return None
        ratios.append(float((weight * data * star)[use].sum()) / power)
    hidden = max(ratios) < 1 and _measure_gas_share(data, weight, gas, known & ~use) > _MUCH_GAS
    return None if hidden else (min(ratios), max(ratios))


def _measure_gas_share(data: F64, weight: F64, gas: F64, on_lines: Bool) -> float:
    """Strength of gas lines over that of the template; the strongest ones, which the data have clipped, left out."""
    faint = on_lines & (gas < 10 * _LINE_FREE * np.nanmax(gas))
    power = float((weight * gas**2)[faint].sum())
    return float((weight * data * gas)[faint].sum()) / power if power > 0 else 0.0


def _prepare_data(spectra: BinSpectra, row: int, grid: F64) -> tuple[F64, F64]:
    """Continuum-free spectrum and weights on the logarithmic grid."""
    wave = np.exp(grid)
    good = spectra.good[row]
    flux = np.interp(wave, spectra.wave_aa[good], spectra.flux[row, good].astype(np.float64))
    variance = np.interp(wave, spectra.wave_aa[good], spectra.variance[row, good].astype(np.float64))
    usable = np.interp(wave, spectra.wave_aa, good.astype(np.float64)) > 0.99
    for line in sky_lines.SKY_LINES_AA:  # their residuals imitate emission lines
        usable &= np.abs(wave - line) > sky_lines.REACH_AA
    continuum = scipy.ndimage.median_filter(flux, _CONTINUUM_PIX, mode="nearest")
    usable &= continuum > 0
    safe = np.where(usable, continuum, 1.0)
    data = np.where(usable, flux / safe - 1.0, 0.0)
    weight = np.where(usable, 1.0 / (variance / safe**2 + _SOFTENING**2), 0.0)
    # A single bad pixel must not outvote the galaxy.
    limit = 5.0 * np.median(np.abs(data[usable])) * SIGMA_PER_MAD + 3.0
    return np.clip(data, -1.0, limit), weight


def _prepare_templates(basis: TemplateBasis) -> tuple[F64, Bool, F64]:
    """Continuum-free templates (T, m): stars of several ages, gas in the last row; and their grid."""
    grid = np.arange(np.log(basis.wave_aa[0]), np.log(basis.wave_aa[-1]), _STEP)
    metal = int(np.argmin(np.abs(basis.mh)))
    ages = np.arange(4, basis.spectrum.shape[0], 2)
    stars = [basis.spectrum[age, metal] for age in ages]
    rows = []
    for flux in [*stars, basis.young[metal] + basis.young_nebular[metal]]:
        value = np.interp(np.exp(grid), basis.wave_aa, flux.astype(np.float64))
        rows.append(value / scipy.ndimage.median_filter(value, _CONTINUUM_PIX, mode="nearest") - 1.0)
    rows[-1] = np.maximum(rows[-1], 0.0)
    return np.array(rows), np.ones(grid.size, dtype=bool), grid


def _explained_variance(data: F64, weight: F64, templates: F64, valid: Bool) -> F64:
    """Weighted variance that stars and gas explain at every shift of the full correlation."""
    size = weight.size + templates.shape[1] - 1
    length = scipy.fft.next_fast_len(size, real=True)
    spectrum, weights = (scipy.fft.rfft(values, length) for values in (weight * data, weight))
    parts = []
    for template in templates[:, ::-1] * valid[::-1]:
        n = scipy.fft.irfft(spectrum * scipy.fft.rfft(template, length), length)[:size]
        d = scipy.fft.irfft(weights * scipy.fft.rfft(template**2, length), length)[:size]
        enough = d > 1e-3 * d.max()
        parts.append(np.where(enough & (n > 0), n**2 / np.where(enough, d, 1.0), 0.0))
    return np.max(parts[:-1], axis=0) + parts[-1]
