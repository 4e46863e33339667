"""What strangers' files taught: units, words, several objects, fill values, curves and names of other people."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import BarycentricMeanEcliptic, SkyCoord
from astropy.io import fits
from astropy.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "corpus"))
from inputs import CUBE, make_inputs

from napari_sfh.config import RunConfig
from napari_sfh.console import resolve_home
from napari_sfh.errors import SfhInputError
from napari_sfh.estimate import EstimateConfig, estimate_objects
from napari_sfh.instruments.files import load_instrument, make_band_filters
from napari_sfh.io.cleaning.units import FLAM, unit_conversion_factor
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.identify import identify_file
from napari_sfh.io.objects.spectra_1d import read_single_spectra
from napari_sfh.physics.wavelength import vacuum_to_air
from napari_sfh.preflight.plan import examine_inputs
from napari_sfh.stages.inputs import open_inputs

UNIT = "10**(-20)*erg/s/cm**2/Angstrom"


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("untouched"))


@pytest.fixture
def cube_file(untouched: Path, tmp_path: Path) -> Path:
    """A copy, which a test may change."""
    return shutil.copytree(untouched, tmp_path, dirs_exist_ok=True) / CUBE


def change(path: Path, act: Any) -> None:
    with fits.open(path) as hdus:
        made = fits.HDUList([h.copy() for h in hdus])
    out = act(made)
    (made if out is None else fits.HDUList(out)).writeto(path, overwrite=True)


@pytest.mark.parametrize("holds_sigma", [True, False])
def test_errors_in_the_unit_of_the_flux_are_what_the_scatter_says(cube_file: Path, holds_sigma: bool) -> None:
    before = read_cube(cube_file).read(100, 120)[1]

    def act(hdus: fits.HDUList) -> None:
        hdus["STAT"].header["BUNIT"] = UNIT
        if holds_sigma:
            hdus["STAT"].data = np.sqrt(hdus["STAT"].data)

    change(cube_file, act)
    cube = read_cube(cube_file)
    np.testing.assert_allclose(cube.read(100, 120)[1], before, rtol=1e-5)
    (note,) = [note for note in cube.notes if "its square" in note]
    assert ("read as 1 sigma" in note) == holds_sigma


@pytest.mark.parametrize("holds_sigma", [True, False])
def test_errors_in_the_square_of_the_flux_are_what_the_scatter_says(cube_file: Path, holds_sigma: bool) -> None:
    before = read_cube(cube_file).read(100, 120)[1]

    def act(hdus: fits.HDUList) -> None:
        hdus["STAT"].name = "ERR"
        hdus["ERR"].header["BUNIT"] = "1e-40 erg2/s2/cm4/Angstrom2"
        if holds_sigma:
            hdus["ERR"].data = np.sqrt(hdus["ERR"].data)

    change(cube_file, act)
    cube = read_cube(cube_file)
    np.testing.assert_allclose(cube.read(100, 120)[1], before, rtol=1e-5)
    (note,) = [note for note in cube.notes if "that of a variance" in note]
    assert ("read as 1 sigma" in note) == holds_sigma


@pytest.mark.parametrize(
    ("word", "vacuum"), [("WAVELEN", False), ("WAVELENG", False), ("WAVE", True), ("WAVE-WAV", True)]
)
def test_only_the_standard_word_means_vacuum(cube_file: Path, word: str, vacuum: bool) -> None:
    own = read_cube(cube_file).wave_aa
    change(cube_file, lambda h: [h[k].header.update(CTYPE3=word) for k in (1, 2)] and None)
    cube = read_cube(cube_file)
    np.testing.assert_allclose(cube.wave_aa, vacuum_to_air(own) if vacuum else own, atol=2e-3)
    assert vacuum != any("does not say air or vacuum" in note for note in cube.notes)


def test_a_file_of_several_cubes_says_which_is_used(cube_file: Path) -> None:
    def act(hdus: fits.HDUList) -> list[Any]:
        made = [hdus[0]]
        for k in (1, 2, 3):
            made += [fits.ImageHDU(hdus[1].data * k, hdus[1].header, name=f"IFU.{k}.DATA")]
        return made

    expected = read_cube(cube_file).read(100, 110)[0]
    change(cube_file, act)
    cube = read_cube(cube_file)
    np.testing.assert_array_equal(cube.read(100, 110)[0], expected)
    (note,) = [note for note in cube.notes if "cubes of flux" in note]
    assert "3 cubes" in note
    assert "HDU 1 (IFU.1.DATA) is used" in note
    assert "choose another with `hdu`: IFU.2.DATA, IFU.3.DATA" in note


def hold_two(path: Path, names: list[str], versions: bool = False) -> None:
    """A file of two galaxies: the second is twice as bright, its errors are three times as large."""

    def act(hdus: fits.HDUList) -> list[Any]:
        made = [hdus[0]]
        for k, name in enumerate(names):
            second, is_error = k >= 2, name.endswith(("STAT", "VAR", "NOISE"))
            data = hdus[1 + is_error].data * ((9 if is_error else 2) if second else 1)
            hdu = fits.ImageHDU(data, hdus[1 + is_error].header, name=name, ver=1 + (versions and second))
            if name.endswith("NOISE"):
                hdu.data, hdu.header["BUNIT"] = np.sqrt(data), hdus[1].header["BUNIT"]
            made.append(hdu)
        return made

    change(path, act)


@pytest.mark.parametrize(
    ("names", "versions", "first", "second"),
    [
        (["IFU.1.DATA", "IFU.1.NOISE", "IFU.7.DATA", "IFU.7.NOISE"], False, None, "IFU.7.DATA"),
        (["IFU.1.DATA", "IFU.1.NOISE", "IFU.7.DATA", "IFU.7.NOISE"], False, "ifu.1.data", "[3]"),
        (["SCI", "VAR", "SCI", "VAR"], True, None, "SCI,2"),
        (["SCI", "VAR", "SCI", "VAR"], True, "SCI", "[sci, 2]"),
        (["DATA", "STAT", "DATA", "STAT"], False, None, "3"),
        (["GALA", "GALA_VAR", "GALB", "GALB_VAR"], False, None, "GALB"),
        (["GALA", "GALA_VAR", "GALB", "GALB_VAR"], False, "GALA", "GALB"),
    ],
)
def test_the_cube_of_a_file_can_be_chosen(
    cube_file: Path, names: list[str], versions: bool, first: str | None, second: str
) -> None:
    flux, variance, _ = read_cube(cube_file).read(100, 110)
    assert variance is not None
    hold_two(cube_file, names, versions)
    for hdu, factor, errors in ((first, 1, 1), (second, 2, 9)):
        cube = read_cube(cube_file, hdu)
        found, found_variance, _ = cube.read(100, 110)
        assert found_variance is not None
        np.testing.assert_allclose(found, factor * flux, rtol=1e-6)
        np.testing.assert_allclose(found_variance, errors * variance, rtol=1e-5)
        assert cube.hdu == hdu


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ({"REDSHIFT": "z=0.0025"}, "REDSHIFT 'z=0.0025' of the header is no number"),
        ({"VHELIO": 750.0}, "VHELIO = 750 of the header is a velocity"),
        ({"CZ": 750.0, "REDSHIFT": 0.0025}, ""),
        ({}, ""),
    ],
)
def test_what_headers_say_instead_of_a_redshift_is_told(cube_file: Path, cards: dict[str, Any], words: str) -> None:
    def act(hdus: fits.HDUList) -> None:
        del hdus[0].header["REDSHIFT"]
        hdus[0].header.update(cards)

    change(cube_file, act)
    cube = read_cube(cube_file)
    assert cube.redshift == (cards["REDSHIFT"] if not words and cards else None)
    assert [words in note for note in cube.notes if "of the header is" in note] == ([True] if words else [])


def test_errors_of_another_galaxy_are_not_taken(cube_file: Path) -> None:
    hold_two(cube_file, ["IFU.1.DATA", "IFU.2.DATA", "IFU.2.NOISE"])
    assert not read_cube(cube_file).has_variance
    assert read_cube(cube_file, "IFU.2.DATA").has_variance


def test_models_and_sky_beside_the_galaxy_share_no_errors(cube_file: Path) -> None:
    """FLUX named aloud is read with the errors that it has when it is not named."""

    def act(hdus: fits.HDUList) -> list[Any]:
        flux = [
            fits.ImageHDU(hdus[1].data * k, hdus[1].header, name=n)
            for k, n in ((0.1, "SKY"), (1, "FLUX"), (2, "MODEL"))
        ]
        return [hdus[0], *flux, fits.ImageHDU(hdus[2].data, hdus[2].header, name="VAR")]

    change(cube_file, act)
    plain, named = read_cube(cube_file), read_cube(cube_file, "FLUX")
    assert plain.has_variance
    assert named.has_variance
    np.testing.assert_array_equal(plain.read(0, 5)[0], named.read(0, 5)[0])


def test_a_cube_that_the_file_lacks_is_told_with_those_it_has(cube_file: Path) -> None:
    hold_two(cube_file, ["SCI", "VAR", "SCI", "VAR"], versions=True)
    with pytest.raises(
        SfhInputError, match="`hdu` SCI,3: no such cube in the file; it holds SCI,1, VAR,1, SCI,2, VAR,2"
    ):
        read_cube(cube_file, "SCI,3")


def test_a_run_and_its_preflight_take_the_cube_that_was_chosen(cube_file: Path) -> None:
    hold_two(cube_file, ["IFU.1.DATA", "IFU.1.NOISE", "IFU.2.DATA", "IFU.2.NOISE"])
    config = RunConfig(cube_file, hdu="IFU.2.DATA", redshift=0.002)
    expected = read_cube(cube_file, "IFU.2.DATA").read(100, 110)[0]
    np.testing.assert_array_equal(open_inputs(config).cube.read(100, 110)[0], expected)
    opened = [identify_file(cube_file)]
    assert not any("cubes of flux" in problem for problem in examine_inputs(config, opened=opened).problems)
    assert any("cubes of flux" in problem for problem in examine_inputs(RunConfig(cube_file), opened=opened).problems)
    assert config.settings()["hdu"] == "IFU.2.DATA"


def test_weights_without_a_unit_are_not_taken_for_the_cube(cube_file: Path) -> None:
    """CALIFA's primary cube without CTYPE3: the fault is told of the cube."""

    def act(hdus: fits.HDUList) -> list[Any]:
        primary = fits.PrimaryHDU(hdus[1].data, hdus[1].header)
        del primary.header["CTYPE3"], primary.header["CUNIT3"], primary.header["EXTNAME"]
        weight = fits.ImageHDU(np.ones_like(hdus[1].data), hdus[1].header, name="ERRWEIGHT")
        del weight.header["BUNIT"]
        return [primary, weight]

    change(cube_file, act)
    with pytest.raises(SfhInputError, match=r"CTYPE3.* in HDU PRIMARY"):
        read_cube(cube_file)


