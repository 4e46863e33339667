"""A map as a FITS image that keeps what it is: coordinates, unit, colours, limits, galaxy and weights.

napari's own TIFF and PNG keep the pixels alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS
from napari.utils.colormaps import Colormap, DirectLabelColormap, ensure_colormap
from numpy.typing import NDArray

from napari_sfh._qt.canvas.layer_data import (
    FLAG_COLORS,
    LayerLink,
    LayerTuple,
    add_age_axis,
    format_map_title,
    get_layer_link,
    list_categories,
)
from napari_sfh.analysis import maps
from napari_sfh.analysis.gas.line_maps import BPT_COLORS
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import write_atomically
from napari_sfh.io.result_hdus import escape_to_ascii
from napari_sfh.physics.ages import AGE_EDGES_GYR, N_AGE
from napari_sfh.physics.quantities import format_fits_unit

#: Card by which such a file is known.
ROLE_CARD = "SFHROLE"
#: Key of the metadata of a layer that was read from one.
FILE_KEY = "napari_sfh_map"
#: Label of spaxels without a value: 0 is a category.
_NO_CLASS = -1
#: Cards and the keys under which the layer's metadata hold them.
_CARDS = {ROLE_CARD: "role", "SFHMAP": "map", "OBJECT": "galaxy", "SFHMODEL": "weights", "SFHFILE": "file"}


def holds_map_image(path: Path) -> bool:
    """Whether a file was written by `write_map_image`."""
    if path.suffix.lower() != ".fits" or not path.is_file():
        return False
    try:
        return ROLE_CARD in fits.getheader(path, 0)
    except (OSError, ValueError):
        return False


def write_map_image(path: Path, data: Any, attributes: dict[str, Any]) -> Path:
    """Write a layer of ours as a FITS image.

    Parameters
    ----------
    path : path
    data : array (ny, nx) or (ages, ny, nx)
    attributes : dict
        Of the layer, which shows a result or a cube, or was opened from such a file.

    Raises
    ------
    SfhInputError
        The layer is none of ours, or in colours.
    """
    image = np.asarray(data)
    header = None if attributes.get("rgb") or image.ndim not in (2, 3) else _make_header(path, attributes)
    if header is None:
        raise SfhInputError(
            f"{path}: the layer {attributes.get('name', '')!r} is no map of a result or a cube; choose another format"
        )
    if "contrast_limits" in attributes:  # labels have neither limits nor a colormap by name
        colormap = attributes.get("colormap", "gray")  # napari gives a dictionary
        header["SFHCMAP"] = str(colormap["name"] if isinstance(colormap, dict) else getattr(colormap, "name", colormap))
        header["SFHLOW"], header["SFHHIGH"] = (float(limit) for limit in attributes["contrast_limits"])
        header["SFHGAMMA"] = float(attributes.get("gamma", 1.0))
    if np.issubdtype(image.dtype, np.integer):
        image = np.where(image == _NO_CLASS, np.nan, image)
    hdus = fits.HDUList([fits.PrimaryHDU(image.astype(np.float32), header)])
    if image.ndim == 3:
        hdus.append(_make_age_table(str(header["SFHMAP"])))
    with write_atomically(path) as part:
        hdus.writeto(part, overwrite=True, checksum=True)
    return path


def _make_header(path: Path, attributes: dict[str, Any]) -> fits.Header | None:
    """Coordinates of a layer and what it shows; of one that was opened from a file, those of the file; else None."""
    metadata = attributes.get("metadata", {})
    link = get_layer_link(metadata)
    if link is None:
        return _restore_header(metadata.get(FILE_KEY), str(attributes.get("name", "")))
    header = _find_wcs(link, path).to_header(relax=True)
    title = _find_title(str(attributes.get("name", "")), link)
    if unit := format_fits_unit(link.unit):
        header["BUNIT"] = unit
    about = {ROLE_CARD: link.role, "SFHMAP": link.name, "SFHFILE": str(link.path or link.cube or "")}
    if link.result is not None:
        about |= {"OBJECT": link.result.name, "SFHMODEL": link.result.model_name}
    for card, text in (about | {"SFHTITLE": title.strip(), "SFHUNIT": link.unit}).items():
        header[card] = escape_to_ascii(text)
    # What the file of a layer without them says.
    header["SFHCMAP"], header["SFHLOW"], header["SFHHIGH"], header["SFHGAMMA"] = "gray", 0.0, 1.0, 1.0
    for value, words in list_categories(link.name).items():
        header[f"SFHCLS{value}"] = words
    return header


def _restore_header(kept: Any, layer_name: str) -> fits.Header | None:
    """The header of the file from which a layer was read, with the name that it has now."""
    if not isinstance(kept, dict) or "header" not in kept:
        return None
    header = fits.Header.fromstring(kept["header"], sep="\n")
    header["SFHTITLE"] = escape_to_ascii(layer_name.replace(f" [{kept['unit']}]", "").strip())
    return header


def _find_title(layer_name: str, link: LayerLink) -> str:
    """Name of a layer without its unit, and without the age at which the slider stands: the file holds all ages."""
    if link.name in maps.MAPS and maps.MAPS[link.name].by_age:
        title = maps.MAPS[link.name].title
        steps = {f"{title} {maps.format_age_range(link.name, k)}" for k in range(N_AGE)}
        layer_name = format_map_title(link.name) if layer_name in steps else layer_name
    return layer_name.replace(f" [{link.unit}]", "")


def _make_age_table(name: str) -> fits.BinTableHDU:
    """The ages of a map's third axis, from its first plane on; what is younger than an age begins at 0."""
    young = 0 * AGE_EDGES_GYR[:-1] if name.endswith("_YOUNGER") else AGE_EDGES_GYR[:-1]
    columns = [
        fits.Column(key, "D", "Gyr", array=ages) for key, ages in (("AGE_LO", young), ("AGE_HI", AGE_EDGES_GYR[1:]))
    ]
    return fits.BinTableHDU.from_columns(columns, name="AGE_BINS")


