"""A corpus of broken files, made here: each is refused with one line that names file and fault; none crashes."""

from __future__ import annotations

import gzip
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from io_mocks import NX, NY, N, cube_header, flux_values, write_cube, write_maps, write_mosaic

from napari_sfh.errors import SfhInputError
from napari_sfh.io import fits_access
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.dap import read_maps
from napari_sfh.io.identify import describe_file, find_galaxy_files, identify_file
from napari_sfh.io.image_reader import ImageReader
from napari_sfh.io.mosaics import read_mosaic
from napari_sfh.io.ngist import read_ngist
from napari_sfh.io.results import read_result

READERS = (read_cube, read_mosaic, read_maps, read_ngist, read_result)


def set_cards(path: Path, extension: int = 1, **cards: object) -> Path:
    """Change (or with None remove) cards of an extension without astropy's checks on the others."""
    with fits.open(path, mode="update") as hdus:
        for key, value in cards.items():
            if value is None:
                hdus[extension].header.remove(key, ignore_missing=True)
            else:
                hdus[extension].header[key] = value
    return path


def overwrite_card(path: Path, key: str, text: str) -> Path:
    """Put any text into the value of the first card ``key`` after the primary header, as broken software does."""
    raw = path.read_bytes()
    at = raw.index(f"{key:8s}= ".encode(), 2880)
    path.write_bytes(raw[:at] + f"{key:8s}= {text:>20s}".encode().ljust(80) + raw[at + 80 :])
    return path


def cut(path: Path, share: float) -> Path:
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    return path


def cube(folder: Path, **kw: object) -> Path:
    return write_cube(folder / "bad.fits", **kw)  # type: ignore[arg-type]


def no_fits(folder: Path, content: bytes, name: str = "bad.fits") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def table_only(folder: Path) -> Path:
    table = fits.BinTableHDU.from_columns([fits.Column("A", "D", array=[1.0, 2.0])])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / "bad.fits")
    return folder / "bad.fits"


def image_only(folder: Path, ndim: int) -> Path:
    fits.PrimaryHDU(np.zeros((6,) * ndim, dtype=np.float32)).writeto(folder / "bad.fits")
    return folder / "bad.fits"


def swapped_axes(folder: Path) -> Path:
    """Wavelength first: FITS axis 1 is the spectral one, as some exporters write it."""
    header = cube_header()
    swap = {"1": "3", "3": "1"}
    out = fits.Header({"BUNIT": header["BUNIT"]})
    for key in header:
        if key != "BUNIT":
            out["".join(swap.get(c, c) for c in key)] = header[key]
    hdu = fits.ImageHDU(np.ascontiguousarray(flux_values().T), out, name="DATA")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(folder / "bad.fits")
    return folder / "bad.fits"


def swapped_names(folder: Path) -> Path:
    """EXTNAMEs exchanged: what is called DATA is the variance."""
    path = cube(folder, names=("STAT", "DATA"), stat_unit="10**-40 Angstrom-2 cm-4 erg2 s-2")
    return path


def stat_of_other_shape(folder: Path) -> Path:
    return cube(folder, stat=np.ones((N, NY, NX + 1)))


