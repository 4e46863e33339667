"""From a result to napari layers, as plain layer-data tuples: no viewer, no Qt.

Every layer lies on the same `SkyGrid`, in arcsec: one layer in pixels would break the units of all. The maps carry
their values, NaN outside the bins; the unseen ``bins`` layer carries a table of values, so that
napari's status bar shows them under the cursor. ``metadata["napari_sfh"]`` ties a layer to its result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from napari.utils import Colormap
from numpy.typing import NDArray

from napari_sfh.analysis import maps
from napari_sfh.analysis.bin_properties import describe_bin_flags, describe_flags
from napari_sfh.analysis.drawing import map_limits
from napari_sfh.analysis.gas.line_maps import BPT_CLASSES
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.types import FLAG_MEANING, Cube, Result

LayerTuple = tuple[Any, dict[str, Any], str]
#: Key of layer metadata that holds a `LayerLink`.
KEY = "napari_sfh"
#: The map that is visible first, where the weights predict histories.
FIRST_MAP = "AGE_LW"


#: Colours of the flags' categories, none first, then as in `FLAG_MEANING`: far from those of bins and regions, and from
#: each other also for those who see no green.
FLAG_COLORS = (
    "#3b4048",
    *("#e6cccc", "#80b380", "#1ae6ff", "#998099", "#9999ff", "#cc1a66", "#99331a", "#ccffff", "#e6ff80"),
    *("#803399", "#666680", "#99b3b3", "#cc801a", "#664d4d", "#80ffb3", "#808033", "#ff9966", "#1a80ff"),
    "#d21eb4",
)


#: Brightest value of white light that the canvas draws as it is; fainter images are brought near 1.
_LEAST_DRAWN = 1e-6


class LayerLink:
    """What a layer shows: ``role`` (white, bins, map, lines, difference, composite, contours, disc, region), the
    map's or line's name, and its result or cube.

    It stays one object when napari copies a layer, so that a result is never duplicated. ``unit`` is that of the
    layer's values as its title shows it: the user may give the layer another name.
    """

    def __init__(
        self,
        role: str,
        name: str = "",
        result: Result | None = None,
        cube: Path | None = None,
        unit: str = "",
        hdu: str | None = None,
    ) -> None:
        self.role, self.name, self.result, self.cube, self.unit = role, name, result, cube, unit
        self.hdu = hdu  # of the cube
        self.path: Path | None = None  # the file of the result, if it is in one

    def __deepcopy__(self, memo: dict[int, object]) -> LayerLink:
        return self

    def __repr__(self) -> str:
        return f"<napari-sfh {self.role} {self.name}>".replace(" >", ">")


def get_layer_link(metadata: dict[str, Any]) -> LayerLink | None:
    """The `LayerLink` in a layer's metadata."""
    found = metadata.get(KEY)
    return found if isinstance(found, LayerLink) else None


def format_layer_title(layer_name: str, link: LayerLink | None) -> str:
    """Name of a layer with the unit of its values, also where the user has given it another name.

    Parameters
    ----------
    layer_name : str
        As the list of layers has it.
    link : LayerLink or None
        What is known of a layer of ours.
    """
    unit = "" if link is None else link.unit
    return f"{layer_name} [{unit}]" if unit and f"[{unit}]" not in layer_name else layer_name  # napari appends [1]


def make_white_light_layer(image: NDArray[np.floating], sky: SkyGrid, name: str, link: LayerLink) -> LayerTuple:
    """The cube's white light, grey, square-root stretched.

    Parameters
    ----------
    image : array (ny, nx)
        White light, of any unit.
    sky : SkyGrid
        Of its spaxels.
    name : str
        Of the galaxy.
    link : LayerLink

    Returns
    -------
    tuple
        Data, attributes and kind of the layer.
    """
    brightest = float(np.nanmax(np.abs(image), initial=0.0, where=np.isfinite(image)))
    if 0 < brightest < _LEAST_DRAWN:  # in erg/s/cm2/AA: such limits are one to the canvas
        image = image / 10.0 ** np.floor(np.log10(brightest))
    low, high = map_limits.robust_limits(image, 5.0, 99.7)
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
    """The layer of a cube that has not been run yet.

    Parameters
    ----------
    cube : Cube
    image : array (ny, nx)
        Its white light.

    Returns
    -------
    tuple
        Data, attributes and kind of the layer.
    """
    return make_white_light_layer(
        image, SkyGrid.of(cube.wcs, cube.shape[1:]), cube.name, LayerLink("white", cube=cube.path, hdu=cube.hdu)
    )


