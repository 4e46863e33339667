"""Photometry: known skies through PSF matching and reprojection, to half a per cent; errors against Monte Carlo."""

import threading

import numpy as np
import pytest
from muse_hst import NORM_WINDOW_AA
from prep_toys import toy_bins, toy_cube, toy_mosaic, toy_wcs
from scipy.ndimage import gaussian_filter

from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.physics.lsf import FWHM_PER_SIGMA
from napari_sfh.prep.mosaics.photometry import measure_bin_photometry
from napari_sfh.prep.mosaics.psf import ASSUMED_FWHM_ARCSEC, Psf, choose_cube_psf, make_matching_kernel, make_psf_image

PSF = Psf(0.9, slope=0.0)
N_HST, N_MUSE = 500, 60  # 20 arcsec and 12 arcsec


def cube(n=N_MUSE, **extra):
    return toy_cube(np.ones((2, n, n)), wave=np.array([5000.0, 5001.25]), **extra)


def hst(image, noise=1.0, **extra):
    return toy_mosaic(image, np.full(np.shape(image), noise), **extra)


def star(x_arcsec, y_arcsec, flux=1000.0, fwhm=0.08, pixel=0.04, n=N_HST):
    """A point source seen by HST; offsets from the field's centre, East to the left like the toy WCS."""
    axis = (np.arange(n) - (n - 1) / 2) * pixel
    sigma = fwhm / FWHM_PER_SIGMA
    image = np.exp(-0.5 * ((axis[:, None] - y_arcsec) ** 2 + (axis[None, :] - x_arcsec) ** 2) / sigma**2)
    return flux * image / image.sum()


@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.13, -0.07), (1.71, 2.33)])
@pytest.mark.parametrize("beta", [None, 2.8])
def test_point_source_keeps_its_flux(offset, beta):
    bins = toy_bins(np.ones((N_MUSE, N_MUSE)))
    out = measure_bin_photometry(hst(star(*offset)), cube(), bins, Psf(0.9, beta, 0.0))
    # A Moffat's wings reach beyond the kernel's 5 FWHM and the field's edge.
    assert out.flux_cgs[0] == pytest.approx(1000 * 1e-19, rel=0.005 if beta is None else 0.02)


def test_disc_keeps_its_flux_and_its_spaxels_their_surface_brightness():
    axis = (np.arange(N_HST) - (N_HST - 1) / 2) * 0.04
    radius = np.hypot(axis[:, None], axis[None, :])
    image = 2.0 * (radius < 3.0)
    everything = measure_bin_photometry(hst(image), cube(), toy_bins(np.ones((N_MUSE, N_MUSE))), PSF)
    assert everything.flux_cgs[0] == pytest.approx(image.sum() * 1e-19, rel=0.005)
    centre = np.zeros((N_MUSE, N_MUSE))
    centre[30, 30] = 1
    one = measure_bin_photometry(hst(image), cube(), toy_bins(centre), PSF)
    assert one.flux_cgs[0] == pytest.approx(2.0 * 25 * 1e-19, rel=0.005)  # 25 HST pixels a spaxel


def test_recovered_width_is_the_cubes():
    bins = toy_bins(1 + np.arange(N_MUSE**2).reshape(N_MUSE, N_MUSE))
    flux = measure_bin_photometry(hst(star(0, 0)), cube(), bins, PSF).flux_cgs.reshape(N_MUSE, N_MUSE)
    x = 0.2 * (np.arange(N_MUSE) - (N_MUSE - 1) / 2)
    row = flux.sum(0)
    assert np.sqrt((row * x**2).sum() / row.sum()) * FWHM_PER_SIGMA == pytest.approx(0.9, rel=0.01)


def test_kernel_has_the_width_of_the_difference():
    kernel = make_matching_kernel(3.0, 5.0, 0.1)
    axis = np.arange(kernel.shape[0]) - kernel.shape[0] // 2
    sigma = np.sqrt((kernel.sum(0) * axis**2).sum())
    assert sigma * FWHM_PER_SIGMA * 0.1 == pytest.approx(np.sqrt(25 - 9), rel=0.005)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)


