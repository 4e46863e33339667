"""Emission lines of ionised gas in the optical (air, Angstrom), and the pixels that they leave to the stars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sfh.arrays import F64

#: Hα and Hβ.
HALPHA_AA: float = 6562.80
HBETA_AA: float = 4861.33
#: Doublets, the stronger line first; that of [S II] follows the density.
OIII_AA: tuple[float, float] = (5006.84, 4958.91)
NII_AA: tuple[float, float] = (6583.45, 6548.05)
OI_AA: tuple[float, float] = (6300.30, 6363.78)
SII_AA: tuple[float, float] = (6716.44, 6730.82)
#: Flux of the stronger over that of the weaker line of those that leave one level (Storey & Zeippen 2000, MNRAS 312,
#: 813).
OIII_RATIO, NII_RATIO, OI_RATIO = 2.98, 3.05, 3.13
#: [O II], [Ne III], He I, Hδ, Hγ, [O III], He II, Hβ, [O III], [N I], He I, [O I], [N II], Hα, He I, [S II], [Ar III],
#: [O II], [S III].
GAS_LINES_AA: tuple[float, ...] = (
    3726.0, 3728.8, 3868.8, 3888.6, 3967.5, 3970.1, 4101.7, 4340.5, 4363.2, 4685.7,
    HBETA_AA, *OIII_AA, 5197.9, 5200.3, 5875.6, *OI_AA, *NII_AA, HALPHA_AA, 6678.2, *SII_AA,
    7065.2, 7135.8, 7319.5, 7330.2, 7751.1, 9068.6, 9530.6,
)  # fmt: skip
#: Lines of gas that are faint beside those of `GAS_LINES_AA`, yet not beside the stars in H II regions and nuclei
#: (Osterbrock & Ferland 2006): He I, He II, [Fe II], [Fe III], [Fe VII], [Fe X], [Ar IV], [Cl III], [N II], [S II],
#: [S III], Si II, C II, O I, [Ni II], [Cl II], [Ca II], and the Paschen series.
FAINT_GAS_LINES_AA: tuple[float, ...] = (
    4026.2, 4068.6, 4076.3, 4267.2, 4387.9, 4471.5, 4658.1, 4701.5, 4711.4, 4713.1, 4740.2, 4754.7, 4881.0, 4921.9,
    5015.7, 5047.7, 5158.8, 5270.4, 5411.5, 5517.7, 5537.9, 5577.3, 5720.7, 5754.6, 6086.9, 6312.1, 6347.1, 6371.4,
    6374.5, 7231.3, 7236.4, 7281.4, 7291.5, 7323.9, 7377.8, 8446.4, 8502.5, 8545.4, 8578.7, 8598.4, 8617.0, 8665.0,
    8750.5, 8862.8, 9014.9, 9229.0, 9546.0,
)  # fmt: skip
#: Balmer lines of young stars beyond Hε, H9 to H13 (air).
HIGH_BALMER_AA: tuple[float, ...] = (3835.38, 3797.90, 3770.63, 3750.15, 3734.37)
#: What the gas between stars and us absorbs, whatever the stars are: Ca K and H, Na D (air).
INTERSTELLAR_LINES_AA: tuple[float, ...] = (3933.66, 3968.47, 5889.95, 5895.92)
#: Half-width of the range that a line may fill at 150 km/s, Angstrom: four sigma at Hα, LSF included.
LINE_REACH_AA: float = 16.0

#: Lines that recombination makes, with those within `LINE_REACH_AA` of them: Hα hides [N II], Hβ nothing else.
RECOMBINATION_LINES_AA: tuple[float, ...] = (
    3888.6, 3967.5, 3970.1, 4101.7, 4340.5, 4685.7, HBETA_AA, 5875.6, *NII_AA, HALPHA_AA, 6678.2, 7065.2,
)  # fmt: skip
#: The others, which collisions excite.
FORBIDDEN_LINES_AA: tuple[float, ...] = tuple(x for x in GAS_LINES_AA if x not in RECOMBINATION_LINES_AA)


#: From where to where, on both sides of a line, its continuum is taken, Angstrom.
_CONTINUUM_OFFSETS_AA = (40.0, 80.0)


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


def measure_line_continuum(flux: NDArray[np.floating], wave_aa: NDArray[np.floating], line_aa: float) -> F64:
    """Mean flux beside a line.

    Parameters
    ----------
    flux : array (N, W)
    wave_aa : array (W,)
        Rest frame, Angstrom.
    line_aa : float
        The line, in the medium of ``wave_aa``.

    Returns
    -------
    array (N,)
        NaN where the grid ends before.

    Examples
    --------
    >>> measure_line_continuum(np.full((1, 100), 3.0), np.arange(4800.0, 4900.0), 4861.3).tolist()
    [3.0]
    """
    away = np.abs(wave_aa - line_aa)
    beside = (away > _CONTINUUM_OFFSETS_AA[0]) & (away < _CONTINUUM_OFFSETS_AA[1])
    if not beside.any():
        return np.full(len(flux), np.nan)
    return np.asarray(flux[:, beside].mean(1), dtype=np.float64)
