"""Weights for bands on a cube and on images, by the command line."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

import napari_sfh
from napari_sfh import demo
from napari_sfh.cli import main
from napari_sfh.config import RunConfig
from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.instruments.files import load_instrument, make_band_filters
from napari_sfh.io.results import read_result
from napari_sfh.physics.extinction import milky_way_transmission

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("page_at_once")]
DEMO = Path(napari_sfh.__file__).parent / "data" / "demo"


def needs(name):
    return pytest.mark.skipif(name not in list_bundles(), reason=f"weights {name} are not there")


@needs("narrowband-muse")
def test_bands_are_cut_from_a_cube_and_its_gradient_is_told(tmp_path, capsys):
    out = tmp_path / "narrow.fits"
    (cube,) = DEMO.glob("*DATACUBE*")
    arguments = ["--cube", str(cube), "--model", "narrowband-muse", "--target-snr", "300", "--quiet"]
    assert main(["run", *arguments, "--output", str(out)]) == 0
    result = read_result(out)
    assert result.prediction.scalars == ("lg_age_lw", "mh_lw")
    assert result.data.phot.shape == (result.bins.n_bins, 19)
    age = result.prediction.median("lg_age_lw")
    assert np.isfinite(age).mean() > 0.9
    assert 8.0 < np.nanmedian(age) < 10.3
    assert out.with_suffix(".png").stat().st_size > 10_000
    with fits.open(out) as hdus:
        assert {"AGE_LW", "AGE_LW_ERR", "MH_LW"} <= {hdu.name for hdu in hdus}
        assert "AGE_MW" not in {hdu.name for hdu in hdus}
    capsys.readouterr()
    assert main(["gradient", str(out), "--re", "4", "--output", str(tmp_path / "g.ecsv")]) == 0
    told = capsys.readouterr().out
    assert "LW age" in told
    assert "dex per R_e" in told
    table = Table.read(tmp_path / "g.ecsv", format="ascii.ecsv")
    assert all(table[name].description for name in table.colnames)
    assert list(table["UNIT"]) == ["dex", "dex"]
    assert list(table["QUANTITY"]) == ["AGE_LW", "MH_LW"]
    assert np.all(table["SLOPE_75_ERR"] > 0)


@needs("narrowband")
def test_images_give_maps_and_a_missing_band_is_no_harm(tmp_path):
    pairs = write_images(tmp_path)
    out = tmp_path / "out.fits"
    arguments = ["--images", *pairs, "--model", "narrowband", "--target-snr", "60", "--quiet"]
    assert main(["run", *arguments, "--output", str(out)]) == 0
    result = read_result(out)
    assert result.data.phot_mask.sum(1).tolist() == [32] * result.bins.n_bins
    assert np.isfinite(result.prediction.median("mh_lw")).all()


@needs("narrowband-muse")
def test_the_milky_way_dims_bands_of_a_cube_where_they_were_observed(tmp_path):
    """Bands at rest wavelengths l were seen at l (1 + z); the pivots themselves would be off by 2 % at z = 0.02."""
    (cube,) = demo.write_demo_cutout(tmp_path / "piece", (slice(20, 36), slice(20, 36))).glob("*DATACUBE*")
    z = 0.02
    flux = []
    for ebv in (0.0, 1.0):
        config = RunConfig(cube, model="narrowband-muse", redshift=z, ebv_mw=ebv, target_snr=300.0, draws=50)
        data = napari_sfh.run(config).data
        flux.append(np.where(data.phot_mask, data.phot * data.norm_cgs[:, None], np.nan))
    pivot = np.array([f.pivot_aa for f in make_band_filters(load_instrument("narrowband-muse"))])
    seen = np.isfinite(flux[0]).any(0)
    ratio = np.nanmedian(flux[0] / flux[1], axis=0)[seen]
    np.testing.assert_allclose(ratio, milky_way_transmission(pivot * (1 + z), 1.0)[seen], rtol=1e-3)


def write_images(folder):
    """Images of all bands but two; ``BAND=FILE`` of each."""
    rng = np.random.default_rng(5)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [-1e-4, 1e-4]
    pairs = []
    for band in load_instrument("narrowband").bands[:-2]:
        image = fits.ImageHDU(1e-17 * (1 + 0.01 * rng.standard_normal((8, 9))), wcs.to_header(), name="SCI")
        image.header["BUNIT"] = "erg/s/cm2/AA"
        error = fits.ImageHDU(np.full((8, 9), 2e-19), name="ERR")
        fits.HDUList([fits.PrimaryHDU(), image, error]).writeto(folder / f"{band.name}.fits")
        pairs.append(f"{band.name}={folder / band.name}.fits")
    return pairs


@needs("narrowband")
def test_a_folder_of_images_is_run_as_its_images_are(tmp_path, capsys):
    folder = tmp_path / "NGC0001"
    folder.mkdir()
    write_images(folder)
    assert main(["info", str(folder), "--model", "narrowband", "--quiet"]) == 0
    told = capsys.readouterr().out
    assert "32 of 34 bands" in told
    assert "72 of 9 x 8" in told
    out = tmp_path / "out.fits"
    assert main(["run", str(folder), "--model", "narrowband", "--quiet", "--output", str(out)]) == 0
    result = read_result(out)
    assert result.data.phot_mask.sum(1).tolist() == [32] * result.bins.n_bins
    capsys.readouterr()
    assert main(["run", str(folder), "--quiet", "--output", str(tmp_path / "no.fits")]) == 2  # `wide` needs a cube
    assert "cube" in capsys.readouterr().err


@needs("narrowband")
def test_an_unknown_band_is_refused_with_those_that_are_known(tmp_path, capsys):
    arguments = ["--images", f"X0001={tmp_path / 'x.fits'}", "--model", "narrowband", "--quiet"]
    (tmp_path / "x.fits").write_bytes(b"")
    assert main(["run", *arguments, "--output", str(tmp_path / "out.fits")]) == 2
    assert "X0001: the weights know J0378" in capsys.readouterr().err


@needs("narrowband-muse")
def test_a_galaxys_folder_gives_bands_on_the_bins_of_its_maps(tmp_path, capsys):
    out = tmp_path / "narrow.fits"
    assert main(["run", str(DEMO), "--model", "narrowband-muse", "--mask-lines", "--output", str(out)]) == 0
    told = capsys.readouterr().err
    assert "5 images are not used" in told
    assert "not used by weights for bands: --mask-lines" in told
    result = read_result(out)
    with fits.open(next(DEMO.glob("*MAPS*"))) as hdus:
        assert result.bins.n_bins == hdus["BIN_ID"].data.max() + 1  # MAPS count from 0
    assert result.bins.method == "maps"
    arguments = ["--cube", str(next(DEMO.glob("*DATACUBE*"))), "--photometry", "J0490=x.fits"]
    assert main(["run", *arguments, "--model", "narrowband-muse", "--output", str(out)]) == 2
    assert "--photometry" in capsys.readouterr().err


@needs("narrowband-muse")
def test_a_cube_that_misses_the_bands_is_refused_with_the_numbers(capsys, tmp_path):
    (cube,) = DEMO.glob("*DATACUBE*")
    arguments = ["--cube", str(cube), "--model", "narrowband-muse", "--redshift", "0.5", "--quiet"]
    assert main(["run", *arguments, "--output", str(tmp_path / "x.fits")]) == 2
    assert "of the 19 bands" in capsys.readouterr().err
