"""Night-sky lines beyond the range of MUSE's grid: where an instrument sees them, and only there."""

import numpy as np

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


def test_lists_for_simulation_and_preparation_agree():
    simulated = np.array([line for line, _ in SKY_LINES + FURTHER_SKY_LINES])
    for line in SKY_LINES_AA:
        assert np.abs(simulated - line).min() < 0.1, line


def test_a_residual_of_oh_is_masked_where_it_stands_out():
    wave = np.arange(8000.0, 8700.0, 1.25)
    rng = np.random.default_rng(1)
    flux = 10 + 0.1 * rng.standard_normal((2, wave.size))
    flux[1] += 8.0 * np.exp(-0.5 * ((wave - 8399.18) / 1.2) ** 2)
    good = np.ones(flux.shape, bool)
    spectra = BinSpectra(wave, flux.astype(np.float32), np.full(flux.shape, 0.01, np.float32), good, 1.0, True, None)
    masked, notes = mask_sky_residuals(spectra, 0.001)
    at = np.abs(wave - 8399.18) < 2
    assert not masked.good[1, at].any()
    assert masked.good[0].all()
    assert "8399" in notes[0]