def format_map_title(name: str) -> str:
    """Title of a map with its unit, as layers and menus show it."""
    spec = maps.MAPS[name]
    unit = format_unit(spec.unit)
    return f"{spec.title} [{unit}]" if unit and name != "FLAG" else spec.title


def find_map_unit(name: str) -> str:
    """Unit of a map's values as its legend shows it; flags have none."""
    return "" if name == "FLAG" else format_unit(maps.MAPS[name].unit.removesuffix("by age").removesuffix(", "))


def format_map_value(result: Result, name: str, bin_id: int, age: int = 0) -> str:
    """A map's value in a bin, as text: ``LW age 9.31 ± 0.08 log yr``, or with its 16 and 84 %.

    Parameters
    ----------
    result : Result
    name : str
        Key of `maps.MAPS`.
    bin_id : int
        1..N.
    age : int
        From 0: age bin of a map that has one value for each.
    """
    spec = maps.MAPS[name]
    if name == "FLAG":
        return describe_bin_flags(result, bin_id - 1)
    if spec.by_age:
        value = float(spec.values(result)[bin_id - 1, age])
        told = f"{spec.title} {maps.format_age_range(name, age)}: {_format_number(value, spec.unit)}"
        ends = maps.find_age_interval(result, name, bin_id - 1, age)
        if ends is not None:
            told += f" ({_format_number(ends[0], spec.unit)} to {_format_number(ends[1], spec.unit)})"
        return f"{told} {spec.unit}".strip()
    unit = f"({spec.unit})" if "=" in spec.unit else format_unit(spec.unit)  # "1 = prior" tells what a value means
    return f"{spec.title} {_format_estimate(result, name, bin_id)} {unit}".strip()


def _format_estimate(result: Result, name: str, bin_id: int) -> str:
    """A map's value in a bin with its error, or its 16 and 84 %, without title and unit."""
    spec = maps.MAPS[name]
    told = _format_number(float(spec.values(result)[bin_id - 1]), spec.unit)
    interval = maps.find_formation_interval(result, name, bin_id - 1)
    if interval is not None:  # a ± would reach beyond the age of the Universe
        return f"{told} ({interval[0]:.2f}–{interval[1]:.2f})"
    error = maps.MAPS.get(f"{name}_ERR")
    return told if error is None else f"{told} ± {float(error.values(result)[bin_id - 1]):.2f}"


def _format_number(value: float, unit: str) -> str:
    """Two decimals; small shares and ratios with three digits."""
    return f"{value:z.3g}" if abs(value) < 1 and not unit else f"{value:z.2f}"


def format_unit(unit: str) -> str:
    """A unit for a reader: ``log M☉ kpc⁻²``."""
    for plain, written in (("Msun", "M☉"), ("Lsun", "L☉"), ("/kpc2", " kpc⁻²"), ("/yr", " yr⁻¹")):
        unit = unit.replace(plain, written)
    return unit


def format_main_values(result: Result, bin_id: int) -> str:
    """The main maps' values in a bin, each with its error as `format_map_value` tells it, in two lines.

    Parameters
    ----------
    result : Result
    bin_id : int
        1..N.
    """
    if not result.prediction.has_histories:
        rows = [format_map_value(result, name, bin_id) for name in maps.list_main_maps(result)]
        return "\n".join("; ".join(rows[k : k + 2]) for k in range(0, len(rows), 2))
    lw, mw, mh_lw, mh_mw = (_format_estimate(result, name, bin_id) for name in maps.MEAN_MAPS)
    return f"age LW {lw}, MW {mw} log yr\n[M/H] LW {mh_lw}, MW {mh_mw}".replace("-", "−")


def make_map_layer(result: Result, name: str, sky: SkyGrid, limits: str = "shared") -> LayerTuple:
    """One map of `maps.MAPS`, hidden unless it is the first main map; ``limits``: one of `map_limits.LIMITS`.

    Parameters
    ----------
    result : Result
    name : str
        Key of `maps.MAPS`.
    sky : SkyGrid
        The grid of the result.
    limits : str
        One of `map_limits.LIMITS`: how the limits of the colours are chosen.
    """
    image = maps.make_map_image(result, name)
    place = add_age_axis(sky.transform()) if maps.MAPS[name].by_age else sky.transform()
    attributes = {
        "name": format_map_title(name),
        "colormap": make_flag_colormap() if name == "FLAG" else maps.MAPS[name].colormap,
        "contrast_limits": map_limits.choose_map_limits(result, name, limits),
        "interpolation2d": "nearest",
        "visible": name == maps.list_main_maps(result)[0],
        "metadata": {KEY: LayerLink("map", name, result, unit=find_map_unit(name))},
        **place,
    }
    return image, attributes, "image"