def test_moffat_target_is_reached_through_photutils():
    kernel = make_matching_kernel(0.3, 0.9, 0.04, 2.8)
    half = kernel.shape[0] // 2
    from scipy.signal import fftconvolve

    made = fftconvolve(make_psf_image(0.3 / 0.04, half), kernel, mode="same")
    wanted = make_psf_image(0.9 / 0.04, half, 2.8)
    assert np.abs(made - wanted).max() < 0.01 * wanted.max()


def test_no_kernel_where_the_image_is_broader():
    assert make_matching_kernel(0.9, 0.8, 0.04) is None
    out = measure_bin_photometry(
        hst(np.ones((N_HST, N_HST))), cube(), toy_bins(np.ones((N_MUSE, N_MUSE))), Psf(0.05, slope=0)
    )
    assert out.flux_cgs[0] == pytest.approx(25 * N_MUSE**2 * 1e-19, rel=1e-4)


@pytest.mark.parametrize("block", [1, 3, 20])
def test_errors_are_those_of_many_noisy_mosaics(block):
    n = 20
    label = np.zeros((n, n))
    size = n // block
    label[: size * block, : size * block] = 1 + np.kron(
        np.arange(size * size).reshape(size, size), np.ones((block, block))
    )
    bins, rng = toy_bins(label), np.random.default_rng(block)
    fluxes = []
    for _ in range(12 if block < 20 else 60):
        image = 5 + 0.3 * rng.standard_normal((220, 220))
        out = measure_bin_photometry(hst(image, 0.3), cube(n), bins, PSF)
        fluxes.append(out.flux_cgs)
    scatter = np.std(fluxes, axis=0).mean() if block == 20 else np.sqrt(np.var(fluxes, axis=0, ddof=1).mean())
    assert out.error_cgs.mean() == pytest.approx(scatter, rel=0.25 if block == 20 else 0.12)
    if block == 20:  # a bin of 4 arcsec: errors of its pixels add in quadrature, less what the PSF brings from outside
        kept = 1 - 2 * (0.9 / FWHM_PER_SIGMA) / (np.sqrt(np.pi) * 4.0)
        assert out.error_cgs[0] == pytest.approx(0.3 * np.sqrt(100 * 100) * kept * 1e-19, rel=0.02)


def test_bad_pixels_are_filled_by_their_neighbours():
    image = np.full((N_HST, N_HST), 4.0)
    error = np.ones_like(image)
    image[200:206, 240:250] = np.nan
    error[300:303, 200:230] = np.inf
    bins = toy_bins(np.kron(1 + np.arange(36).reshape(6, 6), np.ones((10, 10))))
    out = measure_bin_photometry(toy_mosaic(image, error), cube(), bins, PSF)
    np.testing.assert_allclose(out.flux_cgs, 4 * 25 * 100 * 1e-19, rtol=1e-3)
    assert np.isfinite(out.error_cgs).all()


def test_partly_covered_bins_are_scaled_up_or_dropped():
    image = np.full((N_HST, N_HST), 4.0)
    image[:, : 100 + 16] = np.nan  # 3.2 spaxels into the field's left columns
    left = np.zeros((N_MUSE, N_MUSE))
    left[:, :20], left[:, 20:60] = 1, 2
    out = measure_bin_photometry(hst(image), cube(), toy_bins(left), PSF)
    assert np.isnan(out.flux_cgs[0])
    assert out.flux_cgs[1] == pytest.approx(4 * 25 * 2400 * 1e-19, rel=1e-3)
    whole = measure_bin_photometry(hst(image), cube(), toy_bins(np.ones((N_MUSE, N_MUSE))), PSF)
    assert whole.flux_cgs[0] == pytest.approx(4 * 25 * 3600 * 1e-19, rel=2e-3)


def test_a_bright_star_leaves_faint_light_alone():
    image = np.full((N_HST, N_HST), 1e-3)
    image[250, 160] += 1e6
    label = np.zeros((N_MUSE, N_MUSE))
    label[26:34, 22:30] = 1  # 2 arcsec from the star, beyond the kernel
    out = measure_bin_photometry(hst(image), cube(), toy_bins(label), PSF)
    assert out.flux_cgs[0] == pytest.approx(1e-3 * 25 * 64 * 1e-19, rel=1e-3)


