"""No output is ever an input or another output."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from napari_sfh.cli import main
from napari_sfh.errors import SfhInputError
from napari_sfh.io.outputs import check_outputs, check_result_name, check_table_name, summary_page_path


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "cube.fits"
    path.parent.mkdir()
    fits.PrimaryHDU(np.ones((4, 3, 3), np.float32)).writeto(path)
    return path


def test_other_spellings_links_and_hard_links_are_the_same_file(tmp_path: Path, cube: Path) -> None:
    (tmp_path / "soft.fits").symlink_to(cube)
    os.link(cube, tmp_path / "hard.fits")
    (tmp_path / "folder").symlink_to(cube.parent)
    spellings = (
        cube,
        cube.parent / ".." / "data" / "cube.fits",
        Path(os.path.relpath(cube)),
        tmp_path / "soft.fits",
        tmp_path / "hard.fits",
        tmp_path / "folder" / "cube.fits",
    )
    for name in spellings:
        with pytest.raises(SfhInputError, match=r"cube\.fits.*input"):
            check_outputs([name], [cube])
    check_outputs([tmp_path / "new.fits"], [cube, None])


def test_outputs_that_are_each_other(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(SfhInputError, match="two outputs"):
        check_outputs([tmp_path / "a.fits", tmp_path / "link" / "a.fits"])


@pytest.mark.parametrize(
    ("name", "page"),
    [("a.fits", "a.png"), ("a.fits.gz", "a.png"), ("NGC1-0.92asec", "NGC1-0.92asec.png"), ("A.FITS", "A.png")],
)
def test_the_page_is_never_its_result(name: str, page: str) -> None:
    assert summary_page_path(Path("x") / name) == Path("x") / page


@pytest.mark.parametrize("name", ["x.png", "x.csv", "x.fits.fz", "x.safetensors", "x.fits.bz2"])
def test_names_of_other_formats_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SfhInputError, match=r"\.fits"):
        check_result_name(tmp_path / name)


def test_a_fits_file_of_another_kind_is_not_replaced(cube: Path) -> None:
    for check in (check_result_name, check_table_name):
        with pytest.raises(SfhInputError, match="not replaced"):
            check(cube)


@pytest.mark.parametrize("role", ["cube", "mosaic", "maps", "bins", "weights"])
def test_run_refuses_before_any_work(tmp_path: Path, cube: Path, role: str, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.fits"
    other.write_bytes(cube.read_bytes())
    before = other.read_bytes()
    options = {
        "cube": ["--cube", str(other)],
        "mosaic": ["--cube", str(cube), "--photometry", f"F275W={other}"],
        "maps": ["--cube", str(cube), "--maps", str(other)],
        "bins": ["--cube", str(cube), "--binning", str(other)],
        "weights": ["--cube", str(cube), "--model", str(other)],
    }[role]
    assert main(["run", *options, "--output", str(tmp_path / "data" / ".." / "other.fits")]) == 2
    assert "output is this input" in capsys.readouterr().err
    assert other.read_bytes() == before


def test_a_picture_is_no_result(tmp_path: Path, cube: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--cube", str(cube), "--output", str(tmp_path / "x.png")]) == 2
    assert "end its name in .fits" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
