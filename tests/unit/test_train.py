"""A whole training on toy templates: what it leaves, how it goes on after an interruption, what it refuses."""

import copy
import dataclasses
import json
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from muse_hst import MUSE_HST
from synthetic_toys import prepare_toy_templates, toy_source, toy_templates
from threadpoolctl import threadpool_info
from toy_universe import make_toy_data

from napari_sfh.analysis.credibility.misfit_check import MISFIT_LIMITS_KEY
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.model.bundle import REQUIRED, hash_bundle_tensors, load_bundle, save_bundle
from napari_sfh.model.inference import predict_histories
from napari_sfh.training import cli
from napari_sfh.training.fitting import learning_curve, point_network, training_run
from napari_sfh.training.fitting.recipe import PointFitSettings, load_recipe
from napari_sfh.training.fitting.spectra_sources import HISTORIES, FreshSource
from napari_sfh.training.libraries import templates
from napari_sfh.training.libraries.basis import make_template_basis
from napari_sfh.training.simulator import simulation

EPOCHS = 3


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """No library is fetched: every name gives the toy templates."""
    monkeypatch.setattr(templates, "prepare_templates", prepare_toy_templates)


def recipe(**changes):
    made = load_recipe("tiny")
    settings = dataclasses.replace(made.fit, epochs=EPOCHS, batch=32)
    return dataclasses.replace(made, n=150, fit=settings, **changes)


def options(folder, **changes):
    return training_run.TrainingOptions(
        folder, device="cpu", quiet=True, command="napari-sfh-train train ...", **changes
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "prepare_templates", prepare_toy_templates)
        training_run.train_bundle(recipe(), options(folder))
    return folder


def same_weights(a, b):
    return hash_bundle_tensors(load_bundle(a / training_run.BUNDLE)) == hash_bundle_tensors(
        load_bundle(b / training_run.BUNDLE)
    )


def test_bundle_says_where_it_comes_from(whole):
    meta = load_bundle(whole / training_run.BUNDLE).meta
    assert set(REQUIRED) <= set(meta)
    assert meta["prior"]["name"] == "tiny"
    assert len(meta["prior"]["sha256"]) == 64
    assert meta["libraries"]["toy"]["templates_sha256"] == toy_templates().sha256
    assert set(meta["filters"]) == {"F275W", "F336W", "F438W", "F555W", "F814W"}
    assert all(len(f["sha256"]) == 64 for f in meta["filters"].values())
    record = meta["training"]
    assert record["n"] == 150
    assert record["epochs"] == EPOCHS
    assert record["seed"] == recipe().fit.seed
    assert record["recipe"]["architecture"] == "stem"
    assert len(record["data_sha256"]) == 64
    assert set(record["seconds"]) == {"data", "network", "posterior", "calibration"}
    assert record["machine"]["torch"] == str(torch.__version__)
    assert "Not evaluated yet" in meta["card"]


