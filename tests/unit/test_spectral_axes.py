"""Spectral axes of other kinds: velocities, frequencies, falling wavelengths, lists beside the cube."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from io_mocks import write_cube

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.wavelengths import read_wavelength_axis
from napari_sfh.io.cubes import read_cube
from napari_sfh.physics.wavelength import C_KMS, air_to_vacuum, vacuum_to_air

REST = 5500.0


def read_air(n: int, **cards: Any) -> np.ndarray:
    header = fits.Header()
    header.update({"EXTNAME": "DATA", "CRPIX3": 1.0, **cards})
    return read_wavelength_axis(header, Path("x.fits"), n).wave_aa


@pytest.mark.parametrize(
    ("first", "step", "n", "factor"), [(1680.2, 0.9, 53689, 1), (475.0, 0.125, 3681, 10), (1150.0, 0.6, 900, 10)]
)
def test_without_a_unit_the_far_end_tells_angstrom_from_nanometres(first, step, n, factor):
    """E-MILES begins at 1680 Angstrom; what ends at 1690 may be nanometres."""
    wave = read_air(n, CTYPE3="AWAV", CRVAL3=first, CD3_3=step)
    assert wave[[0, -1]] == pytest.approx([first * factor, (first + step * (n - 1)) * factor], rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "speed", "vacuum"),
    [
        ("VOPT", 30000.0, REST * (1 + 30000.0 / C_KMS)),
        ("VRAD", 30000.0, REST / (1 - 30000.0 / C_KMS)),
        ("VELO", 30000.0, REST * np.sqrt((C_KMS + 30000.0) / (C_KMS - 30000.0))),
        ("VOPT-F2W", 30000.0, REST * (1 + 30000.0 / C_KMS)),
        ("FELO-HEL", 30000.0, REST * (1 + 30000.0 / C_KMS)),
        ("VRAD-LSR", 30000.0, REST / (1 - 30000.0 / C_KMS)),
        ("VELOCITY", 30000.0, REST * (1 + 30000.0 / C_KMS)),
    ],
)
@pytest.mark.parametrize(
    "rest", [{"RESTWAV": REST * 1e-10}, {"RESTFRQ": C_KMS * 1e13 / REST}, {"RESTFREQ": C_KMS * 1e13 / REST},
             {"RESTWAV": REST}],
)  # fmt: skip
def test_velocities_become_wavelengths(kind: str, speed: float, vacuum: float, rest: dict[str, float]) -> None:
    """The reference channel and the one before the next, to 1e-4 Angstrom."""
    in_kms = read_air(2, CTYPE3=kind, CUNIT3="km/s", CRVAL3=speed, CD3_3=0.01, **rest)
    in_ms = read_air(2, CTYPE3=kind, CRVAL3=speed * 1e3, CD3_3=10.0, **rest)
    assert in_kms[0] == pytest.approx(vacuum_to_air(vacuum), abs=1e-4)
    assert in_ms == pytest.approx(in_kms, abs=1e-4)
    assert in_kms[1] - in_kms[0] == pytest.approx(0.01 / C_KMS * REST, rel=0.35)


@pytest.mark.parametrize(
    ("cards", "vacuum"),
    [
        ({"CTYPE3": "FREQ", "CUNIT3": "THz", "CRVAL3": 600.0, "CD3_3": 0.1}, C_KMS * 10 / 600.1),
        ({"CTYPE3": "FREQ", "CRVAL3": 6e14, "CD3_3": -1e11}, C_KMS * 10 / 600.0),
        ({"CTYPE3": "WAVN", "CUNIT3": "cm-1", "CRVAL3": 20000.0, "CD3_3": 10.0}, 1e8 / 20010.0),
        ({"CTYPE3": "ENER", "CUNIT3": "eV", "CRVAL3": 2.0, "CD3_3": -0.001}, 12398.419843320026 / 2.0),
        ({"CTYPE3": "ZOPT", "CRVAL3": 0.1, "CD3_3": 1e-4, "RESTWAV": REST * 1e-10}, REST * 1.1),
        ({"CTYPE3": "BETA", "CRVAL3": 0.0, "CD3_3": 1e-4, "RESTWAV": REST * 1e-10}, REST),
    ],
)
def test_frequencies_are_in_vacuum(cards: dict[str, Any], vacuum: float) -> None:
    wave = read_air(2, **cards)
    assert wave[0] == pytest.approx(vacuum_to_air(vacuum), abs=1e-3)
    assert wave[1] > wave[0]


@pytest.mark.parametrize(("unit", "name"), [("cm-1", "WAVN"), ("1/um", "WAVN"), ("THz", "FREQ"), ("eV", "ENER")])
def test_an_axis_in_the_unit_of_another_quantity_names_its_type(unit: str, name: str) -> None:
    with pytest.raises(SfhInputError, match=f"write CTYPE3 = '{name}'"):
        read_air(2, CTYPE3="WAVE", CUNIT3=unit, CRVAL3=20000.0, CD3_3=10.0)


@pytest.mark.parametrize("laser", [False, True])
def test_falling_wavelengths_are_turned(tmp_path: Path, laser: bool) -> None:
    """A cube stored from red to blue gives what the same cube gives from blue to red, block by block."""
    rising = write_cube(tmp_path / "a.fits")
    with fits.open(rising) as hdus:
        hdus[1].data[3] = np.nan
        hdus[1].header.update({"CRVAL3": 5790.0, "CD3_3": 5.0} if laser else {})
        if laser:
            hdus[0].header["INSMODE"] = "WFM-AO-N"
        hdus.writeto(rising, overwrite=True)
        n = hdus[1].data.shape[0]
        for hdu in hdus[1:]:
            hdu.data = hdu.data[::-1].copy()
        step = hdus[1].header["CD3_3"]
        hdus[1].header.update({"CRPIX3": n + 1 - hdus[1].header["CRPIX3"], "CD3_3": -step})
        hdus.writeto(tmp_path / "b.fits")
    first, second = read_cube(rising), read_cube(tmp_path / "b.fits")
    np.testing.assert_allclose(second.wave_aa, first.wave_aa, rtol=1e-12)
    for lo, hi in ((0, n), (2, 5), (n - 3, n)):
        for one, other in zip(first.read(lo, hi), second.read(lo, hi)):
            np.testing.assert_array_equal(one, other)
    assert laser == (not first.read(0, n)[2][5].any())
    assert second.columns is None  # single spectra would come as they are stored
    assert any("red to blue" in note for note in second.notes)


AIR = 5000.0 + 1.25 * np.arange(30)


def _list_hdu(kind: str) -> Any:
    vacuum = air_to_vacuum(AIR)
    image = {
        "WAVE image": (AIR, "WAVE", "Angstrom"),
        "no unit": (AIR, "WAVE", ""),
        "nm": (AIR / 10, "LAMBDA", "nm"),
        "micron by size": (AIR / 1e4, "wavelength", ""),
        "log10": (np.log10(AIR), "LOGLAM", ""),
        "log10 in a WAVE of Angstrom": (np.log10(AIR), "WAVE", "Angstrom"),
        "ln": (np.log(AIR), "LOGLAM", ""),
        "vacuum by name": (vacuum, "WAVE_VAC", "Angstrom"),
        "falling": (AIR[::-1], "WAVE", "Angstrom"),
    }
    if kind in image:
        values, name, unit = image[kind]
        hdu = fits.ImageHDU(values, name=name)
        if unit:
            hdu.header["BUNIT"] = unit
        return hdu
    values = np.log10(AIR / 10)
    column = {
        "table, log10 nm": fits.Column("WAVELENGTH", "D", "log10(nm)", array=values),
        "table, log10 nm, by size": fits.Column("LOGLAM", "D", array=values),
        "table, one row": fits.Column("lambda", "30D", "Angstrom", array=AIR[None]),
    }[kind]
    return fits.BinTableHDU.from_columns([column], name="WAVELENGTHS")


@pytest.mark.parametrize(
    "kind",
    ["WAVE image", "no unit", "nm", "micron by size", "log10", "log10 in a WAVE of Angstrom", "ln", "vacuum by name",
     "falling", "table, log10 nm", "table, log10 nm, by size", "table, one row"],
)  # fmt: skip
def test_a_list_of_wavelengths_beside_the_cube(tmp_path: Path, kind: str) -> None:
    path = write_cube(tmp_path / "c.fits")
    with fits.open(path) as hdus:
        stored = np.repeat(np.arange(1.0, 31.0, dtype=np.float32), hdus[1].data[0].size)
        data = stored.reshape(30, *hdus[1].data.shape[1:]) + hdus[1].data[:1]
        for key in ("CTYPE3", "CRVAL3", "CD3_3", "CRPIX3", "CUNIT3"):
            hdus[1].header.remove(key, ignore_missing=True)
        fits.HDUList([hdus[0], fits.ImageHDU(data, hdus[1].header), _list_hdu(kind)]).writeto(path, overwrite=True)
    cube = read_cube(path)
    np.testing.assert_allclose(cube.wave_aa, AIR, atol=2e-3)
    planes = cube.read(0, 30)[0][:, 0, 0]
    assert np.all(np.diff(planes) == (-1 if kind == "falling" else 1))


def test_a_list_of_another_length_or_value_is_no_axis(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "c.fits")
    with fits.open(path) as hdus:
        n = hdus[1].data.shape[0]
        other = fits.ImageHDU(9000.0 + np.arange(n), name="WAVE")
        fits.HDUList([*hdus, other]).writeto(tmp_path / "two.fits")
        for key in ("CTYPE3", "CRVAL3", "CD3_3", "CRPIX3", "CUNIT3"):
            hdus[1].header.remove(key, ignore_missing=True)
        short = fits.ImageHDU(AIR, name="WAVE")
        fits.HDUList([*hdus, short]).writeto(tmp_path / "short.fits")
        wild = fits.ImageHDU(np.arange(n) * 1e9, name="WAVE")
        fits.HDUList([*hdus, wild]).writeto(tmp_path / "wild.fits")
    assert any("differs from the header's axis" in note for note in read_cube(tmp_path / "two.fits").notes)
    for name, words in (("short", "WAVE lists 30"), ("wild", "no wavelengths")):
        with pytest.raises(SfhInputError, match=words):
            read_cube(tmp_path / f"{name}.fits")


def test_without_a_type_the_unit_tells_the_axis() -> None:
    from napari_sfh.io.cleaning.cards import HeaderCards
    from napari_sfh.io.cleaning.wavelengths import find_wavelength_axis

    header = fits.Header()
    header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT3": "Angstroms", "CRVAL3": 5000.0})
    assert find_wavelength_axis(HeaderCards(header, Path("x.fits")), {1: 9, 2: 8, 3: 30}) == 3
    assert read_air(2, CUNIT3="Angstrom", CRVAL3=5000.0, CDELT3=2.0) == pytest.approx([5000.0, 5002.0])
