"""A folder is enough: every archive's names are recognised, choices are explained."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from io_mocks import NX, NY, write_cube, write_maps, write_mosaic

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.companions import find_main_cubes
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.identify import KINDS, describe_file, find_galaxy_files, identify_file
from napari_sfh.io.mosaics import estimate_field_coverage, read_mosaic
from napari_sfh.io.results import write_result

COPT = "NGC0628_PHANGS_DATACUBE_copt_0.92asec.fits"
NATIVE = "NGC0628_PHANGS_DATACUBE_native.fits"
MAPS_COPT = "NGC0628_MAPS_copt_0.92asec.fits"
MAPS_NATIVE = "NGC0628_MAPS_native.fits"
ACS = {"INSTRUME": "ACS", "DETECTOR": "WFC", "FILTER": None, "FILTER1": "CLEAR1L"}


def mast(camera: str, band: str) -> str:
    return f"hlsp_phangs-hst_hst_{camera}_ngc628mosaic_{band.lower()}_v1_exp-drc-sci.fits"


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (40, 50))


WEIGHT = np.full((40, 50), 1e4)


@pytest.fixture
def galaxy(tmp_path):
    """NGC 628 as the archives ship it: ACS for B, V, I; native and homogenised cube and maps; white light; a result."""
    folder = tmp_path / "ngc0628"
    (folder / "hst").mkdir(parents=True)
    write_cube(folder / COPT)
    write_cube(folder / NATIVE)
    bins = np.arange(NY * NX).reshape(NY, NX)
    write_maps(folder / MAPS_COPT, bins)
    write_maps(folder / MAPS_NATIVE, bins)
    for band in ("F275W", "F336W"):
        write_mosaic(folder / "hst" / mast("wfc3-uvis", band), image(), WEIGHT, FILTER=band)
    for band in ("F435W", "F555W", "F814W"):
        write_mosaic(folder / "hst" / mast("acs-wfc", band), image(), WEIGHT, FILTER2=band, **ACS)
    white = fits.ImageHDU(image().astype(np.float32), name="DATA")
    fits.HDUList([fits.PrimaryHDU(), white]).writeto(folder / "NGC0628_PHANGS_IMAGE_white_copt_0.92asec.fits")
    (folder / "readme.txt").write_text("not a FITS file")
    return folder


def test_galaxy_folder(galaxy):
    found = find_galaxy_files(galaxy)
    assert found.name == "NGC0628"
    assert found.cube.name == COPT
    assert found.maps.name == MAPS_COPT
    assert found.truth is None
    assert {b: p.name for b, p in found.mosaics.items()} == {
        "F275W": mast("wfc3-uvis", "F275W"),
        "F336W": mast("wfc3-uvis", "F336W"),
        "F438W": mast("acs-wfc", "F435W"),
        "F555W": mast("acs-wfc", "F555W"),
        "F814W": mast("acs-wfc", "F814W"),
    }
    said = "\n".join(found.problems)
    assert f"{COPT} is used (homogenised to one PSF), not {NATIVE}; choose with `cube`" in said
    assert f"{MAPS_COPT} is used, not {MAPS_NATIVE}" in said
    assert "ACS F435W stands in for UVIS F438W" in said


def test_names_in_any_case_and_compression(galaxy, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    with (galaxy / COPT).open("rb") as f, gzip.open(folder / (COPT.upper() + ".gz"), "wb", compresslevel=1) as g:
        shutil.copyfileobj(f, g)
    name = mast("wfc3-uvis", "F275W")
    shutil.copy(galaxy / "hst" / name, folder / name.upper())
    weight = name.replace("exp-drc-sci", "err-drc-wht")
    shutil.copy(galaxy / "hst" / weight, folder / weight.upper())
    found = find_galaxy_files(folder)
    assert found.cube.name == COPT.upper() + ".gz"
    assert list(found.mosaics) == ["F275W"]
    said = "\n".join(found.problems)
    assert "no image of F336W, F438W, F555W, F814W: the" in said
    assert "no MAPS file" in said
    assert "no weight map" not in said


@pytest.mark.parametrize(
    ("shift_arcsec", "share", "words"),
    [
        (0.0, 1.0, None),
        (0.7, 0.65, "covers 64 % of the cube's field"),
        (3600.0, 0.0, "does not overlap the cube"),
        (-350000.0, 0.0, "not overlap"),
    ],
)
def test_images_beside_the_cube(tmp_path, shift_arcsec, share, words):
    """An image that is moved north over the field, off it, and to the other side of the sky."""
    write_cube(tmp_path / NATIVE)
    path = write_mosaic(tmp_path / "b_uvis_f814w.fits", image(), FILTER="F814W", PHOTPLAM=8024.0, PHOTFLAM=1.5e-19)
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["CRVAL2"] += shift_arcsec / 3600
    found = find_galaxy_files(tmp_path)
    assert ("F814W" in found.mosaics) == (share > 0)
    # Its lower edge 20 pixels = 0.792 arcsec below its centre cuts the field (spaxel centres within 0.3) at -0.092.
    assert estimate_field_coverage(read_mosaic(path), read_cube(tmp_path / NATIVE)) == pytest.approx(share, abs=0.02)
    said = [p for p in found.problems if path.name in p and "weight" not in p]
    assert any(words in p for p in said) if words else not said


def test_trained_camera_before_stand_in(tmp_path):
    write_cube(tmp_path / NATIVE)
    write_mosaic(tmp_path / "a_acs_f814w.fits", image(), FILTER2="F814W", **ACS)
    write_mosaic(tmp_path / "b_uvis_f814w.fits", image(), FILTER="F814W")
    found = find_galaxy_files(tmp_path)
    assert found.mosaics["F814W"].name == "b_uvis_f814w.fits"
    assert any("several images of F814W: b_uvis_f814w.fits" in p for p in found.problems)


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path):
    write_cube(tmp_path / NATIVE)
    for folder in (tmp_path / "a_copy", tmp_path):
        folder.mkdir(exist_ok=True)
        write_mosaic(folder / "b_uvis_f814w.fits", image(), FILTER="F814W")
    found = find_galaxy_files(tmp_path)
    assert found.mosaics["F814W"] == tmp_path / "b_uvis_f814w.fits"
    assert any("b_uvis_f814w.fits is used, not a_copy/b_uvis_f814w.fits" in p for p in found.problems)


def test_native_maps_go_with_the_native_cube(galaxy):
    (galaxy / COPT).unlink()
    found = find_galaxy_files(galaxy)
    assert found.cube.name == NATIVE
    assert found.maps.name == MAPS_NATIVE


def test_maps_on_another_grid_are_left_out_and_said(tmp_path):
    write_cube(tmp_path / NATIVE)
    write_maps(tmp_path / MAPS_NATIVE, np.ones((NY + 1, NX)))
    found = find_galaxy_files(tmp_path)
    assert found.maps is None
    assert any(f"{MAPS_NATIVE} is not used: the maps are 5 x 5" in p for p in found.problems)


def test_truth_of_a_mock(tmp_path):
    write_cube(tmp_path / NATIVE)
    fits.PrimaryHDU().writeto(tmp_path / "mock_truth.fits")
    assert find_galaxy_files(tmp_path).truth == tmp_path / "mock_truth.fits"


def test_damaged_files_are_named_and_do_not_stop_the_others(galaxy):
    path = galaxy / "hst" / mast("wfc3-uvis", "F275W")
    path.write_bytes(path.read_bytes()[:4000])
    found = find_galaxy_files(galaxy)
    assert "F275W" not in found.mosaics
    assert len(found.mosaics) == 4
    assert any(path.name in p and "truncated" in p for p in found.problems)


def test_no_folder(tmp_path):
    with pytest.raises(SfhInputError, match="no such folder; give the"):
        find_galaxy_files(tmp_path / "none")


def test_folder_without_cube(tmp_path):
    write_mosaic(tmp_path / mast("wfc3-uvis", "F275W"), image())
    with pytest.raises(SfhInputError, match="no usable integral-field cube"):
        find_galaxy_files(tmp_path)


def test_a_folder_of_other_files_says_what_they_are(tmp_path):
    header = fits.Header({"CTYPE1": "WAVE", "CRVAL1": 4750.0, "CDELT1": 1.25, "CRPIX1": 1.0, "BUNIT": "Jy"})
    fits.PrimaryHDU(np.ones((30, 200), np.float32), header).writeto(tmp_path / "rss.fits")
    with pytest.raises(SfhInputError, match=r"no usable integral-field cube \(rss\.fits: .*spectra in rows"):
        find_galaxy_files(tmp_path)


def test_unusable_cube_says_why(tmp_path):
    write_cube(tmp_path / NATIVE, BUNIT="counts")
    with pytest.raises(SfhInputError, match=r"no usable integral-field cube \(.*BUNIT 'counts'"):
        find_galaxy_files(tmp_path)


def test_two_galaxies(tmp_path):
    write_cube(tmp_path / NATIVE)
    write_cube(tmp_path / "NGC1365.fits", primary={"OBJECT": "NGC1365"}, OBJECT="NGC1365")
    with pytest.raises(SfhInputError, match="cubes of several galaxies"):
        find_galaxy_files(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "kind"),
    [
        (COPT, "cube"),
        (MAPS_COPT, "maps"),
        ("hst/*f275w*sci.fits", "mosaic"),
        ("hst/*f275w*wht.fits", "weight"),
        ("*white*", "image"),
        ("readme.txt", "unknown"),
    ],
)
def test_kinds(galaxy, pattern, kind):
    path = next(iter(galaxy.glob(pattern)))
    info = identify_file(path)
    assert info.kind == kind
    assert describe_file(info)[0].startswith(f"{path.name}: {KINDS[kind]}")


def test_kind_of_a_result(tmp_path):
    from test_results import make_result

    info = identify_file(write_result(make_result(), tmp_path / "o.fits"))
    assert info.kind == "result"
    assert info.details["bins"] == "7"
    assert info.details["model"] == "phangs (abababababab)"


def test_description_of_a_cube(galaxy):
    text = "\n".join(describe_file(identify_file(galaxy / COPT)))
    for words in (
        "5 x 4 spaxels, 3681 channels",
        "4749.9-9349.9 AA in air, step 1.25",
        "spaxel: 0.200 arcsec",
        "1e-20 erg/s/cm2/AA",
        "0.92 arcsec at 6500 AA (file name)",
        "! no redshift in the header",
    ):
        assert words in text


def test_description_of_a_distant_cube(tmp_path):
    near = identify_file(write_cube(tmp_path / "a.fits", primary={"REDSHIFT": 0.002}))
    assert not any("redshift" in p for p in near.problems)
    far = "\n".join(identify_file(write_cube(tmp_path / "b.fits", primary={"REDSHIFT": 0.09})).problems)
    assert "redshift above 0.01" in far
    lost = "\n".join(identify_file(write_cube(tmp_path / "c.fits", primary={"REDSHIFT": 0.5})).problems)
    assert "lacks rest-frame 6233-7000 AA" in lost


def test_description_of_a_mosaic_and_maps(galaxy):
    mosaic = identify_file(next(galaxy.glob("hst/*f435w*sci.fits")))
    assert mosaic.band == "F438W"
    text = "\n".join(describe_file(mosaic))
    assert "band: F438W (ACS F435W)" in text
    assert "50 x 40 pixels of 0.0396 arcsec" in text
    maps = "\n".join(describe_file(identify_file(galaxy / MAPS_COPT)))
    assert "20 bins" in maps
    assert "V 0..190 km/s, sigma 50..69 km/s" in maps
    assert "HA6562" in maps


def test_hidden_files_and_links_to_what_is_there_are_left_out(tmp_path):
    write_cube(tmp_path / "NGC0628_DATACUBE.fits")
    (tmp_path / "._NGC0628_DATACUBE.fits").write_bytes(b"\0\5\x16\7")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "again.fits").symlink_to("NGC0628_DATACUBE.fits")
    found = find_galaxy_files(tmp_path)
    assert found.cube is not None
    assert found.cube.resolve() == tmp_path / "NGC0628_DATACUBE.fits"
    assert not any("not a readable FITS" in problem or "several cubes" in problem for problem in found.problems)


@pytest.mark.parametrize("end", ["psf", "model", "residual", "bkg", "segm", "rms", "exptime", "drc_err", "starmask"])
def test_what_is_made_of_an_image_is_none(tmp_path, end):
    """Its name begins before that of the image, and its header is a copy."""
    write_cube(tmp_path / COPT)
    write_mosaic(tmp_path / "b_f555w_exp_drc_sci.fits", image(), WEIGHT, FILTER="F555W")
    write_mosaic(tmp_path / f"a_f555w_{end}.fits", 0.5 * image(), None, FILTER="F555W")
    found = find_galaxy_files(tmp_path)
    assert {band: path.name for band, path in found.mosaics.items()} == {"F555W": "b_f555w_exp_drc_sci.fits"}
    assert any(f"a_f555w_{end}.fits" in p and "not used" in p for p in found.problems)


def test_cubes_made_of_the_cube_come_after_it(tmp_path):
    write_cube(tmp_path / "b_cube.fits")
    write_cube(tmp_path / "a_model.fits")
    found = find_galaxy_files(tmp_path)
    assert found.cube.name == "b_cube.fits"
    (tmp_path / "b_cube.fits").unlink()
    assert find_galaxy_files(tmp_path).cube.name == "a_model.fits"


def test_a_file_of_another_name_is_compared_with_no_other_of_its_folder():
    """Of three thousand images in a folder each was compared with each: minutes."""
    assert find_main_cubes(Path("a_icube.fits"), iter(lambda: pytest.fail("compared"), None)) == []
    assert find_main_cubes(Path("a_vcube.fits"), [Path("a_icube.fits"), Path("b_icube.fits")]) == [Path("a_icube.fits")]
