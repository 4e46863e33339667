"""Synthetic spectra as the optimiser takes them: split, made worse anew in every epoch, encoded in batches.

Three kinds. A `StoredSource` reads a set made by ``napari-sfh-train simulate``: its noise is what it is, and more is
added. A `FreshSource` keeps noiseless spectra in memory and gives them new noise, by the prior's own model,
whenever they are seen: no network can learn the noise by heart, and one set serves every S/N. An `EndlessSource`
draws new objects for every training step: no network can learn them by heart either.

`SpectraSource.to` has spectra, noise and input made by torch on a device (`array_backend`), in threads ahead of the
optimiser. Batch k of an epoch depends on the seed, the epoch and k alone.
"""

from __future__ import annotations

import zipfile
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.io.atomic import write_atomically
from napari_sfh.model.encoding import Features, FeatureSettings, encode_observation
from napari_sfh.model.sfh_model import targets_from_labels
from napari_sfh.model.targets import HistoryTargets, Targets
from napari_sfh.training.fitting.augmentation import augment_spectra, draw_snr, drop_wavelengths_and_bands
from napari_sfh.training.fitting.device.side_stream import SideStream
from napari_sfh.training.fitting.recipe import AugmentSettings
from napari_sfh.training.prior.distributions import Dist
from napari_sfh.training.prior.prior_config import PriorConfig
from napari_sfh.training.prior.sampling import ObjectParameters
from napari_sfh.training.simulator import array_backend, forward_model, noise, simulation
from napari_sfh.training.simulator.array_backend import NUMPY_BACKEND, ArrayBackend, LargeArray
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.training.simulator.preparation_errors import add_preparation_errors
from napari_sfh.training.simulator.simulation import PreparedPrior, join_labels
from napari_sfh.training.simulator.stored_set import StoredSet, load_stored_set, prefetch_in_threads
from napari_sfh.types import F32, I64, Bool, Observation

#: Shares of training, validation and test (Galceran et al. 2026, section 3.4).
SPLIT_SHARES = (0.7, 0.2, 0.1)
#: Labels that the losses of histories need beside the label vector.
TRUTH_LABELS = ("mass_frac", "lg_ml_v", "lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw")
#: What is predicted unless a recipe says otherwise.
HISTORIES = HistoryTargets()
#: How inputs are encoded unless a recipe says otherwise.
PLAIN_FEATURES = FeatureSettings()
_CHUNK = 1024
#: Groups in preparation on the host while a device works, one thread each.
_AHEAD = 4
#: Objects that a device makes at a time: a group of batches, as the host starts a device's work one array at a time.
_GROUP_OBJECTS = 4096


@dataclass(frozen=True)
class Batch:
    """One batch: input, label vector (N, T), and the truth of derived quantities, or of the scalars."""

    features: Features
    y: torch.Tensor
    truth: dict[str, torch.Tensor]

    def __len__(self) -> int:
        return len(self.y)

    def change_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        """The same with every tensor (N, ...) changed: moved to a device, or cut to some objects."""
        f = self.features
        features = Features(change(f.spectrum), change(f.photometry), change(f.lg_snr), change(f.redshift))
        return Batch(features, change(self.y), {k: change(v) for k, v in self.truth.items()})

    def list_tensors(self) -> list[torch.Tensor]:
        """Every tensor, in an order that is that of all batches of one source."""
        f = self.features
        return [f.spectrum, f.photometry, f.lg_snr, f.redshift, self.y, *self.truth.values()]


def split_rows(n: int, seed: int) -> tuple[I64, I64, I64]:
    """Row numbers of training, validation and test: a permutation that depends on ``n`` and ``seed`` only.

    Parameters
    ----------
    n : int
        Rows.
    seed : int

    Returns
    -------
    training, validation, test : int array
        Rising row numbers; together each of 0 to n - 1 once.

    Raises
    ------
    SfhInputError
        Fewer than 20 rows.
    """
    if n < 20:
        raise SfhInputError(f"data: {n} spectra are too few to split; simulate at least 20")
    order = np.random.default_rng([seed, n]).permutation(n)
    a, b = round(SPLIT_SHARES[0] * n), round((SPLIT_SHARES[0] + SPLIT_SHARES[1]) * n)
    return np.sort(order[:a]), np.sort(order[a:b]), np.sort(order[b:])


class KnownLabels(Protocol):
    """What is true of N objects."""

    @property
    def n(self) -> int:
        """Number of objects."""

    def select(self, index: Any) -> Self:
        """Some rows."""

    def quantity(self, name: str) -> F32:
        """A scalar by name, (N,)."""


