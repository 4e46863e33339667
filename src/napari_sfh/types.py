"""The objects that walk through the package. The only place where a field's shape and unit are defined.

Symbols: ``N`` bins, ``B`` bands, ``W`` = 1761 pixels of `physics.wavelength.WAVE_AA`, ``A`` = 16 age bins,
``(ny, nx)`` the cube's spatial shape. Wavelengths are in air, Angstrom; arrays are native-endian.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
#: Of any precision.
Floats = NDArray[np.floating]

#: The five PHANGS-HST bands in the network's order (UVIS; "B" may be ACS F435W, "V" and "I" ACS too).
BANDS: tuple[str, ...] = ("F275W", "F336W", "F438W", "F555W", "F814W")


class Flag(enum.IntFlag):
    """Bits of ``FLAG``: why a bin deserves care. Meanings are written into the result file's header."""

    NONE = 0
    LOW_SNR = 1  # S/N below the target
    MISSING_BAND = 2  # at least one of the five bands was not used
    NO_PHOTOMETRY = 4  # no band was used at all
    MASKED_PIXELS = 8  # more than 10 % of the rest-frame pixels are masked
    SIGMA_HIGH = 16  # stellar dispersion (with the LSF) above 150 km/s: not broadened
    OUT_OF_DEPTH = 32  # the out-of-depth score exceeds the bundle's threshold
    REDSHIFT = 64  # z > 0.01: bands sample other rest wavelengths than the network was trained on
    OTHER_CAMERA = 128  # a band of another camera or filter stands in for the trained one
    NEGATIVE_FLUX = 256  # a band's flux is not positive; it was left out
    SINGLE_SPAXEL = 512  # the bin is one spaxel
    NO_SPECTRUM = 1024  # no usable continuum: nothing was predicted
    DEFAULT_KINEMATICS = 2048  # V and sigma are constants, not measured in this bin
    OTHER_GAS = 4096  # young stars alone do not light the gas: an active nucleus, shocks, old stars
    UPPER_LIMIT = 8192  # at least one band is an upper limit; it was left out


FLAG_MEANING: Mapping[Flag, str] = {
    Flag.LOW_SNR: "S/N below the target",
    Flag.MISSING_BAND: "a band is missing",
    Flag.NO_PHOTOMETRY: "no photometry used",
    Flag.MASKED_PIXELS: "over 10 % of pixels masked",
    Flag.SIGMA_HIGH: "sigma above 150 km/s",
    Flag.OUT_OF_DEPTH: "out of the network's depth",
    Flag.REDSHIFT: "z > 0.01: bands are shifted",
    Flag.OTHER_CAMERA: "band from another camera",
    Flag.NEGATIVE_FLUX: "a band's flux not positive",
    Flag.SINGLE_SPAXEL: "bin of one spaxel",
    Flag.NO_SPECTRUM: "no usable spectrum",
    Flag.DEFAULT_KINEMATICS: "V and sigma are constants",
    Flag.OTHER_GAS: "gas not lit by young stars",
    Flag.UPPER_LIMIT: "a band is an upper limit",
}


@dataclass(frozen=True)
class Progress:
    """One piece of a long computation, as ``progress`` is told; see `jobs.report_progress`.

    Examples
    --------
    >>> step = Progress("spectra", 120, 3000)
    >>> f"{step.stage}: {step.done / step.total:.0%}"
    'spectra: 4%'
    """

    stage: str  # what is being done, for a person: "binning", "spectra", ...
    done: int
    total: int  # 0 = unknown
    stays: bool = False  # a sentence that must not vanish when the next step comes


@dataclass(frozen=True)
class Cube:
    """An integral-field cube on disk: axes in memory, data read in wavelength blocks.

    ``read(lo, hi)`` returns channels lo..hi-1 as ``(flux, variance, good)``, each (hi-lo, ny, nx): float32 in
    ``flux_scale`` erg/s/cm2/AA, its variance in the same unit squared (None without STAT), and True where flux is
    finite, variance (if any) is finite and positive and DQ (if any) is 0.
    """

    path: Path
    wave_aa: F64  # (n_channels,) observed, air
    shape: tuple[int, int, int]  # (n_channels, ny, nx)
    wcs: WCS  # celestial, 2-D
    flux_scale: float  # erg/s/cm2/AA per stored unit
    read: Callable[[int, int], tuple[F32, F32 | None, Bool]]
    has_variance: bool
    name: str  # galaxy, from OBJECT or the file's name
    redshift: float | None  # from the header, where it says
    psf_fwhm_arcsec: float | None  # at 6500 AA, from FSF keywords or the file's name
    lsf: str = "muse"  # which LSF the data have; see physics.lsf
    header: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what had to be assumed on reading, one line each, for the user
    psf_beta: float | None = None  # Moffat exponent of the PSF; None = Gaussian
    describe_missing: Callable[[], tuple[str, ...]] = tuple  # what was left out of the channels read so far

    @property
    def pixel_arcsec(self) -> float:
        """Side of a spaxel in arcsec."""
        from astropy.wcs.utils import proj_plane_pixel_scales

        return float(np.mean(proj_plane_pixel_scales(self.wcs))) * 3600.0


@dataclass(frozen=True)
class Mosaic:
    """One HST image, calibrated on reading by ``PHOTFLAM``. Read lazily: ``read()`` cuts to a WCS's footprint."""

    path: Path
    band: str  # one of BANDS: the trained band it is used as
    filter_name: str  # the filter in the header, e.g. F435W
    camera: str  # UVIS, ACS, WFPC2
    shape: tuple[int, int]
    wcs: WCS
    photflam: float  # erg/s/cm2/AA per (e-/s)
    photplam_aa: float  # pivot wavelength
    read: Callable[[slice, slice], tuple[F32, F32]]  # (data, 1-sigma error), e-/s per pixel; bad = NaN, inf
    psf_fwhm_arcsec: float
    weight_path: Path | None = None
    notes: tuple[str, ...] = ()  # what had to be assumed on reading, one line each, for the user