def test_ecliptic_coordinates_are_converted(cube_file: Path) -> None:
    before = read_cube(cube_file).wcs.pixel_to_world(1, 2)

    def act(hdus: fits.HDUList) -> None:
        header = hdus[1].header
        there = SkyCoord(header["CRVAL1"], header["CRVAL2"], unit="deg").transform_to(BarycentricMeanEcliptic())
        header.update(CTYPE1="ELON-TAN", CTYPE2="ELAT-TAN", CRVAL1=there.lon.deg, CRVAL2=there.lat.deg)
        header.remove("RADESYS", ignore_missing=True)

    change(cube_file, act)
    # The axes are turned; the reference pixel stays where it is.
    with fits.open(cube_file) as hdus:
        x, y = hdus[1].header["CRPIX1"] - 1, hdus[1].header["CRPIX2"] - 1
    after = read_cube(cube_file).wcs.pixel_to_world(x, y)
    assert after.separation(before).arcsec < 20
    assert abs(after.dec.deg - before.dec.deg) < 0.01


def test_a_unit_that_makes_nonsense_of_every_number_is_told(cube_file: Path) -> None:
    change(cube_file, lambda h: h[1].header.update(BUNIT="10**20*erg/s/cm**2/Angstrom"))
    assert any("check BUNIT" in note for note in read_cube(cube_file).notes)


