"""Radial gradients: how a quantity changes with the radius in the disc's plane, per effective radius and per kpc.

A straight line y = a + b R through the bins, by least squares with weights 1 / (sigma^2 + s^2): sigma is the bin's own
error (half of the 16-84 % width), s the scatter among bins that errors do not explain, found such that chi^2 equals its
degrees of freedom (zero where the errors explain all). The robust fit weights in addition by Huber's function
(k = 1.345) and takes s from the median absolute deviation, so that single bins (a foreground star) do not count.

Errors come from a Monte-Carlo bootstrap: bins are drawn with replacement, and the values of the drawn ones are made
noisy by their errors. As the drawn values carry noise already, noise put on top would count it twice (errors too large
by up to sqrt 2); so their residuals are shrunk by s / sqrt(sigma^2 + s^2) before the noise is added (the smoothed
bootstrap with its variance kept; Silverman & Young 1987, Biometrika 74, 469). What all bins have wrong together -
the network's bias, centre and inclination - is not in these errors.

Galaxies' gradients by such a bootstrap: Liew-Cain et al. (2021, MNRAS 502, 1355), who draw 75 % of the points 100 times
and have no errors of the values.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from astropy.wcs.utils import pixel_to_skycoord
from numpy.typing import NDArray

from napari_sfh.analysis.disc import Disc
from napari_sfh.analysis.stellar_mass import compute_kpc_per_arcsec
from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.physics.quantities import MEANS, QUANTITIES
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.types import F64, Bool, Flag, Progress, Result

Method = Literal["weighted", "robust"]
_SCALARS = ("ebv", "lg_age", "age_lw_gyr", "age_mw_gyr", *(f"t{percent}" for percent in range(10, 100, 10)))
#: Quantities that can be fitted: name as in maps -> (key of `Prediction.quantiles`, title, unit).
GRADIENT_QUANTITIES: dict[str, tuple[str, str, str]] = {
    quantity.map_name or quantity.name.upper(): (quantity.name, quantity.title, quantity.error_unit)
    for quantity in (*MEANS, *(QUANTITIES[name] for name in _SCALARS))
}
#: Bins that a fit needs at least.
MIN_BINS = 5
#: Numbers that the bootstrap holds at once.
_CHUNK = 50_000
_HUBER = 1.345
#: Rounds of the robust fit's weights.
_ROUNDS = 6
#: Error below which a value counts as exact, in its own unit.
_LEAST_ERROR = 1e-4


@dataclass(frozen=True)
class GradientFitSettings:
    """How a line is fitted.

    ``r_min``, ``r_max`` in effective radii; ``draws`` of the bootstrap; the same ``seed`` gives the same errors.
    """

    r_min: float = 0.0
    r_max: float = np.inf
    method: Method = "robust"
    draws: int = 500
    seed: int = 2021

    def __post_init__(self) -> None:
        if not 0 <= self.r_min < self.r_max:
            raise SfhInputError(f"radial range: {self.r_min:g} to {self.r_max:g} R_e is empty; give min below max")
        if self.method not in ("weighted", "robust"):
            raise SfhInputError(f"fit: {self.method!r} is unknown; choose weighted or robust")
        if self.draws < 50:
            raise SfhInputError(f"bootstrap: {self.draws} draws are too few for an error; use at least 50")


@dataclass(frozen=True)
class RunningMedian:
    """Median and 16-84 % range in a window that slides outwards, each (K,), at the windows' median radii in R_e."""

    r: F64
    median: F64
    low: F64
    high: F64


