"""Rows of large catalogues on Dask workers: this process reads and writes, they estimate.

Blocks come back in their order. So few are under way that memory stays bounded, however long the catalogue: two for
each worker, one that it works on and one that waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from napari_sfh.batch import cluster
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.estimate import EstimatedBlock, RowBlock, estimate_row_block

if TYPE_CHECKING:
    from distributed import Client, Future

#: Blocks under way for each worker.
_AHEAD = 2


def estimate_on_workers(
    blocks: Iterable[RowBlock], scheduler: str = cluster.LOCAL, workers: int | None = None
) -> Iterator[EstimatedBlock]:
    """Estimate blocks of rows on Dask workers; a `estimate.BlockEstimator`.

    Parameters
    ----------
    blocks : iterable of RowBlock
        Read as they are needed. Weights must be known to the workers by the same name or path.
    scheduler : str
        Address of a Dask scheduler, or `cluster.LOCAL`.
    workers : int, optional
        Processes of a local scheduler, 1 unless given; of a cluster all that there are.

    Yields
    ------
    EstimatedBlock
        In the order of ``blocks``.

    Raises
    ------
    SfhInputError
        A block cannot be read, or less than one worker.
    ComputeError
        No scheduler answers at the address, or a block failed or its worker ended.
    """
    with cluster.connect_scheduler(scheduler, workers or 1) as client:
        under_way: deque[Future[EstimatedBlock]] = deque()
        for block in blocks:
            under_way.append(client.submit(estimate_row_block, block, pure=False))
            while len(under_way) >= _AHEAD * max(1, len(client.ncores())):
                yield _take_result(under_way.popleft(), client)
        while under_way:
            yield _take_result(under_way.popleft(), client)


def _take_result(future: Future[EstimatedBlock], client: Client) -> EstimatedBlock:
    """The result of a block, which the worker then forgets."""
    try:
        return future.result()
    except (SfhInputError, ComputeError):
        raise
    except Exception as error:  # whatever a worker's library raised, or its end
        raise ComputeError(f"--scheduler: a block of rows failed on a worker ({error})") from error
    finally:
        client.cancel([future])