def test_run_leaves_recipe_table_and_picture(whole):
    assert json.loads((whole / "recipe.json").read_text())["n"] == 150
    assert (whole / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"
    rows = learning_curve.read_learning_curve(whole)
    assert [r.epoch for r in rows] == [0, 1, 2]
    assert all(np.isfinite(r).all() for r in rows)
    assert rows[0].seconds < rows[2].seconds


@pytest.mark.parametrize("text", ['{"fit": ', "", "[1]"])
def test_damaged_records_of_a_run_are_told_and_times_begin_anew(tmp_path, text):
    for name in ("recipe.json", "run.json"):
        (tmp_path / name).write_text(text)
    assert training_run.StageTimer(tmp_path).seconds == {}
    with pytest.raises(SfhInputError, match=r"recipe\.json: damaged.*delete it"):
        training_run.train_bundle(recipe(), options(tmp_path, resume=True))


def test_bundle_predicts_and_has_thresholds(whole):
    bundle = load_bundle(whole / training_run.BUNDLE)
    data, _ = make_toy_data(3)
    prediction = predict_histories(data, bundle, device="cpu", draws=60)
    assert np.isfinite(prediction.mass_frac).all()
    assert np.isfinite(prediction.ood).all()
    assert torch.isfinite(bundle.model.depth.width).all()


def test_weights_are_stored_in_half_precision_without_loss(whole):
    weight = load_bundle(whole / training_run.BUNDLE).model.network.whole.weight
    assert torch.equal(weight, weight.half().float())


@pytest.mark.parametrize("stage", ["network", "before state", "posterior", "calibration"])
def test_interrupted_run_goes_on_as_if_it_had_not_been(whole, tmp_path, monkeypatch, stage):
    """To the last bit, so the same seed also gives the same weights."""
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt(patch, stage)
        with pytest.raises(KeyboardInterrupt):
            training_run.train_bundle(recipe(), options(folder))
    assert not (folder / training_run.BUNDLE).exists()
    training_run.train_bundle(recipe(), options(folder, resume=True))
    assert same_weights(whole, folder)
    assert [r.epoch for r in learning_curve.read_learning_curve(folder)] == [0, 1, 2]


def interrupt(patch, stage):
    """Ctrl-C in the middle of a stage."""

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    def stop_in_second_epoch(self, trainer, module, *args):
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt

    if stage == "network":
        patch.setattr(point_network.EpochLogger, "on_train_batch_end", stop_in_second_epoch, raising=False)
    elif stage == "before state":
        patch.setattr(training_run, "save_model_state", stop)
    else:
        patch.setattr(training_run, {"posterior": "fit_flow", "calibration": "calibrate_model"}[stage], stop)


def test_run_of_the_bare_functions_is_taken_over(whole, tmp_path):
    """A folder with a noiseless set and a fitted network alone, as a script of one's own may leave it."""
    for name in (training_run.FRESH, training_run.POINT):
        shutil.copy(whole / name, tmp_path / name)
    training_run.train_bundle(recipe(), options(tmp_path, resume=True))
    assert same_weights(whole, tmp_path)


def test_state_of_a_version_without_todays_score_is_good_enough(whole, tmp_path):
    """What later stages fit is not read from the first stage's file."""
    shutil.copy(whole / training_run.FRESH, tmp_path)
    state = torch.load(whole / training_run.POINT, weights_only=True)
    old = {k: v for k, v in state.items() if not k.startswith(("depth.", "seal"))}
    torch.save(old | {"depth.width": torch.ones(2, 3)}, tmp_path / training_run.POINT)
    training_run.train_bundle(recipe(), options(tmp_path, resume=True))
    assert same_weights(whole, tmp_path)


def test_folder_that_holds_a_run_is_refused(whole):
    with pytest.raises(SfhInputError, match=r"holds a run already \(fresh.npz\); add `resume`"):
        training_run.train_bundle(recipe(), options(whole))


def test_another_recipe_does_not_go_on(whole):
    other = dataclasses.replace(recipe(), fit=dataclasses.replace(recipe().fit, epochs=7))
    with pytest.raises(SfhInputError, match="epochs = 3, not 7"):
        training_run.train_bundle(other, options(whole, resume=True))


@pytest.fixture(scope="module")
def stopped_in_third_epoch(tmp_path_factory):
    """The folder of a run that was interrupted in the middle of its last epoch."""

    def stop_in_third_epoch(self, trainer, module, *args):
        if trainer.current_epoch == EPOCHS - 1:
            raise KeyboardInterrupt

    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "prepare_templates", prepare_toy_templates)
        patch.setattr(point_network.EpochLogger, "on_train_batch_end", stop_in_third_epoch, raising=False)
        with pytest.raises(KeyboardInterrupt):
            training_run.train_bundle(recipe(), options(folder))
    return folder


@pytest.mark.parametrize(("epochs", "done"), [(2, 2), (4, 4), (1, 2)])
def test_run_is_taken_up_with_another_number_of_epochs(stopped_in_third_epoch, tmp_path, epochs, done):
    folder = shutil.copytree(stopped_in_third_epoch, tmp_path / "run")
    other = dataclasses.replace(recipe(), fit=dataclasses.replace(recipe().fit, epochs=epochs))
    record = load_bundle(training_run.train_bundle(other, options(folder, resume=True))).meta["training"]
    assert record["epochs"] == done
    assert record["recipe"]["fit"]["epochs"] == epochs


def test_noiseless_set_of_another_size_is_refused(whole, tmp_path):
    shutil.copy(whole / training_run.FRESH, tmp_path)
    with pytest.raises(SfhInputError, match=r"fresh.npz: holds 150 objects .* asks for 80"):
        training_run.train_bundle(dataclasses.replace(recipe(), n=80), options(tmp_path, resume=True))


