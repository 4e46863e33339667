"""Libraries as users and authors bring them: what is read, and what is refused with which words."""

import numpy as np
import pytest
from astropy.io import fits
from template_toys import AGE_GYR, FWHM_AA, MH, WAVE, level, toy_library

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.wavelength import air_to_vacuum
from napari_sfh.training.libraries import catalogue, emiles, ppxf_npz, young_extension
from napari_sfh.training.libraries.ssp_library import detect_air_or_vacuum, measure_line_offsets_aa

AGES = (0.0631, 0.1, 0.2, 1.0, 10.0)
METALS = (-0.40, 0.0, 0.22)


def file_name(age, mh, imf="Eun1.30", iso="P"):
    sign = "m" if mh < 0 else "p"
    return f"{imf}Z{sign}{abs(mh):.2f}T{age:07.4f}_i{iso}p0.00_baseFe_linear_FWHM_variable.fits"


def write(folder, age, mh, scale=1.0, n=8000, **name):
    hdu = fits.PrimaryHDU(np.full(n, scale * level(age, mh), dtype=np.float32))
    hdu.header["CRVAL1"], hdu.header["CDELT1"], hdu.header["CRPIX1"] = 1680.2, 0.9, 1
    hdu.writeto(folder / file_name(age, mh, **name), overwrite=True)


@pytest.fixture
def folder(tmp_path):
    for age in AGES:
        for mh in METALS:
            write(tmp_path, age, mh)
    (tmp_path / "readme.txt").write_text("not a spectrum")
    return tmp_path


# --- a folder of E-MILES files ----------------------------------------------------------------------------------


def test_a_folder_is_read_by_its_file_names(folder):
    library = emiles.load_miles_folder(folder, "mine")
    np.testing.assert_allclose(library.age_gyr, AGES)
    np.testing.assert_allclose(library.mh, METALS)
    assert (library.isochrones, library.imf) == ("Padova 2000", "unimodal (1.30 is Salpeter), slope 1.30")
    np.testing.assert_allclose(library.spectrum[0, 3], level(1.0, -0.4), rtol=1e-6)
    assert library.wave_aa[:2].tolist() == pytest.approx([1680.2, 1681.1])
    at = np.interp([2000.0, 3300.0, 5500.0, 8940.0], library.wave_aa, library.fwhm_aa)
    np.testing.assert_allclose(at, [3.0, 5.0, 2.51, 2.51])


def test_basti_and_chabrier_are_told_by_the_name(tmp_path):
    for age in AGES:
        for mh in (0.06, 0.15):
            write(tmp_path, age, mh, imf="Mch1.30", iso="T")
    library = emiles.load_miles_folder(tmp_path, "mine")
    assert (library.isochrones, library.imf) == ("BaSTI", "Chabrier, slope 1.30")


def test_the_digest_follows_the_spectra(folder):
    first = emiles.load_miles_folder(folder, "mine").sha256
    write(folder, 1.0, 0.0, scale=1.001)
    assert emiles.load_miles_folder(folder, "mine").sha256 != first


def test_a_missing_node_is_named(folder):
    (folder / file_name(1.0, 0.0)).unlink()
    with pytest.raises(SfhInputError, match=r"1 of 15 files missing, e\.g\. \[M/H\] \+0\.00 at 1\.0000 Gyr"):
        emiles.load_miles_folder(folder, "mine")


def test_mixed_kinds_are_refused(folder):
    write(folder, 1.0, 0.0, imf="Ech1.30")
    with pytest.raises(SfhInputError, match="files of 2 kinds"):
        emiles.load_miles_folder(folder, "mine")


def test_a_truncated_file_is_named(folder):
    path = folder / file_name(0.1, 0.22)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SfhInputError, match=r"Eun1\.30Zp0\.22T00\.1000.*(not a MILES spectrum|truncated)"):
        emiles.load_miles_folder(folder, "mine")


def test_a_shorter_spectrum_is_named(folder):
    write(folder, 0.2, 0.0, n=7000)
    with pytest.raises(SfhInputError, match=r"T00\.2000.*another wavelength grid"):
        emiles.load_miles_folder(folder, "mine")


def test_no_folder_and_no_files(tmp_path):
    with pytest.raises(SfhInputError, match="not a folder"):
        emiles.load_miles_folder(tmp_path / "nowhere", "mine")
    with pytest.raises(SfhInputError, match="no E-MILES/MILES file"):
        emiles.load_miles_folder(tmp_path, "mine")


# --- the young extension ----------------------------------------------------------------------------------------


