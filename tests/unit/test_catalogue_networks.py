"""The published catalogue networks on objects of a prior: samples, libraries, the command's page."""

import numpy as np
import pytest

from napari_sfh.instruments.files import load_instrument
from napari_sfh.physics.dust import CALZETTI_R_V, calzetti_curve
from napari_sfh.training.studies import system_pages
from napari_sfh.training.studies.narrow_bands import catalogue_measure, catalogue_networks
from napari_sfh.training.studies.narrow_bands.narrow_nets import RegressorFitSettings
from napari_sfh.types import make_empty_observation


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
    row = {"bias": 0.01, "std": 0.1, "nmad": 0.09, "spread": 1.0, "p68": 0.7}
    rows = {"16": {"lg_age": row, "mh_mw": row, "ebv": row, "out_of_depth": 0.01}}
    plain = {"16": dict.fromkeys(("lg_age", "mh_mw", "ebv"), row)}
    networks = {"n": 9, "epochs": 2, "by_magnitude": plain, "across": {"all": {"xsl": plain["16"]}}}
    page = system_pages.format_catalogue_page(
        {"model": "jpas", "by_magnitude": rows, "by_library": {"xsl": rows}, "paper_networks": networks}
    )
    assert "| 16 | +0.010 / 0.100 / 0.090, 70 % |" in page
    assert "| all | xsl |" in page
