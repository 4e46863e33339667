"""Steps of the optimiser on a GPU, recorded once and played again.

A step of the networks here is some 300 small kernels: a GPU needs a millisecond for them, and Python several to start
one after the other, the more while other threads make spectra. A CUDA graph holds them all, from the choice of the
batch to the changed weights, and is started by one call. What differs between two steps lies in tensors that the graph
reads: a group of batches, the learning rate of each, the number of the next one, the optimiser's moments.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

import torch

#: Steps taken before the recording, for the libraries to choose their kernels; they are undone.
_WARM_UP = 3


class CountedAdam(torch.optim.Adam):
    """Adam whose ``step`` only tells that steps were taken: `GraphedSteps` takes them, several at a time."""

    def step(self, closure: Any = None) -> Any:
        """Nothing but the closure."""
        if closure is not None:
            closure()


class Objects(Protocol):
    """What a step is taken with: tensors whose first axis is that of some objects."""

    def __len__(self) -> int:
        """Number of objects."""

    def change_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Self:
        """The same with every tensor changed: moved, copied, or cut to some objects."""

    def list_tensors(self) -> list[torch.Tensor]:
        """Every tensor, always in one order."""


Group = TypeVar("Group", bound=Objects)


class GraphedSteps(Generic[Group]):
    """Loss, gradients, their limit and Adam's step of each batch of a group: a graph on a GPU, else plain calls.

    Parameters
    ----------
    loss : callable
        The loss () of one batch, as a group is; it must not wait for the device.
    module : torch.nn.Module
        Whose parameters are fitted, and whose buffers a forward pass may change.
    optimiser : CountedAdam
        ``capturable`` on a GPU. Its learning rate becomes a tensor there.
    clip : float
        Largest norm of the gradient.
    group : Objects
        A group of the largest size that will come.
    size : int
        Objects of a batch.
    """

    def __init__(
        self,
        loss: Callable[[Group], torch.Tensor],
        module: torch.nn.Module,
        optimiser: CountedAdam,
        clip: float,
        group: Group,
        size: int,
    ) -> None:
        self._loss, self._optimiser, self._clip = loss, optimiser, clip
        self._fitted = [p for g in optimiser.param_groups for p in g["params"]]
        self._held = group.change_tensors(torch.clone)
        where = group.list_tensors()[0].device
        self._pixel = torch.arange(size, device=where)
        self._number = torch.zeros((), dtype=torch.long, device=where)
        self._rates = torch.zeros(max(1, len(group) // size), device=where)
        self._total = torch.zeros((), device=where)
        self._graph: torch.cuda.CUDAGraph | None = None
        for options in optimiser.param_groups:
            options["lr"] = torch.as_tensor(float(options["lr"]), device=where)
        if where.type == "cuda":
            self._record(module)

    def take_steps(self, group: Group, rates: Sequence[float]) -> torch.Tensor:
        """A step for each learning rate, with one batch of the group after the other; their mean loss ()."""
        for held, new in zip(self._held.list_tensors(), group.list_tensors(), strict=True):
            held[: len(new)].copy_(new)
        self._rates[: len(rates)].copy_(torch.tensor(rates))
        for scalar in (self._number, self._total):
            scalar.zero_()
        for _ in rates:
            if self._graph is None:
                self._compute()
            else:
                self._graph.replay()
        return self._total / len(rates)

    def _compute(self) -> None:
        """The step itself."""
        rows = self._pixel + self._number * len(self._pixel)
        for options in self._optimiser.param_groups:
            options["lr"].copy_(self._rates.index_select(0, self._number.reshape(1))[0])
        for weight in self._fitted:
            weight.grad = None
        loss = self._loss(self._held.change_tensors(lambda x: x.index_select(0, rows)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._fitted, self._clip)
        torch.optim.Adam.step(self._optimiser)
        self._total += loss.detach()
        self._number += 1

    def _record(self, module: torch.nn.Module) -> None:
        """Record the graph, and leave weights, buffers and moments as they were."""
        changed = [*module.parameters(), *module.buffers()]
        before = [x.detach().clone() for x in changed]
        moments = {p: {k: v.clone() for k, v in s.items()} for p, s in self._optimiser.state.items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Adam's: steps before the recording are slow
            for _ in range(_WARM_UP):
                self._number.zero_()
                self._compute()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads make spectra meanwhile: only this one's calls are watched.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._compute()
        self._graph = graph
        _put_back(changed, before)
        for weight, state in self._optimiser.state.items():
            for key, value in state.items():
                _put_back([value], [moments[weight][key] if weight in moments else torch.zeros_like(value)])


@torch.no_grad()
def _put_back(changed: Iterable[torch.Tensor], before: Iterable[torch.Tensor]) -> None:
    for now, then in zip(changed, before, strict=True):
        now.copy_(then)
