"""How bins are drawn: their colours, edges and names on axes, lines, and the ranges of spectra."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sfh.instruments.instrument import Instrument
from napari_sfh.physics.ages import TIME_EDGES_GYR
from napari_sfh.physics.lines import HALPHA_AA, HBETA_AA, OI_AA, OIII_AA

#: Colours of compared bins, in order (Okabe & Ito 2008, colour-blind safe).
COLORS: tuple[str, ...] = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2")


def choose_color(place: int) -> str:
    """Colour of the bin at a place (from 0) of those shown: `COLORS`, then lighter and darker ones, then anew."""
    tone = (place // len(COLORS)) % 3
    color = COLORS[place % len(COLORS)]
    parts = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
    mixed = [round(part + 0.5 * (255 - part)) if tone == 1 else round(0.6 * part) for part in parts]
    return color if tone == 0 else f"#{mixed[0]:02x}{mixed[1]:02x}{mixed[2]:02x}"


#: Where the youngest age bin begins on a logarithmic axis, Gyr.
YOUNGEST_GYR: float = 0.005


#: Edges of the metallicity distribution's bins, dex.
MH_EDGES: NDArray[np.float64] = np.arange(-2.2, 0.85, 0.1)


#: Edges of the age bins as drawn, Gyr, shape (17,).
DRAWN_EDGES_GYR: NDArray[np.float64] = np.concatenate([[YOUNGEST_GYR], TIME_EDGES_GYR[1:]])


#: Main lines of the optical, the most important first: name and rest wavelength in air, Angstrom.
LINES_AA: tuple[tuple[str, float], ...] = (
    ("Hα", HALPHA_AA),
    ("Hβ", HBETA_AA),
    ("Mg b", 5175.4),
    ("Na D", 5892.9),
    ("O III", OIII_AA[0]),
    ("S II", 6723.5),
    ("Fe", 5335.2),
    ("O I", OI_AA[0]),
    ("O II", 3727.4),
    ("Ca K", 3933.7),
    ("Hδ", 4101.7),
    ("Hγ", 4340.5),
    ("Ca II", 8542.1),
    ("S III", 9530.6),
)


#: The ways to draw an SFH: key, name, label of the axis (the SFR is per unit mass formed).
SFH_KINDS: dict[str, tuple[str, str]] = {
    "mass": ("Mass formed", "mass / bin"),
    "light": ("V-band light", "light / bin"),
    "sfr": ("SFR", "SFR (1/Gyr)"),
}


def format_flux_label(instrument: Instrument, html: bool = False) -> str:
    """Label of spectra and bands: f_lambda over what it is divided by; for matplotlib, or in HTML.

    Parameters
    ----------
    instrument : Instrument
    html : bool
        For Qt; else for matplotlib.

    Returns
    -------
    str
    """
    if instrument.spectrum is None:
        return "F<sub>λ</sub>, relative" if html else r"$F_\lambda$, relative"
    lo, hi = instrument.spectrum.norm_window_aa
    if html:
        return f"F<sub>λ</sub> / F<sub>{0.5 * (lo + hi):.0f}</sub>"
    return r"$F_\lambda\ /\ F_\lambda$" + f"({lo:.0f}–{hi:.0f} Å)"


def choose_residual_range(residual: NDArray[np.floating]) -> float:
    """Half of the range of a residual about 0 that shows the continuum's; emission lines leave it.

    Parameters
    ----------
    residual : array (W,)
        NaN where unusable.

    Returns
    -------
    float
        In its unit.
    """
    finite = np.abs(residual[np.isfinite(residual)])
    if finite.size == 0:
        return 1.0
    # Of a Gaussian 4.9 and 8 standard deviations; the median is the continuum's also where 5 % of the pixels are lines.
    middle, high = np.percentile(finite, [50.0, 95.0])
    return max(min(2.5 * float(high), 12.0 * float(middle)), 1e-6)


def choose_flux_range(flux: NDArray[np.floating], model: NDArray[np.floating]) -> tuple[float, float]:
    """Range of flux that shows the continuum and its absorption; strong emission lines leave at the top.

    A few per cent of the pixels are emission lines, ten times as high as the features that matter; in the window the
    range follows the wavelengths in sight.

    Parameters
    ----------
    flux, model : array (W,)
        Of one unit; NaN where unusable.

    Returns
    -------
    (float, float)
        In their unit.
    """
    seen = np.concatenate([flux[np.isfinite(flux)], model[np.isfinite(model)]])
    if seen.size == 0:
        return 0.0, 1.0
    low, middle, high, highest = np.percentile(seen, [0.2, 50, 95, 100])
    top = min(highest, high + 1.5 * max(high - low, 0.2 * abs(middle)))
    room = 0.06 * (top - low)
    return float(low - room), float(top + room)
