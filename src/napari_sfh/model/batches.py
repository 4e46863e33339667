"""Batches of objects through a computation, on the processor's cores or on a device.

On the CPU each batch is computed by one thread, as many at a time as there are cores: a batch on all cores waits for
the slowest of them at every layer. On a device one batch is computed after the other. While it is, a second thread
gathers the next and sends it, through pinned memory and on a stream of its own where the device is a CUDA one, and
the caller stores the last: the device waits for nobody.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_sfh.arrays import keep_freed_memory
from napari_sfh.jobs import limit_algebra_threads, raise_if_cancelled
from napari_sfh.types import F32, I64, Observation

#: Turns a part of the observation, on the device, into outputs there, tensors (n, ...).
BatchStep = Callable[[Observation], dict[str, torch.Tensor]]

#: Batches on their way through a device: one is read, one computed, one sent.
_ON_THE_WAY = 3
#: Threads that gather a device's batches, and bytes that one gathers at a time.
_READERS, _PIECE = 4, 1 << 22
#: Largest array, and arrays in all, whose memory is kept from batch to batch: those of a batch on a processor.
_KEPT_FOR_BATCHES = 1 << 25, 1 << 27
#: What the network is shown.
_SENT = ("flux", "error", "mask", "phot", "phot_error", "phot_mask", "snr", "redshift")


def compute_batches(
    batches: Sequence[I64], data: Observation, where: torch.device, step: BatchStep, cancel: threading.Event | None
) -> Iterator[tuple[I64, dict[str, F32]]]:
    """Outputs of the batches (their rows) in their order; after a cancel or a failure no other batch is begun.

    Parameters
    ----------
    batches : sequence of array (n,)
        Rows of each batch.
    data : Observation
        All objects, on the host.
    where : torch device
    step : callable
        From a part of the observation, on the device, to its outputs there.
    cancel : Event or None

    Raises
    ------
    Cancelled
        Between batches.
    """
    failed = threading.Event()

    def compute(part: Callable[[], Observation]) -> dict[str, torch.Tensor]:
        raise_if_cancelled(cancel)
        raise_if_cancelled(failed)
        try:
            return step(part())
        except BaseException:
            failed.set()
            raise

    work = _compute_side_by_side if where.type == "cpu" else _compute_on_device
    return work(batches, data, where, compute)


_Compute = Callable[[Callable[[], Observation]], dict[str, torch.Tensor]]


def _compute_side_by_side(
    batches: Sequence[I64], data: Observation, where: torch.device, compute: _Compute
) -> Iterator[tuple[I64, dict[str, F32]]]:
    """On the cores, one thread a batch."""

    def work(rows: I64) -> dict[str, F32]:
        return {k: v.float().numpy() for k, v in compute(lambda: data.select(_index_rows(rows))).items()}

    with _open_batch_pool(len(batches)) as pool:
        running = deque(pool.submit(work, rows) for rows in batches)
        for rows in batches:
            yield rows, running.popleft().result()


def _index_rows(rows: I64) -> I64 | slice:
    """Rows that follow each other as a slice, whose selection copies nothing."""
    return slice(rows[0], rows[-1] + 1) if len(rows) and np.all(np.diff(rows) == 1) else rows


def _compute_on_device(
    batches: Sequence[I64], data: Observation, where: torch.device, compute: _Compute
) -> Iterator[tuple[I64, dict[str, F32]]]:
    """One after the other, with the next on its way; any device, also the CPU."""
    left, running = iter(batches), deque[tuple[I64, Future[_Outputs]]]()

    def work(sent: Future[SentPart]) -> _Outputs:
        return _Outputs.fetch(compute(lambda: sent.result().receive()))

    with _open_batch_pool(_READERS) as readers, _open_batch_pool(1) as sender, _open_batch_pool(1) as computer:
        send = make_sender(data, where, readers)

        def begin_next() -> None:
            rows = next(left, None)
            if rows is not None:
                running.append((rows, computer.submit(work, sender.submit(send, rows))))

        for _ in range(_ON_THE_WAY):
            begin_next()
        while running:
            rows, future = running.popleft()
            outputs = future.result()
            begin_next()
            yield rows, outputs.read()


class SentPart(NamedTuple):
    """A part of an observation whose tensors are on their way to a device."""

    data: Observation
    tensors: dict[str, torch.Tensor]
    arrival: torch.cuda.Event | None

    def receive(self) -> Observation:
        """Let the stream of the computation wait for the arrival, not the host."""
        if self.arrival is not None:
            stream = torch.cuda.current_stream()
            stream.wait_event(self.arrival)
            for tensor in self.tensors.values():
                tensor.record_stream(stream)
        return self.data


def make_sender(data: Observation, where: torch.device, readers: Executor | None = None) -> Callable[[I64], SentPart]:
    """A function that sends rows of an observation to a device.

    Parameters
    ----------
    data : Observation
        On the host.
    where : torch device
    readers : Executor, optional
        Threads that gather pieces of the rows side by side: one alone reads slower than a GPU computes.

    Returns
    -------
    callable
        From rows (n,) to a `SentPart`.
    """
    cuda = where.type == "cuda"
    stream = torch.cuda.Stream() if cuda else None
    arrays = {k: v for k in _SENT if (v := getattr(data, k)) is not None}
    kept = {k: v for k, v in vars(data).items() if isinstance(v, np.ndarray) and k not in arrays}

    def send(rows: I64) -> SentPart:
        with torch.cuda.stream(stream) if stream is not None else nullcontext():
            collected = {k: collect_rows(v, rows, cuda, readers) for k, v in arrays.items()}
            tensors = {k: v.to(where, non_blocking=True) for k, v in collected.items()}
            arrival = stream.record_event() if stream is not None else None
        fields: dict[str, Any] = {k: v[rows] for k, v in kept.items()} | tensors
        return SentPart(replace(data, **fields), tensors, arrival)

    return send


def collect_rows(array: NDArray[Any], rows: I64, pinned: bool, readers: Executor | None = None) -> torch.Tensor:
    """Rows of an array as a tensor, float32 or boolean.

    Parameters
    ----------
    array : array (N, ...)
        Of any type of numbers and byte order.
    rows : array (n,)
    pinned : bool
        In memory from which a device can fetch by itself.
    readers : Executor, optional
        Threads among which large arrays are divided.

    Returns
    -------
    tensor (n, ...)
    """
    dtype = torch.bool if array.dtype == np.bool_ else torch.float32
    out = torch.empty((len(rows), *array.shape[1:]), dtype=dtype, pin_memory=pinned)
    view = out.numpy()

    def collect(part: slice) -> None:
        if array.dtype == view.dtype:
            np.take(array, rows[part], axis=0, out=view[part], mode="clip")  # other modes would copy once more
        else:
            view[part] = array[rows[part]]

    step = max(1, _PIECE * len(rows) // max(1, out.nbytes))
    pieces = [slice(lo, lo + step) for lo in range(0, len(rows), step)]
    # A list: what went wrong in a piece is raised here.
    list(map(collect, pieces) if readers is None else readers.map(collect, pieces))
    return out


class _Outputs(NamedTuple):
    """Outputs of a batch on their way to the host, in one copy."""

    shapes: dict[str, tuple[int, ...]]
    host: torch.Tensor  # (n, sum of the widths)
    arrival: torch.cuda.Event | None

    @classmethod
    @torch.inference_mode()
    def fetch(cls, outputs: dict[str, torch.Tensor]) -> _Outputs:
        """Ask for the copy, without waiting for it on CUDA."""
        flat = torch.cat([v.float().flatten(1) if v.dim() > 1 else v.float()[:, None] for v in outputs.values()], 1)
        shapes = {k: tuple(v.shape) for k, v in outputs.items()}
        if flat.device.type != "cuda":
            return cls(shapes, flat.cpu(), None)
        host = torch.empty(flat.shape, pin_memory=True)
        host.copy_(flat, non_blocking=True)
        return cls(shapes, host, torch.cuda.current_stream().record_event())

    def read(self) -> dict[str, F32]:
        """Wait for the copy; arrays by name."""
        if self.arrival is not None:
            self.arrival.synchronize()
        widths = [int(np.prod(shape[1:], dtype=int)) for shape in self.shapes.values()]
        parts = self.host.split(widths, dim=1)
        return {k: part.numpy().reshape(shape) for (k, shape), part in zip(self.shapes.items(), parts, strict=True)}


#: Number of batch pools that are open, the intra-op threads that torch had before the first, and their lock.
_pools, _usual_threads, _pool_lock = 0, 1, threading.Lock()


@contextmanager
def _open_batch_pool(most: int) -> Iterator[ThreadPoolExecutor]:
    """Workers that compute with one intra-op thread each: as many as torch may use threads, at most ``most``."""
    global _pools, _usual_threads
    keep_freed_memory(*_KEPT_FOR_BATCHES)
    with _pool_lock:
        if _pools == 0:
            _usual_threads = torch.get_num_threads()
        _pools += 1
        workers = max(1, min(_usual_threads, most))
    # torch gives a thread that is new the number of threads that was set last, in whichever thread.
    pool = ThreadPoolExecutor(workers, "napari-sfh inference", initializer=lambda: torch.set_num_threads(1))
    try:
        with limit_algebra_threads():
            yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        with _pool_lock:
            _pools -= 1
            if _pools == 0:
                torch.set_num_threads(_usual_threads)
