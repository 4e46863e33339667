"""The compact basis against sums written out by hand."""

import numpy as np
import pytest
from muse_hst import NORM_PIXELS, NORM_WINDOW_AA, WAVE_AA
from template_toys import level, no_download, toy_grid, toy_library

from napari_sfh.errors import SfhInputError
from napari_sfh.physics import dust
from napari_sfh.physics.ages import AGE_EDGES_GYR, N_AGE
from napari_sfh.physics.filters import mean_flux_density
from napari_sfh.physics.mass_to_light import find_bracket
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.training.libraries import templates
from napari_sfh.training.libraries.basis import make_template_basis


@pytest.fixture(scope="module")
def toy():
    with pytest.MonkeyPatch.context() as patch:
        no_download(patch)
        return templates.build_templates(toy_library(), grid=toy_grid())


@pytest.fixture(scope="module")
def basis(toy):
    return make_template_basis(toy)


def one_bin(number):
    mass = np.zeros((1, N_AGE))
    mass[0, number] = 1.0
    return mass


def test_each_bin_is_the_time_average_of_its_ssps(basis):
    ages = np.linspace(AGE_EDGES_GYR[9], AGE_EDGES_GYR[10], 4001)
    assert basis.spectrum[9, 1, 100] == pytest.approx(level(ages, 0.0).mean(), rel=1e-3)


def test_the_first_bin_is_split_at_10_myr_by_time(basis):
    """10/14 of the mass formed is younger; with the light of each part its own average."""
    young = level(np.linspace(1e-6, 0.010, 20001).clip(0.0005), 0.0).mean() * 10 / 14
    old = level(np.linspace(0.010, 0.014, 4001), 0.0).mean() * 4 / 14
    assert basis.young[1, 100] == pytest.approx(young, rel=2e-3)
    # Gas of 10-14 Myr stars adds its continuum.
    assert old < basis.spectrum[0, 1, 100] < old * 1.05


def test_reconstruction_without_dust_is_the_template(basis):
    flux, phot = basis.reconstruct(one_bin(12), np.zeros((1, N_AGE)), np.zeros(1), np.zeros(1))
    expected = basis.spectrum[12, 1]
    np.testing.assert_allclose(flux[0], expected / expected[NORM_PIXELS].mean(), rtol=1e-5)
    for number, band in enumerate(basis.filters):
        by_hand = mean_flux_density(band, basis.sed_wave_aa, basis.sed[12, 1]) / expected[NORM_PIXELS].mean()
        assert phot[0, number] == pytest.approx(by_hand, rel=1e-5)


def test_two_dust_components_by_hand(basis):
    """Bin 0 behind both screens except its 10-14 Myr part; photometry is attenuated before it is integrated."""
    tau_ism, tau_bc, slope = 0.4, 1.3, -1.1
    flux, phot = basis.reconstruct(
        one_bin(0), np.zeros((1, N_AGE)), np.array([tau_ism]), np.array([tau_bc]), np.array([slope])
    )
    light = []
    for wave, old, young, gas in (
        (basis.wave_aa, basis.spectrum, basis.young, basis.young_nebular),
        (basis.sed_wave_aa, basis.sed, basis.young_sed, basis.young_nebular_sed),
    ):
        ism, clouds = (np.exp(-tau * (wave / 5500.0) ** slope) for tau in (tau_ism, tau_bc))
        light.append(ism * (old[0, 1] + clouds * (young[1] + gas[1])))
    norm = light[0][NORM_PIXELS].mean()
    np.testing.assert_allclose(flux[0], light[0] / norm, rtol=2e-5)
    by_hand = [mean_flux_density(band, basis.sed_wave_aa, light[1]) / norm for band in basis.filters]
    np.testing.assert_allclose(phot[0], by_hand, rtol=2e-5)


def test_reconstruction_is_normalised_in_the_window_and_mass_scales_out(basis):
    rng = np.random.default_rng(2)
    mass, mh = rng.dirichlet(np.ones(N_AGE), 5), rng.uniform(-1, 0.3, (5, N_AGE))
    tau = rng.uniform(0, 1, 5)
    flux, phot = basis.reconstruct(mass, mh, tau, tau)
    window = (NORM_WINDOW_AA[0] <= WAVE_AA) & (NORM_WINDOW_AA[1] >= WAVE_AA)
    np.testing.assert_allclose(flux[:, window].mean(1), 1.0, rtol=1e-5)
    again, phot_again = basis.reconstruct(100.0 * mass, mh, tau, tau)
    np.testing.assert_allclose(again, flux, rtol=1e-5)
    np.testing.assert_allclose(phot_again, phot, rtol=1e-5)


