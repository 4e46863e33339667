"""The curves of a panel as text, for the clipboard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.drawing.bin_drawing import DRAWN_EDGES_GYR


def format_panel_numbers(views: Sequence[BinView], name: str, kind: str) -> str:
    """The curves of a panel (a key of `bin_plots.PANELS`) as tab-separated columns with a header line.

    Parameters
    ----------
    views : Sequence of BinView
        The bins or regions that the panel shows.
    name : str
        Key of the panel.
    kind : str
        ``mass`` or ``light``: the weight of histories; spectra and bands have none.
    """
    columns: dict[str, NDArray[np.floating]]
    if name == "spectrum":
        columns = {"wavelength_aa": views[0].wave_aa}
        for view in views:
            stem = _stem(view)
            columns |= {f"{stem}_flux": view.flux, f"{stem}_error": view.error, f"{stem}_model": view.model}
    elif name == "sed":
        columns = {"pivot_aa": views[0].instrument.pivot_aa}
        for view in views:
            stem = _stem(view)
            columns |= {f"{stem}_flux": view.phot, f"{stem}_error": view.phot_error, f"{stem}_model": view.phot_model}
    else:
        edges = DRAWN_EDGES_GYR if name == "cumulative" else DRAWN_EDGES_GYR[:-1]
        columns = {"lookback_gyr_from": edges} if name != "cumulative" else {"lookback_gyr": edges}
        for view in views:
            curves = {"sfh": view.sfh(kind), "cumulative": view.cumulative_share(kind), "mh": view.mh}
            band = curves[name]
            stem = _stem(view)
            columns |= {f"{stem}_{name}": band.value, f"{stem}_{name}_p16": band.low, f"{stem}_{name}_p84": band.high}
    lines = ["\t".join(columns), *("\t".join(f"{value:.6g}" for value in row) for row in zip(*columns.values()))]
    return "\n".join(lines)


def _stem(view: BinView) -> str:
    """How the columns of a bin or region begin."""
    return view.name.replace(" ", "")