def test_join_factor_is_recovered_and_light_is_continuous(folder):
    """A library at 0.7 of the stand-in's light gets young stars at 0.7 of theirs, in its own metallicities."""
    for age in AGES:
        for mh in METALS:
            write(folder, age, mh, scale=0.7)
    late = emiles.load_miles_folder(folder, "late")
    assert young_extension.needs_extension(late)
    stand_in = toy_library()
    np.testing.assert_allclose(young_extension.measure_join_factors(late, stand_in), 0.7, rtol=2e-3)
    joined = young_extension.extend_library(late, stand_in)
    assert joined.age_gyr[0] == AGE_GYR[0]
    assert np.sum(joined.age_gyr >= 0.0630) == len(AGES)
    at = int(np.argmin(np.abs(joined.wave_aa - 5400)))
    expected = 0.7 * level(joined.age_gyr[None], joined.mh[:, None])
    np.testing.assert_allclose(joined.spectrum[..., at], expected, rtol=3e-3)
    assert not young_extension.needs_extension(joined)
    assert "factors 0.70" in joined.notes[0]
    blue = joined.wave_aa < 911
    assert (joined.spectrum[:, 0][:, blue] > 0).all()


def test_a_library_without_ages_at_the_join_cannot_be_extended():
    late = toy_library("late", ages=np.array([1.0, 5.0, 10.0]))
    with pytest.raises(SfhInputError, match="fewer than two ages within 63-200 Myr"):
        young_extension.extend_library(late, toy_library())


# --- pPXF npz ---------------------------------------------------------------------------------------------------


def npz(path, wave, **changes):
    """An npz as pPXF's, with absorption lines at their air wavelengths where ``wave`` is in air."""
    wave_air = np.arange(1700.0, 10900.0, 0.9)
    depth = sum(0.4 * np.exp(-0.5 * ((wave_air - line) / 1.5) ** 2) for line in (5183.60, 5889.95, 5895.92, 6562.80))
    light = (1 - depth)[:, None, None] * level(AGE_GYR[:, None], MH[None])
    arrays = {"templates": light, "lam": wave, "fwhm": np.full(wave.size, 2.5), "ages": AGE_GYR, "metals": MH}
    arrays |= {"masses": np.ones((AGE_GYR.size, MH.size))}
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return path


@pytest.mark.parametrize("medium", ["air", "vacuum"])
def test_an_npz_is_read_and_its_medium_measured(tmp_path, medium):
    air = np.arange(1700.0, 10900.0, 0.9)
    path = npz(tmp_path / "spectra_fsps_9.0.npz", air if medium == "air" else air_to_vacuum(air))
    library = ppxf_npz.load_ppxf_npz(path, "fsps")
    assert library.medium == medium
    assert library.citation.startswith("Conroy & Gunn")
    assert library.imf == "not stated in the file"
    assert library.spectrum.shape[:2] == (MH.size, AGE_GYR.size)
    middle = np.abs(library.wave_aa - 5400) < 5
    np.testing.assert_allclose(library.spectrum[2, 20][middle], level(AGE_GYR[20], MH[2]), rtol=1e-4)
    offsets = measure_line_offsets_aa(library.wave_aa, library.spectrum[-1, 40])
    np.testing.assert_allclose(offsets, 0.0, atol=0.15)


def test_bad_npz_files_are_named(tmp_path):
    wave = np.arange(1700.0, 10900.0, 0.9)
    path = npz(tmp_path / "a.npz", wave, ages=None)
    with pytest.raises(SfhInputError, match=r"a\.npz: no array ages"):
        ppxf_npz.load_ppxf_npz(path, "x")
    path = npz(tmp_path / "b.npz", wave[:-5])
    with pytest.raises(SfhInputError, match=r"b\.npz: templates have shape"):
        ppxf_npz.load_ppxf_npz(path, "x")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SfhInputError, match=r"b\.npz: cannot be read as npz"):
        ppxf_npz.load_ppxf_npz(path, "x")
    with pytest.raises(SfhInputError, match="cannot be read"):
        ppxf_npz.load_ppxf_npz(tmp_path / "nowhere.npz", "x")


# --- checks that every library passes ---------------------------------------------------------------------------


def with_light(factor):
    return {"spectrum": factor * level(AGE_GYR[None], MH[:, None])[..., None] * np.ones(WAVE.size)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"age_gyr": AGE_GYR * 1e9}, "they must be in Gyr"),
        ({"age_gyr": AGE_GYR[::-1]}, "ages must be at least two increasing numbers"),
        ({"mh": np.array([0.0001, 0.02, 5.0])}, r"\[M/H\] in dex, not Z"),
        ({"wave_aa": WAVE / 10}, "not nm or micron"),
        ({"mh": np.array([-1.0, 0.0])}, "the library is incomplete"),
        ({"medium": "water"}, "'air' or 'vacuum'"),
        (with_light(3.8e33), "in other units"),
        (with_light(np.nan), "the file is damaged"),
    ],
)
def test_a_library_that_is_not_what_it_says_is_refused(changes, message):
    with pytest.raises(SfhInputError, match=message):
        toy_library(**changes)


