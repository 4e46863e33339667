"""From a result to napari layers, as plain layer-data tuples: no viewer, no Qt.

Every layer lies on the same `SkyGrid`, in arcsec: one layer in pixels would break the units of all. The maps carry
their values, NaN outside the bins, and a colorbar; the faint ``bins`` layer carries a table of values, so that
napari's status bar shows them under the cursor. ``metadata["napari_sfh"]`` ties a layer to its result.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_sfh.analysis import maps
from napari_sfh.analysis.bin_view import describe_flags
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.types import Cube, Result

LayerTuple = tuple[Any, dict[str, Any], str]
#: Key of layer metadata that holds a `LayerLink`.
KEY = "napari_sfh"
#: The map that is visible first.
FIRST_MAP = "AGE_LW"
OUTLINE = "selected bins"


class LayerLink:
    """What a layer shows: ``role`` (white, bins, map, outline), the map's name, and its result or cube.

    It stays one object when napari copies a layer, so that a result is never duplicated.
    """

    def __init__(self, role: str, name: str = "", result: Result | None = None, cube: Path | None = None) -> None:
        self.role, self.name, self.result, self.cube = role, name, result, cube

    def __deepcopy__(self, memo: dict[int, object]) -> LayerLink:
        return self

    def __repr__(self) -> str:
        return f"<napari-sfh {self.role} {self.name}>".replace(" >", ">")


def get_layer_link(metadata: dict[str, Any]) -> LayerLink | None:
    """The `LayerLink` in a layer's metadata."""
    found = metadata.get(KEY)
    return found if isinstance(found, LayerLink) else None


def make_white_light_layer(image: NDArray[np.floating], sky: SkyGrid, name: str, link: LayerLink) -> LayerTuple:
    """The cube's white light, grey, square-root stretched."""
    low, high = maps.robust_limits(image, 5.0, 99.7)
    attributes = {
        "name": f"{name} white light",
        "colormap": "gray",
        "contrast_limits": (low, high),
        "gamma": 0.5,
        "interpolation2d": "nearest",
        "metadata": {KEY: link},
        **sky.transform(),
    }
    return np.ascontiguousarray(image, dtype=np.float32), attributes, "image"


def make_cube_layer(cube: Cube, image: NDArray[np.floating]) -> LayerTuple:
    """The layer of a cube that has not been run yet."""
    return make_white_light_layer(
        image, SkyGrid.of(cube.wcs, cube.shape[1:]), cube.name, LayerLink("white", cube=cube.path)
    )


def format_map_title(name: str) -> str:
    """Title of a map with its unit, as layers and menus show it."""
    spec = maps.MAPS[name]
    unit = spec.unit
    return f"{spec.title} [{unit}]" if unit and name != "FLAG" else spec.title


def format_map_value(result: Result, name: str, bin_id: int) -> str:
    """A map's value in a bin, as text: ``LW age 9.31 ± 0.08 log yr``."""
    spec = maps.MAPS[name]
    if name == "FLAG":
        return describe_flags(int(result.flag[bin_id - 1]))
    value = float(spec.values(result)[bin_id - 1])
    error = maps.MAPS.get(f"{name}_ERR")
    plus = f" ± {float(error.values(result)[bin_id - 1]):.2f}" if error is not None else ""
    return f"{spec.title} {value:.2f}{plus} {spec.unit.replace('log10', 'log')}".strip()


def format_four_means(result: Result, bin_id: int) -> str:
    """The four means of a bin in two lines."""
    lw, mw, mh_lw, mh_mw = (float(maps.MAPS[name].values(result)[bin_id - 1]) for name in maps.MEAN_MAPS)
    return f"age LW {lw:.2f}, MW {mw:.2f} log yr\n[M/H] LW {mh_lw:+.2f}, MW {mh_mw:+.2f}".replace("-", "−")


def make_map_layer(result: Result, name: str, sky: SkyGrid, limits: str = "shared") -> LayerTuple:
    """One map of `maps.MAPS` with its colorbar, hidden unless it is `FIRST_MAP`; ``limits``: one of `maps.LIMITS`."""
    image = maps.make_map_image(result, name)
    attributes = {
        "name": format_map_title(name),
        "colormap": maps.MAPS[name].colormap,
        "contrast_limits": maps.choose_map_limits(result, name, limits),
        "interpolation2d": "nearest",
        "visible": name == FIRST_MAP,
        "metadata": {KEY: LayerLink("map", name, result)},
        **sky.transform(),
    }
    return image, attributes, "image"


def build_bin_features(result: Result) -> pd.DataFrame:
    """What the status bar says of a bin: one row per bin and one for the background (index 0)."""
    columns: dict[str, Any] = {}
    for name in (*maps.MEAN_MAPS, "SNR", "OOD"):
        values = np.round(np.asarray(maps.MAPS[name].values(result), dtype=float), 2)
        columns[maps.MAPS[name].title] = np.concatenate([[np.nan], values])
    columns["Flags"] = ["", *(describe_flags(f) if f else "" for f in result.flag)]
    return pd.DataFrame({"index": np.arange(result.bins.n_bins + 1), **columns})


def make_bins_layer(result: Result, sky: SkyGrid) -> LayerTuple:
    """The bins as faint labels with the table of their values; they lie under the maps, which must not be tinted."""
    attributes = {
        "name": "bins",
        "opacity": 0.05,
        "features": build_bin_features(result),
        "metadata": {KEY: LayerLink("bins", "", result)},
        **sky.transform(),
    }
    return result.bins.bin_id, attributes, "labels"


def make_outline_layer(result: Result, sky: SkyGrid) -> LayerTuple:
    """The empty layer in which the selected bins are outlined.

    Line pieces as Vectors: a Shapes layer needs four times as long for an outline, and seconds of compilation.
    """
    attributes = {
        "name": OUTLINE,
        "ndim": 2,
        "vector_style": "line",
        "edge_width": max(result.bins.bin_id.shape) / 120,
        "opacity": 1.0,
        "metadata": {KEY: LayerLink("outline", "", result)},
        **sky.transform(),
    }
    return np.empty((0, 2, 2)), attributes, "vectors"


def make_result_layers(result: Result) -> Iterator[LayerTuple]:
    """The layers that a result begins with, from the bottom up: white light, bins, the four means, outline.

    Further maps get their layers when they are shown first: each layer costs the window time at every click.
    """
    sky = SkyGrid.of(result.wcs, result.bins.bin_id.shape)
    yield make_white_light_layer(result.white, sky, result.name, LayerLink("white", "", result))
    yield make_bins_layer(result, sky)
    for name in reversed(maps.MEAN_MAPS):
        yield make_map_layer(result, name, sky)
    yield make_outline_layer(result, sky)