@pytest.mark.parametrize(
    ("place", "value", "words"), [(7, None, r"follows .* \(1 such"), (9, np.nan, "1 of the .* not finite")]
)
def test_a_list_of_wavelengths_says_what_is_wrong_with_it(
    cube_file: Path, place: int, value: float | None, words: str
) -> None:
    def act(hdus: fits.HDUList) -> None:
        header = hdus["DATA"].header
        wave = header["CRVAL3"] + header["CD3_3"] * (np.arange(header["NAXIS3"]) + 1 - header["CRPIX3"])
        wave[place] = wave[place - 1] if value is None else value
        for name in ("DATA", "STAT"):
            for key in ("CTYPE3", "CUNIT3", "CRPIX3", "CRVAL3", "CD3_3"):
                hdus[name].header.remove(key, ignore_missing=True)
        hdus.append(fits.ImageHDU(wave, name="WAVE"))

    change(cube_file, act)
    with pytest.raises(SfhInputError, match=words):
        read_cube(cube_file)


def test_a_tab_in_a_header_costs_the_check_of_the_sums_alone(cube_file: Path) -> None:
    with fits.open(cube_file) as hdus:
        made = fits.HDUList([h.copy() for h in hdus])
    made[0].header["OBSERVER"] = "A B"
    made.writeto(cube_file, overwrite=True, checksum=True)
    cube_file.write_bytes(cube_file.read_bytes().replace(b"'A B", b"'A\tB", 1))
    (note,) = [note for note in read_cube(cube_file).notes if "DATASUM" in note]
    assert "control character" in note


