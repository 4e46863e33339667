"""Before a run: footprints and coverages are those of the files, and what is missing is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from io_mocks import NX, NY, N, write_cube, write_maps, write_mosaic

from napari_sfh.cli import main
from napari_sfh.config import RunConfig
from napari_sfh.decisions import configure_run
from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.figures.preflight import draw_footprints
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.identify import holds_cube
from napari_sfh.io.mosaics import read_mosaic
from napari_sfh.jobs import format_duration
from napari_sfh.preflight import cost, footprints
from napari_sfh.preflight.plan import Preflight, examine_inputs, format_preflight_text
from napari_sfh.prep.kinematics import stellar_kinematics

CUBE = "NGC0628_PHANGS_DATACUBE_copt_0.92asec.fits"
SIDE = 30  # pixels of 0.0396 arcsec: 1.19 arcsec, the cube's 4 x 5 spaxels of 0.2 arcsec lie within


def look(plan: RunConfig, problems: tuple[str, ...] = ()) -> Preflight:
    return examine_inputs(plan, problems)


@pytest.fixture(scope="module")
def cube_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cube(tmp_path_factory.mktemp("preflight") / CUBE, primary={"REDSHIFT": 0.002})


def mosaic(folder: Path, band: str = "F555W", side: int = SIDE, weight: np.ndarray | None = None) -> Path:
    data = np.random.default_rng(1).normal(1, 0.1, (side, side))
    return write_mosaic(folder / f"x_uvis_{band.lower()}_exp_drc_sci.fits", data, weight, FILTER=band)


def test_coverage_counts_good_pixels(cube_file: Path, tmp_path: Path) -> None:
    """A weight of 0 over the eastern half, where the array covers all: half of the spaxels are left."""
    cube = read_cube(cube_file)
    observed = np.ones((NY, NX), bool)
    whole, pixels = footprints.measure_mosaic_coverage(read_mosaic(mosaic(tmp_path)), cube, observed)
    assert whole == 1
    # Spaxel centres span 4 x 3 spaxels of 0.2 arcsec.
    assert pixels == pytest.approx((0.8 / 0.0396 + 1) * (0.6 / 0.0396 + 1), rel=0.15)
    weight = np.ones((SIDE, SIDE))
    weight[:, : SIDE // 2] = 0  # x runs west: the first columns are east
    half, _ = footprints.measure_mosaic_coverage(read_mosaic(mosaic(tmp_path, "F814W", weight=weight)), cube, observed)
    assert half == pytest.approx(2 / 5, abs=0.01) or half == pytest.approx(3 / 5, abs=0.01)
    observed[:, :3] = False
    assert (
        footprints.measure_mosaic_coverage(read_mosaic(mosaic(tmp_path, "F814W", weight=weight)), cube, observed)[0]
        == 1
    )


def test_rows_that_are_skipped_change_nothing(cube_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = np.ones((SIDE, SIDE))
    weight[: SIDE // 2] = 0
    opened, cube = read_mosaic(mosaic(tmp_path, weight=weight)), read_cube(cube_file)
    observed = np.ones((NY, NX), bool)
    expected = (
        footprints.measure_mosaic_coverage(opened, cube, observed),
        [o.tolist() for o in footprints.trace_mosaic_outline(opened, footprints.make_tangent_plane(cube))],
    )
    monkeypatch.setattr(footprints, "MAX_PIXELS_READ", 1)
    assert footprints.measure_mosaic_coverage(opened, cube, observed) == expected[0]
    assert [
        o.tolist() for o in footprints.trace_mosaic_outline(opened, footprints.make_tangent_plane(cube))
    ] == expected[1]


def test_outlines_are_the_fields_on_the_sky(cube_file: Path, tmp_path: Path) -> None:
    cube = read_cube(cube_file)
    plane = footprints.make_tangent_plane(cube)
    (outline,) = footprints.trace_cube_outline(cube, np.ones((NY, NX), bool), plane)
    # Between the centres of the outermost spaxels, plus half a sample.
    assert np.ptp(outline, axis=0) == pytest.approx([0.8, 0.6], abs=0.01)
    assert np.abs(outline).max() == pytest.approx(0.4, abs=0.01)
    (line,) = footprints.trace_mosaic_outline(read_mosaic(mosaic(tmp_path)), plane)
    assert np.ptp(line, axis=0) == pytest.approx([0.0396 * (SIDE - 1)] * 2, abs=0.01)
    observed = np.ones((NY, NX), bool)
    observed[:, :2] = False  # the eastern columns: x runs west
    (outline,) = footprints.trace_cube_outline(cube, observed, plane)
    assert outline[:, 0].max() < 0.15
    assert outline[:, 0].min() == pytest.approx(-0.4, abs=0.01)


def test_a_galaxy_is_described(cube_file: Path, tmp_path: Path) -> None:
    plan = RunConfig(cube_file, {"F555W": mosaic(tmp_path)}, ebv_mw=0.1, target_snr=20.0)
    found = look(plan, ("several cubes: a is used",))
    assert found.name == "NGC0628"
    assert [b.band for b in found.bands] == ["F555W"]
    assert found.bands[0].coverage == 1
    assert found.facts["psf"] == "0.92 arcsec (file name)"
    assert found.facts["redshift"] == "0.00200 (the cube's header)"
    assert found.facts["field"].startswith(f"{NX * NY} of {NX} x {NY} spaxels of 0.20 arcsec observed, S/N up to 10")
    # S/N 10 in each of 20 spaxels: 4 spaxels a bin of S/N 20.
    assert found.n_bins == round(NX * NY / 4 * cost.BIN_EFFICIENCY)
    assert any("several cubes: a is used" in p for p in found.problems)
    assert any("no image of F275W, F336W, F438W, F814W: the" in p for p in found.problems)
    assert any("no MAPS file: bins" in p for p in found.problems)
    assert not any("E(B-V)" in p for p in found.problems)
    text = format_preflight_text(found)
    assert "F555W (UVIS): 100 % of the cube" in text
    assert any(line.startswith("a run takes about") and "GB of memory" in line for line in text)


def test_what_is_wrong_is_said_with_what_is_done(tmp_path: Path) -> None:
    cube = write_cube(tmp_path / "NGC0628_native.fits", stat=None)
    broken = tmp_path / "y_uvis_f336w_exp_drc_sci.fits"
    broken.write_bytes(b"SIMPLE")
    far = mosaic(tmp_path, "F814W")
    from astropy.io import fits

    with fits.open(far, mode="update") as hdus:
        hdus[0].header["CRVAL2"] += 1.0
    gap = np.ones((SIDE, SIDE))
    gap[:, : SIDE // 2] = 0
    maps = write_maps(tmp_path / "NGC0628_MAPS.fits", np.ones((NY + 1, NX)))
    photometry = {"F336W": broken, "F814W": far, "F555W": mosaic(tmp_path, weight=gap)}
    found = look(RunConfig(cube, photometry, maps, target_snr=1000.0, binning="maps"))
    said = "\n".join(found.problems)
    for words in (
        "no STAT: errors are estimated",
        "PSF unknown: FWHM 0.8 arcsec assumed; give `psf_fwhm_arcsec`",
        "y_uvis_f336w_exp_drc_sci.fits: not a readable FITS file",
        "has no good pixel on the cube: a run stops there; leave it out",
        "x_uvis_f555w_exp_drc_sci.fits has good pixels on",
        "bins outside run without F555W",
        "Milky Way E(B-V) not given",
        "the maps are 5 x 5 spaxels but the cube",
        "bins of the MAPS file were asked for, and there is none that fits",
    ):
        assert words in said, words
    assert [b.used for b in found.bands] == [False, True, False]
    assert found.facts["redshift"].startswith("unknown: measured from the spectra")


def test_options_of_a_run_are_followed(cube_file: Path, tmp_path: Path) -> None:
    bins = np.arange(NY * NX).reshape(NY, NX) - 1.0
    maps = write_maps(tmp_path / "m.fits", bins, redshift=0.003)
    found = look(RunConfig(cube_file, {"F555W": mosaic(tmp_path)}, maps, binning="maps", psf_fwhm_arcsec=0.7))
    assert found.n_bins == NX * NY - 1
    assert found.facts["redshift"] == "0.00300 (MAPS)"
    assert found.facts["psf"] == "0.70 arcsec (given)"
    assert found.facts["binning"] == f"{NX * NY - 1} bins of MAPS"
    assert found.facts["kinematics"].endswith("MAPS")
    far = look(RunConfig(cube_file, {"F555W": mosaic(tmp_path)}, redshift=0.05, kinematics="0,60", binning=str(maps)))
    assert not far.bands[0].used
    assert any("the bands are left" in p for p in far.problems)
    assert "0,60 km/s" in far.facts["kinematics"]
    assert far.n_bins == NX * NY - 1
    assert any("no bin can reach" in p for p in look(RunConfig(cube_file, target_snr=1000.0)).problems)
    lost = look(RunConfig(cube_file, redshift=0.6))
    assert any("lacks rest-frame" in p for p in lost.problems)


def test_many_fits_of_ppxf_are_announced_with_what_saves_them(
    cube_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 bins are fitted in a second, unless a fit took a quarter of an hour."""

    def said(**options: Any) -> list[str]:
        plan = RunConfig(cube_file, target_snr=5.0, **options)
        return [problem for problem in look(plan).problems if problem.startswith("pPXF fits")]

    assert said(kinematics="ppxf") == []
    monkeypatch.setattr(stellar_kinematics, "PPXF_SECONDS", 900.0)
    (line,) = said(kinematics="ppxf")
    assert "20 spectra, about 5.0 h" in line
    assert all(f"`{name}`" in line for name in ("kinematics", "maps", "target_snr")), "what would be faster"
    assert said() == said(kinematics="0,60") == []
    maps = write_maps(tmp_path / "m.fits", np.arange(NY * NX).reshape(NY, NX) - 1.0)
    assert said(maps=maps) == []
    # The bins are then those of the MAPS.
    assert said(maps=maps, kinematics="ppxf")[0].startswith("pPXF fits 19 spectra")


