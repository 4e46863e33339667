"""Test spectra: drawn fresh from a prior with a seed that no training uses, and observable again at another S/N.

The set comes in blocks of 1 024 objects, each with seeds of its own: the first n objects are the same whatever the
size of the set, so that a slow comparison on the first hundred is one on the same spectra.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.training.fitting.augmentation import degrade_to_snr
from napari_sfh.training.fitting.recipe import AugmentSettings
from napari_sfh.training.fitting.spectra_sources import (
    FreshSource,
    SpectraSource,
    StoredSource,
    make_fresh_source,
    split_rows,
)
from napari_sfh.training.prior.prior_config import PriorConfig, load_prior
from napari_sfh.training.prior.sampling import ObjectParameters
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.training.simulator.simulation import PreparedPrior, join_labels, prepare_prior
from napari_sfh.types import Observation

#: Seed of test sets. Training seeds are refused if equal.
TEST_SEED = 20_261_121
BLOCK = 1024
#: Class of the objects whose stars lie between two libraries.
BLENDS = "blends"
#: Settings that change nothing: what the prior drew is what is seen.
NO_AUGMENTATION = AugmentSettings()


@dataclass(frozen=True)
class SpectraBlock:
    """Up to 1 024 test objects that can be observed."""

    index: int
    source: SpectraSource
    rows: NDArray[np.int64]  # of the source
    library: NDArray[np.int32]  # (n,) index into `TestSet.library_names`

    @property
    def labels(self) -> Labels:
        """Truth of the objects."""
        labels = self.source.labels
        assert isinstance(labels, Labels)  # test sets are synthetic
        return labels.select(self.rows)


@dataclass(frozen=True)
class TestSet:
    """Test objects in blocks.

    Attributes
    ----------
    name : str
        The prior's name.
    seed : int
    blocks : tuple of Block
    library_names : tuple of str
    prepared : PreparedPrior or None
        Prior and templates; None for a set read from disk.
    """

    __test__ = False  # no test class, whatever its name says

    name: str
    seed: int
    blocks: tuple[SpectraBlock, ...]
    library_names: tuple[str, ...]
    prepared: PreparedPrior | None = None

    @property
    def n(self) -> int:
        """Number of objects."""
        return sum(len(b.rows) for b in self.blocks)

    @property
    def labels(self) -> Labels:
        """Truth of all objects."""
        return join_labels([b.labels for b in self.blocks])

    @property
    def library(self) -> NDArray[np.int32]:
        """Library of each object, (n,)."""
        return np.concatenate([b.library for b in self.blocks])

    def first(self, n: int) -> TestSet:
        """The first ``n`` objects."""
        kept, start = [], 0
        for b in self.blocks:
            if start >= n:
                break
            kept.append(replace(b, rows=b.rows[: n - start], library=b.library[: n - start]))
            start += len(b.rows)
        return replace(self, blocks=tuple(kept))

    def observe(self, snr: float | None = None) -> Iterator[tuple[SpectraBlock, Observation]]:
        """Blocks with their noisy data.

        Parameters
        ----------
        snr : float, optional
            S/N of every spectrum instead of the prior's own distribution.
        """
        for block in self.blocks:
            yield block, observe_spectra_block(block, self.seed, snr)

    def find_block(self, index: int) -> tuple[SpectraBlock, int]:
        """Block of an object and its place there."""
        return self.blocks[index // BLOCK], index % BLOCK

    def params(self, index: int) -> tuple[ObjectParameters, bool] | None:
        """Drawn parameters of one object and whether other cameras see it; None where a set does not keep them."""
        block, place = self.find_block(index)
        row = block.rows[place]
        if not isinstance(block.source, FreshSource):
            return None
        return block.source.params.select(slice(row, row + 1)), bool(block.source.substituted[row])


def observe_spectra_block(block: SpectraBlock, seed: int, snr: float | None = None) -> Observation:
    """Noisy data of one block; the noise of a block is the same whatever part of it is kept.

    Parameters
    ----------
    block : SpectraBlock
    seed : int
        Of the test set.
    snr : float, optional
        Of all objects; the prior's own unless given.

    Returns
    -------
    Observation
        Of the rows that the block keeps.
    """
    rng = np.random.default_rng([seed, block.index, 0 if snr is None else round(10 * snr)])
    if isinstance(block.source, FreshSource):
        settings = NO_AUGMENTATION if snr is None else replace(NO_AUGMENTATION, snr_mix=(snr,), snr_mix_share=1.0)
        everything = np.arange(len(block.source.phot))
        return block.source.observe(everything, settings, rng).select(block.rows)
    data = block.source.observe(block.rows, NO_AUGMENTATION, rng)
    return data if snr is None else degrade_to_snr(data, np.full(data.n_bins, snr), rng)


def draw_test_set(
    prior: str | Path | PriorConfig, n: int, seed: int = TEST_SEED, instrument: Instrument | None = None
) -> TestSet:
    """Draw a test set that no training has seen.

    Parameters
    ----------
    prior : str, Path or PriorConfig
        A prior, its name or its TOML file.
    n : int
        Objects.
    seed : int
        Of its own stream of random numbers.
    instrument : Instrument, optional
        What sees the objects; muse-hst unless given.

    Returns
    -------
    TestSet

    Raises
    ------
    SfhInputError
        No such prior, or templates are not prepared.
    """
    config = prior if isinstance(prior, PriorConfig) else load_prior(prior)
    return draw_test_set_from_source(prepare_prior(config, instrument), n, seed)


def draw_test_set_from_source(source: PreparedPrior, n: int, seed: int = TEST_SEED) -> TestSet:
    """A fresh test set of a prior whose templates are prepared.

    Parameters
    ----------
    source : PreparedPrior
    n : int
        Objects.
    seed : int

    Returns
    -------
    TestSet

    Raises
    ------
    SfhInputError
        ``n`` below 1.
    """
    if n < 1:
        raise SfhInputError(f"`n` {n}: at least one test spectrum is needed")
    blocks = tuple(_fresh_block(source, seed, k) for k in range(-(-n // BLOCK)))
    return TestSet(source.config.name, seed, blocks, _name_libraries(source), source).first(n)


def _name_libraries(source: PreparedPrior) -> tuple[str, ...]:
    """Libraries of a prior's objects; those with stars between two of them are one class, the last."""
    own = tuple(source.config.libraries)
    return own if len(source.models) == len(own) else (*own, BLENDS)


