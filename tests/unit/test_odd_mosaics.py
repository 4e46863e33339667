"""Mosaics whose calibration is that of another filter, or that are empty where the cube is: the card is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from io_mocks import UVIS, image_header, write_cube, write_mosaic

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import read_bundle_header
from napari_sfh.instruments.files import load_instrument
from napari_sfh.io.identify import find_galaxy_files, identify_file
from napari_sfh.io.mosaics import read_mosaic

NY, NX = 60, 80


def _mosaic(folder: Path, **cards: Any) -> Path:
    data = np.random.default_rng(0).normal(1.0, 0.1, (40, 40))
    return write_mosaic(folder / "hst_f275w_sci.fits", data, **cards)


@pytest.mark.parametrize(("cards", "words"), [
    ({"PHOTPLAM": 0.0}, r"PHOTPLAM .* is 0\.0"), ({"PHOTFLAM": 0.0}, r"PHOTFLAM \(it is 0\.0\)"),
    ({"PHOTFLAM": "unknown"}, "it is 'unknown'"),
])  # fmt: skip
def test_a_calibration_that_is_none_is_refused(cards: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(SfhInputError, match=words):
        read_mosaic(_mosaic(tmp_path, **cards))


@pytest.mark.parametrize(("photflam", "value", "told"), [
    (3.3e-18, 3.3e-18, False), ("3.3D-18", 3.3e-18, False), (3.3e-17, 3.3e-17, True), (1.5e-19, 1.5e-19, True),
])  # fmt: skip
def test_a_photflam_that_is_not_the_filters_is_told(photflam: Any, value: float, told: bool, tmp_path: Path) -> None:
    mosaic = read_mosaic(_mosaic(tmp_path, PHOTFLAM=photflam))
    assert mosaic.photflam == pytest.approx(value)
    assert any("times that of UVIS F275W" in note for note in mosaic.notes) == told


@pytest.mark.parametrize(("cards", "told"), [({"PHOTPLAM": 8039.0}, True), ({"PHOTPLAM": 2720.0}, False)])
def test_a_pivot_wavelength_of_another_filter_is_told(cards: dict[str, Any], told: bool, tmp_path: Path) -> None:
    notes = read_mosaic(_mosaic(tmp_path, **cards)).notes
    assert any("PHOTPLAM = 8039" in note and "2704" in note for note in notes) == told


@pytest.mark.parametrize(("cards", "told"), [
    ({"FILTER": None, "FILTER1": "F275W", "FILTER2": "POL0V"}, True), ({"FILTNAM2": "POLQN33"}, True),
    ({"FILTER": None, "FILTER1": "CLEAR1L", "FILTER2": "F275W"}, False),
])  # fmt: skip
def test_a_polarizer_in_the_light_is_told(cards: dict[str, Any], told: bool, tmp_path: Path) -> None:
    assert any("POL" in note and "polarizer" in note for note in read_mosaic(_mosaic(tmp_path, **cards)).notes) == told


@pytest.mark.parametrize("layout", ["cube of one plane", "two axes more", "in an extension"])
def test_an_image_with_a_third_axis_of_one_is_an_image(layout: str, tmp_path: Path) -> None:
    path = _mosaic(tmp_path)
    plain = read_mosaic(path).read(slice(3, 9), slice(2, 7))[0]
    with fits.open(path) as hdus:
        science = next(hdu for hdu in hdus if hdu.data is not None)
        header, data = science.header.copy(), science.data[None]
        data = data[None] if layout == "two axes more" else data
        header.update({"CTYPE3": "FREQ", "CRVAL3": 1e15, "CDELT3": 1.0})
        first = fits.PrimaryHDU(data, header) if layout != "in an extension" else fits.PrimaryHDU()
        made = fits.HDUList([first, *([fits.ImageHDU(data, header)] if layout == "in an extension" else [])])
    made.writeto(tmp_path / "b_f275w_sci.fits")
    np.testing.assert_array_equal(read_mosaic(tmp_path / "b_f275w_sci.fits").read(slice(3, 9), slice(2, 7))[0], plain)
    assert identify_file(tmp_path / "b_f275w_sci.fits").kind == "mosaic"


@pytest.mark.parametrize(("name", "cards", "words"), [
    ("hst_f275w_drc_wht.fits", {}, "weight map by its name"),
    ("hst_f275w_sci.fits", {"BSOFTEN": 100.0}, "BSOFTEN"),
])  # fmt: skip
def test_what_is_no_linear_image_is_refused(name: str, cards: dict[str, Any], words: str, tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(1.0, 0.1, (40, 40))
    with pytest.raises(SfhInputError, match=words):
        read_mosaic(write_mosaic(tmp_path / name, data, **cards))


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_an_image_of_zeros_or_of_no_numbers_is_told(value: float, tmp_path: Path) -> None:
    path = write_mosaic(
        tmp_path / "hst_f275w_sci.fits", np.full((40, 40), value), np.ones((40, 40)), "hst_f275w_wht.fits"
    )
    assert any("pixels are 0" in note for note in read_mosaic(path).notes)
    assert not any("pixels are 0" in note for note in read_mosaic(_mosaic(tmp_path)).notes)


def _write_with_mask(path: Path, mask: np.ndarray, name: str, weight_inside: bool) -> Path:
    header = image_header(NY, NX)
    data = np.random.default_rng(1).normal(1.0, 0.01, (NY, NX)).astype(np.float32)
    data[mask != 0] = 7.0
    hdus = [fits.PrimaryHDU(header=fits.Header(UVIS)), fits.ImageHDU(data, header, name="SCI")]
    if weight_inside:
        hdus.append(fits.ImageHDU(np.full((NY, NX), 1e4, np.float32), header, name="WHT"))
    fits.HDUList([*hdus, fits.ImageHDU(mask, header, name=name)]).writeto(path)
    return path


@pytest.mark.parametrize("name", ["DQ", "MASK", "BADPIX"])
@pytest.mark.parametrize("weight_inside", [False, True])
def test_a_mask_in_the_file_is_used_with_and_without_weights(name: str, weight_inside: bool, tmp_path: Path) -> None:
    mask = np.zeros((NY, NX), np.int16)
    mask[:, : NX // 4] = 256
    mosaic = read_mosaic(_write_with_mask(tmp_path / "a_drz.fits", mask, name, weight_inside))
    data, error = mosaic.read(slice(0, NY), slice(0, NX))
    np.testing.assert_array_equal(np.isnan(data), mask != 0)
    np.testing.assert_array_equal(np.isinf(error), mask != 0)
    assert error[0, -1] == pytest.approx(0.01, rel=0.1)
    assert any("mask is used" in note for note in mosaic.notes)


@pytest.mark.parametrize(("name", "stored"), [("RMS", 0.3), ("SIGMA", 0.3), ("VAR", 0.09), ("VARIANCE", 0.09),
                                              ("IVAR", 1 / 0.09), ("ERR", 0.3)])  # fmt: skip
def test_errors_of_a_mosaic_have_the_names_that_those_of_cubes_have(name: str, stored: float, tmp_path: Path) -> None:
    header = image_header(NY, NX)
    data = np.random.default_rng(1).normal(1.0, 0.3, (NY, NX)).astype(np.float32)
    errors = np.full((NY, NX), stored, np.float32)
    errors[0, 0] = -1.0
    hdus = [fits.PrimaryHDU(header=fits.Header(UVIS)), fits.ImageHDU(errors, header, name=name)]
    fits.HDUList([*hdus, fits.ImageHDU(data, header, name="SCI")]).writeto(tmp_path / "a_drz.fits")
    found, error = read_mosaic(tmp_path / "a_drz.fits").read(slice(0, NY), slice(0, NX))
    assert np.isnan(found[0, 0])
    assert error[5, 5] == pytest.approx(0.3, rel=1e-5)


def test_a_mask_that_forbids_nearly_all_is_refused(tmp_path: Path) -> None:
    mask = np.ones((NY, NX), np.uint8)
    mask[:2] = 0
    with pytest.raises(SfhInputError, match=r"mask \(HDU .*\) forbids .*invert it"):
        read_mosaic(_write_with_mask(tmp_path / "a_drz.fits", mask, "MASK", True))


def test_images_of_other_filters_in_the_file_are_named(tmp_path: Path) -> None:
    hdus = [fits.PrimaryHDU()]
    for band in ("F275W", "F336W", "F555W"):
        header = image_header(NY, NX)
        header.update({**UVIS, "FILTER": band})
        hdus.append(fits.ImageHDU(np.random.default_rng(0).normal(1, 0.1, (NY, NX)), header, name=band))
    fits.HDUList(hdus).writeto(tmp_path / "all.fits")
    assert any("F275W (F275W) is used, not F336W (F336W), F555W" in n for n in read_mosaic(tmp_path / "all.fits").notes)


INSTRUMENT = """
name = "own"
summary = "a spectrograph with an imager"
base = "muse-hst"

