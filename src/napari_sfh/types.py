"""The objects that walk through the package. The only place where a field's shape and unit are defined.

Symbols: ``N`` bins, ``B`` bands and ``W`` pixels of the instrument (either may be 0), ``A`` age bins of the weights,
``(ny, nx)`` the cube's spatial shape. Wavelengths are in air, Angstrom; arrays are native-endian.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from astropy.wcs import WCS

from napari_sfh.arrays import F32 as F32
from napari_sfh.arrays import F64 as F64
from napari_sfh.arrays import I32 as I32
from napari_sfh.arrays import I64 as I64
from napari_sfh.arrays import Bool as Bool
from napari_sfh.arrays import Floats as Floats
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.instruments.line_spread import LineSpread


class Flag(enum.IntFlag):
    """Bits of ``FLAG``: why a bin deserves care. Meanings are written into the result file's header."""

    NONE = 0
    LOW_SNR = 1  # S/N below the target
    MISSING_BAND = 2  # at least one of the bands was not used
    NO_PHOTOMETRY = 4  # no band was used at all
    MASKED_PIXELS = 8  # more than 10 % of the rest-frame pixels are masked
    SIGMA_HIGH = 16  # stellar dispersion above the instrument's: not broadened
    OUT_OF_DEPTH = 32  # out of depth: the OOD score exceeds 1, the bundle's threshold
    REDSHIFT = 64  # redshift above the instrument's (0.01 for MUSE and HST): bands are not used
    OTHER_CAMERA = 128  # a band of another camera or filter stands in for the trained one
    NEGATIVE_FLUX = 256  # a band's flux is not positive; it was left out
    SINGLE_SPAXEL = 512  # the bin is one spaxel
    NO_SPECTRUM = 1024  # no usable continuum: nothing was predicted
    DEFAULT_KINEMATICS = 2048  # V and sigma are constants, not measured in this bin
    OTHER_GAS = 4096  # gas that young stars alone do not light ([N II]/Ha, [O III]/Hb), taken for youth by the network
    UPPER_LIMIT = 8192  # at least one band is an upper limit; it was left out
    PRIOR_DECIDES = 16384  # the posterior of one of the four means is wider than 0.8 of the prior
    ABSENT_LINES = 32768  # the prediction implies Hbeta, [O III] or Halpha that is not there
    CONTINUUM = 65536  # data and prediction differ in the continuum by more than 5 %, what a calibration may
    MAGNESIUM = 131072  # Mg b is stronger than the model's at the same iron: more alpha elements than the templates
    MISFIT = 262144  # the model that the prediction implies does not describe spectrum and bands: one in 100 good bins


FLAG_MEANING: Mapping[Flag, str] = {
    Flag.LOW_SNR: "S/N below the target",
    Flag.MISSING_BAND: "a band is missing",
    Flag.NO_PHOTOMETRY: "no photometry used",
    Flag.MASKED_PIXELS: "over 10 % of pixels masked",
    Flag.SIGMA_HIGH: "sigma above the network's",
    Flag.OUT_OF_DEPTH: "out of the network's depth",
    Flag.REDSHIFT: "z missing, or too high for the bands",
    Flag.OTHER_CAMERA: "band from another camera",
    Flag.NEGATIVE_FLUX: "a band's flux not positive",
    Flag.SINGLE_SPAXEL: "bin of one spaxel",
    Flag.NO_SPECTRUM: "no usable spectrum",
    Flag.DEFAULT_KINEMATICS: "V and sigma are constants",
    Flag.OTHER_GAS: "gas not lit by young stars",
    Flag.UPPER_LIMIT: "a band is an upper limit",
    Flag.PRIOR_DECIDES: "the prior decides a mean",
    Flag.ABSENT_LINES: "predicted lines are absent",
    Flag.CONTINUUM: "continuum not as predicted",
    Flag.MAGNESIUM: "Mg b strong for its iron",
    Flag.MISFIT: "the model misses the data",
}


#: What is told of `Flag.MISFIT` where it cannot be set: weights that rebuild no spectrum, or have no limits.
NO_MISFIT_FLAG = "misfit is not judged here: the OOD score is all that warns"


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


