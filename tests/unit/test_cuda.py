"""The device gives what the processor gives; skipped where there is none.

What is written for tensors of any device is tested with tensors of the processor too.
"""

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from toy_universe import make_toy_basis, make_toy_data, write_toy_bundle

from napari_sfh.model import batches, inference
from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.encoding import encode_observation
from napari_sfh.model.flow_draws.couplings import allows_fast_draws
from napari_sfh.model.inference import (
    choose_batch_size,
    compute_ood_statistics,
    predict_histories,
    predict_point_values,
)
from napari_sfh.model.layers import ConvUnit
from napari_sfh.model.posterior import make_base_points
from napari_sfh.physics.dust import SLOPE, ebv_from_tau, slope_from_ebv
from napari_sfh.physics.filters import compute_photometry_scale, compute_row_medians
from napari_sfh.physics.means import weighted_mean

CUDA = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
on_cuda = pytest.mark.parametrize("device", [pytest.param("cuda", marks=CUDA)])
on_each = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_toy_bundle(tmp_path_factory.mktemp("cuda") / "toy.safetensors"))


def make_histories(n, n_age=16):
    rng = np.random.default_rng(2)
    mass = rng.dirichlet(np.full(n_age, 0.5), n).astype(np.float32)
    mh = rng.uniform(-2.6, 0.9, (n, n_age)).astype(np.float32)  # also beyond the library
    tau_ism, tau_bc, slope = (rng.uniform(*ends, n).astype(np.float32) for ends in ((0, 2), (0, 3), (-1.5, -0.3)))
    return mass, mh, tau_ism, tau_bc, slope


# --- Formulae -----------------------------------------------------------------------------------------------------


@on_each
def test_rebuilt_spectra_are_those_of_numpy(device):
    basis, histories = make_toy_basis(), make_histories(50)
    expected = basis.reconstruct(*histories)
    found = basis.tables.to(device).reconstruct(*(torch.from_numpy(v).to(device) for v in histories))
    for here, there in zip(expected, found, strict=True):
        assert there.device.type == device
        np.testing.assert_allclose(there.cpu().numpy(), here, rtol=2e-5)


@on_each
def test_slope_from_ebv_inverts_ebv_from_tau(device):
    slope = np.array([-1.6, -1.21, -0.7, -0.333, -0.2, -0.7, -3.0, -0.01, -1.0], np.float32)
    tau = np.array([0.1, 0.3, 1.0, 3.0, 0.5, 0.01, 1.0, 1.0, 1.0], np.float32)
    ebv = ebv_from_tau(tau, slope).astype(np.float32)
    ebv[-1] = np.nan
    # Little dust and no number: the usual slope; beyond the limits: the limits.
    expected = np.array([*slope[:5], SLOPE, -1.6, -0.2, SLOPE], np.float32)
    np.testing.assert_allclose(slope_from_ebv(ebv, tau), expected, atol=1e-4)
    found = slope_from_ebv(torch.from_numpy(ebv).to(device), torch.from_numpy(tau).to(device))
    np.testing.assert_allclose(found.cpu().numpy(), slope_from_ebv(ebv, tau), atol=2e-6)


@on_each
@pytest.mark.parametrize("width", [1, 4, 5])
def test_medians_leave_out_what_is_missing(device, width):
    values = np.random.default_rng(0).normal(size=(40, width))
    values[np.random.default_rng(1).random(values.shape) < 0.4] = np.nan
    values[:2] = np.nan
    some = ~np.isnan(values).all(1)
    expected = np.full(len(values), np.nan)
    expected[some] = np.nanmedian(values[some], axis=1)
    np.testing.assert_array_equal(compute_row_medians(values), expected)
    found = compute_row_medians(torch.from_numpy(values).to(device))
    np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=1e-12)


def test_no_band_has_no_median():
    assert np.isnan(compute_row_medians(np.zeros((3, 0)))).all()
    assert torch.isnan(compute_row_medians(torch.zeros(3, 0))).all()


@on_each
@pytest.mark.parametrize("norm", ["median", "b"])
def test_photometry_scale_is_that_of_numpy(device, norm):
    phot = np.random.default_rng(0).normal(1.0, 0.7, (60, 4)).astype(np.float32)
    mask = np.random.default_rng(1).random(phot.shape) < 0.6
    expected = compute_photometry_scale(phot, mask, norm, ("a", "b", "c", "d"))
    tensors = (torch.from_numpy(v).to(device) for v in (phot, mask))
    found = compute_photometry_scale(*tensors, norm, ("a", "b", "c", "d"))
    assert np.isnan(expected).any()
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=1e-6)


@on_each
def test_a_mean_leaves_out_what_has_no_weight(device):
    values = torch.tensor([[1.0, 3.0, torch.nan], [1.0, 3.0, torch.nan]], device=device)
    weights = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], device=device)
    np.testing.assert_array_equal(weighted_mean(weights, values).cpu().numpy(), [2.0, np.nan])


# --- Batches ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    made, _ = make_toy_data(40)
    made.mask[::3, 300:500] = False
    made.phot_mask[::4, 1] = False
    return made


@on_each
def test_features_of_tensors_are_those_of_arrays(bundle, data, device):
    expected = encode_observation(data, bundle.features)
    sent = batches.make_sender(data, torch.device(device))(np.arange(40)[::-1]).receive()
    found = encode_observation(sent, bundle.features)
    for name in ("spectrum", "photometry", "lg_snr", "redshift"):
        there = getattr(found, name).flip(0)
        assert there.device.type == device
        torch.testing.assert_close(there.cpu(), getattr(expected, name), atol=1e-5, rtol=1e-5)


