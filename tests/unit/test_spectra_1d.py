"""Single spectra from SDSS files, tables and text."""

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table

from napari_sfh.errors import SfhInputError
from napari_sfh.io.objects.spectra_1d import read_single_spectra
from napari_sfh.physics.wavelength import vacuum_to_air

WAVE = np.arange(3800.0, 7400.0, 2.0)
FLUX = 1.0 + 0.1 * np.sin(WAVE / 50.0)


def test_text_with_and_without_names_is_one_spectrum(tmp_path):
    plain, named = tmp_path / "a.txt", tmp_path / "b.csv"
    np.savetxt(plain, np.column_stack([WAVE, FLUX, 0.01 * FLUX]))
    Table({"lambda": WAVE, "flux": FLUX, "err": 0.01 * FLUX}).write(named)
    (one,), (two,) = (read_single_spectra(path, "air") for path in (plain, named))
    for spectrum in (one, two):
        np.testing.assert_allclose(spectrum.wave_aa, WAVE)
        np.testing.assert_allclose(np.sqrt(spectrum.variance) / spectrum.flux, 0.01, rtol=1e-4)
        assert spectrum.good.all()
    np.testing.assert_allclose(one.flux, two.flux, rtol=1e-6)


def test_units_and_medium_count(tmp_path):
    path = tmp_path / "c.fits"
    Table({"wavelength": WAVE / 10, "flux": FLUX}, units={"wavelength": "nm"}).write(path)
    (vacuum,) = read_single_spectra(path, "vacuum")
    np.testing.assert_allclose(vacuum.wave_aa, vacuum_to_air(WAVE))
    assert any("no errors" in note for note in vacuum.notes)
    (assumed,) = read_single_spectra(path)
    np.testing.assert_allclose(assumed.wave_aa, WAVE)
    assert any("air" in note for note in assumed.notes)


def test_words_beside_the_columns_of_ecsv_count(tmp_path):
    wave = np.linspace(4800.0, 7000.0, 900)
    table = Table(
        {"wave": wave, "flux": np.ones(900), "err": np.full(900, 0.1)}, meta={"VACUUM": True, "REDSHIFT": 0.02}
    )
    table.write(tmp_path / "s.ecsv")
    (one,) = read_single_spectra(tmp_path / "s.ecsv")
    np.testing.assert_allclose(one.wave_aa, vacuum_to_air(wave))
    assert one.redshift == 0.02
    assert not any("air" in note for note in one.notes)


def test_errors_that_are_missing_come_from_the_scatter(tmp_path):
    rng = np.random.default_rng(3)
    path = tmp_path / "d.txt"
    np.savetxt(path, np.column_stack([WAVE, 1.0 + 0.02 * rng.standard_normal(WAVE.size)]))
    (spectrum,) = read_single_spectra(path, "air")
    assert np.sqrt(spectrum.variance[0]) == pytest.approx(0.02, rel=0.1)


def test_an_error_that_is_not_positive_marks_a_missing_pixel(tmp_path):
    error = 0.01 * FLUX
    error[[5, 9]] = -1.0, 0.0  # squared, -1 would be an error like others
    path = tmp_path / "e.csv"
    Table({"lambda": WAVE, "flux": FLUX, "err": error}).write(path)
    (spectrum,) = read_single_spectra(path, "air")
    assert np.flatnonzero(~spectrum.good).tolist() == [5, 9]


@pytest.mark.parametrize("number", [np.nan, 0.0, -1.0])
def test_what_is_no_redshift_in_a_table_is_none(tmp_path, number):
    rows = {"loglam": np.log10(WAVE), "flux": FLUX, "ivar": np.full(WAVE.size, 1e4)}
    coadd = fits.BinTableHDU(Table({k: np.asarray(v, np.float32) for k, v in rows.items()}))
    line = fits.BinTableHDU(Table({"Z": np.array([number], np.float32)}))
    fits.HDUList([fits.PrimaryHDU(), coadd, line]).writeto(tmp_path / "spec.fits")
    (spectrum,) = read_single_spectra(tmp_path / "spec.fits")
    assert spectrum.redshift is None


