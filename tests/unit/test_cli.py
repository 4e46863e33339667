"""The command line's promises: help, exit status, one line that names what is wrong and what to do."""

import io
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from napari_sfh.cli import build_command_parser, main
from napari_sfh.config import RunConfig
from napari_sfh.console import Pace, print_progress
from napari_sfh.demo import find_demo_folder
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.types import Progress

#: What a run may have shown of its progress, on a slow disk, before it finds that it cannot go on.
FIRST_STAGES = {"opening the files", "run: loading the libraries"}


def _refused(capsys, command: str, *arguments: str) -> str:
    """The error: the last line of stderr, after progress at most; where progress is turned off, the only line."""
    assert main([command, *arguments]) == 2
    *before, message = capsys.readouterr().err.splitlines()
    assert message.startswith("napari-sfh: ")
    assert set(before) <= FIRST_STAGES
    if command == "run":
        assert main([command, "--quiet", *arguments]) == 2
        assert capsys.readouterr().err == message + "\n"
    return message


def test_every_command_has_help(capsys):
    for command in ("demo", "run", "info", "models", "view"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        assert "usage: napari-sfh " + command in capsys.readouterr().out


def test_installed_command_runs():
    out = subprocess.run([sys.executable, "-m", "napari_sfh"], capture_output=True, text=True)
    assert out.returncode == 2
    assert "COMMAND" in out.stderr


@pytest.mark.parametrize("command", ["run", "estimate"])
def test_the_first_line_comes_before_the_libraries(command, tmp_path):
    code = (
        "import sys\n"
        "from napari_sfh import cli\n"
        "from napari_sfh.commands import galaxies, objects\n"
        "def stop(quiet): print(sorted({'torch', 'numpy', 'astropy'} & set(sys.modules))); sys.exit(3)\n"
        "galaxies.make_stderr_logger = objects.make_stderr_logger = stop\n"
        "cli.main(sys.argv[1:])"
    )
    words = [command, "somewhere", "--output", str(tmp_path / "o.fits")]
    out = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert (out.returncode, out.stdout) == (3, "[]\n")


def test_a_command_ends_its_process_after_what_was_registered_for_that():
    code = (
        "import atexit, sys, threading\n"
        "from napari_sfh import cli\n"
        "cli.remove_parts_on_signals = lambda *words: atexit.register(print, 'registered')\n"
        "class Late:\n"
        "    def __del__(self): print('taken down')\n"
        "sys.late = Late()\n"
        "threading.Thread(target=lambda: (threading.main_thread().join(), print('thread done'))).start()\n"
        "sys.exit(cli.main())"
    )
    for words, status in ((["instruments", "jpas"], 0), (["instruments", "nothing"], 2)):
        out = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
        assert out.returncode == status
        assert out.stdout.splitlines()[-2:] == ["thread done", "registered"]
        assert "Traceback" not in out.stderr


def test_no_input(capsys, tmp_path):
    message = _refused(capsys, "run", "--output", str(tmp_path / "o.fits"))
    assert message.startswith("napari-sfh: no input")
    assert "--cube" in message


def test_missing_cube_names_the_file(capsys, tmp_path):
    message = _refused(capsys, "run", "--cube", str(tmp_path / "none.fits"), "--output", str(tmp_path / "o.fits"))
    assert "none.fits" in message


def test_output_in_the_way_is_refused_before_the_work(capsys, tmp_path):
    cube = tmp_path / "cube.fits"
    fits.PrimaryHDU(np.zeros((3, 3, 3))).writeto(cube)
    message = _refused(capsys, "run", "--cube", str(cube), "--output", str(tmp_path))
    assert "is a folder" in message
    (tmp_path / "file").write_text("")
    message = _refused(capsys, "run", "--cube", str(cube), "--output", str(tmp_path / "file" / "o.fits"))
    assert "choose another folder" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--photometry", "F275W"], "write BAND="),
        (["--photometry", "F160W=x.fits"], "the weights know F275W"),
        (["--photometry", "F275W=a.fits", "F275W=b.fits"], "F275W is given twice"),
        (["--photometry", "F275W=a.fits", "f275w=b.fits"], "a band is given twice"),
        (["--redshift", "3"], "must lie between -0.01 and 1"),
        (["--ebv-mw", "-1"], "between 0 and 5"),
        (["--psf-fwhm", "0"], "between 0.05 and 10 arcsec"),
        (["--hst-psf-fwhm", "3"], "--hst-psf-fwhm 3.0: must lie between 0.01 and 2 arcsec"),
        (["--target-snr", "0"], "must lie between 1 and 1000"),
        (["--binning", "maps"], "give the file with --maps"),
        (["--kinematics", "maps"], "give the file with --maps"),
    ],
)
def test_bad_options_name_key_value_and_remedy(capsys, tmp_path, arguments, words):
    message = _refused(capsys, "run", "--cube", "c.fits", "--output", str(tmp_path / "o.fits"), *arguments)
    assert words in message


def test_unknown_weights(capsys):
    assert "neither a file nor a shipped bundle" in _refused(capsys, "models", "nothing")


