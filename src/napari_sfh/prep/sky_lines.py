"""Residuals of the strongest night-sky lines, masked bin by bin where they stand out.

Sky subtraction leaves residuals of one sign in neighbouring spaxels, so that summing spaxels raises them above the
noise; at a galaxy's redshift they fall on other rest wavelengths than any that the network has seen. Lines: Osterbrock
et al. (1996, PASP 108, 277); sodium is also what the Milky Way's gas absorbs. A night-sky line near a line of the
galaxy is left alone: which of them stands out, no spectrum tells.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_sfh.physics.filters import compute_row_medians
from napari_sfh.physics.lines import GAS_LINES_AA
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.prep.spectra import BinSpectra
from napari_sfh.types import F64, Bool

#: Air, Angstrom: Hg of street lamps, and Na of those at high pressure besides its D lines (Osterbrock & Martel 1992,
#: PASP 104, 76); [O I], Na D, [O I], and the strong OH lines.
SKY_LINES_AA: tuple[float, ...] = (
    4046.56, 4358.33, 5460.75, 5769.60, 5790.66, 5682.63, 5688.20, 8183.26, 8194.82,
    5577.34, 5889.95, 5895.92, 6300.30, 6363.78, 7276.41, 7316.28, 7340.89, 7750.64, 7794.11, 7821.50, 7913.71, 7964.65,
    7993.33, 8344.60, 8399.17, 8430.17, 8827.10, 8885.85, 8919.64, 8958.08, 9337.85, 9375.96, 9439.65,
)  # fmt: skip
#: Half-width of what is masked: the whole of a line that MUSE sees 2.6 Angstrom wide.
REACH_AA = 5.0
_SIDE_AA = 25.0
_SODIUM_AA = (5889.95, 5895.92)
_GALAXY_LINE_AA = 15.0  # a rotation of 300 km/s, and both lines' widths
_STANDS_OUT = 5.0  # standard deviations
#: Shares of the continuum that a residual must reach above it, and below it, where stars have lines of their own.
_LEAST_ABOVE, _LEAST_BELOW = 0.1, 0.3


def mask_sky_residuals(spectra: BinSpectra, redshift: float) -> tuple[BinSpectra, tuple[str, ...]]:
    """Call channels bad where a night-sky line's residual stands out, in either direction.

    Parameters
    ----------
    spectra : BinSpectra
        N bins, observed frame.
    redshift : float
        Of the galaxy.

    Returns
    -------
    spectra : BinSpectra
        The same with fewer good channels.
    notes : tuple of str
        One line if anything was masked: which lines, in how many bins.
    """
    good = spectra.good.copy()
    own = np.array([*GAS_LINES_AA, *_SODIUM_AA]) * (1 + redshift)
    said = []
    for line in SKY_LINES_AA:
        near = np.abs(spectra.wave_aa - line) <= REACH_AA
        if near.sum() < 3 or np.abs(own - line).min() < _GALAXY_LINE_AA:
            continue
        hit = _stands_out(spectra, line, near)
        if hit.any():
            good[np.ix_(hit, near)] = False
            said.append(f"{line:.0f} A in {int(hit.sum())}")
    if not said:
        return spectra, ()
    note = f"residuals of night-sky lines masked: {', '.join(said)} of {spectra.n_bins} bins"
    flux, variance = (np.where(good, a, 0.0).astype(np.float32) for a in (spectra.flux, spectra.variance))
    return replace(spectra, flux=flux, variance=variance, good=good), (note,)


def _stands_out(spectra: BinSpectra, line: float, near: Bool) -> Bool:
    """Bins (N,) whose flux within 2 Angstrom of a line stands out of the continuum beside it.

    Sigma is the stated error or the scatter beside the line, whichever is larger: what is beside it is no residual.
    """
    away = np.abs(spectra.wave_aa - line)
    beside, core = (away <= _SIDE_AA) & ~near, away <= 2.0
    if beside.sum() < 10 or not core.any():
        return np.zeros(spectra.n_bins, dtype=bool)
    side = np.where(spectra.good[:, beside], spectra.flux[:, beside], np.nan).astype(np.float64)
    known = np.isfinite(side).sum(1) >= 10
    level = np.zeros(spectra.n_bins)
    scatter = np.full(spectra.n_bins, np.inf)
    level[known] = compute_row_medians(side[known])
    scatter[known] = SIGMA_PER_MAD * compute_row_medians(np.abs(side[known] - level[known, None]))
    used = spectra.good[:, core]
    n = np.maximum(used.sum(1), 1)
    mean: F64 = np.where(used, spectra.flux[:, core], 0.0).sum(1, dtype=np.float64) / n
    stated = np.sqrt(np.where(used, spectra.variance[:, core], 0.0).sum(1, dtype=np.float64)) / n
    sigma = np.maximum(stated, scatter / np.sqrt(n))
    off = mean - level
    limit = np.maximum(_STANDS_OUT * sigma, np.where(off > 0, _LEAST_ABOVE, _LEAST_BELOW) * np.abs(level))
    return np.asarray(known & used.any(1) & (np.abs(off) > limit))
