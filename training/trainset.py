"""Synthetic spectra as the optimiser takes them: split, made worse anew in every epoch, encoded in batches.

Two kinds. A `StoredSource` reads a set made by ``napari-sfh-train simulate``: its noise is what it is, and more is
added. A `FreshSource` keeps noiseless spectra in memory and gives them new noise, by the prior's own model,
whenever they are seen: no network can learn the noise by heart, and one set serves every S/N.
"""

from __future__ import annotations

import zipfile
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from napari_sfh.errors import SfhInputError
from napari_sfh.features import Features, encode
from napari_sfh.model.sfhmodel import label_vector
from napari_sfh.training import forward, noise
from napari_sfh.training.augment import augment, draw_snr, drop
from napari_sfh.training.config import PriorConfig
from napari_sfh.training.dataset import Dataset, load
from napari_sfh.training.distributions import Dist
from napari_sfh.training.draw import Params, draw
from napari_sfh.training.labels import Labels
from napari_sfh.training.recipe import AugmentSettings
from napari_sfh.training.simulate import Source, join_labels
from napari_sfh.types import F32, BinData, Bool

Rows = NDArray[np.int64]

#: Shares of training, validation and test (Galceran et al. 2026, section 3.4).
SHARES = (0.7, 0.2, 0.1)
#: Labels that the losses need beside the label vector.
_TRUTH = ("mass_frac", "lg_ml_v", "lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw")
_CHUNK = 1024


@dataclass(frozen=True)
class Batch:
    """One batch: input, label vector (N, 35), and the truth of derived quantities."""

    features: Features
    y: torch.Tensor
    truth: dict[str, torch.Tensor]


def split(n: int, seed: int) -> tuple[Rows, Rows, Rows]:
    """Row numbers of training, validation and test: a permutation that depends on ``n`` and ``seed`` only.

    Raises
    ------
    SfhInputError
        Fewer than 20 rows.
    """
    if n < 20:
        raise SfhInputError(f"data: {n} spectra are too few to split; simulate at least 20")
    order = np.random.default_rng([seed, n]).permutation(n)
    a, b = round(SHARES[0] * n), round((SHARES[0] + SHARES[1]) * n)
    return np.sort(order[:a]), np.sort(order[a:b]), np.sort(order[b:])


class SpectraSource:
    """Spectra that can be observed again and again."""

    labels: Labels

    @abstractmethod
    def observe(self, rows: Rows, settings: AugmentSettings, rng: np.random.Generator) -> BinData:
        """Noisy, incomplete data of some rows."""

    def batch(self, rows: Rows, settings: AugmentSettings, rng: np.random.Generator) -> Batch:
        """The same, encoded, with their truth."""
        labels = self.labels.select(rows)
        truth = {k: torch.from_numpy(np.asarray(getattr(labels, k), np.float32)) for k in _TRUTH}
        return Batch(encode(self.observe(rows, settings, rng)), label_vector(labels), truth)


@dataclass(frozen=True)
class StoredSource(SpectraSource):
    """A simulated set as it lies on disk."""

    dataset: Dataset
    labels: Labels

    @classmethod
    def open(cls, folder: Path) -> StoredSource:
        """Read a set of `simulate`."""
        dataset = load(folder)
        return cls(dataset, dataset.labels())

    def observe(self, rows: Rows, settings: AugmentSettings, rng: np.random.Generator) -> BinData:
        """Stored data, made worse."""
        return augment(self.dataset.data(rows), settings, rng)


@dataclass(frozen=True)
class FreshSource(SpectraSource):
    """Noiseless spectra (N, W) float16 and band fluxes (N, B), with what their noise needs."""

    flux: NDArray[np.float16]
    phot: F32
    labels: Labels
    params: Params
    acs: Bool
    config: PriorConfig

    def observe(self, rows: Rows, settings: AugmentSettings, rng: np.random.Generator) -> BinData:
        """New noise by the prior's model, at an S/N of the recipe's distribution where it has one."""
        config = self.config
        if settings.snr_range or settings.snr_mix:
            config = replace(config, noise=replace(config.noise, snr=_Given(draw_snr(len(rows), settings, rng))))
        clean = forward.Noiseless(
            self.flux[rows].astype(np.float32),
            self.phot[rows],
            self.labels.select(rows),
            _select(self.params, rows),
        )
        return drop(noise.observe(clean, config, rng, self.acs[rows]), settings, rng)


