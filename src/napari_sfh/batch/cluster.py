"""Dask workers: those of a scheduler that is named by its address, or processes started on this machine.

A scheduler runs any code that a client sends it. One of this machine therefore talks TLS with certificates that exist
in its memory alone, so that no other user reaches it. One named by its address is trusted, with everybody who can reach
it; ``tls://`` addresses take the certificates of Dask's configuration (``distributed.comm.tls``).

dask.distributed is imported only when it is needed: it takes longer to load than a small job takes.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_sfh.errors import ComputeError, SfhInputError

if TYPE_CHECKING:
    from distributed import Client

#: Instead of an address: workers on this machine.
LOCAL: str = "local"
#: Libraries that bring threads of their own; a worker's share of the cores is theirs.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextmanager
def connect_scheduler(scheduler: str = LOCAL, workers: int = 1) -> Iterator[Client]:
    """A client of the scheduler at an address, or of one that lives as long as the context.

    Parameters
    ----------
    scheduler : str
        An address such as ``tcp://host:8786``, or `LOCAL`.
    workers : int
        Processes of a local scheduler; they share the cores and the memory of the machine evenly. A process that
        exceeds its memory is ended, and what it did fails at once: it is not tried elsewhere.

    Raises
    ------
    SfhInputError
        Less than one worker.
    ComputeError
        No scheduler answers at the address.
    """
    if scheduler != LOCAL:
        with _client(scheduler) as client:
            yield client
        return
    if workers < 1:
        raise SfhInputError(f"`workers` {workers}: must be 1 or more")
    import dask
    from distributed import Client, LocalCluster
    from distributed.security import Security

    with (
        dask.config.set(_local_config(workers)),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            host="127.0.0.1",
            protocol="tls://",
            security=Security.temporary(),
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(_make_interrupt_plugin())
        yield client


def _client(address: str) -> Client:
    from distributed import Client

    try:
        return Client(address, timeout="10s")
    except (OSError, TimeoutError, ValueError) as err:
        raise ComputeError(f"`scheduler` {address}: no Dask scheduler answers there ({err})") from err


def _local_config(workers: int) -> dict[str, Any]:
    from dask.system import CPU_COUNT

    threads = max(1, CPU_COUNT // workers)
    return {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.worker-saturation": 1.0,
        **{f"distributed.nanny.pre-spawn-environ.{name}": threads for name in _THREADS},
    }


def _make_interrupt_plugin() -> Any:
    """A plugin by which workers ignore Ctrl-C, which a terminal sends to every process: the caller ends them."""
    from distributed import WorkerPlugin

    class KeyboardIsTheCallers(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return KeyboardIsTheCallers()
