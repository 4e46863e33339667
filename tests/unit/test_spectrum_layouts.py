"""One spectrum in the layouts and habits of archives and people: each is read to the same numbers."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from napari_sfh.errors import SfhInputError
from napari_sfh.io.objects.spectra_1d import SingleSpectrum, read_single_spectra
from napari_sfh.physics.wavelength import air_to_vacuum

WAVE = np.linspace(3800.0, 7400.0, 1801)  # air
FLUX = 3.0 + np.sin(WAVE / 50.0)
SIGMA = 0.02 * FLUX
VACUUM = air_to_vacuum(WAVE)
#: Per frequency, for wavelengths in air whose vacuum value counts.
FNU = FLUX * (VACUUM / 5000.0) ** 2
LINEAR = fits.Header({"CTYPE1": "AWAV", "CUNIT1": "Angstrom", "CRVAL1": 3800.0, "CDELT1": 2.0, "CRPIX1": 1.0})


def _check(one: SingleSpectrum, errors: bool = True, wave_tolerance_aa: float = 0.02) -> None:
    """The spectrum above, whatever its scale."""
    np.testing.assert_allclose(one.wave_aa, WAVE, atol=wave_tolerance_aa)
    np.testing.assert_allclose(
        one.flux[one.good] / one.flux[one.good].mean(), FLUX[one.good] / FLUX[one.good].mean(), rtol=1e-4
    )
    assert one.good.mean() > 0.9
    if errors:
        np.testing.assert_allclose(np.sqrt(one.variance[one.good]) / one.flux[one.good], 0.02, rtol=1e-3)


def _rows(*columns: Any, sep: str = " ", form: str = "%.9g") -> str:
    return "\n".join(sep.join(form % value for value in row) for row in zip(*columns, strict=True)) + "\n"


def _every(text: str, words: str) -> str:
    """Every hundredth line with ``words`` after its wavelength."""
    lines = text.splitlines()
    return "\n".join(f"{x.split()[0]} {words}" if k % 100 == 7 else x for k, x in enumerate(lines)) + "\n"


PLAIN = _rows(WAVE, FLUX, SIGMA)
TEXTS: Mapping[str, str] = {
    "IDL comments": f"; from IDL\n; lambda flux err\n{PLAIN}",
    "matlab comments": f"% lambda flux err\n{PLAIN}",
    "semicolons": "wave;flux;err\n" + _rows(WAVE, FLUX, SIGMA, sep=";"),
    "decimal comma": "wave;flux;err\n" + _rows(WAVE, FLUX, SIGMA, sep=";").replace(".", ","),
    "decimal comma, tabs": _rows(WAVE, FLUX, SIGMA, sep="\t", form="%.6f").replace(".", ","),
    "Fortran exponents": _rows(WAVE, FLUX, SIGMA, form="%.9e").replace("e", "D"),
    "IRAF's INDEF": _every(PLAIN, "INDEF INDEF"),
    "dashes": _every(PLAIN, "-- --"),
    "Fortran's stars": _every(PLAIN, "****** ******"),
    "line of units": f"wave flux err\nAngstrom cgs cgs\n{PLAIN}",
    "bars": "| wave | flux | err |\n" + _rows(WAVE, FLUX, SIGMA, sep=" | "),
    "text after the numbers": f"{PLAIN}# end\nEOF\n",
    "nm in the name": "wavelength(nm),flux,err\n" + _rows(WAVE / 10, FLUX, SIGMA, sep=","),
    "microns by size": _rows(WAVE / 1e4, FLUX, SIGMA),
    "nm by size": _rows(WAVE / 10, FLUX, SIGMA),
    "GHz in the name": "freq_GHz flux_mJy err_mJy\n" + _rows(2.99792458e9 / WAVE, FNU, 0.02 * FNU, form="%.12g"),
    "eV in the name": "energy_eV fnu err\n" + _rows(12398.419843 / WAVE, FNU, 0.02 * FNU, form="%.12g"),
    "loglam": "loglam flux err\n" + _rows(np.log10(WAVE), FLUX, SIGMA, form="%.12g"),
    "ln": "ln_lambda flux err\nln(Angstrom) - -\n" + _rows(np.log(WAVE), FLUX, SIGMA, form="%.12g"),
    "janskys": "wave,flux_jy,err_jy\n" + _rows(WAVE, FNU, 0.02 * FNU, sep=","),
    "wavelength times flux by name": "wave lam_flam err\n" + _rows(WAVE, VACUUM * FLUX, VACUUM * SIGMA),
    "wavelength times flux by unit": "wave[Angstrom] flux[erg/s/cm2] err[erg/s/cm2]\n"
    + _rows(WAVE, VACUUM * FLUX, VACUUM * SIGMA),
    "frequency times flux": "wave nufnu err\n" + _rows(WAVE, VACUUM * FLUX, VACUUM * SIGMA),
    "pPXF's names": "bestfit,lam_gal,galaxy,noise\n" + _rows(0 * FLUX, WAVE, FLUX, SIGMA, sep=","),
    "errors of two fluxes": "wave,counts,counts_err,flam,flam_err\n"
    + _rows(WAVE, 9 * FLUX, 9e3 * SIGMA, FLUX, SIGMA, sep=","),
    "variances of two fluxes": "wave,counts,var_counts,flam,var_flam\n"
    + _rows(WAVE, 9 * FLUX, 9e3 * SIGMA, FLUX, SIGMA**2, sep=","),
    "unsorted": _rows(*(v[np.random.default_rng(0).permutation(WAVE.size)] for v in (WAVE, FLUX, SIGMA))),
    "falling": _rows(WAVE[::-1], FLUX[::-1], SIGMA[::-1]),
    "Windows": PLAIN.replace("\n", "\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("habit", TEXTS)
def test_text_of_every_habit_is_the_same_spectrum(habit: str, tmp_path: Path) -> None:
    path = tmp_path / "my spectrum (1).txt"
    path.write_text(TEXTS[habit])
    (one,) = read_single_spectra(path, "air")
    _check(one)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "utf-8"])
def test_encodings_and_gzip_do_not_matter(encoding: str, tmp_path: Path) -> None:
    raw = f"# Ångström flux err\n{PLAIN}".encode(encoding)
    for name, content in (("a.dat", raw), ("b.dat.gz", gzip.compress(raw))):
        (tmp_path / name).write_bytes(content)
        (one,) = read_single_spectra(tmp_path / name, "air")
        _check(one)


TABLES: Mapping[str, tuple[Mapping[str, Any], Mapping[str, str]]] = {
    "nm": ({"wave": WAVE / 10, "flux": FLUX, "err": SIGMA}, {"wave": "nm"}),
    "Angstroms": ({"wave": WAVE, "flux": FLUX, "err": SIGMA}, {"wave": "Angstroms"}),
    "um": ({"wave": WAVE / 1e4, "flux": FLUX, "err": SIGMA}, {"wave": "um"}),
    "log10(Angstrom)": ({"wave": np.log10(WAVE), "flux": FLUX, "err": SIGMA}, {"wave": "log10(Angstrom)"}),
    "ln": ({"loglam": np.log(WAVE), "flux": FLUX, "err": SIGMA}, {}),
    "Jy": ({"wave": WAVE, "flux": FNU, "err": 0.02 * FNU}, {"wave": "Angstrom", "flux": "Jy", "err": "Jy"}),
    "errors in another unit": ({"wave": WAVE, "flux": FLUX, "err": 1e-17 * SIGMA},
                               {"flux": "1e-17 erg/s/cm2/Angstrom", "err": "erg/s/cm2/Angstrom"}),
    "vacuum by name": ({"LAMBDA_VAC": VACUUM, "FLUX": FLUX, "ERROR": SIGMA}, {}),
    "frequency": ({"frequency": 2.99792458e18 / VACUUM, "flux": FLUX, "err": SIGMA}, {"frequency": "Hz"}),
    "ivar": ({"WAVELENGTH": WAVE, "FLUX": FLUX, "IVAR": SIGMA**-2.0}, {}),
    "error before flux, model": ({"flux_err": SIGMA, "model_flux": 0 * FLUX, "wave": WAVE, "flux": FLUX}, {}),
    "resolution matrix": ({"wave": WAVE, "flux": FLUX, "err": SIGMA, "RESOLUTION": np.ones((WAVE.size, 5))}, {}),
    "one row (ESO, LAMOST, STIS)": ({"WAVE": WAVE[None] / 10, "FLUX": FLUX[None], "ERR": SIGMA[None]}, {"WAVE": "nm"}),
}  # fmt: skip


@pytest.mark.parametrize("layout", TABLES)
def test_tables_of_every_layout_are_the_same_spectrum(layout: str, tmp_path: Path) -> None:
    columns, units = TABLES[layout]
    hdu = fits.table_to_hdu(Table(columns))
    for k, name in enumerate(columns, 1):
        if name in units:
            hdu.header[f"TUNIT{k}"] = units[name]
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "s.fits")
    (one,) = read_single_spectra(tmp_path / "s.fits")
    _check(one)


@pytest.mark.parametrize("card", [{"PYP_SPEC": "keck_lris"}, {"INSTRUME": "STIS"}, {"INSTRUME": "COS"}])
def test_programs_have_their_own_medium_and_masks(card: Mapping[str, str], tmp_path: Path) -> None:
    """All write wavelengths in vacuum; PypeIt's mask is 1 where a pixel is usable."""
    usable = np.arange(WAVE.size) % 50 != 7
    mask = usable if "PYP_SPEC" in card else ~usable
    table = Table({"wave": VACUUM, "flux": np.where(usable, FLUX, 5.0), "sigma": SIGMA, "mask": mask.astype(int)})
    hdus = [fits.PrimaryHDU(header=fits.Header(card)), *(fits.BinTableHDU(table, name=n) for n in ("OBJ1", "OBJ2"))]
    fits.HDUList(hdus).writeto(tmp_path / "s.fits")
    (one,) = read_single_spectra(tmp_path / "s.fits")
    np.testing.assert_array_equal(one.good, usable)
    _check(one)
    assert any("not OBJ2" in note for note in one.notes)


