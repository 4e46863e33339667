"""The noise of an image from its own pixels, which drizzle and other resampling have correlated.

Neighbours share drops, so that their scatter is smaller than the noise of the many that a bin sums up: by
R = r / (1 - 1 / (3 r)), r being the size of the drop in pixels of the image (Fruchter & Hook 2002, PASP 114, 144,
section 7). The scatter is measured between pixels four apart, where the correlation has died away.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sfh.physics.hst_psf import DETECTORS, find_detector
from napari_sfh.physics.robust import measure_nmad

#: R below which pixels count as independent, and pixels by which it is known to 0.06 (1 sigma): fewer do not tell it.
_LEAST_CORRELATION, _TELLING_PIXELS = 1.2, 50_000


def measure_pixel_scatter(image: NDArray[np.floating]) -> float:
    """Standard deviation of the noise per pixel from differences of pixels four apart (robust, blind to smooth light).

    Parameters
    ----------
    image : array (ny, nx)
        NaN = not to be used.

    Returns
    -------
    float
        In the image's unit; NaN where there is nothing to measure.
    """
    step = 4 if image.shape[1] > 4 else 1
    # Second differences: a gradient of the galaxy's light must not count as noise.
    d = image[:, : -2 * step] - 2 * image[:, step:-step] + image[:, 2 * step :]
    d = d[np.isfinite(d)]
    return measure_nmad(d) / float(np.sqrt(6.0))


def measure_noise_correlation(image: NDArray[np.floating]) -> float:
    """Noise of the sum of many pixels over that of as many independent ones with the same scatter.

    Second differences of pixels s apart have the variance sigma^2 (6 - 8 rho(s) + 2 rho(2 s)), which gives the
    correlations rho(1) to rho(3) along the rows; from four pixels on there is none. Columns count as alike.

    Parameters
    ----------
    image : array (ny, nx)
        NaN = not to be used.

    Returns
    -------
    float
        1 + 2 sum rho, at least 1; 1 where there is nothing to measure.
    """
    variance = {}
    for step in (1, 2, 3, 4):
        d = image[:, : -2 * step] - 2 * image[:, step:-step] + image[:, 2 * step :]
        variance[step] = measure_nmad(d[np.isfinite(d)]) ** 2
    if not variance[4] > 0:
        return 1.0
    rho = {4: 0.0, 6: 0.0}
    for step in (3, 2, 1):
        rho[step] = (6.0 + 2.0 * rho[2 * step] - 6.0 * variance[step] / variance[4]) / 8.0
    return max(1.0, 1.0 + 2.0 * (rho[1] + rho[2] + rho[3]))


def find_noise_correlation(image: NDArray[np.floating], most: float) -> float:
    """`measure_noise_correlation`, at most ``most``; 1 where it is below 1.2 or too few pixels tell it.

    Parameters
    ----------
    image : array (ny, nx)
        NaN = not to be used.
    most : float
        What resampling can have made, see `compute_drizzle_correlation`: light that is smooth looks correlated, too.
    """
    if np.count_nonzero(np.isfinite(image)) < _TELLING_PIXELS:
        return 1.0
    found = min(measure_noise_correlation(image), most)
    return found if found > _LEAST_CORRELATION else 1.0


def compute_drizzle_correlation(drop_over_pixel: float) -> float:
    """R of Fruchter & Hook (2002, PASP 114, 144, equations 9 and 10), of a drop of so many pixels' size.

    Examples
    --------
    >>> round(compute_drizzle_correlation(1.0), 2), round(compute_drizzle_correlation(0.5), 2)
    (1.5, 1.2)
    """
    r = drop_over_pixel
    return r / (1.0 - 1.0 / (3.0 * r)) if r >= 1.0 else 1.0 / (1.0 - r / 3.0)


def find_drizzle_correlation(camera: str, wave_aa: float, pixel_arcsec: float) -> float:
    """R of a camera's images; of others nothing is known, and none is assumed.

    Parameters
    ----------
    camera : str
        As `headers.find_camera_name` has it.
    wave_aa : float
        Of the filter, which decides on the detector.
    pixel_arcsec : float
        Of the image.
    """
    known = camera in DETECTORS
    return compute_drizzle_correlation(find_detector(camera, wave_aa).pixel_arcsec / pixel_arcsec) if known else 1.0
