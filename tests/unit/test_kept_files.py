"""Files that stay open from one look to the next (`keep_fits_open`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from napari_sfh.demo import find_demo_folder
from napari_sfh.errors import SfhInputError
from napari_sfh.io.fits_access import keep_fits_open, open_fits
from napari_sfh.io.identify import identify_file


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A primary HDU and an image of float32."""
    path = tmp_path / "image.fits"
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.arange(12, dtype=np.float32).reshape(3, 4), name="SCI")]
    fits.HDUList(hdus).writeto(path)
    return path


def test_a_file_is_open_as_long_as_it_is_kept(image: Path) -> None:
    with keep_fits_open():
        with open_fits(image) as first:
            header = first["SCI"].header
        with open_fits(image) as second:
            assert second["SCI"].header is header
            file = second["SCI"].fileinfo()["file"]
        assert not file.closed
    assert file.closed


def test_without_it_a_file_is_closed_at_once(image: Path) -> None:
    with open_fits(image) as hdus:
        file = hdus["SCI"].fileinfo()["file"]
    assert file.closed


def test_pixels_that_a_caller_changed_are_read_anew(image: Path) -> None:
    with keep_fits_open():
        with open_fits(image) as hdus:
            hdus["SCI"].data.byteswap(inplace=True)
        with open_fits(image) as hdus:
            np.testing.assert_array_equal(hdus["SCI"].data.ravel(), np.arange(12))


def test_a_file_open_twice_has_two_sets_of_headers(image: Path) -> None:
    with keep_fits_open(), open_fits(image) as outer, open_fits(image) as inner:
        assert inner is not outer
        np.testing.assert_array_equal(inner["SCI"].data, outer["SCI"].data)


def test_a_file_that_was_written_anew_is_opened_anew(image: Path) -> None:
    with keep_fits_open():
        with open_fits(image) as hdus:
            assert hdus["SCI"].shape == (3, 4)
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((5, 700)), name="SCI")]).writeto(image, overwrite=True)
        with open_fits(image) as hdus:
            assert hdus["SCI"].shape == (5, 700)


def test_checksums_are_tested_although_the_file_is_kept(image: Path) -> None:
    with fits.open(image) as hdus:
        hdus.writeto(image, overwrite=True, checksum=True)
        place = hdus["SCI"].fileinfo()["datLoc"]
    content = bytearray(image.read_bytes())
    content[place + 5] ^= 0x40
    image.write_bytes(bytes(content))
    with keep_fits_open():
        with open_fits(image) as hdus:
            assert len(hdus) == 2
        with pytest.raises(SfhInputError, match="damaged"), open_fits(image, checksum=True):
            pass


@pytest.mark.parametrize("kind", ["DATACUBE", "MAPS", "f555w_v1_exp-drc-sci", "f555w_v1_err-drc-wht"])
def test_what_a_file_is_does_not_depend_on_it(kind: str) -> None:
    path = next(find_demo_folder().glob(f"*{kind}*"))
    fresh = identify_file(path)
    with keep_fits_open():
        assert [identify_file(path), identify_file(path)] == [fresh, fresh]