class SpectraSource:
    """Objects that can be observed again and again."""

    labels: KnownLabels
    targets: Targets
    features: FeatureSettings

    @property
    @abstractmethod
    def instrument(self) -> Instrument:
        """What sees them."""

    @abstractmethod
    def observe(self, rows: I64, settings: AugmentSettings, rng: np.random.Generator) -> Observation:
        """Noisy, incomplete data of some rows."""

    def batch(self, rows: I64, settings: AugmentSettings, rng: np.random.Generator) -> Batch:
        """The same, encoded, with their truth."""
        return encode_batch(self.observe(rows, settings, rng), self.labels.select(rows), self.targets, self.features)

    def training_batch(self, rows: I64, settings: AugmentSettings, rng: np.random.Generator) -> Batch:
        """What a training step sees in place of some rows: these rows, unless the source is endless."""
        return self.batch(rows, settings, rng)

    @abstractmethod
    def to(self, device: str) -> Self:
        """The same source on a device: cpu is NumPy's, cuda and mps torch's."""

    @property
    @abstractmethod
    def on_device(self) -> bool:
        """True where torch makes the noise."""


def _arrays_on(device: str) -> ArrayBackend:
    return array_backend.select_backend(None if device == "cpu" else device)


def encode_batch(
    data: Observation, labels: KnownLabels, targets: Targets, features: FeatureSettings = PLAIN_FEATURES
) -> Batch:
    """Make a batch of a network's input, label vectors and truth.

    Parameters
    ----------
    data : Observation
        Of N objects.
    labels : KnownLabels
        Their truth.
    targets : Targets
        What is predicted.
    features : FeatureSettings
        How observations are encoded.

    Returns
    -------
    Batch
        Tensors whose first axis is N.
    """
    if targets.n_age:
        truth = {k: getattr(labels, k) for k in TRUTH_LABELS}
    else:
        truth = {k: labels.quantity(k) for k in targets.scalars}
    tensors = {k: torch.from_numpy(np.ascontiguousarray(v, np.float32)) for k, v in truth.items()}
    return Batch(encode_observation(data, features), targets_from_labels(labels, targets), tensors)


@dataclass(frozen=True)
class StoredSource(SpectraSource):
    """A simulated set as it lies on disk."""

    dataset: StoredSet
    labels: Labels
    arrays: ArrayBackend = NUMPY_BACKEND
    targets: Targets = HISTORIES
    features: FeatureSettings = PLAIN_FEATURES

    @classmethod
    def open(cls, folder: Path) -> StoredSource:
        """Read a set of `simulation`."""
        dataset = load_stored_set(folder)
        return cls(dataset, dataset.labels())

    @property
    def instrument(self) -> Instrument:
        """Of the set."""
        return self.dataset.instrument

    def observe(self, rows: I64, settings: AugmentSettings, rng: np.random.Generator) -> Observation:
        """Stored data, made worse."""
        data, put = self.dataset.data(rows), self.arrays.put
        data = replace(data, flux=put(data.flux), error=put(data.error), mask=put(data.mask))
        return augment_spectra(data, settings, rng)

    def to(self, device: str) -> Self:
        """Rows move to the device when they are read."""
        return replace(self, arrays=_arrays_on(device))

    @property
    def on_device(self) -> bool:
        """True where torch makes the noise."""
        return self.arrays is not NUMPY_BACKEND


@dataclass(frozen=True)
class FreshSource(SpectraSource):
    """Noiseless spectra (N, W) float16 and band fluxes (N, B), with what their noise needs."""

    flux: LargeArray
    phot: F32
    labels: Labels
    params: ObjectParameters
    substituted: Bool
    config: PriorConfig
    seen_by: Instrument
    targets: Targets = HISTORIES
    features: FeatureSettings = PLAIN_FEATURES

    @property
    def instrument(self) -> Instrument:
        """For which the spectra were computed."""
        return self.seen_by

    def observe(self, rows: I64, settings: AugmentSettings, rng: np.random.Generator) -> Observation:
        """New noise by the prior's model, at an S/N of the recipe's distribution where it has one."""
        xp = array_backend.find_backend(self.flux)
        clean = forward_model.NoiselessObjects(
            xp.single(self.flux[xp.put(rows)]),
            self.phot[rows],
            self.labels.select(rows),
            self.params.select(rows),
            self.seen_by,
        )
        clean = add_preparation_errors(clean, settings.preparation_errors, rng)
        config = _with_recipe_snr(self.config, settings)
        noisy = noise.add_observational_noise(clean, config, rng, self.substituted[rows])
        return drop_wavelengths_and_bands(noisy, settings, rng)

    def to(self, device: str) -> Self:
        """The noiseless spectra move to the device, two bytes a pixel."""
        target = _arrays_on(device)
        with array_backend.explain_out_of_memory(f"{len(self.phot)} noiseless spectra"):
            return replace(self, flux=target.put(array_backend.find_backend(self.flux).take(self.flux)))

    @property
    def on_device(self) -> bool:
        """True where torch makes the noise."""
        return array_backend.find_backend(self.flux) is not NUMPY_BACKEND


