"""MaNGA's MAPS and Pipe3D's cubes: bins and stellar kinematics for a run, ages and metallicities for a comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from io_mocks import cube_header, write_cube

from napari_sfh.errors import SfhInputError
from napari_sfh.io.dap import read_maps
from napari_sfh.io.dap_populations import read_populations
from napari_sfh.io.identify import find_galaxy_files, identify_file

BINS = np.repeat([[-1, 0, 1, 2]], 4, axis=0)  # -1 = none
SIZE = BINS.shape
CZ, C_KMS = 749.5, 299792.458
LG_AGE, MH = np.array([9.1, 9.6, 9.9]), np.array([-0.5, 0.0, 0.2])


def _sky() -> fits.Header:
    header = cube_header(*SIZE)
    for key in ("CTYPE3", "CUNIT3", "CRVAL3", "CRPIX3", "CD3_3", "BUNIT"):
        del header[key]
    return header


def _paint(values: np.ndarray, none: float = 0.0) -> np.ndarray:
    return np.append(values, none)[BINS]


def _write_pipe3d(
    path: Path, order: list[int] | None = None, age_shift: float = 0.0, without: str = "", alone: bool = False
) -> Path:
    """As versions 2.4 and 3.1 write them; planes in another ``order``, one left ``without`` its name.

    ``alone``: as CALIFA's files of SSP.
    """
    planes = {
        "V-band map": np.ones(SIZE),
        "continuum segmentation": BINS + 1.0,
        "median flux": np.ones(SIZE),
        "luminosity weighted age of the stellar population": _paint(LG_AGE - age_shift),
        "mass weighted age of the stellar population": _paint(LG_AGE + 0.1 - age_shift),
        "error of the age of the stellar population": _paint(np.full(3, 0.1)),
        "luminosity weighted metallicity of the stellar population": _paint(MH),
        "velocity of the stellar population": _paint(CZ + np.array([-40.0, 0.0, 40.0])),
        "error in the velocity of the stellar population": _paint(np.full(3, 5.0)),
        "velocity dispersion of the stellar population": _paint(np.array([60.0, 80.0, 100.0])),
    }
    names = list(planes)
    header = fits.Header()
    for n, k in enumerate(order or range(len(names))):
        header[f"DESC_{n}"] = "" if names[k] == without else names[k]
    cube = np.stack([planes[names[k]] for k in order or range(len(names))]).astype(np.float32)
    primary = fits.PrimaryHDU(header=_sky())
    primary.header["EXTNAME"] = "ORG_HDR"
    if alone:
        fits.PrimaryHDU(cube, fits.Header([*_sky().cards, *header.cards])).writeto(path)
        return path
    lines = fits.ImageHDU(np.ones((20, *SIZE), np.float32), name="FLUX_ELINES")
    fits.HDUList([primary, fits.ImageHDU(cube, header, name="SSP"), lines]).writeto(path)
    return path


def _write_manga(path: Path, corrected: bool = True) -> Path:
    """As the DAP of DR15 to DR17: BINID in five planes, velocities relative to SCINPVEL."""
    primary = fits.PrimaryHDU()
    primary.header["SCINPVEL"] = CZ
    other = np.full(SIZE, -1)
    masked = np.zeros(SIZE, np.int32)
    masked[0, 3] = 2**30
    images = {
        "BINID": np.stack([other, BINS, other, other, other]),
        "STELLAR_VEL": _paint(np.array([-30.0, 0.0, 30.0])),
        "STELLAR_VEL_MASK": masked,
        "STELLAR_SIGMA": _paint(np.array([50.0, 100.0, 130.0])),
        "STELLAR_SIGMA_MASK": np.zeros(SIZE, np.int32),
    }
    if corrected:
        images["STELLAR_SIGMACORR"] = np.stack([_paint(np.array([30.0, 60.0, 50.0])), np.zeros(SIZE)])
    fits.HDUList([primary, *(fits.ImageHDU(a, _sky(), name=n) for n, a in images.items())]).writeto(path)
    return path


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("order", [None, [3, 7, 1, 9, 0, 2, 4, 5, 6, 8]])
def test_pipe3d_gives_bins_and_kinematics_by_the_names_of_its_planes(tmp_path, order, alone):
    path = _write_pipe3d(tmp_path / "manga-7443-12703.Pipe3D.cube.fits.gz", order, alone=alone)
    maps = read_maps(path)
    np.testing.assert_array_equal(maps.bin_id, BINS + 1)
    assert maps.redshift == pytest.approx(CZ / C_KMS, rel=1e-6)
    # Galaxies' velocities add as ln(1 + z).
    expected = C_KMS * np.log((C_KMS + CZ + np.array([-40.0, 0.0, 40.0])) / (C_KMS + CZ))
    np.testing.assert_allclose(maps.v_kms[0, 1:], expected, atol=1e-3)
    np.testing.assert_allclose(maps.sigma_kms[0, 1:], [60, 80, 100])
    assert np.isnan(maps.v_kms[:, 0]).all()
    assert identify_file(path).kind == "maps"


@pytest.mark.parametrize("shift", [0.0, 9.0])
def test_pipe3d_gives_ages_for_a_comparison(tmp_path, shift):
    found = read_populations(_write_pipe3d(tmp_path / "x.Pipe3D.cube.fits", age_shift=shift))
    np.testing.assert_array_equal(found.bin_id, BINS + 1)
    np.testing.assert_allclose(found.means["lg_age_lw"], LG_AGE, rtol=1e-6)
    np.testing.assert_allclose(found.means["lg_age_mw"], LG_AGE + 0.1, rtol=1e-6)
    np.testing.assert_allclose(found.means["mh_lw"], MH, atol=1e-7)
    assert "mh_mw" not in found.means
    assert found.notes


@pytest.mark.parametrize(
    ("without", "told"),
    [("continuum segmentation", "bins"), ("velocity dispersion of the stellar population", "dispersion")],
)
def test_pipe3d_planes_without_a_name_are_named(tmp_path, without, told):
    with pytest.raises(SfhInputError, match=f"the stars' {told} by its DESC_n"):
        read_maps(_write_pipe3d(tmp_path / "x.fits", without=without))


def _change_plane(path: Path, words: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    with fits.open(path, mode="update") as hdus:
        hdu = hdus["SSP"]
        (n,) = (n for n in range(len(hdu.data)) if hdu.header[f"DESC_{n}"].startswith(words))
        hdu.data[n] = np.where(BINS >= 0, change(hdu.data[n].copy()), 0)
    return path


@pytest.mark.parametrize(("words", "change", "key", "truth"), [
    ("luminosity weighted age", lambda a: 10 ** (a - 9), "lg_age_lw", LG_AGE),
    ("luminosity weighted metal", lambda a: 0.019 * 10**a, "mh_lw", MH),
    ("luminosity weighted metal", lambda a: 10**a, "mh_lw", MH),
])  # fmt: skip
def test_linear_ages_and_metallicities_are_told(tmp_path, words, change, key, truth):
    path = _change_plane(_write_pipe3d(tmp_path / "x.fits"), words, change)
    found = read_populations(path)
    np.testing.assert_allclose(found.means[key], truth, atol=1e-5)
    assert any(note.startswith(key) for note in found.notes)


def test_ages_that_are_none_leave_the_kinematics(tmp_path):
    path = _write_pipe3d(tmp_path / "x.fits", age_shift=-30.0)
    with pytest.raises(SfhInputError, match="no ages in yr"):
        read_populations(path)
    np.testing.assert_array_equal(read_maps(path).bin_id, BINS + 1)


@pytest.mark.parametrize(("change", "word"), [
    (lambda v: v * 1000, "no c z in km/s"), (lambda v: v / C_KMS, "no c z in km/s"), (lambda v: 0 * v, "all 0"),
])  # fmt: skip
def test_velocities_in_another_unit_are_refused(tmp_path, change, word):
    with pytest.raises(SfhInputError, match=word):
        read_maps(_change_plane(_write_pipe3d(tmp_path / "x.fits"), "velocity of", change))


def test_velocities_about_zero_have_no_redshift(tmp_path):
    maps = read_maps(_change_plane(_write_pipe3d(tmp_path / "x.fits"), "velocity of", lambda v: v - CZ))
    assert maps.redshift is None
    np.testing.assert_allclose(maps.v_kms[0, 1:], [-40, 0, 40], atol=1e-3)


@pytest.mark.parametrize("corrected", [True, False])
def test_manga_gives_bins_and_kinematics(tmp_path, corrected):
    path = _write_manga(tmp_path / "manga-7443-12703-MAPS-HYB10-MILESHC-MASTARSSP.fits.gz", corrected)
    maps = read_maps(path)
    np.testing.assert_array_equal(maps.bin_id, BINS + 1)
    assert maps.redshift == pytest.approx(CZ / C_KMS)
    np.testing.assert_allclose(maps.v_kms[1, 1:], [-30, 0, 30])
    np.testing.assert_allclose(maps.sigma_kms[1, 1:], [40, 80, 120] if corrected else [50, 100, 130])
    assert np.isnan(maps.v_kms[0, 3])
    assert identify_file(path).kind == "maps"


def test_the_cube_of_mangas_bins_is_not_taken_before_that_of_its_spaxels(tmp_path):
    """`-` comes before `.`: LOGCUBE-HYB10 was the first of two cubes, or, with its planes of BINID, a table of GIST."""
    path = write_cube(tmp_path / "manga-1-2-LOGCUBE.fits", names=("FLUX", "VAR"))
    other = tmp_path / "manga-1-2-LOGCUBE-HYB10-MILESHC.fits"
    with fits.open(path) as hdus:
        shape = hdus["FLUX"].shape
        model = fits.ImageHDU(np.ones(shape, np.float32), hdus["FLUX"].header, name="MODEL")
        bins = fits.ImageHDU(np.zeros((5, *shape[1:]), np.int32), name="BINID")
        fits.HDUList([*hdus, model, bins]).writeto(other)
    found = find_galaxy_files(tmp_path)
    assert found.cube == path
    assert any(other.name in problem and "DAP" in problem for problem in found.problems)
    assert identify_file(other).kind == "derived"


def test_manga_has_no_ages_and_the_message_does_not_send_to_gist(tmp_path):
    with pytest.raises(SfhInputError, match="MaNGA's DAP maps hold no ages") as error:
        read_populations(_write_manga(tmp_path / "manga-1-2-MAPS.fits"))
    assert "GIST" not in str(error.value)