@dataclass(frozen=True)
class RadialProfile:
    """One quantity of N bins against the radius in the disc. Arrays (N,); radii in R_e; NaN without a prediction."""

    quantity: str  # a key of `GRADIENT_QUANTITIES`
    disc: Disc
    r: F64
    value: F64
    error: F64
    redshift: float = 0.0  # systemic, for radii in kpc

    @property
    def kpc_per_arcsec(self) -> float | None:
        """Scale in the plane of the sky; None without a distance."""
        distance = self.disc.distance_mpc
        return None if distance is None else compute_kpc_per_arcsec(distance, self.redshift)

    def running(self, use: Bool | None = None) -> RunningMedian:
        """Running median of the bins ``use`` (default: all with a value); windows of a twelfth of them, at least 7."""
        good = np.isfinite(self.value) & np.isfinite(self.r)
        good = good if use is None else good & use
        order = np.argsort(self.r[good])
        r, value = self.r[good][order], self.value[good][order]
        width = min(max(7, r.size // 12), r.size)
        if width == 0:
            empty = np.empty(0)
            return RunningMedian(empty, empty, empty, empty)
        first = np.unique(np.linspace(0, r.size - width, 60).astype(int))
        rows = first[:, None] + np.arange(width)
        low, median, high = np.percentile(value[rows], [16, 50, 84], axis=1)
        return RunningMedian(np.median(r[rows], axis=1), median, low, high)


@dataclass(frozen=True)
class Gradient:
    """A line through a profile. Values in the quantity's unit, slopes in that per R_e."""

    profile: RadialProfile
    settings: GradientFitSettings
    used: Bool  # (N,) bins in the fit
    slope: float
    slope_error: float  # half of the bootstrap's 16-84 % width
    slope_p16: float
    slope_p84: float
    centre: float  # value of the line at R = 0
    at_re: float  # and at R_e, where slope and value hardly depend on each other
    at_re_error: float
    scatter: float  # s, beyond the errors
    lines: F64  # (draws, 2): slope and value at R = 0 of each draw of the bootstrap
    running: RunningMedian

    @property
    def slope_kpc(self) -> tuple[float, float] | None:
        """Slope and its error per kpc; None without a distance."""
        scale = self.profile.kpc_per_arcsec
        if scale is None:
            return None
        r_e_kpc = scale * self.profile.disc.r_e_arcsec
        return self.slope / r_e_kpc, self.slope_error / r_e_kpc

    def band(self, r: NDArray[np.floating]) -> tuple[F64, F64]:
        """16 and 84 % of the drawn lines at radii (K,) in R_e."""
        drawn = self.lines[:, :1] * r + self.lines[:, 1:]
        low, high = np.percentile(drawn, [16, 84], axis=0)
        return low, high

    def text(self) -> str:
        """The gradient in words, for example ``LW age: -0.21 ± 0.02 dex/Re (-0.08 ± 0.01 dex/kpc), 812 bins``."""
        _, title, unit = GRADIENT_QUANTITIES[self.profile.quantity]
        parts = f"{title}: {self.slope:+z.3f} ± {self.slope_error:.3f} {unit}/Re"
        if self.slope_kpc is not None:
            parts += f" ({self.slope_kpc[0]:+z.3f} ± {self.slope_kpc[1]:.3f} {unit}/kpc)"
        return f"{parts}, {int(self.used.sum())} bins".replace("-", "−")


def build_radial_profile(result: Result, disc: Disc, quantity: str) -> RadialProfile:
    """A quantity of every bin against the radius of its light-weighted centre.

    Parameters
    ----------
    result : Result
    disc : Disc
        Centre, inclination, position angle and effective radius.
    quantity : str
        A key of `GRADIENT_QUANTITIES`.

    Returns
    -------
    RadialProfile
        Arrays (N,).

    Raises
    ------
    SfhInputError
        ``quantity`` is not one of `GRADIENT_QUANTITIES`.
    """
    if quantity not in GRADIENT_QUANTITIES:
        raise SfhInputError(f"gradient of {quantity!r} is unknown: choose one of {', '.join(GRADIENT_QUANTITIES)}")
    key = GRADIENT_QUANTITIES[quantity][0]
    sky = pixel_to_skycoord(result.bins.x, result.bins.y, result.wcs.celestial, mode="wcs")
    value = result.prediction.median(key).astype(float)
    error = result.prediction.half_width(key).astype(float)
    return RadialProfile(quantity, disc, disc.radius(sky) / disc.r_e_arcsec, value, error, result.redshift)


def select_trusted_bins(result: Result, min_snr: float = 0.0) -> Bool:
    """Bins that a gradient should be made of.

    Parameters
    ----------
    result : Result
    min_snr : float

    Returns
    -------
    bool array (N,)
        True above the S/N and within the network's depth.
    """
    good: Bool = (result.data.snr >= min_snr) & ((result.flag & int(Flag.OUT_OF_DEPTH | Flag.NO_SPECTRUM)) == 0)
    return good


def fit_gradient(
    data: RadialProfile,
    settings: GradientFitSettings | None = None,
    use: Bool | None = None,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> Gradient:
    """Fit a line and its bootstrap.

    Parameters
    ----------
    data : RadialProfile
    settings : GradientFitSettings, optional
    use : boolean array (N,), optional
        Bins that may count; default: all with a value.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    Gradient

    Raises
    ------
    SfhInputError
        Fewer than `MIN_BINS` bins in the radial range, or all at one radius.
    """
    settings = settings or GradientFitSettings()
    used = _select_fitted_bins(data, settings, use)
    line = _Line.through(data.r[used], data.value[used], data.error[used], settings.method)
    lines = _bootstrap(line, settings, progress, cancel)
    low, high = np.percentile(lines[:, 0], [16, 84])
    at_re = lines.sum(1)
    return Gradient(
        profile=data,
        settings=settings,
        used=used,
        slope=line.slope,
        slope_error=float(0.5 * (high - low)),
        slope_p16=float(low),
        slope_p84=float(high),
        centre=line.centre,
        at_re=line.centre + line.slope,
        at_re_error=float(0.5 * np.diff(np.percentile(at_re, [16, 84]))[0]),
        scatter=line.scatter,
        lines=lines,
        running=data.running(used),
    )


def fit_subsampled_gradient(
    data: RadialProfile,
    r_max: float = 1.0,
    draws: int = 100,
    share: float = 0.75,
    seed: int = 2021,
    use: Bool | None = None,
) -> tuple[float, float]:
    """Slope and its error as Liew-Cain et al. (2021, section 3.3) measure them.

    A least-squares line without weights goes through ``share`` of the bins within ``r_max`` effective radii, drawn
    without replacement, ``draws`` times: mean and standard deviation of the slopes.

    Parameters
    ----------
    data : RadialProfile
    r_max : float
        Effective radii.
    draws : int
    share : float
        0 to 1.
    seed : int
    use : bool array (N,), optional
        Bins that count; default: all.

    Returns
    -------
    slope, error : float
        In the unit of the profile per effective radius.

    Raises
    ------
    SfhInputError
        Fewer than `MIN_BINS` bins in the radial range, or all at one radius.

    References
    ----------
    Liew-Cain et al. (2021, MNRAS 502, 1355)
    """
    used = _select_fitted_bins(data, GradientFitSettings(r_max=r_max), use)
    r, value = data.r[used], data.value[used]
    rng = np.random.default_rng(seed)
    size = max(2, round(share * r.size))
    rows = np.argsort(rng.random((draws, r.size)), axis=1)[:, :size]
    x = r[rows] - r[rows].mean(1, keepdims=True)
    slopes = (x * value[rows]).sum(1) / np.maximum((x**2).sum(1), 1e-12)
    return float(slopes.mean()), float(slopes.std())


@check_arguments
def fit_all_gradients(
    result: Result,
    disc: Disc,
    settings: GradientFitSettings | None = None,
    use: Bool | None = None,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> dict[str, Gradient]:
    """Fit the gradients of the `GRADIENT_QUANTITIES` that the weights predict.

    Parameters
    ----------
    result : Result
    disc : Disc
        Centre, position angle and axis ratio: where the radii come from.
    settings : GradientFitSettings, optional
    use : bool array (N,), optional
        Bins that count; default: all.
    progress, cancel : optional
        As of `fit_gradient`.

    Returns
    -------
    dict
        Quantity to its `Gradient`.

    Raises
    ------
    SfhInputError
        The weights predict none of them; else as `fit_gradient`.
    """
    found: dict[str, Gradient] = {}
    known = result.prediction.quantiles
    for quantity in [name for name, (key, _, _) in GRADIENT_QUANTITIES.items() if key in known]:
        made = fit_gradient(build_radial_profile(result, disc, quantity), settings, use, progress, cancel)
        found[quantity] = made
    if not found:
        raise SfhInputError(f"gradients: these weights predict none of {', '.join(GRADIENT_QUANTITIES)}")
    return found


def _select_fitted_bins(data: RadialProfile, settings: GradientFitSettings, use: Bool | None) -> Bool:
    inside: Bool = np.isfinite(data.value) & (data.r >= settings.r_min) & (data.r <= settings.r_max)
    used = inside if use is None else inside & use
    n, left_out = int(used.sum()), int(inside.sum() - used.sum())
    if n < MIN_BINS or np.ptp(data.r[used]) == 0:
        raise SfhInputError(
            f"gradient: {n} bins with a value between {settings.r_min:g} and {settings.r_max:g} R_e, "
            + (f"{left_out} more are out of depth or below the S/N; " if left_out else "")
            + f"at least {MIN_BINS} at different radii are needed; widen the range or show more bins"
        )
    return used


@dataclass(frozen=True)
class _Line:
    """A fitted line and what the bootstrap needs of its points, each (n,)."""

    r: F64
    value: F64
    error: F64
    slope: float
    centre: float
    scatter: float
    method: Method

    @classmethod
    def through(cls, r: F64, value: F64, error: F64, method: Method) -> _Line:
        sigma = np.maximum(np.nan_to_num(error, nan=0.0), _LEAST_ERROR)
        find = _scatter_robust if method == "robust" else _scatter_weighted
        s = find(r, value, sigma)
        slope, centre = _solve(r, value, 1 / (sigma**2 + s**2), method)
        return cls(r, value, sigma, float(slope), float(centre), s, method)


def _solve(r: F64, value: F64, weight: F64, method: Method) -> tuple[F64, F64]:
    """Slope and value at R = 0 of lines through points (..., n), by weights 1 / variance."""
    slope, centre = _least_squares(r, value, weight)
    if method == "weighted":
        return slope, centre
    root = np.sqrt(weight)
    for _ in range(_ROUNDS):
        away = np.abs(value - centre[..., None] - slope[..., None] * r) * root
        huber = _HUBER / np.maximum(away, _HUBER)
        slope, centre = _least_squares(r, value, weight * huber)
    return slope, centre


def _least_squares(r: F64, value: F64, weight: F64) -> tuple[F64, F64]:
    total = weight.sum(-1)
    weighted = weight * r
    mean_r, mean_v = weighted.sum(-1) / total, np.einsum("...n,...n->...", weight, value) / total
    covariance = np.einsum("...n,...n->...", weighted, value) - total * mean_r * mean_v
    slope = covariance / (np.einsum("...n,...n->...", weighted, r) - total * mean_r**2)
    return np.asarray(slope), np.asarray(mean_v - slope * mean_r)


def _scatter_weighted(r: F64, value: F64, sigma: F64) -> float:
    """Scatter s at which chi^2 of the line equals n - 2."""

    def excess(s2: float) -> float:
        weight = 1 / (sigma**2 + s2)
        slope, centre = _least_squares(r, value, weight)
        return float((weight * (value - centre - slope * r) ** 2).sum() - (r.size - 2))

    return _scatter_at_root(excess, value)


def _scatter_at_root(excess: Callable[[float], float], value: F64) -> float:
    """Scatter at which a falling function of its square passes zero; 0 where it never rises above."""
    if excess(0.0) <= 0:
        return 0.0
    from scipy.optimize import brentq  # slow to import

    high = float(np.var(value)) * value.size + 1.0
    return float(np.sqrt(brentq(excess, 0.0, high, xtol=1e-8, rtol=1e-4)))


def _scatter_robust(r: F64, value: F64, sigma: F64) -> float:
    """Scatter s at which the median absolute deviation over the errors is that of a normal distribution."""
    degrees = np.sqrt(r.size / (r.size - 2))

    def excess(s2: float) -> float:
        root = np.sqrt(sigma**2 + s2)
        slope, centre = _solve(r, value, root**-2, "robust")
        return float(SIGMA_PER_MAD * degrees * np.median(np.abs(value - centre - slope * r) / root) - 1)

    return _scatter_at_root(excess, value)


def _bootstrap(
    line: _Line, settings: GradientFitSettings, progress: ReportProgress | None, cancel: threading.Event | None
) -> F64:
    """Slopes and centres (draws, 2) of the Monte-Carlo bootstrap described above."""
    rng = np.random.default_rng(settings.seed)
    n = line.r.size
    drawn_line = line.centre + line.slope * line.r
    shrink = line.scatter / np.hypot(line.error, line.scatter) * np.sqrt(n / (n - 2))
    residual = shrink * (line.value - drawn_line)
    weight = 1 / (line.error**2 + line.scatter**2)
    out = np.empty((settings.draws, 2))
    step = max(1, _CHUNK // n)
    for start in range(0, settings.draws, step):
        report_progress(Progress("bootstrap", start, settings.draws), progress, cancel)
        size = min(step, settings.draws - start)
        rows = rng.integers(0, n, (size, n))
        noise = line.error[rows] * rng.standard_normal((size, n))
        value = (drawn_line + residual)[rows] + noise
        out[start : start + size] = np.column_stack(_solve(line.r[rows], value, weight[rows], line.method))
    return out
