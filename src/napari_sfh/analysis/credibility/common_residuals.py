"""Narrow features that most bins have beyond their models, away from gas, sky and what stars vary in.

A few faulty channels of 10 % of the continuum are no stronger than lines of stars, so that nothing before the
prediction tells them (`prep.narrow_features`), yet they move ages by 0.05 dex, near 5250 Angstrom by 0.1 dex. A model
of stars cannot follow them: on four bins of the mock the residual of 10 % in 2.6 Angstrom is 3 to 4.5 %, while without
a fault no pixel away from gas differs by more than 0.5 %.
"""

from __future__ import annotations

import numpy as np

from napari_sfh.physics.filters import compute_row_medians
from napari_sfh.physics.lines import GAS_LINES_AA, HIGH_BALMER_AA, find_stellar_pixels
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.prep.sky_lines import REACH_AA, SKY_LINES_AA
from napari_sfh.types import F32, F64, Bool, Observation

#: Least residual over the model, in how many standard deviations of the pixels, in how many pixels in a row.
_LEAST, _SIGMAS, _PIXELS = 0.03, 6.0, 2
#: Bins that tell: least S/N, and how many.
_LEAST_SNR, _LEAST_BINS = 20.0, 3
#: Angstrom to both sides of a pixel over which the residual's level is taken.
_LEVEL_AA = 25.0
#: What lies between star and us (Na D), to both sides, and what alpha elements deepen (Mg b), rest frame in Angstrom.
_SODIUM_AA, _MAGNESIUM_AA = (5875.0, 5911.0), (5150.0, 5200.0)
#: Also between star and us: Ca H and K.
_CALCIUM_AA = (3933.66, 3968.47)


def describe_common_residuals(
    data: Observation, model_flux: F32 | None, ood: F32, snr: F32, redshift: float
) -> tuple[str, ...]:
    """A note on the wavelengths where most bins differ from their models by a narrow feature.

    Parameters
    ----------
    data : Observation
        N bins.
    model_flux : array (N, W) or None
        Spectra of the predictions.
    ood : array (N,)
        OOD scores: bins beyond 1 are warned of by themselves.
    snr : array (N,)
    redshift : float
        Of the galaxy, for the night sky's lines and the wavelengths of the note.

    Returns
    -------
    tuple of str
        Empty where there is none, or too few bins tell.
    """
    if model_flux is None or not data.instrument.n_wave:
        return ()
    rows = np.flatnonzero((ood <= 1) & (snr >= _LEAST_SNR))
    if rows.size < _LEAST_BINS:
        return ()
    wave = data.instrument.wave_aa
    known = data.mask[rows] & (model_flux[rows] > 0)
    ratio = np.divide(data.flux[rows], model_flux[rows], out=np.full(known.shape, np.nan, np.float32), where=known)
    common = compute_row_medians(np.ascontiguousarray(ratio.T)).astype(np.float64) - 1
    places = _find_features(common - _measure_level(common, wave), wave, redshift)
    if not places:
        return ()
    told = ", ".join(f"{size:+.0%} at {at * (1 + redshift):.0f} A" for at, size in places[:4])
    return (
        f"most bins differ from their models by a narrow feature ({told}, observed) where neither stars nor gas have "
        "one: faulty channels? Ages may be off by 0.1 dex; look at the cube there",
    )


def _measure_level(residual: F64, wave: F64) -> F64:
    """Median (W,) of the residuals near each pixel; where nothing lies near, it is NaN, and nothing is judged."""
    first = np.searchsorted(wave, wave - _LEVEL_AA, "right")
    near = first[:, None] + np.arange((np.searchsorted(wave, wave + _LEVEL_AA, "left") - first).max())
    inside = np.abs(wave[near.clip(max=wave.size - 1)] - wave[:, None]) < _LEVEL_AA
    inside &= near < wave.size
    known = np.where(np.isfinite(residual), residual, np.nan)
    return np.asarray(compute_row_medians(np.where(inside, known[near.clip(max=wave.size - 1)], np.nan)))


def _find_features(residual: F64, wave: F64, redshift: float) -> list[tuple[float, float]]:
    """Rest wavelength and size of the features of a residual (W,), the strongest first."""
    usable = _find_judged_pixels(wave, redshift) & np.isfinite(residual)
    if usable.sum() < 100:
        return []
    noise = SIGMA_PER_MAD * float(np.median(np.abs(residual[usable])))
    strong = usable & (np.abs(residual) > max(_LEAST, _SIGMAS * noise))
    strong &= (residual > 0) | (wave < _MAGNESIUM_AA[0]) | (wave > _MAGNESIUM_AA[1])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], strong.astype(int), [0]])))
    runs = [slice(a, b) for a, b in zip(edges[::2], edges[1::2]) if b - a >= _PIXELS]
    peaks = [run.start + int(np.argmax(np.abs(residual[run]))) for run in runs]
    return sorted(((float(wave[k]), float(residual[k])) for k in peaks), key=lambda place: -abs(place[1]))


def _find_judged_pixels(wave: F64, redshift: float) -> Bool:
    """Pixels (W,) on no line of gas, of the night sky, of sodium, or of young stars."""
    seen = wave * (1 + redshift)
    sky = np.abs(seen[:, None] - np.array(SKY_LINES_AA)).min(1) < 2 * REACH_AA
    sodium = (wave > _SODIUM_AA[0]) & (wave < _SODIUM_AA[1])
    lines = (*GAS_LINES_AA, *HIGH_BALMER_AA, *_CALCIUM_AA)
    return np.asarray(find_stellar_pixels(wave, lines) & ~sky & ~sodium)
