"""Cubes whose headers contradict themselves or lean on another HDU: the right numbers, and what was decided is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from io_mocks import ESO_UNIT, NX, NY, N, flux_values, image_header, write_cube

from napari_sfh.batch.rerun import list_input_files
from napari_sfh.config import RunConfig
from napari_sfh.decisions import choose_line_spread
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import load_instrument
from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.io.cleaning.units import FLAM, unit_conversion_factor
from napari_sfh.io.cleaning.wavelengths import find_medium
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.identify import find_galaxy_files
from napari_sfh.io.image_reader import ImageReader
from napari_sfh.io.mosaic_images.headers import read_flux_calibration
from napari_sfh.prep.binning import measure_signal_noise

FLAT = {"STAT": np.ones((NY, NX), np.float32), "ERR": np.ones(N), "DQ": np.zeros((NY, NX + 1), np.int32)}


def _append_card(path: Path, after: str, card: str) -> Path:
    """A second card before the END of the header that holds ``after``, which astropy's writers never make."""
    raw = path.read_bytes()
    place = raw.find(b"END".ljust(80), raw.find(after.encode().ljust(8)))
    room = raw[place : (place // 2880 + 1) * 2880]
    assert len(room) >= 160
    path.write_bytes(
        raw[:place] + card.ljust(80).encode() + raw[place : place + len(room) - 80] + raw[place + len(room) :]
    )
    return path


@pytest.mark.parametrize(("card", "told"), [("CRVAL3  = 4800.0", True), ("CRVAL3  = 4749.88", False),
                                            ("BUNIT   = 'counts'", True), ("COMMENT again", False)])  # fmt: skip
def test_a_card_that_stands_twice_with_another_value_is_told(card: str, told: bool, tmp_path: Path) -> None:
    cube = read_cube(_append_card(write_cube(tmp_path / "c.fits"), "CRVAL3", card))
    assert cube.wave_aa[0] == pytest.approx(4749.88)
    assert any(card[:6].strip() in note and "stands 2 times" in note for note in cube.notes) == told


@pytest.mark.parametrize("unit_too", [False, True])
def test_coordinates_of_the_primary_hdu_are_inherited_and_said(unit_too: bool, tmp_path: Path) -> None:
    own = read_cube(write_cube(tmp_path / "a.fits"))
    with fits.open(tmp_path / "a.fits") as hdus:
        primary = hdus[0].copy()
        primary.header.update(
            {k: v for k, v in hdus["DATA"].header.items() if k[:5] in ("CTYPE", "CUNIT", "CRVAL", "CRPIX")}
        )
        primary.header.update({k: v for k, v in hdus["DATA"].header.items() if k.startswith("CD")})
        if unit_too:
            primary.header["BUNIT"] = ESO_UNIT
        bare = fits.ImageHDU(
            hdus["DATA"].data, fits.Header({"INHERIT": True} | ({} if unit_too else {"BUNIT": ESO_UNIT})), name="DATA"
        )
        fits.HDUList([primary, bare, hdus["STAT"].copy()]).writeto(tmp_path / "b.fits")
    cube = read_cube(tmp_path / "b.fits")
    np.testing.assert_allclose(cube.wave_aa, own.wave_aa)
    np.testing.assert_allclose(cube.wcs.wcs_pix2world([[1.0, 3.0]], 0), own.wcs.wcs_pix2world([[1.0, 3.0]], 0))
    assert any("primary HDU" in note for note in cube.notes)


@pytest.mark.parametrize(("name", "stored", "unit"), [
    ("ERR", 9.0, f"({ESO_UNIT})**2"), ("STAT", 1 / 9.0, f"({ESO_UNIT})**(-2)"), ("IVAR", 9.0, f"({ESO_UNIT})**2"),
])  # fmt: skip
def test_errors_are_of_the_kind_whose_unit_they_have(name: str, stored: float, unit: str, tmp_path: Path) -> None:
    stat = np.full((N, NY, NX), stored)
    cube = read_cube(write_cube(tmp_path / "c.fits", stat=stat, names=("DATA", name), stat_unit=unit))
    np.testing.assert_allclose(cube.read(0, 2)[1], 9.0, rtol=1e-6)
    assert any(name in note and "is that of" in note for note in cube.notes)


@pytest.mark.parametrize("name", FLAT)
def test_masks_and_errors_with_fewer_axes_are_told(name: str, tmp_path: Path) -> None:
    path = write_cube(tmp_path / "c.fits", stat=None)
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.ImageHDU(FLAT[name], name=name))
    notes = read_cube(path).notes
    assert any(name in note and str(FLAT[name].shape) in note and "not used" in note for note in notes)


@pytest.mark.parametrize(("name", "shape", "forbidden"), [
    ("MASK", (NY, NX), np.s_[:, 1, 2]), ("BADPIX", (NY, NX), np.s_[:, 1, 2]), ("DQ", (N,), np.s_[7]),
])  # fmt: skip
def test_masks_of_channels_or_spaxels_count_in_all_others(
    name: str, shape: tuple[int, ...], forbidden: Any, tmp_path: Path
) -> None:
    path = write_cube(tmp_path / "c.fits")
    mask = np.zeros((N, NY, NX), np.uint8)
    mask[forbidden] = 4
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.ImageHDU(mask.max(axis=(1, 2) if len(shape) == 1 else 0), name=name))
    cube = read_cube(path)
    np.testing.assert_array_equal(cube.read(0, N)[2], mask == 0)
    assert any(name in note and "is used" in note for note in cube.notes) == (name != "DQ")


