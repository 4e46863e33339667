"""Chunks of a synthetic set on a Dask cluster, by the address of its scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from threadpoolctl import threadpool_limits

from napari_sfh.errors import ComputeError
from napari_sfh.training.simulate import write_shard


def _one_core(*job: Any) -> dict[str, Any]:
    """`simulate.write_shard` with products on one core, on which their rounding depends; a worker stays so."""
    threadpool_limits(1, user_api="blas")
    return write_shard(*job)


def run_jobs(jobs: list[tuple[Any, ...]], address: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Run `simulate.write_shard` for each job on the workers; yields (chunk, manifest entry) as they finish.

    Raises
    ------
    ComputeError
        If the scheduler cannot be reached.
    """
    from distributed import Client, as_completed

    if not jobs:
        return
    try:
        client = Client(address, timeout="10s")
    except (OSError, TimeoutError, ValueError) as err:
        raise ComputeError(f"--scheduler {address}: no Dask scheduler answers there ({err})") from err
    with client:
        # Templates travel once, not with every chunk.
        source = client.scatter(jobs[0][0], broadcast=True, hash=False)
        futures = {client.submit(_one_core, source, *job[1:], pure=False): job[2] for job in jobs}
        for future in as_completed(list(futures)):
            yield futures[future], future.result()