def test_damaged_files_of_a_run_are_named(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / training_run.POINT).write_bytes(b"no state")
    with pytest.raises(SfhInputError, match=r"state.pt: no state of"):
        training_run.train_bundle(recipe(), options(tmp_path / "run", resume=True))
    (tmp_path / "run" / training_run.FRESH).write_bytes(b"no set")
    with pytest.raises(SfhInputError, match=r"fresh.npz: no noiseless set"):
        training_run.train_bundle(recipe(), options(tmp_path / "run", resume=True))


def test_altered_and_foreign_states_are_refused(whole, tmp_path):
    """Weights whose sign was turned, and the state of a run on other data: both of the right shapes."""
    shutil.copytree(whole, tmp_path / "run")
    path = tmp_path / "run" / training_run.POINT
    state = torch.load(path, weights_only=True)
    name = next(k for k in state if k.endswith("weight"))
    torch.save(state | {name: -state[name]}, path)
    with pytest.raises(SfhInputError, match=r"state.pt: altered since it was written"):
        training_run.train_bundle(recipe(), options(tmp_path / "run", resume=True))
    torch.save(state | {"seal": state["seal"] | {"origin": "f" * 64}}, path)
    with pytest.raises(SfhInputError, match=r"state.pt: belongs to another run"):
        training_run.train_bundle(recipe(), options(tmp_path / "run", resume=True))


def test_altered_checkpoints_are_refused(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / training_run.POINT).unlink()
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    stored = torch.load(path, weights_only=True)
    name = next(k for k in stored["state_dict"] if k.endswith("weight"))
    stored["state_dict"][name] = -stored["state_dict"][name]
    torch.save(stored, path)
    more = dataclasses.replace(recipe(), fit=dataclasses.replace(recipe().fit, epochs=EPOCHS + 1))
    with pytest.raises(SfhInputError, match=r"last.ckpt: altered since it was written"):
        training_run.train_bundle(more, options(tmp_path / "run", resume=True))


def test_checkpoints_of_another_run_are_refused(whole, tmp_path):
    """The network of a run on other objects, of the same shapes: neither gone on from nor taken as the best."""
    foreign = dataclasses.replace(recipe(), fit=dataclasses.replace(recipe().fit, seed=99))
    training_run.train_bundle(foreign, options(tmp_path / "other"))
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / training_run.POINT).unlink()
    for name in ("last.ckpt", "best.ckpt"):
        shutil.copy(tmp_path / "other" / "checkpoints" / name, tmp_path / "run" / "checkpoints" / name)
        with pytest.raises(SfhInputError, match=rf"{name}: belongs to another run"):
            training_run.train_bundle(recipe(), options(tmp_path / "run", resume=True))
        shutil.copy(whole / "checkpoints" / name, tmp_path / "run" / "checkpoints" / name)


@pytest.mark.parametrize(
    "words", [("--data", "{out}"), ("--from", "{out}/w.safetensors", "--output", "{out}/w.safetensors")]
)
def test_output_is_never_an_input(tmp_path, capsys, words):
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    told = [word.format(out=tmp_path) for word in words]
    told += [] if "--output" in told else ["--output", str(tmp_path / ".")]
    assert cli.main(["train", "--config", "tiny", *told]) == 2
    assert "--output" in capsys.readouterr().err
    assert (tmp_path / "w.safetensors").read_bytes() == b"weights"


def test_json_reports_replace_no_other_file(tmp_path, capsys):
    other = tmp_path / "cube.json"
    other.write_bytes(b"SIMPLE  =                    T")
    for output, named in ((other, other), (tmp_path / "report.fits", "report.fits"), (other / "report.json", other)):
        assert cli.main(["retraining-bound", "--weights", "wide", "--output", str(output)]) == 2
        assert str(named) in capsys.readouterr().err
    assert other.read_bytes().startswith(b"SIMPLE")


def test_state_of_another_network_is_refused(whole, tmp_path):
    for name in (training_run.FRESH, training_run.POINT):
        shutil.copy(whole / name, tmp_path / name)
    wider = recipe(network={**recipe().network, "width": 40})
    with pytest.raises(SfhInputError, match=r"state.pt: no state of recipe 'tiny'"):
        training_run.train_bundle(wider, options(tmp_path, resume=True))


