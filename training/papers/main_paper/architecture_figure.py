"""Figure 2 of Galceran et al. (2026): the layers of a network, read from the network itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import nn

from napari_sfh.model.bundle import Bundle
from napari_sfh.model.encoding import Features
from napari_sfh.model.layers import ConvUnit, DenseUnit, ResidualUnit, WavelengthAttention

#: Layers that are drawn as one box.
_UNITS = (ConvUnit, DenseUnit, ResidualUnit, WavelengthAttention, nn.Linear, nn.Conv1d)
_COLOURS = {
    "ConvUnit": "#9ecae1", "Conv1d": "#9ecae1", "WavelengthAttention": "#fdae6b", "DenseUnit": "#c7e9c0",
    "ResidualUnit": "#a1d99b", "Linear": "#dadaeb",
}  # fmt: skip
_WORDS = {
    "ConvUnit": "convolution, norm, PReLU, pooling", "Conv1d": "convolution",
    "WavelengthAttention": "attention", "DenseUnit": "dense, norm, PReLU", "ResidualUnit": "residual dense",
    "Linear": "linear",
}  # fmt: skip


@dataclass(frozen=True)
class NetworkLayer:
    """One layer as it ran: its place in the network, kind, shape of its output, number of weights."""

    path: str
    kind: str
    shape: tuple[int, ...]
    weights: int

    @property
    def lane(self) -> str:
        """spectrum, photometry, joined or output."""
        head = self.path.split(".")[0]
        if head.startswith("photometric"):
            return "photometry"
        if head.startswith("decoder"):
            return "output"
        return "joined" if head in ("join", "joint", "to_latent") else "spectrum"


def list_network_layers(bundle: Bundle) -> list[NetworkLayer]:
    """Layers in the order in which they run on one object."""
    network = bundle.model.network
    found: list[NetworkLayer] = []
    handles = []

    def note(path: str, layer: nn.Module) -> Any:
        weights = sum(p.numel() for p in layer.parameters())

        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            found.append(NetworkLayer(path, type(layer).__name__, tuple(output.shape[1:]), weights))

        return hook

    inside: set[str] = set()
    for path, layer in network.named_modules():
        if isinstance(layer, _UNITS) and not any(path.startswith(f"{outer}.") for outer in inside):
            inside.add(path)
            handles.append(layer.register_forward_hook(note(path, layer)))
    sizes = network.sizes
    features = Features(
        torch.zeros(1, 3, sizes.n_wave),
        torch.zeros(1, 3, sizes.n_bands),
        torch.ones(1, 1),
        torch.zeros(1, int(sizes.takes_redshift)),
    )
    try:
        with torch.no_grad():
            network.eval()(features)
    finally:
        for handle in handles:
            handle.remove()
    return found


def plot_architecture(bundle: Bundle) -> Figure:
    """Two encoders, the latent space and the decoder, with the shape and the number of weights of every layer."""
    layers = list_network_layers(bundle)
    lanes = {lane: [x for x in layers if x.lane == lane] for lane in ("spectrum", "photometry", "joined", "output")}
    longest = max(len(lanes["spectrum"]), len(lanes["photometry"]))
    columns = longest + len(lanes["joined"]) + len(lanes["output"])
    figure = Figure(figsize=(1.02 * (columns + 1.5), 3.4), layout="constrained")
    axes = figure.add_subplot()
    total = sum(p.numel() for p in bundle.model.network.parameters())
    config = bundle.model.config
    axes.set_title(f"{bundle.name}: architecture {config.architecture}, {total:,} weights".replace(",", " "), size=10)
    sizes = bundle.instrument
    places = {"spectrum": (0, 1.0), "photometry": (0, -1.0), "joined": (longest, 0.0)}
    places["output"] = (longest + len(lanes["joined"]), 0.0)
    ends = [(len(lanes[lane]) + 0.4, y) for lane, y in (("spectrum", 1.0), ("photometry", -1.0)) if lanes[lane]]
    for x, y in ends:
        axes.annotate("", (longest + 0.62, 0.0), (x, y), arrowprops={"arrowstyle": "->", "color": "0.5"})
    for lane, (start, y) in places.items():
        for k, layer in enumerate(lanes[lane]):
            _draw_layer(axes, start + k + 1, y, layer)
    for y, text in ((1.0, f"spectrum\n{sizes.n_wave} pixels"), (-1.0, f"photometry\n{sizes.n_bands} bands")):
        axes.text(0.15, y, text, ha="center", va="center", size=8)
    n = bundle.targets.n_age
    text = f"{n} fractions\n{n} [M/H]" if n else f"{len(bundle.targets.scalars)} numbers"
    axes.text(columns + 1.0, 0, text, ha="center", va="center", size=8)
    axes.set(xlim=(-0.5, columns + 1.6), ylim=(-1.9, 1.9))
    axes.axis("off")
    return figure


def _draw_layer(axes: Any, x: float, y: float, layer: NetworkLayer) -> None:
    size = math.prod(layer.shape)
    height = 0.4 + 0.15 * np.log10(max(size, 1))
    box = FancyBboxPatch(
        (x - 0.36, y - height / 2),
        0.72,
        height,
        boxstyle="round,pad=0.02",
        fc=_COLOURS[layer.kind],
        ec="0.3",
        lw=1.6 if layer.path == "to_latent" else 0.7,
    )
    axes.add_patch(box)
    shape = " × ".join(str(s) for s in layer.shape)
    name = "latent" if layer.path == "to_latent" else _WORDS[layer.kind]
    axes.text(x, y, f"{shape}\n{layer.weights:,}".replace(",", " "), ha="center", va="center", size=7.5)
    axes.text(x, y - height / 2 - 0.08, name.replace(", ", ",\n"), ha="center", va="top", size=6.5)
