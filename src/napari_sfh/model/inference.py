"""From `Observation` to `Prediction`: devices, memory, progress and cancel.

Batches are independent (see `batches`). All of one is computed where it lies: encoding, network, posterior,
quantiles, the spectrum rebuilt from them, and the out-of-distribution score; only the outputs leave the device.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from array_api_compat import array_namespace

from napari_sfh.arrays import AnyArray
from napari_sfh.config import SETTINGS
from napari_sfh.errors import Cancelled, ComputeError, SfhInputError
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.model.batches import BatchStep, compute_batches
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.encoding import (
    Features,
    check_observation,
    compute_arcsinh,
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
from napari_sfh.physics.dust import slope_from_ebv
from napari_sfh.physics.filters import compute_photometry_scale
from napari_sfh.physics.template_basis import ReconstructionTables
from napari_sfh.types import F32, QUANTILES, Observation, Prediction, Progress

#: Draws per bin from which quantiles are read, unless told otherwise.
DRAWS: int = SETTINGS["draws"].default
#: Bins per batch on the CPU, of posteriors and of points.
INFERENCE_BATCH = 64
POINT_BATCH = 256
#: Bins, and draws of all of them, that fill a GPU: larger batches gain nothing.
_DEVICE_BATCH, _DEVICE_DRAWS = 16384, 1 << 20
#: Bytes that a bin takes while it is computed, whatever its spectrum; and float32 arrays of the size of its draws.
_BYTES_PER_BIN, _ARRAYS_OF_DRAWS = 4 << 20, 24


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


def choose_batch_size(where: torch.device, draws: int = 0, size: int = 0) -> int:
    """Bins per batch that suit a device: few on the CPU, whose caches are small, as many as fill a GPU.

    Parameters
    ----------
    where : torch device
        On CUDA a batch takes at most half of the memory that is free.
    draws, size : int
        Posterior draws per bin, and entries of a draw; none for points.
    """
    if where.type != "cuda":
        return INFERENCE_BATCH if draws else POINT_BATCH
    free, _ = torch.cuda.mem_get_info()
    fits = free // (2 * (_BYTES_PER_BIN + 4 * _ARRAYS_OF_DRAWS * draws * size))
    return int(max(1, min(fits, _DEVICE_BATCH, _DEVICE_DRAWS // max(draws, 1))))


def predict_histories(
    data: Observation,
    bundle: Bundle,
    device: str = "auto",
    batch_size: int | None = None,
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
    batch_size : int, optional
        Bins per batch to begin with; without it what suits the device, see `choose_batch_size`.
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

    def prepare(where: torch.device) -> BatchStep:
        placed = place_on_device(bundle, base, where)
        return lambda part: predict_batch(part, placed)

    size = batch_size or choose_batch_size(choose_device(device), draws, bundle.targets.size)
    out = _empty_outputs(data.n_bins, bundle.model.network.latent_size, bundle.targets)
    try:
        _run_in_batches(data, bundle, device, size, prepare, out, progress, cancel)
    except Cancelled:
        reached = np.isfinite(out["ood"]).any()
        raise Cancelled(_make_prediction(out, bundle.targets) if reached else None) from None
    return _make_prediction(out, bundle.targets)


def predict_point_values(
    data: Observation,
    bundle: Bundle,
    device: str = "auto",
    batch_size: int | None = None,
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
    batch_size : int, optional
        Objects at a time to begin with; without it what suits the device, see `choose_batch_size`.
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

    def prepare(where: torch.device) -> BatchStep:
        model = _copy_to_device(bundle.model, where)
        return lambda part: predict_points(encode_observation(part, bundle.features), model)

    size = batch_size or choose_batch_size(choose_device(device))
    targets = bundle.targets
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(targets.scalars, (data.n_bins,))
    shapes |= dict.fromkeys(targets.vectors, (data.n_bins, targets.n_age))
    out = {k: np.full(shape, np.nan, np.float32) for k, shape in shapes.items()}
    _run_in_batches(data, bundle, device, size, prepare, out, progress, cancel)
    return out


def _run_in_batches(
    data: Observation,
    bundle: Bundle,
    device: str,
    batch_size: int,
    prepare: Callable[[torch.device], BatchStep],
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
        if note and where.type == "cuda":
            torch.cuda.empty_cache()
        left = [rows[lo : lo + size] for lo in range(done, len(rows), size)]
        try:
            for batch, part in compute_batches(left, data, where, prepare(where), cancel):
                for key, values in part.items():
                    out[key][batch] = values
                done += len(batch)
                if progress is not None:
                    progress(Progress(f"predicting{note}", done, len(rows)))
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise ComputeError(f"prediction failed on {where}: {error}") from error
            size, where, note = _shrink_batch(size, where)


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
        mu, context, _ = bundle.model.predict_centre(features)
        made = bundle.model.draw(mu, context, make_base_points(n, bundle.targets.size))
        if calibrated:
            made = bundle.model.calibration.calibrate_draws(made, features.lg_snr[:, 0])
    return {k: v.numpy() for k, v in made.items()}


def draw_predicted_spectra(data: Observation, bundle: Bundle, n: int = 32) -> F32:
    """Spectra (N, n, W) of draws of the posterior, in the unit of ``data.flux``: for a few bins, on the CPU.

    Parameters
    ----------
    data : Observation
        N bins.
    bundle : Bundle
    n : int
        Draws.

    Returns
    -------
    array (N, n, W)

    Raises
    ------
    SfhInputError
        The bundle predicts no histories, or has no templates.
    """
    if bundle.basis is None or not bundle.targets.n_age:
        raise SfhInputError(f"{bundle.name}: spectra need weights of histories with templates")
    made = draw_posterior_samples(data, bundle, n)
    rows = {k: made[k].reshape(-1, *made[k].shape[2:]) for k in ("mass_frac", "mh", "tau_ism", "tau_bc", "slope")}
    flux, _ = bundle.basis.reconstruct(**rows)
    return flux.reshape(data.n_bins, -1, flux.shape[1])


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
        slope = slope_from_ebv(prediction.median("ebv")[rows], tau_ism)
        flux[rows], phot[rows] = bundle.basis.reconstruct(mass_frac[rows], mh[rows], tau_ism, tau_bc, slope)
        phot[rows] = _scale_bands(phot[rows], data.phot_mask[rows], bundle)
    return flux, phot


def _scale_bands(phot: AnyArray, mask: AnyArray, bundle: Bundle) -> Any:
    """Rebuilt bands (N, B) divided by what the observed ones were divided by, where that is not the spectrum's norm."""
    norm = bundle.instrument.photometry_norm
    if norm == "spectrum":
        return phot
    xp = array_namespace(phot)
    scale = compute_photometry_scale(phot, mask, norm, bundle.instrument.band_names)
    return xp.astype(phot / xp.where(xp.isfinite(scale), scale, 1.0)[:, None], xp.float32)


