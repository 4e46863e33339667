"""Spatial binning to a target S/N.

S/N is that of one spectral pixel of the cube, averaged over the instrument's normalisation window: signal is the mean
flux, noise the square root of the mean variance (STAT). A bin's S/N adds signals and, spaxels taken as independent,
squares of noises (Cappellari & Copin 2003, MNRAS 342, 345, equation 2). Without STAT the noise of a spaxel is
measured from its own spectrum by third differences over every second pixel, blind to smooth structure and to the
correlation of neighbours (Stoehr et al. 2008, ASP Conf. 394, 505):

    noise = 1.482602 / sqrt(6) * median |2 f(i) - f(i-2) - f(i+2)|

Narrow absorption features count as noise there, so S/N above some 100 is underestimated.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress, format_duration, raise_if_cancelled, report_progress
from napari_sfh.physics.filters import compute_row_medians
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.prep.cube_blocks import read_cube_blocks
from napari_sfh.prep.grids import place_given_bins
from napari_sfh.types import F32, F64, I32, BinMap, BinnedMaps, Bool, Cube, GivenBins, Progress

#: Spaxels with a lower S/N than this are left out: they add noise, not signal.
MIN_SPAXEL_SNR: float = 1.0
#: ``auto`` takes vorbin up to this number of spaxels: a quarter of a minute; above, powerbin is much the faster.
MAX_VORBIN_SPAXELS: int = 40_000
#: Seconds a spaxel with powerbin, a squared spaxel with vorbin, on one core (benchmarks/bench_prep.py).
_POWERBIN_SECONDS, _VORBIN_SECONDS = 3.5e-5, 5.5e-9
BINNING_METHODS: tuple[str, ...] = ("auto", "vorbin", "powerbin")
_DIFFERENCE_NOISE = SIGMA_PER_MAD / np.sqrt(6.0)


@dataclass(frozen=True)
class SpaxelSN:
    """Signal and noise of every spaxel in the normalisation window."""

    signal: F32  # (ny, nx) mean flux, cube units; NaN where nothing was observed
    noise: F32  # (ny, nx) 1 sigma of one spectral pixel, cube units; NaN likewise
    good: Bool  # (ny, nx) may enter a bin
    wcs: WCS  # celestial
    path: Path  # of the cube, for messages
    from_variance: bool  # False: measured from the spectra, there is no STAT
    missing: tuple[str, ...] = ()  # what was left out of the window, for messages

    @property
    def snr(self) -> F32:
        """S/N per pixel, (ny, nx); 0 where not good."""
        return np.divide(self.signal, self.noise, out=np.zeros_like(self.signal), where=self.good)


def measure_difference_noise(flux: F32, axis: int = 0) -> F32:
    """Noise of spectra from their third differences, see the head of the module.

    Parameters
    ----------
    flux : array (..., n, ...)
        With the n channels along ``axis``; NaN where unusable.
    axis : int

    Returns
    -------
    array (...)
        In the unit of ``flux``, without ``axis``; NaN where fewer than 8 differences are finite.

    References
    ----------
    Stoehr et al. (2008, ASP Conf. 394, 505)
    """
    f = np.moveaxis(flux, axis, 0)
    if f.shape[0] < 12:
        return np.full(f.shape[1:], np.nan, dtype=np.float32)
    step = np.abs(2.0 * f[2:-2] - f[:-4] - f[4:])
    few = np.isfinite(step).sum(0) < 8
    rows = np.ascontiguousarray(step.reshape(step.shape[0], -1).T)
    noise = _DIFFERENCE_NOISE * compute_row_medians(rows).reshape(few.shape)
    return np.where(few, np.nan, noise).astype(np.float32)


def find_window_channels(cube: Cube, redshift: float, window_aa: tuple[float, float]) -> slice:
    """Channels of the cube inside the normalisation window.

    Parameters
    ----------
    cube : Cube
    redshift : float
    window_aa : (float, float)
        At rest, Angstrom.

    Raises
    ------
    SfhInputError
        The cube does not cover half of the window at this redshift.
    """
    lo, hi = (edge * (1.0 + redshift) for edge in window_aa)
    first, last = np.searchsorted(cube.wave_aa, (lo, hi))
    if cube.wave_aa[0] > 0.5 * (lo + hi) or cube.wave_aa[-1] < 0.5 * (lo + hi) or last - first < 12:
        raise SfhInputError(
            f"{cube.path}: rest {window_aa[0]:.0f}-{window_aa[1]:.0f} AA lies at {lo:.0f}-{hi:.0f} AA "
            f"for redshift {redshift:g}, the cube covers {cube.wave_aa[0]:.0f}-{cube.wave_aa[-1]:.0f} AA; "
            "check `redshift` and the wavelength axis"
        )
    return slice(int(first), int(last))


def measure_signal_noise(
    cube: Cube,
    redshift: float,
    window_aa: tuple[float, float],
    min_snr: float = MIN_SPAXEL_SNR,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> SpaxelSN:
    """Measure signal and noise of every spaxel in the window, reading only its channels.

    Parameters
    ----------
    cube : Cube
    redshift : float
        Of the galaxy: it moves the window.
    window_aa : (float, float)
        Rest-frame window in Angstrom, the instrument's.
    min_snr : float
        Spaxels below are not ``good``.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    SpaxelSN

    Raises
    ------
    SfhInputError
        Window not covered, or no spaxel above ``min_snr``.
    """
    window = find_window_channels(cube, redshift, window_aa)
    total = window.stop - window.start
    shape = cube.shape[1:]
    flux_sum, variance_sum, count = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.int32)
    series = None if cube.has_variance else np.empty((total, *shape), dtype=np.float32)
    report_progress(Progress("signal and noise", 0, total), progress, cancel)
    for part, (flux, variance, good) in read_cube_blocks(cube, window, cancel):
        for c, used in enumerate(good):
            flux_sum += np.where(used, flux[c], np.float32(0))
            count += used
            if variance is not None:
                variance_sum += np.where(used, variance[c], np.float32(0))
        if series is not None:
            series[part] = np.where(good, flux, np.nan)
        report_progress(Progress("signal and noise", part.stop, total), progress, cancel)
    raise_if_cancelled(cancel)
    window_name = f"{window_aa[0]:.0f}-{window_aa[1]:.0f} AA"
    return _spaxel_sn(cube, (flux_sum, variance_sum), count, total, series, min_snr, window_name)


def _spaxel_sn(
    cube: Cube, sums: tuple[F64, F64], count: I32, total: int, series: F32 | None, min_snr: float, window: str
) -> SpaxelSN:
    flux_sum, variance_sum = sums
    covered = 2 * count > total
    nan = np.full(count.shape, np.nan)
    signal = np.divide(flux_sum, count, out=nan.copy(), where=covered).astype(np.float32)
    if series is None:
        noise = np.sqrt(np.divide(variance_sum, count, out=nan, where=covered)).astype(np.float32)
    else:
        noise = np.stack([measure_difference_noise(series[:, row]) for row in range(count.shape[0])])
    usable = covered & (signal > 0) & (noise > 0)
    good = np.zeros_like(usable)
    good[usable] = signal[usable] >= min_snr * noise[usable]
    if not good.any():
        best = np.max(signal[usable] / noise[usable], initial=0.0)
        raise SfhInputError(
            f"{cube.path.name}: no spaxel has S/N >= {min_snr:g} in the rest window {window} "
            f"(best {best:.2f} of {int(covered.sum())} observed spaxels){_list_missing(cube.describe_missing())}; "
            f"check DATA, STAT, their BUNIT ({cube.header.get('BUNIT', 'none')}) and `redshift`"
        )
    return SpaxelSN(signal, noise, good, cube.wcs, cube.path, series is None, cube.describe_missing())


def _list_missing(missing: tuple[str, ...]) -> str:
    """What was left out, for a message."""
    return "".join(f"; {note}" for note in missing)


def describe_binning_time(sn: SpaxelSN, method: str) -> str | None:
    """A sentence on the time that vorbin will take, where it was chosen for a large field; for the progress line.

    Parameters
    ----------
    sn : SpaxelSN
    method : str
        A value of the setting ``binning``.

    Returns
    -------
    str or None
    """
    n = int(sn.good.sum())
    if method != "vorbin" or n <= MAX_VORBIN_SPAXELS:
        return None
    slow, fast = _VORBIN_SECONDS * n**2, _POWERBIN_SECONDS * n
    return f"{n} spaxels take vorbin some {format_duration(slow)}, powerbin {format_duration(fast)}"


def choose_binning_method(method: str, n_spaxels: int) -> str:
    """What ``auto`` takes: vorbin, for many spaxels powerbin; any other method is kept.

    Parameters
    ----------
    method : str
        A value of the setting ``binning``.
    n_spaxels : int
        Good ones.

    Returns
    -------
    str
    """
    if method != "auto":
        return method
    return "vorbin" if n_spaxels <= MAX_VORBIN_SPAXELS else "powerbin"


def bin_spaxels(
    sn: SpaxelSN,
    target_snr: float,
    method: str = "auto",
    given: BinnedMaps | GivenBins | I32 | None = None,
    cancel: threading.Event | None = None,
) -> BinMap:
    """Bin the good spaxels to a target S/N, or take a given bin map.

    Parameters
    ----------
    sn : SpaxelSN
    target_snr : float
        S/N per pixel that a bin should reach.
    method : {"auto", "vorbin", "powerbin"}
        Cappellari & Copin (2003) or Cappellari (2025, MNRAS 544, 1432); auto takes vorbin up to `MAX_VORBIN_SPAXELS`
        spaxels, else powerbin. Ignored with ``given``.
    given : BinnedMaps, GivenBins, or integer array (ny, nx) with 0 = none, optional
        Bins of somebody else. Spaxels that are not good leave their bin; a bin left empty is dropped.
    cancel : Event, optional
        Ends a long run early with `Cancelled`.

    Returns
    -------
    BinMap
        Bins in the order of their distance from the brightest one, so the numbers do not depend on the method's
        inner order. Given bins keep their order.

    Raises
    ------
    SfhInputError
        The target is out of reach of all spaxels together, the method is unknown, or the given map does not fit.
    """
    if given is not None:
        bin_id, source = place_given_bins(given, sn.wcs, sn.good.shape, sn.path)
        return _measure_bins(sn, np.where(sn.good, bin_id, 0), target_snr, source, keep_order=True)
    if method not in BINNING_METHODS:
        raise SfhInputError(f"binning {method!r} is unknown: choose {', '.join(BINNING_METHODS)}, maps or a FITS file")
    method = choose_binning_method(method, int(sn.good.sum()))
    if not target_snr > 0:
        raise SfhInputError(f"target S/N {target_snr} must be positive")
    signal, noise = (a[sn.good].astype(np.float64) for a in (sn.signal, sn.noise))
    reachable = signal.sum() / np.sqrt((noise**2).sum())
    if reachable < target_snr:
        raise SfhInputError(
            f"{sn.path.name}: no bin can reach S/N {target_snr:g}: all {signal.size} good spaxels together have "
            f"{reachable:.1f}{_list_missing(sn.missing)}; lower `target_snr`"
        )
    from napari_sfh.prep.tessellate import tessellate_spaxels  # with SciPy, which a look at a folder does without

    step_arcsec = proj_plane_pixel_scales(sn.wcs) * 3600.0
    aspect = float(step_arcsec[1] / step_arcsec[0])
    bin_id = tessellate_spaxels(sn.good, sn.signal, sn.noise, float(target_snr), method, cancel, aspect)
    return _measure_bins(sn, bin_id, target_snr, method, keep_order=False)


def _measure_bins(sn: SpaxelSN, bin_id: I32, target_snr: float, method: str, keep_order: bool) -> BinMap:
    """Number bins 1..N and measure them."""
    inside = bin_id > 0
    if not inside.any():
        raise SfhInputError(f"{sn.path.name}: the bin map has no bin on a spaxel with signal; check its grid")
    label = np.unique(bin_id[inside], return_inverse=True)[1]
    y, x = (a.astype(np.float64) for a in np.nonzero(inside))
    signal, noise = sn.signal[inside].astype(np.float64), sn.noise[inside].astype(np.float64)
    light, nspax = np.bincount(label, signal), np.bincount(label)
    x_bin, y_bin = np.bincount(label, signal * x) / light, np.bincount(label, signal * y) / light
    snr = light / np.sqrt(np.bincount(label, noise**2))
    if keep_order:
        order = np.arange(light.size)
    else:
        peak = int(np.argmax(light / nspax))
        order = np.lexsort((x_bin, y_bin, np.hypot(x_bin - x_bin[peak], y_bin - y_bin[peak])))
    number = np.empty_like(order)
    number[order] = np.arange(order.size)
    out = np.zeros(bin_id.shape, dtype=np.int32)
    out[inside] = number[label] + 1
    return BinMap(
        bin_id=out,
        x=x_bin[order],
        y=y_bin[order],
        nspax=nspax[order].astype(np.int32),
        snr=snr[order].astype(np.float32),
        target_snr=float(target_snr),
        method=method,
    )
