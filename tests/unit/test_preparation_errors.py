"""Errors of preparation: shifts, widths and telluric bands against analytic line profiles."""

from dataclasses import replace

import numpy as np
import pytest
from muse_hst import MUSE_HST, WAVE_AA
from synthetic_toys import toy_model, toy_source

from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training.simulator import simulation
from napari_sfh.training.simulator.preparation_errors import (
    PreparationErrors,
    add_preparation_errors,
    make_telluric_profiles,
)

LINE_AA, SIGMA_AA = 5900.0, 5.0


class Fixed(np.random.Generator):
    """Every standard normal number is the one that is given."""

    def __init__(self, value):
        super().__init__(np.random.PCG64(1))
        self.value = value

    def standard_normal(self, size=None, dtype=np.float64):
        return np.full(size, self.value, dtype)


@pytest.fixture(scope="module")
def clean():
    """Two objects whose spectrum is one Gaussian absorption line."""
    made, _ = simulation.draw_noiseless_objects(toy_source().config, toy_model(), np.random.default_rng(1), 2)
    line = 1 - 0.5 * np.exp(-0.5 * ((WAVE_AA - LINE_AA) / SIGMA_AA) ** 2)
    params = replace(made.params, sigma_star_kms=np.full(2, 100.0), redshift=np.zeros(2))
    return replace(made, flux=np.tile(line, (2, 1)).astype(np.float32), params=params)


def moments(flux):
    depth = 1 - flux.astype(float)
    centre = (depth * WAVE_AA).sum() / depth.sum()
    return centre, np.sqrt((depth * (WAVE_AA - centre) ** 2).sum() / depth.sum())


def test_a_velocity_error_moves_a_line_by_its_doppler_shift(clean):
    out = add_preparation_errors(clean, PreparationErrors(velocity_kms=20.0), Fixed(1.0))
    centre, width = moments(out.flux[0])
    assert centre - LINE_AA == pytest.approx(LINE_AA * 20 / C_KMS, rel=0.02)
    assert width == pytest.approx(SIGMA_AA, rel=0.01)


@pytest.mark.parametrize("share", [0.15, -0.15])
def test_a_dispersion_error_adds_to_the_square_of_the_width(clean, share):
    out = add_preparation_errors(clean, PreparationErrors(sigma=0.15), Fixed(np.sign(share)))
    centre, width = moments(out.flux[0])
    expected = SIGMA_AA**2 + ((1 + share) ** 2 - 1) * (100.0 / C_KMS * LINE_AA) ** 2
    assert width**2 == pytest.approx(expected, rel=0.01)
    assert centre == pytest.approx(LINE_AA, abs=0.02)


def test_telluric_bands_stay_where_the_atmosphere_has_them(clean):
    near, far = make_telluric_profiles(WAVE_AA, np.array([0.0, 0.01]))
    assert near[np.searchsorted(WAVE_AA, 6875.0)] == pytest.approx(0.6)
    assert far[np.searchsorted(WAVE_AA, 6875.0 / 1.01)] == pytest.approx(0.6)
    assert (near[WAVE_AA < 6270] == 0).all()
    out = add_preparation_errors(clean, PreparationErrors(telluric=0.1), Fixed(-1.0))
    np.testing.assert_allclose(out.flux[0], clean.flux[0] * (1 - 0.1 * near), rtol=1e-5)


def test_nothing_is_copied_where_nothing_is_wrong(clean):
    before = clean.flux.copy()
    assert add_preparation_errors(clean, PreparationErrors(), Fixed(1.0)) is clean
    add_preparation_errors(clean, PreparationErrors(10.0, 0.1, 0.1), Fixed(1.0))
    assert np.array_equal(before, clean.flux)
    assert clean.instrument.sha256 == MUSE_HST.sha256