def test_rows_of_any_layout_are_gathered():
    array = np.arange(20, dtype=">f4").reshape(5, 4)
    rows = np.array([3, 0])
    for kind in (array, array.astype(np.float32), array.astype(np.float64)[:, ::-1][:, ::-1]):
        np.testing.assert_array_equal(batches.collect_rows(kind, rows, False).numpy(), array[rows])
    assert batches.collect_rows(array > 3, rows, False).dtype == torch.bool


def test_readers_gather_large_rows_side_by_side():
    array = np.random.default_rng(0).normal(size=(6, 3 << 19)).astype(np.float32)  # a row is more than one piece
    rows = np.array([4, 0, 5, 2, 2])
    with ThreadPoolExecutor(3) as readers:
        found = [batches.collect_rows(kind, rows, False, readers) for kind in (array, array.astype(">f8"))]
        with pytest.raises(IndexError):
            batches.collect_rows(array.astype(">f8"), np.array([0, 9]), False, readers)
    for each in found:
        np.testing.assert_array_equal(each.numpy(), array[rows])


@on_each
def test_batches_on_a_device_give_the_numbers_of_the_cores(bundle, data, device, monkeypatch):
    here = predict_histories(data, bundle, "cpu", draws=200)
    points = predict_point_values(data, bundle, "cpu")
    monkeypatch.setattr(batches, "_compute_side_by_side", batches._compute_on_device)
    there = predict_histories(data, bundle, device, batch_size=9, draws=200)
    atol = 2e-3 if device == "cuda" else 2e-5  # convolutions of a GPU have short mantissas
    for name, values in here.quantiles.items():
        np.testing.assert_allclose(there.quantiles[name], values, atol=atol, rtol=atol, err_msg=name)
    for name in ("light_frac", "mass_frac", "mh", "latent"):
        np.testing.assert_allclose(getattr(there, name), getattr(here, name), atol=atol, rtol=atol, err_msg=name)
    np.testing.assert_allclose(there.ood, here.ood, atol=10 * atol, rtol=10 * atol)
    found = predict_point_values(data, bundle, device, batch_size=9)
    for name, values in points.items():
        np.testing.assert_allclose(found[name], values, atol=atol, rtol=atol, err_msg=name)


@on_each
def test_ood_statistics_are_those_of_the_processor(bundle, data, device):
    prediction = predict_histories(data, bundle, "cpu", draws=60)
    values = {f"q:{k}": v for k, v in prediction.quantiles.items()}
    values |= {k: getattr(prediction, k) for k in ("latent", "mass_frac", "mh")}
    features = encode_observation(data, bundle.features)
    with torch.inference_mode():
        expected = compute_ood_statistics(features, bundle, values)
        placed = inference.place_on_device(bundle, make_base_points(60, bundle.targets.size), torch.device(device))
        tensors = {k: torch.from_numpy(v).to(device) for k, v in values.items()}
        found = compute_ood_statistics(features.to(device), placed.bundle, tensors, placed.tables)
    for here, there in zip(expected, found, strict=True):
        assert there.device.type == device
        torch.testing.assert_close(there.cpu(), here, atol=1e-3, rtol=1e-3)


@on_cuda
def test_draws_through_couplings_are_those_of_zuko(bundle, device):
    posterior = copy.deepcopy(bundle.model.posterior).to(device)
    size = bundle.targets.size
    torch.manual_seed(0)
    mu, context = torch.randn(7, size, device=device), torch.randn(7, len(posterior.latent_mean) + 2, device=device)
    base = make_base_points(300, size).to(device)
    plain = posterior.draw(mu, context, base).detach()
    with torch.no_grad():
        assert allows_fast_draws(posterior.flow, context)
        fast = posterior.draw(mu, context, base)
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)


@on_cuda
def test_a_batch_that_is_too_large_is_halved(bundle, data, device, monkeypatch):
    real, stages = inference.predict_batch, []

    def step(part, placed):
        if part.n_bins > 10:
            torch.empty(1 << 50, dtype=torch.uint8, device=device)  # more than any card has
        return real(part, placed)

    monkeypatch.setattr(inference, "predict_batch", step)
    answer = predict_histories(data, bundle, device, 40, draws=60, progress=lambda step: stages.append(step.stage))
    assert "10 bins at once" in stages[-1]
    assert np.isfinite(answer.ood).all()


@on_cuda
def test_batches_of_a_gpu_are_large(device):
    where = torch.device(device)
    assert choose_batch_size(where) > choose_batch_size(torch.device("cpu"))
    assert choose_batch_size(where, 1000, 35) > choose_batch_size(where, 4000, 35) > 0


@on_cuda
def test_hardly_anything_waits_for_the_device_within_a_batch(bundle, data, device):
    placed = inference.place_on_device(bundle, make_base_points(60, bundle.targets.size), torch.device(device))
    part = batches.make_sender(data, torch.device(device))(np.arange(40)).receive()
    inference.predict_batch(part, placed)  # libraries are loaded
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as waits:
            warnings.simplefilter("always")
            inference.predict_batch(part, placed)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(waits) <= 3, [f"{w.filename}:{w.lineno}" for w in waits]


@on_cuda
def test_training_on_the_device_has_the_gradients_of_the_processor(device):
    torch.manual_seed(0)
    unit, x = ConvUnit(3, 8, 7, 4), torch.randn(32, 3, 240)
    unit(x).square().sum().backward()
    here = unit.conv.weight.grad.clone()
    unit.zero_grad()
    unit.to(device)(x.to(device)).square().sum().backward()
    torch.testing.assert_close(unit.conv.weight.grad.cpu(), here, atol=1e-2, rtol=1e-2)
