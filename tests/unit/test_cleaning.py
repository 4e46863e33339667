"""What headers say, brought to one meaning: right numbers, or the card that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.celestial import clean_celestial_wcs
from napari_sfh.io.cleaning.cube_images import find_cube_images
from napari_sfh.io.cleaning.missing import find_fill_values, find_forbidding_bits, is_constant_plane, mark_masked
from napari_sfh.io.cleaning.structure import check_structure
from napari_sfh.io.cleaning.wavelengths import read_wavelength_axis
from napari_sfh.physics.wavelength import air_to_vacuum

PIXEL = 0.2 / 3600
SKY = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": -20.0, "CRPIX1": 5.0, "CRPIX2": 7.0}
CDELT = {"CDELT1": -PIXEL, "CDELT2": PIXEL}
CD = {"CD1_1": -PIXEL, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": PIXEL}


def header(**cards: Any) -> fits.Header:
    return fits.Header({key: value for key, value in cards.items() if value is not None})


@pytest.mark.parametrize(
    "cards",
    [
        CD,
        CDELT,
        CDELT | {"PC1_1": 1.0, "PC2_2": 1.0},
        {"CDELT1": 1.0, "CDELT2": 1.0, "PC1_1": -PIXEL, "PC2_2": PIXEL},
        CDELT | {"PC001001": 1.0, "PC002002": 1.0, "CROTA2": 0.0},
        CD | {"CDELT1": 1.0, "CDELT2": 1.0},
        CD | {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "B_0_2": 1e-4},
        {"CUNIT1": "mas", "CUNIT2": "mas", "CRVAL1": 5.4e8, "CRVAL2": -7.2e7, "CDELT1": -200.0, "CDELT2": 200.0},
        CD | {"CUNIT1": "degrees", "CUNIT2": "DEG", "RADECSYS": "FK5", "EQUINOX": "J2000"},
        CD | {"CTYPE3": "STOKES", "CRVAL3": 1.0, "CD3_3": 1.0, "WCSAXES": 3},
    ],
)
def test_one_sky_in_many_spellings(cards: dict[str, Any]) -> None:
    """10 pixels east of the reference lie 2 arcsec / cos(dec) further in right ascension."""
    wcs, _ = clean_celestial_wcs(header(**(SKY | cards)), Path("x.fits"))
    (ra, dec), (ra10, _) = wcs.wcs_pix2world([[5.0, 7.0], [-5.0, 7.0]], 1)
    assert (ra, dec) == (pytest.approx(150.0, abs=1e-8), pytest.approx(-20.0, abs=1e-8))
    assert (ra10 - ra) * 3600 * np.cos(np.radians(20)) == pytest.approx(2.0, abs=1e-5)


def test_rotation_and_galactic_coordinates() -> None:
    turned, _ = clean_celestial_wcs(header(**SKY, **CDELT, CROTA2=90.0), Path("x.fits"))
    east, north = turned.wcs_pix2world([[5.0, 17.0]], 1)[0]
    assert abs(north + 20) < 1e-6  # ten pixels up is no longer north
    assert abs(east - 150) * 3600 * np.cos(np.radians(20)) == pytest.approx(2.0, abs=1e-5)
    galactic = SKY | {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRVAL1": 0.0, "CRVAL2": 0.0}
    wcs, notes = clean_celestial_wcs(header(**galactic, **CD, NAXIS1=9, NAXIS2=13), Path("x.fits"))
    assert wcs.wcs_pix2world([[5.0, 7.0]], 1)[0] == pytest.approx([266.40499, -28.93617], abs=1e-4)  # the centre
    assert "GLON-TAN" in notes[0]


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        (CD | {"CD1_1": 0.0}, r"CD1_1 = 0\.0.* without area"),
        (CD | {"CD1_1": -0.2, "CD2_2": 0.2}, "pixels of 720 x 720 arcsec"),
        (CD | {"CTYPE1": "GLON-TAN"}, "CTYPE1 = 'GLON-TAN'"),
        (CD | {"PV1_1": 0.0, "PV1_2": 0.0}, r"CRVAL does not lie at CRPIX with PV1_1 = 0\.0"),
        (CD | {"RADESYS": "MARS"}, "RADESYS = 'MARS'"),
        (CD | {"CRVAL2": 95.0}, "CRVAL2 = 95.0 .* no latitude"),
        (CD | {"CUNIT1": "furlong"}, "CUNIT1 = 'furlong'"),
        (CD | {"CTYPE1": "x", "CTYPE2": "y", "CUNIT1": "pc", "CUNIT2": "pc"}, "lengths .pc.* by the distance"),
        ({}, "neither CD1_1 nor CDELT1"),
    ],
)
def test_the_card_that_failed_is_named(cards: dict[str, Any], words: str) -> None:
    with pytest.raises(SfhInputError, match=words):
        clean_celestial_wcs(header(**(SKY | cards)), Path("x.fits"))


AIR = np.array([5000.0, 5001.25, 5002.5])
VACUUM = air_to_vacuum(np.array([5000.0]))[0]


@pytest.mark.parametrize(
    ("cards", "first"),
    [
        ({"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 5000.0, "CD3_3": 1.25}, 5000.0),
        ({"CTYPE3": "AWAV", "CUNIT3": "Ang.", "CRVAL3": 5000.0, "CD3_3": 1.25, "CDELT3": 1.0}, 5000.0),
        ({"CTYPE3": "AWAV", "CUNIT3": "nm", "CRVAL3": 500.0, "CDELT3": 0.125, "PC3_3": 1.0}, 5000.0),
        ({"CTYPE3": "LINEAR", "CRVAL3": 5000.0, "CD3_3": 1.25}, 5000.0),
        ({"CTYPE3": "AWAV", "CRVAL3": 0.5, "CD3_3": 1.25e-4}, 5000.0),
        ({"CTYPE3": "WAVE", "CUNIT3": "m", "CRVAL3": VACUUM * 1e-10, "CD3_3": 1.25e-10}, 5000.0),
        ({"CTYPE3": "LOGLAM", "CRVAL3": float(np.log(5000)), "CD3_3": 2.5e-4}, 5000.0),
        ({"CTYPE3": "LINEAR", "DC-FLAG": 1, "CRVAL3": float(np.log10(5000)), "CD3_3": 1.0857e-4}, 5000.0),
        ({"CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": "5.0D3", "CD3_3": 1.25}, 5000.0),
        ({"CTYPE3": "LOGLAM", "CUNIT3": "log(nm)", "CRVAL3": float(np.log10(500)), "CD3_3": 1.0857e-4}, 5000.0),
        ({"CTYPE3": "AWAV", "CUNIT3": "log10(um)", "CRVAL3": float(np.log10(0.5)), "CD3_3": 1.0857e-4}, 5000.0),
        ({"CTYPE3": "AWAV", "CUNIT3": "ln(um)", "CRVAL3": float(np.log(0.5)), "CD3_3": 2.5e-4}, 5000.0),
    ],
)
def test_wavelengths_in_air(cards: dict[str, Any], first: float) -> None:
    """The spacing is 1.25 Angstrom, within what vacuum and logarithms change."""
    wave = read_wavelength_axis(header(CRPIX3=1.0, **cards), Path("x.fits"), 3).wave_aa
    assert wave[0] == pytest.approx(first, abs=1e-5)
    assert np.diff(wave) == pytest.approx([1.25, 1.25], abs=2e-3)


@pytest.mark.parametrize("rows", ["one", "each"])
def test_wavelengths_of_a_table(rows: str) -> None:
    column = (
        fits.Column("wave", "3D", "Angstrom", array=AIR[None])
        if rows == "one"
        else fits.Column("wave", "D", "Angstrom", array=AIR)
    )
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([column], name="T")])
    cards = header(CTYPE3="AWAV-TAB", CUNIT3="Angstrom", PS3_0="T", PS3_1="wave", CRVAL3=1.0)
    assert read_wavelength_axis(cards, Path("x.fits"), 3, hdus=hdus).wave_aa == pytest.approx(AIR)


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ({"CTYPE3": "WAVE", "CRVAL3": 8.47, "CD3_3": 2e-4}, "CRVAL3 = 8.47 .* has no unit"),
        ({"CTYPE3": "VOPT", "CUNIT3": "km/s", "CRVAL3": 1.0, "CD3_3": 1.0}, "CTYPE3 = 'VOPT' .* velocity.* RESTWAV"),
        ({"CTYPE3": "VRAD", "CUNIT3": "Hz", "CRVAL3": 1.0, "CD3_3": 1.0, "RESTWAV": 5e-7}, "CUNIT3 = 'Hz'"),
        ({"CTYPE3": "VRAD", "CUNIT3": "km/s", "CRVAL3": 1.0, "CD3_3": 1.0, "RESTWAV": 5e-3}, "RESTWAV = 0.005"),
        ({"CTYPE3": "AWAV", "CUNIT3": "s", "CRVAL3": 1.0, "CD3_3": 1.0}, "CUNIT3 = 's'"),
        ({"CTYPE3": "AWAV", "CUNIT3": "m", "CRVAL3": 5000.0, "CD3_3": 1.0}, "no optical or infrared spectrum"),
        ({"CTYPE3": "AWAV", "CRVAL3": 5000.0}, "step is unknown"),
        ({"CTYPE3": "AWAV", "CRVAL3": 5000.0, "CD3_3": 1.25, "CD3_1": 0.1}, "CD3_1 = 0.1 .* tilts"),
    ],
)
def test_wavelength_cards_that_fail(cards: dict[str, Any], words: str) -> None:
    with pytest.raises(SfhInputError, match=words):
        read_wavelength_axis(header(CRPIX3=1.0, **cards), Path("x.fits"), 3)


def test_bits_have_the_meaning_of_their_survey() -> None:
    bits, survey = find_forbidding_bits({}, ["PRIMARY", "FLUX", "IVAR", "MASK"])
    assert survey == "MaNGA"
    # NOCOV, LOWCOV, DEADFIBER, FORESTAR, (bit 5), DONOTUSE
    found = mark_masked(np.array([0, 1, 2, 4, 8, 32, 1024]), bits)
    assert found.tolist() == [False, True, False, True, True, False, True]
    jwst, _ = find_forbidding_bits({"TELESCOP": "JWST"}, [])
    assert mark_masked(np.array([0, 1, 4, 512]), jwst).tolist() == [False, True, False, True]
    assert find_forbidding_bits({"INSTRUME": "MUSE"}, ["DATA"]) == (None, "")
    assert mark_masked(np.array([0.0, np.nan, 2.0]), None).tolist() == [False, True, True]


def test_fill_values_and_constants() -> None:
    noise = np.random.default_rng(1).normal(size=(3, 20, 20)).astype(np.float32)
    assert find_fill_values(noise) == ()
    noise[:, :2] = 1e20
    assert find_fill_values(noise) == (pytest.approx(1e20),)
    noise[0, 5, 5] = -999
    assert find_fill_values(noise) == (pytest.approx(1e20),)  # one pixel may have this number
    plane = np.full((4, 4), 3.0, np.float32)
    assert is_constant_plane(plane, np.ones((4, 4), bool))
    plane[1, 1] = 3.1
    assert not is_constant_plane(plane, np.ones((4, 4), bool))


@pytest.mark.parametrize(("measure", "kind"), [("MSE", "variance"), ("RMSE", "sigma"), ("INVMSE", "inverse")])
def test_classes_of_eso_come_before_names(measure: str, kind: str) -> None:
    cube = np.ones((4, 3, 3), np.float32)
    error, data = fits.ImageHDU(cube, name="DATA"), fits.ImageHDU(cube, name="B")
    error.header.update(HDUCLASS="ESO", HDUCLAS2="ERROR", HDUCLAS3=measure)
    data.header.update(HDUCLASS="ESO", HDUCLAS2="DATA")
    images = find_cube_images(fits.HDUList([fits.PrimaryHDU(), error, data]), Path("x.fits"))
    assert (images.data, images.error, images.error_kind) == (2, 1, kind)


def test_a_header_copied_from_the_data_does_not_make_data() -> None:
    cube = np.ones((4, 3, 3), np.float32)
    hdus = [fits.ImageHDU(cube, name=name) for name in ("DATA", "STAT")]
    for hdu in hdus:
        hdu.header.update(HDUCLASS="ESO", HDUCLAS1="IMAGE", HDUCLAS2="DATA", ERRDATA="STAT")
    images = find_cube_images(fits.HDUList([fits.PrimaryHDU(), *hdus]), Path("x.fits"))
    assert (images.data, images.error, images.error_kind) == (1, 2, "variance")


@pytest.mark.parametrize(("name", "kind"), [
    ("DATA_ERR", "sigma"), ("ERR_FLUX", "sigma"), ("SCI_VAR", "variance"), ("STAT_DATA", "variance"), ("UNC", "sigma"),
    ("VARCUBE", "variance"), ("ivar flux", "inverse"), ("FLUX_MODEL", ""), ("SCI_DQ", "mask"), ("BAD_PIXELS", "mask"),
    ("DATA_QUALITY", "mask"), ("IFU.3.STAT", "variance"), ("MASKCUBE", "mask"),
])  # fmt: skip
def test_words_that_say_nothing_are_left_out_of_names(name: str, kind: str) -> None:
    data, other = (fits.ImageHDU(np.ones((5, 2, 3), np.float32), name=n) for n in ("DATA", name))
    images = find_cube_images(fits.HDUList([fits.PrimaryHDU(), data, other]), Path("x.fits"))
    assert images.data == 1
    assert images.error_kind == ("" if kind == "mask" else kind)
    assert len(images.masks) == (kind == "mask")


def test_an_image_with_coordinates_is_the_cube() -> None:
    small, large = fits.ImageHDU(np.ones((9, 3, 3))), fits.ImageHDU(np.ones((4, 3, 3)))
    large.header["CTYPE3"] = "AWAV"
    assert find_cube_images(fits.HDUList([fits.PrimaryHDU(), small, large]), Path("x.fits")).data == 2


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("key", "count"), [("NAXIS", 10**9), ("TFIELDS", 5000), ("NAXIS", -3)])
def test_counts_beyond_the_standard_are_refused_at_once(tmp_path: Path, key: str, count: int, packed: bool) -> None:
    import gzip

    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])])
    hdus = fits.HDUList([fits.PrimaryHDU(np.ones((3, 3))), fits.ImageHDU(np.ones((2, 2))), table])
    path = tmp_path / "x.fits"
    hdus.writeto(path)
    check_structure(path, gzipped=False)
    raw = path.read_bytes()
    at = raw.rfind(f"{key:8s}=".encode())
    raw = raw[:at] + f"{key:8s}= {count:>20d}".encode().ljust(80) + raw[at + 80 :]
    path.write_bytes(gzip.compress(raw) if packed else raw)
    with pytest.raises(SfhInputError, match=f"{key} = {count} in HDU 2"):
        check_structure(path, gzipped=packed)