@pytest.mark.parametrize(("primary", "cards", "scale", "word"), [
    ({"BUNIT": "1e-17 erg/s/cm2/A"}, {}, 1e-17, "BUNIT '1e-17 erg/s/cm2/A' of HDU PRIMARY"),
    ({}, {"FLUXUNIT": "1e-17 erg/s/cm2/A"}, 1e-17, "FLUXUNIT"), ({"UNITS": "W/m2/um"}, {}, 0.1, "UNITS"),
    ({"UNITS": "mm"}, {"CUNIT4": "1e-16 erg/s/cm2/A"}, 1e-16, "CUNIT4"),
])  # fmt: skip
def test_the_units_of_other_cards_are_taken_and_said(
    primary: dict[str, Any], cards: dict[str, Any], scale: float, word: str, tmp_path: Path
) -> None:
    cube = read_cube(write_cube(tmp_path / "c.fits", primary=primary, BUNIT=None, stat=None, **cards))
    flux = cube.read(5, 6)[0].astype(float) * cube.flux_scale
    np.testing.assert_allclose(flux, flux_values()[5:6] * scale, rtol=1e-6)
    assert any(word in note and "no BUNIT" in note for note in cube.notes)


def test_a_unit_in_the_comment_of_bunit_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(SfhInputError, match=r"no BUNIT .*its comment says '1e-16 erg/s/cm2/A'"):
        read_cube(write_cube(tmp_path / "c.fits", BUNIT=("", "1e-16 erg/s/cm2/A"), stat=None))


@pytest.mark.parametrize(("card", "unit", "scale", "word"), [
    ({"FSCALE": 1e-20}, "erg/s/cm2/Angstrom", 1e-20, "multiplies"), ({"FSCALE": 1e-20}, ESO_UNIT, 1e-20, ""),
    ({"FLUX SCALE": 1e-20}, "erg/s/cm2/Angstrom", 1e-20, "multiplies"),
    ({"FLUXSCAL": 1e20}, "erg/s/cm2/Angstrom", 1e-20, "divides"),
    ({"FSCALE": 10.0}, ESO_UNIT, 1e-20, "is not used"), ({"FSCALE": 1.0}, ESO_UNIT, 1e-20, ""),
])  # fmt: skip
def test_a_factor_beside_the_unit_counts_where_the_flux_needs_it(
    card: dict[str, float], unit: str, scale: float, word: str, tmp_path: Path
) -> None:
    cube = read_cube(write_cube(tmp_path / "c.fits", primary=card, BUNIT=unit))
    flux, variance, _ = cube.read(9, 10)
    np.testing.assert_allclose(flux * (cube.flux_scale / scale), flux_values()[9:10], rtol=1e-6)
    np.testing.assert_allclose(variance, (0.1 * flux) ** 2, rtol=1e-5)
    told = [note for note in cube.notes if any(key in note for key in card)]
    assert word in " ".join(told) if word else told == []


@pytest.mark.parametrize(
    ("primary", "own", "told"), [(0.02, 0.0025, True), (0.0025, 0.00251, False), (0.0, 0.01, False)]
)
def test_redshifts_of_two_headers_that_differ_are_told(primary: float, own: float, told: bool, tmp_path: Path) -> None:
    cube = read_cube(write_cube(tmp_path / "c.fits", primary={"REDSHIFT": primary}, REDSHIFT=own))
    assert cube.redshift == own
    assert any(f"{own:g} of REDSHIFT of HDU DATA is used" in note for note in cube.notes) == told