def test_a_file_that_ends_within_its_padding_is_told(cube_file: Path) -> None:
    raw = cube_file.read_bytes()
    with fits.open(cube_file) as hdus:
        place = hdus[1].fileinfo()
        end = place["datLoc"] + hdus[1].size
    cube_file.write_bytes(raw[: end + 10])
    assert any("multiple of 2880" in note for note in read_cube(cube_file).notes)


@pytest.mark.parametrize(
    "text",
    [
        "1e-17 erg / (s cm2 spaxel Angstrom)",
        "1e-17 erg / (Angstrom cm2 s spaxel)",
        "E-17 erg/cm2/s/AA",
        r"10^{-17}\,erg\,s^{-1}\,cm^{-2}\,\AA^{-1}",
        "1e-17 erg/s/cm2/Angstrom/spaxel",
    ],
)
def test_units_as_people_write_them(text: str) -> None:
    assert unit_conversion_factor(text, FLAM) == pytest.approx(1e-17, rel=1e-12)


WAVE = np.arange(3600.0, 7700.0, 1.25)


def write_spectrum(
    path: Path, flux: np.ndarray, error: np.ndarray | None = None, form: str = "{:.4f},{:.6e},{:.6e}"
) -> Path:
    error = np.full(flux.size, 0.02) if error is None else error
    rows = [form.format(*row) for row in zip(WAVE, flux, error)]
    path.write_text("wave,flux,err\n" + "\n".join(rows) + "\n")
    return path


def make_flux(seed: int = 1) -> np.ndarray:
    return 1.0 + 0.02 * np.random.default_rng(seed).normal(size=WAVE.size)


