"""pPXF as it is set up for comparison: recovers what its own templates are made of."""

import json

import numpy as np
import pytest
from muse_hst import MUSE_HST, WAVE_AA
from synthetic_toys import toy_model, toy_source, toy_templates
from toy_universe import make_toy_basis

from napari_sfh.analysis.comparison.ppxf_fit import make_gas_line_templates, sum_ppxf_weights
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.filters import filter_weight_matrix
from napari_sfh.training.evaluation import ppxf_comparison, test_set
from napari_sfh.training.evaluation.ppxf_templates import PpxfGrid, make_ppxf_grid
from napari_sfh.types import Observation

pytest.importorskip("ppxf")
FREE = ppxf_comparison.PpxfTestSettings(regul_error=1e3, gas=False, mdegree=2)


@pytest.fixture(scope="module")
def grid():
    """The toy universe's templates, divided by their V-light."""
    b = make_toy_basis()
    flux = (b.spectrum + np.eye(16, 1)[:, :, None] * b.young).astype(float)
    sed = (b.sed + np.eye(16, 1)[:, :, None] * b.young_sed).astype(float)
    light = b.light_v * np.median(flux[..., 480] / b.light_v)
    weights = filter_weight_matrix(b.filters, b.sed_wave_aa)
    return PpxfGrid(
        flux=(flux / light[..., None]).reshape(64, -1).T,
        sed_wave_aa=b.sed_wave_aa,
        sed=(sed / light[..., None]).reshape(64, -1).T,
        redshifts=np.array([0.0, 0.1]),
        band_weights=np.broadcast_to(weights, (2, 2, *weights.shape)),
        light_v=light,
        bin_of_group=np.arange(16),
        mh=b.mh,
    )


def _observe(grid, weights, a_v=0.0):
    """Noise-free data of V-light weights (16, 4) behind a Calzetti screen."""
    from ppxf.ppxf import attenuation

    w = np.asarray(weights, float).ravel()
    flux = grid.flux @ w * attenuation(WAVE_AA, a_v)
    sed = grid.sed @ w * attenuation(grid.sed_wave_aa, a_v)
    phot = sed @ grid.band_weights[0, 0]
    row = {"flux": flux, "error": 0.01 * np.ones_like(flux), "phot": phot, "phot_error": 0.02 * phot}
    ones = {"mask": np.ones((1, flux.size), bool), "phot_mask": np.ones((1, 5), bool)}
    zero = {k: np.zeros(1) for k in ("norm_cgs", "v_kms", "sigma_kms", "flag")}
    return Observation(
        **{k: v[None] for k, v in row.items()}, **ones, **zero, snr=np.full(1, 100.0), instrument=MUSE_HST
    )


@pytest.mark.parametrize(("age", "metal"), [(9, 0), (13, 3)])
def test_recovers_a_single_population(grid, age, metal):
    weights = np.zeros((16, 4))
    weights[age, metal] = 1.0
    fit = ppxf_comparison.fit_test_spectrum(
        ppxf_comparison.PpxfTestTask(0, 0, _observe(grid, weights)), grid, toy_templates(), FREE
    )
    from napari_sfh.physics.ages import LG_AGE_YR

    for kind in ("mw", "lw"):
        assert fit.means[f"lg_age_{kind}"] == pytest.approx(LG_AGE_YR[age], abs=0.05)
        assert fit.means[f"mh_{kind}"] == pytest.approx(grid.mh[metal], abs=0.05)
    assert fit.cpu_s > 0
    assert fit.chi2 < 0.01


def test_dust_comes_from_spectrum_and_bands(grid):
    weights = np.zeros((16, 4))
    weights[11, 2] = 1.0
    fit = ppxf_comparison.fit_test_spectrum(
        ppxf_comparison.PpxfTestTask(0, 0, _observe(grid, weights, 0.6)), grid, toy_templates(), FREE
    )
    assert fit.a_v == pytest.approx(0.6, abs=0.1)


def test_mass_follows_from_light_by_mass_to_light(grid):
    weights = np.zeros((16, 4))
    weights[2, 1], weights[14, 3] = 0.5, 0.5
    mass, light, mh = sum_ppxf_weights(weights, grid.light_v, grid.bin_of_group, grid.mh)
    assert light[2] == light[14] == 0.5
    assert mass[14] / mass[2] == pytest.approx(grid.light_v[2, 1] / grid.light_v[14, 3])
    assert (mh[2], mh[14]) == (grid.mh[1], grid.mh[3])
    assert np.isnan(sum_ppxf_weights(np.zeros((16, 4)), grid.light_v, grid.bin_of_group, grid.mh)[0]).all()


