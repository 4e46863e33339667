"""A cube block by block along wavelength, the next block read from disk while this one is worked on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from napari_sfh.jobs import raise_if_cancelled
from napari_sfh.types import F32, Bool, Cube

#: Arrays below malloc's largest threshold for a mapping of their own are used again without page faults, which cost
#: more than the reading.
BLOCK_BYTES = 24 * 2**20

Block = tuple[F32, F32 | None, Bool]


def choose_block_length(cube: Cube) -> int:
    """Channels to read at once so that a block stays near 24 MiB."""
    _, ny, nx = cube.shape
    return max(1, BLOCK_BYTES // (ny * nx * (9 if cube.has_variance else 5)))


def read_cube_blocks(
    cube: Cube, channels: slice, cancel: threading.Event | None = None
) -> Iterator[tuple[slice, Block]]:
    """Blocks of a cube in their order.

    Parameters
    ----------
    cube : Cube
    channels : slice
        Of the cube, with both ends.
    cancel : Event, optional

    Yields
    ------
    slice
        The block's channels, counted from ``channels.start``.
    tuple
        Flux, variance and usability of these channels, see `types.Cube`.

    Raises
    ------
    Cancelled
    """
    n, step = channels.stop - channels.start, choose_block_length(cube)
    parts = [slice(lo, min(lo + step, n)) for lo in range(0, n, step)]

    def read(part: slice) -> Block:
        return cube.read(channels.start + part.start, channels.start + part.stop)

    with ThreadPoolExecutor(1, thread_name_prefix="napari-sfh reading") as pool:
        coming = [pool.submit(read, part) for part in parts[:1]]
        for k, part in enumerate(parts):
            block = coming.pop().result()
            raise_if_cancelled(cancel)
            coming += [pool.submit(read, part) for part in parts[k + 1 : k + 2]]
            yield part, block
            del block
