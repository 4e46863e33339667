"""The forward model against numbers by hand, on a library whose every number is known."""

from dataclasses import replace

import numpy as np
import pytest
from muse_hst import MUSE_HST, NORM_PIXELS, STEP_AA, WAVE_AA
from synthetic_toys import toy_model, toy_templates
from template_toys import level

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.line_spread import MUSE_LSF
from napari_sfh.physics.ages import AGE_EDGES_GYR, UNIVERSE_GYR
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training.libraries.basis import make_template_basis
from napari_sfh.training.prior.sampling import ObjectParameters
from napari_sfh.training.simulator import forward_model
from napari_sfh.training.simulator.labels import derive_formation_labels

T = toy_templates()
S = T.n_sub
MIDDLE = 0.5 * (T.sub_edges_gyr[1:] + T.sub_edges_gyr[:-1])


def single(sub, mh=0.0, **values):
    """An object whose stars all formed in sub-bins ``sub`` with one [M/H]."""
    mass = np.zeros((1, S))
    mass[0, sub] = 1.0
    return ObjectParameters.single(mass, np.full((1, S), mh), **values)


def gas_free(**values):
    return {"escape": 1.0} | values


@pytest.mark.parametrize("sub", [3, 20, 60])
def test_a_template_in_gives_the_template_out(sub):
    out = forward_model.synthesise_objects(toy_model(), single(sub, **gas_free()))
    template = T.spectrum[1, sub]
    np.testing.assert_allclose(out.flux[0], template / template[NORM_PIXELS].mean(), rtol=2e-5)
    assert out.labels.mass_frac[0, T.bin_of_sub[sub]] == 1.0
    assert out.labels.light_frac[0, T.bin_of_sub[sub]] == pytest.approx(1.0)
    assert out.labels.lg_ml_v[0] == pytest.approx(-np.log10(T.light_v[1, sub]), abs=1e-5)


def test_nothing_formed_before_the_universe():
    """A constant rate since 13.47 Gyr, which lies inside an interval of the simulator (12.6-13.8 Gyr)."""
    edges = T.sub_edges_gyr
    mass = np.diff(np.minimum(edges, UNIVERSE_GYR))
    assert ((edges > 12) & (edges < 17)).sum() > 2
    times = derive_formation_labels(np.stack([mass, mass * (edges[1:] > 12.6)]), edges)
    shares = np.arange(1, 10) / 10
    assert times[0] == pytest.approx(UNIVERSE_GYR * (1 - shares), abs=1e-4)
    assert times[1] == pytest.approx(UNIVERSE_GYR - (UNIVERSE_GYR - 12.6) * shares, abs=1e-4)


def test_metallicity_is_interpolated_linearly():
    light = forward_model.compute_emitted_light(toy_model(), single(40, mh=-0.25, **gas_free()))
    np.testing.assert_allclose(light.spectrum[0], 0.25 * T.spectrum[0, 40] + 0.75 * T.spectrum[1, 40], rtol=1e-5)


def test_dust_by_hand():
    clear = forward_model.compute_emitted_light(toy_model(), single([3, 50], **gas_free()))
    dusty = forward_model.compute_emitted_light(
        toy_model(), single([3, 50], tau_ism=0.4, tau_bc=1.5, slope=-1.1, **gas_free())
    )
    curve = (WAVE_AA / 5500) ** -1.1
    young, old = 0.5 * T.spectrum[1, 3], 0.5 * T.spectrum[1, 50]
    np.testing.assert_allclose(clear.spectrum[0], young + old, rtol=1e-5)
    np.testing.assert_allclose(
        dusty.spectrum[0], (young * np.exp(-1.5 * curve) + old) * np.exp(-0.4 * curve), rtol=1e-5
    )