def test_full_disk_is_a_computation_error(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(ComputeError, match=r"No space left.*`resume`"):
        training_run.train_bundle(recipe(), options(tmp_path / "run"))


def test_lack_of_memory_is_a_computation_error(tmp_path, monkeypatch):
    def short(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training_run, "fit_point_network", short)
    with pytest.raises(ComputeError, match=r"training failed \(CUDA out of memory\).*`resume`"):
        training_run.train_bundle(recipe(), options(tmp_path / "run"))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A set on disk."""
    folder = tmp_path_factory.mktemp("set")
    simulation.simulate_set(toy_source(), 120, 4, folder, 1)
    return folder


def test_stored_set_is_trained_on(stored, tmp_path):
    path = training_run.train_bundle(recipe(), options(tmp_path / "run", data=stored))
    record = load_bundle(path).meta["training"]
    assert record["n"] == 120
    assert record["data_sha256"] == simulation.read_manifest(stored)["data_sha256"]
    assert not (tmp_path / "run" / training_run.FRESH).exists()


def test_stored_set_of_another_prior_is_refused(stored, tmp_path):
    with pytest.raises(SfhInputError, match=r"prior 'tiny'.*'galceran2026'"):
        training_run.train_bundle(recipe(prior="galceran2026"), options(tmp_path / "run", data=stored))


def test_trained_weights_are_calibrated_anew(whole, tmp_path, capsys):
    output, earlier = tmp_path / "again.safetensors", tmp_path / "earlier.safetensors"
    first = load_bundle(whole / training_run.BUNDLE)
    stale = {MISFIT_LIMITS_KEY: {"lg_snr": [0.7, 2.2], "limits": [[0.5, 0.5, 0.5]] * 2}}
    save_bundle(earlier, first.model, first.instrument, first.filters, first.basis, first.meta | stale)
    words = [str(earlier), "--n", "600", "--seed", "9", "--quiet", "--output", str(output)]
    assert cli.main(["recalibrate", *words]) == 0
    assert capsys.readouterr().out.strip() == str(output)
    # Limits of the misfit flag are those of the new answers, or none.
    assert load_bundle(output).meta.get(MISFIT_LIMITS_KEY) != stale[MISFIT_LIMITS_KEY]
    before, after = load_bundle(whole / training_run.BUNDLE), load_bundle(output)
    assert torch.equal(before.model.network.whole.weight, after.model.network.whole.weight)
    assert not torch.equal(before.model.depth.width, after.model.depth.width)
    assert after.meta["training"]["recalibrated"]["seed"] == 9


def test_calibration_needs_other_objects_than_the_training(whole, tmp_path, capsys):
    words = [
        str(whole / training_run.BUNDLE),
        "--seed",
        str(recipe().fit.seed),
        "--output",
        str(tmp_path / "x.safetensors"),
    ]
    assert cli.main(["recalibrate", *words]) == 2
    assert "were trained with it; choose another" in capsys.readouterr().err


def command(*words):
    return cli.main(["train", "--config", "tiny", "--device", "cpu", "--threads", "1", "--quiet", *map(str, words)])


def test_command_trains(tmp_path, capsys):
    assert command("--n", 120, "--epochs", 1, "--output", tmp_path / "run") == 0
    out = capsys.readouterr()
    assert out.out.strip() == str(tmp_path / "run" / training_run.BUNDLE)
    assert out.err == ""


def test_training_tells_what_it_does_from_the_start(tmp_path, capsys):
    words = ["--config", "tiny", "--device", "cpu", "--n", "120", "--epochs", "1", "--output", str(tmp_path / "run")]
    assert cli.main(["train", *words]) == 0
    lines = capsys.readouterr().err.splitlines()
    firsts = ["train tiny", "recipe tiny", "templates ", "drawing 120", "drawn ", "network ", "epoch 1/1: batch 1/"]
    places = [next(k for k, line in enumerate(lines) if line.startswith(first)) for first in firsts]
    assert places == sorted(places)
    assert places[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "/nowhere"], "no synthetic set here; make it with napari-sfh-train simulate"),
        (["--n", "5"], "--n 5: must be at least 20"),
        (["--epochs", "0"], "--epochs 0: must be at least 1"),
        (["--device", "abacus"], "device: 'abacus' is unknown; choose auto, cpu, cuda or mps"),
        (["--data", "set", "--n", "50"], "a stored set is used whole"),
        (["--config", "nothing"], "--config: 'nothing' is neither a file nor one of"),
    ],
)
def test_command_refuses_in_one_line(tmp_path, capsys, words, message):
    assert command("--output", tmp_path / "run", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_plateau_lowers_the_rate_and_survives_a_checkpoint():
    plateau = point_network.PlateauSchedule(PointFitSettings(plateau_epochs=2, plateau_factor=0.8))
    for loss in (3.0, 2.0, 2.5):
        plateau.record_loss(loss)
    other = point_network.PlateauSchedule(PointFitSettings(plateau_epochs=2, plateau_factor=0.8))
    other.restore(plateau.state())
    assert other.factor == 1.0
    other.record_loss(2.5)
    assert other.factor == pytest.approx(0.8)


def test_learning_rate_schedules():
    basis = make_template_basis(toy_templates())
    model = point_network.SfhModel(recipe().model_config(), MUSE_HST, HISTORIES, basis)
    for schedule, middle, end in (("linear", 0.5, 1e-4), ("constant", 1.0, 1.0), ("cosine", 0.5, 1e-4)):
        settings = dataclasses.replace(recipe().fit, schedule=schedule)
        module = point_network.PointNetworkModule(model, dataclasses.replace(recipe(), fit=settings), 10_000)
        assert module.relative_learning_rate(5000) == pytest.approx(middle, rel=0.01)
        assert module.relative_learning_rate(10_000) == pytest.approx(end)


def test_checkpoint_of_an_unfused_optimiser_goes_on():
    made = recipe()
    basis = make_template_basis(toy_templates())
    model = point_network.SfhModel(made.model_config(), MUSE_HST, HISTORIES, basis)
    module = point_network.PointNetworkModule(model, made)
    fused = module.configure_optimizers()["optimizer"]
    weights = list(model.network.parameters())
    earlier = torch.optim.Adam(weights, lr=1e-3)
    for optimiser in (earlier, fused):
        if optimiser is fused:
            fused.load_state_dict(copy.deepcopy(earlier.state_dict()))
        before = weights[0].detach().clone()
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        optimiser.step()
        torch.testing.assert_close(weights[0].detach(), before - optimiser.param_groups[0]["lr"], atol=1e-6, rtol=0)
    assert all(int(state["step"]) == 2 for state in fused.state.values())


@pytest.mark.parametrize("architecture", ["galceran2026", "stem"])
def test_steps_taken_in_groups_are_those_that_lightning_takes(tmp_path, monkeypatch, architecture):
    """What a graph plays on a GPU, called plainly: the same losses, weights and counts, also after an interruption."""
    loss = "paper" if architecture == "galceran2026" else "light"
    made = dataclasses.replace(recipe(), architecture=architecture, network={}, loss=loss)
    made = dataclasses.replace(made, fit=dataclasses.replace(made.fit, average_decay=0.0, epochs=2))
    plain = training_run.train_bundle(made, options(tmp_path / "plain")).parent
    monkeypatch.setattr(point_network, "allows_graphed_steps", lambda recipe, device: True)
    grouped = training_run.train_bundle(made, options(tmp_path / "grouped")).parent
    curves = [[(e.train, e.val) for e in learning_curve.read_learning_curve(at)] for at in (plain, grouped)]
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-4)
    states = [torch.load(at / "checkpoints" / "last.ckpt", weights_only=True) for at in (plain, grouped)]
    assert states[0]["lr_schedulers"][0]["last_epoch"] == states[1]["lr_schedulers"][0]["last_epoch"] > 0
    for name, value in states[0]["state_dict"].items():
        torch.testing.assert_close(states[1]["state_dict"][name], value, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("architecture", ["galceran2026", "four_branch", "stem"])
def test_a_graph_on_the_device_descends_as_plain_steps_on_the_processor(tmp_path, architecture):
    made = dataclasses.replace(recipe(), architecture=architecture, network={}, loss="paper")
    if architecture == "stem":
        made = dataclasses.replace(made, loss="light")
    # The device draws its own noise: there is hardly any.
    augment = dataclasses.replace(made.augment, snr_range=(3000.0, 3001.0), drop_band=0.0, mask_range=0.0)
    made = dataclasses.replace(made, fit=dataclasses.replace(made.fit, average_decay=0.0), augment=augment)
    curves = []
    for device in ("cpu", "cuda"):
        chosen = dataclasses.replace(options(tmp_path / device), device=device)
        curves.append(
            [e.train for e in learning_curve.read_learning_curve(training_run.train_bundle(made, chosen).parent)]
        )
    np.testing.assert_allclose(curves[1], curves[0], rtol=0.1)


def test_history_reads_lightnings_own_table(tmp_path):
    (tmp_path / learning_curve.TABLE).write_text("epoch,step,train,val\n0,9,,3.0\n0,9,4.0,\n1,19,,2.0\n1,19,2.5,\n")
    rows = learning_curve.read_learning_curve(tmp_path)
    assert [(r.epoch, r.train, r.val) for r in rows] == [(0, 4.0, 3.0), (1, 2.5, 2.0)]
    assert np.isnan(rows[0].seconds)
    learning_curve.write_learning_curve(tmp_path, rows[:1])
    assert learning_curve.read_learning_curve(tmp_path)[0].val == 3.0


def test_fresh_set_says_which_prior_it_is_of(whole, tmp_path):
    from napari_sfh.training.fitting.spectra_sources import load_fresh_source
    from napari_sfh.training.prior.prior_config import load_prior

    prior = load_prior("tiny")
    assert isinstance(load_fresh_source(whole / training_run.FRESH, prior, MUSE_HST), FreshSource)
    changed = dataclasses.replace(prior, max_age_gyr=10.0)
    with pytest.raises(SfhInputError, match="'tiny' before its settings changed"):
        load_fresh_source(whole / training_run.FRESH, changed, MUSE_HST)


def test_endless_training_writes_no_set_and_goes_on_after_an_interruption(tmp_path, monkeypatch):
    made = recipe()
    made = dataclasses.replace(made, fit=dataclasses.replace(made.fit, endless=True))
    training_run.train_bundle(made, options(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        interrupt(patch, "network")
        with pytest.raises(KeyboardInterrupt):
            training_run.train_bundle(made, options(tmp_path / "run"))
    training_run.train_bundle(made, options(tmp_path / "run", resume=True))
    assert same_weights(tmp_path / "whole", tmp_path / "run")
    assert not list(tmp_path.rglob("*.npz"))
    assert "new objects" in load_bundle(tmp_path / "run" / training_run.BUNDLE).meta["training"]["noise"]


def test_an_endless_source_needs_no_set(tmp_path, capsys):
    words = ["train", "--config", "tiny", "--endless", "--data", "runs/tiny", "--output", str(tmp_path)]
    assert cli.main(words) == 2
    assert "--data runs/tiny" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two processes want two cores")
def test_two_processes_fit_one_network(whole, tmp_path):
    """With gloo on a processor, as with NCCL on GPUs: the strategy is the same one."""
    two = training_run.train_bundle(recipe(), options(tmp_path / "two", devices=2)).parent
    losses = [[row.val for row in learning_curve.read_learning_curve(at)] for at in (whole, two)]
    assert len(losses[0]) == len(losses[1]) == EPOCHS
    assert not same_weights(whole, two)
    # The same batches with other noise: the same descent.
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert losses[1][-1] < losses[1][0]


@pytest.mark.parametrize("devices", [0, 10_000])
def test_devices_that_are_not_there(tmp_path, devices):
    with pytest.raises(SfhInputError, match=rf"`devices` {devices}: this machine has \d+ of cpu; give 1 to \d+"):
        training_run.train_bundle(recipe(), options(tmp_path / "run", devices=devices))


def test_linear_algebra_has_one_thread_and_torch_as_many_as_asked(tmp_path, monkeypatch):
    seen = []

    def look(*args, **kwargs):
        pools = threadpool_info()
        seen.append((torch.get_num_threads(), {p["num_threads"] for p in pools if p["user_api"] == "blas"}))
        raise SfhInputError("enough")

    monkeypatch.setattr(training_run, "load_training_data", look)
    before = torch.get_num_threads()
    with pytest.raises(SfhInputError, match="enough"):
        training_run.train_bundle(recipe(), options(tmp_path / "run", threads=2))
    assert seen == [(2, {1})]
    assert torch.get_num_threads() == before


def test_a_package_of_training_that_is_missing_is_named_with_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, training_run.__name__)
    monkeypatch.setitem(sys.modules, "lightning", None)
    assert cli.main(["train", "--config", "tiny", "--output", str(tmp_path / "run")]) == 2
    assert "[training]" in capsys.readouterr().err
