"""From `Observation` to `Prediction`: batches, devices, progress and cancel.

Batches are independent: on the CPU each is computed by one thread, as many at a time as there are cores. A batch on
all cores waits for the slowest of them at every layer, which on a busy machine costs more than the cores bring.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from napari_sfh.config import SETTINGS
from napari_sfh.errors import Cancelled, ComputeError, SfhInputError
from napari_sfh.jobs import ReportProgress, raise_if_cancelled, report_progress
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.encoding import (
    Features,
    check_observation,
    encode_band_fluxes,
    encode_observation,
    encoded_value_error,
    find_usable_rows,
)
from napari_sfh.model.ood import OOD_STATISTICS, SYSTEMATIC_ERROR
from napari_sfh.model.posterior import make_base_points
from napari_sfh.model.probe import predict_points
from napari_sfh.model.sfh_model import SfhModel
from napari_sfh.model.targets import HistoryTargets, Targets
from napari_sfh.physics.dust import SLOPE, ebv_from_tau
from napari_sfh.physics.filters import compute_photometry_scale
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.types import F32, QUANTILES, Bool, Observation, Prediction, Progress

#: Draws per bin from which quantiles are read, unless told otherwise.
DRAWS: int = SETTINGS["draws"].default
#: Bins per batch to begin with; halved when memory runs out.
INFERENCE_BATCH = 64

InferenceStep = Callable[[Observation, SfhModel, torch.device], dict[str, F32]]


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name: ``auto`` (the best there is), ``cpu``, ``cuda`` or ``mps``.

    Raises
    ------
    SfhInputError
        Unknown name, or a device that this machine does not have.
    """
    have = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if have[d]))
    if name not in have:
        raise SfhInputError(f"device: {name!r} is unknown; choose auto, cpu, cuda or mps")
    if not have[name]:
        raise SfhInputError(f"device: {name!r} is not available on this machine; use auto or cpu")
    return torch.device(name)


