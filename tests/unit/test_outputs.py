"""No output is ever an input or another output."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from napari_sfh.cli import main
from napari_sfh.errors import SfhInputError
from napari_sfh.io.objects.writing import CatalogueWriter
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


COMMANDS = {
    "gradient": [], "smooth": [], "refine": ["--bin", "1"], "estimate": ["--model", "jpas", "--redshift", "0"],
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("output", ["link.fits", "other.fits", "no/x.fits", "folder", "locked/x.fits"])
def test_tables_replace_no_input_and_nothing_of_another_kind(
    tmp_path: Path,
    cube: Path,
    command: str,
    output: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before any work, through a link, too: the input is a result that took hours."""
    (tmp_path / "locked").mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path) and access(path, mode))
    shutil.copy(cube, tmp_path / "result.fits")
    shutil.copy(cube, tmp_path / "other.fits")
    (tmp_path / "link.fits").symlink_to(tmp_path / "result.fits")
    (tmp_path / "folder").mkdir()
    before = cube.read_bytes()
    name = tmp_path / output
    assert main([command, str(tmp_path / "result.fits"), *COMMANDS[command], "--output", str(name)]) == 2
    said = {"link.fits": "output is this input", "other.fits": "not replaced", "no/x.fits": "does not exist",
            "folder": "", "locked/x.fits": "not writable"}[output]  # fmt: skip
    assert said in capsys.readouterr().err
    assert (tmp_path / "result.fits").read_bytes() == (tmp_path / "other.fits").read_bytes() == before


def test_tables_of_ours_are_replaced(tmp_path: Path) -> None:
    for n in (1, 2):
        with CatalogueWriter(tmp_path / "t.fits") as out:
            out.append(Table({f"c{k}": [1.0] * n for k in range(900)}))
        check_table_name(tmp_path / "t.fits")
    assert len(Table.read(tmp_path / "t.fits")) == 2


def test_a_picture_is_no_result(tmp_path: Path, cube: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--cube", str(cube), "--output", str(tmp_path / "x.png")]) == 2
    assert "end its name in .fits" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
