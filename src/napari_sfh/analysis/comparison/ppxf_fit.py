"""pPXF (Cappellari 2023, MNRAS 526, 3273) on a bin, to be held against the network's answer.

Templates are the network's own (`physics.template_basis`), one for each age bin and metallicity, of unit V-band
light: the weights are intrinsic V-light, mass follows by each template's M/L, and the four means are taken as for the
network.

Set up as in Galceran et al. (2026, section 3.5): regularisation error of 1 %, a multiplicative polynomial of order 8 on
the spectrum, no additive one, a Calzetti et al. (2000) curve with free A_V on spectrum and bands. Stars need neither
shift nor broadening, since bins come at rest and at the instrument's dispersion, and stay on its grid: no rebinning
correlates their noise. Gas lines are fitted with the stars, spectrum and bands alike; their profile has the LSF and the
broadening that took the stars there, and pPXF finds one velocity and dispersion for all of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import SpectrumGrid
from napari_sfh.jobs import ReportProgress
from napari_sfh.physics import lsf
from napari_sfh.physics.ages import N_AGE
from napari_sfh.physics.filters import Filter, filter_weight_matrix
from napari_sfh.physics.lines import (
    HALPHA_AA,
    HBETA_AA,
    NII_AA,
    NII_RATIO,
    OI_AA,
    OI_RATIO,
    OIII_AA,
    OIII_RATIO,
    SII_AA,
)
from napari_sfh.physics.means import compute_population_means
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.kinematics.ppxf_call import run_ppxf
from napari_sfh.prep.rest_frame import reduced_chi2
from napari_sfh.processes.calls import run_in_process
from napari_sfh.types import F64, Observation, Result


def _share_doublet(lines_aa: tuple[float, float], ratio: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Both lines of a doublet with their shares of its flux."""
    return (lines_aa[0], ratio / (1 + ratio)), (lines_aa[1], 1 / (1 + ratio))


#: Emission lines that are fitted along: name, then (air wavelength in Angstrom, share of the flux) of its members.
PPXF_GAS_LINES: tuple[tuple[str, tuple[tuple[float, float], ...]], ...] = (
    ("Hbeta", ((HBETA_AA, 1.0),)),
    ("[OIII]", _share_doublet(OIII_AA, OIII_RATIO)),
    ("[NI]", ((5197.9, 0.5), (5200.26, 0.5))),
    ("HeI5876", ((5875.6, 1.0),)),
    ("[OI]", _share_doublet(OI_AA, OI_RATIO)),
    ("[SIII]", ((6312.1, 1.0),)),
    ("Halpha", ((HALPHA_AA, 1.0),)),
    ("[NII]", _share_doublet(NII_AA, NII_RATIO)),
    ("HeI6678", ((6678.2, 1.0),)),
    ("[SII]6716", ((SII_AA[0], 1.0),)),
    ("[SII]6731", ((SII_AA[1], 1.0),)),
    ("[ArV]", ((7005.4, 1.0),)),
)
_GAS_START = [0.0, 40.0]
_GAS_BOUNDS = [[-250.0, 250.0], [1.0, 250.0]]
_MIN_BROADENING_KMS = 10.0


@check_arguments
@dataclass(frozen=True)
class PpxfBinSettings:
    """How pPXF is run."""

    mdegree: int = 8
    regul_error: float = 0.01
    gas: bool = True
    photometry: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.mdegree <= 100:
            raise SfhInputError(f"`mdegree` {self.mdegree}: the degree of a polynomial, 0 to 100")
        if not 0 < self.regul_error <= 1000:
            raise SfhInputError(f"`regul_error` {self.regul_error}: must lie above 0, up to 1000")


@dataclass(frozen=True)
class PpxfTemplates:
    """Stellar templates. G age groups, Z metallicities, T = G Z templates, Z varies fastest."""

    flux: F64  # (W, T) of unit V-light, about 1 in the normalisation window
    bands: F64  # (B, T)
    band_wave_aa: F64  # (B, T) effective wavelengths
    light_v: F64  # (G, Z) V-light per Msun formed, times a constant
    bin_of_group: NDArray[np.int_]  # (G,)
    mh: F64  # (Z,)