def test_thousands_in_quotes_are_numbers(tmp_path: Path) -> None:
    flux = make_flux()
    plain = read_single_spectra(write_spectrum(tmp_path / "a.csv", flux), "air")[0]
    quoted = write_spectrum(tmp_path / "b.csv", flux, form='"{:,.4f}",{:.6e},{:.6e}')
    (one,) = read_single_spectra(quoted, "air")
    np.testing.assert_array_equal(one.wave_aa, plain.wave_aa)
    np.testing.assert_array_equal(one.flux, plain.flux)


def test_fill_values_of_tables_are_left_out_and_told(tmp_path: Path) -> None:
    flux, holes = make_flux(), slice(10, None, 50)
    flux[holes] = -99.0
    (one,) = read_single_spectra(write_spectrum(tmp_path / "a.csv", flux), "air")
    assert not one.good[holes].any()
    assert one.good.sum() == WAVE.size - flux[holes].size
    assert any("-99" in note for note in one.notes)


def test_a_number_that_may_be_a_flux_is_kept(tmp_path: Path) -> None:
    flux = 100.0 * make_flux() - 200.0
    flux[5:8] = -99.0
    (one,) = read_single_spectra(write_spectrum(tmp_path / "a.csv", flux), "air")
    assert one.good.all()


@pytest.mark.parametrize(("error", "told"), [(0.02, False), (1 / 0.02**2, True), (0.02**2, True)])
def test_errors_that_the_scatter_belies_are_told(tmp_path: Path, error: float, told: bool) -> None:
    path = write_spectrum(tmp_path / "a.csv", make_flux(), np.full(WAVE.size, error))
    config = EstimateConfig(
        inputs=(path,), output=tmp_path / "o.ecsv", model="percentiles", redshift=0.02, sigma_kms=300.0, medium="air",
        device="cpu",
    )  # fmt: skip
    notes = estimate_objects(config).notes
    assert any("as much as their errors say" in note for note in notes) == told


@pytest.mark.parametrize(("shift", "flux"), [(0.0, 1.0), (0.02, 1.01), (0.2, None)])
def test_wavelengths_that_stand_twice_are_one_where_the_fluxes_agree(
    tmp_path: Path, shift: float, flux: float | None
) -> None:
    """Errors are 0.02: a copy, a second order within one error, another spectrum."""
    path = write_spectrum(tmp_path / "s.csv", np.ones(WAVE.size))
    rows = path.read_text().splitlines()
    again = [row.replace("1.000000e+00", f"{1 + shift:.6e}") for row in rows[100:400]]
    path.write_text("\n".join([*rows, *again]) + "\n")
    if flux is None:
        with pytest.raises(SfhInputError, match="twice with other fluxes"):
            read_single_spectra(path)
        return
    (found,) = read_single_spectra(path)
    assert any("300 wavelengths stand there twice" in note for note in found.notes)
    np.testing.assert_allclose(found.wave_aa, WAVE, atol=1e-3)
    assert found.flux[200] / found.flux[600] == pytest.approx(flux)
    # A copy says nothing new: its error stays.
    assert found.variance[200] == pytest.approx(found.variance[600])


def test_a_spectrum_that_covers_too_little_is_told_and_not_estimated(tmp_path: Path) -> None:
    """As `run` refuses a cube; the other spectra are estimated."""
    whole = write_spectrum(tmp_path / "whole.csv", make_flux())
    lines = whole.read_text().splitlines()
    part = tmp_path / "part.csv"
    part.write_text("\n".join([lines[0], *(line for line in lines[1:] if 4023 < float(line.split(",")[0]) < 6000)]))
    config = EstimateConfig(
        inputs=(whole, part), output=tmp_path / "o.ecsv", model="percentiles", redshift=0.02, sigma_kms=300.0,
        medium="air", device="cpu",
    )  # fmt: skip
    notes = estimate_objects(config).notes
    assert [note for note in notes if "part.csv" in note and "50 % is there, these weights need 90 %" in note]
    assert not any("whole.csv" in note and "these weights need" in note for note in notes)
    times = Table.read(tmp_path / "o.ecsv")["T50"]
    assert np.isfinite(np.ma.filled(times, np.nan)).tolist() == [True, False]