@pytest.mark.parametrize(("ctype", "first"), [("AWAV", 4749.88), ("WAVE", 4748.55), ("WAVELENGTH", 4749.88)])
def test_an_axis_without_a_step_has_the_wavelengths_of_the_list(ctype: str, first: float, tmp_path: Path) -> None:
    path = write_cube(tmp_path / "c.fits", CTYPE3=ctype, CRVAL3=None, CRPIX3=None, CD3_3=None)
    wave = 4749.88 + 1.25 * np.arange(N)
    column = fits.Column("GRID_POINTS", "D", "micron", array=wave / 1e4)
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.BinTableHDU.from_columns([column], name="Z-axis coordinate values"))
    assert read_cube(path).wave_aa[0] == pytest.approx(first, abs=0.01)


@pytest.mark.parametrize("ctype", ["AWAV", "WAVE"])
def test_channels_outside_of_kcwis_good_wavelengths_are_left_out(ctype: str, tmp_path: Path) -> None:
    limits = {"WAVGOOD0": 4900.0, "WAVGOOD1": 9000.0}
    cube = read_cube(write_cube(tmp_path / "c.fits", primary=limits, CTYPE3=ctype))
    stored = 4749.88 + 1.25 * np.arange(N)
    np.testing.assert_array_equal(cube.read(0, N)[2].all((1, 2)), (stored >= 4900.0) & (stored <= 9000.0))
    assert any("WAVGOOD" in note for note in cube.notes)
    other = read_cube(write_cube(tmp_path / "d.fits", primary={"WAVGOOD0": 0.49, "WAVGOOD1": 0.9}, CTYPE3=ctype))
    assert other.read(0, N)[2].all()


@pytest.mark.parametrize(("name", "beside", "stored"), [
    ("kb1_icubes", "kb1_vcubes", 9.0), ("a", "a_var", 9.0), ("a_flux", "a_err", 3.0), ("a", "a_ivar", 1 / 9.0),
    ("a_cube", "a_stat", 9.0),
])  # fmt: skip
def test_errors_in_a_file_beside_the_cube_are_found_by_its_name(
    name: str, beside: str, stored: float, tmp_path: Path
) -> None:
    path = write_cube(tmp_path / f"{name}.fits", stat=None)
    power = {9.0: 2, 3.0: 1}.get(stored, -2)
    write_cube(tmp_path / f"{beside}.fits", np.full((N, NY, NX), stored), None, BUNIT=f"({ESO_UNIT})**({power})")
    cube = read_cube(path)
    np.testing.assert_allclose(cube.read(0, 2)[1], 9.0, rtol=1e-6)
    assert any(f"{beside}.fits beside the cube is used" in note for note in cube.notes)
    assert find_galaxy_files(tmp_path).cube == path
    assert tmp_path / f"{beside}.fits" in list_input_files(RunConfig(cube=path)).values()


def test_what_lies_beside_a_cube_counts_where_it_fits_and_is_needed(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "k_icube.fits")
    mask = np.zeros((N, NY, NX), np.uint8)
    mask[3, 1, 1] = 1
    fits.PrimaryHDU(mask).writeto(tmp_path / "k_mcube.fits")
    write_cube(tmp_path / "k_vcube.fits", np.full((N, NY, NX), 4.0), None)
    fits.PrimaryHDU(np.ones((NY, NX))).writeto(tmp_path / "k_icube_sigma.fits")
    cube = read_cube(path)
    np.testing.assert_allclose(cube.read(0, 2)[1], (0.1 * flux_values()[:2]) ** 2, rtol=1e-5, err_msg="its own STAT")
    np.testing.assert_array_equal(cube.read(0, 5)[2], mask[:5] == 0)
    small = write_cube(tmp_path / "s.fits", stat=None)
    write_cube(tmp_path / "s_var.fits", flux_values(ny=NY - 1), None)
    cube = read_cube(small)
    assert not cube.has_variance
    assert any("s_var.fits is not used" in note and "shape" in note for note in cube.notes)
    (tmp_path / "s_var.fits").write_bytes(b"SIMPLE? no")
    assert any("s_var.fits is not used" in note for note in read_cube(small).notes)