[[band]]
name = "my_g"
centre_aa = 4700.0
fwhm_aa = 1000.0
"""


@pytest.mark.parametrize(("cards", "jansky", "psf", "word"), [
    ({"BUNIT": "nanomaggy", "FILTER": "g", "PSF_FWHM": 1.3}, 3.631e-6, 1.3, "PSF_FWHM"),
    ({"BUNIT": "uJy", "SEEING": 0.9}, 1e-6, 0.9, "SEEING"), ({"MAGZERO": 22.5}, 3.631e-6, np.nan, "zero point 22.5"),
    ({"BUNIT": "uJy", "FILTER": "F475W"}, 1e-6, np.nan, "uJy"),
])  # fmt: skip
def test_bands_of_ones_own_have_mosaics_of_any_telescope(
    cards: dict[str, Any], jansky: float, psf: float, word: str, tmp_path: Path
) -> None:
    """A name in small letters, no camera, no PHOTFLAM: f_lambda is that of f_nu at the band's own pivot."""
    (tmp_path / "own.toml").write_text(INSTRUMENT)
    none = dict.fromkeys(("INSTRUME", "DETECTOR", "FILTER", "PHOTFLAM", "PHOTPLAM", "BUNIT", "TELESCOP"))
    path = _mosaic(tmp_path, **{**none, **cards})
    path = path.rename(tmp_path / "frame.fits")
    mosaic = read_mosaic(path, "MY_G", load_instrument(tmp_path / "own.toml"))
    flux = float(np.median(mosaic.read(slice(None), slice(None))[0])) * mosaic.photflam
    assert flux == pytest.approx(jansky * 1e-23 * 2.99792458e18 / 4700.0**2, rel=0.02)
    assert (mosaic.band, mosaic.psf_fwhm_arcsec) == ("my_g", pytest.approx(psf, nan_ok=True))
    assert any(word in note for note in mosaic.notes)


