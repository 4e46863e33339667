"""Training and judging on labels of the user's own: a table in, a bundle or a report out; what a table must not be."""

import dataclasses
import html
import json
from importlib import resources

import numpy as np
import pytest
from astropy import units
from astropy.table import Table
from synthetic_toys import prepare_toy_templates, toy_source, toy_templates
from toy_universe import write_toy_bundle

from napari_sfh.cli import main as napari_sfh_main
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Band, Instrument, SpectrumGrid
from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.model.bundle import hash_bundle_tensors, load_bundle
from napari_sfh.model.inference import predict_histories
from napari_sfh.model.targets import make_targets
from napari_sfh.physics.filters import ab_mag
from napari_sfh.training.cli import main
from napari_sfh.training.fitting import training_run
from napari_sfh.training.fitting.labelled_table import read_labelled_table
from napari_sfh.training.fitting.recipe import TargetSettings, load_recipe
from napari_sfh.training.libraries import templates
from napari_sfh.training.simulator import simulation

BANDS = Instrument(
    "narrow",
    bands=tuple(Band(f"N{c}", centre_aa=c, fwhm_aa=150.0) for c in (4000, 4500, 5000, 5500, 6000, 6900)),
    photometry_norm="median",
)
GRID = SpectrumGrid(4800.0, 6800.0, (5300.0, 5500.0), LineSpread("constant_fwhm_aa", 6.0), step_aa=10.0)
SPECTRA = Instrument("low", GRID)
NAMES = ("lg_age_lw", "mh_lw")


def objects(instrument, n=120):
    data, labels, _ = simulation.simulate_chunk(toy_source("tiny", instrument), 5, 0, n)
    return data, labels


def make_table(instrument, n=120):
    """Rows as a user has them: with NaN where a band is missing."""
    data, labels = objects(instrument, n)
    table = Table({name.upper(): labels.quantity(name) for name in NAMES})
    for k, band in enumerate(instrument.band_names):
        table[band.lower()] = np.where(data.phot_mask[:, k], 7.0 * data.phot[:, k], np.nan)
        table[f"{band}_ERR"] = 7.0 * data.phot_error[:, k]
    if instrument.spectrum is not None:
        table["FLUX"] = np.where(data.mask, 3.0 * data.flux, np.nan)
        table["ERROR"] = 3.0 * data.error
    table["GALAXY"] = [f"NGC{k // 10}" for k in range(n)]
    return table


def read(table, path, instrument=BANDS, names=NAMES):
    table.write(path, overwrite=True)
    return read_labelled_table(path, instrument, toy_templates(instrument).filters, make_targets("scalars", names))


@pytest.mark.parametrize("instrument", [BANDS, SPECTRA])
@pytest.mark.parametrize("suffix", ["fits", "ecsv"])
def test_a_table_holds_what_was_observed(tmp_path, instrument, suffix):
    data, labels = objects(instrument)
    source = read(make_table(instrument), tmp_path / f"table.{suffix}", instrument)
    np.testing.assert_array_equal(source.data.mask, data.mask)
    np.testing.assert_allclose(source.data.flux, data.flux, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(source.data.phot_mask, data.phot_mask)
    np.testing.assert_allclose(source.data.phot, data.phot, rtol=1e-4)
    np.testing.assert_allclose(source.data.snr, data.snr, rtol=1e-3)
    np.testing.assert_allclose(source.labels.quantity("mh_lw"), labels.mh_lw, rtol=1e-6)


def test_galaxies_are_not_split(tmp_path):
    source = read(make_table(BANDS), tmp_path / "table.fits")
    train, held = source.split(3)
    assert len(train) + len(held) == 120
    assert not set(source.galaxy[train]) & set(source.galaxy[held])
    assert 0.2 < len(held) / 120 < 0.4
    np.testing.assert_array_equal(source.split(3)[0], train)


def test_units_are_brought_together(tmp_path):
    """Janskys, magnitudes and flux densities per wavelength of the same light."""
    table = make_table(BANDS)
    filters = toy_templates(BANDS).filters
    plain = read(table, tmp_path / "plain.fits").data
    janskys, magnitudes = table.copy(), table.copy()
    for k, band in enumerate(BANDS.band_names):
        flux, error = (np.asarray(table[c]) * 1e-17 for c in (band.lower(), f"{band}_ERR"))
        to_jy = (1 * units.Unit("erg/(s cm2 AA)")).to(
            units.Jy, equivalencies=units.spectral_density(filters[k].pivot_aa * units.AA)
        )
        janskys[band.lower()], janskys[f"{band}_ERR"] = flux * to_jy.value * units.Jy, error * to_jy.value * units.Jy
        magnitudes[band.lower()] = ab_mag(filters[k], flux) * units.mag
        magnitudes[f"{band}_ERR"] = error / flux * 2.5 / np.log(10) * units.mag
    for name, other in (("jy", janskys), ("mag", magnitudes)):
        made = read(other, tmp_path / f"{name}.ecsv").data
        np.testing.assert_allclose(made.phot, plain.phot, rtol=2e-4, err_msg=name)
        np.testing.assert_allclose(made.phot_error[plain.phot_mask], plain.phot_error[plain.phot_mask], rtol=2e-3)


def spoil(table, change):
    change(table)
    return table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.remove_column("MH_LW"), "no column mh_lw; it has"),
        (lambda t: t.remove_column("N5000_ERR"), "no column n5000_err or e_n5000"),
        (lambda t: t["MH_LW"].__setitem__(3, np.nan), "label mh_lw is not a number in 1 rows"),
        (lambda t: setattr(t["n4000"], "unit", "Jy"), "bands in mixed units"),
        (lambda t: [setattr(t[c], "unit", "m") for c in t.colnames if c[0] == "n"], "n4000 in m is no flux density"),
        (lambda t: t.remove_columns([c for c in t.colnames if c[0] == "n"]), "no column of the bands N4000"),
    ],
)
def test_bad_tables_are_named(tmp_path, change, message):
    with pytest.raises(SfhInputError, match=message):
        read(spoil(make_table(BANDS), change), tmp_path / "table.ecsv")


