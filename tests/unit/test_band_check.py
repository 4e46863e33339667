"""Whether a band of a field is told that does not belong to the spectrum."""

import json
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from toy_universe import make_toy_data

import napari_sfh
from napari_sfh import demo
from napari_sfh.analysis.credibility.band_check import (
    BandResiduals,
    describe_wrong_bands,
    find_wrong_bands,
    measure_band_residuals,
)
from napari_sfh.analysis.credibility.misfit_check import load_misfit_limits
from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.model.bundle import load_bundle

#: A network that takes half of a wrong first band for the stars, and makes the second band bluer with it.
RESPONSE = np.eye(5)
RESPONSE[0, :2] = 0.5, -0.4
SCATTER = np.array([0.16, 0.13, 0.08, 0.09, 0.08])
CHECK = BandResiduals(np.array([-0.06, -0.04, 0.0, 0.0, 0.01]), np.diag(SCATTER**2), RESPONSE, 3.5)


def make_field(n, factor=None, seed=0):
    """Bins of one field with the scatter of galaxies of the prior, and the models of their bands."""
    rng = np.random.default_rng(seed)
    data, _ = make_toy_data(1)
    data = data.select(np.zeros(n, int))
    model = np.full((n, 5), 1.3, np.float32)
    residual = CHECK.mean + 0.5 * SCATTER * rng.standard_normal((n, 5))
    if factor is not None:
        residual = residual + np.log(factor) * RESPONSE
    phot = (model * np.exp(residual)).astype(np.float32)
    return replace(data, phot=phot, phot_error=0.03 * phot, phot_mask=np.ones(phot.shape, bool)), model


@pytest.mark.parametrize("n", [1, 4, 60])
@pytest.mark.parametrize("factor", [2.5, 0.4])
def test_a_band_of_a_wrong_scale_is_named_with_its_factor(n, factor):
    residual = np.log(factor) * RESPONSE[0]
    data, model = make_field(n)
    data = replace(data, phot=(data.phot * np.exp(residual)).astype(np.float32))
    wrong = find_wrong_bands(data, model, CHECK) if n > 1 else find_wrong_bands(data, model, replace(CHECK, limit=2.0))
    assert [each.band for each in wrong] == [0]  # though the second band is off, too
    assert 10 ** wrong[0].lg_factor == pytest.approx(factor, rel=0.4)


def test_a_good_field_has_no_wrong_band():
    for seed in range(20):
        assert find_wrong_bands(*make_field(30, seed=seed), CHECK) == ()
    assert find_wrong_bands(*make_field(5), None) == ()
    data, model = make_field(5)
    assert find_wrong_bands(data, None, CHECK) == ()
    assert find_wrong_bands(data.select(slice(0)), model[:0], CHECK) == ()


def test_two_wrong_bands_are_both_named():
    data, model = make_field(30)
    residual = np.log(2.5) * RESPONSE[0] - np.log(2.0) * RESPONSE[4]
    data = replace(data, phot=(data.phot * np.exp(residual)).astype(np.float32))
    wrong = find_wrong_bands(data, model, CHECK)
    assert sorted(each.band for each in wrong) == [0, 4]
    (note,) = describe_wrong_bands(wrong, ("A", "B", "C", "D", "E"))
    assert "A too bright" in note
    assert "E too faint by a factor of 2" in note
    assert "B " not in note


def test_faint_and_missing_bands_do_not_count():
    data, model = make_field(30)
    phot = data.phot.copy()
    phot[:, 1] *= 10
    faint = replace(data, phot=phot, phot_error=np.where(np.arange(5) == 1, phot, data.phot_error))
    assert np.isnan(measure_band_residuals(faint, model)[0][:, 1]).all()
    assert find_wrong_bands(faint, model, CHECK) == ()
    alone = replace(data, phot=phot, phot_mask=np.arange(5)[None] == np.full((30, 1), 1))
    assert find_wrong_bands(alone, model, CHECK) == ()


def test_check_comes_back_from_its_text():
    back = BandResiduals.from_json(json.loads(json.dumps(CHECK.to_json())))
    assert np.allclose(back.response, CHECK.response)
    assert np.allclose(back.covariance, CHECK.covariance)
    assert back.limit == CHECK.limit


def test_a_run_names_a_mosaic_in_another_unit(tmp_path):
    galaxy = demo.write_demo_cutout(tmp_path / "galaxy", (slice(24, 27), slice(26, 30)))
    (mosaic,) = galaxy.glob("*f275w*sci.fits")
    with fits.open(mosaic, mode="update") as hdus:
        for hdu in hdus:
            if hdu.data is not None:
                hdu.data = hdu.data * np.float32(2.5)
    config = napari_sfh.configure_run(
        galaxy, model="wide", ebv_mw=0.02, binning="vorbin", target_snr=60.0, device="cpu", draws=200
    )
    notes = napari_sfh.run(config).settings["notes"]
    assert "F275W too bright by a factor of 2.5" in notes
    assert "F336W too" not in notes


@pytest.mark.parametrize("name", sorted(list_bundles()))
def test_shipped_weights_of_spectra_and_bands_judge_them(name):
    bundle = load_bundle(name)
    limits = load_misfit_limits(bundle)
    if limits is None or bundle.instrument.n_bands < 2:
        return
    check = limits.bands
    # A network that only reads the spectrum leaves all of a wrong band in the residual; none takes all of it.
    assert (np.diag(check.response) > 0.2).all()
    assert (np.diag(check.response) < 1.2).all()
    assert 2 < check.limit < 8
