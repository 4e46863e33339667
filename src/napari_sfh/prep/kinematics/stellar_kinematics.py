"""Stellar velocity and dispersion of the bins: constants, from a DAP MAPS file, or fitted with pPXF.

Velocities are v = c ln(1 + z_v) relative to the systemic redshift, as pPXF and the DAP give them; dispersions are those
of the stars, without the line-spread function.

`log_spectra` brings spectra and templates to one grid; `fast_kinematics` fits all bins at once, pPXF (Cappellari 2023,
MNRAS 526, 3273) one after the other, each on one core: its matrices are so small that threads, of Python or of the
linear algebra, cost more than they give, and some 8 times more beside other work.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from napari_sfh.config import MAX_V_KMS, SIGMA_RANGE_KMS, parse_kinematics
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.jobs import ReportProgress, format_duration, limit_algebra_threads, report_progress
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.grids import check_same_grid
from napari_sfh.prep.kinematics.log_spectra import LN_STEP, LogSpectra
from napari_sfh.prep.kinematics.ppxf_call import is_ppxf_installed, run_ppxf
from napari_sfh.types import F32, F64, BinMap, BinnedMaps, Bool, Progress

#: Seconds of one fit on one core, measured by ``benchmarks/bench_estimate.py --kinematics ppxf`` as told in `cost`.
PPXF_SECONDS: float = 0.03
#: Fits that take longer than this are worth a sentence before they begin.
_PATIENCE_SECONDS = 120.0


class StellarKinematics(NamedTuple):
    """Stellar kinematics of N bins."""

    v_kms: F32  # (N,) relative to the redshift in use
    sigma_kms: F32  # (N,) without the LSF
    measured: Bool  # (N,) False = a constant or a neighbour's value
    v_error_kms: F32 | None = None  # (N,) 1 sigma, NaN where not measured; None: not known
    sigma_error_kms: F32 | None = None  # (N,) likewise


def parse_constant_kinematics(text: str, n_bins: int) -> StellarKinematics:
    """One velocity and dispersion for all bins, from ``V,SIGMA`` in km/s.

    Parameters
    ----------
    text : str
        ``V,SIGMA`` in km/s.
    n_bins : int
        N.

    Returns
    -------
    StellarKinematics
        Arrays (N,), in no bin ``measured``.

    Raises
    ------
    SfhInputError
        See `config.parse_kinematics`.
    """
    v, sigma = parse_kinematics(text)
    return make_kinematics(np.full(n_bins, v), np.full(n_bins, sigma), np.zeros(n_bins, dtype=bool))


def make_kinematics(v_kms: F32, sigma_kms: F32, measured: Bool) -> StellarKinematics:
    """Kinematics as float32 arrays.

    Parameters
    ----------
    v_kms, sigma_kms : array (N,)
        km/s.
    measured : bool array (N,)
        True where they are the bin's own.

    Returns
    -------
    StellarKinematics
    """
    return StellarKinematics(v_kms.astype(np.float32), sigma_kms.astype(np.float32), measured)


def bin_maps_kinematics(
    maps: BinnedMaps, bins: BinMap, redshift: float, cube_name: str = "the cube"
) -> StellarKinematics:
    """Median over each bin's spaxels of the maps' velocity and dispersion.

    Velocities are moved from the maps' redshift to ``redshift``. Bins without a measurement take that of the nearest
    bin that has one, and are not ``measured``.

    Parameters
    ----------
    maps : BinnedMaps
    bins : BinMap
        On the same spaxels.
    redshift : float
        Systemic: velocities are given relative to it.
    cube_name : str
        For messages.

    Returns
    -------
    StellarKinematics
        Arrays (N,), km/s.

    Raises
    ------
    SfhInputError
        The maps lie on another grid, or hold no usable value in any bin.
    """
    check_same_grid(maps.path.name, maps.bin_id.shape, None, cube_name, bins.bin_id.shape, maps.wcs)
    v, sigma = compute_bin_medians(maps.v_kms, bins), compute_bin_medians(maps.sigma_kms, bins)
    if maps.redshift is not None:
        v = v + C_KMS * np.log((1.0 + maps.redshift) / (1.0 + redshift))
    lo, hi = SIGMA_RANGE_KMS
    with np.errstate(invalid="ignore"):
        measured = (np.abs(v) <= MAX_V_KMS) & (sigma >= lo) & (sigma <= hi)
    if not measured.any():
        raise SfhInputError(
            f"{maps.path.name}: V_STARS and SIGMA_STARS hold no usable value in any of {bins.n_bins} bins "
            f"(|V| <= {MAX_V_KMS:.0f}, sigma {lo:.0f}-{hi:.0f} km/s relative to redshift {redshift:g}); "
            "check `redshift` or give `kinematics` V,SIGMA"
        )
    from scipy.spatial import KDTree

    places = np.column_stack([bins.x, bins.y])
    nearest = np.flatnonzero(measured)[KDTree(places[measured]).query(places)[1]]
    return make_kinematics(v[nearest], sigma[nearest], measured)


def compute_bin_medians(image: F32, bins: BinMap) -> F32:
    """Median of an image's finite values over each bin.

    Parameters
    ----------
    image : array (ny, nx)
    bins : BinMap

    Returns
    -------
    array (N,)
        NaN where a bin has no finite value.
    """
    inside = (bins.bin_id > 0) & np.isfinite(image)
    label, value = bins.bin_id[inside] - 1, image[inside].astype(np.float64)
    order = np.lexsort((value, label))
    value, count = value[order], np.bincount(label, minlength=bins.n_bins)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    out = np.full(bins.n_bins, np.nan)
    some = count > 0
    low, high = first[some] + (count[some] - 1) // 2, first[some] + count[some] // 2
    out[some] = 0.5 * (value[low] + value[high])
    return out.astype(np.float32)


def describe_ppxf_time(n_bins: int) -> str | None:
    """A sentence on the time that pPXF will take, and what to do about it, where there are many bins to fit."""
    seconds = PPXF_SECONDS * n_bins
    if seconds < _PATIENCE_SECONDS:
        return None
    return (
        f"pPXF fits {n_bins} spectra, about {format_duration(seconds)}; faster: `kinematics` fast, a MAPS file "
        "(`maps`), constants (`kinematics` V,SIGMA), or a larger `target_snr`"
    )


def fit_ppxf_kinematics(
    data: LogSpectra, progress: ReportProgress | None = None, cancel: threading.Event | None = None
) -> StellarKinematics:
    """Velocity and dispersion of every bin from pPXF, without errors, one bin after the other.

    Parameters, result and cancelling are those of `fast_kinematics.fit_fast_kinematics`.

    Raises
    ------
    SfhInputError
        pPXF is not installed, or no bin could be fitted.
    """
    if not is_ppxf_installed():
        raise SfhInputError("`kinematics` ppxf: pPXF is not installed; pip install ppxf, or give V,SIGMA")
    n = data.observed.n_bins
    if warning := describe_ppxf_time(n):
        report_progress(Progress(warning, 0, 0, stays=True), progress, cancel)
    stage = f"stellar kinematics with pPXF, about {format_duration(PPXF_SECONDS * n)}"
    v, sigma = np.full(n, np.nan), np.full(n, np.nan)
    with limit_algebra_threads():
        for b in range(n):
            report_progress(Progress(stage, b, n), progress, cancel)
            v[b], sigma[b] = fit_row_with_ppxf(data, b)
    return fill_unfitted_bins(v, sigma, "ppxf", data.redshift)


def fill_unfitted_bins(v_kms: F64, sigma_kms: F64, method: str, redshift: float) -> StellarKinematics:
    """Kinematics of fits: bins without one, or at a limit, take the median of the others and are not ``measured``.

    Parameters
    ----------
    v_kms, sigma_kms : array (N,)
        km/s, NaN where no fit succeeded.
    method : str
        For messages: ``fast`` or ``ppxf``.
    redshift : float
        For messages.

    Returns
    -------
    StellarKinematics
        Arrays (N,), km/s.

    Raises
    ------
    SfhInputError
        No bin was fitted.
    """
    measured = np.isfinite(v_kms) & (np.abs(v_kms) < 0.99 * MAX_V_KMS) & (sigma_kms < 0.99 * SIGMA_RANGE_KMS[1])
    if not measured.any():
        raise SfhInputError(
            f"`kinematics` {method}: no fit within {MAX_V_KMS:.0f} km/s of redshift {redshift:g} in any of "
            f"{measured.size} bins; check `redshift` or give V,SIGMA"
        )
    v, sigma = (np.where(measured, a, np.median(a[measured])) for a in (v_kms, sigma_kms))
    return make_kinematics(v, np.maximum(sigma, SIGMA_RANGE_KMS[0]), measured)


def fit_row_with_ppxf(data: LogSpectra, row: int) -> tuple[float, float]:
    """Velocity and dispersion in km/s of one bin; NaN where it has no usable spectrum.

    Parameters
    ----------
    data : LogSpectra
    row : int
        Of the bin, from 0.

    Returns
    -------
    v_kms, sigma_kms : float
        Velocity relative to the redshift of ``data``, and dispersion without the LSF.
    """
    if not data.fittable[row]:
        return np.nan, np.nan
    arguments = {
        "templates": data.templates,
        "galaxy": data.flux[row],
        "noise": data.noise[row],
        "velscale": C_KMS * LN_STEP,
        "start": [0.0, 80.0],
        "goodpixels": np.flatnonzero(data.usable[row]),
        "moments": 2,
        "bounds": [[-MAX_V_KMS, MAX_V_KMS], list(SIGMA_RANGE_KMS)],
        "degree": 8,
        "lam": np.exp(data.ln_wave),
        "lam_temp": np.exp(data.ln_template),
        "quiet": True,
    }
    try:
        out = run_ppxf(arguments, f"bin {row + 1}")
    except ComputeError:
        return np.nan, np.nan
    return float(out.sol[0]), float(out.sol[1])