class _Given(Dist):
    """Stands in for a distribution: values that were drawn already."""

    def __init__(self, drawn: NDArray[np.float64]) -> None:
        super().__init__("given", tuple(drawn), float(drawn.min()), float(drawn.max()))

    def sample(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """The values."""
        return np.asarray(self.values)[:n]


def make_fresh(source: Source, n: int, seed: int, on_chunk: Callable[[int, int], None] | None = None) -> FreshSource:
    """Draw ``n`` objects of a prior and compute their noiseless spectra.

    Parameters
    ----------
    source : Source
        Prior with its libraries prepared, `simulate.open_source`.
    n, seed : int
    on_chunk : callable, optional
        Called with (done, n).
    """
    flux = np.empty((n, source.models[0].templates.wave_aa.size), np.float16)
    phot, labels, params, cameras = [], [], [], []
    for k, start in enumerate(range(0, n, _CHUNK)):
        size = min(_CHUNK, n - start)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1 << 20, k)))
        model = source.models[int(rng.choice(len(source.models), p=source.shares))]
        drawn = draw(source.config, rng, size, model.templates.sub_edges_gyr, model.mh_limits)
        acs = rng.random(size) < source.config.photometry.acs.sample(rng, size)
        clean = forward.synthesise(model, drawn, rng, acs)
        flux[start : start + size] = clean.flux
        phot.append(clean.phot.astype(np.float32))
        labels.append(clean.labels)
        params.append(_slim(drawn))
        cameras.append(acs)
        if on_chunk is not None:
            on_chunk(start + size, n)
    return FreshSource(
        flux, np.concatenate(phot), join_labels(labels), _join(params), np.concatenate(cameras), source.config
    )


def save_fresh(fresh: FreshSource, path: Path) -> None:
    """Keep a noiseless set for another run."""
    arrays: dict[str, Any] = {"flux": fresh.flux, "phot": fresh.phot, "acs": fresh.acs}
    arrays |= {f"label_{k}": getattr(fresh.labels, k) for k in Labels.array_names()}
    arrays |= {f"param_{f.name}": getattr(fresh.params, f.name) for f in fields(Params) if f.name != "family_names"}
    partial = path.with_name(path.name + ".part.npz")
    arrays |= {"names": np.array(fresh.labels.family_names), "prior_sha256": np.array(fresh.config.sha256)}
    np.savez(partial, **arrays)
    partial.replace(path)


def load_fresh(path: Path, config: PriorConfig) -> FreshSource:
    """Inverse of `save_fresh`.

    Raises
    ------
    SfhInputError
        The file is damaged, or was drawn from a prior of other settings than ``config``.
    """
    try:
        with np.load(path, allow_pickle=False) as f:
            drawn_from = str(f["prior_sha256"]) if "prior_sha256" in f else config.sha256
            names = tuple(str(x) for x in f["names"])
            labels = Labels(**{k: f[f"label_{k}"] for k in Labels.array_names()}, family_names=names)
            keys = [x.name for x in fields(Params) if x.name != "family_names"]
            params = Params(**{k: f[f"param_{k}"] for k in keys}, family_names=names)
            fresh = FreshSource(f["flux"], f["phot"], labels, params, f["acs"], config)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SfhInputError(f"{path}: no noiseless set of this version ({error}); delete it to draw it anew") from error
    if drawn_from != config.sha256:
        raise SfhInputError(
            f"{path}: drawn from prior {config.name!r} before its settings changed; delete it, or restore them"
        )
    return fresh


def _slim(params: Params) -> Params:
    """Parameters without the fine histories, which noise does not need."""
    none = np.zeros((params.n, 0))
    return replace(params, mass=none, mh=none)


def _select(params: Params, rows: Rows) -> Params:
    arrays: dict[str, Any] = {k: v[rows] for k, v in params.__dict__.items() if isinstance(v, np.ndarray)}
    return replace(params, **arrays)


def _join(parts: list[Params]) -> Params:
    keys = [k for k, v in parts[0].__dict__.items() if isinstance(v, np.ndarray)]
    arrays: dict[str, Any] = {k: np.concatenate([getattr(p, k) for p in parts]) for k in keys}
    return replace(parts[0], **arrays)


class Batches(IterableDataset[Batch]):
    """Batches of some rows of a source, for a data loader.

    Parameters
    ----------
    source : SpectraSource
    rows : int array
    batch : int
    settings : AugmentSettings
    seed : int
    epoch : callable, optional
        Gives the epoch, which seeds order and noise; without it every pass is the same one, in order.
    """

    def __init__(
        self,
        source: SpectraSource,
        rows: Rows,
        batch: int,
        settings: AugmentSettings,
        seed: int,
        epoch: Callable[[], int] | None = None,
    ) -> None:
        self.source, self.rows, self.batch, self.settings = source, rows, batch, settings
        self.seed, self.epoch = seed, epoch

    def __len__(self) -> int:
        # An incomplete last batch is left out of a shuffled pass: its rows come first another time.
        return max(1, len(self.rows) // self.batch) if self.epoch else -(-len(self.rows) // self.batch)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.epoch() if self.epoch else 0
        rows = self.rows
        if self.epoch:
            rows = np.random.default_rng([self.seed, epoch, 0]).permutation(rows)
        for k in range(len(self)):
            rng = np.random.default_rng([self.seed, epoch, 1 + k])
            part = np.sort(rows[k * self.batch : (k + 1) * self.batch])
            yield self.source.batch(part, self.settings, rng)
