"""Folders of broken files through the whole command: one line that says what is wrong, and nothing is left behind."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from io_mocks import NX, NY, N, write_cube, write_maps, write_mosaic
from test_io_bad_files import CUBES

from napari_sfh.batch.many_galaxies import GalaxyJob, run_galaxy_job
from napari_sfh.cli import main
from napari_sfh.errors import SfhInputError

NAN = np.full((N, NY, NX), np.nan, np.float32)
ONES = np.ones((N, NY, NX), np.float32)


def refused(folder: Path, output: Path, **options: object) -> str:
    """The message with which a run of a folder is refused."""
    job = GalaxyJob(folder, output / "o.fits", {"kinematics": "0,60", "device": "cpu", **options})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(SfhInputError) as caught:
            run_galaxy_job(job, lambda stage: None)
    assert not output.exists() or list(output.iterdir()) == []
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", list(CUBES))
def test_no_broken_cube_is_run(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "galaxy"
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CUBES[name][0](folder)
    message = refused(folder, tmp_path / "out")
    assert "galaxy" in message
    assert ";" in message or "(" in message, "a remedy follows the fault"


#: name: (maker of a folder, options, words of the message)
FOLDERS: dict[str, tuple[Callable[[Path], object], dict[str, object], str]] = {
    "one spaxel": (
        lambda d: write_cube(d / "c.fits", flux=np.full((N, 1, 1), 10, np.float32), stat=np.ones((N, 1, 1))),
        {"redshift": 0.002},
        "no bin can reach S/N 35: all 1 good spaxels together have 10.0; lower `target_snr`",
    ),
    "no finite flux": (
        lambda d: write_cube(d / "c.fits", flux=NAN, stat=ONES),
        {"redshift": 0.002},
        "no spaxel has S/N >= 1 in the rest window 5300-5500 AA (best 0.00 of 0 observed spaxels); check DATA",
    ),
    "negative flux": (
        lambda d: write_cube(d / "c.fits", flux=-ONES, stat=ONES),
        {"redshift": 0.002},
        "no spaxel has S/N >= 1",
    ),
    "all flagged in DQ": (
        lambda d: write_cube(d / "c.fits", dq=np.ones((N, NY, NX), np.int16)),
        {"redshift": 0.002},
        "DQ forbids 100 % of the observed pixels",
    ),
    "redshift beyond the cube": (lambda d: write_cube(d / "c.fits"), {"redshift": 0.6}, "lacks rest-frame"),
    "bins of a MAPS file that fits no cube": (
        lambda d: (write_cube(d / "c.fits"), write_maps(d / "m.fits", np.ones((NY + 1, NX)))),
        {"binning": "maps"},
        "give the file with `maps`",
    ),
    "only mosaics": (
        lambda d: write_mosaic(d / "x_uvis_f275w_exp_drc_sci.fits", np.ones((40, 40))),
        {},
        "no usable integral-field cube (x_uvis_f275w_exp_drc_sci.fits: HST image); give `cube` FILE",
    ),
}


@pytest.mark.parametrize("name", list(FOLDERS))
def test_hopeless_galaxies_are_refused(tmp_path: Path, name: str) -> None:
    maker, options, words = FOLDERS[name]
    folder = tmp_path / "galaxy"
    folder.mkdir()
    maker(folder)
    assert words in refused(folder, tmp_path / "out", **options)


def test_info_of_a_broken_galaxy_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cube(tmp_path / "c.fits")
    bad = write_mosaic(tmp_path / "x_uvis_f814w_exp_drc_sci.fits", np.ones((90, 90)), FILTER="F814W")
    bad.write_bytes(bad.read_bytes()[:9000])
    assert main(["info", str(tmp_path), "--quiet"]) == 0
    assert "! x_uvis_f814w_exp_drc_sci.fits" in capsys.readouterr().out
    (tmp_path / "c.fits").write_bytes(b"SIMPLE")
    assert main(["info", str(tmp_path)]) == 2
    assert "no usable integral-field" in capsys.readouterr().err
