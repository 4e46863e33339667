"""XSL libraries in the authors' layout and in one npz file; MILES files in a tar archive."""

import tarfile

import numpy as np
import pytest
from astropy.io import fits

from napari_sfh.errors import SfhInputError
from napari_sfh.training.libraries import catalogue, emiles, xsl

LG_AGES = (7.8, 9.0, 10.1)
METALS = (-0.4, 0.0)
UNIT = xsl.FLUX_PER_LSUN


def light(lg_age, mh):
    """Lsun/AA per Msun of a toy SSP at 1 nm-wide steps of flat light."""
    return 1e-4 * (11.0 - lg_age) * (1 + 0.2 * mh)


def write_file(folder, lg_age, mh, n=4000, ctype="LOG10", **changes):
    hdu = fits.PrimaryHDU(np.full(n, light(lg_age, mh) * UNIT))
    hdu.header["CRVAL1"], hdu.header["CDELT1"], hdu.header["CRPIX1"] = np.log10(350.0), 1.2e-4, 1
    hdu.header["CTYPE1"], hdu.header["CUNIT1"] = ctype, "nm"
    name = {"imf": "Kroupa", "iso": "PC"} | changes
    path = folder / f"XSL_SSP_logT{lg_age}_MH{mh}_{name['imf']}_{name['iso']}.fits"
    hdu.writeto(path, overwrite=True)
    return path


@pytest.fixture
def folder(tmp_path):
    for lg_age in LG_AGES:
        for mh in METALS:
            write_file(tmp_path, lg_age, mh)
    return tmp_path


def test_a_folder_gives_lsun_per_msun_on_an_air_grid(folder):
    assert xsl.is_xsl_library(folder)
    library = xsl.load_xsl_library(folder, "xsl")
    np.testing.assert_allclose(np.log10(library.age_gyr) + 9, LG_AGES)
    np.testing.assert_allclose(library.mh, METALS)
    assert library.wave_aa[0] == pytest.approx(3500.0)
    np.testing.assert_allclose(np.diff(np.log10(library.wave_aa)), 1.2e-4, rtol=1e-6)
    np.testing.assert_allclose(library.spectrum[0, 1], light(9.0, -0.4), rtol=1e-6)
    assert (library.imf, library.isochrones) == ("Kroupa", "Padova/COLIBRI")
    # sigma 11 km/s at 6000 AA.
    assert np.interp(6000.0, library.wave_aa, library.fwhm_aa) == pytest.approx(2.3548 * 6000 * 11 / 299792.458, 1e-3)


def test_npz_and_folder_are_the_same_library(folder):
    nodes = [(t, z) for t in LG_AGES for z in METALS][::-1]  # any order
    wave, _ = xsl.read_xsl_spectrum(next(folder.glob("*.fits")))
    flux = np.stack([np.full(wave.size, light(t, z) * UNIT, np.float32) for t, z in nodes])
    path = folder / "mine.npz"
    np.savez(path, wave_aa=wave, flux=flux, lg_age_yr=[t for t, _ in nodes], mh=[z for _, z in nodes])
    assert xsl.load_xsl_library(path, "a").sha256 == xsl.load_xsl_library(folder, "b").sha256


def test_holes_and_mixtures_are_named(folder):
    write_file(folder, 9.0, 0.0, imf="Salpeter")
    with pytest.raises(SfhInputError, match="2 kinds"):
        xsl.load_xsl_library(folder, "x")
    (folder / "XSL_SSP_logT9.0_MH0.0_Salpeter_PC.fits").unlink()
    (folder / "XSL_SSP_logT9.0_MH0.0_Kroupa_PC.fits").unlink()
    with pytest.raises(SfhInputError, match=r"1 of 6 SSPs missing, e\.g\. \[M/H\] \+0\.0 at log age 9\.0"):
        xsl.load_xsl_library(folder, "x")


def test_a_linear_axis_and_a_cut_file_are_refused(folder, tmp_path):
    with pytest.raises(SfhInputError, match="log10 of nm"):
        xsl.read_xsl_spectrum(write_file(tmp_path, 9.0, 0.2, ctype="WAVE"))
    path = write_file(folder, 9.0, 0.0)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(SfhInputError, match=r"not an XSL spectrum|truncated"):
        xsl.load_xsl_library(folder, "x")


def test_load_library_takes_the_folder_for_xsl(folder, monkeypatch):
    from napari_sfh.training.libraries import young_extension

    monkeypatch.setattr(young_extension, "needs_extension", lambda library: False)
    assert catalogue.load_library("xsl", folder).citation == xsl.XSL_CITATION


def test_a_tar_archive_of_miles_files_with_its_abundance(tmp_path):
    source = tmp_path / "miles_a4"
    source.mkdir()
    for age in (0.1, 1.0):
        for mh in ("m0.35", "p0.06"):
            hdu = fits.PrimaryHDU(np.full(4300, 1e-4, np.float32))
            hdu.header["CRVAL1"], hdu.header["CDELT1"], hdu.header["CRPIX1"] = 3540.5, 0.9, 1
            hdu.writeto(source / f"Mbi1.30Z{mh}T{age:07.4f}_iTp0.40_Ep0.40.fits")
    path = tmp_path / "miles.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        archive.add(source, "miles_a4")
    library = emiles.load_miles_folder(path, "miles-a4")
    assert library.isochrones == "BaSTI, [alpha/Fe] +0.40"
    assert library.sha256 == emiles.load_miles_folder(source, "other name").sha256
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SfhInputError, match=r"not a readable tar archive|no E-MILES"):
        emiles.load_miles_folder(path, "x")
