"""A small mock galaxy made of stars whose every number is known: what its cube, maps, mosaics and truth must show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from muse_hst import BANDS
from scipy.ndimage import gaussian_filter
from scipy.optimize import curve_fit
from synthetic_toys import toy_templates
from template_toys import LINE_AA, LINE_EW_AA, toy_library

from napari_sfh.analysis.comparison.mock_truth import read_truth
from napari_sfh.analysis.gas.line_maps import LINES
from napari_sfh.errors import ComputeError
from napari_sfh.instruments.line_spread import MUSE_LSF
from napari_sfh.io import cubes, dap, mosaics
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training import cli
from napari_sfh.training.libraries import templates
from napari_sfh.training.mock import galaxy, observations
from napari_sfh.training.mock.files import write_fits_files
from napari_sfh.types import BinnedMaps, Cube

#: Spaxels of 0.2 arcsec on a side, pixels of the mosaics: those of the demo are 60 and 430.
N_SPAXEL, N_HST = 16, 110
STRETCH = 1 + galaxy.MOCK_REDSHIFT


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the command writes, with the star at a corner of the small field."""
    folder = tmp_path_factory.mktemp("mock")
    with pytest.MonkeyPatch.context() as patch:
        prepared = toy_templates()
        prepared = replace(prepared, line_lum=20 * prepared.line_lum)  # brighter than the noise of the stars
        patch.setattr(templates, "prepare_templates", lambda *_: prepared)
        patch.setattr(observations, "load_library", lambda _: toy_library())
        patch.setattr(observations, "N_SPAXEL", N_SPAXEL)
        patch.setattr(observations, "N_HST", N_HST)
        patch.setattr(galaxy, "STAR_XY", (1.1, 1.2))
        assert cli.main(["mock", "--output", str(folder), "--seed", "3", "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def cube(made: Path) -> Cube:
    (path,) = made.glob("*DATACUBE*")
    return cubes.read_cube(path)


@pytest.fixture(scope="module")
def spectra(cube: Cube) -> tuple[np.ndarray, np.ndarray]:
    """Flux and variance, (n, ny, nx) in 1e-20 erg/s/cm2/AA."""
    flux, variance, good = cube.read(0, cube.wave_aa.size)
    assert good.all()
    return flux.astype(float), variance.astype(float)


@pytest.fixture(scope="module")
def maps(made: Path) -> BinnedMaps:
    (path,) = made.glob("*MAPS*")
    return dap.read_maps(path)


def gaussian(x: np.ndarray, height: float, place: float, sigma: float) -> np.ndarray:
    """A line."""
    return height * np.exp(-0.5 * ((x - place) / sigma) ** 2)


def near(cube: Cube, wave_aa: float, width_aa: float) -> np.ndarray:
    """Which channels lie within a width of a wavelength of the observer."""
    return np.abs(cube.wave_aa - wave_aa) < width_aa


def test_files_say_what_they_are(made: Path, cube: Cube) -> None:
    names = {path.name for path in made.iterdir()}
    assert len(names) == 3 + 2 * len(BANDS)
    for path in made.iterdir():
        with fits.open(path, checksum=True) as hdus:
            assert hdus[0].header["OBJECT"] == "MOCK0001"
    assert cube.redshift == galaxy.MOCK_REDSHIFT
    assert cube.psf_fwhm_arcsec == 0.92
    assert cube.flux_scale == pytest.approx(1e-20)
    with fits.open(made / "MOCK0001_TRUTH.fits") as hdus:
        assert hdus[0].header["LIBRARY"] == "toy"


def test_brightness_and_noise_are_those_of_phangs(
    made: Path, cube: Cube, spectra: tuple[np.ndarray, np.ndarray]
) -> None:
    flux, variance = spectra
    window = near(cube, 5400.0, 100.0)
    light = flux[window].mean(0)
    brightest = np.unravel_index(np.argmax(light), light.shape)
    assert light[brightest] == pytest.approx(3000.0, rel=0.01)
    assert light[brightest] / np.sqrt(variance[window].mean(0)[brightest]) == pytest.approx(62.0, rel=0.05)
    # Second differences along wavelength see the noise alone: that of the stars, and that of storing, whose steps are
    # wider than the noise where the small field has steep edges (a step q adds q^2 / 12).
    with fits.open(next(made.glob("*DATACUBE*")), disable_image_compression=True) as hdus:
        step = np.asarray(hdus["DATA"].data["ZSCALE"])[:, None, None]  # a channel each
    total = variance + step**2 / 12
    noise = flux[2:] - 2 * flux[1:-1] + flux[:-2]
    noise /= np.sqrt(total[2:] + 4 * total[1:-1] + total[:-2])
    assert noise[near(cube, 5400.0, 300.0)[1:-1]].std() == pytest.approx(1.0, rel=0.02)


def test_a_line_of_the_stars_has_place_strength_and_width(
    cube: Cube, spectra: tuple[np.ndarray, np.ndarray], maps: BinnedMaps
) -> None:
    """Flat stars with one line: its equivalent width grows by 1 + z, its shift and width are those of the maps."""
    flux, (window, sides) = spectra[0], (near(cube, LINE_AA * STRETCH, 22.0), near(cube, LINE_AA * STRETCH, 60.0))
    wave = cube.wave_aa[window]
    for part in (np.s_[:, :7, :4], np.s_[:, :7, -4:]):  # the star is not there
        light = flux[part].sum((1, 2))
        line = light[window] / light[sides & ~window].mean() - 1
        strength = line.sum() * 1.25
        assert strength == pytest.approx(LINE_EW_AA * STRETCH, rel=0.08)
        middle = (line * wave).sum() / line.sum()
        v_kms = C_KMS * np.log(middle / (LINE_AA * STRETCH))
        weights = flux[window].sum(0)[part[1:]]
        wanted = np.average(maps.v_kms[part[1:]], weights=weights)
        assert v_kms == pytest.approx(wanted, abs=12.0)
        turning = np.average((maps.v_kms[part[1:]] - wanted) ** 2, weights=weights)
        stars = np.average(maps.sigma_kms[part[1:]], weights=weights) ** 2 + turning
        lsf_kms = MUSE_LSF.fwhm_aa(middle) / FWHM_PER_SIGMA * C_KMS / middle
        (_, place, sigma_aa), _ = curve_fit(gaussian, wave, line, (line.max(), middle, 2.5))
        # The PSF also brings light of the middle, which turns faster: 5 and 7 % of the width.
        assert sigma_aa * C_KMS / place == pytest.approx(np.sqrt(stars + lsf_kms**2), rel=0.1)
    assert np.nanmax(maps.v_kms) - np.nanmin(maps.v_kms) > 100


def test_bins_of_the_maps_are_good_enough_and_leave_the_star_out(
    cube: Cube, spectra: tuple[np.ndarray, np.ndarray], maps: BinnedMaps
) -> None:
    flux, variance = spectra
    window = near(cube, 5413.0, 100.0)
    signal, noise = flux[window].mean(0), variance[window].mean(0)
    count = maps.bin_id.max() + 1
    snr = np.bincount(maps.bin_id.ravel(), signal.ravel(), count) / np.sqrt(
        np.bincount(maps.bin_id.ravel(), noise.ravel(), count)
    )
    assert np.median(snr[1:]) == pytest.approx(40.0, abs=8.0)
    x, y = (round((N_SPAXEL - 1) / 2 + offset / 0.2) for offset in (1.1, 1.2))
    assert maps.bin_id[y, x] == 0
    assert np.isnan(maps.v_kms[y, x])


def test_gas_has_the_light_of_the_cubes_line(made: Path, cube: Cube, spectra: tuple[np.ndarray, np.ndarray]) -> None:
    """The toy gas has one line, Halpha, of which every map of a line is a picture."""
    found = dap.read_line_maps(next(made.glob("*MAPS*")))
    assert set(found) == set(LINES)
    flux = spectra[0].sum((1, 2))
    window, sides = near(cube, 6562.8 * STRETCH, 15.0), near(cube, 6562.8 * STRETCH, 60.0)
    line = 1.25 * (flux[window] - flux[sides & ~window].mean()).sum()
    assert found["HA6562"].flux.sum() == pytest.approx(line, rel=0.05)


def test_mosaics_see_the_light_of_the_cube(made: Path, spectra: tuple[np.ndarray, np.ndarray], cube: Cube) -> None:
    """In the middle of the field, and in the band whose filter lies within the cube's channels."""
    found = [mosaics.read_mosaic(path) for path in sorted(made.glob("*sci.fits"))]
    assert tuple(mosaic.band for mosaic in found) == BANDS
    y, x = np.mgrid[:N_HST, :N_HST].astype(float)
    west, north = observations.pixel_offsets_arcsec(found[3].wcs, x, y)
    middle = slice(N_SPAXEL // 2 - 4, N_SPAXEL // 2 + 4)  # 1.6 arcsec
    inside = (np.abs(west) < 0.8) & (np.abs(north) < 0.8)
    photflam = fits.getheader(found[3].path, 1)["PHOTFLAM"]
    blur = np.sqrt(observations.PSF_FWHM**2 - observations.PSF_HST**2) / FWHM_PER_SIGMA / observations.PIXEL_HST
    image = gaussian_filter(fits.getdata(found[3].path), blur)
    seen = image[inside].mean() * photflam / 1e-20 / observations.PIXEL_HST**2
    light = spectra[0][near(cube, 5450.0, 700.0)].mean(0)[middle, middle].mean() / observations.SPAXEL**2
    assert seen == pytest.approx(light, rel=0.04)
    for mosaic in found:  # neighbours differ by their noise alone where the galaxy is smooth
        image, weight = fits.getdata(mosaic.path), fits.getdata(mosaic.weight_path)
        noise = (np.diff(image, axis=1) * np.sqrt(weight[:, 1:] / 2))[np.hypot(west, north)[:, 1:] > 1.8]
        assert np.median(np.abs(noise)) / 0.6745 == pytest.approx(1.0, rel=0.2)


def test_truth_is_a_history_that_lightens_outwards(made: Path) -> None:
    truth = read_truth(next(made.glob("*TRUTH*")))
    assert truth.mass.shape == (16, N_SPAXEL, N_SPAXEL)
    middle = slice(N_SPAXEL // 2 - 1, N_SPAXEL // 2 + 1)
    total = truth.mass.sum(0)
    assert total[middle, middle].mean() == pytest.approx(total.max(), rel=0.1)
    assert total[:2].mean() < 0.5 * total.max()
    metals = truth.mass_metals.sum(0) / total
    assert metals[middle, middle].mean() > metals[:2].mean()
    peak = np.unravel_index(np.argmax(truth.star), truth.star.shape)
    assert np.abs(np.array(peak)[::-1] - ((N_SPAXEL - 1) / 2 + np.array([1.1, 1.2]) / 0.2)).max() <= 1
    assert 0.2 < truth.star.max() < 1


def test_an_archive_that_is_not_known_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["mock", "--output", str(tmp_path), "--dress", "none"]) == 2
    assert "--dress none: unknown; one of demo, " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ComputeError, match="cannot be written"):
        write_fits_files({"a.fits": fits.HDUList([fits.PrimaryHDU()])}, tmp_path / "file" / "folder")
