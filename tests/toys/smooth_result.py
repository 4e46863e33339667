"""A synthetic result of 16 bins on a 40 x 40 map, rotated on the sky, whose quantities run smoothly."""

from dataclasses import replace

import numpy as np
from astropy.wcs import WCS
from muse_hst import BANDS, MUSE_HST, N_WAVE, WAVE_AA

from napari_sfh.analysis.comparison import ppxf_fit
from napari_sfh.physics.ages import AGE_EDGES_GYR, LG_AGE_YR
from napari_sfh.physics.means import MEAN_NAMES, compute_population_means
from napari_sfh.types import BinMap, Flag, Observation, Prediction, Result

ROTATION_DEG = 30.0
PIXEL_ARCSEC = 0.2


def make_wcs(shape: tuple[int, int] = (40, 40)) -> WCS:
    """North is ROTATION_DEG from the y axis towards -x (east of it in a frame with RA to the left)."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [24.174, 15.783]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    a, s = np.radians(ROTATION_DEG), PIXEL_ARCSEC / 3600
    wcs.wcs.cd = s * np.array([[-np.cos(a), np.sin(a)], [np.sin(a), np.cos(a)]])
    wcs.wcs.set()
    return wcs


def _bins(n_side: int, shape: tuple[int, int]) -> BinMap:
    """Square blocks inside a round field, numbered without gaps."""
    ny, nx = shape
    y, x = np.mgrid[:ny, :nx]
    block = 1 + (y * n_side // ny) * n_side + x * n_side // nx
    inside = np.hypot((y - (ny - 1) / 2) / ny, (x - (nx - 1) / 2) / nx) < 0.48
    ids, numbered = np.unique(np.where(inside, block, 0), return_inverse=True)
    bin_id = numbered.reshape(shape).astype(np.int32)
    n = ids.size - 1
    count = np.bincount(bin_id.ravel(), minlength=n + 1)[1:]
    cx = np.bincount(bin_id.ravel(), x.ravel(), minlength=n + 1)[1:] / count
    cy = np.bincount(bin_id.ravel(), y.ravel(), minlength=n + 1)[1:] / count
    snr = np.linspace(60, 20, n).astype(np.float32)
    return BinMap(bin_id, cx, cy, count.astype(np.int32), snr, 35.0, "vorbin")


def _quantiles(value: np.ndarray, width: float, low: float = -np.inf, high: float = np.inf) -> np.ndarray:
    offsets = np.array([-1.96, -1.0, 0.0, 1.0, 1.96]) * width
    return np.clip(value[..., None] + offsets, low, high).astype(np.float32)


def _prediction(n: int, rng: np.random.Generator) -> Prediction:
    peak = np.linspace(9.9, 8.8, n)[:, None]
    mass = np.exp(-0.5 * ((LG_AGE_YR - peak) / 0.35) ** 2) + 0.02
    mass /= mass.sum(1, keepdims=True)
    light = mass * 10 ** (-0.7 * (LG_AGE_YR - 9))
    light /= light.sum(1, keepdims=True)
    mh = np.linspace(0.2, -0.5, n)[:, None] - 0.15 * (LG_AGE_YR - 9)
    scalars = {
        **compute_population_means(mass, light, mh),
        "tau_ism": rng.uniform(0, 1, n),
        "tau_bc": rng.uniform(0, 1, n),
        "ebv": rng.uniform(0, 0.3, n),
        "lg_ml_v": np.full(n, 0.2),
    }
    quantiles = {name: _quantiles(value, 0.1) for name, value in scalars.items()}
    quantiles["mass_frac"] = _quantiles(mass, 0.02, 0, 1)
    quantiles["light_frac"] = _quantiles(light, 0.02, 0, 1)
    quantiles["cum_mass"] = _quantiles(np.cumsum(mass[:, ::-1], 1)[:, ::-1], 0.03, 0, 1)
    quantiles["mh"] = _quantiles(mh, 0.15)
    f32 = np.float32
    ood = np.linspace(0.2, 1.4, n).astype(f32)
    return Prediction(
        light.astype(f32), mass.astype(f32), mh.astype(f32), quantiles, ood, np.zeros((n, 40), f32), AGE_EDGES_GYR
    )


def make_result(n_side: int = 4, shape: tuple[int, int] = (40, 40), seed: int = 1) -> Result:
    """A result whose quantities run smoothly with the bin number."""
    rng = np.random.default_rng(seed)
    bins = _bins(n_side, shape)
    n = bins.n_bins
    f32 = np.float32
    model = 1 + 0.1 * np.linspace(1, -1, n)[:, None] * (WAVE_AA - 5400) / 1000
    model = model - 0.3 * np.exp(-0.5 * ((WAVE_AA - 5175.4) / 8) ** 2) + np.exp(-0.5 * ((WAVE_AA - 6562.8) / 4) ** 2)
    noise = 1 / bins.snr[:, None]
    mask = np.ones((n, N_WAVE), bool)
    mask[:, (WAVE_AA > 5800) & (WAVE_AA < 5970)] = False
    flux = np.where(mask, model + noise * rng.standard_normal((n, N_WAVE)), 0)
    phot_model = np.array([0.4, 0.6, 1.0, 1.02, 0.8]) * np.ones((n, 1))
    phot_mask = np.ones((n, len(BANDS)), bool)
    phot_mask[-1, 0] = False
    flag = np.zeros(n, np.int32)
    flag[-1] = int(Flag.MISSING_BAND | Flag.OUT_OF_DEPTH)
    data = Observation(
        flux=flux.astype(f32),
        error=np.broadcast_to(noise, (n, N_WAVE)).astype(f32),
        mask=mask,
        phot=np.where(phot_mask, phot_model * (1 + 0.03 * rng.standard_normal(phot_mask.shape)), 0).astype(f32),
        phot_error=np.full(phot_mask.shape, 0.03, f32),
        phot_mask=phot_mask,
        norm_cgs=np.full(n, 1e-17),
        snr=bins.snr,
        v_kms=np.linspace(-100, 100, n).astype(f32),
        sigma_kms=np.full(n, 80, f32),
        flag=flag,
        instrument=MUSE_HST,
    )
    y, x = np.mgrid[: shape[0], : shape[1]]
    radius = np.hypot(y - shape[0] / 2, x - shape[1] / 2)
    return Result(
        bins=bins,
        data=data,
        prediction=_prediction(n, rng),
        model_flux=model.astype(f32),
        model_phot=phot_model.astype(f32),
        chi2=np.ones(n, f32),
        flag=flag,
        white=np.where(radius < 0.49 * shape[0], 1000 * np.exp(-radius / 8), np.nan).astype(f32),
        wcs=make_wcs(shape),
        name="NGC0000",
        redshift=0.0022,
        model_name="test",
        model_sha256="0" * 64,
        settings={"target_snr": 35.0, "binning": "vorbin"},
    )


def move_field(result: Result, pixels_yx: tuple[int, int]) -> Result:
    """The result of another galaxy, or of a field that begins so many pixels farther on."""
    wcs = result.wcs.deepcopy()
    wcs.wcs.crpix = wcs.wcs.crpix - np.array(pixels_yx[::-1])
    return replace(make_result(seed=7), name="another", wcs=wcs)


def make_ppxf_fit(result: Result, bin_id: int) -> ppxf_fit.PpxfFit:
    """A fit by pPXF that answers as the network does."""
    row, prediction = bin_id - 1, result.prediction
    means = {k: float(prediction.median(k)[row]) for k in MEAN_NAMES}
    parts = [np.asarray(getattr(prediction, k)[row], float) for k in ("mass_frac", "light_frac", "mh")]
    return ppxf_fit.PpxfFit(
        bin_id, *parts, means, 0.1, 0.0, 50.0, 1.0, result.model_flux[row].astype(float), np.ones(5), 1.0
    )