def test_a_cube_without_a_good_spaxel_is_refused(tmp_path: Path) -> None:
    cube = write_cube(tmp_path / "c.fits", flux=np.full((N, NY, NX), np.nan, np.float32), stat=np.ones((N, NY, NX)))
    with pytest.raises(SfhInputError, match="in the normalisation window; check DATA"):
        look(RunConfig(cube))


def test_cancel(cube_file: Path, tmp_path: Path) -> None:
    import threading

    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        examine_inputs(RunConfig(cube_file, {"F555W": mosaic(tmp_path)}), (), cancel=cancel)


def test_bins_expected_from_the_spaxels() -> None:
    snr = np.array([[40.0, 100.0, 0.5], [17.5, 17.5, np.nan], [17.5, 17.5, 1.0]], dtype=np.float32)
    # Two alone; four of half the target make one; one of S/N 1 a 35th squared.
    assert cost.estimate_bin_count(snr, 35.0, 1.0) == 2 + round(cost.BIN_EFFICIENCY * (1 + 1 / 35**2))
    assert cost.estimate_bin_count(np.full((3, 3), np.nan, np.float32), 35.0, 1.0) == 0


def test_estimate_grows_with_the_work() -> None:
    small = cost.Workload(spaxels=1000, bins=100, cube_bytes=1e8)
    for bigger in (
        cost.Workload(spaxels=100_000, bins=100, cube_bytes=1e8),
        cost.Workload(spaxels=1000, bins=100, cube_bytes=1e10),
        cost.Workload(spaxels=1000, bins=100, cube_bytes=1e8, packed=True),
        cost.Workload(spaxels=1000, bins=100, cube_bytes=1e8, mosaic_pixels=1e8),
        cost.Workload(spaxels=1000, bins=100, cube_bytes=1e8, kinematics="ppxf"),
        cost.Workload(spaxels=1000, bins=10_000, cube_bytes=1e8),
    ):
        assert cost.estimate_cost(bigger).total_seconds > cost.estimate_cost(small).total_seconds
    powerbin = cost.Workload(spaxels=100_000, bins=100, cube_bytes=1e8, binning="powerbin")
    assert (
        cost.estimate_cost(powerbin).seconds["binning"]
        < cost.estimate_cost(cost.Workload(spaxels=100_000, bins=100, cube_bytes=1e8)).seconds["binning"]
    )
    fits_ = cost.Workload(spaxels=1000, bins=1000, cube_bytes=1e8, kinematics="ppxf")
    assert cost.estimate_cost(fits_).seconds["pPXF"] == 1000 * stellar_kinematics.PPXF_SECONDS
    assert (
        cost.estimate_cost(small).memory_bytes
        < cost.estimate_cost(cost.Workload(1000, 50_000, 1e8)).memory_bytes
        < 10e9
    )
    assert "most of it" in cost.estimate_cost(small).text()