@dataclass(frozen=True)
class BinnedMaps:
    """A DAP ``MAPS`` file's bins and stellar kinematics, on the cube's grid."""

    path: Path
    bin_id: I32  # (ny, nx), 1.., 0 = none
    v_kms: F32  # (ny, nx) stellar velocity relative to `redshift`
    sigma_kms: F32  # (ny, nx)
    redshift: float | None
    wcs: WCS


@dataclass(frozen=True)
class GivenBins:
    """Bins of somebody else, from a FITS image."""

    path: Path
    bin_id: I32  # (ny, nx), 1..N without gaps, 0 = none
    wcs: WCS | None  # None where the image has no coordinates
    note: str = ""  # what its numbers mean, for the user


@dataclass(frozen=True)
class BinMap:
    """Which spaxel belongs to which bin. Bins are numbered 1..N without gaps; 0 = none."""

    bin_id: I32  # (ny, nx)
    x: F64  # (N,) light-weighted centre, 0-based pixel
    y: F64  # (N,)
    nspax: I32  # (N,)
    snr: F32  # (N,) per pixel of the cube in the window of physics.wavelength.NORM_WINDOW_AA
    target_snr: float
    method: str  # vorbin, powerbin, maps, file

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return int(self.x.size)


@dataclass(frozen=True)
class Observation:
    """What the network may see, from prep or from simulation alike. Nothing else reaches `features`."""

    flux: F32  # (N, W) f_lambda, rest frame, 150 km/s, divided by norm; 0 where masked
    error: F32  # (N, W) 1 sigma, same unit
    mask: Bool  # (N, W) True = usable
    phot: F32  # (N, B) f_lambda of the bands divided by the same norm; 0 where masked
    phot_error: F32  # (N, B)
    phot_mask: Bool  # (N, B) True = usable
    norm_cgs: F64  # (N,) mean f_lambda in the window, erg/s/cm2/AA (NaN in simulations)
    snr: F32  # (N,) per 1.25 AA pixel in the window
    v_kms: F32  # (N,)
    sigma_kms: F32  # (N,) stellar, before broadening
    flag: I32  # (N,) bits of Flag
    bands: tuple[str, ...] = BANDS

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return int(self.flux.shape[0])

    def select(self, index: Any) -> Observation:
        """The rows ``index`` (slice, mask or integers) of every array."""
        return Observation(**{k: (v[index] if isinstance(v, np.ndarray) else v) for k, v in self.__dict__.items()})


#: Probabilities of the stored posterior quantiles, in this order on the last axis of every quantile array.
QUANTILES: tuple[float, ...] = (0.025, 0.16, 0.5, 0.84, 0.975)


@dataclass(frozen=True)
class Prediction:
    """What the network says of N bins. Point values are posterior medians (means for the fractions).

    ``quantiles`` holds for each name of SCALARS an array (N, 5), and for each of VECTORS an array (N, 16, 5);
    rows without a usable spectrum are NaN. ``cum_mass`` is the fraction of the mass formed before each age bin's
    young edge, so 1 in the first bin; ``ebv`` is that of the diffuse dust which all stars see, in mag.
    """

    light_frac: F32  # (N, A) intrinsic V-band light fraction, sums to 1
    mass_frac: F32  # (N, A) fraction of the mass formed, sums to 1
    mh: F32  # (N, A) [M/H] of each age bin, dex
    quantiles: Mapping[str, F32]
    ood: F32  # (N,) out-of-depth score; 1 = the bundle's threshold
    latent: F32  # (N, L) latent vector of the encoder

    SCALARS = ("lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw", "tau_ism", "tau_bc", "ebv", "lg_ml_v")
    VECTORS = ("light_frac", "mass_frac", "mh", "cum_mass")

    def median(self, name: str) -> F32:
        """Posterior median of a quantity, (N,) or (N, 16)."""
        return self.quantiles[name][..., 2]

    def half_width(self, name: str) -> F32:
        """Half of the 16-84 % width: the ``_ERR`` of result files."""
        q = self.quantiles[name]
        return 0.5 * (q[..., 3] - q[..., 1])


@dataclass(frozen=True)
class Result:
    """A finished run: everything the viewer shows and the result file holds.

    Examples
    --------
    >>> import napari_sfh
    >>> result = napari_sfh.read_result("result.fits")
    >>> result.name, result.bins.n_bins, result.prediction.mass_frac.shape
    ('MOCK0001', 4, (4, 16))
    """

    bins: BinMap
    data: Observation
    prediction: Prediction
    model_flux: F32  # (N, W) reconstruction from the prediction, in the units of data.flux
    model_phot: F32  # (N, B)
    chi2: F32  # (N,) reduced, of the spectrum
    flag: I32  # (N,) data.flag with the bits that inference added
    white: F32  # (ny, nx) mean flux of the cube in the window, cube units
    wcs: WCS  # celestial, of the cube
    name: str
    redshift: float
    model_name: str
    model_sha256: str
    settings: Mapping[str, str | float | int | bool | None]


@dataclass(frozen=True)
class SpaxelTruth:
    """What a mock galaxy is made of, per spaxel: (16, ny, nx) each; masses and lights in any common unit."""

    mass: F64  # mass formed
    light: F64  # intrinsic V-band light
    mass_metals: F64  # mass x [M/H]
    star: F64  # (ny, nx) share of the light at 5300-5500 AA that is a foreground star's
