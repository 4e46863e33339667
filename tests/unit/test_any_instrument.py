"""Any instrument and any targets: what is trained for them is kept, read and applied."""

import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_toys import prepare_toy_templates, toy_model, toy_source, toy_templates
from toy_universe import write_toy_bundle

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Band, Instrument, SpectrumGrid
from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.model.bundle import Bundle, load_bundle
from napari_sfh.model.encoding import FeatureSettings
from napari_sfh.model.inference import predict_histories
from napari_sfh.model.targets import KNOWN_TARGETS, make_targets
from napari_sfh.training.evaluation import report
from napari_sfh.training.evaluation.evaluation import EvaluationSettings, evaluate_bundle
from napari_sfh.training.evaluation.test_set import draw_test_set_from_source
from napari_sfh.training.fitting import training_run
from napari_sfh.training.fitting.recipe import TargetSettings, load_recipe
from napari_sfh.training.libraries import templates
from napari_sfh.training.simulator import forward_model, simulation
from napari_sfh.training.simulator.stored_set import load_stored_set

NETWORK = {"stem_channels": 2, "components": 4, "width": 16, "hidden": 16, "blocks": 1, "photometry": 8, "latent": 6}
POSTERIOR = {"epochs": 1, "batch": 32, "transforms": 1, "hidden": (8,), "bins": 4, "subspace": 3, "gaussians": 1}


@st.composite
def grids(draw):
    first = draw(st.floats(3700.0, 5600.0))
    last = first + draw(st.floats(300.0, 2500.0))
    step = {"step_aa": draw(st.floats(1.0, 12.0))} if draw(st.booleans()) else {"log_step": draw(st.floats(2e-4, 2e-3))}
    spreads = [
        LineSpread("constant_fwhm_aa", draw(st.floats(2.6, 9.0))),
        LineSpread("constant_r", draw(st.floats(400.0, 1400.0))),
        LineSpread("table", table=((3500.0, 3.0), (9000.0, draw(st.floats(2.7, 6.0))))),
    ]
    middle = 0.5 * (first + last)
    return SpectrumGrid(
        first,
        last,
        (middle - 100.0, middle + 100.0),
        draw(st.sampled_from(spreads)),
        medium=draw(st.sampled_from(["air", "vacuum"])),
        sigma_kms=draw(st.sampled_from([0.0, 80.0, 150.0, 320.0])),
        **step,
    )


@st.composite
def instruments(draw):
    grid = draw(st.none() | grids())
    shapes = st.tuples(st.floats(2600.0, 9000.0), st.floats(80.0, 900.0), st.floats(0.0, 60.0))
    drawn = draw(st.lists(shapes, min_size=0 if grid else 1, max_size=5))
    bands = tuple(Band(f"N{k}", centre_aa=c, fwhm_aa=w, edge_aa=e) for k, (c, w, e) in enumerate(drawn))
    norms = [*(["spectrum"] if grid else []), *(["median", "N0"] if bands else [])]
    return Instrument("random", grid, bands, draw(st.sampled_from(norms)), draw(st.sampled_from([0.0, 0.01, 0.05])))


def make_recipe(instrument_file, targets, flow):
    loss = "light" if targets.kind == "history" else "log-cosh"
    tiny = load_recipe("tiny")
    fit = dataclasses.replace(tiny.fit, epochs=1, batch=32)
    posterior = dataclasses.replace(tiny.posterior, **POSTERIOR, kind=flow, calibration_draws=50)
    changes = {"network": {**NETWORK, "decoder": 12}, "fit": fit, "posterior": posterior, "loss": loss, "n": 120}
    return dataclasses.replace(tiny, **changes, targets=targets, instrument=str(instrument_file))


def train(folder, instrument, targets, flow):
    """A trained bundle on disk, and the model as it was when it was saved."""
    kept = {}

    def keep(path, model, *rest):
        kept["model"] = model
        return save(path, model, *rest)

    save = training_run.save_bundle
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "prepare_templates", prepare_toy_templates)
        patch.setattr(type(load_recipe("tiny")), "load_instrument", lambda self: instrument)
        patch.setattr(training_run, "save_bundle", keep)
        options = training_run.TrainingOptions(folder / "run", device="cpu", quiet=True)
        path = training_run.train_bundle(make_recipe("random", targets, flow), options)
    return load_bundle(path), kept["model"].eval()


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    instrument=instruments(),
    targets=st.just(TargetSettings())
    | st.lists(st.sampled_from(sorted(KNOWN_TARGETS)), min_size=1, max_size=5, unique=True).map(
        lambda names: TargetSettings("scalars", tuple(names))
    ),
    flow=st.sampled_from(["coupling", "maf"]),
)
def test_what_is_trained_is_kept_read_and_applied(instrument, targets, flow):
    with tempfile.TemporaryDirectory() as folder:
        bundle, model = train(Path(folder), instrument, targets, flow)
    assert bundle.instrument == instrument
    assert bundle.instrument.sha256 == instrument.sha256
    assert bundle.targets == targets.make()
    data, labels, _ = simulation.simulate_chunk(toy_source("tiny", instrument), 5, 0, 24)
    before = Bundle(
        "", Path(), "", {}, instrument, bundle.targets, bundle.filters, bundle.basis, model, FeatureSettings()
    )
    ours, theirs = (predict_histories(data, b, "cpu", draws=50) for b in (bundle, before))
    assert set(ours.quantiles) == {*bundle.targets.scalars, *bundle.targets.vectors}
    for name, values in ours.quantiles.items():
        np.testing.assert_array_equal(values, theirs.quantiles[name], err_msg=name)
    np.testing.assert_array_equal(ours.ood, theirs.ood)
    predicted = np.isfinite(ours.ood)
    assert predicted.any()
    for name in bundle.targets.scalars:
        values = ours.quantiles[name][predicted]
        assert np.isfinite(values).all(), name
        assert (np.diff(values, axis=1) >= -1e-5).all(), name
        if name in KNOWN_TARGETS:
            truth = labels.quantity(name)
            assert truth.shape == (24,)
            assert np.isfinite(truth).all()


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(instruments())
def test_simulated_objects_are_normalised_as_the_instrument_says(instrument):
    model = forward_model.build_forward_model(toy_templates(instrument))
    source = toy_source("tiny", instrument)
    clean, _ = simulation.draw_noiseless_objects(source.config, model, np.random.default_rng(1), 8)
    assert clean.flux.shape == (8, instrument.n_wave)
    assert clean.phot.shape == (8, instrument.n_bands)
    if instrument.spectrum is not None:
        np.testing.assert_allclose(clean.flux[:, instrument.norm_pixels].mean(1), 1.0, rtol=1e-4)
    if instrument.photometry_norm == "median":
        np.testing.assert_allclose(np.median(clean.phot, axis=1), 1.0, rtol=1e-4)
    elif instrument.photometry_norm != "spectrum":
        np.testing.assert_allclose(clean.phot[:, 0], 1.0, rtol=1e-4)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(instruments())
