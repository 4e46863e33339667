"""Whether a mosaic of a field is told that lies beside the cube."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from test_band_check import CHECK, make_field

import napari_sfh
from napari_sfh import demo
from napari_sfh.analysis.credibility.shift_check import describe_shifted_band, find_shifted_band
from napari_sfh.prep.mosaics.photometry import MatchedMosaic, measure_bin_slopes
from napari_sfh.types import BinMap

SIDE, SPAXEL = 60, 0.2


def make_bins(step=5):
    """Square bins on a cube of 60 x 60 spaxels."""
    y, x = np.mgrid[:SIDE, :SIDE] // step
    number = (y * (SIDE // step) + x + 1).astype(np.int32)
    n = int(number.max())
    yy, xx = np.mgrid[:SIDE, :SIDE]
    centre = [np.bincount(number.ravel(), axis.ravel())[1:] / step**2 for axis in (xx, yy)]
    return BinMap(number, *centre, np.full(n, step**2, np.int32), np.full(n, 35, np.float32), 35.0, "file")


def make_sky(seed=0, shift=(0.0, 0.0)):
    """A disc with clusters, moved by ``shift`` arcsec along x and y."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] * SPAXEL
    x, y = x - shift[0], y - shift[1]
    image = np.exp(-np.hypot(x - 6, y - 6) / 4)
    for cx, cy in rng.uniform(0, 12, (40, 2)):
        image = image + 0.5 * np.exp(-0.5 * ((x - cx) ** 2 + (y - cy) ** 2) / 0.6**2)
    return image


def sum_bins(image, bins):
    return np.bincount(bins.bin_id.ravel(), image.ravel())[1:]


def make_displaced_field(shift, band=0, seed=0):
    """Residuals of a field of which a band is displaced, as a network leaves them, and the slopes of the images."""
    bins = make_bins()
    data, model = make_field(bins.n_bins, seed=seed)
    clear, seen = make_sky(seed), make_sky(seed, shift)
    excess = np.log(sum_bins(seen, bins) / sum_bins(clear, bins))
    phot = data.phot * np.exp(excess[:, None] * CHECK.response[band])
    slopes = np.stack([measure_bin_slopes(match_sky(seen if k == band else clear), bins, SPAXEL) for k in range(5)], 1)
    return replace(data, phot=phot.astype(np.float32)), model, slopes, bins


def match_sky(image):
    return MatchedMosaic(image.astype(np.float32), image.astype(np.float32), np.ones(image.shape, bool), 0.0)


def test_slopes_are_those_of_the_image():
    y, x = np.mgrid[:SIDE, :SIDE] * SPAXEL
    bins = make_bins()
    slopes = measure_bin_slopes(match_sky(np.exp(0.3 * x - 0.1 * y)), bins, SPAXEL)
    inner = (np.abs(bins.x - 29.5) < 20) & (np.abs(bins.y - 29.5) < 20)
    assert slopes[inner, 0] == pytest.approx(0.3, rel=0.01)
    assert slopes[inner, 1] == pytest.approx(-0.1, rel=0.01)
    assert np.isnan(slopes[0]).all()  # the image ends there
    holed = match_sky(np.ones((SIDE, SIDE)))._replace(covered=np.arange(SIDE)[:, None] + np.zeros(SIDE, int) < 30)
    assert np.isnan(measure_bin_slopes(holed, bins, SPAXEL)[bins.y > 30]).all()


@pytest.mark.parametrize("shift", [(0.7, 0.0), (-0.5, 0.5), (0.0, -0.8)])
def test_a_displaced_band_is_named_with_its_displacement(shift):
    data, model, slopes, bins = make_displaced_field(shift)
    found = find_shifted_band(data, model, CHECK, slopes, bins)
    assert found.band == 0
    assert (found.x_arcsec, found.y_arcsec) == pytest.approx(shift, abs=0.3)


def test_good_fields_and_fields_of_few_bins_are_not_told():
    for seed in range(20):
        data, model, slopes, bins = make_displaced_field((0.0, 0.0), seed=seed)
        assert find_shifted_band(data, model, CHECK, slopes, bins) is None
    data, model, slopes, bins = make_displaced_field((0.7, 0.0))
    assert find_shifted_band(data, model, CHECK, None, bins) is None
    assert find_shifted_band(data, None, CHECK, slopes, bins) is None
    assert find_shifted_band(data, model, None, slopes, bins) is None
    few = slice(0, 50)
    bins = replace(bins, x=bins.x[few], y=bins.y[few])
    assert find_shifted_band(data.select(few), model[few], CHECK, slopes[few], bins) is None


def test_an_older_centre_is_no_displacement():
    """Bins near the centre are all off in the same band: their residuals follow the light, not its slope."""
    data, model, slopes, bins = make_displaced_field((0.0, 0.0))
    centre = np.exp(-np.hypot(bins.x - 29.5, bins.y - 29.5) / 10)
    phot = data.phot * np.exp(0.4 * centre[:, None] * CHECK.response[0])
    assert find_shifted_band(replace(data, phot=phot.astype(np.float32)), model, CHECK, slopes, bins) is None


def test_the_note_tells_where_on_the_sky():
    data, model, slopes, bins = make_displaced_field((0.8, 0.0))
    found = find_shifted_band(data, model, CHECK, slopes, bins)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [10, -60]
    wcs.wcs.cd = np.array([[0, 1], [-1, 0]]) * SPAXEL / 3600  # x to the south, y to the east
    (note,) = describe_shifted_band(found, ("A", "B", "C", "D", "E"), wcs)
    assert "A (or a band next to it) lies beside the cube" in note
    assert "to the south" in note
    (sure,) = describe_shifted_band(found._replace(n_bins=400), ("A", "B", "C", "D", "E"), wcs)
    assert "A lies beside the cube" in sure
    assert describe_shifted_band(None, ("A",), wcs) == ()


def test_a_run_names_a_mosaic_that_lies_beside_the_cube(tmp_path: Path):
    galaxy = demo.write_demo_cutout(tmp_path / "galaxy", (slice(12, 44), slice(12, 44)))
    for mosaic in galaxy.glob("*f336w*.fits"):
        with fits.open(mosaic, mode="update") as hdus:
            for hdu in hdus:
                if "CRVAL2" in hdu.header:
                    hdu.header["CRVAL2"] += 1 / 3600
    config = napari_sfh.configure_run(galaxy, model="wide", ebv_mw=0.02, device="cpu", draws=50)
    notes = napari_sfh.run(config).settings["notes"]
    assert "WARNING: F336W lies beside the cube" in notes
    assert "to the north" in notes