class PlacedBundle(NamedTuple):
    """What a prediction needs, on one device."""

    bundle: Bundle  # whose model lies on the device
    tables: ReconstructionTables | None
    base: torch.Tensor


def place_on_device(bundle: Bundle, base: torch.Tensor, where: torch.device) -> PlacedBundle:
    """Bring a bundle to a device.

    Parameters
    ----------
    bundle : Bundle
        Stays where it is.
    base : tensor (n, D)
        Standard normal points of the draws, see `posterior.make_base_points`.
    where : torch device
    """
    tables = None if bundle.basis is None else bundle.basis.tables.to(where)
    return PlacedBundle(replace(bundle, model=_copy_to_device(bundle.model, where)), tables, base.to(where))


@torch.inference_mode()
def predict_batch(data: Observation, placed: PlacedBundle) -> dict[str, torch.Tensor]:
    """Predict one batch of usable bins, on the device where all lies.

    Parameters
    ----------
    data : Observation
        Of tensors.
    placed : PlacedBundle

    Returns
    -------
    dict of str to tensor (N, ...)
        ``q:NAME`` quantiles, ``latent``, ``ood``; of histories ``light_frac``, ``mass_frac`` and ``mh``.
    """
    bundle, model = placed.bundle, placed.bundle.model
    features = encode_observation(data, bundle.features)
    mu, context, latent = model.predict_centre(features)
    made = model.draw(mu, context, placed.base)
    lg_snr = features.lg_snr[:, 0]
    quantiles = model.calibration.quantiles(made, lg_snr)
    out = {f"q:{k}": v for k, v in quantiles.items()}
    out["latent"] = latent
    if bundle.targets.n_age:
        out |= {"light_frac": made["light_frac"].mean(1), "mass_frac": made["mass_frac"].mean(1)}
        out["mh"] = quantiles["mh"][..., 2]
    statistics, away, seen = compute_ood_statistics(features, bundle, out, placed.tables)
    statistics[:, OOD_STATISTICS.index("photometry")] = model.depth.photometry_statistic(away, seen, lg_snr)
    out["ood"] = model.depth.score(statistics, lg_snr)
    return out


