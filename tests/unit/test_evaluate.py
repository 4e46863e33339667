"""The evaluation on a toy universe: contract of the report, seeds, and the further tests."""

import json
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from muse_hst import MUSE_HST, WAVE_AA
from synthetic_toys import toy_model, toy_source, toy_templates
from toy_universe import make_toy_data, write_toy_bundle

from napari_sfh.errors import SfhInputError
from napari_sfh.model.bundle import load_bundle
from napari_sfh.physics.means import MEAN_NAMES, compute_population_means
from napari_sfh.training import cli
from napari_sfh.training.commands import paper_systems
from napari_sfh.training.commands.evaluate import choose_paper_system
from napari_sfh.training.evaluation import ablation, ood_cases, report, test_set
from napari_sfh.training.evaluation import evaluation as evaluate
from napari_sfh.training.fitting import provenance
from napari_sfh.training.fitting.provenance import find_source_commit
from napari_sfh.training.fitting.spectra_sources import HISTORIES
from napari_sfh.training.fitting.training_run import BUNDLE
from napari_sfh.training.prior.prior_config import load_prior, parse_prior
from napari_sfh.training.simulator import independent_simulator

SMALL = evaluate.EvaluationSettings(device="cpu", draws=50, n_again=32, n_ablation=16, n_ood_cases=12, n_independent=8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_toy_bundle(tmp_path_factory.mktemp("w") / "toy.safetensors"))


@pytest.fixture(scope="module")
def small_set():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_set, "BLOCK", 64)
        yield test_set.draw_test_set_from_source(toy_source(), 96)


@pytest.fixture(scope="module")
def evaluation(bundle, small_set, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_SFH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("napari_sfh.training.evaluation.throughput.THROUGHPUT_SECONDS", 0.01)
        meta = {**bundle.meta, "prior": {"name": "tiny"}}
        patch.setattr(evaluate.templates, "prepare_templates", lambda name, *_: {"strange": toy_templates()}[name])
        settings = replace(SMALL, further_libraries=("strange",))
        return evaluate.evaluate_bundle(replace(bundle, meta=meta), small_set, settings)


def test_report_has_the_keys_of_the_contract(evaluation, bundle):
    r = evaluation.report
    for name in MEAN_NAMES:
        assert set(r["accuracy"][name]) >= {"bias", "std", "nmad"}
    for name in (*HISTORIES.scalars, *HISTORIES.vectors):
        assert 0 <= r["coverage"][name]["p68"] <= r["coverage"][name]["p95"] <= 1
    assert r["throughput"]["bins_per_second"] > 0
    assert r["weights"]["sha256"] == bundle.sha256
    assert len(r["weights"]["tensors_sha256"]) == 64
    assert r["spread"]["lg_age_mw"] == pytest.approx(np.std(evaluation.predicted.truth["lg_age_mw"]))
    assert r["commit"] == find_source_commit()
    assert r["processor_seconds"] > 0
    assert (r["n_test"], r["prior"], r["seed"]) == (96, "tiny", test_set.TEST_SEED)
    assert set(r["by_snr"]) == {"5", "10", "20", "35", "50", "100"}
    assert set(r["by_bands"]) == {str(k) for k in range(6)}
    assert set(r["out_of_depth"]["detection_rate"]) == {
        "AGN lines",
        "star",
        "star, half of the light",
        "redshift error 300 km/s",
        "zero point 0.5 mag",
        "metallicity outside",
        "sky residuals x10",
    }
    assert r["elsewhere"]["n"] == 8 * len(set(toy_source().libraries))
    assert r["strange_libraries"]["strange"]["n"] == 8
    assert set(r["strange_libraries"]["strange"]["coverage"]) == set(MEAN_NAMES)
    assert r["machine"]["cpu"]
    json.dumps(r, allow_nan=False)


def test_commit_is_that_of_the_clone_and_none_of_an_installed_package(tmp_path, monkeypatch):
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "-C", str(tmp_path)]
    (tmp_path / "src").mkdir()
    module = tmp_path / "src" / "__init__.py"
    module.write_text("a = 1\n")
    monkeypatch.setattr(provenance.napari_sfh, "__file__", str(module))
    subprocess.run([*git, "init", "-q"], check=True)
    assert find_source_commit() is None  # the repository does not know the file
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert find_source_commit() == head.strip()
    module.write_text("a = 2\n")
    assert find_source_commit() == head.strip() + "+"


def test_test_set_is_the_same_whatever_its_size(small_set, monkeypatch):
    monkeypatch.setattr(test_set, "BLOCK", 64)
    other = test_set.draw_test_set_from_source(toy_source(), 10)
    np.testing.assert_array_equal(other.labels.mass_frac, small_set.labels.mass_frac[:10])
    _, a = next(other.observe())
    _, b = next(small_set.observe())
    np.testing.assert_array_equal(a.flux, b.flux[:10])


