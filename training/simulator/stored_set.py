"""Synthetic sets as the training loop reads them: from shards on disk, or endless and on the fly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import instrument_from_json, load_instrument
from napari_sfh.jobs import limit_algebra_threads
from napari_sfh.training.prior.prior_config import PriorConfig
from napari_sfh.training.simulator import simulation
from napari_sfh.training.simulator.labels import Labels
from napari_sfh.types import Observation

T = TypeVar("T")


class StoredSet:
    """A set in memory as it is stored: float16 spectra and packed masks, 4.1 bytes per pixel and object.

    Parameters
    ----------
    manifest : dict
    arrays : dict of arrays
        Columns of the whole set, by the names of `simulation.pack_shard`.
    """

    def __init__(self, manifest: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        self.manifest, self._arrays = manifest, arrays
        self.family_names = tuple(manifest["family_names"])
        # Sets made before instruments were files are of the default one.
        stored = manifest.get("instrument")
        self.instrument = instrument_from_json(stored, "manifest.json: instrument") if stored else load_instrument()

    def __len__(self) -> int:
        return int(self._arrays["data.snr"].shape[0])

    @property
    def sha256(self) -> str:
        """Hash of the data, for the weights' provenance."""
        return str(self.manifest["data_sha256"])

    def data(self, index: Any = slice(None)) -> Observation:
        """Objects ``index`` (slice or integers) as the network sees them, in float32."""
        column = {
            k: self._arrays[f"data.{k}"][index] for k in simulation.OBSERVATION_ARRAYS if f"data.{k}" in self._arrays
        }
        n = len(column["snr"])
        column["flux"] = column["flux"].astype(np.float32)
        column["error"] = column["error"].astype(np.float32)
        column["mask"] = np.unpackbits(column["mask"], axis=1, count=self.instrument.n_wave).astype(bool)
        blank = {"norm_cgs": np.full(n, np.nan), "v_kms": np.zeros(n, np.float32)}
        return Observation(**column, **blank, instrument=self.instrument)

    def labels(self, index: Any = slice(None)) -> Labels:
        """Truth of objects ``index``."""
        stored = {k: self._arrays.get(f"labels.{k}") for k in Labels.array_names()}
        return Labels.from_columns({k: v[index] for k, v in stored.items() if v is not None}, self.family_names)


def load_stored_set(folder: str | Path, n: int | None = None) -> StoredSet:
    """Read a set that `simulation.simulate_set` finished.

    Parameters
    ----------
    folder : path
    n : int, optional
        Read only the first ``n`` objects.

    Raises
    ------
    SfhInputError
        If there is no set, or a shard is missing or damaged.
    """
    folder = Path(folder)
    manifest = simulation.read_manifest(folder)
    simulation.check_manifest(manifest, folder)
    wanted = manifest["n"] if n is None else min(n, manifest["n"])
    arrays: dict[str, NDArray[Any]] = {}
    start = 0
    for i, entry in enumerate(manifest["shards"]):
        if start >= wanted:
            break
        stop = min(start + entry["n"], wanted)
        for key, value in _read_shard(simulation.shard_path(folder, i), entry).items():
            if key not in arrays:
                arrays[key] = np.empty((wanted, *value.shape[1:]), value.dtype)
            arrays[key][start:stop] = value[: stop - start]
        start = stop
    return StoredSet(manifest, arrays)


def _read_shard(path: Path, entry: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Columns of a shard that is the one of the manifest: a swapped or altered one is not trained on."""
    try:
        columns: dict[str, NDArray[Any]] = load_file(path)
    except (OSError, SafetensorError, ValueError) as err:
        raise SfhInputError(
            f"{path}: shard is missing or damaged ({err}); run simulate again, it makes it anew"
        ) from err
    if (found := simulation.hash_columns(columns)) != entry["sha256"]:
        raise SfhInputError(
            f"{path}: sha256 {found[:16]}... is not that of the manifest ({str(entry['sha256'])[:16]}...): another "
            "shard, or altered; remove it and run simulate again"
        )
    return columns


def stream_batches(
    config: PriorConfig | simulation.PreparedPrior,
    seed: int,
    n: int = simulation.CHUNK_SIZE,
    ahead: int = 2,
    first: int = 0,
    device: str | None = None,
) -> Iterator[tuple[Observation, Labels]]:
    """Endless batches made on the fly, in threads, ``ahead`` of the consumer; nothing lies on disk.

    Parameters
    ----------
    config : PriorConfig or PreparedPrior
    seed : int
        The same seed gives the same batches in the same order.
    n : int
        Objects of a batch.
    ahead : int
        Batches kept in preparation, one thread each.
    first : int
        Number of the first batch, to go on after an interruption.
    device : str, optional
        cpu, cuda or mps: spectra and noise are made there by torch, and flux, error and mask stay there. Without it
        they are NumPy's, unless the source itself says otherwise.

    Raises
    ------
    ComputeError
        Where torch has no such device, or its memory is too small.
    """
    source = config if isinstance(config, simulation.PreparedPrior) else simulation.prepare_prior(config)
    source = source if device is None else source.to(device)

    def make(index: int) -> tuple[Observation, Labels]:
        data, labels, _ = simulation.simulate_chunk(source, seed, index, n)
        return data, labels

    # numpy's matrix products stay on one core each as long as the stream is open; torch is not touched.
    with limit_algebra_threads():
        yield from prefetch_in_threads(make, count(first), ahead)


def prefetch_in_threads(make: Callable[[int], T], numbers: Iterable[int], ahead: int) -> Iterator[T]:
    """``make`` of each number, in order, the next ``ahead`` of them made in threads meanwhile.

    Parameters
    ----------
    make : callable
        Given a number.
    numbers : iterable of int
    ahead : int
        Values that are made in advance.

    Returns
    -------
    iterator
    """
    queue = iter(numbers)
    with ThreadPoolExecutor(max(ahead, 1)) as pool:
        waiting = deque(pool.submit(make, k) for k in islice(queue, max(ahead, 1)))
        try:
            while waiting:
                made = waiting.popleft().result()
                waiting.extend(pool.submit(make, k) for k in islice(queue, 1))
                yield made
        finally:
            for future in waiting:
                future.cancel()
