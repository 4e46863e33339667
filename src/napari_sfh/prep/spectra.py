"""One spectrum per bin: summed over the spaxels in one pass through the cube.

The cube is read in blocks of channels and each channel is multiplied by the sparse bin matrix in float32; memory is
bounded by one block and by the bins, never by the cube. Only the channels are read that the rest range 4800-7000 AA,
the velocities and the broadening kernel can reach.

Bad pixels: where some spaxels of a bin are bad in a channel, the sum is divided by the share of the bin's light (in the
normalisation window) that the good ones hold; where that is below one half the channel is bad. Spaxels count as
independent: the covariance that a resampled cube has between neighbours is in no STAT extension, so the S/N of large
bins is an upper limit. Without STAT the variance is measured from each bin's spectrum (`binning.difference_noise`) in
windows along wavelength.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.wavelength import C_KMS, WAVE_AA
from napari_sfh.prep.binning import block_length, difference_noise
from napari_sfh.progress import cancelled
from napari_sfh.types import F32, F64, BinMap, Bool, Cube, Progress

#: Velocities around the redshift for which channels are read, km/s.
V_MARGIN_KMS: float = 1000.0
_KERNEL_MARGIN_AA = 20.0
_MIN_LIGHT = 0.5
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

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return int(self.flux.shape[0])


def channel_range(cube: Cube, redshift: float) -> slice:
    """Channels that the rest-frame grid can need at this redshift.

    Raises
    ------
    SfhInputError
        The cube covers less than half of the rest range.
    """
    lo, hi = WAVE_AA[0] * (1 + redshift), WAVE_AA[-1] * (1 + redshift)
    covered = min(hi, cube.wave_aa[-1]) - max(lo, cube.wave_aa[0])
    if covered < 0.5 * (hi - lo):
        raise SfhInputError(
            f"{cube.path.name}: rest 4800-7000 AA lies at {lo:.0f}-{hi:.0f} AA for redshift {redshift:g}, the cube "
            f"covers {cube.wave_aa[0]:.0f}-{cube.wave_aa[-1]:.0f} AA; check --redshift and the wavelength axis"
        )
    margin = V_MARGIN_KMS / C_KMS
    first = np.searchsorted(cube.wave_aa, lo * (1 - margin) - _KERNEL_MARGIN_AA)
    last = np.searchsorted(cube.wave_aa, hi * (1 + margin) + _KERNEL_MARGIN_AA)
    return slice(int(first), int(last))


def bin_matrix(bins: BinMap) -> sparse.csr_array:
    """Sparse float32 matrix (N, ny*nx) with 1 where a spaxel belongs to a bin."""
    flat = bins.bin_id.ravel()
    spaxel = np.flatnonzero(flat)
    ones = np.ones(spaxel.size, dtype=np.float32)
    return sparse.csr_array((ones, (flat[spaxel] - 1, spaxel)), shape=(bins.n_bins, flat.size))


def extract(
    cube: Cube,
    bins: BinMap,
    cancel: threading.Event | None = None,
    redshift: float | None = None,
    light: F32 | None = None,
) -> Generator[Progress, None, BinSpectra | None]:
    """Sum the spectra of each bin's spaxels in one pass over the cube.

    Parameters
    ----------
    cube : Cube
    bins : BinMap
    cancel : Event, optional
    redshift : float, optional
        Selects the channels: those of rest 4800-7000 AA at this redshift, velocities up to `V_MARGIN_KMS` around it.
        Without it every channel is read: for a search of the redshift.
    light : array (ny, nx), optional
        Light of each spaxel (``SpaxelSN.signal``) that weighs missing spaxels; without it all weigh the same.

    Returns
    -------
    BinSpectra, or None on cancel.

    Raises
    ------
    SfhInputError
        The cube does not cover the rest range.
    """
    channels = slice(0, cube.shape[0]) if redshift is None else channel_range(cube, redshift)
    n, step = channels.stop - channels.start, block_length(cube)
    members = bin_matrix(bins)
    shares = _light_shares(members, light)
    flux, variance = (np.zeros((bins.n_bins, n), dtype=np.float32) for _ in range(2))
    good = np.zeros((bins.n_bins, n), dtype=bool)
    for lo in range(0, n, step):
        if cancelled(cancel):
            return None
        yield Progress("spectra", lo, n)
        part = slice(lo, min(lo + step, n))
        block = cube.read(channels.start + part.start, channels.start + part.stop)
        flux[:, part], variance[:, part], good[:, part] = _sum_block(members, shares, *block)
    wave = np.asarray(cube.wave_aa[channels], dtype=np.float64)
    if not cube.has_variance:
        yield Progress("noise of the spectra", n, n)
        variance = measured_variance(flux, good)
        good &= variance > 0
    yield Progress("spectra", n, n)
    return BinSpectra(wave, flux, variance, good, cube.flux_scale, cube.has_variance)


def _light_shares(members: sparse.csr_array, light: F32 | None) -> sparse.csr_array:
    """Matrix (N, ny*nx) of each spaxel's share of its bin's light; rows sum to 1."""
    weight = np.ones(members.shape[1]) if light is None else np.nan_to_num(light.ravel(), nan=0.0).clip(0.0)
    shares = members.astype(np.float64).multiply(weight[None, :]).tocsr()
    total = shares.sum(1)
    flat = total <= 0  # no light known: every spaxel alike
    if flat.any():
        shares = shares + members.multiply(flat[:, None])
        total = shares.sum(1)
    return sparse.csr_array(shares.multiply(1.0 / total[:, None])).astype(np.float32)


def _sum_block(
    members: sparse.csr_array, shares: sparse.csr_array, flux: F32, variance: F32 | None, good: Bool
) -> tuple[F32, F32, Bool]:
    """Sums of one block (channels, ny, nx) per bin: flux, variance, good, each (N, channels)."""
    used = members.indices
    n_bins, n = members.shape[0], flux.shape[0]
    out_flux, out_variance = np.zeros((n, n_bins), dtype=np.float32), np.zeros((n, n_bins), dtype=np.float32)
    out_good = np.ones((n, n_bins), dtype=bool)
    for c in range(n):
        f, ok = flux[c].ravel(), good[c].ravel()
        v = None if variance is None else variance[c].ravel()
        if ok[used].all():
            out_flux[c] = members @ f
            if v is not None:
                out_variance[c] = members @ v
            continue
        share = shares @ ok.astype(np.float32)
        out_good[c] = share >= _MIN_LIGHT
        scale = np.divide(1.0, share, out=np.zeros_like(share), where=out_good[c])
        out_flux[c] = scale * (members @ np.where(ok, f, np.float32(0)))
        if v is not None:
            out_variance[c] = scale**2 * (members @ np.where(ok, v, np.float32(0)))
    return out_flux.T, out_variance.T, out_good.T


def measured_variance(flux: F32, good: Bool) -> F32:
    """Variance (N, n) of spectra from their own pixel-to-pixel scatter, in windows of 100 channels; 0 = unknown."""
    n = flux.shape[1]
    centres = np.arange(_NOISE_WINDOW // 2, max(n - _NOISE_WINDOW // 2, _NOISE_WINDOW // 2 + 1), _NOISE_WINDOW // 2)
    noise = np.empty((centres.size, flux.shape[0]), dtype=np.float32)
    for k, centre in enumerate(centres):
        part = slice(max(centre - _NOISE_WINDOW // 2, 0), centre + _NOISE_WINDOW // 2)
        noise[k] = difference_noise(np.where(good[:, part], flux[:, part], np.nan), axis=1)
    out = np.zeros_like(flux)
    for row, sigma in enumerate(noise.T):
        known = np.isfinite(sigma) & (sigma > 0)
        if known.any():
            out[row] = np.interp(np.arange(n), centres[known], sigma[known]) ** 2
    out[~good] = 0.0
    return out