def test_a_folder_has_images_of_ones_own_bands_by_their_names(tmp_path: Path) -> None:
    """The Legacy Surveys' files beside a cube: the image and its inverse variance, but no mask nor depth."""
    (tmp_path / "own.toml").write_text(INSTRUMENT.replace("my_g", "g"))
    header = replace(read_bundle_header(), instrument=load_instrument(tmp_path / "own.toml"))
    folder = tmp_path / "galaxy"
    folder.mkdir()
    write_cube(folder / "NGC0628_DATACUBE.fits")
    none = dict.fromkeys(("INSTRUME", "DETECTOR", "FILTER", "PHOTFLAM", "PHOTPLAM", "TELESCOP"))
    for kind, value in {"image": 1.0, "invvar": 25.0, "maskbits": 0.0, "depth": 4.0}.items():
        data = np.full((40, 40), value, np.float32)
        path = write_mosaic(tmp_path / "x_sci.fits", data, **{**none, "BUNIT": "nanomaggy"})
        path.rename(folder / f"legacysurvey-0242p157-{kind}-g.fits")
    found = find_galaxy_files(folder, header)
    assert dict(found.mosaics) == {"g": folder / "legacysurvey-0242p157-image-g.fits"}
    mosaic = read_mosaic(found.mosaics["g"], "g", header.instrument)
    _, error = mosaic.read(slice(None), slice(None))
    assert mosaic.weight_path == folder / "legacysurvey-0242p157-invvar-g.fits"
    flux = 1e-9 * 3631 * 1e-23 * 2.99792458e18 / 4700.0**2
    assert np.median(error) * mosaic.photflam == pytest.approx(0.2 * flux, rel=0.02)
    # Of weights without such a band, and where the image tells no unit, it is no mosaic; the second is said.
    assert dict(find_galaxy_files(folder).mosaics) == {}
    with fits.open(found.mosaics["g"], mode="update") as hdus:
        hdus[0].header.remove("BUNIT", ignore_missing=True)
    again = find_galaxy_files(folder, header)
    assert dict(again.mosaics) == {}
    assert any("is not used as an image of g" in problem and "MAGZERO" in problem for problem in again.problems)


def test_counts_of_another_telescope_need_a_zero_point(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(INSTRUMENT)
    path = _mosaic(tmp_path, INSTRUME=None, DETECTOR=None, FILTER=None, BUNIT="adu")
    with pytest.raises(SfhInputError, match="MAGZERO"):
        read_mosaic(path, "my_g", load_instrument(tmp_path / "own.toml"))


@pytest.mark.parametrize("layout", ["Dec on the first axis", "TPV without coefficients", "TPV with PV1_1 alone"])
def test_places_on_the_sky_do_not_depend_on_how_the_header_says_them(layout: str, tmp_path: Path) -> None:
    """Right ascension first, and pixels of the stated size, whatever wcslib makes of the cards."""
    plain = image_header(40, 40)
    cards: dict[str, Any] = {f"CTYPE{i}": plain[f"CTYPE{i}"].replace("TAN", "TPV") for i in (1, 2)}
    if "PV1_1" in layout:
        cards["PV1_1"] = 1.0
    if "Dec" in layout:
        cards = {f"{key}{i}": plain[f"{key}{3 - i}"] for key in ("CTYPE", "CRVAL") for i in (1, 2)}
        cards |= {f"CD{i}_{j}": plain[f"CD{3 - i}_{j}"] for i in (1, 2) for j in (1, 2)}
    odd = read_mosaic(_mosaic(tmp_path, **cards)).wcs
    pixels = np.array([[0.0, 0.0], [30.0, 5.0]])
    np.testing.assert_allclose(odd.wcs_pix2world(pixels, 0), WCS(plain).wcs_pix2world(pixels, 0), rtol=0, atol=1e-8)