@pytest.mark.parametrize(("seconds", "words"), [(1, "5 s"), (47, "45 s"), (300, "5 min"), (9000, "2.5 h")])
def test_durations(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


def test_info_of_a_folder_with_a_picture(cube_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "galaxy"
    folder.mkdir()
    (folder / CUBE).symlink_to(cube_file)
    mosaic(folder)
    picture = tmp_path / "plots" / "sky.png"
    assert main(["info", str(folder), "--plot", str(picture), "--quiet"]) == 0
    said = capsys.readouterr()
    for words in (
        "integral-field cube",
        "HST image",
        "F555W (UVIS): 100 % of the cube",
        "! no MAPS file",
        "a run takes",
    ):
        assert words in said.out
    assert said.out.count("no weight map") == 1
    assert said.err == ""
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["info", str(folder), str(folder), "--plot", str(picture)]) == 2
    assert "draws one galaxy; give" in capsys.readouterr().err


def test_picture_shows_every_band(cube_file: Path, tmp_path: Path) -> None:
    found = look(RunConfig(cube_file, {band: mosaic(tmp_path, band) for band in ("F275W", "F814W")}))
    axes = draw_footprints(found).axes[0]
    assert axes.xaxis_inverted()
    assert len(axes.lines) == 2
    labels = [t.get_text() for t in axes.get_legend().get_texts()]
    assert labels == [
        "cube: 20 spaxels",
        "F275W (UVIS): 100 % of the cube",
        "F814W (UVIS): 100 % of the cube",
    ]
    many = draw_footprints(dataclasses.replace(found, bands=4 * tuple(found.bands))).axes[0]
    assert len(many.lines) == 8


def test_folders_with_a_cube(cube_file: Path, tmp_path: Path) -> None:
    assert holds_cube(cube_file.parent)
    (tmp_path / "bad.fits").write_bytes(b"nothing")
    mosaic(tmp_path)
    assert not holds_cube(tmp_path)


def test_configuration_of_a_folder_and_of_options(cube_file: Path) -> None:
    config = configure_run(cube_file.parent, redshift=None, align=True, target_snr=20.0)
    assert (config.cube, config.redshift, config.align, config.target_snr) == (cube_file, None, True, 20.0)


def test_nothing_asks_for_what_is_given(tmp_path: Path) -> None:
    write_cube(tmp_path / "x_DATACUBE.fits")
    asked: list[str] = []
    configure_run(tmp_path, asked.append)
    assert {name for name in ("redshift", "psf_fwhm_arcsec") if f"`{name}`" in " ".join(asked)} == {
        "redshift",
        "psf_fwhm_arcsec",
    }
    told: list[str] = []
    config = configure_run(tmp_path, told.append, redshift=0.002, psf_fwhm_arcsec=0.3)
    assert told
    said = (*told, *examine_inputs(config, asked).problems)
    assert not any(f"`{name}`" in text for text in said for name in ("redshift", "psf_fwhm_arcsec"))
