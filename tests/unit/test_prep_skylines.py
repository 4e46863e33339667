"""Night-sky residuals are masked where they stand out, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from napari_sfh.prep import sky_lines
from napari_sfh.prep.spectra import BinSpectra

#: No line of the galaxy comes near a night-sky line at this redshift.
Z = 0.02
WAVE = np.arange(5200.0, 6500.0, 1.25)


@pytest.fixture
def spectra() -> BinSpectra:
    rng = np.random.default_rng(2)
    flux = (1 + 0.05 * np.sin(WAVE / 90.0) + 0.02 * rng.standard_normal((40, WAVE.size))).astype(np.float32)
    return BinSpectra(WAVE, flux, np.full_like(flux, 0.02**2), np.ones(flux.shape, bool), 1.0, True)


def line(height: float, at: float, sigma: float = 1.1) -> np.ndarray:
    return height * np.exp(-0.5 * ((WAVE - at) / sigma) ** 2)


def test_clean_spectra_are_left_alone(spectra: BinSpectra) -> None:
    out, notes = sky_lines.mask_sky_residuals(spectra, Z)
    assert out is spectra
    assert notes == ()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_residual_of_either_sign_is_masked_in_its_bins_alone(spectra: BinSpectra, sign: int) -> None:
    flux = spectra.flux.copy()
    flux[3:7] += sign * line(0.6, 5577.34)
    out, notes = sky_lines.mask_sky_residuals(replace(spectra, flux=flux), Z)
    near = np.abs(WAVE - 5577.34) <= sky_lines.REACH_AA
    assert not out.good[3:7][:, near].any()
    assert out.good[3:7][:, ~near].all()
    assert out.good[:3].all()
    assert out.good[7:].all()
    assert (out.flux[~out.good] == 0).all()
    (note,) = notes
    assert "5577 A in 4 of 40 bins" in note
    assert spectra.good.all()


def test_errors_that_are_too_small_mask_nothing(spectra: BinSpectra) -> None:
    # Stated errors a fifth of the true ones: the scatter beside the line is what counts.
    _, notes = sky_lines.mask_sky_residuals(replace(spectra, variance=spectra.variance / 25), Z)
    assert notes == ()


def test_features_of_stars_are_no_residuals(spectra: BinSpectra) -> None:
    # A noiseless spectrum with an absorption line of 25 % just there.
    smooth = np.broadcast_to(1 - line(0.25, 5577.34, 2.0), spectra.flux.shape).astype(np.float32)
    exact = replace(spectra, flux=smooth, variance=np.full_like(smooth, 1e-10))
    assert sky_lines.mask_sky_residuals(exact, Z)[1] == ()


def test_a_galaxys_own_line_elsewhere_stays(spectra: BinSpectra) -> None:
    flux = spectra.flux + line(2.0, 5800.0).astype(np.float32)
    out, notes = sky_lines.mask_sky_residuals(replace(spectra, flux=flux), Z)
    assert out.good.all()
    assert notes == ()


def test_a_galaxys_line_on_a_night_sky_line_stays(spectra: BinSpectra) -> None:
    # He I 5876 at z = 0.0025 lies on the sodium of the night sky.
    flux = spectra.flux + line(0.5, 5875.6 * 1.0025, 2.0).astype(np.float32)
    assert sky_lines.mask_sky_residuals(replace(spectra, flux=flux), 0.0025)[1] == ()
    assert "5890 A in 40" in sky_lines.mask_sky_residuals(replace(spectra, flux=flux), Z)[1][0]


def test_bad_channels_and_spectra_that_end_before(spectra: BinSpectra) -> None:
    good = spectra.good.copy()
    good[0] = False
    good[1, np.abs(WAVE - 5577.34) < 3] = False
    out, notes = sky_lines.mask_sky_residuals(replace(spectra, good=good), Z)
    np.testing.assert_array_equal(out.good, good)
    short = WAVE < 5500
    cut = BinSpectra(WAVE[short], spectra.flux[:, short], spectra.variance[:, short], good[:, short], 1.0, True)
    assert sky_lines.mask_sky_residuals(cut, Z)[1] == notes == ()