@dataclass(frozen=True)
class PpxfFit:
    """What pPXF says of one bin, in the units of `types.Observation` and `types.Prediction`."""

    bin_id: int
    mass_frac: F64  # (16,)
    light_frac: F64  # (16,)
    mh: F64  # (16,) mass-weighted within an age bin, NaN where it has no weight
    means: dict[str, float]  # physics.means.MEAN_NAMES
    a_v: float  # mag
    gas_v_kms: float  # relative to the stars; NaN without gas
    gas_sigma_kms: float
    chi2: float  # reduced, of the stars' pixels, as `types.Result` has it
    model: F64  # (W,)
    phot_model: F64  # (B,) NaN where a band was not used
    seconds: float


def compute_velocity_scale(wave_aa: F64) -> float:
    """km/s per pixel that pPXF derives from the ends of a grid.

    No star is convolved, and the gas by so little that a linear grid's unevenness (a fifth over 4800-7000 AA) plays no
    part.

    Parameters
    ----------
    wave_aa : array (W,)
        Angstrom, rising.

    Returns
    -------
    float
        km/s.
    """
    return C_KMS * float(np.log(wave_aa[-1] / wave_aa[0])) / (wave_aa.size - 1)


def build_ppxf_templates(basis: TemplateBasis, redshift: float = 0.0) -> PpxfTemplates:
    """pPXF's templates from a bundle's basis, bands seen at a redshift.

    Parameters
    ----------
    basis : TemplateBasis
    redshift : float
        At which the bands see the templates.
    """
    flux, sed = basis.spectrum.astype(np.float64), basis.sed.astype(np.float64)
    flux[0] += basis.young
    sed[0] += basis.young_sed
    # One common factor makes a template about one in the window, as data are: pPXF's regularisation counts on it.
    light_v = basis.light_v * np.median(flux[..., basis.norm_pixels].mean(-1) / basis.light_v)
    moved = tuple(replace(f, wave_aa=f.wave_aa / (1 + redshift)) for f in basis.filters)
    weights = filter_weight_matrix(moved, basis.sed_wave_aa)
    sed = (sed / light_v[..., None]).reshape(-1, sed.shape[-1]).T
    bands = weights.T @ sed
    return PpxfTemplates(
        flux=(flux / light_v[..., None]).reshape(-1, flux.shape[-1]).T,
        bands=bands,
        band_wave_aa=(weights * basis.sed_wave_aa[:, None]).T @ sed / bands,
        light_v=light_v,
        bin_of_group=np.arange(len(basis.light_v)),
        mh=basis.mh,
    )


def make_gas_line_templates(
    filters: Sequence[Filter], grid: SpectrumGrid, sigma_kms: float, v_kms: float = 0.0
) -> tuple[F64, F64, list[str]]:
    """Emission lines of unit flux at an instrument's line-spread function and a dispersion.

    Parameters
    ----------
    filters : sequence of B Filter
    grid : SpectrumGrid
        Wavelengths (W,) and line-spread function.
    sigma_kms, v_kms : float
        Dispersion of the gas, and its velocity.

    Returns
    -------
    spectra : array (W, L)
        1/Angstrom.
    bands : array (B, L)
        Photon-counting mean flux density in each filter, 1/Angstrom.
    names : list of L str
    """
    wave = np.array([w for _, members in PPXF_GAS_LINES for w, _ in members])
    centre = wave * (1 + v_kms / C_KMS)
    profiles = lsf.line_profiles(centre, grid.wave_aa, grid.lsf.fwhm_aa(centre), sigma_kms)
    total = np.array([np.trapezoid(b.throughput * b.wave_aa, b.wave_aa) for b in filters])
    at = np.array([[np.interp(w, b.wave_aa, b.throughput, left=0, right=0) * w for b in filters] for w in wave])
    phot = at.reshape(wave.size, total.size) / total  # photon-counting <f_lambda> of a line of unit flux
    flux, band, names, start = [], [], [], 0
    for name, members in PPXF_GAS_LINES:
        share = np.array([s for _, s in members])
        part = slice(start, start + len(members))
        flux.append(share @ profiles[part])
        band.append(share @ phot[part])
        names.append(name)
        start += len(members)
    return np.array(flux).T, np.array(band).T, names