def _find_wcs(link: LayerLink, path: Path) -> WCS:
    if link.result is not None:
        return link.result.wcs
    if link.cube is None:
        raise SfhInputError(f"{path}: the layer's cube is not known; open the cube again")
    from napari_sfh.io.cubes import read_cube

    return read_cube(link.cube, link.hdu).wcs


def read_map_image(path: Path) -> LayerTuple:
    """The layer of a file of `write_map_image`, where and how it was; of categories labels, whose words napari tells.

    napari shows no legend of colours: its status bar tells the class under the cursor, and its table of features all.

    Raises
    ------
    SfhInputError
        The file is damaged.
    """
    try:
        with fits.open(path, memmap=False) as hdus:
            image, header = np.asarray(hdus[0].data, dtype=np.float32), hdus[0].header
        sky = SkyGrid.of(WCS(header, naxis=2), image.shape[-2:])
        limits, gamma = (float(header["SFHLOW"]), float(header["SFHHIGH"])), float(header["SFHGAMMA"])
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SfhInputError(f"{path}: the image of the map is damaged ({error}); save it again") from error
    place = sky.transform()
    unit, title = _decode(header.get("SFHUNIT", "")), _decode(header.get("SFHTITLE", path.stem))
    about: dict[str, Any] = {key: _decode(header.get(card, "")) for card, key in _CARDS.items()}
    metadata = {FILE_KEY: about | {"unit": unit, "header": header.tostring(sep="\n")}}
    if classes := _read_classes(header):
        metadata[FILE_KEY]["classes"] = classes
        return _make_class_layer(image, classes, {"name": title, "metadata": metadata, **place}, header)
    attributes = {
        "name": f"{title} [{unit}]" if unit else title,
        "colormap": _find_colormap(header),
        "contrast_limits": limits,
        "gamma": gamma,
        "interpolation2d": "nearest",
        "metadata": metadata,
        **(add_age_axis(place) if image.ndim == 3 else place),
    }
    return image, attributes, "image"


def _read_classes(header: fits.Header) -> dict[int, str]:
    """Words of the values of a map of categories; files of earlier versions have none."""
    told = {value: _decode(words) for value in range(100) if (words := header.get(f"SFHCLS{value}"))}
    return told or list_categories(str(header.get("SFHMAP")))


def _make_class_layer(
    image: NDArray[np.float32], classes: dict[int, str], attributes: dict[str, Any], header: fits.Header
) -> LayerTuple:
    """Labels with a table of their words; where the map has no value they cannot be seen."""
    known: tuple[str, ...] = {"FLAG": FLAG_COLORS, "BPT": BPT_COLORS}.get(str(header.get("SFHMAP")), ())
    colors: dict[int | None, str] = {None: "transparent", _NO_CLASS: "transparent"}
    for value, color in zip(classes, known):
        colors[value] = color
    values = np.where(np.isfinite(image), np.rint(image), _NO_CLASS).astype(np.int16)
    features = pd.DataFrame({"index": [_NO_CLASS, *classes], "class": ["no value", *classes.values()]})
    if known:
        attributes["colormap"] = DirectLabelColormap(color_dict=colors, name=str(header.get("SFHCMAP")))
    return values, {"features": features, "opacity": 1.0, **attributes}, "labels"


def _find_colormap(header: fits.Header) -> Colormap:
    """By its name; grey where this napari knows none of the name."""
    try:
        return ensure_colormap(str(header.get("SFHCMAP", "gray")))
    except (KeyError, ValueError):
        return ensure_colormap("gray")


def _decode(text: str) -> str:
    return str(text).encode("ascii", "ignore").decode("unicode_escape")