def lost_gzip_tail(folder: Path) -> Path:
    path = cube(folder, stat=None)
    raw = gzip.compress(path.read_bytes(), compresslevel=1)
    path.unlink()
    return no_fits(folder, raw[: len(raw) // 2], "bad.fits.gz")


#: name: (maker, words of the message of read_cube)
CUBES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty": (lambda d: no_fits(d, b""), "is empty"),
    "text": (lambda d: no_fits(d, b"SIMPLE? no, plain text\n" * 400), "not a readable FITS file"),
    "zeros": (lambda d: no_fits(d, bytes(5760)), "not a readable FITS file"),
    "half a header": (lambda d: no_fits(d, b"SIMPLE  =                    T".ljust(1000)), "not a readable FITS file"),
    "truncated in DATA": (lambda d: cut(cube(d), 0.3), r"truncated, HDU 1 \(DATA\) needs \d+ bytes but the file has"),
    "truncated in STAT": (lambda d: cut(cube(d), 0.8), r"truncated, HDU 2 \(STAT\) needs"),
    "truncated by one block": (lambda d: no_fits(d, cube(d).read_bytes()[:-2880]), r"truncated, HDU 2 \(STAT\)"),
    "truncated gzip": (lost_gzip_tail, "cannot be read|not a readable|truncated"),
    "table": (table_only, "not a cube, no 3-D flux image"),
    "2-D image": (lambda d: image_only(d, 2), r"not a cube, .*PRIMARY \(6, 6\)"),
    "4-D image": (lambda d: image_only(d, 4), "not a cube"),
    "only STAT": (lambda d: cube(d, names=("STAT", "VAR")), "not a cube, no 3-D flux image"),
    "STAT of other shape": (stat_of_other_shape, r"STAT has the shape \(3681, 4, 6\) but DATA \(3681, 4, 5\)"),
    "names swapped": (swapped_names, "flux density squared; are DATA and STAT swapped"),
    "axes swapped": (swapped_axes, "wavelength must be axis 3; reorder"),
    "no BUNIT": (lambda d: cube(d, BUNIT=None), r"DATA has no BUNIT .*; add it"),
    "BUNIT of counts": (lambda d: cube(d, BUNIT="count"), "BUNIT 'count' of DATA is no flux density"),
    "BUNIT nonsense": (lambda d: cube(d, BUNIT="flux!"), "BUNIT 'flux!' of DATA is no flux density"),
    "no CRVAL3 step": (lambda d: cube(d, CD3_3=None), "CD3_3 or CDELT3 is absent or 0"),
    "CD3_3 zero": (lambda d: cube(d, CD3_3=0.0), "CD3_3 or CDELT3 is absent or 0"),
    "CD3_3 negative": (lambda d: cube(d, CD3_3=-1.25), "CRVAL3 = 4749.88 .*149.9-4750 Angstrom, no optical"),
    "CTYPE3 and CUNIT3 missing": (
        lambda d: cube(d, CTYPE3=None, CUNIT3=None),
        "CTYPE3 .* is no wavelength axis; write AWAV",
    ),
    "CTYPE3 frequency": (lambda d: cube(d, CTYPE3="FREQ", CUNIT3="Hz"), "CRVAL3 = 4749.88 .*no optical"),
    "CUNIT3 nonsense": (lambda d: cube(d, CUNIT3="furlong"), "CUNIT3 = .* is no unit of wavelength"),
    "CUNIT3 of time": (lambda d: cube(d, CUNIT3="s"), "CUNIT3 = .* is no unit of wavelength"),
    "wavelengths in nm called Angstrom": (
        lambda d: cube(d, CRVAL3=474.988, CD3_3=0.125),
        r"CRVAL3 = .* no optical or infrared",
    ),
    "NaN CRVAL1": (lambda d: overwrite_card(cube(d), "CRVAL1", "NaN"), r"CRVAL1 = .* is not a finite number"),
    "NaN CD3_3": (lambda d: overwrite_card(cube(d), "CD3_3", "NaN"), r"CD3_3 = .* is not a finite number"),
    "infinite CRPIX2": (lambda d: overwrite_card(cube(d), "CRPIX2", "Infinity"), r"CRPIX2 = .* is not a finite number"),
    "text in CD1_1": (lambda d: overwrite_card(cube(d), "CD1_1", "'west    '"), r"CD1_1 = .* is not a finite number"),
    "no celestial axes": (lambda d: cube(d, CTYPE1="LINEAR", CTYPE2="LINEAR"), "no celestial WCS"),
    "half a celestial pair": (lambda d: cube(d, CTYPE2="LINEAR"), "no celestial WCS .*CTYPE2"),
    "no CD at all": (
        lambda d: set_cards(cube(d), **dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2"))),
        "neither CD1_1 nor CDELT1",
    ),
    "spaxels of a degree": (
        lambda d: cube(d, CD1_1=-1.0, CD2_2=1.0),
        r"CD1_1 = .* pixels of 3600 x 3600 arcsec, not possible here",
    ),
    "BITPIX unknown": (lambda d: overwrite_card(cube(d), "BITPIX", "7"), "not a readable|cannot be read|not a cube"),
    "NAXIS3 too large": (lambda d: overwrite_card(cube(d), "NAXIS3", "999999"), "truncated|not a readable"),
}


@pytest.fixture(params=list(CUBES))
def broken_cube(request, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        maker, words = CUBES[request.param]
        return maker(tmp_path), words


def read_to_the_end(path: Path) -> None:
    opened = read_cube(path)
    opened.read(0, opened.shape[0])


def test_broken_cubes_are_refused_with_the_fault(broken_cube):
    path, words = broken_cube
    with pytest.raises(SfhInputError, match=words) as caught:
        read_to_the_end(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: "), message
    assert "\n" not in message
    assert re.search(r"[;(]", message), "a remedy follows the fault"


def test_identify_survives_everything(broken_cube):
    """info and the viewer's first panel show the fault; a folder that holds only this is refused."""
    path, _ = broken_cube
    info = identify_file(path)
    lines = describe_file(info)
    assert lines[0].startswith(path.name)
    if info.kind in ("cube", "unknown") and not info.usable:
        assert info.problems or info.kind == "unknown"
    if not (info.kind == "cube" and info.usable):
        with pytest.raises(SfhInputError, match="no usable integral-field cube"):
            find_galaxy_files(path.parent)


def test_no_reader_crashes_on_any_of_it(broken_cube):
    """Whatever is fed to whichever reader: the package's own error or nothing."""
    path, _ = broken_cube
    for reader in READERS:
        try:
            opened = reader(path)
            if reader is read_cube:
                opened.read(0, 1)
        except SfhInputError as e:
            message = str(e)
        else:
            message = path.name
        assert path.name in message, reader.__name__


@pytest.mark.parametrize("reader", READERS, ids=lambda r: r.__name__)
def test_absent_file_and_folder(tmp_path, reader):
    for path, words in (
        (tmp_path / "no_sfh.fits", "no such file|not in the folder"),
        (tmp_path, "is a folder|name one"),
    ):
        with pytest.raises(SfhInputError, match=words):
            reader(path)


def bad_wcs_mosaic(folder: Path) -> Path:
    return write_mosaic(folder / "bad.fits", np.ones((20, 20)), CD1_1=None)


MOSAICS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "cube": (lambda d: cube(d), "no 2-D science image"),
    "table": (table_only, "no 2-D science image"),
    "truncated": (lambda d: cut(write_mosaic(d / "bad.fits", np.ones((90, 90))), 0.5), "truncated, HDU 0"),
    "no WCS": (lambda d: image_only(d, 2), "no celestial WCS"),
    "NaN WCS": (
        lambda d: set_cards(write_mosaic(d / "bad.fits", np.ones((20, 20))), 0, CRVAL2="NaN"),
        r"CRVAL2 = .* is not a finite number",
    ),
    "PHOTFLAM of text": (
        lambda d: write_mosaic(d / "bad.fits", np.ones((20, 20)), PHOTFLAM="unknown"),
        "no PHOTFLAM",
    ),
    "PHOTFLAM negative": (lambda d: write_mosaic(d / "bad.fits", np.ones((20, 20)), PHOTFLAM=-1.0), "no PHOTFLAM"),
}


@pytest.mark.parametrize("name", list(MOSAICS))
def test_broken_mosaics(tmp_path, name):
    maker, words = MOSAICS[name]
    with pytest.raises(SfhInputError, match=words):
        read_mosaic(maker(tmp_path))


def test_mosaic_without_any_good_pixel(tmp_path):
    """All NaN or all weight 0: nothing to calibrate, but no crash either; the band comes out masked."""
    for data, weight in ((np.full((40, 40), np.nan), np.ones((40, 40))), (np.ones((40, 40)), np.zeros((40, 40)))):
        path = write_mosaic(tmp_path / "x_exp_drc_sci.fits", data, weight)
        got, error = read_mosaic(path).read(slice(0, 40), slice(0, 40))
        assert np.isnan(got).all()
        assert np.isinf(error).all()


MAPS_FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "cube": (lambda d: cube(d), "no image BIN_ID"),
    "truncated": (lambda d: cut(write_maps(d / "bad.fits", np.ones((40, 40))), 0.3), "truncated"),
    "NaN WCS": (
        lambda d: set_cards(write_maps(d / "bad.fits", np.ones((NY, NX))), 1, CRVAL1="NaN"),
        r"CRVAL1 = .* is not a finite number",
    ),
    "BIN_ID a table": (table_only, "no image BIN_ID"),
}


@pytest.mark.parametrize("name", list(MAPS_FAULTS))
def test_broken_maps(tmp_path, name):
    maker, words = MAPS_FAULTS[name]
    with pytest.raises(SfhInputError, match=words):
        read_maps(maker(tmp_path))


def test_cube_that_is_cut_after_it_was_opened(tmp_path):
    """A file that shrinks under us (a failing mount): the slab that is gone says so."""
    path = cube(tmp_path, stat=None)
    opened = read_cube(path)
    opened.read(0, 10)
    with path.open("r+b") as f:
        f.truncate(path.stat().st_size // 2)
    with pytest.raises(SfhInputError, match=r"HDU 1 cannot be read .*damaged"):
        opened.read(N - 5, N)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
def test_hopeless_values_are_read_and_masked(tmp_path, value):
    flux = np.full((N, NY, NX), value, dtype=np.float32)
    good = read_cube(cube(tmp_path, flux=flux, stat=np.ones((N, NY, NX)))).read(0, 3)[2]
    assert not good.any()


def test_what_was_complete_once_is_looked_at_again_where_it_matters(tmp_path):
    path = tmp_path / "a.fits"
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.arange(4000, dtype=np.float32), name="DATA")])
    hdus.writeto(path, checksum=True)
    with fits_access.open_fits(path) as opened:
        assert len(opened) == 2
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    whole = path.read_bytes()
    path.write_bytes(whole[:-4000] + b"\x01" + whole[-3999:])
    os.utime(path, ns=times)
    with pytest.raises(SfhInputError, match="damaged or altered"), fits_access.open_fits(path, checksum=True):
        pass
    path.write_bytes(whole[:-2880])
    with pytest.raises(SfhInputError, match="truncated"), fits_access.open_fits(path):
        pass


@pytest.mark.parametrize("tile", [(1, 6, 5), (4, 6, 5)])
def test_planes_of_a_small_compressed_image_are_read_once(tmp_path, tile):
    data = np.random.default_rng(1).normal(size=(10, 6, 5)).astype(np.float32)
    hdu = fits.CompImageHDU(data, compression_type="GZIP_2", quantize_level=0.0, tile_shape=tile)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "c.fits")
    reader = ImageReader(tmp_path / "c.fits", 1)
    for lo, hi in ((3, 5), (0, 4), (9, 10), (2, 10), (0, 10)):
        out = np.empty((hi - lo, 6, 5), np.float32)
        reader.fill(lo, out)
        np.testing.assert_array_equal(out, data[lo:hi])
    (tmp_path / "c.fits").write_bytes(b"")
    reader.fill(0, out)
    np.testing.assert_array_equal(out, data)