def build_ppxf_arguments(
    data: Observation,
    stars: PpxfTemplates,
    gas: tuple[F64, F64, list[str]] | None,
    mdegree: int,
    regul_error: float,
    free_gas: bool = False,
) -> dict[str, Any]:
    """Arguments of ``ppxf.ppxf`` for one object.

    Parameters
    ----------
    data : Observation
        Of one row.
    stars : PpxfTemplates
    gas : tuple, optional
        As of `make_gas_line_templates`.
    mdegree, regul_error : int, float
    free_gas : bool
        Fit the gas's velocity and dispersion; else it is left as the templates have it.
    """
    good = data.mask[0] & np.isfinite(data.error[0]) & (data.error[0] > 0)
    spectra, n_star = stars.flux, stars.flux.shape[1]
    bands, wave = stars.bands, stars.band_wave_aa
    names: list[str] = []
    if gas is not None:
        lines, line_bands, names = gas
        spectra = np.hstack([spectra, lines])
        bands = np.hstack([bands, line_bands])
        wave = np.hstack([wave, np.repeat(wave.mean(1, keepdims=True), len(names), axis=1)])
    velscale = compute_velocity_scale(data.instrument.wave_aa)
    fixed = [0.0, velscale / 100]
    component = np.r_[np.zeros(n_star, int), np.ones(len(names), int)]
    two = bool(names)
    keys: dict[str, Any] = {
        "templates": spectra,
        "galaxy": np.where(good, data.flux[0], 1.0).astype(float),
        "noise": np.where(good, data.error[0], 1.0).astype(float),
        "velscale": velscale,
        "start": [fixed, _GAS_START if free_gas else fixed] if two else fixed,
        "moments": [-2, 2 if free_gas else -2] if two else -2,
        "component": component if two else 0,
        "goodpixels": np.flatnonzero(good),
        "lam": data.instrument.wave_aa,
        "degree": -1,
        "mdegree": mdegree,
        "regul": 1.0 / regul_error,
        "reg_dim": np.array(stars.light_v.shape),
        "dust": [{"start": [0.3], "bounds": [[0.0, 8.0]], "component": component == 0}],
        "quiet": True,
    }
    if two:
        keys |= {"gas_component": component == 1, "gas_names": np.array(names)}
        if free_gas:
            keys["bounds"] = [[[-1.0, 1.0], [velscale / 200, velscale]], _GAS_BOUNDS]
    return keys | _build_photometry_arguments(data, bands, wave)


def _build_photometry_arguments(data: Observation, bands: F64, wave_aa: F64) -> dict[str, Any]:
    """The part on photometry; empty without a usable band."""
    seen = data.phot_mask[0] & (data.phot_error[0] > 0)
    if not seen.any():
        return {}
    photometry = {
        "templates": bands[seen],
        "galaxy": data.phot[0, seen].astype(float),
        "noise": data.phot_error[0, seen].astype(float),
        "lam": wave_aa[seen],
    }
    return {"phot": photometry}


def sum_ppxf_weights(
    weights: F64, light_v: F64, bin_of_group: NDArray[np.int_], metals_dex: F64
) -> tuple[F64, F64, F64]:
    """Histories from pPXF's weights; see `PpxfTemplates`.

    Parameters
    ----------
    weights : array (G, Z)
        V-band light in age groups and metallicities.
    light_v : array (G, Z)
        V-band light per mass formed of the templates, solar units.
    bin_of_group : int array (G,)
        Age bin of each group, from 0.
    metals_dex : array (Z,)
        [M/H].

    Returns
    -------
    mass_frac, light_frac : array (A,)
        Summing to one; NaN where all weights are 0.
    mh : array (A,)
        Mass-weighted [M/H], dex; 0 in age bins without mass.
    """
    total = weights.sum()
    if total <= 0:
        return np.full(N_AGE, np.nan), np.full(N_AGE, np.nan), np.full(N_AGE, np.nan)
    mass = weights / light_v
    light16, mass16, metals = (np.zeros(N_AGE) for _ in range(3))
    np.add.at(light16, bin_of_group, weights.sum(1))
    np.add.at(mass16, bin_of_group, mass.sum(1))
    np.add.at(metals, bin_of_group, mass @ metals_dex)
    mh = np.divide(metals, mass16, out=np.zeros(N_AGE), where=mass16 > 0)
    return mass16 / mass16.sum(), light16 / total, mh


