"""Cosmic rays are taken out of the spaxels that they hit; lines and the night sky are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from prep_toys import toy_bins, toy_cube

from napari_sfh.prep.bad_channels import mask_bad_channels
from napari_sfh.prep.narrow_features import find_narrow_features
from napari_sfh.prep.spectra import BinSpectra, extract_bin_spectra
from napari_sfh.prep.spikes import find_narrow_faults, find_spikes, remove_spikes
from napari_sfh.types import BinMap, Cube

WAVE = 4750.0 + 1.25 * np.arange(1600)
HALPHA = int(np.argmin(np.abs(WAVE - 6562.8)))
BINS = np.repeat(np.repeat([[1, 2], [3, 4]], 3, 0), 3, 1)


def make_flux(seed: int = 0) -> np.ndarray:
    """Spaxels (1600, 6, 6) of 100 +- 2 with lines as narrow as MUSE's."""
    flux = 100.0 + 2.0 * np.random.default_rng(seed).normal(size=(WAVE.size, 6, 6))
    for line, height in ((6562.8, 900.0), (5006.8, 4000.0), (5577.3, 300.0)):
        flux += height * np.exp(-0.5 * ((WAVE - line) / 1.06) ** 2)[:, None, None]
    return flux


def repair(flux: np.ndarray, bin_id: np.ndarray = BINS) -> tuple[BinSpectra, BinSpectra, tuple[str, ...]]:
    cube: Cube = toy_cube(flux, np.full(flux.shape, 4.0), wave=WAVE)
    bins: BinMap = toy_bins(bin_id)
    summed = extract_bin_spectra(cube, bins, slice(0, WAVE.size))
    repaired, left, notes = remove_spikes(summed, cube, bins, 0, None, 0.0)
    for told, found in zip(left, find_narrow_faults(repaired, 0.0)):
        np.testing.assert_array_equal(told, found)
    return summed, repaired, notes


def test_untouched_spectra_and_their_lines_stay() -> None:
    for seed in range(4):
        summed, repaired, notes = repair(make_flux(seed))
        assert not find_spikes(summed, 0.0).any()
        assert not find_narrow_features(summed, 0.0).any()
        assert repaired is summed
        assert notes == ()


@pytest.mark.parametrize(
    ("channel", "height"), [(40, 8000.0), (700, -8000.0), (701, 1e6), (HALPHA + 2, 1e5), (HALPHA - 1, -1e5)]
)
def test_the_spaxel_that_was_hit_is_left_out(channel: int, height: float) -> None:
    """The bin's sum comes from the other eight spaxels, scaled: within 4 of their own scatter."""
    flux = make_flux()
    truth, _, _ = repair(flux)
    flux[channel, 4, 1] += height
    summed, repaired, notes = repair(flux)
    assert np.argwhere(find_spikes(summed, 0.0)).tolist() == [[2, channel]]
    assert repaired.good.all()
    assert repaired.flux[2, channel] == pytest.approx(truth.flux[2, channel], abs=4 * 2.0 * 3 * 1.1)
    assert repaired.variance[2, channel] == pytest.approx(8 * 4.0 * (9 / 8) ** 2, rel=1e-5)
    others = np.ones(repaired.flux.shape, dtype=bool)
    others[2, channel] = False
    np.testing.assert_array_equal(repaired.flux[others], truth.flux[others])
    assert "1 pixels of spaxels" in notes[0]


def test_a_bin_of_one_spaxel_loses_the_pixel() -> None:
    flux = make_flux()[:, :2, :2]
    flux[300, 1, 1] += 9000.0
    _, repaired, _ = repair(flux, np.array([[1, 2], [3, 4]]))
    masked, notes = mask_bad_channels(repaired, 0.0)
    assert np.argwhere(~masked.good).tolist() == [[3, 300]]
    assert "1 in 1 bins" in notes[0]


def test_what_is_in_most_bins_is_no_cosmic_ray() -> None:
    """A residual of the night sky, and a channel of another scale: left to other rules."""
    flux = make_flux()
    flux[800] *= 3.0
    summed, repaired, notes = repair(flux)
    assert notes == ()
    np.testing.assert_array_equal(repaired.flux, summed.flux)


def add_shape(flux: np.ndarray, channel: int, shape: tuple[float, ...], height: float, spaxels=...) -> None:
    for k, share in enumerate(shape):
        flux[channel + k][spaxels] += height * share


@pytest.mark.parametrize("shape", [(1.0, 0.8), (0.6, 1.0, 0.5)])
@pytest.mark.parametrize("height", [800.0, 9000.0, -900.0])
def test_a_spaxel_hit_over_some_channels_is_left_out_of_them(shape: tuple[float, ...], height: float) -> None:
    flux = make_flux()
    truth, _, _ = repair(flux)
    add_shape(flux, 300, shape, height, (4, 1))
    _, repaired, notes = repair(flux)
    assert repaired.good.all()
    hit = slice(300, 300 + len(shape))
    np.testing.assert_allclose(repaired.flux[2, hit], truth.flux[2, hit], atol=4 * 2.0 * 3 * 1.1)
    others = np.ones(repaired.flux.shape, dtype=bool)
    others[2, hit] = False
    np.testing.assert_array_equal(repaired.flux[others], truth.flux[others])
    assert f"{len(shape)} pixels of spaxels" in notes[0]


@pytest.mark.parametrize("shape", [(1.0, 0.8), (0.6, 1.0, 0.5), (0.07, 0.5, 1.0, 0.5, 0.07)])
@pytest.mark.parametrize("height", [60.0, 500.0, -70.0, -300.0])
def test_a_narrow_feature_of_all_bins_is_masked(shape: tuple[float, ...], height: float) -> None:
    """Where it is strong its wings go with it; the mask is as narrow as it."""
    flux = make_flux()
    add_shape(flux, 1000, shape, height)
    _, repaired, _ = repair(flux)
    masked, notes = mask_bad_channels(repaired, 0.0)
    core = [1000 + k for k, share in enumerate(shape) if share >= 0.5]
    assert not masked.good[:, core].any()
    assert np.flatnonzero(~masked.good.all(0)).size <= len(shape)
    assert any("6000.0" in note or "6001.2" in note for note in notes)


@pytest.mark.parametrize("line", [6562.8, 5006.8, 5015.7, 6312.1, 5577.3])
@pytest.mark.parametrize("height", [100.0, 3000.0])
def test_unresolved_lines_of_gas_and_sky_are_left_alone(line: float, height: float) -> None:
    flux = make_flux()
    flux += height * np.exp(-0.5 * ((WAVE - line * 1.0004) / 1.06) ** 2)[:, None, None]
    summed, repaired, notes = repair(flux)
    assert repaired is summed
    assert notes == ()
    masked, _ = mask_bad_channels(summed, 0.0)
    assert masked.good.all()


@pytest.mark.parametrize("depth", [-24.0, 19.0])
def test_the_strongest_features_of_stars_are_left_alone(depth: float) -> None:
    """An old metal-rich population without dispersion: 0.29 deep in Mg b over three channels, 0.18 high beside it."""
    flux = make_flux()
    flux += depth * 1.35 * np.exp(-0.5 * ((WAVE - (5183.6 if depth < 0 else 5186.0)) / 1.3) ** 2)[:, None, None]
    summed, _, _ = repair(flux)
    assert not find_narrow_features(summed, 0.0).any()
