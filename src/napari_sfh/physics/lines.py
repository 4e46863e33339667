"""Emission lines of ionised gas in the optical (air, Angstrom), and the pixels that they leave to the stars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: [O II], [Ne III], He I, Hδ, Hγ, [O III], He II, Hβ, [O III], [N I], He I, [O I], [N II], Hα, He I, [S II], [Ar III],
#: [O II], [S III].
GAS_LINES_AA: tuple[float, ...] = (
    3726.0, 3728.8, 3868.8, 3888.6, 3967.5, 3970.1, 4101.7, 4340.5, 4363.2, 4685.7,
    4861.3, 4958.9, 5006.8, 5197.9, 5200.3, 5875.6, 6300.3, 6363.8, 6548.0, 6562.8, 6583.5, 6678.2, 6716.4, 6730.8,
    7065.2, 7135.8, 7319.5, 7330.2, 7751.1, 9068.6, 9530.6,
)  # fmt: skip
#: Hα in air, Angstrom.
HALPHA_AA: float = 6562.8
#: Half-width of the range that a line may fill at 150 km/s, Angstrom: four sigma at Hα, LSF included.
LINE_REACH_AA: float = 16.0


#: Lines that recombination makes, with those within `LINE_REACH_AA` of them: Hα hides [N II], Hβ nothing else.
RECOMBINATION_LINES_AA: tuple[float, ...] = (
    3888.6, 3967.5, 3970.1, 4101.7, 4340.5, 4685.7, 4861.3, 5875.6, 6548.0, 6562.8, 6583.5, 6678.2, 7065.2,
)  # fmt: skip
#: The others, which collisions excite.
FORBIDDEN_LINES_AA: tuple[float, ...] = tuple(x for x in GAS_LINES_AA if x not in RECOMBINATION_LINES_AA)


def find_stellar_pixels(wave_aa: NDArray[np.floating], lines_aa: tuple[float, ...] = GAS_LINES_AA) -> NDArray[np.bool_]:
    """Pixels of a grid that lie on none of the gas lines.

    Parameters
    ----------
    wave_aa : array (W,)
        Rest frame, Angstrom in air.
    lines_aa : tuple of float
        Centres of the lines, Angstrom in air; each takes `LINE_REACH_AA` to both sides.

    Returns
    -------
    bool array (W,)
    """
    distance = np.abs(np.asarray(wave_aa, dtype=np.float64)[:, None] - np.array(lines_aa))
    return np.asarray((distance > LINE_REACH_AA).all(1), dtype=np.bool_)
