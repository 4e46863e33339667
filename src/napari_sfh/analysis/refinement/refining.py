"""The posterior of one object by likelihood, on the same parameters and under the same prior as the network's.

The parameters are the label vector y of the weights (light fractions and [M/H] of the age bins, dust), the share of
ionising photons that escapes, and a factor on the errors. The prior is a mixture of normal distributions
(`model.prior_summary`), each thin in several of its directions. Each of them times the likelihood is nearly normal:
found and weighed one by one (`normal_modes`), then sampled together (`mode_sampling`). The network's answer has no part
in it. The model is the compact basis of the weights: one library, constant star formation within each age bin, gas
lines left out.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy.special import ndtr
from scipy.stats import chi2

from napari_sfh.analysis.refinement.likelihood import DataLikelihood, make_likelihood
from napari_sfh.analysis.refinement.mode_sampling import SampledPoints, SamplingSettings, sample_modes
from napari_sfh.analysis.refinement.normal_modes import find_best_points, fit_normal_modes
from napari_sfh.analysis.refinement.torch_templates import TorchTemplates, make_torch_templates
from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.prior_summary import LabelDensity, load_prior_summary
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.types import F32, F64, QUANTILES, Observation

#: Scatter of the logarithm of the factor on the errors.
LN_ERROR_SCATTER = 0.4
#: Factor beyond which the data contradict the model: three times that scatter.
MOST_ERROR_SCALE = math.exp(3 * LN_ERROR_SCATTER)
#: Of the escaping share: logistic of a normal number with this mean and scatter.
ESCAPE_NORMAL = (-0.8, 1.2)
#: Largest optical depth of the diffuse dust that is modelled: the flow's tails reach to numbers that no light passes.
MOST_TAU = 20.0
#: Share of repeated data that must look stranger than the measured ones, else these contradict the model.
MIN_PREDICTIVE_SHARE = 0.01
_NUISANCES = 2
_LEAST_EVIDENCE = 20.0  # of the components that are looked at further, below the largest, in the logarithm
_DIFFERENCE = 3e-3  # of label vectors, for slopes
_STEP_AA = 100.0


@dataclass(frozen=True)
class RefinementSettings:
    """Highest polynomial and scatter of the flux calibration, steps of the two climbs, and how chains are run."""

    order: int = 12
    calibration: float = 0.02
    climbs: int = 14
    sampling: SamplingSettings = field(default_factory=SamplingSettings)


@dataclass(frozen=True)
class PredictiveCheck:
    """Share of data repeated from the posterior that look stranger than the measured ones, and what was stretched."""

    continuum: float  # of the worst mean residual in 100 AA
    bands: float  # of chi2; 1 without bands
    error_scale: float  # median factor on the errors
    correlation: float  # pairs of pixels that count as one

    @property
    def contradicts(self) -> bool:
        """Whether the model cannot have made these data, or only with errors stretched beyond what is expected."""
        return min(self.continuum, self.bands) < MIN_PREDICTIVE_SHARE or self.error_scale > MOST_ERROR_SCALE


@dataclass(frozen=True)
class RefinedPosterior:
    """Draws by likelihood, and what follows from them.

    Attributes
    ----------
    draws : mapping
        Scalars (n,) and vectors (n, A) by name, those of the weights' targets, and ``escape``.
    quantiles : mapping
        Scalars (5,) and vectors (A, 5) at `types.QUANTILES`.
    model_flux : float32 array (5, W)
        Quantiles of the model spectra, calibrated to the data; in the unit of the data.
    check : PredictiveCheck
    sampled : SampledPoints
        The points, and whether the chains agree on the four means.
    """

    draws: Mapping[str, F32]
    quantiles: Mapping[str, F64]
    model_flux: F32
    check: PredictiveCheck
    sampled: SampledPoints


@dataclass(frozen=True)
class _Problem:
    """One object: a `normal_modes.PartedDensity` of label vectors and nuisances, (C, T + 2), one part a component."""

    bundle: Bundle
    basis: TemplateBasis
    templates: TorchTemplates  # on the pairs of pixels of the likelihood
    likelihood: DataLikelihood
    prior: LabelDensity

    def make_models(
        self, points: torch.Tensor, templates: TorchTemplates | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Spectra (C, P) on the pairs of pixels of the likelihood, or (C, W) of all templates, and bands (C, B)."""
        made = self.bundle.model.derive(points[:, :-_NUISANCES])
        dust = (made["tau_ism"].clamp(max=MOST_TAU), made["tau_bc"], made["slope"], _read_nuisances(points)[1])
        return (templates or self.templates).reconstruct(made["mass_frac"], made["mh"], *dust)

    def evaluate(self, part: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Natural logarithm (C,) of prior times likelihood, of components (C,) of the prior."""
        y, nuisances = points[:, :-_NUISANCES], points[:, -_NUISANCES:]
        prior = self.prior.log_prob_of(part, y) - 0.5 * (nuisances**2).sum(1)
        return prior + self.likelihood.log_prob(*self.make_models(points), _read_nuisances(points)[0])

    @torch.no_grad()
    def measure_curvature(self, part: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Curvature (C, T + 2, T + 2): that of the prior, of the model by differences, of the error scale."""
        size = points.shape[1]
        away = _DIFFERENCE * torch.eye(size)
        beside = torch.stack([points[:, None] + away, points[:, None] - away]).flatten(0, 2)
        up_down = [m.reshape(2, len(points), size, -1) for m in self.make_models(beside)]
        slopes = [(m[0] - m[1]) / (2 * _DIFFERENCE) for m in up_down]
        found = self.likelihood.measure_curvature(*self.make_models(points), _read_nuisances(points)[0], *slopes)
        roots = self.prior.roots[part]
        found[:, :-_NUISANCES, :-_NUISANCES] += roots @ roots.transpose(1, 2)
        found[:, -_NUISANCES:, -_NUISANCES:] += torch.eye(_NUISANCES)
        count = len(self.likelihood.flux) / self.likelihood.correlation
        found[:, -_NUISANCES, -_NUISANCES] += 2 * count * LN_ERROR_SCATTER**2
        return found

    def watch(self, points: torch.Tensor) -> torch.Tensor:
        """The four means (C, 4): that on which chains must agree."""
        made = self.bundle.model.derive(points[:, :-_NUISANCES])
        return torch.stack([made[k] for k in MEAN_NAMES], dim=1)


def _read_nuisances(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logarithm of the factor on the errors, and the escaping share, (C,) each."""
    mean, scatter = ESCAPE_NORMAL
    return LN_ERROR_SCATTER * points[:, -2], torch.sigmoid(mean + scatter * points[:, -1])


def refine_posterior(
    data: Observation,
    row: int,
    bundle: Bundle,
    settings: RefinementSettings | None = None,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> RefinedPosterior:
    """Sample the posterior of one object by likelihood.

    Parameters
    ----------
    data : Observation
    row : int
        0..N-1.
    bundle : Bundle
        Weights of histories with templates, for an instrument with a spectrum.
    settings : RefinementSettings, optional
    progress, cancel : optional
        See `jobs.report_progress`.

    Raises
    ------
    SfhInputError
        The weights have no templates, or the density of their prior is not known; too few pixels.
    Cancelled
    """
    settings = settings or RefinementSettings()
    problem = _pose_problem(data, row, bundle, settings)
    start = torch.cat([problem.prior.means, torch.zeros(len(problem.prior.means), _NUISANCES)], dim=1)
    points = find_best_points(problem, start, settings.climbs)
    # How many pixels count as one shows in the residuals of a model that fits.
    with torch.no_grad():
        best = int(problem.evaluate(torch.arange(len(points)), points).argmax())
        fitted = problem.make_models(points[best : best + 1])[0]
    problem = replace(problem, likelihood=problem.likelihood.with_correlation(fitted))
    found = fit_normal_modes(problem, points).ln_evidence
    likely = found > found.max() - _LEAST_EVIDENCE
    problem = replace(problem, prior=problem.prior.select(likely))
    modes = fit_normal_modes(problem, find_best_points(problem, points[likely], settings.climbs))
    return _summarise(problem, sample_modes(problem, modes, problem.watch, settings.sampling, progress, cancel))


def _pose_problem(data: Observation, row: int, bundle: Bundle, settings: RefinementSettings) -> _Problem:
    summary = load_prior_summary(bundle)
    if bundle.basis is None or not bundle.targets.n_age or bundle.instrument.spectrum is None:
        raise SfhInputError(f"{bundle.name}: refinement needs weights of histories, with templates and a spectrum")
    if summary is None or summary.label_density is None:
        raise SfhInputError(
            f"{bundle.name}: the density of the prior is not known; measure it: napari-sfh-train prior-summaries"
        )
    likelihood = make_likelihood(data, row, settings.order, settings.calibration)
    templates = make_torch_templates(bundle.basis).average(likelihood.pairs)
    return _Problem(bundle, bundle.basis, templates, likelihood, summary.label_density)


@torch.no_grad()
def _summarise(problem: _Problem, sampled: SampledPoints) -> RefinedPosterior:
    points = sampled.points
    whole, phot = problem.make_models(points, make_torch_templates(problem.basis))
    flux = whole @ problem.likelihood.pairs
    ln_scale, escape = _read_nuisances(points)
    made = problem.bundle.model.derive(points[:, :-_NUISANCES])
    draws = {k: v.numpy() for k, v in made.items()} | {"escape": escape.numpy()}
    quantiles = {k: np.moveaxis(np.quantile(v.astype(float), QUANTILES, axis=0), 0, -1) for k, v in draws.items()}
    calibrated = _calibrate_models(problem.likelihood, flux, whole)
    curves = np.quantile(calibrated, QUANTILES, axis=0).astype(np.float32)
    check = _check_predictions(problem, flux, phot, torch.exp(ln_scale))
    return RefinedPosterior(draws, quantiles, curves, check, sampled)


def _calibrate_models(likelihood: DataLikelihood, flux: torch.Tensor, whole: torch.Tensor) -> F32:
    """Models (C, W) times the smooth factors fitted on (C, P), carried over the pixels that were left out."""
    factors, every = likelihood.fit_calibration(flux).numpy(), np.arange(whole.shape[1])
    pixels = every @ likelihood.pairs.numpy()
    smooth = np.stack([np.interp(every, pixels, row) for row in factors])
    return np.asarray(whole.numpy() * (1 + smooth), np.float32)


def _check_predictions(
    problem: _Problem, flux: torch.Tensor, phot: torch.Tensor, scale: torch.Tensor
) -> PredictiveCheck:
    """How often data made by the draws would look as strange as the measured ones."""
    likelihood = problem.likelihood
    wave = problem.bundle.instrument.wave_aa @ likelihood.pairs.numpy()
    residual = likelihood.measure_residuals(flux).numpy() / scale.numpy()[:, None]
    step = ((wave - wave[0]) // _STEP_AA).astype(int)
    onto = (step[:, None] == np.unique(step)).astype(float)
    count = onto.sum(0)
    worst = np.abs(residual @ onto / np.sqrt(count)).max(1)
    continuum = float((1 - (2 * ndtr(worst) - 1) ** len(count)).mean())
    bands = 1.0
    if len(likelihood.bands):
        squares = likelihood.measure_band_squares(phot).numpy()
        bands = float(chi2.sf(squares, len(likelihood.bands)).mean())
    return PredictiveCheck(continuum, bands, float(scale.median()), likelihood.correlation)