def test_an_sdss_file_brings_redshift_resolution_and_mask(tmp_path):
    ivar = np.full(WAVE.size, 1e4)
    ivar[10] = 0.0
    rows = {"loglam": np.log10(WAVE), "flux": FLUX, "ivar": ivar, "wdisp": np.ones(WAVE.size)}
    coadd = fits.BinTableHDU(Table({k: np.asarray(v, np.float32) for k, v in rows.items()}))
    line = fits.BinTableHDU(Table({"Z": np.array([0.05], np.float32)}))
    fits.HDUList([fits.PrimaryHDU(), coadd, line]).writeto(tmp_path / "spec-1-2-3.fits")
    (spectrum,) = read_single_spectra(tmp_path / "spec-1-2-3.fits")
    assert spectrum.redshift == pytest.approx(0.05)
    assert not spectrum.good[10]
    # One pixel of 1e-4 in log10 is 69 km/s.
    assert spectrum.lsf.fwhm_aa(5000.0) == pytest.approx(2.3548 * 5000 * 1e-4 * np.log(10), rel=0.01)


@pytest.mark.parametrize(("name", "text"), [("e.txt", "1 2\n3 4\n"), ("f.fits", "no FITS"), ("g.txt", "a b\n1 x\n")])
def test_what_is_no_spectrum_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(SfhInputError, match=name):
        read_single_spectra(tmp_path / name)


@pytest.mark.parametrize(("name", "words"), [("mask", ("False", "True")), ("good", ("True", "False")),
                                             ("valid", ("1", "0")), ("flag", ("no", "yes"))])  # fmt: skip
def test_words_and_columns_of_good_pixels_mask(tmp_path, name, words):
    bad = np.arange(WAVE.size) % 10 == 0
    lines = [f"{w},{9 * f if b else f},0.01,{words[int(b)]}" for w, f, b in zip(WAVE, FLUX, bad)]
    (tmp_path / "s.csv").write_text("\n".join([f"wave,flux,err,{name}", *lines]))
    (spectrum,) = read_single_spectra(tmp_path / "s.csv", "air")
    np.testing.assert_array_equal(spectrum.good, ~bad)
    assert any(name in note and "left out" in note for note in spectrum.notes)


def test_the_index_of_pandas_is_no_wavelength(tmp_path):
    pd.DataFrame({"wave": WAVE, "flux": FLUX, "err": 0.01 * FLUX}).to_csv(tmp_path / "s.csv")
    (spectrum,) = read_single_spectra(tmp_path / "s.csv", "air")
    np.testing.assert_allclose(spectrum.wave_aa, WAVE)
    np.testing.assert_allclose(spectrum.flux, FLUX / np.median(FLUX), rtol=1e-5)


@pytest.mark.parametrize("name", ["snr", "S/N", "SN_pixel"])
def test_errors_follow_from_the_ratio_of_signal_to_noise(tmp_path, name):
    ratio = np.full(WAVE.size, 40.0)
    ratio[[5, 9]] = 0.0, -1.0
    Table({"wave": WAVE, "flux": FLUX, name: ratio}).write(tmp_path / "s.csv")
    (spectrum,) = read_single_spectra(tmp_path / "s.csv", "air")
    np.testing.assert_allclose(spectrum.variance[10:], (spectrum.flux[10:] / 40) ** 2, rtol=1e-5)
    assert np.flatnonzero(~spectrum.good).tolist() == [5, 9]
    assert any("signal to noise" in note for note in spectrum.notes)


def test_natural_logarithms_of_wavelengths_are_known_by_their_name(tmp_path):
    Table({"lnlam": np.log(WAVE), "flux": FLUX}).write(tmp_path / "s.csv")
    (spectrum,) = read_single_spectra(tmp_path / "s.csv", "air")
    np.testing.assert_allclose(spectrum.wave_aa, WAVE, rtol=1e-9)


