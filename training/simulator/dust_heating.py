"""Energy balance of dust: what it absorbs of starlight and nebulae it emits in the infrared.

    L_dust = 10^balance ( int (F_emitted - F_seen) dl + sum over lines of the same )

from the Lyman limit on, put onto the emission of Draine & Li (2007) of the object's PAH share, starlight intensity and
share of dust that sees more (`libraries.dust_emission`), whose integral over all wavelengths is one. As in da Cunha,
Charlot & Elbaz (2008, MNRAS 388, 1595) the emission itself is not attenuated.
"""

from __future__ import annotations

import numpy as np

from napari_sfh.training.libraries.dust_emission import DustGrid, weigh_dust_models
from napari_sfh.training.prior.sampling import ObjectParameters
from napari_sfh.training.simulator.array_backend import ArrayBackend, LargeArray


def compute_dust_light(xp: ArrayBackend, dust: DustGrid, params: ObjectParameters, absorbed: LargeArray) -> LargeArray:
    """Dust emission of absorbed energy on the bins of a grid.

    Parameters
    ----------
    xp : ArrayBackend
    dust : DustGrid
        With K bins.
    params : ObjectParameters
        N objects.
    absorbed : array or tensor (N,)
        Lsun.

    Returns
    -------
    array or tensor (N, K)
        Lsun/AA.
    """
    models = xp.put(dust.emission.reshape(-1, dust.emission.shape[-1]))
    weights = weigh_dust_models(dust, params.q_pah, params.u_min, params.gamma)
    # Objects without dust emission stay dark: their PAH share is 0.
    share = np.where(params.q_pah > 0, 10.0**params.lg_balance, 0.0)
    return (absorbed * xp.put(share))[:, None] * (xp.put(weights) @ models)