def test_test_set_differs_by_seed_and_snr(small_set, monkeypatch):
    monkeypatch.setattr(test_set, "BLOCK", 64)
    other = test_set.draw_test_set_from_source(toy_source(), 96, seed=3)
    assert not np.array_equal(other.labels.mass_frac, small_set.labels.mass_frac)
    _, faint = next(small_set.observe(5.0))
    assert np.median(faint.snr) == pytest.approx(5.0, rel=0.1)


def test_training_seed_is_refused(bundle, small_set):
    meta = {**bundle.meta, "training": {"seed": test_set.TEST_SEED}, "prior": {"name": "tiny"}}
    with pytest.raises(SfhInputError, match=r"`seed` 20261121: these weights were trained with it"):
        evaluate.evaluate_bundle(replace(bundle, meta=meta), small_set, SMALL)


def test_mass_scale_of_another_prior_is_not_judged(small_set):
    other = evaluate.hide_mass_scale(small_set)
    assert np.isnan(other.labels.lg_ml_v).all()
    assert np.isfinite(small_set.labels.lg_ml_v).all()
    np.testing.assert_array_equal(other.labels.mh_mw, small_set.labels.mh_mw)


def test_part_of_the_training_set_that_was_held_out(tmp_path):
    from napari_sfh.training.fitting.spectra_sources import split_rows
    from napari_sfh.training.simulator import simulation

    simulation.simulate_set(toy_source(), 60, 4, tmp_path / "set")
    every = test_set.read_test_set(tmp_path / "set", 100, "other", None)
    assert every.n == 60
    sha = every.blocks[0].source.dataset.sha256
    held = test_set.read_test_set(tmp_path / "set", 100, sha, 7)
    np.testing.assert_array_equal(held.blocks[0].rows, split_rows(60, 7)[2])
    with pytest.raises(SfhInputError, match="trained on it"):
        test_set.read_test_set(tmp_path / "set", 100, sha, None)


def test_ood_cases_are_what_they_say(small_set):
    source = small_set.blocks[0].source
    made = dict(ood_cases.make_ood_cases(source, 12, np.random.default_rng(1), toy_model()))
    home = made["at home"]
    window = (WAVE_AA > 6540) & (WAVE_AA < 6600)
    assert np.all(made["AGN lines"].flux[:, window].sum(1) > home.flux[:, window].sum(1) + 10)
    ratio = made["zero point 0.5 mag"].phot / home.phot
    changed = np.abs(np.log10(ratio)) > 0.15
    assert np.all(changed.sum(1) <= 3)
    for data in made.values():
        np.testing.assert_allclose(data.flux[:, (WAVE_AA >= 5300) & (WAVE_AA <= 5500)].mean(1), 1, atol=0.1)


def test_a_redshift_error_moves_lines_by_300_kms(small_set):
    clean = ood_cases.select_noiseless(small_set.blocks[0].source, np.arange(20))
    narrow = np.exp(-0.5 * ((WAVE_AA - 6000.0) / 4.0) ** 2)
    clean = replace(clean, flux=np.tile(1 + narrow, (20, 1)).astype(np.float32))
    moved = WAVE_AA[ood_cases.shift_rest_frame(clean, 300.0, np.random.default_rng(2)).flux.argmax(1)]
    np.testing.assert_allclose(np.abs(moved - 6000), 6.0, atol=1.3)
    assert set(np.sign(moved - 6000)) == {-1, 1}


def test_permutation_keeps_values_and_loses_their_place():
    data, _ = make_toy_data(50)
    rng = np.random.default_rng(0)
    out = ablation.permute_band(data, 2, rng)
    np.testing.assert_array_equal(np.sort(out.phot[:, 2]), np.sort(data.phot[:, 2]))
    np.testing.assert_array_equal(out.phot[:, 3], data.phot[:, 3])
    assert not np.array_equal(out.phot[:, 2], data.phot[:, 2])
    out = ablation.permute_range(data, (5050, 5300), rng)
    part = (WAVE_AA >= 5050) & (WAVE_AA < 5300)
    np.testing.assert_array_equal(np.sort(out.flux[:, part], axis=0), np.sort(data.flux[:, part], axis=0))
    np.testing.assert_array_equal(out.flux[:, ~part], data.flux[:, ~part])
    assert not ablation.remove_photometry(data).phot_mask.any()