def test_what_is_no_table_is_named(tmp_path):
    (tmp_path / "x.fits").write_text("nothing")
    with pytest.raises(SfhInputError, match=r"x.fits: not readable as a table"):
        read_labelled_table(tmp_path / "x.fits", BANDS, (), make_targets("scalars", NAMES))
    with pytest.raises(SfhInputError, match="a table labels scalars"):
        read_labelled_table(tmp_path / "x.fits", BANDS, (), make_targets())


def test_spectra_of_another_grid_are_refused(tmp_path):
    other = Instrument("other", dataclasses.replace(GRID, step_aa=5.0))
    make_table(SPECTRA).write(tmp_path / "t.fits")
    with pytest.raises(SfhInputError, match=r"FLUX has shape \(120, 201\), the grid"):
        read_labelled_table(tmp_path / "t.fits", other, (), make_targets("scalars", NAMES))


def test_training_on_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)
    tiny = load_recipe("tiny")
    recipe = dataclasses.replace(
        tiny,
        loss="mae",
        targets=TargetSettings("scalars", NAMES),
        fit=dataclasses.replace(tiny.fit, epochs=2, batch=32),
        posterior=dataclasses.replace(tiny.posterior, epochs=1, calibration_draws=50, gaussians=1),
    )
    monkeypatch.setattr(type(recipe), "load_instrument", lambda self: BANDS)
    make_table(BANDS, 200).write(tmp_path / "spaxels.fits")
    options = training_run.TrainingOptions(tmp_path / "run", tmp_path / "spaxels.fits", device="cpu", quiet=True)
    bundle = load_bundle(training_run.train_bundle(recipe, options))
    assert bundle.targets.scalars == NAMES
    assert bundle.instrument == BANDS
    record = bundle.meta["training"]
    assert record["n"] == 200
    assert len(record["data_sha256"]) == 64
    assert "spaxels.fits" in bundle.meta["prior"]["name"]
    assert not (tmp_path / "run" / training_run.FRESH).exists()