@check_arguments
def fit_ppxf(
    data: Observation, basis: TemplateBasis, redshift: float = 0.0, settings: PpxfBinSettings | None = None
) -> PpxfFit:
    """Fit one object.

    Parameters
    ----------
    data : Observation
        Of one row.
    basis : TemplateBasis
        The network's, ``load_bundle(name).basis``.
    redshift : float
        At which the bands saw the object.
    settings : PpxfBinSettings, optional

    Raises
    ------
    SfhInputError
        pPXF is not installed, or too few pixels are usable.
    ComputeError
        pPXF failed.
    """
    settings = settings or PpxfBinSettings()
    if data.mask[0].sum() < 200:
        raise SfhInputError("pPXF: the bin's spectrum has fewer than 200 usable pixels; choose another bin")
    if not settings.photometry:
        data = replace(data, phot_mask=np.zeros_like(data.phot_mask))
    stars = build_ppxf_templates(basis, redshift)
    broadening = max(
        float(lsf.broadening_kms(data.sigma_kms[0], data.instrument.grid.sigma_kms)[0]), _MIN_BROADENING_KMS
    )
    gas = make_gas_line_templates(basis.filters, data.instrument.grid, broadening) if settings.gas else None
    start = time.perf_counter()
    keys = build_ppxf_arguments(data, stars, gas, settings.mdegree, settings.regul_error, free_gas=settings.gas)
    solution = run_ppxf(keys, "this bin")
    weights = np.maximum(solution.weights[: stars.flux.shape[1]], 0).reshape(stars.light_v.shape)
    mass, light, mh = sum_ppxf_weights(weights, stars.light_v, stars.bin_of_group, stars.mh)
    means = {k: float(v) for k, v in compute_population_means(mass, light, mh).items()}
    model = np.asarray(solution.bestfit, dtype=np.float64)
    v, sigma = solution.sol[1][:2] if settings.gas else (np.nan, np.nan)
    phot = np.full(data.phot.shape[1], np.nan)
    if "phot" in keys:
        phot[data.phot_mask[0] & (data.phot_error[0] > 0)] = solution.phot_bestfit
    return PpxfFit(
        bin_id=0,
        mass_frac=mass,
        light_frac=light,
        mh=np.where(mass > 0, mh, np.nan),
        means=means,
        a_v=float(solution.dust[0]["sol"][0]),
        gas_v_kms=float(v),
        gas_sigma_kms=float(sigma),
        chi2=float(reduced_chi2(data, model[None].astype(np.float32))[0]),
        model=model,
        phot_model=phot,
        seconds=time.perf_counter() - start,
    )


def fit_ppxf_in_process(
    result: Result,
    bin_id: int,
    basis: TemplateBasis,
    settings: PpxfBinSettings | None = None,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> PpxfFit:
    """Fit bin ``bin_id`` (1..N) of a result by `fit_ppxf` in a process of its own, beside a window that stays usable.

    Parameters
    ----------
    result : Result
    bin_id : int
        1 to N.
    basis : TemplateBasis
    settings : PpxfBinSettings, optional
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    PpxfFit

    Raises
    ------
    SfhInputError
        No such bin, and as of `fit_ppxf`.
    """
    if not 1 <= bin_id <= result.bins.n_bins:
        raise SfhInputError(f"pPXF: no bin {bin_id}; {result.name} has bins 1 to {result.bins.n_bins}")
    data = result.data.select(slice(bin_id - 1, bin_id))
    stage = f"fitting bin {bin_id} with pPXF"
    found = run_in_process(fit_ppxf, (data, basis, result.redshift, settings), stage, progress, cancel)
    return replace(found, bin_id=bin_id)