@dataclass(frozen=True)
class EndlessSource(FreshSource):
    """A `FreshSource` whose training steps see new objects of the prior instead of those that it holds."""

    source: PreparedPrior = field(kw_only=True)

    def training_batch(self, rows: I64, settings: AugmentSettings, rng: np.random.Generator) -> Batch:
        """As many new objects as rows."""
        source = replace(self.source, config=_with_recipe_snr(self.source.config, settings))
        data, labels, _ = simulation.simulate_objects(source, rng, len(rows))
        seen = drop_wavelengths_and_bands(data, settings, rng)
        return encode_batch(seen, labels, self.targets, self.features)

    def to(self, device: str) -> Self:
        """Held spectra and templates move to the device."""
        moved = super().to(device)
        return replace(moved, source=self.source.to(None if device == "cpu" else device))


@dataclass(frozen=True)
class _RecipeSnr(Dist):
    """The recipe's distribution of S/N, in place of the prior's."""

    settings: AugmentSettings = field(default_factory=AugmentSettings)

    def sample(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """As `augmentation.draw_snr`."""
        return draw_snr(n, self.settings, rng)


def _with_recipe_snr(config: PriorConfig, settings: AugmentSettings) -> PriorConfig:
    """The prior, with the recipe's S/N where it has one."""
    if not (settings.snr_range or settings.snr_mix):
        return config
    snr = _RecipeSnr("recipe", (), 0.0, np.inf, settings=settings)
    return replace(config, noise=replace(config.noise, snr=snr))


def make_endless_source(fresh: FreshSource, source: PreparedPrior) -> EndlessSource:
    """An endless source around objects that it holds for validation, flow and calibration.

    Parameters
    ----------
    fresh : FreshSource
        Held for validation, flow and calibration.
    source : PreparedPrior
        From which the training steps draw.

    Returns
    -------
    EndlessSource
    """
    return EndlessSource(**{f.name: getattr(fresh, f.name) for f in fields(FreshSource)}, source=source)


def make_fresh_source(
    source: PreparedPrior, n: int, seed: int, on_chunk: Callable[[int, int], None] | None = None
) -> FreshSource:
    """Draw ``n`` objects of a prior and compute their noiseless spectra.

    Parameters
    ----------
    source : PreparedPrior
        Prior with its libraries prepared, `simulation.prepare_prior`; the spectra are made where it is, and come back.
    n, seed : int
    on_chunk : callable, optional
        Called with (done, n).
    """
    flux = np.empty((n, source.instrument.n_wave), np.float16)
    phot, labels, params, substituted = [], [], [], []
    for k, start in enumerate(range(0, n, _CHUNK)):
        size = min(_CHUNK, n - start)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1 << 20, k)))
        model = source.models[int(rng.choice(len(source.models), p=source.shares))]
        clean, others = simulation.draw_noiseless_objects(source.config, model, rng, size)
        flux[start : start + size] = source.arrays.take(source.arrays.half(clean.flux))
        phot.append(clean.phot.astype(np.float32))
        labels.append(clean.labels)
        params.append(_without_histories(clean.params))
        substituted.append(others)
        if on_chunk is not None:
            on_chunk(start + size, n)
    return FreshSource(
        flux,
        np.concatenate(phot),
        join_labels(labels),
        ObjectParameters.join(params),
        np.concatenate(substituted),
        source.config,
        source.instrument,
    )


def save_fresh_source(fresh: FreshSource, path: Path) -> None:
    """Keep a noiseless set for another run, whole or not at all.

    Parameters
    ----------
    fresh : FreshSource
    path : Path
        ``.npz``.
    """
    columns: dict[str, Any] = {"flux": fresh.flux, "phot": fresh.phot, "acs": fresh.substituted}
    columns |= {f"label_{k}": getattr(fresh.labels, k) for k in Labels.array_names()}
    columns |= {
        f"param_{f.name}": getattr(fresh.params, f.name) for f in fields(ObjectParameters) if f.name != "family_names"
    }
    columns |= {"names": np.array(fresh.labels.family_names), "prior_sha256": np.array(fresh.config.sha256)}
    columns["instrument_sha256"] = np.array(fresh.instrument.sha256)
    with write_atomically(path) as part:
        np.savez(part, **columns)