def test_templates_of_a_library_carry_unit_light():
    model = toy_model()
    t, made = model.templates, make_ppxf_grid(model, 2)
    assert made.shape == (32, t.mh.size)
    np.testing.assert_array_equal(np.bincount(made.bin_of_group), 2)
    # Light of a constant rate in the last age bin's older half, straight from the library.
    last = np.flatnonzero(t.bin_of_sub == 15)
    part = np.array_split(last, 2)[1]
    width = np.diff(t.sub_edges_gyr)[part]
    flux = (t.spectrum[1, part] * width[:, None]).sum(0) / (t.light_v[1, part] * width).sum()
    ratio = made.flux.reshape(-1, 32, t.mh.size)[:, 31, 1] / flux
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    bands, wave = made.bands(0.0, acs=False)
    assert bands.shape == wave.shape == (5, made.flux.shape[1])
    assert np.all(np.diff(wave[:, 0]) > 0)


def test_gas_lines_have_unit_flux_at_their_place():
    flux, bands, names = make_gas_line_templates(toy_templates().filters[:5], MUSE_HST.grid, 150.0, 300.0)
    halpha = flux[:, names.index("Halpha")]
    assert halpha.sum() * 1.25 == pytest.approx(1.0, abs=0.01)
    assert WAVE_AA[halpha.argmax()] == pytest.approx(6562.8 * (1 + 300 / 299792.458), abs=1.0)
    assert bands.shape == (5, len(names))
    assert bands[:2, names.index("Halpha")].max() == 0


def test_many_resume_and_refuse_another_set(grid, tmp_path, monkeypatch):
    monkeypatch.setattr(test_set, "BLOCK", 16)
    source = toy_source()
    made = test_set.draw_test_set_from_source(source, 4)
    calls = []

    def fake(task, *rest):
        calls.append(task.index)
        means = dict.fromkeys(("lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw"), 1.0)
        return ppxf_comparison.PpxfTestFit(task.index, means, [], [], [], 0.0, 1.0, 2.0, 3.0)

    monkeypatch.setattr(ppxf_comparison, "fit_test_spectrum", fake)
    cache = tmp_path / "fits.jsonl"
    ppxf_comparison.fit_test_spectra(made, 2, cache)
    fits = ppxf_comparison.fit_test_spectra(made, 4, cache)
    assert calls == [0, 1, 2, 3]
    assert [f.index for f in fits] == [0, 1, 2, 3]
    whole = cache.read_text()
    cache.write_text(whole[:-40])  # a run that was killed while it wrote
    assert [f.index for f in ppxf_comparison.fit_test_spectra(made, 4, cache)] == [0, 1, 2, 3]
    assert (calls[4:], cache.read_text()) == ([3], whole)
    truth = {k: np.zeros(4) for k in fits[0].means}
    table = ppxf_comparison.summarise_ppxf_fits(fits, truth)
    assert (table["n"], table["seconds_per_spectrum"]) == (4, 2.0)
    assert table["accuracy"]["mh_lw"]["bias"] == 1.0
    with pytest.raises(SfhInputError, match="another test set"):
        ppxf_comparison.fit_test_spectra(test_set.draw_test_set_from_source(source, 4, seed=5), 2, cache)
    cache.write_text(json.dumps({"nothing": 1}))
    with pytest.raises(SfhInputError, match="not a record of pPXF fits"):
        ppxf_comparison.fit_test_spectra(made, 2, cache)


def test_drawn_model_is_the_one_that_was_fitted(tmp_path):
    made = test_set.draw_test_set_from_source(toy_source(), 2)
    fit = ppxf_comparison.fit_test_spectra(made, 2, tmp_path / "fits.jsonl")[1]
    model = ppxf_comparison.fit_test_models(made, [1])[1]
    data = next(ppxf_comparison.make_ppxf_tasks(made, [1])).data
    parts = [((data.flux[0] - model.flux) / data.error[0])[data.mask[0]]]
    parts.append(((data.phot[0] - model.phot) / data.phot_error[0])[data.phot_mask[0]])
    residual = np.concatenate(parts)
    assert (residual**2).sum() / residual.size == pytest.approx(fit.chi2, rel=0.05)


def test_needs_templates(tmp_path):
    bare = test_set.TestSet("x", 1, (), ())
    with pytest.raises(SfhInputError, match="`prior` NAME instead of `data`"):
        ppxf_comparison.fit_test_spectra(bare, 2, tmp_path / "c")
