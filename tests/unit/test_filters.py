"""Photometry against sources whose magnitudes are known."""

import numpy as np
import pytest

from napari_sfh.errors import SfhInputError
from napari_sfh.physics import filters
from napari_sfh.physics.filters import Filter
from napari_sfh.physics.wavelength import C_AA_S

WAVE = np.arange(1900.0, 10500.0, 10.0)


def band(lo=5000.0, hi=6000.0, n=40):
    wave = np.linspace(lo, hi, n)
    return Filter.from_curve("F555W", "UVIS", wave, np.sin(np.pi * np.linspace(0, 1, n)) * (wave / lo))


@pytest.mark.parametrize("edges", [(2300.0, 3200.0), (5000.0, 6000.0), (7000.0, 9700.0)])
def test_constant_f_nu_of_ab_zero_has_magnitude_zero(edges):
    one = band(*edges)
    f_lambda = 10 ** (-0.4 * 48.60) * C_AA_S / WAVE**2
    assert filters.ab_mag(one, filters.mean_flux_density(one, WAVE, f_lambda)) == pytest.approx(0.0, abs=2e-4)


def test_ab_magnitude_of_1_jansky_by_hand():
    """1 Jy = 1e-23 erg/s/cm2/Hz has AB 8.90."""
    one = band()
    assert filters.ab_mag(one, 1e-23 * C_AA_S / one.pivot_aa**2) == pytest.approx(8.90, abs=1e-3)
    assert filters.flux_from_ab(one, 8.9) == pytest.approx(1e-23 * C_AA_S / one.pivot_aa**2, rel=1e-3)


def test_photons_are_counted_not_energy():
    """Through a box of 4000-6000 AA, f = lambda averages to int l^2 / int l = 5066.67, not 5000."""
    box = Filter.from_curve("box", "X", np.array([3999.99, 4000.0, 6000.0, 6000.01]), np.array([0.0, 1.0, 1.0, 0.0]))
    assert filters.mean_flux_density(box, WAVE, WAVE) == pytest.approx(5066.67, abs=0.05)


def test_a_flat_spectrum_has_its_own_level_and_weights_sum_to_one():
    assert filters.mean_flux_density(band(), WAVE, np.full((3, WAVE.size), 2.5)) == pytest.approx([2.5] * 3)
    np.testing.assert_allclose(filters.filter_weight_matrix((band(), band(7000, 8000)), WAVE).sum(0), 1.0)


def test_pivot_of_a_box():
    """l_p^2 = (l2^2 - l1^2) / (2 ln(l2 / l1))."""
    box = Filter.from_curve("box", "X", np.linspace(4000, 6000, 401), np.ones(401))
    expected = np.sqrt((6000**2 - 4000**2) / (2 * np.log(1.5)))
    assert box.pivot_aa == pytest.approx(expected, rel=1e-6)
    few_points = filters.make_trapezoid_filter("box", "X", 5000.0, 2000.0)
    assert few_points.pivot_aa == pytest.approx(expected, abs=0.01)


def test_a_curve_of_few_points_is_that_of_many():
    """A filter is linear between its points, however far apart they are."""
    few = filters.make_trapezoid_filter("J0515", "JPCam", 5150.0, 1450.0, 250.0)
    wave = np.union1d(np.linspace(few.wave_aa[0], few.wave_aa[-1], 5001), few.wave_aa)
    many = Filter.from_curve("J0515", "JPCam", wave, np.interp(wave, few.wave_aa, few.throughput))
    assert few.pivot_aa == pytest.approx(many.pivot_aa, abs=1e-3)
    rough = np.array([4000.0, 5000.0, 5600.0, 7000.0])
    light = np.array([1.0, 3.0, 0.5, 2.0])
    by_few, by_many = (filters.mean_flux_density(one, rough, light) for one in (few, many))
    assert by_few == pytest.approx(float(by_many), rel=1e-6)


def test_a_narrow_filter_on_a_coarse_spectrum():
    """A filter narrower than the spectrum's steps still reads the interpolated spectrum."""
    narrow = band(5502.0, 5508.0, 9)
    coarse = np.arange(1900.0, 10500.0, 100.0)
    assert filters.mean_flux_density(narrow, coarse, coarse) == pytest.approx(5505.0, abs=0.1)


def test_magnitude_of_no_light_is_nan_without_a_warning():
    assert np.isnan(filters.ab_mag(band(), np.array([-1.0, 0.0]))).all()


def test_zero_tails_are_trimmed():
    wave = np.linspace(1000, 20000, 1901)
    one = Filter.from_curve("F", "X", wave, np.exp(-0.5 * ((wave - 5500) / 100) ** 2))
    assert one.wave_aa[0] > 5000
    assert one.wave_aa[-1] < 6000


@pytest.mark.parametrize(
    ("wave", "curve", "message"),
    [
        ([5000.0, 4000.0], [1.0, 1.0], "increase in wavelength"),
        ([4000.0, 5000.0], [1.0, -1.0], "must be >= 0"),
        ([4000.0, 5000.0], [0.0, 0.0], "zero everywhere"),
        ([4000.0, 5000.0], [1.0, np.nan], "must be finite"),
        ([4000.0, 5000.0], [1.0], "do not match"),
    ],
)
def test_bad_curves_are_named(wave, curve, message):
    with pytest.raises(SfhInputError, match=f"filter ACS F814W: .*{message}"):
        Filter.from_curve("F814W", "ACS", np.array(wave), np.array(curve))


def test_a_spectrum_that_does_not_cover_the_filter_is_an_error():
    with pytest.raises(SfhInputError, match="UVIS F555W spans 5000-6000 AA, the spectrum 5200-7000"):
        filters.mean_flux_density(band(), np.arange(5200.0, 7001.0), np.ones(1801))