def _image(*hdus: Any) -> Callable[[Path], None]:
    return lambda path: fits.HDUList(list(hdus)).writeto(path)


def _line(values: Any, name: str = "", **cards: Any) -> Any:
    header = LINEAR.copy()
    header.update({k.replace("__", "-"): v for k, v in cards.items()})
    return fits.ImageHDU(np.asarray(values, np.float64), header, name=name or None)


def _desi() -> fits.HDUList:
    hdus = [fits.PrimaryHDU(), fits.table_to_hdu(Table({"TARGETID": [1, 2]}))]
    for arm, low, high in (("B", 3700, 5801), ("R", 5761, 7500)):
        use = (low < WAVE) & (high > WAVE)
        for key, values in (("WAVELENGTH", VACUUM[use]), ("FLUX", np.stack([FLUX[use], 2 * FLUX[use]])),
                            ("IVAR", np.stack([SIGMA[use] ** -2.0, SIGMA[use] ** -2.0 / 4]))):  # fmt: skip
            hdus.append(fits.ImageHDU(values, name=f"{arm}_{key}"))
    return fits.HDUList(hdus)


def _sdss_rows() -> fits.PrimaryHDU:
    log = np.linspace(np.log10(3800), np.log10(7400), WAVE.size)
    header = fits.Header(
        {"TELESCOP": "SDSS 2.5-M", "COEFF0": log[0], "COEFF1": log[1] - log[0], "VACUUM": 1, "Z": 0.03}
    )
    flux = np.interp(10**log, VACUUM, FLUX)
    return fits.PrimaryHDU(np.array([flux, 0 * flux, 0.02 * flux, 0 * flux]), header)