def test_flattened_continuum_has_no_slope():
    data, _ = make_toy_data(5)
    flat = ablation.flatten_continuum(data).flux
    slope = np.polyfit(np.linspace(-1, 1, WAVE_AA.size), flat.T, 2)
    np.testing.assert_allclose(slope[0], 0, atol=1e-4)
    np.testing.assert_allclose(slope[1], 0, atol=1e-4)


def test_segments_cover_the_spectrum_once():
    names = [n for n, _ in ablation.list_input_changes(MUSE_HST) if n.startswith("without") and "-" in n]
    assert len(names) == 9
    assert names[0] == "without 4800-5050"


def test_elsewhere_truth_is_consistent_and_light_is_physical():
    data, labels = independent_simulator.observe_independent_galaxies(toy_templates(), 30, 3, snr=1e5)
    np.testing.assert_allclose(labels.mass_frac.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(labels.light_frac.sum(1), 1, atol=1e-5)
    means = compute_population_means(labels.mass_frac, labels.light_frac, labels.mh)
    np.testing.assert_allclose(means["lg_age_lw"], labels.lg_age_lw, atol=1e-5)
    # Young stars shine more per mass: light is younger than mass.
    assert np.all(labels.lg_age_lw <= labels.lg_age_mw + 1e-3)
    assert np.all(data.phot > 0)
    # Dust reddens: A_V of the truth against the colour of a flat toy spectrum.
    colour = np.log10(data.phot[:, 4] / data.phot[:, 0])
    assert np.corrcoef(colour, labels.tau_ism)[0, 1] > 0.9


def test_stars_between_libraries_are_a_class_of_their_own():
    source = toy_source()
    blended = replace(source, models=source.models * 3, shares=(0.5, 0.25, 0.25))
    tests = test_set.draw_test_set_from_source(blended, 96)
    assert tests.library_names == (*source.config.libraries, test_set.BLENDS)
    assert set(tests.library) == {0, 1}
    assert np.mean(tests.library == 1) == pytest.approx(0.5, abs=0.15)


def test_calzetti_and_smc_are_one_at_5500():
    wave = np.array([2700.0, 5500.0, 8000.0])
    for kind, uv in ((0, 1.8), (1, 2.3)):
        curve = independent_simulator.independent_attenuation_curve(kind, wave)
        assert curve[1] == pytest.approx(1.0, abs=0.03)
        assert curve[0] == pytest.approx(uv, rel=0.12)
        assert curve[2] < 0.7


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--prior", "nowhere"], "nowhere"),
        (["--prior", "tiny", "--n", "0"], "--n 0"),
        ([], "give --prior"),
        (["--prior", "tiny", "--data", "x"], None),
        (["--prior", "tiny", "--library", "nowhere"], "library 'nowhere' is unknown"),
    ],
)
def test_bad_arguments(tmp_path, capsys, extra, message):
    from toy_universe import make_toy_metadata

    from napari_sfh.model.bundle import save_bundle

    made = load_bundle(write_toy_bundle(tmp_path / "toy.safetensors"))
    meta = {**make_toy_metadata(), "prior": {}}
    save_bundle(tmp_path / "toy.safetensors", made.model, made.instrument, made.filters, made.basis, meta)
    args = ["evaluate", "--weights", str(tmp_path / "toy.safetensors"), "--output", str(tmp_path / "out"), *extra]
    if message is None:
        with pytest.raises(SystemExit) as stop:
            cli.main(args)
        assert stop.value.code == 2
        return
    assert cli.main(args) == 2
    assert message in capsys.readouterr().err


def test_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SfhInputError, match="`output`"):
        report.prepare_output_folder(tmp_path / "file" / "out")


def test_weights_of_a_table_ask_for_one(tmp_path, capsys):
    own = {"name": "table mine.fits", "sha256": "0" * 64, "toml": ""}
    path = write_toy_bundle(tmp_path / "own.safetensors", prior=own)
    assert cli.main(["evaluate", "--weights", str(path), "--output", str(tmp_path / "report")]) == 2
    assert "table mine.fits; give it, or other objects with labels, by --data" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mine", "wide"])
def test_weights_of_a_prior_of_ones_own_are_tested_on_it(tmp_path, monkeypatch, capsys, name):
    text = (
        load_prior("tiny").source.replace('name = "tiny"', f'name = "{name}"').replace("floor = 0.02", "floor = 0.07")
    )
    own = parse_prior(text, "mine.toml")
    record = {"name": own.name, "sha256": own.sha256, "toml": own.source}
    path = write_toy_bundle(tmp_path / "own.safetensors", prior=record)
    drawn = []

    def stop(config, *_):
        drawn.append(config)
        raise SfhInputError("far enough")

    monkeypatch.setattr(test_set, "prepare_prior", stop)
    assert cli.main(["evaluate", "--weights", str(path), "--output", str(tmp_path / "report")]) == 2
    assert "far enough" in capsys.readouterr().err
    assert [(config.name, config.sha256) for config in drawn] == [(name, own.sha256)]