def test_fractions_sum_to_one_and_follow_light():
    rng = np.random.default_rng(0)
    mass = rng.random((50, S))
    params = ObjectParameters.single(mass, rng.uniform(-1.0, 0.3, (50, S)))
    labels = forward_model.synthesise_objects(toy_model(), params).labels
    np.testing.assert_allclose(labels.mass_frac.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(labels.light_frac.sum(1), 1, atol=1e-6)
    # The toy's light is known in closed form: linear in log age and [M/H].
    expected = np.zeros((50, 16))
    for s in range(S):
        fine = np.linspace(T.sub_edges_gyr[s], T.sub_edges_gyr[s + 1], 400)
        light = level(np.clip(0.5 * (fine[1:] + fine[:-1]), 5e-4, 16)[:, None], params.mh[:, s]).mean(0)
        expected[:, T.bin_of_sub[s]] += params.mass[:, s] * light
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(labels.light_frac, expected, rtol=0.02)


def test_metallicity_of_a_bin_is_weighted_by_mass_and_defined_without_mass():
    mass = np.zeros((1, S))
    two = np.flatnonzero(T.bin_of_sub == 10)[:2]
    mass[0, two] = 3.0, 1.0
    mh = np.full((1, S), -0.5)
    mh[0, two] = 0.0, 0.2
    labels = forward_model.synthesise_objects(toy_model(), ObjectParameters.single(mass, mh, **gas_free())).labels
    assert labels.mh[0, 10] == pytest.approx(0.05, abs=1e-5)
    assert labels.mh[0, 3] == pytest.approx(-0.5, abs=1e-5)
    assert labels.mh_mw[0] == pytest.approx(0.05, abs=1e-5)


def test_gas_follows_the_photons_that_stay():
    def halpha(**values):
        return forward_model.compute_emitted_light(toy_model(), single(2, **values)).lines[0, 0]

    full = halpha()
    assert full == pytest.approx(T.q_h[1, 2] * 1.37e-12 / 3.828e33, rel=1e-3)
    assert halpha(escape=0.6) == pytest.approx(0.4 * full, rel=1e-5)
    assert halpha(escape=1.0, diffuse=0.5) == pytest.approx(0.5 * full, rel=1e-5)
    curve = (6562.8 / 5500) ** -0.7
    # Birth clouds dim the gas inside them, not the diffuse gas.
    assert halpha(tau_bc=1.0) == pytest.approx(full * np.exp(-curve), rel=1e-5)
    assert halpha(escape=1.0, diffuse=0.5, tau_bc=1.0) == pytest.approx(0.5 * full, rel=1e-5)
    assert halpha(tau_ism=1.0) == pytest.approx(full * np.exp(-curve), rel=1e-5)


def test_borrowed_gas_has_the_equivalent_width_that_was_asked_for():
    light = forward_model.compute_emitted_light(toy_model(), single(60, escape=1.0, diffuse_ew_aa=12.0))
    continuum = light.sed[0, np.argmin(np.abs(T.sed_wave_aa - 6562.8))]
    assert light.lines[0, 0] / continuum == pytest.approx(12.0, rel=0.02)


def test_lines_are_gaussians_of_lsf_and_gas():
    flux = np.zeros((2, WAVE_AA.size), np.float32)
    sigma, v = np.array([60.0, 150.0]), np.array([0.0, 80.0])
    forward_model.add_emission_lines(flux, np.ones((2, 1), np.float32), np.array([6562.8]), sigma, v, MUSE_HST.grid)
    np.testing.assert_allclose(flux.sum(1) * STEP_AA, 1.0, rtol=1e-4)
    centre = (flux * WAVE_AA).sum(1) / flux.sum(1)
    np.testing.assert_allclose(centre, 6562.8 * (1 + v / C_KMS), atol=0.01)
    width = np.sqrt((flux * (WAVE_AA - centre[:, None]) ** 2).sum(1) / flux.sum(1))
    expected = np.hypot(MUSE_LSF.fwhm_aa(6562.8) / FWHM_PER_SIGMA, 6562.8 * sigma / C_KMS)
    np.testing.assert_allclose(width, expected, rtol=3e-3)


def test_a_line_at_the_edge_does_no_harm():
    flux = np.zeros((1, WAVE_AA.size), np.float32)
    lines, at = np.ones((1, 3), np.float32), np.array([4700.0, 4799.0, 7100.0])
    forward_model.add_emission_lines(flux, lines, at, np.full(1, 100.0), np.zeros(1), MUSE_HST.grid)
    assert flux[0, 0] > 0
    assert np.all(flux[0, 20:-20] == 0)


def test_photometry_is_the_mean_through_the_filter_with_its_lines():
    light = forward_model.compute_emitted_light(toy_model(), single(2))
    phot = forward_model.compute_band_fluxes(toy_model(), light, np.zeros(1))[0]
    fine = np.arange(4700, 6200, 0.5)
    continuum = np.interp(fine, T.sed_wave_aa, light.sed[0])
    assert phot[3] == pytest.approx((continuum * fine).sum() / fine.sum(), rel=2e-3)
    # A line of unit luminosity inside a box from 4700 to 6200 AA counts as its photons over those of a flat spectrum.
    model = forward_model.build_forward_model(replace(T, line_wave_aa=np.array([5000.0])))
    line = forward_model.EmittedLight(light.spectrum, 0 * light.sed, np.ones((1, 1), np.float32))
    expected = 5000.0 / (0.5 * (6200**2 - 4700**2))
    np.testing.assert_allclose(
        forward_model.compute_band_fluxes(model, line, np.zeros(1))[0], [0, 0, 0, expected, 0], rtol=1e-3
    )


def test_filters_see_bluer_light_at_a_redshift():
    rising = forward_model.EmittedLight(
        np.zeros((1, 0), np.float32), T.sed_wave_aa[None].astype(np.float32), np.zeros((1, 1), np.float32)
    )
    here, there, between = (
        forward_model.compute_band_fluxes(toy_model(), rising, np.full(1, z))[0] for z in (0.0, 0.01, 0.004)
    )
    np.testing.assert_allclose(there / here, 1 / 1.01, rtol=1e-5)
    np.testing.assert_allclose(between / here, 1 / 1.004, rtol=1e-4)


def test_equals_the_basis_that_inference_reconstructs_with():
    mass_frac = np.random.default_rng(2).dirichlet(np.ones(16), 5)
    width = np.diff(T.sub_edges_gyr)
    # Inside the last bin the basis stops at the age of the Universe.
    inside = MIDDLE < 13.8
    mass = mass_frac[:, T.bin_of_sub] * np.where(inside, width / np.diff(AGE_EDGES_GYR)[T.bin_of_sub], 0.0)
    last = T.bin_of_sub == 15
    mass[:, last] *= mass_frac[:, 15:] / mass[:, last].sum(1, keepdims=True)
    mh = np.full((5, S), 0.1)
    made = make_template_basis(T)
    params = ObjectParameters.single(mass, mh, tau_ism=0.3, tau_bc=0.8, lg_u=float(made.log_u), mh_gas=0.1)
    out = forward_model.synthesise_objects(toy_model(), params)
    flux, phot = made.reconstruct(mass_frac, np.full((5, 16), 0.1), np.full(5, 0.3), np.full(5, 0.8))
    np.testing.assert_allclose(out.flux, flux, rtol=0.01)
    np.testing.assert_allclose(out.phot, phot, rtol=0.01)


def test_unknown_parameter_is_named():
    with pytest.raises(SfhInputError, match="unknown argument 'tau_ims'"):
        single(3, tau_ims=1.0)


def test_mass_scale_of_libraries():
    heavier = replace(T, light_v=T.light_v * 0.5)
    assert forward_model.lg_ml_offset(heavier, T) == pytest.approx(np.log10(0.5))


def test_scatter_of_lines_keeps_the_ratios_of_atomic_physics():
    """[O III] 5007/4959 and [N II] 6583/6548 stay those of the grid, the two ions scatter apart, hydrogen does not."""
    waves = np.array([4861.3, 4958.9, 5006.8, 6548.1, 6562.8, 6583.4])
    model = forward_model.build_forward_model(
        replace(T, line_wave_aa=waves, line_lum=np.ones((*T.line_lum.shape[:3], 6), np.float32))
    )
    mass = np.zeros((500, S))
    mass[:, 2] = 1.0
    params = ObjectParameters.single(mass, np.zeros((500, S)), line_scatter_dex=0.15)
    lines = np.log10(forward_model.compute_emitted_light(model, params, np.random.default_rng(0)).lines)
    np.testing.assert_allclose(np.ptp(lines[:, 2] - lines[:, 1]), 0.0, atol=1e-5)
    np.testing.assert_allclose(np.ptp(lines[:, 5] - lines[:, 3]), 0.0, atol=1e-5)
    np.testing.assert_allclose(np.ptp(lines[:, 4] - lines[:, 0]), 0.0, atol=1e-5)
    assert (lines[:, 2] - lines[:, 4]).std() == pytest.approx(0.15, rel=0.1)
    assert (lines[:, 2] - lines[:, 5]).std() == pytest.approx(0.15 * np.sqrt(2), rel=0.1)