class ColumnReader(Protocol):
    """Reads spectra of a cube's spaxels, counted along the rows: ``y * nx + x``."""

    def read_columns(self, first: int, count: int) -> F32:
        """Spectra (n_channels, count) as stored, in any byte order."""

    def clean_columns(self, stored: F32) -> F32:
        """Spectra (n_channels, k) in the cube's unit, NaN where the flux is not usable."""


def measure_pixel_arcsec(wcs: WCS) -> float:
    """Side in arcsec of the square that has the area of a pixel on the sky.

    Parameters
    ----------
    wcs : WCS
        Two of its axes are celestial.

    Returns
    -------
    float
    """
    from astropy.wcs.utils import proj_plane_pixel_area

    return float(np.sqrt(proj_plane_pixel_area(wcs.celestial))) * 3600.0


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
    lsf: LineSpread | None = None  # line-spread function of the data; None: not known
    header: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what had to be assumed on reading, one line each, for the user
    psf_beta: float | None = None  # Moffat exponent of the PSF; None = Gaussian
    describe_missing: Callable[[], tuple[str, ...]] = tuple  # what was left out of the channels read so far
    is_streamed: bool = False  # gzipped as a whole: to read a channel again, all before it is unpacked again
    columns: ColumnReader | None = None  # single spectra; None: the file must be read by channels
    hdu: str | None = None  # how the flux was chosen among several of the file

    def __repr__(self) -> str:
        channels, ny, nx = self.shape
        ends = f"{self.wave_aa[0]:.0f}-{self.wave_aa[-1]:.0f} AA"
        return f"Cube({self.name}: {nx} x {ny} spaxels, {channels} channels of {ends}, {self.path.name})"

    @property
    def pixel_arcsec(self) -> float:
        """Side of a spaxel in arcsec."""
        return measure_pixel_arcsec(self.wcs)


@dataclass(frozen=True)
class Mosaic:
    """One HST image, calibrated on reading by ``PHOTFLAM``. Read lazily: ``read()`` cuts to a WCS's footprint."""

    path: Path
    band: str  # the network's band it is used as
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
    snr: F32  # (N,) per pixel of the cube in the instrument's normalisation window
    target_snr: float
    method: str  # vorbin, powerbin, maps, file

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return int(self.x.size)

    def check_bin(self, bin_id: int) -> None:
        """Refuse what is no number of a bin.

        Raises
        ------
        SfhInputError
            The number is not one of 1 ... N.
        """
        if not (isinstance(bin_id, int | np.integer) and 1 <= bin_id <= self.n_bins):
            raise SfhInputError(f"bin {bin_id}: there are bins 1 to {self.n_bins}; click one on the map")

    def __repr__(self) -> str:
        ny, nx = self.bin_id.shape
        return f"BinMap({self.n_bins} bins of {nx} x {ny} spaxels, {self.method})"


@dataclass(frozen=True)
class Observation:
    """What the network may see of N objects, from prep or from simulation alike. Nothing else reaches the encoding.

    Examples
    --------
    >>> from napari_sfh.instruments.files import load_instrument
    >>> empty = make_empty_observation(load_instrument("muse-hst"), 2)
    >>> empty.flux.shape, empty.phot.shape, empty.select([0]).n_bins
    ((2, 1761), (2, 5), 1)
    """

    flux: F32  # (N, W) f_lambda, rest frame, at the instrument's dispersion, divided by norm; 0 where masked
    error: F32  # (N, W) 1 sigma, same unit
    mask: Bool  # (N, W) True = usable
    phot: F32  # (N, B) f_lambda of the bands divided by the instrument's photometric norm; 0 where masked
    phot_error: F32  # (N, B)
    phot_mask: Bool  # (N, B) True = usable
    norm_cgs: F64  # (N,) what the fluxes are divided by, erg/s/cm2/AA (NaN in simulations)
    snr: F32  # (N,) per pixel of the grid in the window; without a spectrum, the median S/N of the bands
    v_kms: F32  # (N,)
    sigma_kms: F32  # (N,) stellar, before broadening
    flag: I32  # (N,) bits of Flag
    instrument: Instrument
    redshift: F32 | None = None  # (N,), where the instrument takes it
    added_kms: F32 | None = None  # (N,) dispersion that the broadening added, LSF included; None: what sigma_kms lacks

    def __repr__(self) -> str:
        shape = f"{self.flux.shape[1]} pixels, {self.phot.shape[1]} bands"
        return f"Observation({self.n_bins} objects, {shape}, instrument {self.instrument.name})"

    @property
    def n_bins(self) -> int:
        """Number of objects."""
        return int(self.snr.shape[0])

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the instrument's bands."""
        return self.instrument.band_names

    def select(self, index: Any) -> Observation:
        """The rows ``index`` (slice, mask or integers) of every array."""
        return Observation(**{k: (v[index] if isinstance(v, np.ndarray) else v) for k, v in self.__dict__.items()})


