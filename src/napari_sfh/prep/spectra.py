"""One spectrum per bin: summed over the spaxels in one pass through the cube.

The cube is read in blocks of channels (`cube_blocks`) and each channel is multiplied by the sparse bin matrix in
float32; memory is bounded by two blocks and by the bins, never by the cube. Only the channels are read that the
instrument's range, the velocities and the broadening kernel can reach.

Bad pixels: where some spaxels of a bin are bad in a channel, the sum is divided by the share of the bin's light (in the
normalisation window) that the good ones hold; where that is below one half the channel is bad. Spaxels count as
independent: the covariance that a resampled cube has between neighbours is in no STAT extension, so the S/N of large
bins is an upper limit. Without STAT the variance is measured from each bin's spectrum
(`binning.measure_difference_noise`) in windows along wavelength.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import SpectrumGrid
from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.jobs import ReportProgress, raise_if_cancelled, report_progress
from napari_sfh.physics.extinction import milky_way_transmission
from napari_sfh.physics.wavelength import C_KMS, find_dropped_wavelengths
from napari_sfh.prep.binning import measure_difference_noise
from napari_sfh.prep.cube_blocks import read_cube_blocks
from napari_sfh.types import F32, F64, I32, BinMap, Bool, Cube, Progress

if TYPE_CHECKING:
    from scipy import sparse

#: Velocities around the redshift for which channels are read, km/s.
V_MARGIN_KMS: float = 1000.0
_KERNEL_MARGIN_AA = 20.0
_MIN_LIGHT = 0.5
_SIDE_BY_SIDE = 32  # channels that are put among the spectra at once: two lines of the processor's cache
_NOISE_WINDOW = 100  # channels over which the noise is measured where STAT is absent


@dataclass(frozen=True)
class BinSpectra:
    """Spectra of N bins in the observed frame, on n channels of the cube."""

    wave_aa: F64  # (n,) observed, air
    flux: F32  # (N, n) summed over the bin's spaxels, cube units; 0 where bad
    variance: F32  # (N, n) of the sum; 0 where bad
    good: Bool  # (N, n)
    flux_scale: float  # erg/s/cm2/AA per cube unit
    from_variance: bool  # False: the variance is measured from the spectra
    lsf: LineSpread | None = None  # of the data; None: not known

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return int(self.flux.shape[0])


def restore_dropped_channels(spectra: BinSpectra) -> tuple[BinSpectra, tuple[str, ...]]:
    """Put channels that are not in the data between those that are, as missing ones.

    Files of wavelengths one by one may leave some out; neighbours across such a gap would pass for neighbours.

    Parameters
    ----------
    spectra : BinSpectra
        Of N bins on n channels.

    Returns
    -------
    BinSpectra
        On n + m channels; what was given, where none lacks.
    notes : tuple of str
        How many were put in, and where.
    """
    lacking = find_dropped_wavelengths(spectra.wave_aa)
    if not lacking.size:
        return spectra, ()
    place = np.searchsorted(spectra.wave_aa, lacking)
    filled = {name: np.insert(getattr(spectra, name), place, 0, axis=1) for name in ("flux", "variance", "good")}
    note = f"{lacking.size} channels are not in the file ({lacking[0]:.0f}-{lacking[-1]:.0f} A): taken as missing"
    return replace(spectra, wave_aa=np.insert(spectra.wave_aa, place, lacking), **filled), (note,)


def find_channel_range(cube: Cube, redshift: float, grid: SpectrumGrid) -> slice:
    """Channels that the rest-frame grid can need at this redshift.

    Parameters
    ----------
    cube : Cube
    redshift : float
        Systemic.
    grid : SpectrumGrid
        Rest frame.

    Returns
    -------
    slice
        Of the cube's channels.

    Raises
    ------
    SfhInputError
        The cube covers nothing of the grid.
    """
    first_aa, last_aa = grid.wave_aa[[0, -1]]
    lo, hi = first_aa * (1 + redshift), last_aa * (1 + redshift)
    if min(hi, cube.wave_aa[-1]) <= max(lo, cube.wave_aa[0]):
        raise SfhInputError(
            f"{cube.path}: rest {first_aa:.0f}-{last_aa:.0f} AA lies at {lo:.0f}-{hi:.0f} AA for "
            f"redshift {redshift:g}, the cube covers {cube.wave_aa[0]:.0f}-{cube.wave_aa[-1]:.0f} AA; "
            "check `redshift` and the wavelength axis"
        )
    margin = V_MARGIN_KMS / C_KMS
    first = np.searchsorted(cube.wave_aa, lo * (1 - margin) - _KERNEL_MARGIN_AA)
    last = np.searchsorted(cube.wave_aa, hi * (1 + margin) + _KERNEL_MARGIN_AA)
    return slice(int(first), int(last))


@dataclass(frozen=True)
class BinMembers:
    """Which spaxels make up a bin, and what share of its light each holds."""

    #: (N, ny*nx) float32, 1 where a spaxel belongs to a bin. By columns, a plane is read from end to end and the sums
    #: stay in the cache: half of the time that rows take, and the same sums to the last bit.
    matrix: sparse.csc_array
    row: I32  # (ny*nx,) 0-based bin, -1 = none
    share: F64  # (ny*nx,) of the bin's light; sums to 1 over a bin

    @classmethod
    def of(cls, bins: BinMap, light: F32 | None) -> BinMembers:
        """Bins whose spaxels weigh by ``light`` (ny, nx), or all the same."""
        from scipy import sparse

        row = bins.bin_id.ravel() - 1
        spaxel = np.flatnonzero(row >= 0).astype(np.int32)
        ones = np.ones(spaxel.size, dtype=np.float32)
        matrix = sparse.csc_array((ones, (row[spaxel], spaxel)), shape=(bins.n_bins, row.size))
        weight = np.ones(row.size) if light is None else np.nan_to_num(light.ravel(), nan=0.0).clip(0.0)
        total = matrix @ weight
        weight = np.where((total <= 0)[row], 1.0, weight)  # no light known: every spaxel alike
        return cls(matrix, row, np.where(row >= 0, weight / (matrix @ weight)[row], 0.0))

    def remaining_light(self, lost: NDArray[np.intp]) -> F64:
        """Share (N,) of each bin's light that is left without the spaxels ``lost``."""
        gone = np.bincount(self.row[lost], self.share[lost], minlength=self.matrix.shape[0])
        return np.asarray(1.0 - gone, dtype=np.float64)


