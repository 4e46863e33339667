"""Which input carries the information: parts of it are replaced, and the accuracy lost is measured.

Permutation importance (Breiman 2001; Galceran et al. 2026, section 4.3): each pixel of a segment, or each band, takes
the values of other test objects at random, so that its statistics stay and its relation to the truth is lost. Besides:
no photometry (masked), no spectrum (all pixels permuted), and the continuum flattened (a second-order polynomial
subtracted).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from napari_sfh.instruments.instrument import Instrument
from napari_sfh.types import Observation

#: Width in Angstrom of the permuted segments.
SEGMENT_AA = 250.0
#: Regions of Hbeta and Halpha in Angstrom (Galceran et al. 2026).
LINE_REGIONS_AA = {"Hbeta": (4800.0, 5050.0), "Halpha": (6500.0, 6750.0)}

InputChange = Callable[[Observation, np.random.Generator], Observation]


def list_input_changes(instrument: Instrument) -> Iterator[tuple[str, InputChange]]:
    """Names and functions of every change that an instrument's data allow, the unchanged input first."""
    yield "all input", lambda data, rng: data
    for k, band in enumerate(instrument.band_names):
        yield f"without {band}", _band_permutation(k)
    wave_aa = instrument.wave_aa
    if instrument.bands and wave_aa.size:
        yield "no photometry", lambda data, rng: remove_photometry(data)
    if not wave_aa.size:
        return
    for lo in np.arange(wave_aa[0], wave_aa[-1] - 1, SEGMENT_AA):
        hi = min(lo + SEGMENT_AA, wave_aa[-1] + 1)
        yield f"without {lo:.0f}-{hi:.0f}", _range_permutation((float(lo), float(hi)))
    for name, limits in LINE_REGIONS_AA.items():
        if limits[0] < wave_aa[-1] and limits[1] > wave_aa[0]:
            yield f"without {name}", _range_permutation(limits)
    yield "no spectrum", _range_permutation((0.0, 1e5))
    yield "flat continuum", lambda data, rng: flatten_continuum(data)


def _band_permutation(band: int) -> InputChange:
    return lambda data, rng: permute_band(data, band, rng)


def _range_permutation(limits_aa: tuple[float, float]) -> InputChange:
    return lambda data, rng: permute_range(data, limits_aa, rng)


def permute_band(data: Observation, band: int, rng: np.random.Generator) -> Observation:
    """One band, with its error and mask, of other objects."""
    order = rng.permutation(data.n_bins)
    phot, error, mask = data.phot.copy(), data.phot_error.copy(), data.phot_mask.copy()
    phot[:, band], error[:, band], mask[:, band] = phot[order, band], error[order, band], mask[order, band]
    return replace(data, phot=phot, phot_error=error, phot_mask=mask)


def permute_range(data: Observation, limits_aa: tuple[float, float], rng: np.random.Generator) -> Observation:
    """Pixels in a range of wavelengths, each of other objects; errors and masks stay where they are."""
    wave_aa = data.instrument.wave_aa
    part = np.flatnonzero((limits_aa[0] <= wave_aa) & (limits_aa[1] > wave_aa))
    flux = data.flux.copy()
    flux[:, part] = rng.permuted(flux[:, part], axis=0)
    flux[~data.mask] = 0.0
    return replace(data, flux=flux)


def remove_photometry(data: Observation) -> Observation:
    """No band at all."""
    none = np.zeros_like(data.phot_mask)
    return replace(data, phot=np.zeros_like(data.phot), phot_mask=none)


def flatten_continuum(data: Observation) -> Observation:
    """The continuum's shape taken out: a fitted second-order polynomial subtracted, 1 added."""
    x = np.linspace(-1, 1, data.instrument.n_wave)
    basis = np.stack([np.ones_like(x), x, x**2])
    weight = data.mask.astype(float)
    normal = np.einsum("nw,iw,jw->nij", weight, basis, basis, optimize=True)
    right = np.einsum("nw,iw->ni", weight * data.flux, basis, optimize=True)
    smooth = np.linalg.solve(normal, right[..., None])[..., 0] @ basis
    flux = np.where(data.mask, data.flux - smooth + 1.0, 0.0).astype(np.float32)
    return replace(data, flux=flux)
