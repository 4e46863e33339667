"""Work beside the network's on a GPU: spectra of the next steps are made in a CUDA stream of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import torch


class HoldsTensors(Protocol):
    """What is made of tensors."""

    def list_tensors(self) -> list[torch.Tensor]:
        """All of them."""


T = TypeVar("T", bound=HoldsTensors)


class SideStream(Generic[T]):
    """Runs functions in a stream of its own, and hands over what they made; on a processor, plain calls.

    In one stream every copy from the host would wait for the steps that were started before it.
    """

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream() if torch.cuda.is_available() else None

    def run(self, make: Callable[[], T]) -> tuple[T, torch.cuda.Event | None]:
        """What ``make`` makes, in whichever thread, and the event after which it is there."""
        if self._stream is None:
            return make(), None
        with torch.cuda.stream(self._stream):
            made = make()
            return made, self._stream.record_event()

    def hand_over(self, made: tuple[T, torch.cuda.Event | None]) -> T:
        """The same for this thread's stream, which waits for it."""
        content, event = made
        if event is not None:
            here = torch.cuda.current_stream()
            here.wait_event(event)
            for tensor in content.list_tensors():
                if tensor.is_cuda:
                    tensor.record_stream(here)
        return content
