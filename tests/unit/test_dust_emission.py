"""Dust emits in the infrared what it absorbs of starlight."""

import numpy as np
import pytest
from synthetic_toys import toy_source, toy_templates
from template_toys import toy_dust

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import load_instrument
from napari_sfh.training.libraries import dust_emission, templates
from napari_sfh.training.libraries.basis import make_template_basis
from napari_sfh.training.prior.prior_config import load_prior, parse_prior
from napari_sfh.training.prior.sampling import ObjectParameters
from napari_sfh.training.simulator import forward_model, simulation

JWST = load_instrument("phangs-jwst")


@pytest.fixture(scope="module")
def model():
    return forward_model.build_forward_model(toy_templates(JWST))


def objects(model, n=2, **values):
    steady = np.tile(np.diff(model.templates.sub_edges_gyr), (n, 1))
    dust = {"q_pah": 2.5, "u_min": 1.0, "gamma": 0.1, "tau_ism": 0.5, "tau_bc": 1.0}
    return ObjectParameters.single(steady, np.zeros_like(steady), **(dust | values))


def dust_light(model, **values):
    """Emission (K,) of the dust alone, and the energy that the same dust absorbs."""
    dark = forward_model.compute_emitted_light(model, objects(model, 1, **values, q_pah=0.0))
    lit = forward_model.compute_emitted_light(model, objects(model, 1, **values))
    clear = forward_model.compute_emitted_light(model, objects(model, 1, q_pah=0.0, tau_ism=0.0, tau_bc=0.0))
    step = np.diff(model.templates.sed_edges_aa)
    absorbed = (clear.sed - dark.sed) @ step + (clear.lines - dark.lines).sum(1)
    return (lit.sed - dark.sed)[0], float(absorbed[0]), step


def test_dust_emits_what_it_absorbs(model):
    """The toy's dust shines within the bins of the coarse grid, but for its end."""
    light, absorbed, step = dust_light(model)
    inside = (toy_dust().wave_aa < model.templates.sed_edges_aa[-1]).mean()
    assert light @ step == pytest.approx(absorbed, rel=1.2 * (1 - inside))
    assert absorbed > 0


def test_more_dust_absorbs_more_and_imbalance_scales_the_light(model):
    light, absorbed, _ = dust_light(model)
    assert dust_light(model, tau_ism=1.0)[1] > absorbed
    np.testing.assert_allclose(dust_light(model, lg_balance=0.3)[0], 10**0.3 * light, rtol=1e-3, atol=1e-9)


def test_pahs_show_in_the_band_at_3_micrometres(model):
    phot = [
        forward_model.synthesise_objects(model, objects(model, q_pah=q, tau_ism=1.0)).phot[0] for q in (0.5, 2.5, 4.5)
    ]
    band = {name: [p[k] for p in phot] for k, name in enumerate(JWST.band_names)}
    assert band["F335M"][0] < band["F335M"][1] < band["F335M"][2]
    assert np.ptp(band["F360M"]) < 0.1 * np.ptp(band["F335M"])
    assert np.ptp(band["F814W"]) == 0


def test_mixtures_are_weighted_by_dust_mass():
    """A tenth of the dust at 14 times the energy gives 14 / (9 + 14) of the light."""
    grid = toy_dust()
    only, power = (dust_emission.compute_dust_spectra(grid, *map(np.atleast_1d, (2.5, 1.0, g)))[0] for g in (0.0, 1.0))
    mixed = dust_emission.compute_dust_spectra(grid, *map(np.atleast_1d, (2.5, 1.0, 0.1)))[0]
    np.testing.assert_allclose(mixed, 9 / 23 * only + 14 / 23 * power, rtol=1e-4, atol=1e-12)
    assert np.trapezoid(mixed, grid.wave_aa) == pytest.approx(1.0, rel=1e-3)


def test_the_basis_of_a_bundle_has_the_light_of_middling_dust(model):
    basis = make_template_basis(model.templates)
    mass, mh = np.full((1, 16), 1 / 16), np.zeros((1, 16))
    clear, dusty = (basis.reconstruct(mass, mh, np.array([t]), np.array([0.1]))[1][0] for t in (0.0, 1.0))
    ratio = dict(zip(JWST.band_names, dusty / clear, strict=True))
    assert ratio["F335M"] > 1.5 * ratio["F200W"] > ratio["F814W"]
    again = type(basis).from_tensors(basis.to_tensors(), basis.filters, basis.norm_pixels)
    np.testing.assert_array_equal(again.dust_sed, basis.dust_sed)


def test_templates_keep_their_dust(model, tmp_path):
    templates.save_templates(model.templates, tmp_path / "t.npz")
    again = templates.load_templates(tmp_path / "t.npz")
    np.testing.assert_array_equal(again.dust.emission, model.templates.dust.emission)
    assert toy_templates().dust is None


def test_a_prior_without_dust_emission_is_refused_for_infrared_bands():
    with pytest.raises(SfhInputError, match=r"prior 'tiny': has no \[dust_emission\].*phangs-jwst"):
        toy_source("tiny", JWST)


def test_dust_emission_changes_no_other_draw():
    """Objects of `wide4` and of the prior that adds dust emission to it are the same."""
    source = toy_source("phangs-jwst", JWST)
    draws = [
        simulation.draw_noiseless_objects(load_prior(name), source.models[0], np.random.default_rng(3), 16)[0].params
        for name in ("wide4", "phangs-jwst")
    ]
    np.testing.assert_array_equal(draws[0].mass, draws[1].mass)
    np.testing.assert_array_equal(draws[0].tau_ism, draws[1].tau_ism)
    assert (draws[0].q_pah == 0).all()
    assert draws[1].q_pah.min() >= 0.47


def test_a_prior_takes_from_its_base_what_it_leaves_out():
    wide, made = load_prior("wide4"), load_prior("phangs-jwst")
    assert made.families == wide.families
    assert made.photometry.depth_of("F275W") == wide.photometry.depth_of("F275W")
    assert made.photometry.depth_of("F335M") == 0.04
    assert made.libraries == wide.libraries
    other = parse_prior('name = "x"\nbase = "wide4"\n[libraries]\ne-miles = 1\n[dust]\nslope = 0.7\n', "x.toml")
    assert other.libraries == {"e-miles": 1.0}
    assert other.dust.slope.values == (0.7,)
    assert other.dust.tau_bc == wide.dust.tau_bc
    with pytest.raises(SfhInputError, match="base = 'nothing' is no prior"):
        parse_prior('name = "x"\nbase = "nothing"\n', "x.toml")