IMAGES: Mapping[str, fits.HDUList] = {
    "MPDAF": fits.HDUList([fits.PrimaryHDU(), _line(FLUX, "DATA"), _line(SIGMA**2, "STAT")]),
    "X-shooter": fits.HDUList([fits.PrimaryHDU(FLUX, LINEAR), fits.ImageHDU(SIGMA, name="ERRS"),
                               fits.ImageHDU(np.zeros(WAVE.size, np.int32), name="QUAL")]),
    "CD1_1 beside CDELT1": fits.HDUList([fits.PrimaryHDU(), _line(FLUX, "SCI", CD1_1=2.0), _line(SIGMA**2, "VAR")]),
    "nm": fits.HDUList([fits.PrimaryHDU(), _line(FLUX, "DATA", CUNIT1="nm", CRVAL1=380.0, CDELT1=0.2),
                        _line(SIGMA**2, "STAT")]),
    "Jy": fits.HDUList([fits.PrimaryHDU(), _line(FNU, "DATA", BUNIT="Jy"), _line(0.02 * FNU, "ERR", BUNIT="Jy")]),
    "MaNGA's spaxel": fits.HDUList([fits.PrimaryHDU(header=fits.Header({"MANGAID": "1-1"})),
                                    fits.ImageHDU(FLUX, name="FLUX"), fits.ImageHDU(SIGMA**-2.0, name="IVAR"),
                                    fits.ImageHDU(VACUUM, name="WAVE")]),
    "LAMOST": fits.HDUList([fits.PrimaryHDU(np.array([FLUX, SIGMA**-2.0, VACUUM, 0 * FLUX, 0 * FLUX]),
                                            fits.Header({"TELESCOP": "LAMOST", "VACUUM": "T", "Z": 0.03}))]),
    "rows with words": fits.HDUList([fits.PrimaryHDU(np.array([FLUX, SIGMA]), fits.Header(
        {**LINEAR, "ROW1": "Spectrum", "ROW2": "Error"}))]),
    "bands of IRAF's apall": fits.HDUList([fits.PrimaryHDU(np.stack([FLUX, FLUX, FLUX, SIGMA])[:, None], fits.Header(
        {**LINEAR, "BANDID1": "spectrum - background fit, weights variance", "BANDID2": "raw - background fit",
         "BANDID3": "background - background fit", "BANDID4": "sigma - background fit"}))]),
    "6dFGS, by specutils": fits.HDUList([fits.PrimaryHDU(np.array([FLUX, SIGMA**2, 0 * FLUX, WAVE]), fits.Header(
        {**LINEAR, "CUNIT1": "Angstroms", "OBSRA": 1.0, "OBSDEC": 2.0, "Z": 0.03, "Z_HELIO": 0.03, "QUALITY": 4}))]),
}  # fmt: skip


