"""The posterior of one object by likelihood, on the same parameters and under the same prior as the network's.

The parameters are the label vector y of the weights (light fractions and [M/H] of the age bins, dust), the share of
ionising photons that escapes, and a factor on the errors. They are sampled in the base space of the network's flow,
where the network's own posterior is a standard normal: p(y) L(data | y) |dy / dz|, with p the density of the prior
(`model.prior_summary`). Where the network is right the chains have nowhere to go; where it is not they move. The model
is the compact basis of the weights: one library, constant star formation within each age bin, gas lines left out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy.special import ndtr
from scipy.stats import chi2

from napari_sfh.analysis.refinement.annealed_sampling import (
    SampledPoints,
    SamplingSettings,
    compare_chains,
    sample_annealed,
)
from napari_sfh.analysis.refinement.likelihood import DataLikelihood, make_likelihood
from napari_sfh.analysis.refinement.torch_templates import TorchTemplates, make_torch_templates
from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.encoding import encode_observation
from napari_sfh.model.posterior import make_base_points
from napari_sfh.model.prior_summary import load_prior_summary
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.types import F32, F64, QUANTILES, Observation

#: Scatter of the logarithm of the factor on the errors.
LN_ERROR_SCATTER = 0.4
#: Of the escaping share: logistic of a normal number with this mean and scatter.
ESCAPE_NORMAL = (-0.8, 1.2)
#: Largest optical depth of the diffuse dust that is modelled: the flow's tails reach to numbers that no light passes.
MOST_TAU = 20.0
#: Share of repeated data that must look stranger than the measured ones, else these contradict the model.
MIN_PREDICTIVE_SHARE = 0.01
_NUISANCES = 2
_STEP_AA = 100.0


@dataclass(frozen=True)
class RefinementSettings:
    """Highest polynomial and scatter of the flux calibration, and how chains are run."""

    order: int = 12
    calibration: float = 0.02
    sampling: SamplingSettings = field(default_factory=SamplingSettings)


@dataclass(frozen=True)
class PredictiveCheck:
    """Share of data repeated from the posterior that look stranger than the measured ones, and what was stretched."""

    continuum: float  # of the worst mean residual in 100 AA
    bands: float  # of chi2; 1 without bands
    error_scale: float  # median factor on the errors
    correlation: float  # pixels that count as one

    @property
    def contradicts(self) -> bool:
        """Whether the model cannot have made these data."""
        return min(self.continuum, self.bands) < MIN_PREDICTIVE_SHARE


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
    accepted, r_hat : float
        Share of accepted moves, and Gelman & Rubin's ratio of the four means, the worst: above 1.3 the chains have not
        met.
    """

    draws: Mapping[str, F32]
    quantiles: Mapping[str, F64]
    model_flux: F32
    check: PredictiveCheck
    accepted: float
    r_hat: float

    @property
    def has_converged(self) -> bool:
        """Whether the chains agree with each other."""
        return self.r_hat < 1.3