def add_age_axis(transform: dict[str, Any]) -> dict[str, Any]:
    """A transform of a map on the sky with an axis of age before it: napari shows a slider for it."""
    affine = np.eye(4)
    affine[1:, 1:] = transform["affine"]
    return {
        "scale": (1.0, *transform["scale"]),
        "affine": affine,
        "units": ("pixel", *transform["units"]),
        "axis_labels": ("age", *transform["axis_labels"]),
    }


def make_category_colormap(colors: Sequence[str], name: str) -> Colormap:
    """One colour for each of some categories, which are whole numbers; the limits lie half a number outside.

    Parameters
    ----------
    colors : Sequence of str
        By category.
    name : str
        Of the colormap.
    """
    edges = np.linspace(0, 1, len(colors) + 1)
    return Colormap(list(colors), name=name, interpolation="zero", controls=edges)


def list_categories(name: str) -> dict[int, str]:
    """Words of a map's values: of the flags, or of the classes of gas; none for any other map.

    Parameters
    ----------
    name : str
        Key of `maps.MAPS`, or of a line map.
    """
    if name == "FLAG":
        return dict(enumerate(("none", *FLAG_MEANING.values())))
    return dict(enumerate(BPT_CLASSES[1:], 1)) if name == "BPT" else {}


def make_flag_colormap() -> Colormap:
    """One colour for each category of `maps.classify_flags`."""
    return make_category_colormap(FLAG_COLORS, "SFH flags")


def format_flag_legend(result: Result) -> str:
    """The categories that a result has, in their colours, with the number of bins of each."""
    category = maps.classify_flags(result.flag)
    texts = ["none", *FLAG_MEANING.values()]
    rows = [
        (color, text, int((category == k).sum()))
        for k, (color, text) in enumerate(zip(FLAG_COLORS, texts, strict=True))
    ]
    return format_category_legend(rows)


def format_category_legend(rows: Sequence[tuple[str, str, int]]) -> str:
    """Categories as rich text: colour, words, how many there are; those with none are left out."""
    return "<br>".join(f'<span style="color:{color}">■</span> {text}: {n}' for color, text, n in rows if n)


def build_bin_features(result: Result) -> pd.DataFrame:
    """What the status bar says of a bin: one row per bin and one for the background (index 0)."""
    columns: dict[str, Any] = {}
    for name in (*maps.list_main_maps(result), "SNR", "OOD"):
        values = np.round(np.asarray(maps.MAPS[name].values(result), dtype=float), 2)
        columns[maps.MAPS[name].title] = np.concatenate([[np.nan], values])
    columns["Flags"] = ["", *(describe_flags(f) if f else "" for f in result.flag)]
    return pd.DataFrame({"index": np.arange(result.bins.n_bins + 1), **columns})


def make_bins_layer(result: Result, sky: SkyGrid) -> LayerTuple:
    """The bins as labels with the table of their values; they cannot be seen, and tint neither white light nor maps.

    Parameters
    ----------
    result : Result
    sky : SkyGrid
        The grid of the result.
    """
    attributes = {
        "name": "bins",
        "opacity": 0.0,
        "features": build_bin_features(result),
        "metadata": {KEY: LayerLink("bins", "", result)},
        **sky.transform(),
    }
    return result.bins.bin_id, attributes, "labels"


def make_result_layers(result: Result) -> Iterator[LayerTuple]:
    """The layers that a result begins with, from the bottom up: white light, bins, the main maps.

    Further maps get their layers when they are shown first: each layer costs the window time at every click.
    """
    sky = SkyGrid.of(result.wcs, result.bins.bin_id.shape)
    yield make_white_light_layer(result.white, sky, result.name, LayerLink("white", "", result))
    yield make_bins_layer(result, sky)
    for name in reversed(maps.list_main_maps(result)):
        yield make_map_layer(result, name, sky)