def _fresh_block(source: PreparedPrior, seed: int, index: int) -> SpectraBlock:
    rng = np.random.default_rng([seed, index])
    counts = rng.multinomial(BLOCK, source.shares)
    parts, library = [], []
    for i, (model, count) in enumerate(zip(source.models, counts, strict=True)):
        if count:
            part_seed = int(rng.integers(1 << 40, 1 << 60))
            parts.append(make_fresh_source(PreparedPrior(source.config, (model,), (1.0,)), int(count), part_seed))
            library.append(np.full(int(count), min(i, len(source.config.libraries)), np.int32))
    order = rng.permutation(BLOCK)
    return SpectraBlock(index, _join_fresh(parts, order), np.arange(BLOCK), np.concatenate(library)[order])


def _join_fresh(parts: list[FreshSource], order: NDArray[np.int64]) -> FreshSource:
    """One source from several, its objects shuffled."""

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(p, name) for p in parts])[order]

    params = ObjectParameters.join([p.params for p in parts]).select(order)
    labels = join_labels([p.labels for p in parts]).select(order)
    return FreshSource(
        column("flux"), column("phot"), labels, params, column("substituted"), parts[0].config, parts[0].instrument
    )


def read_test_set(
    folder: Path, n: int, trained_on: str | None, train_seed: int | None, instrument: Instrument | None = None
) -> TestSet:
    """Objects of a set on disk; of the very set that was trained on, the part that was held out.

    Parameters
    ----------
    folder : path
        Of ``napari-sfh-train simulate``.
    n : int
        At most so many.
    trained_on : str, optional
        Hash of the training set's data.
    train_seed : int, optional
        Seed of its split.
    instrument : Instrument, optional
        Of the weights.

    Raises
    ------
    SfhInputError
        The set was seen by another instrument, or trained on whole.
    """
    source = StoredSource.open(folder)
    if instrument is not None and source.instrument.sha256 != instrument.sha256:
        raise SfhInputError(
            f"`data` {folder}: seen by instrument {source.instrument.name!r}, these weights are for "
            f"{instrument.name!r}; simulate a set with `instrument`, or give `prior`"
        )
    rows = np.arange(len(source.dataset))
    if trained_on is not None and trained_on == source.dataset.sha256:
        if train_seed is None:
            raise SfhInputError(f"`data` {folder}: these weights were trained on it; give `prior` or another set")
        rows = split_rows(len(rows), train_seed)[2]
    rows = rows[:n]
    blocks = tuple(
        SpectraBlock(k, source, rows[s : s + BLOCK], np.zeros(len(rows[s : s + BLOCK]), np.int32))
        for k, s in enumerate(range(0, len(rows), BLOCK))
    )
    manifest = source.dataset.manifest
    return TestSet(str(manifest["prior"]), int(manifest["seed"]), blocks, ("+".join(manifest["libraries"]),))
