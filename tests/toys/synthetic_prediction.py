"""A small prediction and result with known numbers, without a network."""

import numpy as np
from muse_hst import BANDS, MUSE_HST, N_WAVE
from synthetic_bins import bins_of

from napari_sfh.physics.ages import AGE_EDGES_GYR, N_AGE
from napari_sfh.types import QUANTILES, Observation, Prediction, Result


def prediction_of(n: int) -> Prediction:
    """N equal bins of 1 % young, 99 % old stars, [M/H] = -0.2 in all age bins; the last row is NaN."""
    mass = np.zeros((n, N_AGE), np.float32)
    mass[:, 0], mass[:, -2] = 0.01, 0.99
    light = np.zeros((n, N_AGE), np.float32)
    light[:, 0], light[:, 1], light[:, -2] = 0.3, 0.1, 0.6
    mh = np.full((n, N_AGE), -0.2, np.float32)
    width = np.array([-0.2, -0.1, 0.0, 0.1, 0.2], np.float32)
    values = {"tau_ism": 0.3, "tau_bc": 0.5, "ebv": 0.05, "lg_ml_v": 0.2}
    values |= {"lg_age_mw": 9.9, "lg_age_lw": 9.0, "mh_mw": -0.2, "mh_lw": -0.2}
    quantiles = {k: np.full((n, len(QUANTILES)), v, np.float32) for k, v in values.items()}
    quantiles |= {"mh": mh[..., None] + width, "mass_frac": mass[..., None] + 0 * width}
    quantiles |= {"light_frac": light[..., None] + 0 * width, "cum_mass": np.ones((n, N_AGE, 5), np.float32)}
    for array in (mass, light, mh, *quantiles.values()):
        array[-1] = np.nan
    return Prediction(light, mass, mh, quantiles, np.zeros(n, np.float32), np.zeros((n, 8), np.float32), AGE_EDGES_GYR)


def result_of(prediction: Prediction) -> Result:
    """A row of bins, one spaxel each, S/N 1000, flux 1e-17 erg/s/cm2/AA."""
    from prep_toys import toy_wcs

    n = prediction.mh.shape[0]
    bins = bins_of([list(range(1, n + 1))])
    ones = np.ones((n, N_WAVE), np.float32)
    bands = np.ones((n, len(BANDS)), np.float32)
    zero = np.zeros(n, np.float32)
    data = Observation(
        ones, 1e-3 * ones, ones > 0, bands, 0.02 * bands, bands > 0, np.full(n, 1e-17), 1000 + zero, zero, 60 + zero,
        zero.astype(np.int32), instrument=MUSE_HST,
    )  # fmt: skip
    return Result(
        bins=bins,
        data=data,
        prediction=prediction,
        model_flux=ones,
        model_phot=bands,
        chi2=1 + zero,
        flag=data.flag,
        white=np.ones((1, n), np.float32),
        wcs=toy_wcs(1, n, 0.2),
        name="NGC0000",
        redshift=0.0,
        model_name="test",
        model_sha256="0" * 64,
        settings={},
    )
