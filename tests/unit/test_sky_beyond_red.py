"""Night-sky lines beyond the range of MUSE's grid: where an instrument sees them, and only there."""

import numpy as np
import pytest

from napari_sfh.instruments.files import load_instrument
from napari_sfh.instruments.instrument import SpectrumGrid
from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.prep.sky_lines import SKY_LINES_AA, mask_sky_residuals
from napari_sfh.prep.spectra import BinSpectra
from napari_sfh.training.simulator.noise import FURTHER_SKY_LINES, SKY_LINES, list_sky_lines

RED = SpectrumGrid(6800.0, 9400.0, (7100.0, 7300.0), LineSpread("constant_r", 2000.0), step_aa=2.0)


def test_oh_lines_are_those_of_red_instruments():
    assert list_sky_lines(load_instrument().grid) == SKY_LINES
    red = {line for line, _ in list_sky_lines(RED)} - {line for line, _ in SKY_LINES}
    assert red == {line for line, _ in FURTHER_SKY_LINES if line > 6800}
    assert any(line < 4500 for line, _ in list_sky_lines(load_instrument("optical").grid))


#: Street lamps, air wavelengths of NIST: mercury, sodium's D lines, and sodium at high pressure.
LAMPS_AA = {
    "Hg": (4046.563, 4358.335, 5460.750, 5769.598, 5790.663),
    "Na D": (5889.951, 5895.924),
    "Na, high pressure": (5682.633, 5688.205, 8183.256, 8194.824),
}
#: Osterbrock et al. (1996, 1997), the mean of Lambda doublets; and the lamps.
PUBLISHED_AA = (
    *LAMPS_AA["Hg"], *LAMPS_AA["Na, high pressure"],
    5577.338, 5889.953, 5895.923, 5915.301, 5932.862, 5953.420, 6257.961, 6287.434, 6300.304,
    6363.780, 6498.729, 6533.044, 6553.617, 6577.285, 6863.955, 6870.994, 6889.288, 6900.833, 6912.623, 6923.220,
    6939.521, 6949.044, 6978.413, 7003.858, 7011.41, 7276.405, 7316.282, 7340.885, 7750.640, 7794.112, 7821.503,
    7913.708, 7964.650, 7993.332, 8344.602, 8399.170, 8430.174, 8827.096, 8885.850, 8919.635, 8943.395, 8958.084,
    9001.346, 9337.854, 9375.961, 9439.650,
)  # fmt: skip


def test_wavelengths_are_the_published_ones():
    ours = np.array([line for line, _ in SKY_LINES + FURTHER_SKY_LINES])
    for published in PUBLISHED_AA:
        assert np.abs(ours - published).min() < 0.05, published
    known = [line for line, _ in FURTHER_SKY_LINES if np.abs(np.array(PUBLISHED_AA) - line).min() < 0.05]
    assert len(known) == len(FURTHER_SKY_LINES)


@pytest.mark.parametrize("lamp", LAMPS_AA)
def test_lamps_are_in_both_lists(lamp):
    simulated = dict(SKY_LINES + FURTHER_SKY_LINES)
    for line in LAMPS_AA[lamp]:
        assert min(abs(line - ours) for ours in SKY_LINES_AA) < 0.02
        assert 0.1 <= next(strength for ours, strength in simulated.items() if abs(ours - line) < 0.02) <= 0.4


def test_lists_for_simulation_and_preparation_agree():
    simulated = np.array([line for line, _ in SKY_LINES + FURTHER_SKY_LINES])
    for line in SKY_LINES_AA:
        assert np.abs(simulated - line).min() < 0.1, line


@pytest.mark.parametrize("line", [5460.75, 8399.17])  # mercury, OH
def test_a_residual_is_masked_where_it_stands_out(line):
    wave = np.arange(line - 300.0, line + 300.0, 1.25)
    rng = np.random.default_rng(1)
    flux = 10 + 0.1 * rng.standard_normal((2, wave.size))
    flux[1] += 8.0 * np.exp(-0.5 * ((wave - line) / 1.2) ** 2)
    good = np.ones(flux.shape, bool)
    spectra = BinSpectra(wave, flux.astype(np.float32), np.full(flux.shape, 0.01, np.float32), good, 1.0, True, None)
    masked, notes = mask_sky_residuals(spectra, 0.001)
    at = np.abs(wave - line) < 2
    assert not masked.good[1, at].any()
    assert masked.good[0].all()
    assert f"{line:.0f}" in notes[0]
