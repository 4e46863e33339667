"""Narrow bands of a survey like J-PAS.

The filters are made, not measured: trapezoids of 145 AA full width at half maximum every 100 AA, with sides of 25 AA,
named like those of J-PAS (Benitez et al. 2014, arXiv:1403.5237; Bonoli et al. 2021, A&A 653, A31), which has 54 of them
between a band u and a band J1007 at the ends: 56 in all.

Liew-Cain et al. (2021, MNRAS 502, 1355) cut such bands from CALIFA cubes, and leave out those that may hold Halpha.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.filters import Filter, make_trapezoid_filter

#: Full width at half maximum, distance and width of the sides of the narrow bands, Angstrom.
FWHM_AA, SPACING_AA, SIDE_AA = 145.0, 100.0, 25.0
#: Centres and widths in Angstrom of the bands that are not of the regular row.
ENDS_AA: dict[str, tuple[float, float]] = {"u": (3497.0, 495.0), "J0378": (3782.0, 155.0), "J1007": (9316.0, 620.0)}
#: Centres of the regular row.
CENTRES_AA: tuple[float, ...] = tuple(3900.0 + SPACING_AA * k for k in range(53))


def make_jpas_like_filters(
    low_aa: float = 0.0, high_aa: float = np.inf, without_aa: Sequence[float] = ()
) -> tuple[Filter, ...]:
    """The bands that lie wholly within a range, from blue to red.

    Parameters
    ----------
    low_aa, high_aa : float
        Range of the spectra in Angstrom (air); 4750 to 9350 for MUSE.
    without_aa : sequence of float
        Leave out bands that hold one of these wavelengths, `physics.lines.HALPHA_AA` for example.

    Raises
    ------
    SfhInputError
        No band is left.
    """
    named = {f"J{round(c / 10):04d}": (c, FWHM_AA) for c in CENTRES_AA} | ENDS_AA
    made = [make_trapezoid_filter(name, "J-PAS like", *shape, SIDE_AA) for name, shape in named.items()]
    made.sort(key=lambda f: f.pivot_aa)

    def kept(band: Filter) -> bool:
        first, last = band.wave_aa[0], band.wave_aa[-1]
        return low_aa <= first and last <= high_aa and not any(first < line < last for line in without_aa)

    left = tuple(f for f in made if kept(f))
    if not left:
        raise SfhInputError(f"narrow bands: none lies within {low_aa:g}-{high_aa:g} AA; widen the range")
    return left
