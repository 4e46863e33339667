"""Emission lines of ionised gas in the window (air, Angstrom), and the pixels that they leave to the stars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sfh.physics.wavelength import WAVE_AA

#: Hβ, [O III], [N I], He I, [O I], [N II], Hα, He I, [S II].
GAS_LINES_AA: tuple[float, ...] = (
    4861.3, 4958.9, 5006.8, 5197.9, 5200.3, 5875.6, 6300.3, 6363.8, 6548.0, 6562.8, 6583.5, 6678.2, 6716.4, 6730.8,
)  # fmt: skip
#: Hα in air, Angstrom.
HALPHA_AA: float = 6562.8
#: Half-width of the range that a line may fill at 150 km/s, Angstrom: four sigma at Hα, LSF included.
LINE_REACH_AA: float = 16.0

#: Pixels of the rest-frame grid on no such line, boolean (1761,).
STELLAR_PIXELS: NDArray[np.bool_] = (np.abs(WAVE_AA[:, None] - np.array(GAS_LINES_AA)) > LINE_REACH_AA).all(1)
STELLAR_PIXELS.flags.writeable = False