def test_view_of_a_missing_file(capsys, tmp_path):
    assert "no such file" in _refused(capsys, "view", str(tmp_path / "o.fits"))


def test_info_of_nonsense(capsys, tmp_path):
    """All files are told, and a script sees from the status that one is of no use."""
    path = tmp_path / "notes.fits"
    path.write_text("not FITS")
    good = str(next(find_demo_folder().glob("*DATACUBE*")))
    assert main(["info", good]) == 0
    capsys.readouterr()
    for order in ([str(path), good], [good, str(path)]):
        assert main(["info", *order]) == 2
        said = capsys.readouterr().out
        assert said.count("cannot be used") == 1
        assert "DATACUBE" in said


def test_a_failure_is_status_one(capsys, monkeypatch, tmp_path):
    def fail(config, progress, **_):
        raise ComputeError("disk full")

    monkeypatch.setattr("napari_sfh.pipeline.run_pipeline", fail)
    assert main(["run", "--cube", "c.fits", "--output", str(tmp_path / "o.fits")]) == 1
    assert capsys.readouterr().err.splitlines() == ["run: loading the libraries", "napari-sfh: disk full"]
    assert list(tmp_path.iterdir()) == []


def test_notes_of_a_refusal_stand_before_it(capsys, monkeypatch, tmp_path):
    def refuse(config, progress, **_):
        error = SfhInputError("c.fits: no fit; check `redshift`")
        error.add_note("missing: STAT not positive; give `cube`")
        raise error

    monkeypatch.setattr("napari_sfh.pipeline.run_pipeline", refuse)
    assert main(["run", "--cube", "c.fits", "--output", str(tmp_path / "o.fits")]) == 2
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "note: missing: STAT not positive; give --cube", "napari-sfh: c.fits: no fit; check --redshift",
    ]  # fmt: skip


def test_progress_in_a_log_is_a_line_a_stage_and_counts_of_a_long_one(monkeypatch):
    log = io.StringIO()
    with print_progress(stream=log) as progress:
        for k in range(3):
            progress(Progress("spectra", k, 3))
        progress(Progress("maps", 0, 0))
        progress(Progress("spectra", 0, 30))
        monkeypatch.setattr(Pace, "is_due", lambda self: True)
        progress(Progress("spectra", 20, 30))
        progress(Progress("spectra", 0, 0))  # nothing new to tell
    assert log.getvalue() == "spectra\nmaps\nspectra\nspectra 20/30\n"
    with print_progress(quiet=True, stream=log) as progress:
        assert progress is None


def test_a_sentence_that_stays_is_not_overwritten_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    log = Terminal()
    with print_progress(stream=log) as progress:
        progress(Progress("spectra", 1, 3))
        progress(Progress("pPXF fits 9 spectra", 0, 0, stays=True))
        progress(Progress("fits", 0, 9))
    assert log.getvalue() == "\r\x1b[Kspectra 1/3\r\x1b[KpPXF fits 9 spectra\n\r\x1b[Kfits 0/9\n"


def test_settings_are_plain_values_without_the_users_folders():
    config = RunConfig(cube="/home/me/cube.fits", photometry={"f555w": "/home/me/v.fits"}, redshift=0.002)
    settings = config.settings()
    assert settings["cube"] == "cube.fits"
    assert settings["photometry_F555W"] == "v.fits"
    assert all(isinstance(v, str | float | int | bool | None) for v in settings.values())


def test_config_refuses_what_no_file_can_mend():
    with pytest.raises(SfhInputError, match="`redshift` 2"):
        RunConfig(cube="c.fits", redshift=2.0)


def test_a_window_without_a_display_is_refused(tmp_path, monkeypatch, capsys):
    for key in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "x.fits").write_bytes(b"")
    assert main(["view", str(tmp_path / "x.fits")]) == 2
    assert "xvfb-run" in capsys.readouterr().err


def test_info_on_what_is_not_there_is_an_error(tmp_path, capsys):
    assert main(["info", str(tmp_path / "nothere")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_demo_says_that_its_window_writes_nothing_and_opens_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_sfh.doctor.window_checks.has_screen", lambda: False)
    assert main(["demo", "--output", str(tmp_path / "out")]) == 2
    note, _, after = capsys.readouterr().err.partition("\n")
    assert "--headless" in note
    assert "no display for the window" in after
    assert not (tmp_path / "out").exists()


def test_info_takes_the_settings_of_a_run() -> None:
    options = build_command_parser().parse_args(["info", "folder", "--ebv-mw", "0.03", "--redshift", "0.002"])
    assert (options.ebv_mw, options.redshift) == (0.03, 0.002)


def test_no_help_says_a_word_twice(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("demo", "run", "info", "estimate"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        words = capsys.readouterr().out.split()
        assert not [a for a, b in itertools.pairwise(words) if a == b and a.isalpha()]


def test_a_folder_that_is_gone_is_told_before_the_work(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["models"]) == 2
    assert "change into another one (cd)" in capsys.readouterr().err
