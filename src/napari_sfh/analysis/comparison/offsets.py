"""Offsets of a result from other answers for the same galaxies: one row a galaxy, answer and quantity, and one of all.

Offsets are this result minus the other over the bins that both cover, in dex where the quantity is a logarithm: the
comparison of Galceran et al. (2026, section 5 and figure 14).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from napari_sfh.analysis.comparison.map_comparison import Comparison, measure_scatter
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.types import F64

#: Name of the rows that take all galaxies together.
ALL_GALAXIES = "all"


@dataclass(frozen=True)
class Offset:
    """Differences this result - other of one quantity in n bins, in `unit`."""

    galaxy: str
    other: str
    mean: str  # of physics.quantities
    n: int
    median: float
    std: float
    nmad: float
    p16: float
    p84: float
    correlation: float

    @property
    def unit(self) -> str:
        """Unit of the differences: dex of a logarithm."""
        return QUANTITIES[self.mean].error_unit

    @property
    def per_cent(self) -> float:
        """The median as a relative difference of the linear quantity, %; NaN where it is no logarithm."""
        return 100 * float(10**self.median - 1) if self.unit == "dex" else float("nan")

    @property
    def median_text(self) -> str:
        """The median with its unit, of a logarithm in per cent too."""
        share = f" ({self.per_cent:+z.0f} %)" if np.isfinite(self.per_cent) else ""
        return f"{self.median:+z.3f} {self.unit}{share}"

    def format_line(self) -> str:
        """One line for a terminal."""
        text = f"{self.mean:10s} {self.median_text}, scatter {self.std:.3f}"
        return f"{text}, NMAD {self.nmad:.3f}, 68 % {self.p16:+z.3f}...{self.p84:+z.3f}, r {self.correlation:z.3f}"


def select_compared_bins(comparison: Comparison, min_snr: float = 0.0) -> NDArray[np.bool_]:
    """Bins that reach an S/N.

    Parameters
    ----------
    comparison : Comparison
    min_snr : float

    Returns
    -------
    bool array (N,)
    """
    return np.asarray(comparison.result.data.snr >= min_snr)


def measure_offsets(comparison: Comparison, min_snr: float = 0.0) -> list[Offset]:
    """Offsets of every quantity that both have.

    Parameters
    ----------
    comparison : Comparison
    min_snr : float
        Bins below this S/N are left out.

    Returns
    -------
    list of Offset
        One for each quantity.
    """
    use = select_compared_bins(comparison, min_snr)
    found = []
    for key in (k for k in QUANTITIES if k in comparison.means):
        own, other = comparison.pair(key)
        found.append(_offset(comparison.result.name, comparison.other.name, key, own[use], other[use]))
    return found


def _offset(galaxy: str, other: str, key: str, own: F64, theirs: F64) -> Offset:
    s = measure_scatter(own, theirs)
    difference = own - theirs
    finite = difference[np.isfinite(difference)]
    low, high = np.percentile(finite, [16, 84]) if finite.size else (np.nan, np.nan)
    return Offset(galaxy, other, key, s.n, s.bias, s.std, s.nmad, float(low), float(high), s.correlation)


def measure_joint_offsets(comparisons: Sequence[Comparison], min_snr: float = 0.0) -> list[Offset]:
    """Offsets over the bins of all galaxies together, each bin once.

    Parameters
    ----------
    comparisons : sequence of Comparison
        One for each galaxy.
    min_snr : float
        Bins below this S/N are left out.

    Returns
    -------
    list of Offset
        One for each quantity.
    """
    found = []
    for key in QUANTITIES:
        pairs = [c.pair(key) for c in comparisons if key in c.means]
        uses = [select_compared_bins(c, min_snr) for c in comparisons if key in c.means]
        if pairs:
            own, other = (np.concatenate([p[k][use] for p, use in zip(pairs, uses)]) for k in (0, 1))
            found.append(_offset(ALL_GALAXIES, "", key, own, other))
    return found


def build_offset_table(offsets: Sequence[Offset]) -> QTable:
    """One row an offset: GALAXY, OTHER, MEAN, UNIT, N, OFFSET, PERCENT, STD, NMAD, P16, P84, R."""
    table = QTable()
    for name, attribute, words in (
        ("GALAXY", "galaxy", "name of the result"),
        ("OTHER", "other", "the answer that it is compared with"),
        ("MEAN", "mean", "the quantity: log10 age in yr or [M/H], mass- or light-weighted, or another"),
        ("UNIT", "unit", "of OFFSET, STD, NMAD, P16, P84"),
        ("N", "n", "bins that both cover"),
        ("OFFSET", "median", "median of result - other"),
        ("PERCENT", "per_cent", "the same of the linear quantity, per cent; NaN where it is no logarithm"),
        ("STD", "std", "standard deviation of the differences"),
        ("NMAD", "nmad", "1.4826 x median absolute deviation"),
        ("P16", "p16", "16 % of the differences"),
        ("P84", "p84", "84 % of the differences"),
        ("R", "correlation", "Pearson correlation of the two"),
    ):
        table[name] = [getattr(o, attribute) for o in offsets]
        table[name].info.description = words
    return table
