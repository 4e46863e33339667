"""Where the large arrays of a synthetic set are computed: by NumPy on the processor, or by torch on a device.

The forward model, the noise and the augmentation are written once, against `ArrayBackend`: what NumPy and torch call by
different names stands here, what they share (products, sums, slices, arithmetic in place) is used as it is. Large means
(N, W), (N, K), (N, L); whatever is smaller, all drawing of parameters and the labels stay with NumPy on the host.

Random numbers of small arrays come from the caller's NumPy generator, those of (N, W) arrays from it too or, with
torch, from a generator of the device that it seeds: the same seed gives the same numbers on one kind of device,
whatever was made before. Bit by bit so is a spectrum where torch has one thread (``torch.set_num_threads``): the
products of several round by how many of them the load left free. Everything is in single precision; products are
exact to it as long as ``torch.set_float32_matmul_precision`` is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import fft

from napari_sfh.errors import ComputeError

if TYPE_CHECKING:
    import torch

#: A NumPy array, or a tensor on the device of its `ArrayBackend`.
LargeArray: TypeAlias = Any
#: Numbers that torch copies in the calling thread, without waking others.
_SERIAL_COPY = 1 << 15
#: Rows of (N, W) arrays that several steps take one after the other while they lie in a processor's cache.
_CACHED_ROWS = 64


class ArrayBackend:
    """NumPy's large arrays; the methods below are all that differs between NumPy and torch."""

    name = "numpy"

    def put(self, values: Any) -> LargeArray:
        """NumPy values as they are used here: floats in single precision, the others as they are."""
        array = np.asarray(values)
        return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array

    def take(self, array: LargeArray) -> Any:
        """Inverse of `put`: on the host, as NumPy."""
        return array

    def single(self, array: LargeArray) -> LargeArray:
        """In float32."""
        return array.astype(np.float32)

    def half(self, array: LargeArray) -> LargeArray:
        """In float16, to be kept; rounded by torch, bit by bit as by NumPy, which takes ten times as long."""
        import torch

        out = np.empty(array.shape, np.float16)
        source, target = (torch.from_numpy(part.reshape(-1)) for part in (np.ascontiguousarray(array), out))
        for start in range(0, out.size, _SERIAL_COPY):
            target[start : start + _SERIAL_COPY] = source[start : start + _SERIAL_COPY]
        return out

    def empty(self, shape: tuple[int, ...], like: LargeArray = None) -> LargeArray:
        """Not filled; float32, or of the type of ``like``."""
        return np.empty(shape, np.float32 if like is None else like.dtype)

    def zeros(self, shape: tuple[int, ...]) -> LargeArray:
        """Float32."""
        return np.zeros(shape, np.float32)

    def true(self, shape: tuple[int, ...]) -> LargeArray:
        """Boolean, all True."""
        return np.ones(shape, bool)

    def copy(self, array: LargeArray) -> LargeArray:
        """Its own memory."""
        return array.copy()

    def exp(self, array: LargeArray) -> LargeArray:
        return np.exp(array)

    def cos(self, array: LargeArray) -> LargeArray:
        return np.cos(array)

    def sqrt(self, array: LargeArray) -> LargeArray:
        return np.sqrt(array)

    def at_least(self, array: LargeArray, floor: float) -> LargeArray:
        """Values, those below ``floor`` raised to it."""
        return np.maximum(array, floor)

    def where(self, condition: LargeArray, array: LargeArray, other: Any) -> LargeArray:
        return np.where(condition, array, other)

    def split_rows(self, n: int) -> list[slice]:
        """Blocks of n rows for what is done by element, or along rows: in each, all steps before the next block."""
        return [slice(start, min(start + _CACHED_ROWS, n)) for start in range(0, n, _CACHED_ROWS)]

    def clear(self, array: LargeArray, where: LargeArray) -> None:
        """Set values to 0, in place."""
        np.copyto(array, 0, where=where)

    def add_at(self, array: LargeArray, place: LargeArray, values: LargeArray) -> None:
        """Add values at places of the flattened array, in place; those at one place add up."""
        np.add.at(array.reshape(-1), place.reshape(-1), values.reshape(-1))

    def rfft(self, array: LargeArray) -> LargeArray:
        """Real Fourier transform along the last axis."""
        return fft.rfft(array, axis=-1)

    def irfft(self, array: LargeArray, n: int) -> LargeArray:
        """Inverse of `rfft` for ``n`` real points."""
        return fft.irfft(array, n, axis=-1)

    def normal(self, rng: np.random.Generator, shape: tuple[int, ...]) -> LargeArray:
        """Standard normal numbers."""
        return rng.standard_normal(shape, dtype=np.float32)

    def uniform(self, rng: np.random.Generator, shape: tuple[int, ...]) -> LargeArray:
        """Uniform numbers in 0-1."""
        return rng.random(shape, dtype=np.float32)


