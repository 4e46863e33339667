"""What a workspace keeps of a layer: limits, colours, opacity."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from napari_sfh._qt.canvas.layer_data import get_layer_link

#: What a workspace keeps of a layer's look.
LOOK = ("opacity", "contrast_limits", "gamma", "colormap", "visible")
#: Roles whose layers carry their unit in the name: limits are those of this unit only.
UNIT_ROLES = ("lines", "channels")
#: Roles of which one layer is on the canvas at a time: the display says which.
EXCLUSIVE_ROLES = ("map", "lines", "difference", "channels")
#: Roles whose layers lie below those, from the lowest.
GROUND_ROLES = ("white", "composite", "bins")


def get_look_key(layer: Any) -> str:
    """Role and name of one of our layers."""
    link = get_layer_link(layer.metadata)
    return "" if link is None else f"{link.role} {link.name}".strip()


def read_look(layer: Any) -> dict[str, Any]:
    """What a workspace keeps of a layer."""
    look: dict[str, Any] = {"opacity": float(layer.opacity)}
    if hasattr(layer, "contrast_limits"):
        low, high = layer.contrast_limits
        look |= {"contrast_limits": [float(low), float(high)], "gamma": float(layer.gamma)}
        look["colormap"] = str(layer.colormap.name)
    link = get_layer_link(layer.metadata)
    if link is not None and link.role not in EXCLUSIVE_ROLES:
        look["visible"] = bool(layer.visible)
    if link is not None and link.role in UNIT_ROLES:
        look["name"] = str(layer.name)
    return look


def apply_look(layer: Any, look: Mapping[str, Any]) -> None:
    """Put a look back; a colormap that napari does not know is left out, and limits in another unit.

    Parameters
    ----------
    layer : napari layer
    look : Mapping of str to Any
        What `read_look` gave.
    """
    link = get_layer_link(layer.metadata)
    other_unit = link is not None and link.role in UNIT_ROLES and look.get("name") != layer.name
    exclusive = link is not None and link.role in EXCLUSIVE_ROLES
    for key, value in look.items():
        if key not in LOOK or not hasattr(layer, key) or read_look(layer).get(key) == value:
            continue
        if (key == "contrast_limits" and other_unit) or (key == "visible" and exclusive):
            continue
        with suppress(KeyError, ValueError):
            setattr(layer, key, value)