def compute_ood_statistics(
    features: Features,
    bundle: Bundle,
    values: Mapping[str, F32 | torch.Tensor],
    tables: ReconstructionTables | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Statistics by which a batch is judged to be out of distribution, see `model.ood`.

    Parameters
    ----------
    features : Features
        N objects, encoded, on the device of the bundle's model; the results lie there.
    bundle : Bundle
    values : dict of str to array or tensor
        What was predicted of them: ``latent`` (N, L), ``mass_frac`` and ``mh`` (N, A) and ``q:NAME`` (N, 5), where the
        weights have them.
    tables : ReconstructionTables, optional
        Of the bundle's basis, on the device, where they are at hand.

    Returns
    -------
    statistics : tensor (N, 6)
        In the order of `model.ood.OOD_STATISTICS`; photometry is left at zero: it follows from the other two.
    away : tensor (N, B)
        Encoded band fluxes less the rebuilt ones: log10 of their ratio, or a difference of arcsinh.
    seen : tensor (N, B)
        True where there is a band, and something to compare it with.
    """
    depth, spectrum, where = bundle.model.depth, features.spectrum, features.spectrum.device
    out = {k: torch.as_tensor(v, device=where) for k, v in values.items()}
    statistics = torch.zeros(len(features), len(OOD_STATISTICS), device=where)
    away, seen = torch.zeros_like(features.photometry[:, 0]), features.photometry[:, 1] > 0.5
    statistics[:, 0] = depth.latent_statistic(out["latent"])
    statistics[:, 1] = depth.subspace_statistic(spectrum)
    statistics[:, 4] = depth.classifier_statistic(depth.classifier_input(features))
    if "q:mh_lw" in out:
        statistics[:, 5] = out["q:mh_lw"][:, 2]
    if bundle.basis is None or "mass_frac" not in out:
        return statistics, away, torch.zeros_like(seen)
    tau_ism, tau_bc, ebv = (out[f"q:{k}"][:, 2] for k in ("tau_ism", "tau_bc", "ebv"))
    tables = tables or bundle.basis.tables.to(where)
    mass, mh = out["mass_frac"], out["mh"].contiguous()
    flux, phot = tables.reconstruct(mass, mh, tau_ism, tau_bc, slope_from_ebv(ebv, tau_ism))
    if flux.shape[1]:
        value, good = compute_arcsinh(flux - 1.0), spectrum[:, 1] > 0.5
        error2 = encoded_value_error(spectrum) ** 2 + SYSTEMATIC_ERROR**2
        chi2 = torch.where(good, (spectrum[:, 0] - value) ** 2 / error2, 0.0).sum(1) / good.sum(1).clamp(min=1)
        statistics[:, 2] = torch.log10(chi2)
    away = features.photometry[:, 0] - encode_band_fluxes(_scale_bands(phot, seen, bundle), bundle.features)
    return statistics, away, seen


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
