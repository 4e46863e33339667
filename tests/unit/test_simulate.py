"""The set on disk: the same whatever the workers, resumed after an interruption, and never written in silence."""

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from synthetic_toys import toy_source, toy_templates
from template_toys import no_download
from threadpoolctl import threadpool_limits

from napari_sfh.digests import hash_parts
from napari_sfh.errors import Cancelled, ComputeError, SfhInputError
from napari_sfh.physics.means import MEAN_NAMES, compute_population_means
from napari_sfh.training import cli
from napari_sfh.training.simulator import simulation, stored_set
from napari_sfh.training.simulator.array_backend import NUMPY_BACKEND
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.types import Observation

N = 300


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(simulation, "CHUNK_SIZE", 128)


def make(folder, n=N, seed=7, workers=1, source=None):
    return simulation.simulate_set(source or toy_source(), n, seed, folder, workers)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "CHUNK_SIZE", 128)
        return folder, make(folder)


def test_workers_do_not_change_the_set(made, tmp_path):
    assert make(tmp_path, workers=3)["data_sha256"] == made[1]["data_sha256"]


def test_seeds_do(made, tmp_path):
    assert make(tmp_path, seed=8)["data_sha256"] != made[1]["data_sha256"]


def test_an_interrupted_run_goes_on_and_ends_the_same(made, tmp_path, monkeypatch):
    cancel = threading.Event()

    def stop_after_the_first(step):
        if step.done:
            cancel.set()

    with pytest.raises(Cancelled):
        simulation.simulate_set(toy_source(), N, 7, tmp_path, progress=stop_after_the_first, cancel=cancel)
    assert not (tmp_path / "manifest.json").exists()
    first = simulation.shard_path(tmp_path, 0)
    assert first.is_file()
    calls = []
    real = simulation.write_shard
    monkeypatch.setattr(simulation, "write_shard", lambda *args: calls.append(args[2]) or real(*args))
    assert make(tmp_path)["data_sha256"] == made[1]["data_sha256"]
    assert 0 not in calls
    assert 2 in calls


def test_a_damaged_shard_is_made_anew(made, tmp_path):
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    path = simulation.shard_path(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SfhInputError, match=r"shard-00001.*missing or damaged.*run simulate again"):
        stored_set.load_stored_set(tmp_path)
    assert make(tmp_path)["data_sha256"] == made[1]["data_sha256"]
    assert len(stored_set.load_stored_set(tmp_path)) == N


def swap_shards(folder, other):
    first, second = simulation.shard_path(folder, 0), simulation.shard_path(folder, 1)
    first.rename(folder / "kept")
    second.rename(first)
    (folder / "kept").rename(second)


def copy_a_shard_over_another(folder, other):
    shutil.copy(simulation.shard_path(folder, 0), simulation.shard_path(folder, 1))


def take_a_shard_of_another_set(folder, other):
    shutil.copy(simulation.shard_path(other, 1), simulation.shard_path(folder, 1))


def invert_a_column(folder, other):
    path = simulation.shard_path(folder, 1)
    with safe_open(path, "numpy") as stored:
        columns, metadata = {name: stored.get_tensor(name) for name in stored.keys()}, stored.metadata()  # noqa: SIM118
    columns["data.flux"] = -columns["data.flux"]
    save_file(columns, path, metadata)


@pytest.mark.parametrize(
    "spoil", [swap_shards, copy_a_shard_over_another, take_a_shard_of_another_set, invert_a_column]
)
def test_shards_that_are_not_those_of_the_manifest_are_not_trained_on(made, tmp_path, spoil):
    """Whole files of the right shapes; a rerun of simulate makes what does not belong there anew."""
    shutil.copytree(made[0], tmp_path / "set")
    make(tmp_path / "other", seed=8)
    spoil(tmp_path / "set", tmp_path / "other")
    with pytest.raises(SfhInputError, match=r"shard-0000[01].*sha256 .* is not that of the manifest"):
        stored_set.load_stored_set(tmp_path / "set")
    if spoil is invert_a_column:
        simulation.shard_path(tmp_path / "set", 1).unlink()  # as the message says
    assert make(tmp_path / "set")["data_sha256"] == made[1]["data_sha256"]
    assert len(stored_set.load_stored_set(tmp_path / "set")) == N


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(data_sha256="0" * 64), "data_sha256 0000"),
        (lambda m: m["shards"][1].update(sha256="0" * 64), "data_sha256"),
        (lambda m: m["shards"].pop(), "data_sha256"),
        (lambda m: m["shards"].reverse(), "data_sha256"),
        (lambda m: m.update(n=N + 1), f"says {N + 1} objects"),
        (lambda m: m["shards"][0].update(n=64), f"says {N} objects"),
        (lambda m: m["shards"][0].pop("sha256"), "not a manifest"),
        (lambda m: m.update(shards=3), "not a manifest"),
        (lambda m: m.pop("n"), "not a manifest"),
        (
            lambda m: m.update(
                shards=[m["shards"][0]] * 2,
                n=2 * m["shards"][0]["n"],
                data_sha256=hash_parts(*[m["shards"][0]["sha256"]] * 2),
            ),
            "repeat each other",
        ),
    ],
)
def test_a_manifest_whose_numbers_do_not_fit_is_refused(made, tmp_path, change, words):
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / simulation.MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(SfhInputError, match=rf"manifest\.json.*{words}"):
        stored_set.load_stored_set(tmp_path)