@pytest.mark.parametrize("layout", IMAGES)
def test_images_of_every_layout_are_the_same_spectrum(layout: str, tmp_path: Path) -> None:
    IMAGES[layout].writeto(tmp_path / "s.fits")
    (one,) = read_single_spectra(tmp_path / "s.fits")
    _check(one)


@pytest.mark.parametrize(("name", "beside", "errors"), [
    ("legac_M1_v3.7_spec1d_110.fits", "legac_M1_v3.7_wht1d_110.fits", SIGMA**-2),
    ("s.fits", "s_ivar.fits", SIGMA**-2), ("s.fits", "s_err.fits", SIGMA), ("s.fits", "t_err.fits", None),
])  # fmt: skip
def test_errors_in_a_file_beside_a_spectrum_are_found_by_its_name(
    name: str, beside: str, errors: np.ndarray | None, tmp_path: Path
) -> None:
    fits.PrimaryHDU(FLUX, LINEAR).writeto(tmp_path / name)
    fits.PrimaryHDU(SIGMA if errors is None else errors, LINEAR).writeto(tmp_path / beside)
    (one,) = read_single_spectra(tmp_path / name)
    _check(one, errors=errors is not None)
    assert any(beside in note for note in one.notes) == (errors is not None)


def test_arms_of_many_targets_are_joined(tmp_path: Path) -> None:
    _desi().writeto(tmp_path / "coadd.fits")
    first, second = read_single_spectra(tmp_path / "coadd.fits")
    _check(first)
    _check(second)
    assert first.name != second.name


def test_rows_of_sdss_dr7_are_in_vacuum(tmp_path: Path) -> None:
    _sdss_rows().writeto(tmp_path / "spSpec.fits")
    (one,) = read_single_spectra(tmp_path / "spSpec.fits")
    np.testing.assert_allclose(one.flux / one.flux.mean(), np.interp(one.wave_aa, WAVE, FLUX) / FLUX.mean(), rtol=5e-3)
    assert one.redshift == pytest.approx(0.03)


@pytest.mark.parametrize("logarithmic", [False, True])
def test_multispec_of_iraf_is_read_where_it_is_linear(logarithmic: bool, tmp_path: Path) -> None:
    first, step = (np.log10(3800), 1.6e-4) if logarithmic else (3800.0, 2.0)
    text = f'wtype=multispec spec1 = "1 1 {int(logarithmic)} {first:.10f} {step} {WAVE.size} 0. 1. 2."'
    header = fits.Header({"CTYPE1": "MULTISPE", "CTYPE2": "MULTISPE"})
    for k in range(0, len(text), 68):
        header[f"WAT2_{k // 68 + 1:03d}"] = text[k : k + 68]
    fits.PrimaryHDU(np.array([[FLUX], [FLUX], [SIGMA], [SIGMA]]), header).writeto(tmp_path / "m.fits")
    (one,) = read_single_spectra(tmp_path / "m.fits", "air")
    wave = first + step * np.arange(WAVE.size)
    np.testing.assert_allclose(one.wave_aa, 10**wave if logarithmic else wave)
    np.testing.assert_allclose(np.sqrt(one.variance) / one.flux, 0.02, rtol=1e-3)
    text = text.replace(f"1 1 {int(logarithmic)} ", "1 1 2 ")
    for k in range(0, len(text), 68):
        header[f"WAT2_{k // 68 + 1:03d}"] = text[k : k + 68]
    fits.PrimaryHDU(np.array([FLUX]), header).writeto(tmp_path / "n.fits")
    with pytest.raises(SfhInputError, match="dispcor"):
        read_single_spectra(tmp_path / "n.fits")


