"""Tables of a GIST/nGIST run, against a run made here."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from io_mocks import image_header

from napari_sfh.errors import SfhInputError
from napari_sfh.io.identify import identify_file
from napari_sfh.io.ngist import read_ngist

NY, NX, N_BINS, N_AGE, N_METAL = 4, 6, 5, 3, 2
LOG_AGES_GYR = np.array([-1.0, 0.0, 1.0])


def write_run(folder, weights: bool = True, n_sfh: int = N_BINS):
    """A run NGC1365: bins are columns of the field; the last row lies outside, labelled minus the nearest bin."""
    y, x = (v.ravel() for v in np.mgrid[:NY, :NX])
    bins = np.minimum(x, N_BINS - 1)
    outside = y == NY - 1
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("ID", "J", array=np.arange(x.size)),
            fits.Column("BIN_ID", "J", array=np.where(outside, -bins, bins) - outside * (bins == 0)),
            fits.Column("X", "D", array=-0.6 + 0.2 * x),
            fits.Column("Y", "D", array=-0.4 + 0.2 * y),
            fits.Column("FLUX", "D", array=np.ones(x.size)),
            fits.Column("SNR", "D", array=np.ones(x.size)),
            fits.Column("XBIN", "D", array=np.ones(x.size)),
            fits.Column("YBIN", "D", array=np.ones(x.size)),
            fits.Column("SNRBIN", "D", array=40.0 + bins),
            fits.Column("NSPAX", "J", array=np.ones(x.size, dtype=int)),
        ],
        name="TABLE",
    )
    order = np.random.default_rng(0).permutation(x.size)
    table.data = table.data[order]
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / "NGC1365_table.fits")
    sfh = fits.BinTableHDU.from_columns(
        [
            fits.Column("AGE", "D", array=np.linspace(1, 10, n_sfh)),
            fits.Column("METAL", "D", array=np.linspace(-0.5, 0.1, n_sfh)),
            fits.Column("ALPHA", "D", array=np.zeros(n_sfh)),
        ],
        name="SFH",
    )
    fits.HDUList([fits.PrimaryHDU(), sfh]).writeto(folder / "NGC1365_sfh.fits")
    if weights:
        age, metal = (v.ravel() for v in np.meshgrid(LOG_AGES_GYR, [-0.4, 0.2], indexing="ij"))
        values = np.zeros((N_BINS, age.size))
        values[:, 0], values[:, 5] = 3.0, 1.0  # 3 parts of (0.1 Gyr, -0.4), 1 part of (10 Gyr, +0.2)
        grid = [fits.Column(n, "D", array=v) for n, v in (("LOGAGE", age), ("METAL", metal), ("ALPHA", 0 * age))]
        hdus = [
            fits.PrimaryHDU(),
            fits.BinTableHDU.from_columns([fits.Column("WEIGHTS", f"{age.size}D", array=values)], name="WEIGHTS"),
            fits.BinTableHDU.from_columns(grid, name="GRID"),
        ]
        fits.HDUList(hdus).writeto(folder / "NGC1365_sfh-weights.fits")
    return folder / "NGC1365_sfh.fits"


def test_bins_and_means(tmp_path):
    run = read_ngist(write_run(tmp_path))
    expected = np.tile(np.minimum(np.arange(NX), N_BINS - 1) + 1, (NY, 1))
    expected[-1] = 0
    np.testing.assert_array_equal(run.bin_id, expected)
    np.testing.assert_allclose(run.snr, 40.0 + np.arange(N_BINS))
    np.testing.assert_allclose(run.lg_age_yr, np.log10(np.linspace(1, 10, N_BINS)) + 9, rtol=1e-6)
    np.testing.assert_allclose(run.mh, np.linspace(-0.5, 0.1, N_BINS), rtol=1e-6)
    np.testing.assert_allclose(run.x_arcsec, -0.6 + 0.2 * np.arange(NX), atol=1e-12)
    np.testing.assert_allclose(run.y_arcsec, -0.4 + 0.2 * np.arange(NY), atol=1e-12)


def test_means_from_weights(tmp_path):
    """(3 x -1 + 1 x 1)/4 = -0.5 in log Gyr; (3 x -0.4 + 0.2)/4 = -0.25."""
    run = read_ngist(write_run(tmp_path))
    np.testing.assert_allclose(run.lg_age_weighted_yr, 8.5)
    np.testing.assert_allclose(run.mh_weighted, -0.25, rtol=1e-6)


def test_without_weights(tmp_path):
    run = read_ngist(write_run(tmp_path, weights=False))
    assert run.lg_age_weighted_yr is None
    assert run.mh_weighted is None


def test_either_file_leads_to_the_run(tmp_path):
    write_run(tmp_path)
    a, b = (read_ngist(tmp_path / f"NGC1365_{n}.fits") for n in ("table", "sfh"))
    np.testing.assert_array_equal(a.bin_id, b.bin_id)
    assert identify_file(tmp_path / "NGC1365_table.fits").kind == "ngist"
    assert identify_file(tmp_path / "NGC1365_sfh.fits").kind == "ngist"


def test_lonely_table(tmp_path):
    write_run(tmp_path)
    (tmp_path / "NGC1365_sfh.fits").unlink()
    with pytest.raises(SfhInputError, match=r"its companion NGC1365_sfh\.fits"):
        read_ngist(tmp_path / "NGC1365_table.fits")


def test_tables_of_two_runs(tmp_path):
    with pytest.raises(SfhInputError, match=r"5 bins but 9 rows in NGC1365_sfh\.fits"):
        read_ngist(write_run(tmp_path, n_sfh=9))


def test_other_name(tmp_path):
    path = tmp_path / "x.fits"
    fits.PrimaryHDU().writeto(path)
    with pytest.raises(SfhInputError, match=r"no \*_table\.fits, \*_sfh\.fits"):
        read_ngist(path)


def test_other_columns(tmp_path):
    path = write_run(tmp_path)
    hdu = fits.BinTableHDU.from_columns([fits.Column("A", "D", array=[1.0])], name="SFH")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    with pytest.raises(SfhInputError, match="no table with the columns AGE, METAL"):
        read_ngist(path)


def write_maps_of_run(folder, **replace):
    """The same run as images: bins are columns, NaN and negative numbers outside."""
    bins = np.tile(np.minimum(np.arange(NX), N_BINS - 1), (NY, 1)).astype(float)
    ages, metals = np.linspace(1, 10, N_BINS), np.linspace(-0.5, 0.1, N_BINS)
    images = {"AGE": ages[bins.astype(int)], "METAL": metals[bins.astype(int)], "SNRBIN": 40 + bins}
    bins[-1], bins[0, 0] = -bins[-1] - (bins[-1] == 0), np.nan
    images = {"BINID": bins, **images, **replace}
    header = image_header(NY, NX, 0.2)
    for name, keys in (("SPATIAL_BINNING", ("BINID", "SNRBIN")), ("SFH", ("AGE", "METAL"))):
        hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(images[k], header, name=k) for k in keys if images[k] is not None)]
        fits.HDUList(hdus).writeto(folder / f"NGC1365_{name}_maps.fits", overwrite=True)
    return folder / "NGC1365_SFH_maps.fits"


def test_maps_give_the_same_as_tables(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "maps").mkdir()
    a, b = read_ngist(write_run(tmp_path / "tables")), read_ngist(write_maps_of_run(tmp_path / "maps"))
    expected = a.bin_id.copy()
    expected[0, 0] = 0
    np.testing.assert_array_equal(b.bin_id, expected)
    for name in ("snr", "lg_age_yr", "mh"):
        np.testing.assert_allclose(getattr(b, name), getattr(a, name), rtol=1e-6)
    np.testing.assert_allclose(np.diff(b.x_arcsec), 0.2)
    assert identify_file(tmp_path / "maps" / "NGC1365_SFH_maps.fits").kind == "ngist"


def test_maps_with_the_median_subtracted(tmp_path):
    path = write_maps_of_run(tmp_path, AGE=np.tile(np.linspace(-3, 3, NX), (NY, 1)))
    with pytest.raises(SfhInputError, match="negative ages, its median was"):
        read_ngist(path)


def test_maps_without_bins(tmp_path):
    with pytest.raises(SfhInputError, match="no map BINID among"):
        read_ngist(write_maps_of_run(tmp_path, BINID=None))


def test_weights_and_templates_are_kept(tmp_path):
    run = read_ngist(write_run(tmp_path))
    assert run.weights.shape == (N_BINS, N_AGE * N_METAL)
    np.testing.assert_allclose(run.templates[[0, 5]], [[8.0, -0.4], [10.0, 0.2]], rtol=1e-6)
    assert run.errors == {}
    assert run.wcs is None


def test_errors_of_the_logarithm_from_those_of_the_age(tmp_path):
    """1 Gyr +- 0.1 Gyr is 9 +- 0.1 / ln 10 dex."""
    path = write_run(tmp_path)
    with fits.open(path) as hdus:
        columns = [fits.Column(n, "D", array=np.full(N_BINS, 0.1)) for n in ("ERR_AGE_MC", "ERR_METAL_MC")]
        table = fits.BinTableHDU.from_columns(hdus["SFH"].columns + fits.ColDefs(columns), name="SFH")
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
    run = read_ngist(path)
    np.testing.assert_allclose(run.errors["lg_age_yr"], 0.1 / np.linspace(1, 10, N_BINS) / np.log(10), rtol=1e-5)
    np.testing.assert_allclose(run.errors["mh"], 0.1, rtol=1e-6)


def change_ages(path, ages):
    with fits.open(path, mode="update") as hdus:
        hdus["SFH"].data["AGE"] = ages
    return path


@pytest.mark.parametrize(("weights", "ages", "lg_age", "words"), [
    (True, np.full(5, 8.5), 8.5, "log10 yr"), (True, np.full(5, 2.0), 9.301, ""),
    (False, np.linspace(7, 10, 5), np.log10(np.linspace(7, 10, 5)) + 9, "read as Gyr"),
])  # fmt: skip
def test_ages_that_may_be_logarithms_are_told_apart_or_told(tmp_path, weights, ages, lg_age, words):
    """The weights' mean log age is 8.5."""
    run = read_ngist(change_ages(write_run(tmp_path, weights), ages))
    np.testing.assert_allclose(run.lg_age_yr, lg_age, atol=1e-3)
    assert words in " ".join(run.notes)
    assert bool(run.notes) == bool(words)


@pytest.mark.parametrize("ages", [np.linspace(-0.5, 1.0, 5), np.linspace(1e9, 1e10, 5)])
def test_ages_that_are_no_gyr_are_refused(tmp_path, ages):
    with pytest.raises(SfhInputError, match="no ages in Gyr"):
        read_ngist(change_ages(write_run(tmp_path), ages))


def test_grids_in_log_yr_are_no_hundreds_of_gyr(tmp_path):
    path = write_run(tmp_path)
    with fits.open(tmp_path / "NGC1365_sfh-weights.fits", mode="update") as hdus:
        hdus["GRID"].data["LOGAGE"] += 9
    np.testing.assert_allclose(read_ngist(path).templates[:, 0].min(), 8.0)