@pytest.mark.parametrize(("unit", "values", "word"), [
    ("erg/s/cm2/Angstrom", flux_values(), "absurd for the unit"), (ESO_UNIT, 0 * flux_values(), "exact zeros"),
    (ESO_UNIT, np.full((N, NY, NX), -999.0, np.float32), "fill values"),
])  # fmt: skip
def test_a_cube_of_nothing_says_what_its_numbers_were_taken_for(
    unit: str, values: np.ndarray, word: str, tmp_path: Path
) -> None:
    cube = read_cube(write_cube(tmp_path / "c.fits", values, stat=np.ones_like(values), BUNIT=unit))
    with pytest.raises(SfhInputError, match=f"of 0 observed spaxels.*{word}.*BUNIT"):
        measure_signal_noise(cube, 0.002, (5300.0, 5500.0))


@pytest.mark.parametrize(("cards", "vacuum", "word"), [
    ({"VACUUM": 1}, True, "VACUUM"), ({"VACUUM": True}, True, "VACUUM"), ({"VACUUM": 0}, False, "air"),
    ({"AIRORVAC": "vac"}, True, "AIRORVAC"), ({"MEDIUM": "VACUUM"}, True, "MEDIUM"), (
        {"WAVETYPE": "air"}, False, "WAVETYPE"), ({"INSTRUME": "MaNGA"}, True, "MaNGA"), ({}, False, "air"),
])  # fmt: skip
def test_the_medium_is_that_of_the_card_that_says_it(cards: dict[str, Any], vacuum: bool, word: str) -> None:
    found, why = find_medium(cards)
    assert found == vacuum
    assert word in why


def test_an_axis_in_vacuum_whose_header_says_air_is_told(tmp_path: Path) -> None:
    cube = read_cube(write_cube(tmp_path / "c.fits", primary={"AIRORVAC": "air"}, CTYPE3="WAVE"))
    assert cube.wave_aa[0] == pytest.approx(4749.88 - 1.33, abs=0.02)
    assert any("AIRORVAC" in note and "vacuum" in note for note in cube.notes)


@pytest.mark.parametrize("text", ["x10^-20 erg/s/cm^2/A", "erg/s/cm2/A*1e-20", "erg/s/cm2/A x 10^-20",
                                  "1.e-20erg/s/cm^2/Angstrom/spaxel", "1e-20 erg/s/cm2/Angstroem", "1e-20 cgs",
                                  "10**(-20) * Flam", "1E-20 flam"])  # fmt: skip
def test_factors_stand_before_and_behind_units(text: str) -> None:
    assert unit_conversion_factor(text, FLAM) == pytest.approx(1e-20)
    assert unit_conversion_factor("Angstroem", u.AA) == 1


@pytest.mark.parametrize(("exptime", "word"), [(0.0, "EXPTIME is 0;"), (-1.0, "EXPTIME is -1;"), (None, "is absent")])
def test_counts_without_a_time_name_what_stands_there(exptime: float | None, word: str) -> None:
    cards = {"BUNIT": "ELECTRONS", "PHOTFLAM": 1e-19, "PHOTPLAM": 5500.0}
    with pytest.raises(SfhInputError, match=word):
        read_flux_calibration(
            cards | ({} if exptime is None else {"EXPTIME": exptime}), WCS(image_header(9, 9)), "UVIS", Path("m.fits")
        )


@pytest.mark.parametrize("kind", ["RICE_1", "GZIP_2", "HCOMPRESS_1"])
def test_tiles_that_are_damaged_are_an_input_error(kind: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(100.0, 5.0, (40, 20, 20)).astype(np.float32)
    tiles = {"tile_shape": (1, 20, 20)} if kind.startswith("H") else {}
    path = tmp_path / "c.fits.fz"
    image = fits.CompImageHDU(values, name="DATA", compression_type=kind, quantize_level=4, **tiles)
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)
    raw = bytearray(path.read_bytes())
    middle = (raw.rfind(b"END".ljust(80)) + len(raw)) // 2
    raw[middle : middle + 1000] = b"\xff" * 1000
    path.write_bytes(bytes(raw))
    with pytest.raises(SfhInputError, match="cannot be read"):
        ImageReader(path, 1, 3)[0:40]


