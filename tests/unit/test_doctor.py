"""The doctor finds what is wrong, says what mends it, and tells nothing personal."""

import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from napari_sfh import cli
from napari_sfh.doctor import data_checks, examination, machine_checks, window_checks
from napari_sfh.doctor.findings import Finding, format_findings, hide_personal_paths
from napari_sfh.instruments.bundle_header import list_bundles


def problems(findings):
    return [finding for finding in findings if finding.status == "problem"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ada/.cache/x", "~/.cache/x"),
        ("in /home/ada", "in ~"),
        ("/home/adalbert/x", "/home/adalbert/x"),
        ("/scratch/ada/tmp", "/scratch/USER/tmp"),
        ("/data/canada/x", "/data/canada/x"),
        (r"D:\ada\x", r"D:\USER\x"),
    ],
)
def test_no_personal_path_is_told(text, shown, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    assert hide_personal_paths(text) == shown


def test_the_report_holds_every_fix():
    report = format_findings([Finding("Qt", "none"), Finding("torch", "broken", "problem", "install it")])
    lines = report.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("PROBLEM")
    assert "install it" in lines[2]


def test_a_package_that_is_missing_or_too_old_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy>=999", "nothing-like-it>=2", "pytest; extra == 'x'"])
    found = problems(machine_checks.check_packages())
    assert [finding.topic for finding in found] == ["numpy", "nothing-like-it"]
    assert found[0].fix == 'pip install "numpy>=999"'


def test_this_installation_has_what_it_requires():
    assert problems(machine_checks.check_packages()) == []


def test_little_memory_and_disk_are_noted(monkeypatch):
    monkeypatch.setattr(machine_checks, "NEEDED_MEMORY", 1e18)
    monkeypatch.setattr(machine_checks, "NEEDED_DISK", 1e18)
    assert [(f.topic, f.status, bool(f.fix)) for f in machine_checks.check_memory()] == [
        ("memory", "note", True),
        ("disk", "note", True),
    ]


def test_one_thread_on_many_cores_is_noted(monkeypatch):
    import torch

    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    (threads,) = (f for f in machine_checks.check_torch() if f.topic == "threads")
    assert threads.status == "note"
    assert "OMP_NUM_THREADS" in threads.fix


def test_a_base_without_qt_is_no_problem(monkeypatch):
    monkeypatch.setattr(window_checks, "BINDINGS", ("NoSuchBinding",))
    (finding,) = window_checks.check_window()
    assert finding.status == "note"
    assert "pip install" in finding.fix


def test_no_screen_is_noted(monkeypatch):
    for key in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(window_checks, "BINDINGS", ("json",))
    (finding,) = window_checks.check_window()
    assert finding.status == "note"
    assert "xvfb-run" in finding.fix


@pytest.mark.parametrize(
    ("code", "out", "err", "topic", "remedy"),
    [
        (134, "", 'qt.qpa.plugin: Could not load the Qt platform plugin "xcb"', "Qt", "libxcb"),
        (1, "", "ImportError: No module named 'vispy'", "Qt", "reinstall"),
        (1, "", "", "Qt", "QT_API"),
        (0, '{"binding": "PyQt6", "qt": "6", "platform": "offscreen", "gl": "", "renderer": ""}', "", "OpenGL", "xvfb"),
    ],
)
def test_a_window_that_does_not_open_is_a_problem_with_its_fix(code, out, err, topic, remedy, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda command, **k: subprocess.CompletedProcess(command, code, out, err))
    (finding,) = problems(window_checks.open_hidden_window(["PyQt6"]))
    assert finding.topic == topic
    assert remedy in finding.fix


def test_a_window_that_hangs_is_a_problem(monkeypatch):
    monkeypatch.setattr(window_checks, "PATIENCE_S", 0.01)
    (finding,) = problems(window_checks.open_hidden_window(["PyQt6"]))
    assert finding.fix


def test_altered_weights_are_a_problem_and_the_others_are_listed(monkeypatch, tmp_path):
    shipped = list_bundles()
    altered = tmp_path / "altered.safetensors"
    shutil.copy(shipped["narrowband"], altered)
    content = bytearray(altered.read_bytes())
    content[-1000] ^= 1
    altered.write_bytes(content)
    monkeypatch.setattr(data_checks, "list_bundles", lambda: {"jpas": shipped["jpas"], "altered": altered})
    good, bad = data_checks.check_weights()
    assert good.status == "ok"
    assert "sha256" in good.text
    assert bad.status == "problem"
    assert "altered.safetensors" in bad.text
    assert bad.fix


def test_the_cache_is_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SFH_CACHE", str(tmp_path))
    (tmp_path / "templates-mine.npz").touch()
    (finding,) = data_checks.check_template_cache()
    assert finding.text.startswith("1 prepared")
    assert str(tmp_path) in finding.text


def test_the_tiny_galaxy_is_run_and_compared_with_its_truth(monkeypatch):
    monkeypatch.setattr(data_checks, "TINY", (slice(26, 29), slice(26, 29)))
    run, truth = data_checks.check_tiny_run()
    assert "9 bins" in run.text
    assert truth.status == "ok"


def test_a_check_that_breaks_is_a_finding_and_the_command_exits_1(monkeypatch, capsys):
    monkeypatch.setattr(
        examination, "CHECKS", (("machine_checks", "no_such_check"), ("machine_checks", "check_python"))
    )
    assert cli.main(["doctor", "--no-run"]) == 1
    out = capsys.readouterr().out
    assert "AttributeError" in out
    assert "1 problem." in out
    assert out.index("PROBLEM") < out.index("Python")


def test_a_sound_installation_exits_0(monkeypatch, capsys):
    monkeypatch.setattr(examination, "CHECKS", (("machine_checks", "check_python"),))
    assert cli.main(["doctor", "--no-run"]) == 0
    assert "0 problems." in capsys.readouterr().out


def test_a_cutout_is_a_galaxy_of_its_own(tmp_path):
    from napari_sfh import read_cube
    from napari_sfh.demo import find_demo_folder, write_demo_cutout

    folder = write_demo_cutout(tmp_path / "piece", (slice(10, 14), slice(20, 27)))
    (name,) = (path.name for path in folder.glob("*DATACUBE*"))
    cut, whole = read_cube(folder / name), read_cube(find_demo_folder() / name)
    assert cut.shape[1:] == (4, 7)
    here, there = cut.wcs.pixel_to_world(3, 2), whole.wcs.pixel_to_world(23, 12)
    assert here.separation(there).arcsec < 1e-6
