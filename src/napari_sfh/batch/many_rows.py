"""Rows of large catalogues on Dask workers: this process reads and writes, they estimate.

Blocks come back in their order. So few are under way that memory stays bounded, however long the catalogue: two for
each worker, one that it works on and one that waits. The weights go to every worker once, each block straight to one of
them: what a task holds itself would pass through the scheduler, which warns of it from 10 MB on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

from napari_sfh.batch import cluster
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.estimation.rows import EstimatedBlock, RowBlock, estimate_row_block
from napari_sfh.model.bundle import Bundle, load_bundle

if TYPE_CHECKING:
    from distributed import Client, Future

#: Blocks under way for each worker.
_AHEAD = 2
#: How often a block is sent that is lost with its worker.
_TRIES = 3


def estimate_on_workers(
    blocks: Iterable[RowBlock], scheduler: str = cluster.LOCAL, workers: int | None = None
) -> Iterator[EstimatedBlock]:
    """Estimate blocks of rows on Dask workers; a `estimate.BlockEstimator`.

    Parameters
    ----------
    blocks : iterable of RowBlock
        Read as they are needed.
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
    with cluster.connect_scheduler(scheduler, 1 if workers is None else workers) as client:
        sender = _BlockSender(client)
        under_way: deque[tuple[RowBlock, Future[EstimatedBlock]]] = deque()
        for block in blocks:
            under_way.append((block, sender.send(block)))
            while len(under_way) >= _AHEAD * max(1, len(client.ncores())):
                yield sender.wait(*under_way.popleft())
        while under_way:
            yield sender.wait(*under_way.popleft())


class _BlockSender:
    """Sends blocks, and the weights that they need, to the workers of a client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._weights: dict[str, Future[Bundle]] = {}

    def send(self, block: RowBlock) -> Future[EstimatedBlock]:
        """Begin to estimate a block."""
        model = block.config.model
        if model not in self._weights:
            self._weights[model] = self._client.scatter(load_bundle(model), broadcast=True)
        rows = self._client.scatter(block, hash=False)
        return self._client.submit(estimate_row_block, rows, self._weights[model], pure=False)

    def wait(self, block: RowBlock, future: Future[EstimatedBlock]) -> EstimatedBlock:
        """The result of a block, which the workers then forget; a block that was lost with its worker is sent again."""
        for _ in range(_TRIES - 1):
            try:
                return self._take(future)
            except CancelledError:
                self._weights.clear()
                future = self.send(block)
        try:
            return self._take(future)
        except CancelledError as error:
            raise ComputeError(f"`scheduler`: a block of rows was lost with its worker, {_TRIES} times") from error

    def _take(self, future: Future[EstimatedBlock]) -> EstimatedBlock:
        try:
            return future.result()
        except (SfhInputError, ComputeError, CancelledError):
            raise
        except Exception as error:  # whatever a worker's library raised, or its end
            raise ComputeError(f"`scheduler`: a block of rows failed on a worker ({error})") from error
        finally:
            self._client.cancel([future])
