"""The published catalogue networks on objects of a prior: samples, libraries, the command's page."""

import numpy as np
import pytest
from synthetic_toys import prepare_toy_templates
from toy_universe import write_toy_bundle

from napari_sfh.instruments.files import load_instrument
from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.targets import make_targets
from napari_sfh.physics.dust import CALZETTI_R_V, calzetti_curve
from napari_sfh.training.libraries import templates
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.studies import system_pages
from napari_sfh.training.studies.narrow_bands import catalogue_measure, catalogue_networks, realistic_catalogues
from napari_sfh.training.studies.narrow_bands.narrow_nets import RegressorFitSettings
from napari_sfh.types import make_empty_observation

ROW = {"bias": 0.01, "std": 0.1, "nmad": 0.09, "spread": 1.0, "p68": 0.7}
BY_MAGNITUDE = {"16": {"lg_age": ROW, "mh_mw": ROW, "ebv": ROW, "out_of_depth": 0.01}}


def test_calzetti_curve_is_that_of_the_paper():
    # k(lambda) of Calzetti et al. (2000), equation 4, at 0.55 um is R_V; at 0.63 um both branches agree.
    curve = calzetti_curve(np.array([5500.0, 4400.0, 6299.9, 6300.1, 22000.0]))
    assert curve[0] == pytest.approx(1.0)
    assert CALZETTI_R_V * (curve[1] - 1) == pytest.approx(1.0, abs=0.03)
    assert curve[2] == pytest.approx(curve[3], rel=0.02)
    assert 0 < curve[4] < 0.12


def test_networks_read_f_nu_over_its_median():
    instrument = load_instrument("jpas")
    data = make_empty_observation(instrument, 3)
    phot = np.ones((3, instrument.n_bands), np.float32)
    seen = catalogue_networks.convert_to_f_nu(
        type(data)(**{**data.__dict__, "phot": phot, "phot_mask": np.ones_like(phot, bool)})
    )
    np.testing.assert_allclose(np.median(seen, axis=1), 1.0, rtol=1e-5)
    assert np.all(np.diff(seen[0][2:50]) > 0)  # flat in f_lambda rises in f_nu


def test_errors_are_summarised():
    truth = np.linspace(8, 10, 200)
    table = catalogue_measure.summarise_catalogue_errors("lg_age", truth + 0.6, truth)
    assert table["bias"] == pytest.approx(0.6)
    assert table["std"] == pytest.approx(0.0, abs=1e-9)
    assert table["outliers"] == 1.0


def test_errors_by_class_of_age():
    truth = np.linspace(6, 10, 400)
    found = np.where(truth < 9.5, truth + 0.1, 9.6 + 0.3 * (truth - 9.5))
    table = catalogue_measure.measure_age_classes(found, truth)
    assert table["0-8.5"] == {"n": 250, "mean": pytest.approx(0.1), "std": pytest.approx(0, abs=1e-9)}
    assert table["slope_of_old"] == pytest.approx(0.3)
    assert table["all"]["n"] == 400


def test_realism_grows_by_one_option_each_and_weights_keep_to_their_redshifts(tmp_path, monkeypatch):
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)
    single, galaxies = load_prior("jpas"), load_prior("jpas-realistic")
    skies = realistic_catalogues.list_skies(single, galaxies)
    assert [c.noise.redshift.high for c in skies.values()] == [0, 0, 0, pytest.approx(0.4)]
    assert [c.nebular.escape.low for c in skies.values()] == [1, 1, 0, 0]
    assert {f.kind for f in skies[realistic_catalogues.SINGLE_SKY].families} == {"ssp"}
    bundles = []
    for name, instrument, scalars in (("a", "jpas", ("lg_age", "ebv")), ("b", "jpas-z", ("lg_age_lw", "mh_lw"))):
        targets, file = make_targets("scalars", scalars), tmp_path / f"{name}.safetensors"
        bundles.append(load_bundle(write_toy_bundle(file, 0, load_instrument(instrument), targets, name=name)))
    found = realistic_catalogues.measure_realism(bundles, single, galaxies, 40)
    assert {sky: set(rows) for sky, rows in found.items()} == {
        **{sky: {"a", "b"} for sky in list(skies)[:3]},
        realistic_catalogues.REDSHIFT_SKY: {"b"},
    }
    assert set(found[realistic_catalogues.LINE_SKY]["a"]) == {"out_of_depth", "lg_age_lw", "ebv"}
    spread = [found[realistic_catalogues.LINE_SKY][k]["lg_age_lw"]["spread"] for k in "ab"]
    assert spread[0] == pytest.approx(spread[1])  # the same objects
    page = system_pages.format_catalogue_page({"model": "a", "by_magnitude": BY_MAGNITUDE, "realism": found})
    assert page.count("| `b` |") == 4


def test_networks_are_fitted_for_each_quantity():
    rng = np.random.default_rng(1)
    flux = rng.normal(size=(400, 6)).astype(np.float32)
    truth = {name: flux[:, k] for k, name in enumerate(catalogue_networks.CATALOGUE_QUANTITIES)}
    sample = catalogue_networks.CatalogueSample(flux, truth, None)
    settings = catalogue_networks.PaperNetworkSettings(fit=RegressorFitSettings(epochs=15, batch=64, absolute=True))
    networks = catalogue_networks.fit_paper_networks(sample, settings)
    errors = catalogue_networks.measure_sample_errors(networks, sample)
    assert all(errors[name]["std"] < 0.6 for name in truth)


def test_page_holds_every_table():
    row, rows = ROW, BY_MAGNITUDE
    plain = {"16": dict.fromkeys(("lg_age", "mh_mw", "ebv"), row)}
    networks = {"n": 9, "epochs": 2, "by_magnitude": plain, "across": {"all": {"xsl": plain["16"]}}}
    page = system_pages.format_catalogue_page(
        {"model": "jpas", "by_magnitude": rows, "by_library": {"xsl": rows}, "paper_networks": networks}
    )
    assert "| 16 | +0.010 / 0.100 / 0.090, 70 % |" in page
    assert "| all | xsl |" in page