def make_empty_observation(instrument: Instrument, n: int) -> Observation:
    """An observation of ``n`` objects in which everything is masked, to be filled or replaced part by part.

    Parameters
    ----------
    instrument : Instrument
    n : int
        N.

    Returns
    -------
    Observation
        Arrays of the instrument's shapes; S/N 0, ``norm_cgs`` NaN.
    """
    spectral, bands = (n, instrument.n_wave), (n, instrument.n_bands)
    return Observation(
        flux=np.zeros(spectral, np.float32),
        error=np.zeros(spectral, np.float32),
        mask=np.zeros(spectral, np.bool_),
        phot=np.zeros(bands, np.float32),
        phot_error=np.zeros(bands, np.float32),
        phot_mask=np.zeros(bands, np.bool_),
        norm_cgs=np.full(n, np.nan),
        snr=np.zeros(n, np.float32),
        v_kms=np.zeros(n, np.float32),
        sigma_kms=np.zeros(n, np.float32),
        flag=np.zeros(n, np.int32),
        instrument=instrument,
    )


def join_observations(parts: Sequence[Observation]) -> Observation:
    """The objects of several observations with one instrument, in order.

    Parameters
    ----------
    parts : sequence of Observation
        At least one; what is None in one of them is None in all.

    Returns
    -------
    Observation
    """
    columns: dict[str, Any] = dict(parts[0].__dict__)
    for key, value in parts[0].__dict__.items():
        if isinstance(value, np.ndarray):
            columns[key] = np.concatenate([getattr(part, key) for part in parts])
    return Observation(**columns)


#: Probabilities of the stored posterior quantiles, in this order on the last axis of every quantile array.
QUANTILES: tuple[float, ...] = (0.025, 0.16, 0.5, 0.84, 0.975)


