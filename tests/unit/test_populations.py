"""Ages and metallicities of MAPS files, in whatever unit they come."""

import re

import numpy as np
import pytest
from astropy.io import fits
from io_mocks import write_maps

from napari_sfh.errors import SfhInputError
from napari_sfh.io.dap_populations import read_populations

BINS = np.array([[-1, 0, 0, 1], [2, 2, 1, 1]], dtype=np.int32)
LG_AGE = np.array([9.8, 9.0, 8.3])
MH = np.array([-0.3, 0.0, 0.2])


def _file(tmp_path, **images):
    """MAPS with further images: name to (value of each bin, BUNIT)."""
    path = write_maps(tmp_path / "maps.fits", BINS)
    with fits.open(path) as hdus:
        for name, (values, unit) in images.items():
            image = np.where(BINS >= 0, np.append(values, np.nan)[BINS], np.nan)
            hdu = fits.ImageHDU(image, header=hdus["BIN_ID"].header.copy(), name=name)
            if unit:
                hdu.header["BUNIT"] = unit
            hdus.append(hdu)
        hdus.writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize(
    ("values", "unit", "note"),
    [
        (LG_AGE, "log(yr)", ""),
        (LG_AGE - 9, "log10 Gyr", ""),
        (10**LG_AGE, "yr", ""),
        (10 ** (LG_AGE - 9), "Gyr", ""),
        (LG_AGE, "", "AGE_LW: BUNIT is absent, taken as log10 yr"),
        (10**LG_AGE, "", "AGE_LW: BUNIT is absent, taken as yr"),
        (10 ** (LG_AGE - 9), "", "AGE_LW: BUNIT is absent, taken as Gyr"),
    ],
)
def test_ages_in_any_unit(tmp_path, values, unit, note):
    found = read_populations(_file(tmp_path, AGE_LW=(values, unit)))
    np.testing.assert_allclose(found.means["lg_age_lw"], LG_AGE, rtol=1e-6)
    assert found.notes == ((note,) if note else ())
    np.testing.assert_array_equal(found.bin_id, BINS + 1)


@pytest.mark.parametrize(
    ("values", "name", "unit"),
    [
        (MH, "Z_MW", ""),
        (0.019 * 10**MH, "Z_MW", ""),
        (MH, "MH_MW", ""),
        (10**MH, "Z_MW", ""),
        (10**MH, "Z_MW", "Zsun"),
    ],
)
def test_metallicities(tmp_path, values, name, unit):
    found = read_populations(_file(tmp_path, **{name: (values, unit)}))
    np.testing.assert_allclose(found.means["mh_mw"], MH, atol=1e-6)


def test_errors_become_those_of_the_logarithm(tmp_path):
    """A tenth of the age in Gyr is 0.1 / ln 10 dex."""
    age = 10 ** (LG_AGE - 9)
    found = read_populations(_file(tmp_path, AGE_MW=(age, "Gyr"), FORM_ERR_AGE_MW=(0.1 * age, "Gyr")))
    np.testing.assert_allclose(found.errors["lg_age_mw"], 0.1 / np.log(10), rtol=1e-5)


def test_public_maps_have_no_ages_and_the_message_says_so(tmp_path):
    with pytest.raises(SfhInputError, match=r"no ages or metallicities \(AGE_LW.*public"):
        read_populations(_file(tmp_path))


@pytest.mark.parametrize(
    ("name", "values", "unit"),
    [
        ("AGE_LW", 10**LG_AGE, "dex(yr)"),
        ("AGE_LW", 10 ** (LG_AGE - 9), "yr"),
        ("AGE_MW", LG_AGE, "log Gyr"),
        ("AGE_LW", 10 ** (LG_AGE - 6), "Gyr"),
        ("Z_LW", 5 + MH, "dex"),
    ],
)
def test_a_unit_that_the_numbers_cannot_have_is_refused(tmp_path, name, values, unit):
    with pytest.raises(SfhInputError, match=re.escape(f"{name}: with BUNIT {unit!r}")):
        read_populations(_file(tmp_path, **{name: (values, unit)}))


def test_numbers_that_are_no_ages(tmp_path):
    with pytest.raises(SfhInputError, match="AGE_LW runs from -3 to"):
        read_populations(_file(tmp_path, AGE_LW=([-3.0, 5.0, 400.0], "")))
    with pytest.raises(SfhInputError, match="AGE_LW has no finite value"):
        read_populations(_file(tmp_path, AGE_LW=(np.full(3, np.nan), "yr")))


def test_another_shape_and_no_bins(tmp_path):
    path = _file(tmp_path)
    with fits.open(path) as hdus:
        hdus.append(fits.ImageHDU(np.ones((3, 3)), name="AGE_LW"))
        hdus.writeto(path, overwrite=True)
    with pytest.raises(SfhInputError, match=r"AGE_LW is \(3, 3\) but BIN_ID \(2, 4\)"):
        read_populations(path)
    fits.PrimaryHDU().writeto(path, overwrite=True)
    with pytest.raises(SfhInputError, match="no image BIN_ID"):
        read_populations(path)