@pytest.mark.parametrize("name", ["logflux", "log_flux", "lnF", "log10 flux"])
def test_logarithms_are_no_flux(tmp_path, name):
    Table({"wave": WAVE, name: np.log10(FLUX)}).write(tmp_path / "m.csv")
    with pytest.raises(SfhInputError, match="holds logarithms"):
        read_single_spectra(tmp_path / "m.csv")


def test_magnitudes_are_no_flux_and_choices_are_told(tmp_path):
    np.savetxt(tmp_path / "m.csv", np.column_stack([WAVE, 20 - FLUX]), delimiter=",", header="wave,mag", comments="")
    with pytest.raises(SfhInputError, match="mag holds magnitudes"):
        read_single_spectra(tmp_path / "m.csv")
    Table({"rest_wave": WAVE, "flux_1": FLUX, "flux_2": 2 * FLUX[::-1]}).write(tmp_path / "s.csv")
    (spectrum,) = read_single_spectra(tmp_path / "s.csv")
    np.testing.assert_allclose(spectrum.flux, FLUX / np.median(FLUX), rtol=1e-5)
    assert any("the flux is flux_1" in note for note in spectrum.notes)
    assert any("rest_wave" in note and "redshift 0" in note for note in spectrum.notes)


def test_stretches_of_one_flux_are_no_data_and_rounded_fluxes_are(tmp_path):
    """Edges as `numpy.interp` leaves them beyond its range; a spectrum of steps of 0.5 has such runs by itself."""
    wave = np.arange(4000.0, 7000.0, 2.0)
    flux = 1 + 0.1 * np.random.default_rng(1).standard_normal(wave.size)
    padded = np.where(wave < 4200, flux[100], np.where(wave > 6900, flux[-50], flux))
    for name, values, left_out in (("padded", padded, 151), ("steps", np.round(flux * 2) / 2, 0)):
        Table({"wave": wave, "flux": values, "err": 0.1 + 0 * wave}).write(tmp_path / f"{name}.csv")
        (one,) = read_single_spectra(tmp_path / f"{name}.csv")
        assert (~one.good).sum() == left_out
        assert any(f"{left_out} pixels in stretches of one constant" in note for note in one.notes) == bool(left_out)


def test_named_arrays_of_numpy_are_a_spectrum_and_others_are_told(tmp_path):
    """As scripts around pPXF save them: arrays of other lengths beside them, the redshift as a number."""
    wave = np.exp(np.linspace(np.log(4800.0), np.log(7000.0), 900))
    flux = 1 + 0.1 * np.random.default_rng(1).standard_normal(wave.size)
    arrays = {"lam": wave, "galaxy": flux, "noise": np.full(900, 0.1), "bestfit": np.ones(900), "weights": np.ones(150)}
    np.savez(tmp_path / "a.npz", **arrays, z=0.02)
    np.savez_compressed(tmp_path / "b.npz", **{name.upper(): array for name, array in arrays.items()}, redshift=0.02)
    np.save(tmp_path / "c.npy", np.rec.fromarrays([wave, flux], names=["wave", "flux"]))
    for name, redshift in (("a.npz", 0.02), ("b.npz", 0.02), ("c.npy", None)):
        (one,) = read_single_spectra(tmp_path / name)
        np.testing.assert_allclose(one.wave_aa, wave)
        np.testing.assert_allclose(one.flux * np.median(flux), flux, rtol=1e-6)
        assert one.redshift == redshift
    np.save(tmp_path / "plain.npy", np.column_stack([wave, flux]))
    np.savez(tmp_path / "pickled.npz", wave=wave, flux=np.array([None, 1], dtype=object))
    np.savez(tmp_path / "unnamed.npz", wave, flux)
    for name, words in (("plain.npy", "no names"), ("pickled.npz", "Object arrays"), ("unnamed.npz", "arr_0, arr_1")):
        with pytest.raises(SfhInputError, match=words):
            read_single_spectra(tmp_path / name)