def test_vacuum_wavelengths_are_converted():
    library = toy_library(
        wave_aa=air_to_vacuum(np.maximum(WAVE, 2000.0)) + np.minimum(WAVE - 2000.0, 0.0), medium="vacuum"
    )
    above = library.wave_aa > 2010
    nearest = np.interp(library.wave_aa[above], WAVE, WAVE)
    np.testing.assert_allclose(library.wave_aa[above], nearest, atol=1e-6)
    assert np.min(np.abs(library.wave_aa - WAVE[5000])) < 1e-6
    assert library.fwhm_aa[0] == FWHM_AA


def test_a_vacuum_library_that_says_air_is_refused():
    air = np.arange(1700.0, 10900.0, 0.9)
    depth = sum(0.3 * np.exp(-0.5 * ((air - line) / 1.5) ** 2) for line in (5183.60, 5889.95, 5895.92, 6562.80))
    light = level(AGE_GYR[None], MH[:, None])[..., None] * (1 - depth)
    changes = {"spectrum": light, "fwhm_aa": np.full(air.size, FWHM_AA)}
    toy_library(wave_aa=air, **changes)
    with pytest.raises(SfhInputError, match="lie at vacuum wavelengths"):
        toy_library(wave_aa=air_to_vacuum(np.maximum(air, 2000.0)) + np.minimum(air - 2000.0, 0.0), **changes)


def test_no_lines_no_medium():
    assert detect_air_or_vacuum(np.arange(5000.0, 7000.0), np.ones(2000)) == ""


def test_unknown_and_reserved_names():
    with pytest.raises(SfhInputError, match="library 'nope' is unknown; choose"):
        catalogue.load_library("nope")
    with pytest.raises(SfhInputError, match="'bc03-miles' is a stock name"):
        catalogue.load_library("bc03-miles", folder="somewhere")


def test_missing_wavelengths_come_from_the_stand_in_at_each_ssps_own_level():
    """A library of 3500-7400 AA, 0.8 times as bright: its colours beyond are the stand-in's, its level its own."""
    stand_in = toy_library()
    kept = (WAVE > 3500) & (WAVE < 7400)
    narrow = toy_library(
        "narrow",
        wave_aa=WAVE[kept],
        fwhm_aa=np.full(kept.sum(), FWHM_AA),
        spectrum=0.8 * stand_in.spectrum[..., np.isin(stand_in.wave_aa, WAVE[kept])],
    )
    assert young_extension.needs_extension(narrow)
    full = young_extension.extend_library(narrow, stand_in)
    assert not young_extension.needs_extension(full)
    np.testing.assert_array_equal(full.age_gyr, AGE_GYR)
    for wave in (600.0, 2500.0, 5400.0, 9000.0):
        at = int(np.argmin(np.abs(full.wave_aa - wave)))
        np.testing.assert_allclose(full.spectrum[..., at], 0.8 * level(AGE_GYR[None], MH[:, None]), rtol=1e-4)
    (note,) = full.notes
    assert note.startswith("138 SSPs")
    assert note.endswith("filled from toy")


def test_ssps_that_end_in_zeros_are_filled_without_a_step():
    """As E-MILES below 0.25 Gyr beyond 8951 AA; the others stay as they are."""
    stand_in = toy_library()
    light = 0.7 * stand_in.spectrum
    light[0, :5, stand_in.wave_aa > 8951] = 0.0
    dark = toy_library("dark", wave_aa=stand_in.wave_aa, fwhm_aa=stand_in.fwhm_aa, spectrum=light)
    assert young_extension.needs_extension(dark)
    full = young_extension.extend_library(dark, stand_in)
    np.testing.assert_allclose(full.spectrum, 0.7 * stand_in.spectrum, rtol=1e-4)
    (note,) = full.notes
    assert note.startswith("5 SSPs")


def test_holes_between_wavelengths_are_damage():
    stand_in = toy_library()
    light = stand_in.spectrum.copy()
    light[1, 3, 4000:4010] = 0.0
    dark = toy_library("dark", wave_aa=stand_in.wave_aa, fwhm_aa=stand_in.fwhm_aa, spectrum=light)
    with pytest.raises(SfhInputError, match="dark: an SSP has no"):
        young_extension.extend_library(dark, stand_in)