def write_instrument(folder: Path, curve: str, keys: str = "") -> Path:
    path = folder / "mine.toml"
    path.write_text(
        f'name = "mine"\nsummary = "one"\n[[band]]\nname = "A"\ncurve = "{curve}"\n{keys}[[band]]\nname = "B"\n'
        'centre_aa = 6000.0\nfwhm_aa = 200.0\nedge_aa = 10.0\n[photometry]\nnorm = "B"\n'
    )
    return path


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("400 0\n450 1\n500 0\n", "nm or micrometres"),
        ("4000 4000 0\n4500 4500 1\n5000 5000 0\n", "3 columns"),
        (None, "there is no file"),
    ],
)
def test_curves_in_another_unit_or_column_are_refused(tmp_path: Path, rows: str | None, words: str) -> None:
    if rows is not None:
        (tmp_path / "curve.txt").write_text(rows)
    with pytest.raises(SfhInputError, match=words):
        load_instrument(write_instrument(tmp_path, "curve.txt"))


@pytest.mark.parametrize(("unit", "scale"), [("nm", 0.1), ("um", 1e-4), ("Angstrom", 1.0)])
def test_curves_say_their_unit_and_what_they_respond_to(tmp_path: Path, unit: str, scale: float) -> None:
    """A response to energy weighs wavelengths evenly: f = wavelength has the mean 6000 from 4000 to 8000."""
    wave = np.linspace(4000.0, 8000.0, 401)
    np.savetxt(tmp_path / "curve.txt", np.column_stack([scale * wave, np.ones(wave.size)]))
    for detector, mean in (("energy", 6000.0), ("photon", 2 / 3 * (8e3**3 - 4e3**3) / (8e3**2 - 4e3**2))):
        path = write_instrument(tmp_path, "curve.txt", f'unit = "{unit}"\ndetector = "{detector}"\n')
        own = make_band_filters(load_instrument(path))[0]
        weight = own.wave_aa * own.throughput
        found = np.trapezoid(weight * own.wave_aa, own.wave_aa) / np.trapezoid(weight, own.wave_aa)
        assert found == pytest.approx(mean, rel=1e-4)


def test_a_curve_is_described_by_its_wavelengths(tmp_path: Path) -> None:
    (tmp_path / "curve.txt").write_text("4000 0\n4100 1\n4900 1\n5000 0\n")
    text = "\n".join(load_instrument(write_instrument(tmp_path, "curve.txt")).describe())
    assert "from 4" in text
    assert "pivot 4" in text


def test_a_mark_of_byte_order_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "curve.txt").write_text("4000 0\n4100 1\n4900 1\n5000 0\n")
    path = write_instrument(tmp_path, "curve.txt")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_instrument(path).name == "mine"


def test_the_home_folder_is_found_wherever_a_path_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the command line in quotes and behind =, in settings from tables and Python, and in TOML."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    home = str(tmp_path)
    assert resolve_home(["--cube", "~/a.fits", "F555W=~/b.fits", "--maps=~/m.fits", "x~y", "~", "a=b"]) == [
        "--cube", f"{home}/a.fits", f"F555W={home}/b.fits", f"--maps={home}/m.fits", "x~y", home, "a=b",
    ]  # fmt: skip
    config = RunConfig(cube=Path("~/c.fits"), photometry={"F555W": Path("~/b.fits")}, maps=Path("~/m.fits"),
                       binning="~/bins.fits", model="~/w.safetensors")  # fmt: skip
    assert config.cube == tmp_path / "c.fits"
    assert config.photometry["F555W"] == tmp_path / "b.fits"
    assert config.maps == tmp_path / "m.fits"
    assert (config.binning, config.model) == (f"{home}/bins.fits", f"{home}/w.safetensors")
    (tmp_path / "curve.txt").write_text("4000 0\n4100 1\n4900 1\n5000 0\n")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    assert load_instrument(write_instrument(folder, "~/curve.txt")).bands[0].table
