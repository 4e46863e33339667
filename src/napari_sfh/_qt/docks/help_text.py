"""What the Help button shows: keys, what each number and map means, where the documentation is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import napari_sfh
from napari_sfh.physics.ages import Z_SUN

#: The page of the documentation on the window, in the source of the package.
_PAGE = "docs/reference/window.md"
#: Keys and mouse on the map, and in the plots.
KEYS: Mapping[str, str] = {
    "click": "select a bin and show its history",
    "Shift + click": "compare a further bin, or take it out; as many as wished",
    "arrow keys": "the next bin in that direction on the sky",
    "Alt+1 … Alt+4": "the four main maps",
    "Alt+N": "RA and Dec at the edges of the canvas, as a grid, or none",
    "Alt+E, Alt+G": "the map's error; the main maps side by side",
    "Alt+R": "draw a region",
    "Alt+K": "pin the selected bin, or let it go",
    "Alt+X": "copy RA, Dec and the value under the cursor",
    "Alt+U, Alt+D": "HST colours under the maps; difference map",
    "Alt+A, Alt+B, Alt+J": "radial gradients; pPXF on the bin; corner plot of the bin",
    "Ctrl + drag": "a circular aperture on an opened cube, from its centre; with Shift a further one",
    "Ctrl+Z, Ctrl+Shift+Z": "undo and redo: selection, regions, hidden bins, limits, the shown map",
    "F1": "this help",
    "wheel over a plot": "zoom time or wavelength; a double click undoes it, or lets the plot fill the dock",
    "drag in the spectrum of a cube": "the image over a range; Shift + drag beside it takes the continuum off",
    "right button on a plot": "menu: copy the picture or the numbers, show the plot alone",
    "points of a plot": "click selects the bin, Shift + click compares it, a lasso shows the mean of many",
}
#: What the numbers of a bin mean.
NUMBERS: Mapping[str, str] = {
    "S/N": "of the bin's spectrum per pixel (or the median of its bands), and its number of spaxels",
    "LW, MW age": "mean of log age weighted by V-band light (led by the young) or by the mass formed (led by the old)",
    "LW, MW [M/H]": f"the same means of the metallicity, dex; solar Z = {Z_SUN}",
    "t50, t90": "lookback times at which half and 90 % of the mass had formed; the tip of t50 has all nine",
    "E(B−V)": "reddening of the stars by the galaxy's own dust, mag; the Milky Way's is taken off before",
    "χ²": "reduced, of the spectrum and the model of the prediction",
    "Depth": "how unlike the training set the bin is: above 1 the network is not to be believed",
    "Prior": "width of the posterior over that of the prior: near 1 the prior decides, near 0 the data",
    "intervals": "16-84 % of the posterior, calibrated; a ± is half of it",
    "masses and rates": "of the stars formed, without what dying stars return; IMF of the templates",
}


def format_help(maps: Mapping[str, str]) -> str:
    """Help as Markdown; ``maps``: titles of the maps that there are, to what each means."""
    parts = [
        "## Keys and mouse\n\n| Key or mouse | What it does |\n|---|---|",
        *(f"| {key} | {meaning} |" for key, meaning in KEYS.items()),
        "\n## What the numbers mean\n\n| Number | Meaning |\n|---|---|",
        *(f"| {key} | {meaning} |" for key, meaning in NUMBERS.items()),
    ]
    if maps:
        parts += ["\n## Maps\n\n| Map | Meaning |\n|---|---|"]
        parts += [f"| {title} | {text} |" for title, text in maps.items()]
    page = Path(napari_sfh.__file__).parents[2] / _PAGE
    where = f"[{_PAGE}]({page.as_uri()})" if page.is_file() else f"`{_PAGE}` of the package's source"
    parts.append(f"\nEvery field and button has a tip: rest the mouse on it. Documentation of the window: {where}.")
    return "\n".join(parts)
