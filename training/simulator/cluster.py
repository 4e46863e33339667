"""Chunks of a synthetic set on a Dask cluster, by the address of its scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from threadpoolctl import threadpool_limits

from napari_sfh.batch.cluster import connect_scheduler
from napari_sfh.errors import ComputeError

#: Seconds for which workers of a running scheduler are waited for.
WORKER_WAIT_S = 30


#: Writes one shard from (source, seed, chunk number, size, folder, key) and returns its entry of the manifest.
ShardWriter = Callable[..., dict[str, Any]]


def _write_on_one_core(write: ShardWriter, *job: Any) -> dict[str, Any]:
    """``write`` with products on one core, on which their rounding depends; a worker stays so."""
    threadpool_limits(1, user_api="blas")
    return write(*job)


def write_shards_on_cluster(
    write: ShardWriter, jobs: list[tuple[Any, ...]], address: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Call ``write`` for each job on the workers; yields (chunk, manifest entry) as they finish.

    Parameters
    ----------
    write : callable
        Such as `simulation.write_shard`.
    jobs : list of tuple
        Its arguments, one tuple a chunk: the prepared prior first, the chunk's number third.
    address : str
        Of a Dask scheduler, ``tcp://host:8786``.

    Raises
    ------
    ComputeError
        If the scheduler cannot be reached, has no workers, or loses those that hold a chunk.
    """
    from distributed import KilledWorker, as_completed

    if not jobs:
        return
    with connect_scheduler(address) as client:
        try:
            client.wait_for_workers(1, timeout=WORKER_WAIT_S)
        except TimeoutError as err:
            raise ComputeError(
                f"`scheduler` {address}: no worker joined it in {WORKER_WAIT_S} s; start one (dask worker {address})"
            ) from err
        # Templates travel once, not with every chunk.
        source = client.scatter(jobs[0][0], broadcast=True, hash=False)
        futures = {client.submit(_write_on_one_core, write, source, *job[1:], pure=False): job[2] for job in jobs}
        try:
            for future in as_completed(list(futures)):
                yield futures[future], future.result()
        except KilledWorker as err:
            raise ComputeError(
                f"`scheduler` {address}: workers died over a chunk ({err}); give them more memory and run again, "
                "finished shards are kept"
            ) from err