def test_folder_without_weights(tmp_path, capsys):
    assert cli.main(["evaluate", "--weights", str(tmp_path), "--output", str(tmp_path / "o")]) == 2
    assert "0 .safetensors files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("scalars", "system"),
    [(("lg_age_lw", "ebv"), "jpas"), (("t10", "t50", "t90"), "percentiles"), (("lg_age_lw", "mh_lw"), "spaxels")],
)
def test_weights_for_scalars_belong_to_the_paper_that_has_them(scalars, system):
    assert choose_paper_system(scalars) == system


def test_weights_of_no_paper_are_refused():
    with pytest.raises(SfhInputError, match="--paper: no paper has weights for lg_mass"):
        choose_paper_system(("lg_mass",))


@pytest.mark.parametrize(
    ("weights", "quick", "asked"),
    [
        ("jpas", False, {"system": "jpas", "model": "jpas"}),
        ("percentiles", True, {"system": "percentiles", "n": 200}),
        ("narrowband", True, {"system": "spaxels", "galaxies": 16, "spaxels": 40, "epochs": 5}),
    ],
)
def test_figures_of_another_paper_are_asked_of_its_own_command(tmp_path, monkeypatch, weights, quick, asked):
    told = []
    monkeypatch.setattr(paper_systems, "run_paper_systems", lambda args: told.append(vars(args)) or 0)
    words = ["evaluate", "--weights", weights, "--paper", "--output", str(tmp_path), "--quiet"]
    assert cli.main(words + ["--quick"] * quick) == 0
    assert {key: told[0][key] for key in asked} == asked
    assert told[0]["output"] == tmp_path / f"{asked['system']}.json"
    assert told[0]["quiet"]


def test_figures_of_the_main_paper_are_measured_as_asked(tmp_path, monkeypatch, capsys):
    from napari_sfh.training.papers.main_paper import measurements, writing

    told = {}
    path = write_toy_bundle(tmp_path / "toy.safetensors")
    (tmp_path / "curve.json").write_text('{"rows": [1, 2]}')
    monkeypatch.setattr(test_set, "read_test_set", lambda folder, *_: SimpleNamespace(name=folder.name))

    def measure(bundle, testset, settings, progress):
        told.update(bundle=bundle.name, testset=testset.name, settings=settings)
        return "measured"

    def write(measured, output, curve, progress, device):
        told.update(measured=measured, curve=curve)
        return [output / "figure.pdf"]

    monkeypatch.setattr(measurements, "measure_paper_figures", measure)
    monkeypatch.setattr(writing, "write_paper_figures", write)
    words = [
        "evaluate",
        "--weights",
        str(path),
        "--data",
        str(tmp_path / "set"),
        "--paper",
        "--n",
        "300",
        "--quick",
        "--ppxf",
        "7",
    ]
    curve = tmp_path / "curve.json"
    words += ["--size-curve", str(curve), "--output", str(tmp_path / "out")]
    held = curve.read_bytes()
    for content, why in ((b"[1, 2]", "no file of ablate-recipe --sizes"), (None, "cannot be read")):
        curve.unlink() if content is None else curve.write_bytes(content)
        assert cli.main(words) == 2
        assert why in capsys.readouterr().err
    curve.write_bytes(held)
    assert cli.main(words) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / "figure.pdf")]
    settings = told.pop("settings")
    assert (settings.n, settings.n_ablation, settings.n_ppxf) == (256, 128, 7)
    assert settings.ppxf_cache == tmp_path / "out" / "ppxf-set.jsonl"
    assert told == {"bundle": load_bundle(path).name, "testset": "set", "measured": "measured", "curve": [1, 2]}


def test_a_folder_of_weights_is_the_one_bundle_in_it(tmp_path, monkeypatch):
    """That of a training run by its name, else the only one."""
    read = []
    monkeypatch.setattr(test_set, "read_test_set", lambda *_: read.append(1) or pytest.fail("read"))
    words = ["evaluate", "--weights", str(tmp_path), "--data", str(tmp_path / "set"), "--output", str(tmp_path / "o")]
    write_toy_bundle(tmp_path / "mine.safetensors")
    with pytest.raises(pytest.fail.Exception):
        cli.main(words)
    write_toy_bundle(tmp_path / "more.safetensors")
    assert cli.main(words) == 2
    assert read == [1]
    write_toy_bundle(tmp_path / BUNDLE)
    with pytest.raises(pytest.fail.Exception):
        cli.main(words)
