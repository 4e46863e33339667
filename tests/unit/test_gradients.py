"""A known gradient goes in and comes out within its error; errors cover what they should."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from test_disc import CENTRE, turned

from napari_sfh.analysis.disc import Disc, deproject_radius
from napari_sfh.analysis.gradients import Gradient, GradientFitSettings, Method, RadialProfile, fit_gradient
from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.types import Progress

FACE_ON = Disc(CENTRE.ra.deg, CENTRE.dec.deg, 0.0, 0.0, 5.0)
SLOPE = -0.25


def fitted(data: RadialProfile, **settings: Any) -> Gradient:
    made = fit_gradient(data, GradientFitSettings(**{"method": "weighted"} | settings))
    assert made is not None
    return made


def made_up(n: int, seed: int, error: float = 0.1, scatter: float = 0.0, slope: float = SLOPE) -> RadialProfile:
    """Bins evenly over a disc of two R_e, with errors that differ by a factor of four."""
    rng = np.random.default_rng(seed)
    r = 2 * np.sqrt(rng.random(n))
    sigma = error * rng.uniform(0.5, 2, n)
    value = 9.5 + slope * r + scatter * rng.standard_normal(n) + sigma * rng.standard_normal(n)
    return RadialProfile("AGE_LW", FACE_ON, r, value, sigma)


@pytest.mark.parametrize("inclination", [0.0, 30.0, 50.0, 70.0])
@pytest.mark.parametrize("rotation", [0.0, 35.0])
def test_a_gradient_in_an_inclined_disc_comes_back(inclination: float, rotation: float) -> None:
    """Bins on the detector's grid of a turned WCS; ages painted by distance in the galaxy's plane."""
    wcs = turned(rotation, shape=(60, 60))
    disc = Disc(CENTRE.ra.deg, CENTRE.dec.deg, 125.0, inclination, 3.0)
    y, x = (v.ravel() for v in np.mgrid[:60:3, :60:3])
    sky: SkyCoord = wcs.pixel_to_world(x, y)
    east, north = (o.to_value("arcsec") for o in CENTRE.spherical_offsets_to(sky))
    true = 9.5 + SLOPE * deproject_radius(east, north, 125.0, np.cos(np.radians(inclination))) / 3.0
    rng = np.random.default_rng(int(inclination + rotation))
    value = true + 0.1 * rng.standard_normal(true.size)
    found = fitted(RadialProfile("AGE_LW", disc, disc.radius(sky) / 3.0, value, np.full(true.size, 0.1)))
    assert abs(found.slope - SLOPE) < 3 * found.slope_error
    assert found.slope_error < 0.02
    assert found.centre == pytest.approx(9.5, abs=0.05)
    assert found.at_re == pytest.approx(9.5 + SLOPE, abs=4 * found.at_re_error)
    wrong = Disc(CENTRE.ra.deg, CENTRE.dec.deg, -125.0, inclination, 3.0)
    other = fitted(RadialProfile("AGE_LW", wrong, wrong.radius(sky) / 3.0, value, np.full(true.size, 0.1)))
    assert (other.scatter > found.scatter + 0.05) == (inclination >= 50), "a mirrored position angle must not fit"


@pytest.mark.parametrize(
    ("method", "error", "scatter"),
    [("weighted", 0.1, 0.1), ("weighted", 0.1, 0.0), ("weighted", 0.02, 0.1), ("robust", 0.1, 0.1)],
)
def test_errors_cover_68_per_cent(method: Method, error: float, scatter: float) -> None:
    """300 simulated galaxies of 80 bins: binomial error 2.7 %; noise counted twice would give 84 %."""
    away = []
    for seed in range(300):
        found = fitted(made_up(80, seed, error, scatter), method=method, draws=100)
        away.append((found.slope - SLOPE) / found.slope_error)
    assert np.mean(np.abs(away) < 1) == pytest.approx(0.68, abs=0.075)
    assert np.std(away) == pytest.approx(1.0, abs=0.13)


def test_scatter_is_what_errors_do_not_explain() -> None:
    assert fitted(made_up(2000, 3, error=0.05, scatter=0.12)).scatter == pytest.approx(0.12, rel=0.05)
    assert fitted(made_up(2000, 3, error=0.05, scatter=0.12), method="robust").scatter == pytest.approx(0.12, rel=0.07)
    assert fitted(made_up(2000, 4, error=0.1)).scatter < 0.03


def test_a_star_does_not_count_in_a_robust_fit() -> None:
    data = made_up(200, 5, error=0.05)
    data.value[data.r > 1.9] -= 1.5
    robust, weighted = fitted(data, method="robust"), fitted(data)
    assert abs(robust.slope - SLOPE) < 0.05 < abs(weighted.slope - SLOPE)


def test_exact_values_give_the_exact_line() -> None:
    r = np.linspace(0.1, 2, 30)
    found = fitted(RadialProfile("AGE_LW", FACE_ON, r, 9.0 + SLOPE * r, np.zeros(30)))
    assert found.slope == pytest.approx(SLOPE, abs=1e-6)
    assert found.slope_error < 1e-3
    low, high = found.band(np.array([0.0, 1.0]))
    assert low == pytest.approx([9.0, 9.0 + SLOPE], abs=1e-3)
    assert (high >= low).all()


def test_per_kpc_needs_a_distance() -> None:
    data = made_up(50, 1)
    assert fitted(data).slope_kpc is None
    near = Disc(FACE_ON.ra_deg, FACE_ON.dec_deg, 0.0, 0.0, 5.0, distance_mpc=10.0)
    found = fitted(RadialProfile("AGE_LW", near, data.r, data.value, data.error))
    assert found.slope_kpc is not None
    r_e_kpc = 10e3 * np.tan(np.radians(5 / 3600))
    assert found.slope_kpc == pytest.approx((found.slope / r_e_kpc, found.slope_error / r_e_kpc), rel=1e-6)
    assert "dex/kpc" in found.text()
    far = fitted(RadialProfile("AGE_LW", near, data.r, data.value, data.error, redshift=0.05))
    assert far.slope_kpc[0] == pytest.approx(found.slope_kpc[0] * 1.05**2)  # D_A = D_L / (1 + z)^2
    assert "LW age: −0." in found.text()


def test_range_and_choice_of_bins() -> None:
    data = made_up(200, 2)
    data.value[:5] = np.nan
    found = fitted(data, r_min=0.5, r_max=1.0)
    assert found.used.sum() == np.sum((data.r >= 0.5) & (data.r <= 1.0) & np.isfinite(data.value))
    half = fit_gradient(data, use=data.r < 1)
    assert half is not None
    assert not half.used[data.r >= 1].any()
    with pytest.raises(SfhInputError, match="gradient: 0 bins with a value between"):
        fit_gradient(data, GradientFitSettings(r_min=5, r_max=6))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"r_min": 2.0, "r_max": 1.0}, r"radial range: 2 to 1 R_e is empty"),
        ({"method": "median"}, r"fit: 'median' is unknown; choose weighted or robust"),
        ({"draws": 10}, r"bootstrap: 10 draws are too few"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SfhInputError, match=message):
        GradientFitSettings(**settings)


def test_running_median_follows_a_curve() -> None:
    data = made_up(3000, 7, error=0.05)
    bent = RadialProfile("AGE_LW", FACE_ON, data.r, data.value - 0.3 * data.r**2, data.error)
    running = bent.running()
    assert (np.diff(running.r) > 0).all()
    expected = 9.5 + SLOPE * running.r - 0.3 * running.r**2
    assert running.median == pytest.approx(expected, abs=0.05)
    assert (running.low < running.median).all()
    assert (running.high > running.median).all()
    assert bent.running(np.zeros(3000, bool)).r.size == 0


def test_same_seed_same_errors_and_a_cancel_ends_it() -> None:
    data = made_up(60, 1)
    assert fitted(data, seed=3).slope_error == fitted(data, seed=3).slope_error
    assert fitted(data, seed=3).slope_error != fitted(data, seed=4).slope_error
    stop, stages = threading.Event(), []

    def tell(step: Progress) -> None:
        stages.append(step.stage)
        stop.set()

    with pytest.raises(Cancelled):
        fit_gradient(made_up(20000, 1), progress=tell, cancel=stop)
    assert stages == ["bootstrap"]