def load_fresh_source(path: Path, config: PriorConfig, instrument: Instrument) -> FreshSource:
    """Inverse of `save_fresh_source`.

    Parameters
    ----------
    path : Path
        Of `save_fresh_source`.
    config : PriorConfig
        It must be the one that the set was drawn from.
    instrument : Instrument
        It must be the one that the set was made for.

    Returns
    -------
    FreshSource

    Raises
    ------
    SfhInputError
        The file is damaged, was drawn from a prior of other settings than ``config``, or for another instrument.
    """
    try:
        with np.load(path, allow_pickle=False) as f:
            drawn_from = str(f["prior_sha256"]) if "prior_sha256" in f else config.sha256
            names = tuple(str(x) for x in f["names"])
            seen_by = str(f["instrument_sha256"]) if "instrument_sha256" in f else instrument.sha256
            stored = {k: f[f"label_{k}"] for k in Labels.array_names() if f"label_{k}" in f}
            labels = Labels.from_columns(stored, names)
            keys = [x.name for x in fields(ObjectParameters) if x.name != "family_names"]
            # Sets from before there was dust emission have none.
            held: dict[str, Any] = {k: f[f"param_{k}"] if f"param_{k}" in f else np.zeros(labels.n) for k in keys}
            params = ObjectParameters(**held, family_names=names)
            fresh = FreshSource(f["flux"], f["phot"], labels, params, f["acs"], config, instrument)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SfhInputError(f"{path}: no noiseless set of this version ({error}); delete it to draw it anew") from error
    if drawn_from != config.sha256:
        raise SfhInputError(
            f"{path}: drawn from prior {config.name!r} before its settings changed; delete it, or restore them"
        )
    if seen_by != instrument.sha256 or fresh.flux.shape[1] != instrument.n_wave:
        raise SfhInputError(
            f"{path}: computed for another instrument than {instrument.name!r}; delete it, or choose another folder"
        )
    return fresh


def _without_histories(params: ObjectParameters) -> ObjectParameters:
    """Parameters without the fine histories, which noise does not need."""
    none = np.zeros((params.n, 0))
    return replace(params, mass=none, mh=none)


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
        Gives the epoch, which seeds order and noise; without it every pass is the same one, in order. Of a shuffled
        pass, each of several processes (torch.distributed) takes its part of every batch.
    device : str, optional
        Where the source moves when it is first read, in the process that reads it.
    """

    def __init__(
        self,
        source: SpectraSource,
        rows: I64,
        batch: int,
        settings: AugmentSettings,
        seed: int,
        epoch: Callable[[], int] | None = None,
        device: str | None = None,
    ) -> None:
        self.source, self.rows, self.batch, self.settings = source, rows, batch, settings
        self.seed, self.epoch, self.device = seed, epoch, device

    def __len__(self) -> int:
        # An incomplete last batch is left out of a shuffled pass: its rows come first another time.
        return max(1, len(self.rows) // self.batch) if self.epoch else -(-len(self.rows) // self.batch)

    def __iter__(self) -> Iterator[Batch]:
        for group in self.iterate_groups():
            for lo in range(0, len(group), self.batch):
                part = slice(lo, lo + self.batch)
                yield group if len(group) <= self.batch else group.change_tensors(itemgetter(part))

    def iterate_groups(self) -> Iterator[Batch]:
        """Several batches at a time in one `Batch`: as many as a device makes together, one on a processor."""
        if self.device is not None:
            self.source, self.device = self.source.to(self.device), None
        epoch = self.epoch() if self.epoch else 0
        rank, processes = find_process_rank() if self.epoch else (0, 1)
        rows = self.rows
        if self.epoch:
            rows = np.random.default_rng([self.seed, epoch, 0]).permutation(rows)[: len(self) * self.batch]
        make = self.source.training_batch if self.epoch else self.source.batch
        together = max(1, _GROUP_OBJECTS // self.batch) if self.source.on_device and processes == 1 else 1
        size = together * self.batch

        def group(k: int) -> Batch:
            # Rank 0 comes to nothing in a seed: one process makes what it always made.
            rng = np.random.default_rng([self.seed, epoch, 1 + k, rank])
            mine = np.array_split(rows[k * size : (k + 1) * size], processes)[rank]
            order = np.argsort(mine, kind="stable")
            made = make(mine[order], self.settings, rng)
            if together == 1:
                return made
            # Rows are read in their order; batches are made of them in the pass's.
            where = made.features.spectrum.device
            place = torch.from_numpy(np.argsort(order)).to(where)
            return made.change_tensors(lambda x: x.to(where)[place])

        numbers = range(-(-len(rows) // size))
        if not self.source.on_device:
            yield from map(group, numbers)
            return
        # On a device the host draws the next groups while the network works; a processor has no hands free for that.
        side: SideStream[Batch] = SideStream()
        for made in prefetch_in_threads(lambda k: side.run(partial(group, k)), numbers, _AHEAD):
            yield side.hand_over(made)


class BatchGroups(IterableDataset[Batch]):
    """The groups of `Batches`, for a data loader whose reader cuts them itself."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return self.batches.iterate_groups()


def find_process_rank() -> tuple[int, int]:
    """Rank of this process, and their number."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