#: The reference: what `simulate` writes by default.
NUMPY_BACKEND = ArrayBackend()


class TorchBackend(ArrayBackend):
    """Tensors on one device."""

    def __init__(self, device: str) -> None:
        import torch

        self._torch, self._device = torch, torch.device(device)
        self.name = f"torch-{self._device.type}"

    def put(self, values: Any) -> LargeArray:
        if self._torch.is_tensor(values):
            return values.to(self._device)
        array = np.asarray(values)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        # torch shares memory with what it may write to only.
        array = np.ascontiguousarray(array) if array.flags.writeable else array.copy()
        return self._torch.from_numpy(array).to(self._device)

    def take(self, array: LargeArray) -> Any:
        return array.cpu().numpy()

    def single(self, array: LargeArray) -> LargeArray:
        return array.float()

    def half(self, array: LargeArray) -> LargeArray:
        return array.half()

    def empty(self, shape: tuple[int, ...], like: LargeArray = None) -> LargeArray:
        return self._torch.empty(shape, device=self._device, dtype=None if like is None else like.dtype)

    def zeros(self, shape: tuple[int, ...]) -> LargeArray:
        return self._torch.zeros(shape, device=self._device)

    def true(self, shape: tuple[int, ...]) -> LargeArray:
        return self._torch.ones(shape, dtype=self._torch.bool, device=self._device)

    def copy(self, array: LargeArray) -> LargeArray:
        return array.clone()

    def exp(self, array: LargeArray) -> LargeArray:
        return self._torch.exp(array)

    def cos(self, array: LargeArray) -> LargeArray:
        return self._torch.cos(array)

    def sqrt(self, array: LargeArray) -> LargeArray:
        return self._torch.sqrt(array)

    def at_least(self, array: LargeArray, floor: float) -> LargeArray:
        return array.clamp(min=floor)

    def where(self, condition: LargeArray, array: LargeArray, other: Any) -> LargeArray:
        return self._torch.where(condition, array, other)

    def split_rows(self, n: int) -> list[slice]:
        return [slice(0, n)]

    def clear(self, array: LargeArray, where: LargeArray) -> None:
        array[where] = 0.0

    def add_at(self, array: LargeArray, place: LargeArray, values: LargeArray) -> None:
        array.view(-1).index_put_((place.view(-1),), values.reshape(-1), accumulate=True)

    def rfft(self, array: LargeArray) -> LargeArray:
        return self._torch.fft.rfft(array)

    def irfft(self, array: LargeArray, n: int) -> LargeArray:
        return self._torch.fft.irfft(array, n)

    def normal(self, rng: np.random.Generator, shape: tuple[int, ...]) -> LargeArray:
        return self._torch.randn(shape, generator=self._seeded(rng), device=self._device)

    def uniform(self, rng: np.random.Generator, shape: tuple[int, ...]) -> LargeArray:
        return self._torch.rand(shape, generator=self._seeded(rng), device=self._device)

    def _seeded(self, rng: np.random.Generator) -> torch.Generator:
        return self._torch.Generator(self._device).manual_seed(int(rng.integers(2**63)))


@cache
def get_torch_backend(device: str) -> TorchBackend:
    """Tensors on ``device`` (cpu, cuda, mps), one object per device.

    Raises
    ------
    ComputeError
        Where torch has no such device.
    """
    try:
        made = TorchBackend(device)
        made.zeros((1,))
    except (RuntimeError, AssertionError) as error:
        line = str(error).strip().splitlines()[0]
        raise ComputeError(f"`device` {device}: torch cannot use it ({line}); choose cpu") from error
    return made


def select_backend(device: str | None) -> ArrayBackend:
    """NumPy for None, else torch on a device."""
    return NUMPY_BACKEND if device is None else get_torch_backend(device)


def find_backend(array: LargeArray) -> ArrayBackend:
    """The backend that an array belongs to.

    Parameters
    ----------
    array : array or tensor (...)

    Returns
    -------
    ArrayBackend
        NumPy's, or torch's of the tensor's device.
    """
    return NUMPY_BACKEND if isinstance(array, np.ndarray) else get_torch_backend(str(array.device))


@contextmanager
def explain_out_of_memory(what: str) -> Iterator[None]:
    """Say in one line that a device's memory is too small for ``what``.

    Raises
    ------
    ComputeError
        Instead of torch's own.
    """
    try:
        yield
    except RuntimeError as error:
        if "out of memory" not in str(error).lower():
            raise
        raise ComputeError(
            f"`device`: its memory is too small for {what}; use `device` cpu or a smaller `n`"
        ) from error