def test_a_stored_set_carries_its_instrument(instrument):
    with tempfile.TemporaryDirectory() as folder:
        simulation.simulate_set(toy_source("tiny", instrument), 30, 4, Path(folder))
        stored = load_stored_set(folder)
    assert stored.instrument == instrument
    made, _, _ = simulation.simulate_chunk(toy_source("tiny", instrument), 4, 0, 30)
    data = stored.data()
    np.testing.assert_array_equal(data.mask, made.mask)
    np.testing.assert_allclose(data.phot, made.phot, rtol=1e-4)
    np.testing.assert_allclose(data.flux, made.flux, rtol=1e-3, atol=1e-5)


def test_light_of_a_spectrum_and_of_a_band_inside_it_agree():
    """A top hat on the spectrum's own range sees the mean of the spectrum, photon by photon."""
    grid = SpectrumGrid(4500.0, 6800.0, (5300.0, 5500.0), LineSpread("constant_fwhm_aa", 5.0), log_step=2e-4)
    instrument = Instrument("one", grid, (Band("N", centre_aa=5400.0, fwhm_aa=600.0),))
    model = forward_model.build_forward_model(toy_templates(instrument))
    clean, _ = simulation.draw_noiseless_objects(
        toy_source("tiny", instrument).config, model, np.random.default_rng(1), 20
    )
    inside = (grid.wave_aa > 5100) & (grid.wave_aa < 5700)
    weights = grid.wave_aa[inside] * grid.pixel_aa[inside]
    expected = (clean.flux[:, inside] * weights).sum(1) / weights.sum()
    np.testing.assert_allclose(clean.phot[:, 0], expected, rtol=5e-3)


def test_a_set_of_another_instrument_is_refused(tmp_path):
    grid = SpectrumGrid(4500.0, 5800.0, (5300.0, 5500.0), LineSpread("constant_fwhm_aa", 5.0), step_aa=5.0)
    simulation.simulate_set(toy_source("tiny", Instrument("blue", grid)), 30, 4, tmp_path / "set", 1)
    options = training_run.TrainingOptions(tmp_path / "run", tmp_path / "set", device="cpu", quiet=True)
    with pytest.raises(SfhInputError, match=r"seen by instrument 'blue'.*`instrument`"):
        training_run.train_bundle(load_recipe("tiny"), options)


def test_a_band_beyond_the_templates_is_refused_by_name():
    instrument = Instrument("far", bands=(Band("N", centre_aa=102000.0, fwhm_aa=3000.0),), photometry_norm="median")
    with pytest.raises(SfhInputError, match=r"\[\[band\]\] N: needs templates of .* they cover 1900-56000 AA"):
        toy_templates(instrument)


def test_muse_hst_sees_what_it_saw_before_instruments_were_files():
    """The default and the instrument by name are one."""
    assert toy_model().instrument.name == "muse-hst"
    assert toy_model().has_substitutes


def test_scalars_from_bands_alone_are_evaluated_and_reported(tmp_path):
    bands = tuple(Band(f"N{c}", centre_aa=c, fwhm_aa=150.0) for c in (4000, 4500, 5000, 5500))
    instrument = Instrument("narrow", bands=bands, photometry_norm="median")
    names = ("lg_age_lw", "mh_lw", "ebv", "t50")
    bundle = load_bundle(write_toy_bundle(tmp_path / "b.safetensors", 0, instrument, make_targets("scalars", names)))
    assert bundle.instrument.sha256 == instrument.sha256
    tests = draw_test_set_from_source(toy_source("tiny", instrument), 24, 5)
    few = EvaluationSettings(device="cpu", draws=50, n_again=12, n_ablation=12, n_ood_cases=8, n_independent=12)
    made = evaluate_bundle(bundle, tests, few)
    assert tuple(made.report["accuracy"]) == names
    assert set(made.report["by_bands"]) == {"1", "2", "3", "4"}
    report.prepare_output_folder(tmp_path / "out")
    table, page = report.write_evaluation_report(made, tmp_path / "out")
    assert "t50" in page.read_text()
    assert set(json.loads(table.read_text())["coverage"]) == set(names)