@pytest.mark.parametrize(("step", "told"), [(1.25, False), (10.0, True)])
def test_channels_wider_than_the_instruments_resolution_are_told(step: float, told: bool, tmp_path: Path) -> None:
    flux = flux_values(n=int(4600 / step))
    path = write_cube(tmp_path / "c.fits", flux, primary={"INSTRUME": "MUSE"}, CD3_3=step)
    chosen = choose_line_spread(RunConfig(cube=path), read_cube(path), load_instrument())
    assert ("rebinned" in chosen.note and "10 A wide" in chosen.note) == told


@pytest.mark.parametrize(("given", "told"), [("2.6", False), ("5.0", True), ("1.2", True)])
def test_an_lsf_that_is_not_the_instruments_is_told_with_both_widths(given: str, told: bool, tmp_path: Path) -> None:
    path = write_cube(tmp_path / "c.fits", flux_values(n=3680), primary={"INSTRUME": "MUSE"})
    chosen = choose_line_spread(RunConfig(cube=path, lsf=given), read_cube(path), load_instrument())
    assert (f"FWHM of {float(given):.3g} A" in chosen.note) == told
    assert ("`lsf`" in chosen.note) == told
    assert np.median(chosen.lsf.fwhm_aa(np.array([5000.0]))) == float(given), "what was given is used"


@pytest.mark.parametrize(("rows", "word"), [
    ([(475, 0.26), (700, 0.24)], "data lie at"), ([(4700, 1800.0), (9400, 3600.0)], "no resolution"),
])  # fmt: skip
def test_a_table_of_an_lsf_that_cannot_be_is_refused(
    rows: list[tuple[float, float]], word: str, tmp_path: Path
) -> None:
    path = write_cube(tmp_path / "c.fits", flux_values(n=3680), primary={"INSTRUME": "MUSE"})
    np.savetxt(tmp_path / "lsf.txt", rows)
    with pytest.raises(SfhInputError, match=word):
        choose_line_spread(RunConfig(cube=path, lsf=tmp_path / "lsf.txt"), read_cube(path), load_instrument())


@pytest.mark.parametrize(
    "names", ["# wave sigma_kms", "# lambda_nm fwhm_nm", "wave R", "# wavelength [A], FWHM [km/s]"]
)
def test_a_table_of_an_lsf_whose_names_say_another_quantity_is_refused(names: str, tmp_path: Path) -> None:
    (tmp_path / "lsf.txt").write_text(f"{names.replace(' [', '[')}\n4700 70\n9400 60\n")
    with pytest.raises(SfhInputError, match=r"by their names.*FWHM = 2\.355 sigma"):
        LineSpread.from_file(tmp_path / "lsf.txt")


@pytest.mark.parametrize("names", ["# wave fwhm", "# LSF of MUSE, R about 3000", "lambda,FWHM [A]", "wave,fwhm_aa"])
def test_names_above_a_table_of_an_lsf_are_read_over(names: str, tmp_path: Path) -> None:
    comma = "," if "," in names and not names.startswith("#") else " "
    path = tmp_path / ("lsf.csv" if comma == "," else "lsf.txt")
    path.write_text(f"{names}\n4700{comma}2.6\n9400{comma}2.4\n")
    assert LineSpread.from_file(path).fwhm_aa(4700.0) == 2.6


def test_a_table_of_an_lsf_that_ends_within_the_cube_is_told(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "c.fits", flux_values(n=3680), primary={"INSTRUME": "MUSE"})
    np.savetxt(tmp_path / "lsf.txt", [(4700, 2.6), (6000, 2.6)])
    chosen = choose_line_spread(RunConfig(cube=path, lsf=tmp_path / "lsf.txt"), read_cube(path), load_instrument())
    assert "given at 4700-6000 A" in chosen.note
    assert chosen.lsf.fwhm_aa(9000.0) == 2.6


@pytest.mark.parametrize(("card", "value", "told"), [("CRVAL3", 4700.0, True), ("CRPIX1", 8.0, True),
                                                     ("CRVAL3", 4750.0, False), ("CTYPE3", "", False)])  # fmt: skip
def test_errors_on_another_axis_are_told(card: str, value: Any, told: bool, tmp_path: Path) -> None:
    path = write_cube(tmp_path / "c.fits")
    with fits.open(path, mode="update") as hdus:
        hdus["STAT"].header[card] = value
    assert any("STAT begins at" in note for note in read_cube(path).notes) == told