def test_metallicity_is_linear_between_nodes_and_constant_outside(basis):
    def spectrum(mh):
        flux, _ = basis.reconstruct(one_bin(12), np.full((1, N_AGE), mh), np.zeros(1), np.zeros(1))
        return flux[0]

    np.testing.assert_array_equal(spectrum(-3.0), spectrum(basis.mh[0]))
    np.testing.assert_array_equal(spectrum(2.0), spectrum(basis.mh[-1]))
    index, share = find_bracket(np.array([-1.0, 0.0, 0.3]), np.array([-0.25, 0.3, -5.0, 9.0]))
    np.testing.assert_allclose(index + share, [0.75, 2.0, 0.0, 2.0])


def test_light_and_mass_fractions_are_inverse_and_sum_to_one(basis):
    rng = np.random.default_rng(3)
    mass, mh = rng.dirichlet(np.full(N_AGE, 0.3), 50), rng.uniform(-2, 0.6, (50, N_AGE))
    light = basis.light_from_mass(mass, mh)
    np.testing.assert_allclose(light.sum(1), 1.0)
    np.testing.assert_allclose(basis.mass_from_light(light, mh), mass, rtol=1e-9, atol=1e-300)


def test_mass_to_light_of_one_bin(basis):
    lg_ml = basis.lg_ml_v(one_bin(14), np.zeros((1, N_AGE)))
    assert lg_ml[0] == pytest.approx(-np.log10(basis.light_v[14, 1]), rel=1e-6)
    young = basis.lg_ml_v(one_bin(0), np.zeros((1, N_AGE)))
    assert young[0] < lg_ml[0] - 0.3


def test_equivalent_width_of_halpha_follows_from_case_b(toy, basis):
    """Bin 0 alone, solar, no dust: EW = 1.37e-12 Q / Lsun over the continuum at Halpha."""
    flux, _ = basis.reconstruct(one_bin(0), np.zeros((1, N_AGE)), np.zeros(1), np.zeros(1))
    near = np.abs(WAVE_AA - 6562.8) < 25
    continuum = np.median(flux[0][(np.abs(WAVE_AA - 6562.8) > 30) & (np.abs(WAVE_AA - 6562.8) < 60)])
    width = ((flux[0][near] / continuum - 1).sum()) * 1.25
    share = np.diff(toy.sub_edges_gyr)[:10] / 0.014
    q_h = np.interp(0.0, toy.mh_gas, np.array([share @ toy.q_h[i, :10] for i in (0, 2)]))
    level_here = basis.spectrum[0, 1] + basis.young[1] + basis.young_nebular[1]
    expected = 1.37e-12 * q_h / 3.828e33 / np.median(level_here[np.abs(WAVE_AA - 6500) < 30])
    assert width == pytest.approx(expected, rel=0.01)


def test_tensors_round_trip(basis):
    back = TemplateBasis.from_tensors(basis.to_tensors(), basis.filters, basis.norm_pixels)
    args = (one_bin(3), np.zeros((1, N_AGE)), np.array([0.3]), np.array([1.0]))
    for ours, theirs in zip(back.reconstruct(*args), basis.reconstruct(*args)):
        np.testing.assert_array_equal(ours, theirs)


def test_damaged_tensors_are_named(basis):
    tensors = basis.to_tensors()
    del tensors["young_sed"]
    with pytest.raises(SfhInputError, match="young_sed missing; the weights"):
        TemplateBasis.from_tensors(tensors, basis.filters, basis.norm_pixels)
    tensors = basis.to_tensors() | {"light_v": np.ones((3, 3), dtype=np.float32)}
    with pytest.raises(SfhInputError, match=r"light_v has shape \(3, 3\), not \(16, 3\)"):
        TemplateBasis.from_tensors(tensors, basis.filters, basis.norm_pixels)


def test_default_slope_is_charlot_and_fall():
    assert dust.SLOPE == -0.7
