"""Calibration: which level of the drawn posterior truly is the 2.5, 16, 50, 84 or 97.5 % quantile.

A flow is trained to be calibrated on the mix it saw, not at every S/N. On held-out spectra the rank of the truth
among the draws (its probability integral transform, PIT) would be uniform for an exact posterior. Its measured
quantiles, as functions of S/N, are the levels at which the draws are read (ours; after Kuleshov et al.
2018, ICML, section 3). Reading draws at other levels keeps bounds, order and skewness.

Levels of scalars may also follow the light-weighted age that the draws have (`fit_age_shift`): on galaxies that the
prior does not know, intervals of old ones are too narrow and those of young ones too wide.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import nn

from napari_sfh.types import QUANTILES

#: Vectors whose values lie in 0-1 and often at 0 or 1 exactly.
FRACTIONS = ("light_frac", "mass_frac", "cum_mass")
#: Nodes in log10 S/N between which the levels are interpolated.
LG_SNR_NODES: tuple[float, ...] = tuple(np.log10([5.0, 10.0, 20.0, 40.0, 80.0, 160.0]))
#: The quantity by whose median shifts of the levels are chosen, and their nodes in log yr: young, intermediate, old.
AGE, LG_AGE_NODES = "lg_age_lw", (8.2, 9.15, 9.8)


class PosteriorCalibration(nn.Module):
    """Levels per quantity and S/N; the identity until `fit` is called.

    Parameters
    ----------
    scalars, vectors : tuples of str
        Names of the quantities with one value an object, and with one per age bin.
    n_age : int
        Number of age bins A.
    """

    lg_snr: torch.Tensor
    scalar: torch.Tensor
    vector: torch.Tensor
    temperature: torch.Tensor
    lg_age: torch.Tensor
    age_shift: torch.Tensor | None  # (K, S, 5) added to the levels' normal scores; None: not measured

    def __init__(self, scalars: tuple[str, ...], vectors: tuple[str, ...] = (), n_age: int = 0) -> None:
        super().__init__()
        self.scalars, self.vectors, self.n_age = scalars, vectors, n_age
        nodes = len(LG_SNR_NODES)
        nominal = torch.tensor(QUANTILES)
        self.register_buffer("lg_snr", torch.tensor(LG_SNR_NODES, dtype=torch.float32))
        self.register_buffer("scalar", nominal.expand(nodes, len(scalars), -1).clone())
        self.register_buffer("vector", nominal.expand(nodes, len(vectors), n_age, -1).clone())
        self.register_buffer("temperature", torch.tensor(1.0))
        self.register_buffer("lg_age", torch.tensor(LG_AGE_NODES), persistent=False)
        self.register_buffer("age_shift", None)

    def quantiles(self, draws: dict[str, torch.Tensor], lg_snr: torch.Tensor) -> dict[str, torch.Tensor]:
        """Calibrated quantiles of draws.

        Parameters
        ----------
        draws : dict
            For each scalar (N, n), for each vector (N, n, A).
        lg_snr : tensor (N,)

        Returns
        -------
        dict
            For each scalar (N, 5), for each vector (N, A, 5), at `types.QUANTILES`.
        """
        weights = node_weights(self.lg_snr, lg_snr)
        out, levels_of = {}, self._scalar_levels(draws, weights)
        for i, name in enumerate(self.scalars):
            out[name] = _read_levels(draws[name], levels_of[:, i])
        for i, name in enumerate(self.vectors):
            levels = torch.einsum("ns,saq->naq", weights, self.vector[:, i])
            out[name] = _read_levels(draws[name].transpose(1, 2), levels, bounds=name in FRACTIONS)
        return out

    def calibrate_draws(self, draws: dict[str, torch.Tensor], lg_snr: torch.Tensor) -> dict[str, torch.Tensor]:
        """Draws whose quantiles are the calibrated ones.

        Every quantity's draws are moved, in their order, to the calibrated distribution; between the five levels the
        levels run along a smooth curve. Ranks, and with them the dependence between quantities, stay.
        Fractions of light and mass are left alone, as they must sum to one; ``cum_mass`` stays falling.

        Parameters
        ----------
        draws : dict
            For each scalar (N, n), for each vector (N, n, A); further entries are returned as they are.
        lg_snr : tensor (N,)
        """
        weights = node_weights(self.lg_snr, lg_snr)
        out, levels_of = dict(draws), self._scalar_levels(draws, weights)
        for i, name in enumerate(self.scalars):
            out[name] = _remap_draws(draws[name], levels_of[:, i])
        for i, name in enumerate(self.vectors):
            if name in ("mh", "cum_mass"):
                levels = torch.einsum("ns,saq->naq", weights, self.vector[:, i])
                moved = _remap_draws(draws[name].transpose(1, 2), levels, bounds=name in FRACTIONS)
                out[name] = moved.transpose(1, 2)
        if "cum_mass" in self.vectors:
            out["cum_mass"] = torch.cummin(out["cum_mass"], dim=-1).values
        return out

    def _scalar_levels(self, draws: dict[str, torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
        """Levels (N, S, 5) of the scalars; ``weights`` (N, nodes) are those of the nodes in S/N."""
        levels = torch.einsum("ns,siq->niq", weights, self.scalar)
        if self.age_shift is None:
            return levels
        shift = torch.einsum("nk,kiq->niq", self._age_weights(draws[AGE].median(dim=1).values), self.age_shift)
        return torch.special.ndtr(torch.special.ndtri(levels) + shift).cummax(dim=-1).values

    def _age_weights(self, lg_age: torch.Tensor) -> torch.Tensor:
        return node_weights(self.lg_age, lg_age)

    @torch.no_grad()
    def fit_age_shift(
        self, ranks: dict[str, torch.Tensor], lg_snr: torch.Tensor, lg_age: torch.Tensor, draws: int = 1000
    ) -> None:
        """Measure in place how the levels of some scalars, as `fit` left them, move with the light-weighted age.

        Parameters
        ----------
        ranks : dict
            PIT of the truth, (N,) each; other scalars are not moved.
        lg_snr : tensor (N,)
        lg_age : tensor (N,)
            Median light-weighted age of each object's draws, log yr.
        draws : int
            Draws of which the ranks are.
        """
        by_snr, by_age = node_weights(self.lg_snr, lg_snr), self._age_weights(lg_age)
        shift = torch.zeros(len(self.lg_age), len(self.scalars), len(QUANTILES))
        for name, rank in ranks.items():
            i = self.scalars.index(name)
            score = torch.special.ndtri(rank.clamp(0.5 / draws, 1 - 0.5 / draws))
            away = score[:, None] - torch.special.ndtri(by_snr @ self.scalar[:, i])
            for k in range(len(self.lg_age)):
                for q, p in enumerate(QUANTILES):
                    shift[k, i, q] = weighted_quantile(away[:, q], by_age[:, k], torch.tensor([p]))[0]
        self.age_shift = shift.to(self.scalar)

    @torch.no_grad()
    def fit(self, ranks: dict[str, torch.Tensor], lg_snr: torch.Tensor, least: float = 50.0, draws: int = 1000) -> None:
        """Measure the levels, in place; shifts with age that were measured before are dropped.

        Parameters
        ----------
        ranks : dict
            PIT of the truth (`compute_pit`), for each scalar (N,), for each vector (N, A).
        lg_snr : tensor (N,)
        least : float
            A node with less than this many held-out spectra of weight keeps the nearest other node's levels.
        draws : int
            Draws that will be read: levels stay within the first and the last of them; those of fractions may
            reach the bounds 0 and 1, where many truths lie exactly.
        """
        self.age_shift = None
        weights = node_weights(self.lg_snr, lg_snr)
        have = [s for s in range(len(self.lg_snr)) if float(weights[:, s].sum()) >= least]
        p = torch.tensor(QUANTILES)
        for s in range(len(self.lg_snr)):
            near = min(have, key=lambda k: abs(k - s), default=None)
            if near is None:
                return
            w = weights[:, near]
            for i, name in enumerate(self.scalars):
                self.scalar[s, i] = weighted_quantile(ranks[name], w, p)
            for i, name in enumerate(self.vectors):
                for a in range(self.n_age):
                    self.vector[s, i, a] = weighted_quantile(ranks[name][:, a], w, p)
        self.scalar.clamp_(0.5 / draws, 1 - 0.5 / draws)
        for i, name in enumerate(self.vectors):
            if name not in FRACTIONS:
                self.vector[:, i].clamp_(0.5 / draws, 1 - 0.5 / draws)


def node_weights(nodes: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Weights of linear interpolation between nodes, constant beyond them.

    Parameters
    ----------
    nodes : tensor (n,)
        Rising.
    x : tensor (N,)

    Returns
    -------
    tensor (N, n)
        Rows sum to one; at most two weights of a row are not zero.
    """
    x = x.clamp(nodes[0], nodes[-1])
    upper = torch.bucketize(x, nodes[1:-1].contiguous()) + 1
    share = ((x - nodes[upper - 1]) / (nodes[upper] - nodes[upper - 1]))[:, None]
    one_hot = nn.functional.one_hot
    return one_hot(upper, len(nodes)) * share + one_hot(upper - 1, len(nodes)) * (1 - share)


