"""Many galaxies: what fails stops nothing, what is done is skipped, and nothing half-written stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from astropy.table import Table
from killed_writer import leave_part_of_killed_process
from many_toys import OPTIONS, Killer, toy_galaxy
from test_results import make_result

from napari_sfh import pipeline
from napari_sfh.batch import galaxies_report, many_galaxies
from napari_sfh.batch.many_galaxies import GalaxyJob, GalaxyOutcome, run_galaxies, run_galaxy_job
from napari_sfh.cli import main
from napari_sfh.config import RunConfig
from napari_sfh.console import print_progress
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.io.outputs import summary_page_path
from napari_sfh.io.results import read_provenance, write_result
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.types import Progress, Result


@pytest.fixture(scope="module")
def galaxy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_galaxy(tmp_path_factory.mktemp("many") / "toy")


@pytest.fixture(scope="module")
def address() -> Any:
    """A real scheduler with two workers, in this process, so that tests may put other functions into it."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def folders(galaxy: Path, tmp_path: Path) -> list[Path]:
    """Three galaxies, the second of which is broken."""
    made = [tmp_path / name for name in ("ngc1", "ngc2", "ngc3")]
    (cube,) = galaxy.glob("*.fits")
    for folder in made:
        folder.mkdir()
        (folder / cube.name).symlink_to(cube)
    (made[1] / cube.name).unlink()
    (made[1] / cube.name).write_bytes(cube.read_bytes()[:20000])
    return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """No network: a result that is made up. Holds the configurations that were run."""
    ran: list[RunConfig] = []

    def run(
        config: RunConfig, progress: ReportProgress | None, cancel: threading.Event | None = None, **_: Any
    ) -> Result:
        from dataclasses import replace

        from napari_sfh import __version__
        from napari_sfh.batch.rerun import hash_weights_file

        ran.append(config)
        report_progress(Progress("predicting", 0, 1), progress)
        settings = {**config.settings(), "version": __version__}
        return replace(make_result(), settings=settings, model_sha256=hash_weights_file(config.model))

    monkeypatch.setattr(pipeline, "run_pipeline", run)
    monkeypatch.setattr(many_galaxies, "save_summary_page", lambda _, path: summary_page_path(path).write_text("page"))
    return ran


def go(folders: list[Path], output: Path, address: str, **options: Any) -> dict[str, GalaxyOutcome]:
    jobs = galaxies_report.list_galaxy_jobs(folders, str(output), {**OPTIONS, **options}, {})
    return {o.name: o for o in run_galaxies(jobs, address)}


def test_a_broken_galaxy_stops_none_and_a_rerun_skips(
    folders: list[Path], tmp_path: Path, address: str, quick: list[RunConfig]
) -> None:
    out = tmp_path / "out"
    first = go(folders, out, address)
    assert {n: o.status for n, o in first.items()} == {"ngc1": "done", "ngc2": "failed", "ngc3": "done"}
    assert "ngc2: no usable integral-field" in first["ngc2"].message
    assert "truncated" in first["ngc2"].message
    assert first["ngc1"].n_bins == 7
    assert sorted(p.name for p in out.iterdir()) == [
        "ngc1_sfh.fits",
        "ngc1_sfh.png",
        "ngc3_sfh.fits",
        "ngc3_sfh.png",
    ]
    (out / "ngc3_sfh.png").unlink()
    again = go(folders, out, address)
    assert {n: o.status for n, o in again.items()} == {"ngc1": "skipped", "ngc2": "failed", "ngc3": "skipped"}
    assert len(quick) == 2
    assert (out / "ngc3_sfh.png").exists(), "a page that is missing is drawn again"
    assert go(folders, out, address, device="auto")["ngc1"].status == "skipped", "the device changes nothing"


