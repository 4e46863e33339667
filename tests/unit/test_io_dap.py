"""MAPS files: bins, kinematics, lines, grids."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from io_mocks import NX, NY, PHANGS_LINES, write_cube, write_maps

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.bin_maps import renumber_bins
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.dap import check_maps_on_cube, list_line_names, read_line_maps, read_line_maps_on_grid, read_maps

PUBLIC = "NGC0628_MAPS_copt_0.92asec.fits"


def dap_bins() -> np.ndarray:
    """Numbers from 0 with a gap (3 is missing) and -1 = none."""
    bins = np.arange(NY * NX).reshape(NY, NX) // 4
    bins = np.where(bins == 3, 7, bins)
    bins[0, 4] = -1
    return bins


def test_bins_are_renumbered_without_loss_of_bin_zero(tmp_path):
    bins = dap_bins()
    maps = read_maps(write_maps(tmp_path / PUBLIC, bins))
    assert maps.bin_id.dtype == np.int32
    assert maps.bin_id[0, 4] == 0
    np.testing.assert_array_equal(np.unique(maps.bin_id), [0, 1, 2, 3, 4, 5])
    # The spaxels of one bin stay together, and in order: 0 -> 1, 1 -> 2, 2 -> 3, 4 -> 4, 7 -> 5.
    for old, new in ((0, 1), (1, 2), (2, 3), (4, 4), (7, 5)):
        np.testing.assert_array_equal(maps.bin_id == new, bins == old)


def test_renumber_handles_nan_and_keeps_order():
    np.testing.assert_array_equal(renumber_bins(np.array([[np.nan, 5.0], [-1.0, 2.0]]), "x")[0], [[0, 2], [0, 1]])
    with pytest.raises(SfhInputError, match="holds no bin"):
        renumber_bins(np.full((2, 2), -1), "x")


@pytest.mark.parametrize("fill", [3e38, 2.0**53, np.finfo(np.float64).max])
def test_numbers_that_no_count_reaches_mark_no_bin(fill):
    np.testing.assert_array_equal(renumber_bins(np.array([[fill, 5.0], [fill, 2.0]]), "x")[0], [[0, 2], [0, 1]])


def test_kinematics(tmp_path):
    bins = dap_bins()
    maps = read_maps(write_maps(tmp_path / PUBLIC, bins))
    assert maps.redshift == 0.00219
    assert maps.v_kms.dtype == maps.sigma_kms.dtype == np.float32
    assert maps.v_kms.dtype.isnative
    inside = bins >= 0
    np.testing.assert_allclose(maps.v_kms[inside], 10.0 * bins[inside])
    np.testing.assert_allclose(maps.sigma_kms[inside], 50.0 + bins[inside])
    assert np.isnan(maps.v_kms[~inside]).all()
    assert np.isnan(maps.sigma_kms[~inside]).all()


@pytest.mark.parametrize("fill", [-999.0, 1e20, np.nan])
@pytest.mark.parametrize("name", ["V_STARS", "SIGMA_STARS"])
def test_fits_that_are_missing_are_no_kinematics(tmp_path, name, fill):
    bins = np.repeat(np.arange(1, 5), 4).reshape(4, 4)
    path = write_maps(tmp_path / "MAPS.fits", bins)
    with fits.open(path, mode="update") as hdus:
        hdus[name].data[0] = fill
    maps = read_maps(path)
    assert np.isnan(maps.v_kms[0]).all()
    assert np.isnan(maps.sigma_kms[0]).all()
    np.testing.assert_allclose(maps.sigma_kms[1:, 0], [52, 53, 54])


def test_without_redshift(tmp_path):
    assert read_maps(write_maps(tmp_path / PUBLIC, dap_bins(), redshift=None)).redshift is None


def test_lines(tmp_path):
    bins = dap_bins()
    path = write_maps(tmp_path / PUBLIC, bins)
    assert list_line_names(path) == PHANGS_LINES
    lines = read_line_maps(path)
    assert tuple(lines) == PHANGS_LINES
    halpha = lines["HA6562"]
    np.testing.assert_allclose(halpha.flux, 3000.0 + bins)
    np.testing.assert_allclose(halpha.v_kms, 10.0 * bins)


@pytest.mark.parametrize("gone", ["BIN_ID", "V_STARS", "SIGMA_STARS"])
def test_missing_image_is_named(tmp_path, gone):
    path = write_maps(tmp_path / PUBLIC, dap_bins(), **{gone: False})
    with pytest.raises(SfhInputError, match=f"no image {gone} .*give a PHANGS MAPS file"):
        read_maps(path)


def test_no_bins_at_all(tmp_path):
    path = write_maps(tmp_path / PUBLIC, np.full((NY, NX), -1))
    with pytest.raises(SfhInputError, match=r"BIN_ID: holds no bin"):
        read_maps(path)


def test_images_of_unequal_shape(tmp_path):
    path = write_maps(tmp_path / PUBLIC, dap_bins())
    with fits.open(path, mode="update") as hdus:
        hdus["V_STARS"].data = np.zeros((NY, NX + 1))
    with pytest.raises(SfhInputError, match=r"V_STARS has the shape \(4, 6\), expected \(4, 5\)"):
        read_maps(path)


def test_grid_of_the_cube(tmp_path):
    cube = read_cube(write_cube(tmp_path / "NGC0628_PHANGS_DATACUBE_copt_0.92asec.fits"))
    check_maps_on_cube(read_maps(write_maps(tmp_path / PUBLIC, dap_bins())), cube)


def test_other_shape_than_the_cube(tmp_path):
    cube = read_cube(write_cube(tmp_path / "c.fits"))
    maps = read_maps(write_maps(tmp_path / PUBLIC, np.ones((NY + 3, NX))))
    with pytest.raises(SfhInputError, match=r"7 x 5 spaxels.* 4 x 5"):
        check_maps_on_cube(maps, cube)


@pytest.mark.parametrize(("pixels", "fits_grid"), [(0.2, True), (2.0, False)])
def test_shifted_grid(tmp_path, pixels, fits_grid):
    cube = read_cube(write_cube(tmp_path / "c.fits"))
    path = write_maps(tmp_path / PUBLIC, dap_bins())
    with fits.open(path, mode="update") as hdus:
        hdus["BIN_ID"].header["CRPIX1"] += pixels
    maps = read_maps(path)
    if fits_grid:
        check_maps_on_cube(maps, cube)
    else:
        with pytest.raises(SfhInputError, match=r"up to 2\.0 spaxels"):
            check_maps_on_cube(maps, cube)


def test_lines_must_lie_on_the_results_spaxels(tmp_path):
    path = write_maps(tmp_path / PUBLIC, dap_bins())
    maps = read_maps(path)
    assert tuple(read_line_maps_on_grid(path, maps.wcs, (NY, NX), "NGC0628")) == PHANGS_LINES
    with pytest.raises(
        SfhInputError, match=rf"{NY} x {NX} spaxels but the result of NGC0628 is 9 x {NX}; give the MAPS"
    ):
        read_line_maps_on_grid(path, maps.wcs, (9, NX), "NGC0628")
    moved = maps.wcs.deepcopy()
    moved.wcs.crpix += 3
    with pytest.raises(SfhInputError, match=r"spaxels beside.*NGC0628"):
        read_line_maps_on_grid(path, moved, (NY, NX), "NGC0628")


@pytest.mark.parametrize(
    ("unit", "factor"), [("km/s", 1.0), ("m/s", 1e-3), ("m s-1", 1e-3), ("", 1.0), ("unknown", 1.0)]
)
def test_velocities_are_in_the_unit_that_their_map_names(tmp_path, unit, factor):
    path = write_maps(tmp_path / "MAPS.fits", np.arange(12.0).reshape(3, 4))
    before = read_maps(path)
    with fits.open(path, mode="update") as hdus:
        hdus["V_STARS"].header["BUNIT"] = hdus["SIGMA_STARS"].header["BUNIT"] = unit
    after = read_maps(path)
    np.testing.assert_allclose(after.v_kms, factor * before.v_kms, rtol=1e-6)
    np.testing.assert_allclose(after.sigma_kms, factor * before.sigma_kms, rtol=1e-6)


def test_dispersions_in_angstrom_are_refused(tmp_path):
    path = write_maps(tmp_path / "MAPS.fits", np.arange(12.0).reshape(3, 4))
    with fits.open(path, mode="update") as hdus:
        hdus["SIGMA_STARS"].header["BUNIT"] = "Angstrom"
    with pytest.raises(SfhInputError, match=r"BUNIT = 'Angstrom' of SIGMA_STARS"):
        read_maps(path)


def test_bins_that_are_zero_everywhere_are_refused(tmp_path):
    path = write_maps(tmp_path / "MAPS.fits", np.zeros((NY, NX)))
    with pytest.raises(SfhInputError, match="BIN_ID: is 0 everywhere"):
        read_maps(path)


@pytest.mark.parametrize("share", np.linspace(0.05, 0.95, 7))
def test_a_file_cut_within_a_header_is_refused(tmp_path, share):
    """Also behind all that is needed: astropy leaves that HDU out without a word."""
    path = write_maps(tmp_path / "MAPS.fits", np.arange(NY * NX).reshape(NY, NX) % 5)
    raw = path.read_bytes()
    starts = [k for k in range(0, len(raw), 2880) if raw[k : k + 9] == b"XTENSION="]
    path.write_bytes(raw[: starts[int(len(starts) * share)] + 1000])
    with pytest.raises(SfhInputError, match="truncated, the header of HDU"):
        read_maps(path)