@pytest.mark.parametrize("name", ["mask", "QUAL", "AND_MASK", "dq"])
def test_masks_beside_a_spectrum_are_used_and_said(name: str, tmp_path: Path) -> None:
    bad = np.arange(WAVE.size) % 97 < 5
    Table({"wave": WAVE, "flux": np.where(bad, 5 * FLUX, FLUX), "err": SIGMA, name: bad.astype(np.int32)}).write(
        tmp_path / "s.fits"
    )
    (one,) = read_single_spectra(tmp_path / "s.fits", "air")
    np.testing.assert_array_equal(one.good, ~bad)
    _check(one)
    assert any(name in note and str(int(bad.sum())) in note for note in one.notes)


@pytest.mark.parametrize(("cards", "redshift", "word"), [
    ({"REDSHIFT": "0.03"}, 0.03, ""), ({"REDSHIFT": 8993.8}, None, "8993.8"), ({"REDSHIFT": -9999.0}, None, "-9999"),
    ({"REDSHIFT": 0.0}, None, "placeholder"), ({"Z": 0.02}, 0.02, "card Z"), ({}, None, "says no redshift"),
])  # fmt: skip
def test_a_redshift_is_one_or_its_card_is_named(
    cards: dict[str, Any], redshift: float | None, word: str, tmp_path: Path
) -> None:
    hdu = fits.table_to_hdu(Table({"wave": WAVE, "flux": FLUX, "err": SIGMA}))
    fits.HDUList([fits.PrimaryHDU(header=fits.Header(cards)), hdu]).writeto(tmp_path / "s.fits")
    (one,) = read_single_spectra(tmp_path / "s.fits", "air")
    assert one.redshift == redshift
    assert word in " ".join((*one.notes, one.no_redshift))


REFUSED: Mapping[str, tuple[bytes, str]] = {
    "s.txt": (b"<!DOCTYPE html><html></html>", "web page"),
    "s.json": (b'{"wave": [1, 2], "flux": [1, 2]}', "no table of numbers"),
    "s.parquet": (b"PAR1\0\0\0\0PAR1", "Parquet"),
    "s.pkl": (b"\x80\x04\x95\0\0", "pickle"),
    "s.h5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "s.npy": (b"\x93NUMPY\x01\0", "NumPy"),
    "s.dat": (b"", "empty"),
    "t.dat": (b"1.0\n2.0\n" * 100, "one column|no table"),
    "long.json": (('{"wave": [' + ", ".join(map(str, range(40_000))) + "]}").encode(), "no table of numbers"),
    "u.dat": (("wave flux\n" + _rows(np.repeat(WAVE, 2), np.outer(FLUX, (1, 1.5)).ravel())).encode(), "twice"),
    "v.dat": (_rows(WAVE, 0 * FLUX, SIGMA).encode(), "0 of 1801"),
    "log.txt": (_rows(np.log10(WAVE), FLUX, SIGMA).encode(), "micrometres or logarithms"),
    "ln.csv": (("wave,flux\n" + _rows(np.log(WAVE), FLUX, sep=",")).encode(), "micrometres or logarithms"),
    "b.csv": (("best,wave,brightness\n" + _rows(FLUX, WAVE, FLUX, sep=",")).encode(), "no column of flux by its name"),
    "e.txt": (("energy flux\n" + _rows(12398.42 / WAVE, FLUX)).encode(), "no wavelength by its name"),
    "w.bin": (bytes(range(256)) * 20, "neither FITS nor text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_spectrum_is_refused_in_one_line_that_says_what_it_is(name: str, tmp_path: Path) -> None:
    content, word = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SfhInputError, match=word) as raised:
        read_single_spectra(tmp_path / name)
    assert len(str(raised.value).replace(str(tmp_path), "").splitlines()) == 1
    assert len(str(raised.value).replace(str(tmp_path), "")) < 300


def test_a_file_without_a_spectrum_says_what_it_holds(tmp_path: Path) -> None:
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((20, 30, 30)), name="DATA")]).writeto(tmp_path / "c.fits")
    with pytest.raises(SfhInputError, match=r"DATA \(20, 30, 30\).*CRVAL1"):
        read_single_spectra(tmp_path / "c.fits")