def extract_bin_spectra(
    cube: Cube,
    bins: BinMap,
    channels: slice | None = None,
    light: F32 | None = None,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> BinSpectra:
    """Sum the spectra of each bin's spaxels in one pass over the cube.

    Parameters
    ----------
    cube : Cube
    bins : BinMap
    channels : slice, optional
        Channels to read, see `find_channel_range`. Without it every channel is read: for a search of the redshift.
    light : array (ny, nx), optional
        Light of each spaxel (``SpaxelSN.signal``) that weighs missing spaxels; without it all weigh the same.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    BinSpectra

    Raises
    ------
    SfhInputError
        The cube does not cover the rest range.
    """
    channels = channels or slice(0, cube.shape[0])
    n = channels.stop - channels.start
    members = BinMembers.of(bins, light)
    flux, variance = (np.zeros((bins.n_bins, n), dtype=np.float32) for _ in range(2))
    good = np.zeros((bins.n_bins, n), dtype=bool)
    report_progress(Progress("spectra", 0, n), progress, cancel)
    summed: list[tuple[F32, F32, Bool]] = []
    first = 0
    for part, block in read_cube_blocks(cube, channels, cancel):
        summed.append(sum_block(members, *block))
        if part.stop - first >= _SIDE_BY_SIDE or part.stop == n:
            columns = slice(first, part.stop)
            for spectra, sums in zip((flux, variance, good), zip(*summed), strict=True):
                spectra[:, columns] = np.concatenate(sums, axis=1)
            summed, first = [], part.stop
        report_progress(Progress("spectra", part.stop, n), progress, cancel)
    raise_if_cancelled(cancel)
    wave = np.asarray(cube.wave_aa[channels], dtype=np.float64)
    if not cube.has_variance:
        report_progress(Progress("noise of the spectra", n, n), progress, cancel)
        variance = measure_variance(flux, good)
        good &= variance > 0
    return BinSpectra(wave, flux, variance, good, cube.flux_scale, cube.has_variance, cube.lsf)


def sum_block(members: BinMembers, flux: F32, variance: F32 | None, good: Bool) -> tuple[F32, F32, Bool]:
    """Sum one block of channels over the spaxels of each bin.

    Parameters
    ----------
    members : BinMembers
        N bins.
    flux : array (n, ny, nx)
    variance : array (n, ny, nx), or None
    good : bool array (n, ny, nx)

    Returns
    -------
    flux, variance, good : array (N, n)
    """
    shape = flux.shape[0], members.matrix.shape[0]
    out_flux, out_variance = (np.zeros(shape, dtype=np.float32) for _ in range(2))
    out_good = np.ones(shape, dtype=bool)
    inside = members.row >= 0
    for c, usable in enumerate(good.reshape(-1, inside.size)):
        lost = np.flatnonzero(inside & ~usable)
        out_flux[c] = _sum_plane(members, flux[c], lost)
        if variance is not None:
            out_variance[c] = _sum_plane(members, variance[c], lost)
        if lost.size:
            kept = members.remaining_light(lost)
            out_good[c] = kept >= _MIN_LIGHT
            scale = np.divide(1.0, kept, out=np.zeros_like(kept), where=out_good[c]).astype(np.float32)
            out_flux[c] *= scale
            out_variance[c] *= scale**2
    return out_flux.T, out_variance.T, out_good.T


def _sum_plane(members: BinMembers, plane: F32, lost: NDArray[np.intp]) -> F32:
    """Sum (N,) of one channel (ny, nx) over each bin, the spaxels ``lost`` left out."""
    values = plane.ravel()
    if lost.size:
        values = values.copy()
        values[lost] = 0
    return np.asarray(members.matrix @ values)


def measure_variance(flux: F32, good: Bool) -> F32:
    """Variance of spectra from their own pixel-to-pixel scatter, in windows of 100 channels.

    Parameters
    ----------
    flux : array (N, n)
    good : bool array (N, n)

    Returns
    -------
    array (N, n)
        In the square of the unit of ``flux``; 0 where it is unknown.
    """
    n = flux.shape[1]
    centres = np.arange(_NOISE_WINDOW // 2, max(n - _NOISE_WINDOW // 2, _NOISE_WINDOW // 2 + 1), _NOISE_WINDOW // 2)
    noise = np.empty((centres.size, flux.shape[0]), dtype=np.float32)
    for k, centre in enumerate(centres):
        part = slice(max(centre - _NOISE_WINDOW // 2, 0), centre + _NOISE_WINDOW // 2)
        noise[k] = measure_difference_noise(np.where(good[:, part], flux[:, part], np.nan), axis=1)
    out = np.zeros_like(flux)
    for row, sigma in enumerate(noise.T):
        known = np.isfinite(sigma) & (sigma > 0)
        if known.any():
            out[row] = np.interp(np.arange(n), centres[known], sigma[known]) ** 2
    out[~good] = 0.0
    return out


def remove_milky_way_dust(spectra: BinSpectra, ebv: float) -> BinSpectra:
    """Spectra without the Milky Way's dust.

    Parameters
    ----------
    spectra : BinSpectra
        As observed, flux and variance (N, W).
    ebv : float
        E(B-V), mag.
    """
    passed = milky_way_transmission(spectra.wave_aa, ebv).astype(np.float32)
    return replace(spectra, flux=spectra.flux / passed, variance=spectra.variance / passed**2)