def test_weights_are_judged_on_the_users_labels(tmp_path):
    """Labels that are the weights' own answers, shifted: the report finds the shift, galaxy by galaxy."""
    weights = write_toy_bundle(tmp_path / "b.safetensors", 0, BANDS, make_targets("scalars", NAMES))
    bundle = load_bundle(weights)
    table = make_table(BANDS, 60)
    table.write(tmp_path / "plain.ecsv")
    source = read_labelled_table(tmp_path / "plain.ecsv", BANDS, bundle.filters, bundle.targets)
    answer = np.nan_to_num(predict_histories(source.data, bundle, "cpu", draws=50).median(NAMES[0]), nan=9.0)
    for name in NAMES[1:]:
        table.remove_column(name.upper())
    table["GALAXY"] = np.where(np.arange(60) < 20, "near", "far")
    table[NAMES[0].upper()] = answer - np.where(np.arange(60) < 20, 0.5, 0.1)
    table.write(tmp_path / "mine.ecsv")
    command = ["evaluate", "--weights", str(weights), "--data", str(tmp_path / "mine.ecsv"), "--device", "cpu"]
    assert main([*command, "--output", str(tmp_path / "out"), "--quiet"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report["accuracy"]) == {NAMES[0]}
    assert report["n_test"] == 60
    assert report["by_family"]["near"][NAMES[0]]["bias"] == pytest.approx(0.5, abs=0.05)
    assert report["by_family"]["far"][NAMES[0]]["bias"] == pytest.approx(0.1, abs=0.05)
    assert "user's labels" in html.unescape((tmp_path / "out" / "report.html").read_text())


def test_a_table_without_any_label_cannot_judge(tmp_path, capsys):
    weights = write_toy_bundle(tmp_path / "b.safetensors", 0, BANDS, make_targets("scalars", NAMES))
    table = make_table(BANDS, 30)
    table.remove_columns([name.upper() for name in NAMES])
    table.write(tmp_path / "t.ecsv")
    command = ["evaluate", "--weights", str(weights), "--data", str(tmp_path / "t.ecsv"), "--quiet"]
    assert main([*command, "--output", str(tmp_path / "out")]) == 2
    assert f"no column {NAMES[0]}" in capsys.readouterr().err


def test_histories_are_not_judged_on_a_table(tmp_path, capsys):
    weights = write_toy_bundle(tmp_path / "b.safetensors")
    make_table(BANDS, 30).write(tmp_path / "t.ecsv")
    command = ["evaluate", "--weights", str(weights), "--data", str(tmp_path / "t.ecsv"), "--quiet"]
    assert main([*command, "--output", str(tmp_path / "out")]) == 2
    assert "choose weights of scalars" in capsys.readouterr().err


BAND_FILE = 'name = "narrow"\n[photometry]\nnorm = "median"\n' + "".join(
    f'[[band]]\nname = "{b.name}"\ncentre_aa = {b.centre_aa}\nfwhm_aa = {b.fwhm_aa}\n' for b in BANDS.bands
)


@pytest.fixture(scope="module")
def own_weights(tmp_path_factory):
    """As a user goes: bands and recipe in files, three tables, all by the command line; the released weights."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "bands.toml").write_text(BAND_FILE)
    stock = (resources.files("napari_sfh.training.fitting.recipes") / "tiny.toml").read_text(encoding="utf-8")
    changed = stock.replace('name = "tiny"', 'name = "mine"').replace('loss = "light"', 'loss = "gaussian"')
    head, rest = changed.split("[network]", 1)
    targets = f'instrument = "bands.toml"\n[targets]\nkind = "scalars"\nnames = {json.dumps(NAMES)}\n'
    (folder / "mine.toml").write_text(
        f"{head}{targets}[network]{rest}".replace("calibration_draws = 100", "calibration_draws = 50")
    )
    data = make_table(BANDS, 600)
    for name, rows in {"first": slice(0, 300), "second": slice(300, 450), "third": slice(450, 600)}.items():
        data[rows].write(folder / f"{name}.fits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "prepare_templates", prepare_toy_templates)
        patch.chdir(folder)
        quiet = ["--quiet", "--device", "cpu"]
        steps = (
            ["train", "--config", "mine.toml", "--data", "first.fits", "--output", "run", *quiet],
            ["evaluate", "--weights", "run", "--data", "second.fits", "--output", "report", *quiet],
            ["release", "run", "--name", "mine", "--report", "report", "--output", "mine.safetensors", "--quiet"],
            ["recalibrate", "mine.safetensors", "--data", "third.fits", "--output", "again.safetensors", "--quiet"],
            ["evaluate", "--weights", "again.safetensors", "--data", "second.fits", "--output", "later", *quiet],
            ["release", "again.safetensors", "--name", "mine2", "--report", "later", "--output", "mine2.safetensors"],
        )
        assert [main(words) for words in steps] == [0] * len(steps)
    return folder


def test_weights_of_own_labels_are_released_with_their_figures(own_weights):
    first, again = (load_bundle(own_weights / f"{name}.safetensors") for name in ("mine", "mine2"))
    assert (first.name, again.name) == ("mine", "mine2")
    for bundle in (first, again):
        (table,) = bundle.meta["evaluation"].values()
        assert set(table["accuracy"]) == set(NAMES)
        assert table["n_test"] == 150
        assert "second.fits" in bundle.card
    record = again.meta["training"]["recalibrated"]
    assert (record["n"], record["table"]) == (150, "third.fits")
    assert hash_bundle_tensors(first) != hash_bundle_tensors(again)


def test_weights_of_own_labels_estimate_a_catalogue(own_weights):
    out = own_weights / "estimates.fits"
    catalogue = Table.read(own_weights / "third.fits")
    catalogue.remove_columns([name.upper() for name in NAMES])
    for name in BANDS.band_names:  # a catalogue must say its units
        catalogue[name.lower()].unit = catalogue[f"{name}_ERR"].unit = "1e-17 erg / (s cm2 Angstrom)"
    catalogue.write(own_weights / "catalogue.fits")
    words = ["estimate", str(own_weights / "catalogue.fits"), "--model", str(own_weights / "mine2.safetensors")]
    assert napari_sfh_main([*words, "--output", str(out)]) == 0
    found = Table.read(out)
    assert len(found) == 150
    assert np.isfinite(found["AGE_LW" if "AGE_LW" in found.colnames else "LG_AGE_LW"]).sum() > 100


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine.safetensors"], "give other objects with labels by --data"),
        (["mine.safetensors", "--data", "first.fits"], "were trained on it"),
        (["mine.safetensors", "--data", "third.fits", "--independent"], "leave one of them out"),
    ],
)
def test_what_cannot_calibrate_is_named(own_weights, monkeypatch, capsys, words, message):
    monkeypatch.chdir(own_weights)
    assert main(["recalibrate", *words, "--output", "x.safetensors"]) == 2
    assert message in capsys.readouterr().err