def test_a_rerun_says_why(folders: list[Path], tmp_path: Path, quick: list[RunConfig]) -> None:
    job = GalaxyJob(folders[0], tmp_path / "a_sfh.fits", OPTIONS)
    (cube,) = folders[0].glob("*.fits")

    def again(**options: Any) -> str:
        outcome = run_galaxy_job(GalaxyJob(job.folder, job.output, {**OPTIONS, **options}), lambda stage: None)
        return outcome.message

    assert again().endswith("there was no result")
    assert again().startswith("done before")
    assert "target_snr was 60.0, is 30.0" in again(target_snr=30.0)
    assert "target_snr was 30.0, is 60.0" in again()
    assert "redshift was not given, is 0.002" in again(redshift=0.002)
    again()
    copy = cube.read_bytes()
    cube.unlink()
    cube.write_bytes(copy)
    os.utime(cube, (1e9, 1e9))
    assert "other input files" in again()
    raw = bytearray(job.output.read_bytes())
    raw[len(raw) // 2] ^= 255
    job.output.write_bytes(raw)
    assert "damaged or altered" in again()
    job.output.write_bytes(job.output.read_bytes()[:-5760])
    assert "truncated" in again()
    assert again().startswith("done before")
    assert "other weights: made with phangs" in again(model="phangs")
    assert read_provenance(job.output)["inputs"].startswith("cube ")


def test_made_by_other_versions(folders: list[Path], tmp_path: Path, quick: list[RunConfig]) -> None:
    from dataclasses import replace

    from napari_sfh.batch.rerun import explain_rerun, hash_weights_file

    config = RunConfig(cube=next(folders[0].glob("*.fits")))
    output = tmp_path / "o.fits"
    right = hash_weights_file("default")
    for settings, words in (
        ({"version": "0.0.1"}, "made by version 0.0.1, this is"),
        ({**config.settings(), "version": many_galaxies.__dict__.get("__version__", "")}, "made by version , this is"),
    ):
        write_result(replace(make_result(), settings=settings, model_sha256=right), output)
        assert words in explain_rerun(config, output)
    from napari_sfh import __version__

    settings = {**config.settings(), "version": __version__}
    write_result(replace(make_result(), settings=settings, model_sha256=right), output)
    assert "input files" in explain_rerun(config, output)
    write_result(
        replace(make_result(), settings={**settings, "photometry_F555W": "v.fits"}, model_sha256=right), output
    )
    assert "photometry_F555W was v.fits, is not given" in explain_rerun(config, output)


def test_the_table_of_a_line_spread_function_is_an_input_file(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_sfh.batch.rerun import check_run_outputs, describe_input_files

    table = tmp_path / "lsf.fits"
    table.write_text("4000 2.5\n9000 2.5\n")
    config = RunConfig(cube=next(folders[0].glob("*.fits")), lsf=str(table))
    assert f"lsf {table.stat().st_size} " in describe_input_files(config)
    with pytest.raises(SfhInputError, match="lsf"):
        check_run_outputs(config, table)
    monkeypatch.chdir(tmp_path)
    jobs = galaxies_report.list_galaxy_jobs(folders[:1], str(tmp_path / "out"), {"lsf": table.name}, {})
    assert jobs[0].options["lsf"] == str(table)


@pytest.mark.parametrize("error", [ComputeError("disk full"), RuntimeError("CUDA error"), MemoryError()])
def test_any_failure_is_one_line(
    folders: list[Path], tmp_path: Path, address: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(config: RunConfig, progress: ReportProgress, cancel: threading.Event | None) -> Result:
        progress(Progress("predicting", 0, 1))
        raise error

    monkeypatch.setattr(pipeline, "run_pipeline", fails)
    outcome = go(folders[:1], tmp_path / "out", address)["ngc1"]
    assert outcome.status == "failed"
    assert str(error) in outcome.message
    assert "\n" not in outcome.message
    assert list((tmp_path / "out").iterdir()) == []


def test_cancel_keeps_what_is_done(
    folders: list[Path], tmp_path: Path, address: str, quick: list[RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second galaxy is stopped in the middle, the third is not begun."""
    good, cancel = pipeline.run_pipeline, threading.Event()

    def slow(config: RunConfig, progress: ReportProgress, stop: threading.Event) -> Result:
        while quick:
            report_progress(Progress("spectra", 0, 1), progress, stop)
            time.sleep(0.02)
        return good(config, progress, stop)

    monkeypatch.setattr(pipeline, "run_pipeline", slow)
    (folders[1] / next(folders[0].iterdir()).name).unlink()
    (folders[1] / next(folders[0].iterdir()).name).symlink_to(next(folders[0].iterdir()).resolve())
    jobs = galaxies_report.list_galaxy_jobs(folders, str(tmp_path / "out"), OPTIONS, {})
    stages = []
    ended: list[GalaxyOutcome] = []

    def tell(step: Progress) -> None:
        stages.append(step.stage)
        if step.stage == "ngc2: spectra":
            cancel.set()

    run_galaxies(jobs, address, 1, ended.append, tell, cancel)
    assert {o.name: o.status for o in ended} == {"ngc1": "done", "ngc2": "interrupted", "ngc3": "interrupted"}
    assert "ngc1: predicting" in stages
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["ngc1_sfh.fits", "ngc1_sfh.png"]


@pytest.mark.slow
def test_local_workers_a_kill_and_the_report(galaxy: Path, folders: list[Path], tmp_path: Path) -> None:
    """Real processes, the real network: one galaxy kills its worker, one is broken, one comes out."""
    jobs = galaxies_report.list_galaxy_jobs([folders[0], folders[1], galaxy], str(tmp_path / "out"), OPTIONS, {})
    jobs[0] = GalaxyJob(jobs[0].folder, jobs[0].output, {**OPTIONS, "model": Killer()})
    jobs[0].output.parent.mkdir()
    left = leave_part_of_killed_process(jobs[0].output)
    with print_progress() as progress:
        outcomes = run_galaxies(jobs, workers=1, progress=progress)
    assert [o.status for o in outcomes] == ["failed", "failed", "done"], outcomes
    assert "its worker was killed" in outcomes[0].message
    assert not left.exists()
    assert outcomes[2].n_bins > 1
    assert outcomes[2].redshift == pytest.approx(0.0025, abs=1e-4)
    galaxies_report.write_galaxies_report(outcomes, tmp_path / "out", {"scheduler": "local"})
    document = json.loads((tmp_path / "out" / "run.json").read_text())
    assert document["counts"] == {"done": 1, "skipped": 0, "failed": 2, "interrupted": 0}
    assert document["galaxies"][0]["redshift"] is None
    table = Table.read(tmp_path / "out" / "run.ecsv")
    assert list(table["status"]) == ["failed", "failed", "done"]
    assert table["n_bins"][2] == outcomes[2].n_bins
    text = galaxies_report.format_galaxies_report(outcomes)
    assert "1 done, 2 failed" in text[-1]
    assert text[1].startswith("ngc1")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "run.ecsv",
        "run.json",
        "toy_sfh.fits",
        "toy_sfh.png",
    ]


def test_command_over_several_folders(
    folders: list[Path], tmp_path: Path, address: str, quick: list[RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    table = tmp_path / "options.csv"
    table.write_text("name,ebv_mw,redshift\nngc1,0.06,\nngc3,,0.002\n")
    arguments = ["run", *map(str, folders), "--output", str(out), "--scheduler", address, "--table", str(table)]
    assert main([*arguments, "--quiet"]) == 1
    said = capsys.readouterr()
    (line,) = [x for x in said.err.splitlines() if x.startswith("napari-sfh:")]
    assert line.startswith("napari-sfh: ngc2: ")
    assert "3 galaxies: 2 done, 1 failed" in said.out
    by_name = {c.cube.parent.name: c for c in quick}
    assert (by_name["ngc1"].ebv_mw, by_name["ngc1"].redshift) == (0.06, None)
    assert (by_name["ngc3"].ebv_mw, by_name["ngc3"].redshift) == (None, 0.002)
    document = json.loads((out / "run.json").read_text())
    assert document["scheduler"] == address
    assert document["finished"] >= document["started"]
    arguments = ["run", str(folders[0]), str(folders[2]), "--output", str(tmp_path / "{name}" / "sfh.fits")]
    assert main([*arguments, "--scheduler", address]) == 0
    assert (tmp_path / "ngc3" / "sfh.fits").exists()
    assert (tmp_path / "run.json").exists()
    assert "ngc1: predicting" in capsys.readouterr().err


@pytest.mark.usefixtures("page_at_once")
def test_one_folder_and_a_file_is_one_galaxy(
    folders: list[Path], tmp_path: Path, quick: list[RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(folders[0]), "--output", str(tmp_path / "o.fits"), "--quiet"]) == 0
    assert sorted(p.name for p in tmp_path.glob("*.*")) == ["o.fits", "o.png"]
    assert "7 bins of" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cube", "c.fits"], "--cube: is of one galaxy; leave it out"),
        (["--target-snr", "0"], "--target-snr 0.0: must lie between 1 and 1000"),
        (["--workers", "0"], "--workers 0: must be 1 or more"),
        (["--table", "none.csv"], "--table none.csv: cannot be read"),
        (["--output", "{folder}/run.json/x"], "choose another folder"),
    ],
)
def test_bad_options_are_refused_before_the_work(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    (tmp_path / "run.json").write_text("{}")
    arguments = [a.replace("{folder}", str(tmp_path)) for a in arguments]
    assert main(["run", *map(str, folders), "--output", str(tmp_path / "out"), *arguments]) == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("napari-sfh:")]
    assert words in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("galaxy,ebv_mw\nngc1,0.1\n", "unknown column galaxy; known are name"),
        ("name,colour\nngc1,0.1\n", "unknown column colour"),
        ("name,ebv_mw\nngc1,much\n", "ebv_mw 'much' is no number"),
        ("name,ebv_mw\nngc9,0.1\n", "no folder is called ngc9; the folders are ngc1, ngc2, ngc3"),
        ("name,ebv_mw\nngc1,-1\n", "--ebv-mw -1.0"),
    ],
)
def test_bad_tables_are_refused(folders: list[Path], tmp_path: Path, capsys: Any, content: str, words: str) -> None:
    table = tmp_path / "t.csv"
    table.write_text(content)
    assert main(["run", *map(str, folders), "--output", str(tmp_path / "out"), "--table", str(table)]) == 2
    assert words in capsys.readouterr().err


def test_files_among_the_options_are_found_from_everywhere(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bins.fits").write_text("bins")
    job, _, _ = galaxies_report.list_galaxy_jobs(
        folders, "out", {"binning": "bins.fits", "model": "wide"}, {"ngc1": {"ebv_mw": 0.1}}
    )
    assert job.options == {"binning": str(tmp_path / "bins.fits"), "model": "wide", "ebv_mw": 0.1}
    assert job.output == tmp_path / "out" / "ngc1_sfh.fits"


def test_two_galaxies_with_one_name_and_one_twice(folders: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other" / "ngc1"
    other.mkdir(parents=True)
    jobs = galaxies_report.list_galaxy_jobs([folders[0], other], str(tmp_path / "out"), {}, {})
    with pytest.raises(SfhInputError, match="both would be written to"):
        run_galaxies(jobs)
    with pytest.raises(SfhInputError, match="is given twice"):
        galaxies_report.list_galaxy_jobs([folders[0], folders[0]], str(tmp_path), {}, {})


def test_no_scheduler_answers(folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", *map(str, folders), "--output", str(tmp_path / "out"), "--scheduler", "nonsense://here"]
    assert main(arguments) == 1
    assert "--scheduler nonsense://here: no" in capsys.readouterr().err


def test_workers_that_never_come_are_not_waited_for(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import contextmanager

    from distributed import Client, LocalCluster

    @contextmanager
    def none(scheduler: str, workers: int) -> Any:
        with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as empty, Client(empty) as client:
            yield client

    monkeypatch.setattr(many_galaxies.cluster, "connect_scheduler", none)
    monkeypatch.setattr(many_galaxies, "LOST_AFTER_S", 0.2)
    with pytest.raises(ComputeError, match="the workers ended and do"):
        run_galaxies(galaxies_report.list_galaxy_jobs(folders, str(tmp_path / "out"), {}, {}))


@pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")
def test_ctrl_c_ends_in_order_and_leaves_nothing_half_written(galaxy: Path, tmp_path: Path) -> None:
    """As from a terminal: the whole process group gets the signal."""
    out = tmp_path / "out"
    other = tmp_path / "toy2"
    other.symlink_to(galaxy)
    twin = tmp_path / "toy3"
    twin.mkdir()
    (twin / "cube.fits").symlink_to(next(galaxy.iterdir()))
    command = [sys.executable, "-m", "napari_sfh.cli", "run", str(galaxy), str(twin), "--output", str(out)]
    command += ["--workers", "1"]  # each imports torch
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("toy: "):
                break
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(timeout=120) == 1
    assert "Traceback" not in said
    assert "terminate called" not in said, "a library's thread is ended amid its work"
    assert "stopping" in said
    assert {p.name for p in out.iterdir()} == {"run.json", "run.ecsv"}
    counts = json.loads((out / "run.json").read_text())["counts"]
    assert counts == {"done": 0, "skipped": 0, "failed": 0, "interrupted": 2}, "the worker stops at its next stage"


@pytest.mark.parametrize("output", ["all.fits", "out/{galaxy}.fits"])
def test_one_file_for_several_galaxies_is_refused(tmp_path, output):
    folders = [tmp_path / name for name in ("a", "b")]
    with pytest.raises(SfhInputError, match=r"names one file for 2 galaxies.*\{name\}"):
        galaxies_report.list_galaxy_jobs(folders, str(tmp_path / output), {}, {})


def test_a_bad_row_names_its_table_and_rows_that_lack_are_told(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "t.csv").write_text("name,redshift\na,750\n")
    arguments = [
        "run",
        *(str(tmp_path / n) for n in "ab"),
        "--table",
        str(tmp_path / "t.csv"),
        "--output",
        str(tmp_path),
    ]
    assert main(arguments) == 2
    assert "t.csv: a: --redshift 750.0: must lie between" in capsys.readouterr().err
    (tmp_path / "t.csv").write_text("name,redshift\na,0.01\n")
    assert main([*arguments, "--quiet", "--workers", "1"]) == 1
    assert f"has no row of {tmp_path / 'b'}" in capsys.readouterr().err