def predict_histories(
    data: Observation,
    bundle: Bundle,
    device: str = "auto",
    batch_size: int = INFERENCE_BATCH,
    draws: int = DRAWS,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> Prediction:
    """Predict what a bundle's targets are, star-formation histories or scalars, with their posteriors.

    Parameters
    ----------
    data : Observation
    bundle : Bundle
        From `model.bundle.load_bundle`.
    device : str
        See `choose_device`. When a GPU's memory runs out, the batch is halved, then the CPU takes over; the
        progress' ``stage`` says so.
    batch_size : int
        Bins per batch.
    draws : int
        Posterior draws per bin, at least 50: fewer give no 95 % intervals.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    Prediction
        NaN in rows without a usable spectrum. The same bin gives the same numbers in whatever company and batches.

    Raises
    ------
    Cancelled
        With the prediction that was reached, NaN in the other rows; with None before the first batch.
    SfhInputError
        Wrong shapes, bands, device or number of draws.
    ComputeError
        A failure of the computation that is not a lack of memory.
    """
    SETTINGS["draws"].check("draws", draws)
    base = make_base_points(draws, bundle.targets.size)

    def step(part: Observation, model: SfhModel, where: torch.device) -> dict[str, F32]:
        return _predict_batch(part, bundle, model, where, base)

    out = _empty_outputs(data.n_bins, bundle.model.network.latent_size, bundle.targets)
    try:
        _run_in_batches(data, bundle, device, batch_size, step, out, progress, cancel)
    except Cancelled:
        reached = np.isfinite(out["ood"]).any()
        raise Cancelled(_make_prediction(out, bundle.targets) if reached else None) from None
    return _make_prediction(out, bundle.targets)


def predict_point_values(
    data: Observation,
    bundle: Bundle,
    device: str = "auto",
    batch_size: int = 256,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> dict[str, F32]:
    """The point network's own answer, without draws: some fifty times faster than `predict_histories`, and without
    errors.

    For a first look at very many bins; no map should be made of it.

    Parameters
    ----------
    data : Observation
        N objects.
    bundle : Bundle
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    batch_size : int
        Objects at a time.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    dict
        For each of the targets' scalars an array (N,), for each of their vectors (N, A); NaN as in
        `predict_histories`, whose parameters, errors and progress it shares.

    Raises
    ------
    Cancelled
        Holds what was reached.
    ComputeError
        Memory is short even for one object.
    """

    def step(part: Observation, model: SfhModel, where: torch.device) -> dict[str, F32]:
        return predict_points(encode_observation(part, bundle.features).to(where), model)

    targets = bundle.targets
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(targets.scalars, (data.n_bins,))
    shapes |= dict.fromkeys(targets.vectors, (data.n_bins, targets.n_age))
    out = {k: np.full(shape, np.nan, np.float32) for k, shape in shapes.items()}
    _run_in_batches(data, bundle, device, batch_size, step, out, progress, cancel)
    return out


def _run_in_batches(
    data: Observation,
    bundle: Bundle,
    device: str,
    batch_size: int,
    step: InferenceStep,
    out: dict[str, F32],
    progress: ReportProgress | None,
    cancel: threading.Event | None,
) -> None:
    """Fill the usable rows of ``out`` batch by batch; see `predict_histories` for what happens when memory runs out."""
    where = choose_device(device)
    check_observation(data, bundle.instrument)
    rows = np.flatnonzero(find_usable_rows(data, bundle.features))
    size, done, note = max(1, batch_size), 0, ""
    report_progress(Progress("predicting", 0, len(rows)), progress, cancel)
    while done < len(rows):
        model = _copy_to_device(bundle.model, where)
        left = [rows[lo : lo + size] for lo in range(done, len(rows), size)]
        try:
            for batch, part in _map_batches(left, data, model, where, step, cancel):
                for key, values in part.items():
                    out[key][batch] = values
                done += len(batch)
                if progress is not None:
                    progress(Progress(f"predicting{note}", done, len(rows)))
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise ComputeError(f"prediction failed on {where}: {error}") from error
            size, where, note = _shrink_batch(size, where)


def _map_batches(
    batches: list[np.ndarray],
    data: Observation,
    model: SfhModel,
    where: torch.device,
    step: InferenceStep,
    cancel: threading.Event | None,
) -> Iterator[tuple[np.ndarray, dict[str, F32]]]:
    """Outputs of the batches in their order; after a cancel or a failure no other batch is begun."""
    failed = threading.Event()

    def compute(rows: np.ndarray) -> dict[str, F32]:
        raise_if_cancelled(cancel)
        raise_if_cancelled(failed)
        try:
            return step(data.select(rows), model, where)
        except BaseException:
            failed.set()
            raise

    with _open_batch_pool(len(batches), where) as pool:
        running = deque(pool.submit(compute, rows) for rows in batches)
        for rows in batches:
            yield rows, running.popleft().result()


#: Number of batch pools that are open, the intra-op threads that torch had before the first, and their lock.
_pools, _usual_threads, _pool_lock = 0, 1, threading.Lock()


@contextmanager
def _open_batch_pool(n_batches: int, where: torch.device) -> Iterator[ThreadPoolExecutor]:
    """Workers that compute with one intra-op thread each: one for a GPU, else as many as torch may use threads."""
    global _pools, _usual_threads
    with _pool_lock:
        if _pools == 0:
            _usual_threads = torch.get_num_threads()
        _pools += 1
        workers = 1 if where.type != "cpu" else max(1, min(_usual_threads, n_batches))
    # torch gives a thread that is new the number of threads that was set last, in whichever thread.
    pool = ThreadPoolExecutor(workers, "napari-sfh inference", initializer=lambda: torch.set_num_threads(1))
    try:
        with threadpool_limits(1, user_api="blas"):
            yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        with _pool_lock:
            _pools -= 1
            if _pools == 0:
                torch.set_num_threads(_usual_threads)


def draw_posterior_samples(
    data: Observation, bundle: Bundle, n: int = 1000, calibrated: bool = False
) -> dict[str, F32]:
    """Draws of the joint posterior, for corner plots: on the CPU, for a few bins.

    Parameters
    ----------
    data : Observation
    bundle : Bundle
    n : int
        Draws per bin.
    calibrated : bool
        Move them such that their quantiles are those of `predict_histories` (see `PosteriorCalibration`);
        else they are the flow's own.

    Returns
    -------
    dict
        For each of the targets' scalars an array (N, n), for each of their vectors (N, n, A); histories add ``slope``.
    """
    features = encode_observation(data, bundle.features)
    with torch.inference_mode():
        mu, context, _ = bundle.model.locate(features)
        made = bundle.model.draw(mu, context, make_base_points(n, bundle.targets.size))
        if calibrated:
            made = bundle.model.calibration.calibrate_draws(made, features.lg_snr[:, 0])
    return {k: v.numpy() for k, v in made.items()}


def reconstruct_observations(
    data: Observation, prediction: Prediction, bundle: Bundle
) -> tuple[F32, F32] | tuple[None, None]:
    """Spectrum and photometry rebuilt from a prediction's point values through the bundle's template basis.

    Parameters
    ----------
    data : Observation
        N objects; their masks say which bands set the scale.
    prediction : Prediction
        Of the same objects.
    bundle : Bundle

    Returns
    -------
    model_flux : array (N, W)
        In the unit of ``data.flux``; NaN rows where nothing was predicted, here and below.
    model_phot : array (N, B)
        Both None where the bundle predicts no histories, or has no templates.
    """
    mass_frac, mh = prediction.mass_frac, prediction.mh
    if bundle.basis is None or mass_frac is None or mh is None:
        return None, None
    flux = np.full(data.flux.shape, np.nan, np.float32)
    phot = np.full(data.phot.shape, np.nan, np.float32)
    rows = np.flatnonzero(np.isfinite(mass_frac).all(1))
    if rows.size:
        tau_ism, tau_bc = prediction.median("tau_ism")[rows], prediction.median("tau_bc")[rows]
        slope = _attenuation_slope(tau_ism, prediction.median("ebv")[rows])
        flux[rows], phot[rows] = _reconstruct_float32(bundle.basis, mass_frac[rows], mh[rows], tau_ism, tau_bc, slope)
        phot[rows] = _scale_bands(phot[rows], data.phot_mask[rows], bundle)
    return flux, phot


def _scale_bands(phot: F32, mask: Bool, bundle: Bundle) -> F32:
    """Rebuilt bands (N, B) divided by what the observed ones were divided by, where that is not the spectrum's norm."""
    norm = bundle.instrument.photometry_norm
    if norm == "spectrum":
        return phot
    scale = compute_photometry_scale(phot, mask, norm, bundle.instrument.band_names)
    return (phot / np.where(np.isfinite(scale), scale, 1.0)[:, None]).astype(np.float32)


def _attenuation_slope(tau_ism: F32, ebv: F32) -> F32:
    """Attenuation slope that E(B-V) and the optical depth imply, Charlot & Fall's where there is no dust."""
    at_one = ebv_from_tau(1.0, np.linspace(-1.6, -0.2, 57))
    ratio = np.divide(ebv, tau_ism, out=np.full_like(ebv, np.nan), where=tau_ism > 0.02)
    slope = np.interp(-ratio, -at_one, np.linspace(-1.6, -0.2, 57))
    return np.where(np.isfinite(ratio), slope, SLOPE).astype(np.float32)


def _reconstruct_float32(
    basis: TemplateBasis, mass: F32, mh: F32, tau_ism: F32, tau_bc: F32, slope: F32
) -> tuple[F32, F32]:
    flux, phot = basis.reconstruct(mass, mh, tau_ism, tau_bc, slope)
    return np.asarray(flux, np.float32), np.asarray(phot, np.float32)


@torch.inference_mode()
def _predict_batch(
    data: Observation, bundle: Bundle, model: SfhModel, device: torch.device, base: torch.Tensor
) -> dict[str, F32]:
    """All outputs of one batch of usable bins, keyed as in `_empty_outputs`."""
    features = encode_observation(data, bundle.features)
    mu, context, latent = model.locate(features.to(device))
    made = model.draw(mu, context, base.to(device))
    quantiles = model.calibration.quantiles(made, features.lg_snr[:, 0].to(device))
    tensors = {f"q:{k}": v for k, v in quantiles.items()}
    tensors["latent"] = latent
    if bundle.targets.n_age:
        tensors |= {"light_frac": made["light_frac"].mean(1), "mass_frac": made["mass_frac"].mean(1)}
        tensors["mh"] = quantiles["mh"][..., 2]
    out = {k: v.float().cpu().numpy() for k, v in tensors.items()}
    signs, away, seen = compute_ood_statistics(features, bundle, out)
    lg_snr = features.lg_snr[:, 0]
    signs[:, OOD_STATISTICS.index("photometry")] = bundle.model.depth.photometry_statistic(away, seen, lg_snr)
    out["ood"] = bundle.model.depth.score(signs, lg_snr).numpy()
    return out


def compute_ood_statistics(
    features: Features, bundle: Bundle, out: dict[str, F32]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Statistics by which a batch is judged to be out of distribution, see `model.ood`.

    Parameters
    ----------
    features : Features
        N objects, encoded.
    bundle : Bundle
    out : dict of str to array
        What was predicted of them: ``latent`` (N, L), ``mass_frac`` (N, A) and ``q:NAME`` (N, 5), where the
        weights have them.

    Returns
    -------
    signs : tensor (N, 6)
        In the order of `model.ood.OOD_STATISTICS`; photometry is left at zero: it follows from the other two.
    away : tensor (N, B)
        Encoded band fluxes less the rebuilt ones: log10 of their ratio, or a difference of arcsinh.
    seen : tensor (N, B)
        True where there is a band, and something to compare it with.
    """
    depth = bundle.model.depth
    spectrum = features.spectrum
    signs = torch.zeros(len(features), len(OOD_STATISTICS))
    away, seen = torch.zeros_like(features.photometry[:, 0]), features.photometry[:, 1] > 0.5
    signs[:, 0] = depth.latent_statistic(torch.from_numpy(out["latent"]))
    signs[:, 1] = depth.subspace_statistic(spectrum)
    signs[:, 4] = depth.classifier_statistic(depth.classifier_input(features))
    if "q:mh_lw" in out:
        signs[:, 5] = torch.from_numpy(out["q:mh_lw"][:, 2])
    if bundle.basis is None or "mass_frac" not in out:
        return signs, away, torch.zeros_like(seen)
    tau_ism, tau_bc = out["q:tau_ism"][:, 2], out["q:tau_bc"][:, 2]
    slope = _attenuation_slope(tau_ism, out["q:ebv"][:, 2])
    flux, phot = _reconstruct_float32(bundle.basis, out["mass_frac"], out["mh"], tau_ism, tau_bc, slope)
    phot = _scale_bands(phot, seen.numpy(), bundle)
    if flux.shape[1]:
        value, good = torch.asinh(torch.from_numpy(flux) - 1.0), spectrum[:, 1] > 0.5
        error2 = encoded_value_error(spectrum) ** 2 + SYSTEMATIC_ERROR**2
        chi2 = torch.where(good, (spectrum[:, 0] - value) ** 2 / error2, 0.0).sum(1) / good.sum(1).clamp(min=1)
        signs[:, 2] = torch.log10(chi2)
    away = features.photometry[:, 0] - encode_band_fluxes(torch.from_numpy(phot), bundle.features)
    return signs, away, seen


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error).lower()


def _shrink_batch(size: int, device: torch.device) -> tuple[int, torch.device, str]:
    """What to try after memory ran out: half the batch, at last the CPU; and the words for it."""
    if size > 1:
        return size // 2, device, f" (memory short: {size // 2} bins at once)"
    if device.type != "cpu":
        return INFERENCE_BATCH, torch.device("cpu"), f" (memory of {device.type} too small: on the CPU)"
    raise ComputeError("prediction: out of memory with one bin at a time on the CPU; close other programs")


def _copy_to_device(model: SfhModel, device: torch.device) -> SfhModel:
    """The model on a device; the bundle's own stays on the CPU, so that calls do not disturb each other."""
    return model if device.type == "cpu" else copy.deepcopy(model).to(device)


def _empty_outputs(n: int, latent: int, targets: Targets) -> dict[str, F32]:
    """NaN arrays of every output."""
    shapes: dict[str, tuple[int, ...]] = {f"q:{k}": (n, len(QUANTILES)) for k in targets.scalars}
    if targets.n_age:
        shapes |= {f"q:{k}": (n, targets.n_age, len(QUANTILES)) for k in targets.vectors}
        shapes |= dict.fromkeys(("light_frac", "mass_frac", "mh"), (n, targets.n_age))
    shapes |= {"ood": (n,), "latent": (n, latent)}
    return {k: np.full(shape, np.nan, np.float32) for k, shape in shapes.items()}


def _make_prediction(out: dict[str, F32], targets: Targets) -> Prediction:
    quantiles = {k.removeprefix("q:"): v for k, v in out.items() if k.startswith("q:")}
    edges = np.array(targets.age_edges_gyr) if isinstance(targets, HistoryTargets) else None
    return Prediction(
        light_frac=out.get("light_frac"),
        mass_frac=out.get("mass_frac"),
        mh=out.get("mh"),
        quantiles=quantiles,
        ood=out["ood"],
        latent=out["latent"],
        age_edges_gyr=edges,
    )