def test_a_flux_that_no_telescope_sees_is_told(tmp_path: Path) -> None:
    flux = flux_values().astype(np.float64) * 1e-20
    cube = read_cube(write_cube(tmp_path / "c.fits", flux, stat=(0.1 * flux).astype(np.float64) ** 2))
    assert any("less than any telescope sees" in note and "BUNIT" in note for note in cube.notes)
    assert not any("telescope" in note for note in read_cube(write_cube(tmp_path / "d.fits")).notes)


@pytest.mark.parametrize(("unit", "words"), [("Jy/beam", "Jy/beam"), ("erg/s/cm**2", "by the channels' width")])
def test_a_flux_in_a_beam_or_a_channel_is_no_flux_density_of_a_spaxel(unit: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(SfhInputError, match=words):
        read_cube(write_cube(tmp_path / "c.fits", BUNIT=unit))


@pytest.mark.parametrize(("name", "bright", "usable"), [
    ("MASK", True, None), ("DQ", True, None), ("MASK", False, "bright"), ("BADPIX", True, "faint"),
    ("GOODPIX", True, "bright"),
])  # fmt: skip
def test_a_mask_of_the_galaxy_asks_what_it_means(name: str, bright: bool, usable: str | None, tmp_path: Path) -> None:
    """Ones on the bright half, or on the faint one: a mask of the galaxy, or of what is usable? Names settle it."""
    flux = flux_values()
    above = flux.mean(0) > np.median(flux.mean(0))
    path = write_cube(tmp_path / "c.fits")
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.ImageHDU((above if bright else ~above).astype(np.uint8), name=name))
    if usable is None:
        with pytest.raises(SfhInputError, match=f"{name} forbids the bright .*GOODPIX.*BADPIX"):
            read_cube(path)
        return
    good = read_cube(path).read(0, N)[2]
    np.testing.assert_array_equal(good, np.broadcast_to(above if usable == "bright" else ~above, good.shape))


@pytest.mark.parametrize(("cards", "words"), [
    ({"SPECSYS": "TOPOCENT", "BARYCORR": -21.5}, ("TOPOCENT", "BARYCORR = -21.5 is not applied")),
    ({"SPECSYS": "CMBDIPOL"}, ("370 km/s",)), ({"SPECSYS": "BARYCENT", "VELOSYS": 12e3}, ()), ({}, ()),
])  # fmt: skip
def test_wavelengths_of_another_frame_are_told(cards: dict[str, Any], words: tuple[str, ...], tmp_path: Path) -> None:
    notes = [note for note in read_cube(write_cube(tmp_path / "c.fits", **cards)).notes if "SPECSYS" in note]
    assert bool(notes) == bool(words)
    assert all(word in notes[0] for word in words)


@pytest.mark.parametrize(("unit", "origin", "vacuum"), [
    ("micron", "SKIRT simulation", True), ("micron", "", False), ("Hz", "", True),
])  # fmt: skip
def test_a_simulation_without_a_sky_has_a_plane_and_the_wavelengths_of_its_list(
    unit: str, origin: str, vacuum: bool, tmp_path: Path
) -> None:
    """SKIRT's dress: axes in arcsec, GRID_POINTS in a table, in the order of the grid."""
    plane = {
        "CTYPE1": "X-axis",
        "CTYPE2": "Y-axis",
        "CUNIT1": "arcsec",
        "CUNIT2": "arcsec",
        "CRVAL1": 0.0,
        "CRVAL2": 0.0,
    }
    matrix = dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2", "CRPIX3", "CD3_3", "CRVAL3"))
    cards = {
        **plane,
        **matrix,
        "CDELT1": 0.2,
        "CDELT2": 0.2,
        "CTYPE3": "wavelength" if unit == "micron" else "frequency",
    }
    path = write_cube(tmp_path / "c.fits", primary={"ORIGIN": origin} if origin else None, CUNIT3=unit, **cards)
    wave = 4749.88 + 1.25 * np.arange(N)
    points = wave / 1e4 if unit == "micron" else 2.99792458e18 / wave
    column = fits.Column("GRID_POINTS", "D", unit, array=points)
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.BinTableHDU.from_columns([column], name="Z-axis coordinate values"))
    cube = read_cube(path)
    assert cube.wave_aa[0] == pytest.approx(4748.55 if vacuum else 4749.88, abs=0.01)
    assert cube.pixel_arcsec == pytest.approx(0.2)
    assert any("no sky" in note for note in cube.notes)
