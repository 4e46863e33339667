"""Steps of the optimiser on a GPU, recorded once and played again.

A step of the networks here is some 300 small kernels: a GPU needs half a millisecond for them, and Python several to
start one after the other. A CUDA graph holds them all, from the input to the changed weights, and is started by one
call. What may change between two steps lies in tensors that the graph reads: the batch, the learning rate, the
optimiser's moments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from napari_sfh.training.fitting.spectra_sources import Batch

#: Steps taken before the recording, for the libraries to choose their kernels; they are undone.
_WARM_UP = 3


class CountedAdam(torch.optim.Adam):
    """Adam whose step may be taken elsewhere (``taker``), so that whoever counts steps and sets rates still does."""

    taker: Callable[[], None] | None = None

    def step(self, closure: Any = None) -> Any:
        """A step: the taker's, or Adam's own."""
        if self.taker is None:
            return super().step(closure)
        if closure is not None:
            closure()
        self.taker()
        return None


class GraphedSteps:
    """Loss, gradients, their limit and Adam's step of one batch; a graph on a GPU, on a processor plain calls.

    Parameters
    ----------
    loss : callable
        The loss () of a `Batch`; it must not wait for the device.
    module : torch.nn.Module
        Whose parameters are fitted, and whose buffers a forward pass may change.
    optimiser : CountedAdam
        ``capturable`` on a GPU; its learning rates become tensors.
    clip : float
        Largest norm of the gradient.
    batch : Batch
        Of the size that all will have.
    """

    def __init__(
        self,
        loss: Callable[[Batch], torch.Tensor],
        module: torch.nn.Module,
        optimiser: CountedAdam,
        clip: float,
        batch: Batch,
    ) -> None:
        self._loss, self._optimiser, self._clip = loss, optimiser, clip
        self._fitted = [p for group in optimiser.param_groups for p in group["params"]]
        self._held = batch.change_tensors(torch.clone)
        self._total = torch.zeros((), device=batch.y.device)
        self._steps = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        if batch.y.device.type == "cuda":
            for group in optimiser.param_groups:
                group["lr"] = torch.as_tensor(float(group["lr"]), device=batch.y.device)
            self._record(module)
        optimiser.taker = self._take

    def load_batch(self, batch: Batch) -> None:
        """Put the batch of the next step where the graph reads it."""
        for held, new in zip(self._held.list_tensors(), batch.list_tensors(), strict=True):
            held.copy_(new)

    def read_mean_loss(self) -> torch.Tensor:
        """Mean loss () of the steps since it was last read."""
        mean = self._total / max(self._steps, 1)
        self._total.zero_()
        self._steps = 0
        return mean

    def _take(self) -> None:
        self._steps += 1
        if self._graph is None:
            self._compute()
        else:
            self._graph.replay()

    def _compute(self) -> None:
        """The step itself."""
        for weight in self._fitted:
            weight.grad = None
        loss = self._loss(self._held)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._fitted, self._clip)
        torch.optim.Adam.step(self._optimiser)
        self._total += loss.detach()

    def _record(self, module: torch.nn.Module) -> None:
        """Record the graph, and leave weights, buffers and moments as they were."""
        changed = [*module.parameters(), *module.buffers()]
        before = [x.detach().clone() for x in changed]
        moments = {p: {k: v.clone() for k, v in s.items()} for p, s in self._optimiser.state.items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self._compute()
        torch.cuda.current_stream().wait_stream(side)
        for weight in self._fitted:
            weight.grad = None
        graph = torch.cuda.CUDAGraph()
        # Other threads make spectra meanwhile: only this one's calls are watched.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._compute()
        self._graph = graph
        _put_back(changed, before)
        for weight, state in self._optimiser.state.items():
            for key, value in state.items():
                _put_back([value], [moments[weight][key] if weight in moments else torch.zeros_like(value)])
        self._total.zero_()


@torch.no_grad()
def _put_back(changed: Iterable[torch.Tensor], before: Iterable[torch.Tensor]) -> None:
    for now, then in zip(changed, before, strict=True):
        now.copy_(then)