@dataclass(frozen=True)
class _Problem:
    """One object: from points of the base space to label vectors, models and their density."""

    bundle: Bundle
    basis: TemplateBasis
    templates: TorchTemplates  # on the pixels of the likelihood
    likelihood: DataLikelihood
    log_prior: Callable[[torch.Tensor], torch.Tensor]
    mu: torch.Tensor  # (1, T)
    context: torch.Tensor  # (1, C)

    def map_to_labels(self, base: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Label vectors (C, T) of base points (C, T), and the logarithm of the volume (C,), up to a constant."""
        posterior = self.bundle.model.posterior
        flow = posterior.flow(self.context.expand(len(base), -1))
        z, ln_volume = flow.transform.inv.call_and_ladj(base)
        return self.mu + posterior.shift + z @ posterior.colour, ln_volume

    def make_models(
        self, y: torch.Tensor, escape: torch.Tensor, templates: TorchTemplates | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Spectra (C, P) on the pixels of the likelihood, or (C, W) of all templates, and bands (C, B)."""
        made = self.bundle.model.derive(y)
        dust = (made["tau_ism"].clamp(max=MOST_TAU), made["tau_bc"], made["slope"])
        return (templates or self.templates).reconstruct(made["mass_frac"], made["mh"], *dust, escape)

    def evaluate(self, points: torch.Tensor) -> torch.Tensor:
        """Natural logarithm (C,) of prior times likelihood at points (C, T + 2) of the base space."""
        y, ln_volume = self.map_to_labels(points[:, :-_NUISANCES])
        ln_scale, escape = _read_nuisances(points)
        flux, phot = self.make_models(y, escape)
        nuisances = -0.5 * (points[:, -_NUISANCES:] ** 2).sum(1)
        return self.log_prior(y) + ln_volume + nuisances + self.likelihood.log_prob(flux, phot, ln_scale)


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
    """Sample the posterior of one object by likelihood, from the network's draws.

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
    start = make_base_points(settings.sampling.chains, bundle.targets.size + _NUISANCES, seed=settings.sampling.seed)
    sampled = sample_annealed(problem.evaluate, start, settings.sampling, progress, cancel)
    return _summarise(problem, sampled)


def _pose_problem(data: Observation, row: int, bundle: Bundle, settings: RefinementSettings) -> _Problem:
    summary = load_prior_summary(bundle)
    if bundle.basis is None or not bundle.targets.n_age or bundle.instrument.spectrum is None:
        raise SfhInputError(f"{bundle.name}: refinement needs weights of histories, with templates and a spectrum")
    if summary is None or summary.label_density is None:
        raise SfhInputError(
            f"{bundle.name}: the density of the prior is not known; measure it: napari-sfh-train prior-summaries"
        )
    one = data.select(slice(row, row + 1))
    with torch.no_grad():
        mu, context, _ = bundle.model.predict_centre(encode_observation(one, bundle.features))
    likelihood = make_likelihood(one, 0, settings.order, settings.calibration)
    templates = make_torch_templates(bundle.basis).restrict(likelihood.pixels)
    problem = _Problem(bundle, bundle.basis, templates, likelihood, summary.label_density.log_prob, mu, context)
    with torch.no_grad():
        y, _ = problem.map_to_labels(make_base_points(64, bundle.targets.size))
        flux, phot = problem.make_models(y, torch.full((len(y),), 0.3))
        best = int(likelihood.log_prob(flux, phot, torch.zeros(len(y))).argmax())
    return replace(problem, likelihood=likelihood.with_correlation(flux[best : best + 1]))


@torch.no_grad()
def _summarise(problem: _Problem, sampled: SampledPoints) -> RefinedPosterior:
    y, _ = problem.map_to_labels(sampled.points[:, :-_NUISANCES])
    ln_scale, escape = _read_nuisances(sampled.points)
    whole, phot = problem.make_models(y, escape, make_torch_templates(problem.basis))
    flux = whole[:, problem.likelihood.pixels]
    draws = {k: v.numpy() for k, v in problem.bundle.model.derive(y).items()} | {"escape": escape.numpy()}
    quantiles = {k: np.moveaxis(np.quantile(v.astype(float), QUANTILES, axis=0), 0, -1) for k, v in draws.items()}
    calibrated = _calibrate_models(problem.likelihood, flux, whole)
    curves = np.quantile(calibrated, QUANTILES, axis=0).astype(np.float32)
    check = _check_predictions(problem, flux, phot, torch.exp(ln_scale))
    chains = {k: draws[k].reshape(sampled.n_kept, -1) for k in MEAN_NAMES}
    return RefinedPosterior(
        draws, quantiles, curves, check, sampled.accepted, max(compare_chains(v) for v in chains.values())
    )


def _calibrate_models(likelihood: DataLikelihood, flux: torch.Tensor, whole: torch.Tensor) -> F32:
    """Models (C, W) times the smooth factors fitted on (C, P), carried over the pixels that were left out."""
    factors, pixels = likelihood.fit_calibration(flux).numpy(), likelihood.pixels.numpy()
    every = np.arange(whole.shape[1])
    smooth = np.stack([np.interp(every, pixels, row) for row in factors])
    return np.asarray(whole.numpy() * (1 + smooth), np.float32)


def _check_predictions(
    problem: _Problem, flux: torch.Tensor, phot: torch.Tensor, scale: torch.Tensor
) -> PredictiveCheck:
    """How often data made by the draws would look as strange as the measured ones."""
    likelihood = problem.likelihood
    wave = problem.bundle.instrument.wave_aa[likelihood.pixels.numpy()]
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
