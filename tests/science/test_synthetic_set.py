"""Physics of the synthetic set on the real libraries: what stellar populations are known to do."""

import numpy as np
import pytest
from muse_hst import BANDS

from napari_sfh.physics.filters import ab_mag
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.prior.sampling import ObjectParameters
from napari_sfh.training.simulator import forward_model, simulation


@pytest.fixture(scope="module")
def model(stock_templates):
    return forward_model.build_forward_model(stock_templates)


def population(templates, age_gyr, mh=0.0):
    weights = np.atleast_2d([templates.weights_of_age(a) for a in np.atleast_1d(age_gyr)])
    return ObjectParameters.single(weights, np.full(weights.shape, mh))


def constant_rate(templates, age_gyr=10.0):
    edges = np.minimum(templates.sub_edges_gyr, age_gyr)
    return ObjectParameters.single(np.diff(edges)[None], np.zeros((1, templates.n_sub)), lg_u=-3.0)


def test_halpha_of_constant_star_formation(model, stock_templates):
    """Equivalent width of 10 Gyr of constant star formation: 70-140 AA (Kennicutt 1998; Leitherer et al. 1999)."""
    light = forward_model.compute_emitted_light(model, constant_rate(stock_templates))
    line = np.argmin(np.abs(stock_templates.line_wave_aa - 6562.8))
    near = np.argmin(np.abs(stock_templates.sed_wave_aa - 6620))
    assert 60 < light.lines[0, line] / light.sed[0, near] < 140


def test_balmer_decrement_is_case_b_and_reddens(model, stock_templates):
    params = constant_rate(stock_templates)
    a, b = (np.argmin(np.abs(stock_templates.line_wave_aa - w)) for w in (6562.8, 4861.33))
    clear = forward_model.compute_emitted_light(model, params).lines[0]
    assert clear[a] / clear[b] == pytest.approx(2.86, rel=0.05)
    params.tau_bc[:] = 1.0
    dusty = forward_model.compute_emitted_light(model, params).lines[0]
    change = np.exp(-((6562.8 / 5500) ** -0.7) + (4861.33 / 5500) ** -0.7)
    assert (dusty[a] / dusty[b]) / (clear[a] / clear[b]) == pytest.approx(
        change, rel=5e-3
    )  # little gas is older than the clouds


def test_colours_redden_with_age_and_metals(model, stock_templates):
    params = population(stock_templates, [0.02, 0.3, 3.0, 12.0])
    phot = forward_model.synthesise_objects(model, params).phot
    filters = stock_templates.filters[: len(BANDS)]
    mag = np.stack([ab_mag(f, phot[:, k]) for k, f in enumerate(filters)], axis=1)
    assert np.all(np.diff(mag[:, 2] - mag[:, 4]) > 0)
    assert np.all(np.diff(mag[:, 0] - mag[:, 3]) > 0)
    poor = forward_model.synthesise_objects(model, population(stock_templates, 12.0, -1.0)).phot
    rich = forward_model.synthesise_objects(model, population(stock_templates, 12.0, 0.2)).phot
    assert rich[0, 2] / rich[0, 4] < 0.85 * poor[0, 2] / poor[0, 4]


def test_balmer_absorption_peaks_in_a_stars_and_metal_lines_grow(model, stock_templates):
    params = population(stock_templates, [0.005, 0.4, 12.0])
    params.escape[:] = 1.0
    flux = forward_model.synthesise_objects(model, params).flux
    wave = stock_templates.wave_aa

    def depth(lo, hi, left, right):
        line = flux[:, (wave > lo) & (wave < hi)].mean(1)
        sides = flux[:, ((wave > left[0]) & (wave < left[1])) | ((wave > right[0]) & (wave < right[1]))].mean(1)
        return 1 - line / sides

    hbeta = depth(4847, 4877, (4827, 4847), (4877, 4892))
    mgb = depth(5160, 5193, (5118, 5143), (5191, 5206))
    assert hbeta[1] > 2 * max(hbeta[0], hbeta[2])
    assert mgb[0] < 0.5 * mgb[1] + 0.02 < mgb[2]


def test_mass_to_light_of_an_old_population(model, stock_templates):
    """M/L_V of the mass formed at 12 Gyr and solar metallicity: 5-9 between a Chabrier and a Salpeter IMF."""
    labels = forward_model.synthesise_objects(model, population(stock_templates, 12.0)).labels
    assert 0.68 < labels.lg_ml_v[0] < 0.96


def test_set_of_the_paper_covers_the_colours_of_galaxies(stock_templates):
    """The paper adds skewed normals so that the reddest and bluest regions of PHANGS are covered."""
    config = load_prior("galceran2026")
    source = simulation.prepare_prior_from_templates(config, [stock_templates])
    data, labels, clipped = simulation.simulate_chunk(source, 1, 0, 4096)
    colour = -2.5 * np.log10(data.phot[:, 2] / data.phot[:, 4]) - 5 * np.log10(4326.2 / 8039.1)
    assert np.percentile(colour, 1) < 0.4
    assert np.percentile(colour, 99) > 1.6
    assert np.percentile(labels.lg_age_mw, 2) < 9.2
    assert np.percentile(labels.lg_age_mw, 98) > 10.05
    assert labels.mh_mw.max() < np.log10(0.030 / 0.019)
    assert clipped == 0  # BC03 begins at Z = 0.0001
    assert set(np.round(data.snr)) >= {15, 20, 35, 50}
