"""Out-of-distribution (OOD) score: is this spectrum one of those that the network was trained on?

Six statistics, each a number that grows with the distance from the training spectra:

latent       minus the logarithm of the latent vectors' density, a mixture of Gaussians fitted to training spectra;
subspace     reduced chi^2 of the spectrum after the training spectra's principal components have been taken out: what
             no mixture of populations, dust and gas of the prior can make (a star, another redshift, strange lines);
spectrum     reduced chi^2 of the spectrum rebuilt from the prediction;
photometry   squared distance of the bands from those rebuilt from the prediction, in units of their usual scatter;
critic       the answer of a small network that learnt to tell training spectra from corrupted ones
             (`training.fitting.corruption`: other redshifts and line ratios, wrong zero points, sky, stars), from the
             components, the mean squared residual in 44 pieces of the spectrum, and the bands. It sees what
             densities in 40 dimensions cannot;
metallicity  the light-weighted [M/H] that is predicted. Stars richer than all of the prior look like its richest
             ones: no residual tells them apart, only that hardly any training spectrum was read so rich.

Each is compared with its median and its high quantile on held-out spectra of the same S/N; the score is the largest of
the six, scaled so that 1 is exceeded by 1 % of held-out spectra. Errors get a floor of 1 % of the continuum, so
that the small faults of any template library do not raise the score at high S/N.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from napari_sfh.model.calibration import LG_SNR_NODES, node_weights, weighted_quantile
from napari_sfh.model.encoding import Features, encoded_value_error

#: The six statistics, in the order of every array here.
OOD_STATISTICS = ("latent", "subspace", "spectrum", "photometry", "critic", "metallicity")
#: Shares of the false alarms that they may cause before the final scaling: much for those whose strange spectra lie
#: near the usual ones, little for those where they lie far off.
ALARM_SHARES = (0.1, 0.2, 0.1, 0.1, 0.25, 0.25)
_PIECES = 44
_CLASSIFIER_CLIP = 15.0
#: Error added in quadrature, in units of the continuum.
SYSTEMATIC_ERROR = 0.01
#: Share of held-out spectra whose score exceeds 1.
FALSE_ALARM_RATE = 0.01


class OodDetector(nn.Module):
    """Measures the statistics and turns them into a score. Scores are 0 until `fit_threshold` has been called.

    Parameters
    ----------
    latent : int
        Length of the latent vector.
    n_wave, n_bands : int
        Pixels W and bands B of the instrument.
    components : int
        Principal components K of the spectra.
    gaussians : int
        Of the density of latent vectors.
    """

    lg_snr: torch.Tensor
    centre: torch.Tensor
    axes: torch.Tensor
    gauss_mean: torch.Tensor
    gauss_root: torch.Tensor
    gauss_lg_weight: torch.Tensor
    phot_shift: torch.Tensor
    phot_cov: torch.Tensor
    critic_mean: torch.Tensor
    critic_scale: torch.Tensor
    middle: torch.Tensor
    width: torch.Tensor

    def __init__(self, latent: int, n_wave: int, n_bands: int, components: int = 40, gaussians: int = 8) -> None:
        super().__init__()
        components = min(components, n_wave)
        self.n_pieces = _PIECES if n_wave else 0
        nodes = len(LG_SNR_NODES)
        self.register_buffer("lg_snr", torch.tensor(LG_SNR_NODES, dtype=torch.float32))
        self.register_buffer("centre", torch.zeros(n_wave))
        self.register_buffer("axes", torch.zeros(components, n_wave))
        self.register_buffer("gauss_mean", torch.zeros(gaussians, latent))
        self.register_buffer("gauss_root", torch.eye(latent).expand(gaussians, -1, -1).clone())
        self.register_buffer("gauss_lg_weight", torch.zeros(gaussians))
        self.register_buffer("phot_shift", torch.zeros(nodes, n_bands))
        self.register_buffer("phot_cov", torch.eye(n_bands).expand(nodes, -1, -1).clone())
        n_in = components + self.n_pieces + 3 * n_bands + 1
        self.register_buffer("critic_mean", torch.zeros(n_in))
        self.register_buffer("critic_scale", torch.ones(n_in))
        self.critic = nn.Sequential(nn.Linear(n_in, 192), nn.PReLU(), nn.Linear(192, 96), nn.PReLU(), nn.Linear(96, 1))
        self.register_buffer("middle", torch.zeros(nodes, len(OOD_STATISTICS)))
        self.register_buffer("width", torch.full((nodes, len(OOD_STATISTICS)), math.inf))

    def latent_statistic(self, latent: torch.Tensor) -> torch.Tensor:
        """Minus log density of latent vectors (N, D), up to a constant: (N,)."""
        z = torch.einsum("gnd,gde->gne", latent[None] - self.gauss_mean[:, None], self.gauss_root)
        lg_det = torch.diagonal(self.gauss_root, dim1=1, dim2=2).abs().log().sum(1)
        return -torch.logsumexp(self.gauss_lg_weight[:, None] + lg_det[:, None] - 0.5 * (z**2).sum(2), 0)

    def project(self, spectrum: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Components (N, K) of encoded spectra (N, 3, W), and residuals over their errors (N, W), 0 where masked."""
        good = spectrum[:, 1] > 0.5
        error = torch.sqrt(encoded_value_error(spectrum) ** 2 + SYSTEMATIC_ERROR**2)
        value = spectrum[:, 0] - self.centre
        rebuilt = torch.zeros_like(value)
        components = rebuilt[:, : len(self.axes)]
        # Masked pixels take the value of the fit, which makes the projection one of the usable pixels alone.
        # A device is not asked whether there are any: asking stops everything until it has answered.
        for _ in range(1 if good.device.type == "cpu" and bool(good.all()) else 4):
            components = torch.where(good, value, rebuilt) @ self.axes.T
            rebuilt = components @ self.axes
        return components, torch.where(good, (value - rebuilt) / error, 0.0)

    def subspace_statistic(self, spectrum: torch.Tensor) -> torch.Tensor:
        """log10 of the reduced chi^2 of encoded spectra (N, 3, W) outside the subspace, (N,)."""
        if not len(self.axes):
            return torch.zeros(len(spectrum), device=spectrum.device)
        _, pull = self.project(spectrum)
        free = (spectrum[:, 1] > 0.5).sum(1) - len(self.axes)
        return torch.log10((pull**2).sum(1) / free.clamp(min=1))

    def classifier_input(self, features: Features) -> torch.Tensor:
        """What the classifier sees, before shift and scale: (N, K + 44 + 3 B + 1), without a spectrum (N, 3 B + 1)."""
        parts = [features.photometry.flatten(1), features.lg_snr]
        if self.n_pieces:
            components, pull = self.project(features.spectrum)
            pieces = nn.functional.adaptive_avg_pool1d(pull[:, None] ** 2, self.n_pieces)[:, 0]
            parts = [components, torch.log(pieces + 0.05), *parts]
        return torch.cat(parts, dim=1)

    def classifier_statistic(self, seen: torch.Tensor) -> torch.Tensor:
        """The classifier's answer to `classifier_input`, log odds of being corrupted: (N,)."""
        standard = (seen - self.critic_mean) * self.critic_scale
        return self.critic(standard.clamp(-_CLASSIFIER_CLIP, _CLASSIFIER_CLIP))[:, 0]

    def photometry_statistic(self, residual: torch.Tensor, seen: torch.Tensor, lg_snr: torch.Tensor) -> torch.Tensor:
        """Squared distance per band of log10 flux residuals (N, B), where ``seen``; 0 without a band: (N,)."""
        if not residual.shape[1]:
            return torch.zeros(len(residual), device=residual.device)
        node = self._nearest(lg_snr)
        away = torch.where(seen, residual - self.phot_shift[node], 0.0)
        cov = self.phot_cov[node]
        # An unseen band is given unit variance of its own and no covariance: it adds nothing to the distance.
        both = seen[:, :, None] & seen[:, None, :]
        cov = torch.where(both, cov, 0.0) + torch.diag_embed((~seen).float())
        distance = (away * torch.linalg.solve_ex(cov, away).result).sum(1)
        return distance / seen.sum(1).clamp(min=1)

    def score(self, statistics: torch.Tensor, lg_snr: torch.Tensor) -> torch.Tensor:
        """Scores (N,) of statistics (N, 6); 1 is the threshold."""
        weights = node_weights(self.lg_snr, lg_snr)
        width = weights @ torch.where(torch.isinf(self.width), 1e30, self.width)
        return ((statistics - weights @ self.middle) / width).max(1).values

    @torch.no_grad()
    def fit_subspace(self, features: Features) -> None:
        """Principal components of training spectra, in place."""
        if not len(self.axes):
            return
        value = features.spectrum[:, 0]
        self.centre.copy_(value.mean(0))
        _, _, axes = torch.pca_lowrank(value - self.centre, q=len(self.axes), center=False, niter=3)
        self.axes.copy_(axes.T)

    @torch.no_grad()
    def standardise_classifier(self, seen: torch.Tensor) -> None:
        """Measure the shift and scale of what the classifier sees, in place."""
        self.critic_mean.copy_(seen.mean(0))
        self.critic_scale.copy_(1.0 / seen.std(0).clamp(min=1e-3))

    @torch.no_grad()
    def set_density(self, means: torch.Tensor, roots: torch.Tensor, weights: torch.Tensor) -> None:
        """Take a mixture of Gaussians: means (G, D), Cholesky roots of the precisions (G, D, D), weights (G,)."""
        self.gauss_mean.copy_(means)
        self.gauss_root.copy_(roots)
        self.gauss_lg_weight.copy_(weights.log())

    @torch.no_grad()
    def fit_photometry(self, residual: torch.Tensor, seen: torch.Tensor, lg_snr: torch.Tensor) -> None:
        """Usual offset and scatter of the bands' residuals (N, B), per S/N node, in place."""
        if not residual.shape[1]:
            return
        node = self._nearest(lg_snr)
        for k in range(len(self.lg_snr)):
            rows = (node == k) & seen.all(1)
            if int(rows.sum()) < 50:
                rows = seen.all(1)
            if int(rows.sum()) < 50:
                continue
            r = residual[rows].clamp(-1, 1)
            self.phot_shift[k] = r.median(0).values
            centred = r - self.phot_shift[k]
            self.phot_cov[k] = centred.T @ centred / len(r) + 1e-4 * torch.eye(r.shape[1])

    @torch.no_grad()
    def fit_threshold(self, statistics: torch.Tensor, lg_snr: torch.Tensor) -> None:
        """Medians and high quantiles of held-out statistics (N, 6), per S/N node, in place."""
        weights = node_weights(self.lg_snr, lg_snr)
        filled = [k for k in range(len(self.lg_snr)) if float(weights[:, k].sum()) >= 50]
        filled = filled or [int(weights.sum(0).argmax())]
        for k in range(len(self.lg_snr)):
            w = weights[:, min(filled, key=lambda j: abs(j - k))]
            for i in range(len(OOD_STATISTICS)):
                share = torch.tensor([0.5, 1 - FALSE_ALARM_RATE * ALARM_SHARES[i]])
                middle, high = weighted_quantile(statistics[:, i], w, share)
                self.middle[k, i] = middle
                self.width[k, i] = (high - middle).clamp(min=1e-3)
        exceeded = self.score(statistics, lg_snr)
        for k in range(len(self.lg_snr)):
            w = weights[:, min(filled, key=lambda j: abs(j - k))]
            self.width[k] *= weighted_quantile(exceeded, w, torch.tensor([1 - FALSE_ALARM_RATE])).clamp(min=0.1)

    def _nearest(self, lg_snr: torch.Tensor) -> torch.Tensor:
        """Index of the nearest node, (N,)."""
        return (lg_snr[:, None] - self.lg_snr).abs().argmin(1)
