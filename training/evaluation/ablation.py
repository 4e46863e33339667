"""Which input carries the information: parts of it are replaced, and the accuracy lost is measured.

Permutation importance (Breiman 2001; Galceran et al. 2026, section 4.3): each pixel of a segment, or each band, takes
the values of other test objects at random, so that its statistics stay and its relation to the truth is lost. Besides:
no photometry (masked), no spectrum (all pixels permuted), and the continuum flattened (a second-order polynomial
subtracted). The same parts can be masked instead: a network that reads masks then knows that they are missing, where a
permuted part tells it something false.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from napari_sfh.instruments.instrument import Instrument
from napari_sfh.prep.observation import mask_gas_lines
from napari_sfh.training.fitting.augmentation import normalise_bands
from napari_sfh.types import F64, Observation

#: Width in Angstrom of the replaced segments.
SEGMENT_AA = 250.0
#: Edges in Angstrom of the segments that Galceran et al. (2026) name, for spectra that hold them all.
PAPER_SEGMENTS_AA = (4800.0, 5050.0, 5300.0, 5550.0, 5800.0, 6050.0, 6300.0, 6500.0, 6750.0, 7001.0)
#: How a part of the input is taken away.
CHANGE_KINDS = ("permuted", "masked")
#: The unchanged input.
ALL_INPUT = "all input"
#: Regions of Hbeta and Halpha in Angstrom (Galceran et al. 2026).
LINE_REGIONS_AA = {"Hbeta": (4800.0, 5050.0), "Halpha": (6500.0, 6750.0)}

InputChange = Callable[[Observation, np.random.Generator], Observation]


def list_input_changes(instrument: Instrument, kind: str = "permuted") -> Iterator[tuple[str, InputChange]]:
    """Names and functions of every change that an instrument's data allow, the unchanged input first.

    ``kind`` is one of `CHANGE_KINDS`. A spectrum cannot be masked as a whole: the networks need a part of it.

    Parameters
    ----------
    instrument : Instrument
    kind : str
        One of `CHANGE_KINDS`.

    Returns
    -------
    iterator of (str, function)
    """
    permuted = kind == "permuted"
    yield ALL_INPUT, lambda data, rng: data
    for k, band in enumerate(instrument.band_names):
        yield f"without {band}", _band_permutation(k) if permuted else _band_mask(k)
    wave_aa = instrument.wave_aa
    if instrument.bands and wave_aa.size:
        yield "no photometry", lambda data, rng: remove_photometry(data)
        if permuted:
            yield "all bands permuted", permute_photometry
    if not wave_aa.size:
        return
    change = _range_permutation if permuted else _range_mask
    for lo, hi in list_segments(wave_aa):
        yield f"without {lo:.0f}-{hi:.0f}", change((lo, hi))
    for name, limits in LINE_REGIONS_AA.items():
        if limits[0] < wave_aa[-1] and limits[1] > wave_aa[0]:
            yield f"without {name}", change(limits)
    if permuted:
        yield "no spectrum", _range_permutation((0.0, 1e5))
        yield "flat continuum", lambda data, rng: flatten_continuum(data)
    else:
        yield "without gas lines", lambda data, rng: mask_gas_lines(data)
        yield "without gas lines and bands", lambda data, rng: remove_photometry(mask_gas_lines(data))


def list_segments(wave_aa: F64) -> list[tuple[float, float]]:
    """Limits in Angstrom of the segments of a spectrum: the paper's where it holds them, else equal ones.

    Parameters
    ----------
    wave_aa : array (W,)
        Angstrom.

    Returns
    -------
    list of (float, float)
        Angstrom.
    """
    if wave_aa[0] <= PAPER_SEGMENTS_AA[0] and wave_aa[-1] >= PAPER_SEGMENTS_AA[-1] - 1:
        return list(pairwise(PAPER_SEGMENTS_AA))
    starts = np.arange(wave_aa[0], wave_aa[-1] - 1, SEGMENT_AA)
    return [(float(lo), float(min(lo + SEGMENT_AA, wave_aa[-1] + 1))) for lo in starts]


def _band_permutation(band: int) -> InputChange:
    return lambda data, rng: permute_band(data, band, rng)


def _range_permutation(limits_aa: tuple[float, float]) -> InputChange:
    return lambda data, rng: permute_range(data, limits_aa, rng)


def _band_mask(band: int) -> InputChange:
    return lambda data, rng: mask_band(data, band)


def _range_mask(limits_aa: tuple[float, float]) -> InputChange:
    return lambda data, rng: mask_wavelength_range(data, limits_aa)


def mask_band(data: Observation, band: int) -> Observation:
    """One band missing in every object.

    Parameters
    ----------
    data : Observation
        N objects.
    band : int
        Place in the instrument's bands, from 0.

    Returns
    -------
    Observation
        Its other bands are normalised anew.
    """
    kept = np.arange(data.phot.shape[1]) != band
    return normalise_bands(replace(data, phot=np.where(kept, data.phot, 0), phot_mask=data.phot_mask & kept))


def mask_wavelength_range(data: Observation, limits_aa: tuple[float, float]) -> Observation:
    """Pixels in a range of wavelengths missing in every object.

    Parameters
    ----------
    data : Observation
    limits_aa : (float, float)
        First wavelength, included, and last, not included, Angstrom.

    Returns
    -------
    Observation
    """
    wave_aa = data.instrument.wave_aa
    kept = (wave_aa < limits_aa[0]) | (wave_aa >= limits_aa[1])
    return replace(data, mask=data.mask & kept, flux=np.where(kept, data.flux, 0).astype(np.float32))


def permute_photometry(data: Observation, rng: np.random.Generator) -> Observation:
    """All bands, each of other objects.

    Parameters
    ----------
    data : Observation
        N objects.
    rng : numpy.random.Generator

    Returns
    -------
    Observation
        Each band permuted by itself, so that colours mean nothing.
    """
    for band in range(data.phot.shape[1]):
        data = permute_band(data, band, rng)
    return data


def permute_band(data: Observation, band: int, rng: np.random.Generator) -> Observation:
    """One band, with its error and mask, of other objects.

    Parameters
    ----------
    data : Observation
        N objects.
    band : int
        Place in the instrument's bands, from 0.
    rng : numpy.random.Generator

    Returns
    -------
    Observation
    """
    order = rng.permutation(data.n_bins)
    phot, error, mask = data.phot.copy(), data.phot_error.copy(), data.phot_mask.copy()
    phot[:, band], error[:, band], mask[:, band] = phot[order, band], error[order, band], mask[order, band]
    return replace(data, phot=phot, phot_error=error, phot_mask=mask)


def permute_range(data: Observation, limits_aa: tuple[float, float], rng: np.random.Generator) -> Observation:
    """Pixels in a range of wavelengths, each of other objects; errors and masks stay where they are.

    Parameters
    ----------
    data : Observation
        N objects.
    limits_aa : (float, float)
        As of `mask_wavelength_range`.
    rng : numpy.random.Generator

    Returns
    -------
    Observation
        Every pixel permuted by itself.
    """
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