def test_what_a_spectrum_is_taken_for_is_told(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("wave counts err_counts\n" + PLAIN)
    (one,) = read_single_spectra(tmp_path / "s.txt")
    assert any("counts is not calibrated" in note for note in one.notes)
    header = fits.Header({k: v for k, v in LINEAR.items() if k != "CRPIX1"})
    fits.PrimaryHDU(FLUX, header).writeto(tmp_path / "s.fits")
    (one,) = read_single_spectra(tmp_path / "s.fits")
    np.testing.assert_allclose(one.wave_aa, WAVE, atol=1e-6)
    assert any("no CRPIX1" in note for note in one.notes)


@pytest.mark.parametrize("name", ["total_flux", "cal_flux", "wave_flux", "LFLUX", "fiducial_flux"])
def test_letters_of_other_words_are_no_wavelength_times_flux(tmp_path: Path, name: str) -> None:
    for column in (name, "flux"):
        (tmp_path / f"{column}.txt").write_text(f"wave {column} err_{column}\n" + PLAIN)
    (one,), (plain,) = (read_single_spectra(tmp_path / f"{column}.txt") for column in (name, "flux"))
    np.testing.assert_array_equal(one.flux, plain.flux)
    assert not any("times flux" in note for note in one.notes)


def test_a_name_that_no_file_can_have_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(SfhInputError, match="too long"):
        read_single_spectra(tmp_path / ("x" * 300))


def _eso_product(tmp_path: Path, ucd: str, error_unit: str = "erg/s/cm2/Angstrom", **cards: Any) -> SingleSpectrum:
    """A table of one row of arrays, as ESO's standard has it."""
    unit, wave = "erg/s/cm2/Angstrom", VACUUM if ucd == "em.wl" else WAVE
    columns = (("WAVE", "Angstrom", wave), ("FLUX", unit, FLUX), ("ERR", error_unit, SIGMA), ("SNR", "", FLUX / SIGMA))
    form = f"{WAVE.size}D"
    hdu = fits.BinTableHDU.from_columns([fits.Column(n, form, u or None, array=v[None]) for n, u, v in columns])
    hdu.header["TUCD1"] = ucd
    primary = fits.PrimaryHDU(header=fits.Header({"PRODCATG": "SCIENCE.SPECTRUM", "SPECSYS": "BARYCENT", **cards}))
    fits.HDUList([primary, hdu]).writeto(tmp_path / "eso.fits")
    (one,) = read_single_spectra(tmp_path / "eso.fits")
    return one


@pytest.mark.parametrize("ucd", ["em.wl", "em.wl;obs.atmos"])
def test_esos_products_say_their_medium_and_resolution(ucd: str, tmp_path: Path) -> None:
    one = _eso_product(tmp_path, ucd, SPEC_RES=2500.0)
    _check(one)
    assert one.lsf is not None
    assert float(one.lsf.fwhm_aa(5000.0)) == pytest.approx(2.0)
    assert not any("taken for those in air" in note for note in one.notes)


def test_errors_in_counts_are_none_of_a_calibrated_flux(tmp_path: Path) -> None:
    one = _eso_product(tmp_path, "em.wl", "adu")
    assert any("ERR is in 'adu'" in note for note in one.notes)
    _check(one)  # by S/N


@pytest.mark.parametrize("warning", [0, 4])
def test_redshifts_of_a_table_go_to_their_spectra_with_its_doubts(warning: int, tmp_path: Path) -> None:
    hdus: list[Any] = [fits.PrimaryHDU()]
    for name, values in (("WAVELENGTH", VACUUM), ("FLUX", [FLUX, FLUX]), ("IVAR", [SIGMA**-2.0] * 2)):
        hdus.append(fits.ImageHDU(np.asarray(values), name=f"B_{name}"))
    known = Table({"Z": [0.1, 0.2], "ZWARN": [0, warning]})
    fits.HDUList([*hdus, fits.BinTableHDU(known, name="REDSHIFTS")]).writeto(tmp_path / "coadd.fits")
    first, second = read_single_spectra(tmp_path / "coadd.fits")
    assert (first.redshift, second.redshift) == (0.1, 0.2)
    assert any("ZWARN = 4" in note for note in second.notes) == bool(warning)