def compute_pit(draws: torch.Tensor, truth: torch.Tensor, bounds: bool = False) -> torch.Tensor:
    """Share of an object's draws below its truth; equal ones count half.

    Parameters
    ----------
    draws : tensor (N, n) or (N, n, A)
    truth : tensor (N,) or (N, A)
    bounds : bool
        The quantity is a fraction: a truth outside all draws is placed between the outermost one and the bound
        (0 or 1), where `PosteriorCalibration` reads quantiles too. Otherwise many small fractions would share
        the rank 0, and every interval would hold them all.

    Returns
    -------
    tensor (N,) or (N, A)
        0 to 1.
    """
    below = (draws < truth[:, None]).float().mean(1)
    equal = (draws == truth[:, None]).float().mean(1)
    rank = below + 0.5 * equal
    if bounds:
        half, first, last = 0.5 / draws.shape[1], draws.amin(1), draws.amax(1)
        rank = torch.where(truth < first, half * truth / first.clamp(min=1e-30), rank)
        rank = torch.where(truth > last, 1 - half * (1 - truth) / (1 - last).clamp(min=1e-30), rank)
    return rank


def weighted_quantile(x: torch.Tensor, weight: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """Quantiles of weighted values.

    Parameters
    ----------
    x, weight : tensor (N,)
        Weights are not negative, of any scale.
    p : tensor (P,)
        Levels, 0 to 1.

    Returns
    -------
    tensor (P,)
    """
    order = torch.argsort(x)
    x, weight = x[order], weight[order].double()
    level = (torch.cumsum(weight, 0) - 0.5 * weight) / weight.sum()
    values = np.interp(p.double().numpy(), level.numpy(), x.double().numpy())
    return torch.from_numpy(values).to(x.dtype)


def _remap_draws(draws: torch.Tensor, levels: torch.Tensor, bounds: bool = False) -> torch.Tensor:
    """Draws (..., n) in their order, moved such that their quantiles are those at ``levels`` (..., 5) before."""
    from scipy.interpolate import PchipInterpolator  # slow to load, and no run needs it

    n = draws.shape[-1]
    nodes = ndtri(np.array(QUANTILES))
    values = ndtri(levels.double().cpu().numpy().clip(1e-6, 1 - 1e-6))
    # Straight on beyond the outermost levels.
    ends = [values[..., :1] - 3.0, values, values[..., -1:] + 3.0]
    curve = PchipInterpolator([nodes[0] - 3.0, *nodes, nodes[-1] + 3.0], np.concatenate(ends, axis=-1), axis=-1)
    at = ndtr(curve(ndtri((np.arange(n) + 0.5) / n)))
    read = _read_levels(draws, torch.from_numpy(at).to(draws), bounds)
    rank = draws.argsort(dim=-1).argsort(dim=-1)
    return torch.gather(read, -1, rank)


def _sort_draws(draws: torch.Tensor) -> torch.Tensor:
    """Draws (..., n) in rising order. On a processor NumPy's vectorised sort takes a quarter of torch's time."""
    if draws.device.type == "cpu":
        return torch.from_numpy(np.sort(draws.detach().numpy(), axis=-1))
    return draws.sort(dim=-1).values


def _read_levels(draws: torch.Tensor, levels: torch.Tensor, bounds: bool = False) -> torch.Tensor:
    """Draws (..., n) read at levels (..., 5), linear between neighbours; with ``bounds``, 0 and 1 lie at their ends."""
    ordered = _sort_draws(draws)
    n = draws.shape[-1]
    at = (levels * n - 0.5).clamp(0, n - 1)
    low = at.floor().long().clamp(max=max(n - 2, 0))
    high = (low + 1).clamp(max=n - 1)
    share = at - low
    read = torch.gather(ordered, -1, low) * (1 - share) + torch.gather(ordered, -1, high) * share
    if not bounds:
        return read
    # The first and last half step lead from the outermost draws to the bounds.
    below, above = (levels * n * 2).clamp(0, 1), ((1 - levels) * n * 2).clamp(0, 1)
    return torch.where(above < 1, 1 - (1 - read) * above, read * below)