def test_two_makers_of_one_set_do_not_disturb_each_other(made, tmp_path, monkeypatch):
    """What another process still writes is left alone."""
    real, inside = simulation.write_shard, []

    def write_while_another_begins(*args):
        if not inside:
            inside.append(True)
            assert make(tmp_path)["data_sha256"] == made[1]["data_sha256"]
        return real(*args)

    monkeypatch.setattr(simulation, "write_shard", write_while_another_begins)
    assert make(tmp_path)["data_sha256"] == made[1]["data_sha256"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in made[0].iterdir())


def test_another_set_in_the_folder_is_refused(made):
    with pytest.raises(SfhInputError, match="holds another set"):
        make(made[0], seed=99)


def test_a_full_disk_is_told_and_leaves_no_half_shard(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(simulation, "save_file", full)
    with pytest.raises(ComputeError, match=r"shard-00000.*No space left.*finished"):
        make(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SfhInputError, match="cannot be made"):
        make(tmp_path / "file" / "set")


def test_numbers_out_of_range_are_named(tmp_path):
    with pytest.raises(SfhInputError, match="`n` 0"):
        make(tmp_path, n=0)


def test_manifest_says_what_was_done(made):
    manifest = json.loads((made[0] / "manifest.json").read_text())
    assert manifest["n"] == sum(s["n"] for s in manifest["shards"]) == N
    assert manifest["prior"] == "tiny"
    assert "[[family]]" in manifest["prior_toml"]
    assert manifest["libraries"] == {"toy": toy_templates().sha256}
    # The toy library begins at [M/H] = -1, the prior's law at -2.3.
    assert manifest["n_metallicity_clipped"] > 0.5 * N
    assert manifest["code_version"]


def test_a_prior_that_leaves_the_library_can_be_an_error():
    config = replace(toy_source().config, out_of_range="error")
    with pytest.raises(SfhInputError, match=r"reaches \[M/H\] -2.28 .* the library has -1.00 to 0.30"):
        simulation.simulate_chunk(replace(toy_source(), config=config), 1, 0, 64)


def test_dataset_gives_back_what_was_simulated(made):
    stored = stored_set.load_stored_set(made[0])
    with threadpool_limits(1, user_api="blas"):
        data, labels, _ = simulation.simulate_chunk(toy_source(), 7, 1, 128)
    assert len(stored) == N
    part = stored.data(slice(128, 256))
    assert isinstance(part, Observation)
    np.testing.assert_allclose(part.flux, data.flux, rtol=6e-4, atol=1e-6)
    np.testing.assert_allclose(part.error, data.error, rtol=6e-4)
    # Rounding to float16 is far below the noise.
    rounding = (part.flux - data.flux)[data.mask] / data.error[data.mask]
    assert rounding.std() < 0.02
    np.testing.assert_array_equal(part.mask, data.mask)
    np.testing.assert_array_equal(part.phot, data.phot)
    truth = stored.labels(slice(128, 256))
    for name in Labels.array_names():
        np.testing.assert_array_equal(getattr(truth, name), getattr(labels, name))
    assert len(stored_set.load_stored_set(made[0], 130)) == 130


def test_labels_are_consistent(made):
    labels = stored_set.load_stored_set(made[0]).labels()
    np.testing.assert_allclose(labels.mass_frac.sum(1), 1, atol=1e-5)
    means = compute_population_means(labels.mass_frac, labels.light_frac, labels.mh)
    for name in MEAN_NAMES:
        np.testing.assert_allclose(getattr(labels, name), means[name], atol=1e-4)
    assert labels.family_names == ("gp", "skewnormal+burst", "delayed")
    assert labels.select(labels.family == 0).n == int((labels.family == 0).sum())


def test_stream_is_endless_and_repeatable():
    first = stored_set.stream_batches(toy_source(), 3, n=32)
    again = stored_set.stream_batches(toy_source(), 3, n=32, ahead=4, first=1)
    next(first)
    for _ in range(3):
        a, b = next(first), next(again)
        np.testing.assert_array_equal(a[0].flux, b[0].flux)
        np.testing.assert_array_equal(a[1].mass_frac, b[1].mass_frac)
    first.close()
    again.close()


def test_libraries_mix_within_a_chunk():
    wide = toy_source("wide")
    other = replace(wide.models[1], lg_ml_offset=1000.0)
    _, labels, _ = simulation.simulate_chunk(replace(wide, models=(wide.models[0], other)), 1, 0, 200)
    assert 0.25 < (labels.lg_ml_v > 500).mean() < 0.55


def test_wide_prior_gives_finite_data_with_every_fault():
    data, labels, _ = simulation.simulate_chunk(toy_source("wide"), 5, 0, 400)
    for name in ("flux", "error", "phot", "phot_error", "snr", "sigma_kms"):
        assert np.isfinite(getattr(data, name)).all(), name
    for name in Labels.array_names():
        assert np.isfinite(getattr(labels, name)).all(), name
    assert np.all(data.error > 0)
    assert 0.02 < (~data.phot_mask).mean() < 0.5
    assert (data.mask.mean(1) < 0.95).any()
    assert np.any(data.flag)


def test_no_set_here(tmp_path):
    with pytest.raises(SfhInputError, match="no synthetic set here"):
        stored_set.load_stored_set(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(SfhInputError, match="not a manifest"):
        stored_set.load_stored_set(tmp_path)


def test_dask_workers_make_the_same_set(made, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster:
        manifest = simulation.simulate_set(toy_source(), 128, 7, tmp_path, scheduler=cluster.scheduler_address)
    assert manifest["shards"][0] == made[1]["shards"][0]


def test_a_scheduler_without_workers_is_told(tmp_path, monkeypatch):
    from distributed import LocalCluster

    from napari_sfh.training.simulator import cluster

    monkeypatch.setattr(cluster, "WORKER_WAIT_S", 0.2)
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=None) as empty,
        pytest.raises(ComputeError, match="no worker joined it in"),
    ):
        simulation.simulate_set(toy_source(), 128, 7, tmp_path, scheduler=empty.scheduler_address)


def test_dask_workers_stand_elsewhere(tmp_path, monkeypatch):
    """A relative --output is the client's folder, not the worker's."""
    jobs = []

    def run_jobs(write, given, address):
        jobs.extend(given)
        yield 0, {"n": 40, "clipped": 0, "sha256": "of the shard"}

    monkeypatch.setattr("napari_sfh.training.simulator.cluster.write_shards_on_cluster", run_jobs)
    monkeypatch.chdir(tmp_path)
    simulation.simulate_set(toy_source(), 40, 7, Path("set"), scheduler="tcp://x:1")
    assert jobs[0][4] == tmp_path / "set"


def test_no_scheduler_answers(tmp_path):
    with pytest.raises(ComputeError, match="no Dask scheduler"):
        simulation.simulate_set(toy_source(), 128, 7, tmp_path, scheduler="nonsense://here")


def test_command_makes_a_set_and_its_plots(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(simulation, "prepare_prior", lambda config, instrument: replace(toy_source(), config=config))
    no_download(monkeypatch)
    words = ["simulate", "--config", "tiny", "--n", "150", "--workers", "2", "--without", "delayed"]
    assert cli.main([*words, "--output", str(tmp_path), "--plots"]) == 0
    assert "150 objects of tiny" in capsys.readouterr().out
    assert set(stored_set.load_stored_set(tmp_path).labels().family) <= {0, 1}
    page = (tmp_path / "plots" / "index.html").read_text()
    assert all((tmp_path / "plots" / f"tiny-{k}.png").stat().st_size > 5000 for k in ("families", "priors", "corner"))
    assert page.count("<img") == 5


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["simulate", "--config", "nope", "--output", "x"], 2, "no such prior or file"),
        (["plots", "--data", "nowhere"], 2, "no synthetic set here"),
    ],
)
def test_command_errors_are_one_line(words, status, message, capsys):
    assert cli.main(words) == status
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1


def test_every_command_has_help(capsys):
    for name in ("simulate", "plots", "mock"):
        with pytest.raises(SystemExit) as exit_info:
            cli.main([name, "--help"])
        assert exit_info.value.code == 0
        assert "--output" in capsys.readouterr().out


def test_fluxes_are_kept_in_half_precision_bit_by_bit_as_numpy_rounds_them():
    rng = np.random.default_rng(5)
    values = (10 ** rng.uniform(-9, 4.8, 200_000) * rng.choice([-1, 1], 200_000)).astype(np.float32)
    edges = np.array(
        [0.0, -0.0, 65504, 65519.99, 65520, 2.0**-24, 2.0**-25, 1.5 * 2.0**-25, np.inf, -np.inf], np.float32
    )
    values = np.concatenate([values, edges, np.arange(1, 3, 2.0**-12, dtype=np.float32)])
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16)
    for shape in ((-1,), (2, -1)):
        kept = NUMPY_BACKEND.half(values.reshape(shape))
        np.testing.assert_array_equal(kept.reshape(-1).view(np.uint16), expected.view(np.uint16))
