"""HST's PSF: diffraction against optics textbooks, the sum against handbooks."""

import numpy as np
import pytest

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.hst_psf import compute_hst_psf_fwhm, diffraction_fwhm


def test_open_mirror_is_an_airy_disc():
    assert diffraction_fwhm(0.0) == pytest.approx(1.0290, abs=2e-4)


def test_obscuration_narrows_the_core():
    # A thin ring, the limit: I = J0(v)^2 is 1/2 at v = 1.1264, so FWHM = 2 x 1.1264 / pi = 0.7171.
    assert diffraction_fwhm(0.999) == pytest.approx(0.7171, abs=2e-3)
    assert diffraction_fwhm(0.5) < diffraction_fwhm(0.33) < diffraction_fwhm(0.0)


def test_numerical_image_of_the_pupil_agrees():
    n, width, e = 1024, 48, 0.33
    y, x = np.indices((n, n)) - n / 2
    r = np.hypot(x, y)
    pupil = ((r <= width) & (r >= e * width)).astype(float)
    image = np.abs(np.fft.fftshift(np.fft.fft2(pupil))) ** 2
    row = image[n // 2, n // 2 :] / image.max()
    half = np.interp(-0.5, -row[:20], np.arange(20))
    # One pixel of the image is 2 width / n of lambda / D.
    assert 2 * half * 2 * width / n == pytest.approx(diffraction_fwhm(e), rel=0.02)


@pytest.mark.parametrize(
    ("camera", "wave", "pixel", "low", "high"),
    [
        ("UVIS", 5308.0, 0.0396, 0.070, 0.090),  # WFC3 handbook: 0.067 before pixelation
        ("UVIS", 2710.0, 0.0396, 0.065, 0.095),
        ("UVIS", 8039.0, 0.0396, 0.080, 0.100),
        ("ACS", 4330.0, 0.0396, 0.085, 0.110),
        ("ACS", 5360.0, 0.0500, 0.085, 0.115),  # ACS handbook: 0.10-0.13 in F550M
        ("WFPC2", 8000.0, 0.0500, 0.130, 0.170),
    ],
)
def test_widths_are_those_of_handbooks(camera, wave, pixel, low, high):
    assert low < compute_hst_psf_fwhm(camera, wave, pixel) < high


def test_coarser_images_are_broader():
    widths = [compute_hst_psf_fwhm("UVIS", 5308.0, pixel) for pixel in (0.03, 0.04, 0.08)]
    assert widths == sorted(widths)


def test_unknown_camera_is_named():
    with pytest.raises(SfhInputError, match="camera 'NICMOS' has no PSF"):
        compute_hst_psf_fwhm("NICMOS", 16000.0, 0.1)