@dataclass(frozen=True)
class Prediction:
    """What the network says of N objects. Point values are posterior medians (means for the fractions).

    ``quantiles`` holds an array (N, 5) for each scalar that the weights predict, and (N, A, 5) for each quantity with a
    value per age bin; rows without usable data are NaN. Weights that predict histories give the scalars ``lg_age_mw``,
    ``lg_age_lw``, ``mh_mw``, ``mh_lw``, ``tau_ism``, ``tau_bc``, ``ebv``, ``lg_ml_v`` and the vectors ``light_frac``,
    ``mass_frac``, ``mh``, ``cum_mass``. ``cum_mass`` is the fraction of the mass formed before each age bin's
    young edge, so 1 in the first bin; ``ebv`` is that of the diffuse dust which all stars see, in mag.
    """

    light_frac: F32 | None  # (N, A) intrinsic V-band light fraction, sums to 1; None: no histories are predicted
    mass_frac: F32 | None  # (N, A) fraction of the mass formed, sums to 1
    mh: F32 | None  # (N, A) [M/H] of each age bin, dex
    quantiles: Mapping[str, F32]  # (N, 5) or (N, A, 5): 2.5, 16, 50, 84, 97.5 %, by quantity
    ood: F32  # (N,) OOD score; above 1 (the bundle's threshold) an object is out of depth
    latent: F32  # (N, L) latent vector of the encoder
    age_edges_gyr: F64 | None = None  # (A + 1,) lookback time; None without histories

    def __repr__(self) -> str:
        return f"Prediction({len(self.ood)} objects: {', '.join(self.quantiles)})"

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of the quantities with one value an object."""
        return tuple(k for k, v in self.quantiles.items() if v.ndim == 2)

    @property
    def vectors(self) -> tuple[str, ...]:
        """Names of the quantities with one value per age bin."""
        return tuple(k for k, v in self.quantiles.items() if v.ndim == 3)

    @property
    def has_histories(self) -> bool:
        """Whether star-formation histories are predicted."""
        return self.mass_frac is not None

    def history(self, name: str) -> F32:
        """``light_frac``, ``mass_frac`` or ``mh``, (N, A).

        Raises
        ------
        SfhInputError
            The weights predict scalars only.
        """
        values: F32 | None = {"light_frac": self.light_frac, "mass_frac": self.mass_frac, "mh": self.mh}[name]
        if values is None:
            raise SfhInputError(
                f"these weights predict {', '.join(self.scalars)} and no star-formation histories, which this needs; "
                "choose weights that do (napari-sfh models)"
            )
        return values

    def median(self, name: str) -> F32:
        """Posterior median of a quantity, (N,) or (N, A).

        Raises
        ------
        SfhInputError
            The weights do not predict it.
        """
        return self._find_quantiles(name)[..., 2]

    def half_width(self, name: str, rows: Any = slice(None)) -> F32:
        """Half of the 16-84 % width, of all objects or some: the ``_ERR`` of result files.

        Raises
        ------
        SfhInputError
            The weights do not predict it.
        """
        q = self._find_quantiles(name)[rows]
        return 0.5 * (q[..., 3] - q[..., 1])

    def _find_quantiles(self, name: str) -> F32:
        if not isinstance(name, str) or name not in self.quantiles:
            raise SfhInputError(f"{name!r} is no predicted quantity; choose of {', '.join(self.quantiles)}")
        return self.quantiles[name]


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

    bins: BinMap  # which spaxel belongs to which bin
    data: Observation  # what the network saw of the bins
    prediction: Prediction  # what it says of them
    model_flux: F32 | None  # (N, W) reconstruction from the prediction, in the units of data.flux; None: no templates
    model_phot: F32 | None  # (N, B)
    chi2: F32 | None  # (N,) reduced, of the spectrum
    flag: I32  # (N,) data.flag with the bits that inference added
    white: F32  # (ny, nx) mean flux of the cube in the window, cube units
    wcs: WCS  # celestial, of the cube
    name: str  # galaxy
    redshift: float  # systemic, that the spectra were brought to rest with
    model_name: str  # weights
    model_sha256: str  # of their file
    settings: Mapping[str, str | float | int | bool | None]  # of the run, with versions and its notes
    prior: Mapping[str, F32] = field(default_factory=dict)  # quantiles of the prior, (5,) or (A, 5); empty: not known
    misfit: Mapping[str, F32] = field(
        default_factory=dict
    )  # how models miss the bins: `physics.columns.MISFIT_COLUMNS`

    @property
    def judges_misfit(self) -> bool:
        """Whether models were held against the data, so that `Flag.MISFIT` says something where it is not set."""
        return bool(self.misfit)

    def __repr__(self) -> str:
        return f"Result({self.name}: {self.bins.n_bins} bins, weights {self.model_name}, z = {self.redshift:.5f})"

    @property
    def instrument(self) -> Instrument:
        """What the network was shown of the bins."""
        return self.data.instrument

    @cached_property
    def centres_deg(self) -> F64:
        """RA and Dec (N, 2) of the bins' light-weighted centres, degrees; not to be changed."""
        ra, dec = self.wcs.celestial.wcs_pix2world(self.bins.x, self.bins.y, 0)
        return np.column_stack([ra, dec])

    def model_rows(self, rows: Any) -> tuple[F32, F32]:
        """Rebuilt spectra (n, W) and bands (n, B) of some bins; NaN where the weights have no templates."""
        if self.model_flux is None or self.model_phot is None:
            flux, phot = self.data.flux[rows], self.data.phot[rows]
            return np.full_like(flux, np.nan), np.full_like(phot, np.nan)
        return self.model_flux[rows], self.model_phot[rows]

    def chi2_of(self, row: int) -> float:
        """Reduced chi^2 of a bin's spectrum; NaN where the weights have no templates."""
        return float("nan") if self.chi2 is None else float(self.chi2[row])


@dataclass(frozen=True)
class SpaxelTruth:
    """What a mock galaxy is made of, per spaxel: (16, ny, nx) each; masses and lights in any common unit."""

    mass: F64  # mass formed
    light: F64  # intrinsic V-band light
    mass_metals: F64  # mass x [M/H]
    star: F64  # (ny, nx) share of the light at 5300-5500 AA that is a foreground star's