def test_strips_do_not_show(monkeypatch):
    rng = np.random.default_rng(1)
    image = gaussian_filter(rng.uniform(0, 10, (N_HST, N_HST)), 3)
    bins = toy_bins(1 + np.arange(N_MUSE**2).reshape(N_MUSE, N_MUSE))
    whole = measure_bin_photometry(hst(image), cube(), bins, PSF)
    monkeypatch.setattr("napari_sfh.prep.mosaics.photometry.STRIP_PIXELS", 1)
    strips = measure_bin_photometry(hst(image), cube(), bins, PSF)
    np.testing.assert_allclose(strips.flux_cgs, whole.flux_cgs, rtol=1e-4)
    np.testing.assert_allclose(strips.error_cgs, whole.error_cgs, rtol=1e-3)


def test_rotated_mosaic():
    wcs = toy_wcs(N_HST, N_HST, 0.04)
    angle = np.deg2rad(33)
    wcs.wcs.pc = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    wcs.wcs.set()
    out = measure_bin_photometry(hst(star(0.4, 0.2), wcs=wcs), cube(), toy_bins(np.ones((N_MUSE, N_MUSE))), PSF)
    assert out.flux_cgs[0] == pytest.approx(1000 * 1e-19, rel=0.005)


def test_background_is_subtracted():
    bins = toy_bins(np.ones((N_MUSE, N_MUSE)))
    out = measure_bin_photometry(hst(np.full((N_HST, N_HST), 1.5)), cube(), bins, PSF, background=0.5)
    assert out.flux_cgs[0] == pytest.approx(25 * N_MUSE**2 * 1e-19, rel=1e-3)


def test_no_overlap_names_both_files():
    far = toy_wcs(N_HST, N_HST, 0.04, centre=(25.0, 15.783))
    with pytest.raises(SfhInputError, match=r"toy_f555w\.fits: does not overlap toy\.fits"):
        measure_bin_photometry(hst(np.ones((N_HST, N_HST)), wcs=far), cube(), toy_bins(np.ones((N_MUSE, N_MUSE))), PSF)
    opposite = toy_wcs(N_HST, N_HST, 0.04, centre=(204.174, -15.783))
    with pytest.raises(SfhInputError, match="does not overlap"):
        measure_bin_photometry(
            hst(np.ones((N_HST, N_HST)), wcs=opposite), cube(), toy_bins(np.ones((N_MUSE, N_MUSE))), PSF
        )


def test_cancel():
    event = threading.Event()
    event.set()
    bins = toy_bins(np.ones((N_MUSE, N_MUSE)))
    with pytest.raises(Cancelled):
        measure_bin_photometry(hst(np.ones((N_HST, N_HST))), cube(), bins, PSF, cancel=event)


def test_a_cubes_own_moffat_is_taken():
    assert choose_cube_psf(cube(psf_fwhm_arcsec=0.7, psf_beta=2.5), NORM_WINDOW_AA).beta == 2.5
    assert choose_cube_psf(cube(psf_fwhm_arcsec=0.7, psf_beta=2.5), NORM_WINDOW_AA, beta=3.0).beta == 3.0
    assert choose_cube_psf(cube(psf_fwhm_arcsec=0.7), NORM_WINDOW_AA).beta is None


def test_psf_of_a_cube():
    assert choose_cube_psf(cube(), NORM_WINDOW_AA, 1.1).fwhm_arcsec == 1.1
    assert choose_cube_psf(cube(psf_fwhm_arcsec=0.7), NORM_WINDOW_AA).fwhm_arcsec == 0.7
    assumed = choose_cube_psf(cube(), NORM_WINDOW_AA)
    assert assumed.assumed
    assert assumed.fwhm_arcsec == ASSUMED_FWHM_ARCSEC
    assert choose_cube_psf(cube(psf_fwhm_arcsec=0.7), NORM_WINDOW_AA).fwhm_at(6984.0) == pytest.approx(0.7 - 0.015)
    homogenised = cube(name="NGC0628_PHANGS_DATACUBE_copt_0.92asec.fits")
    assert choose_cube_psf(homogenised, NORM_WINDOW_AA, 0.92).fwhm_at(4800.0) == 0.92
    with pytest.raises(SfhInputError, match="`psf_fwhm_arcsec`"):
        choose_cube_psf(cube(), NORM_WINDOW_AA, -1.0)
    with pytest.raises(SfhInputError, match="Moffat"):
        Psf(0.9, beta=0.5)
