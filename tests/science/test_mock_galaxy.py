"""The bundled mock galaxy: its files keep the contract, and its physics is what its description says."""

import numpy as np
import pytest
from astropy.io import fits
from muse_hst import BANDS

from napari_sfh import demo
from napari_sfh.analysis.comparison.mock_truth import read_truth
from napari_sfh.analysis.gas.line_maps import LINES
from napari_sfh.io import cubes, dap, mosaics
from napari_sfh.physics.means import compute_population_means
from napari_sfh.training.libraries.age_grid import SUB_EDGES_GYR
from napari_sfh.training.mock import galaxy, observations

CENTRE = (slice(28, 32), slice(28, 32))


@pytest.fixture(scope="module")
def files():
    folder = demo.find_demo_folder()
    (cube,), (maps,), (truth,) = (list(folder.glob(f"*{k}*")) for k in ("DATACUBE", "MAPS", "TRUTH"))
    return folder, cubes.read_cube(cube), dap.read_maps(maps), read_truth(truth)


def test_small_enough_to_ship(files):
    assert sum(path.stat().st_size for path in files[0].iterdir()) < 6e6
    for path in files[0].glob("*.fits"):
        with fits.open(path, checksum=True) as hdus:
            assert hdus[0].header["OBJECT"] == "MOCK0001"


def test_cube_is_dressed_as_phangs_and_reaches_its_snr(files):
    _, cube, _, _ = files
    assert cube.has_variance
    assert cube.psf_fwhm_arcsec == 0.92
    assert cube.redshift == galaxy.MOCK_REDSHIFT
    assert cube.flux_scale == pytest.approx(1e-20)
    lo, hi = np.searchsorted(cube.wave_aa, [5313, 5513])
    flux, variance, good = cube.read(int(lo), int(hi))
    assert good.all()
    snr = flux.mean(0) / np.sqrt(variance.mean(0))
    assert snr[CENTRE].mean() == pytest.approx(60, abs=8)
    assert snr[:4, :4].mean() < 10
    # The variance is that of the noise: second differences along wavelength see nothing else.
    noise = (flux[2:] - 2 * flux[1:-1] + flux[:-2]) / np.sqrt(6 * variance[1:-1])
    assert noise[:, :10, :10].std() == pytest.approx(1.0, rel=0.06)


def test_mosaics_are_calibrated_and_share_the_sky(files):
    found = [mosaics.read_mosaic(path) for path in sorted(files[0].glob("*sci.fits"))]
    assert tuple(m.band for m in found) == BANDS
    for mosaic in found:
        assert mosaic.weight_path is not None
        corners = mosaic.wcs.world_to_pixel(files[1].wcs.pixel_to_world([0, 59, 0, 59], [0, 0, 59, 59]))
        assert np.min(corners) > 20
        assert np.max(corners) < mosaic.shape[0] - 20


def test_truth_is_a_galaxy(files):
    truth = files[3]
    mass, light = truth.mass / truth.mass.sum(0), truth.light / truth.light.sum(0)
    mh = truth.mass_metals / np.maximum(truth.mass, 1e-30)
    means = compute_population_means(*(np.moveaxis(a, 0, -1) for a in (mass, light, mh)))
    edge = (slice(0, 8), slice(20, 40))
    assert means["lg_age_mw"][CENTRE].mean() > 10.0
    assert means["lg_age_lw"][CENTRE].mean() > 9.7
    assert means["lg_age_mw"][CENTRE].mean() - means["lg_age_mw"][edge].mean() > 0.2
    assert means["mh_lw"][CENTRE].mean() - means["mh_lw"][edge].mean() > 0.1
    assert means["lg_age_lw"].min() < 8.5  # H II regions
    assert truth.mass.sum(0)[CENTRE].mean() > 20 * truth.mass.sum(0)[edge].mean()


def test_kinematics_rotate_and_cool_outwards(files):
    maps = files[2]
    assert np.nanmax(maps.v_kms) > 90
    assert np.nanmin(maps.v_kms) < -90
    assert np.nanmedian(maps.sigma_kms[CENTRE]) == pytest.approx(120, abs=15)
    assert np.nanmedian(maps.sigma_kms[:8]) == pytest.approx(50, abs=10)
    star = galaxy.STAR_XY
    x, y = int(29.5 + star[0] / 0.2), int(29.5 + star[1] / 0.2)
    assert maps.bin_id[y, x] == 0


def test_line_maps_are_those_of_the_cube(files):
    """Halpha + [N II] of the maps against the cube's light above its continuum, summed over the galaxy."""
    folder, cube, _, _ = files
    found = dap.read_line_maps(next(folder.glob("*MAPS*")))
    assert set(found) == set(LINES)
    wave = cube.wave_aa / (1 + galaxy.MOCK_REDSHIFT)
    lo, hi = np.searchsorted(wave, [6470, 6660])
    flux = cube.read(int(lo), int(hi))[0].sum((1, 2)).astype(float)
    near = wave[lo:hi]
    line = (near > 6535) & (near < 6600)
    light = 1.25 * (flux[line] - np.interp(near[line], near[~line], flux[~line])).sum()
    lines = sum(found[name].flux.sum() * share for name, share in (("HA6562", 1.0), ("NII6583", 1 + 1 / 2.95)))
    # The stars' Halpha absorption, some 2 AA of 50 to 60, is missing in the cube's light.
    assert light == pytest.approx(lines, rel=0.08)
    assert light < lines
    snr = found["HA6562"].flux / found["HA6562"].flux_error
    assert np.median(snr) > 100


def test_sky_coordinates_agree_between_telescopes():
    for wcs in (observations.make_cube_wcs(), observations.make_hst_wcs()):
        x, y = observations.pixel_offsets_arcsec(wcs, np.array([10.0]), np.array([20.0]))
        world = wcs.pixel_to_world(10.0, 20.0)
        centre = wcs.wcs.crval
        east = (world.ra.deg - centre[0]) * np.cos(np.radians(centre[1])) * 3600
        assert x[0] == pytest.approx(-east, abs=2e-3)
        assert y[0] == pytest.approx((world.dec.deg - centre[1]) * 3600, abs=2e-3)


def test_arms_are_young_and_the_lane_is_dusty():
    r = np.full(720, 4.0)
    along = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    a, b = galaxy.POSITION_ANGLE_RAD, np.cos(galaxy.INCLINATION_RAD)
    u, v = r * np.cos(along), r * np.sin(along) * b
    x, y = u * np.cos(a) - v * np.sin(a), u * np.sin(a) + v * np.cos(a)
    sky = galaxy.evaluate_mock_galaxy(x, y, SUB_EDGES_GYR, (-2.3, 0.5), seed=1)
    young = sky.params.mass[:, SUB_EDGES_GYR[1:] < 0.1].sum(1)
    arm = galaxy.compute_arm_profile(r, along)
    assert young[arm > 0.9].mean() > 2 * young[arm < 0.05].mean()
    assert sky.params.tau_ism.max() > 2 * np.median(sky.params.tau_ism)
    assert np.ptp(sky.v_kms) > 200
