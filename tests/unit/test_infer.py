"""Inference: numbers that do not depend on company, batches or reloads; cancel; memory; what cannot be predicted."""

import threading
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from histories import SCALARS, VECTORS
from muse_hst import BANDS, MUSE_HST
from toy_universe import make_toy_data, write_toy_bundle

from napari_sfh import arrays
from napari_sfh.errors import Cancelled, ComputeError, SfhInputError
from napari_sfh.model import batches, inference
from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.inference import (
    choose_device,
    draw_posterior_samples,
    predict_histories,
    predict_point_values,
    reconstruct_observations,
)
from napari_sfh.physics.dust import ebv_from_tau
from napari_sfh.prep.rest_frame import reduced_chi2
from napari_sfh.types import Flag, Prediction

DRAWS = 64


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_toy_bundle(tmp_path_factory.mktemp("weights") / "toy.safetensors"))


@pytest.fixture(scope="module")
def data():
    return make_toy_data(12, seed=3)[0]


def run(data, bundle, **settings):
    return predict_histories(data, bundle, **{"device": "cpu", "draws": DRAWS} | settings)


@pytest.fixture(scope="module")
def prediction(data, bundle):
    return run(data, bundle)


def assert_same(a, b, rows=slice(None), atol=2e-4):
    for name in (*SCALARS, *VECTORS):
        np.testing.assert_allclose(a.quantiles[name][rows], b.quantiles[name][rows], atol=atol, err_msg=name)
    for name in ("light_frac", "mass_frac", "mh", "latent"):
        np.testing.assert_allclose(getattr(a, name)[rows], getattr(b, name)[rows], atol=atol, err_msg=name)


def test_shapes_and_bounds(prediction):
    for name in SCALARS:
        assert prediction.quantiles[name].shape == (12, 5)
    for name in VECTORS:
        assert prediction.quantiles[name].shape == (12, 16, 5)
    for fractions in (prediction.light_frac, prediction.mass_frac):
        assert (fractions >= 0).all()
        np.testing.assert_allclose(fractions.sum(1), 1.0, atol=1e-4)
    assert (np.diff(prediction.quantiles["cum_mass"], axis=2) >= -1e-6).all()
    assert (prediction.quantiles["tau_ism"] >= 0).all()


def test_cumulative_mass_is_what_formed_before_a_bins_young_edge(data, bundle):
    cumulative = draw_posterior_samples(data, bundle, 32)
    mass, formed = cumulative["mass_frac"], cumulative["cum_mass"]
    np.testing.assert_allclose(formed[..., 0], 1.0, atol=1e-4)
    np.testing.assert_allclose(formed[..., 15], mass[..., 15], atol=1e-5)
    np.testing.assert_allclose(formed[..., 4], mass[..., 4:].sum(-1), atol=1e-4)


def test_same_numbers_whatever_the_batch(prediction, data, bundle):
    for size in (1, 5, 64):
        assert_same(run(data, bundle, batch_size=size), prediction)


def test_same_numbers_whatever_the_company(prediction, data, bundle):
    alone = run(data.select([7]), bundle)
    assert_same(alone, Prediction(**{k: _row(v, 7) for k, v in prediction.__dict__.items()}))


def _row(value, i):
    return {k: v[[i]] for k, v in value.items()} if isinstance(value, dict) else value[[i]]


def test_same_numbers_every_time_and_input_untouched(prediction, data, bundle):
    before = data.flux.copy()
    again = run(data, bundle)
    assert np.array_equal(again.quantiles["lg_age_mw"], prediction.quantiles["lg_age_mw"])
    assert np.array_equal(data.flux, before)


def test_every_combination_of_bands_runs(bundle):
    masks = np.array(list(product([False, True], repeat=len(BANDS))))
    data = make_toy_data(len(masks), seed=5)[0]
    data = replace(data, phot_mask=masks, phot=np.where(masks, data.phot, 0).astype(np.float32))
    prediction = run(data, bundle)
    assert np.isfinite(prediction.mass_frac).all()
    assert np.isfinite(prediction.ood).all()
    poison = replace(data, phot=np.where(masks, data.phot, np.nan).astype(np.float32))
    assert_same(run(poison, bundle), prediction)


def test_bins_without_spectrum_are_nan_and_do_not_disturb_the_others(prediction, data, bundle):
    flag, mask, snr = data.flag.copy(), data.mask.copy(), data.snr.copy()
    flag[2] |= int(Flag.NO_SPECTRUM)
    mask[5] = False
    snr[9] = np.nan
    mixed = run(replace(data, flag=flag, mask=mask, snr=snr), bundle)
    bad = [2, 5, 9]
    assert np.isnan(mixed.mass_frac[bad]).all()
    assert np.isnan(mixed.quantiles["ebv"][bad]).all()
    assert np.isnan(mixed.ood[bad]).all()
    assert_same(mixed, prediction, [i for i in range(12) if i not in bad])


def test_no_bins_and_no_usable_bins(data, bundle):
    assert run(data.select(slice(0, 0)), bundle).mass_frac.shape == (0, 16)
    nothing = replace(data, mask=np.zeros_like(data.mask))
    assert np.isnan(run(nothing, bundle).mass_frac).all()


def test_a_cancel_carries_what_was_reached(prediction, data, bundle, monkeypatch):
    cancel, real, begun = threading.Event(), inference.predict_batch, []

    def step(*given):
        begun.append(given)
        if len(begun) == 2:
            cancel.set()
        return real(*given)

    monkeypatch.setattr(inference, "predict_batch", step)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    steps = []
    with pytest.raises(Cancelled) as caught:
        predict_histories(data, bundle, "cpu", batch_size=4, draws=DRAWS, progress=steps.append, cancel=cancel)
    assert [(s.done, s.total) for s in steps] == [(0, 12), (4, 12), (8, 12)]
    partial = caught.value.reached
    assert np.isfinite(partial.mass_frac[:8]).all()
    assert np.isnan(partial.mass_frac[8:]).all()
    assert_same(partial, prediction, slice(0, 8))


def test_cancel_before_the_first_batch_reaches_nothing(data, bundle):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled) as caught:
        predict_histories(data, bundle, "cpu", draws=DRAWS, cancel=cancel)
    assert caught.value.reached is None


def test_batches_run_side_by_side_on_one_thread_each(prediction, data, bundle, monkeypatch):
    """Two workers wait for each other: neither could go on alone. The caller's threads come back."""
    together, seen, real = threading.Barrier(2, timeout=30), [], inference.predict_batch

    def step(*given):
        together.wait()
        seen.append(torch.get_num_threads())
        return real(*given)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        monkeypatch.setattr(inference, "predict_batch", step)
        answer = predict_histories(data, bundle, "cpu", batch_size=6, draws=DRAWS)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 1]
    assert_same(answer, prediction)


def test_progress_ends_with_everything_done(data, bundle):
    steps = []
    predict_histories(data, bundle, "cpu", batch_size=5, draws=DRAWS, progress=steps.append)
    assert [s.done for s in steps] == [0, 5, 10, 12]
    assert {s.stage for s in steps} == {"predicting"}


def short_of_memory(patch, limit, device_type=None):
    """Batches larger than ``limit`` fail as a GPU fails; records what was tried. All is computed on the CPU."""
    tried, predict, place, send = [], inference.predict_batch, inference.place_on_device, batches.make_sender
    cpu = torch.device("cpu")

    def step(data, placed):
        where, truly_placed = placed
        tried.append((data.n_bins, where))
        if data.n_bins > limit and device_type in (None, where):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB")
        return predict(data, truly_placed)

    patch.setattr(inference, "place_on_device", lambda bundle, base, where: (where.type, place(bundle, base, cpu)))
    patch.setattr(batches, "make_sender", lambda data, where, readers: send(data, cpu, readers))
    patch.setattr(inference, "predict_batch", step)
    return tried


def test_batch_is_halved_when_memory_is_short(prediction, data, bundle, monkeypatch):
    tried = short_of_memory(monkeypatch, 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    stages = []
    answer = predict_histories(
        data, bundle, "cpu", batch_size=12, draws=DRAWS, progress=lambda step: stages.append(step.stage)
    )
    assert [n for n, _ in tried] == [12, 6, 3, 3, 3, 3]
    assert "3 bins at once" in stages[-1]
    assert_same(answer, prediction)


def test_cpu_takes_over_when_the_gpu_is_too_small(prediction, data, bundle, monkeypatch):
    tried = short_of_memory(monkeypatch, 0, "cuda")
    monkeypatch.setattr(inference, "choose_device", lambda name: torch.device("cuda"))
    stages = []
    answer = predict_histories(
        data, bundle, "cuda", batch_size=4, draws=DRAWS, progress=lambda step: stages.append(step.stage)
    )
    assert tried[-1] == (12, "cpu")
    assert {n for n, where in tried[:-1] if where == "cuda"} == {4, 2, 1}
    assert "on the CPU" in stages[-1]
    assert_same(answer, prediction)


def test_no_memory_at_all_is_an_error(data, bundle, monkeypatch):
    short_of_memory(monkeypatch, 0)
    with pytest.raises(ComputeError, match="out of memory with one"):
        run(data, bundle)


def test_other_failures_are_computation_errors(data, bundle, monkeypatch):
    def broken(*args):
        raise RuntimeError("cuDNN is unhappy")

    monkeypatch.setattr(inference, "predict_batch", broken)
    with pytest.raises(ComputeError, match=r"prediction failed on cpu: cuDNN is unhappy"):
        run(data, bundle)


def test_bad_arguments_are_named(data, bundle):
    with pytest.raises(SfhInputError, match="`draws` 10: must lie between 50"):
        run(data, bundle, draws=10)
    with pytest.raises(SfhInputError, match="device: 'tpu' is unknown; choose"):
        run(data, bundle, device="tpu")
    with pytest.raises(SfhInputError, match=r"phot: shape \(12, 4\), expected \(12, 5\)"):
        run(replace(data, phot=data.phot[:, :4]), bundle)
    turned = replace(MUSE_HST, bands=MUSE_HST.bands[::-1])
    with pytest.raises(SfhInputError, match=r"bands: .* the network takes"):
        run(replace(data, instrument=turned), bundle)


def test_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(SfhInputError, match="device: 'cuda' is not available"):
        choose_device("cuda")


def test_draws_have_the_quantiles_of_the_prediction(data, bundle):
    """Without calibration (a toy has none) the two are one posterior."""
    few = data.select(slice(0, 3))
    prediction, made = run(few, bundle, draws=1000), draw_posterior_samples(few, bundle, 1000)
    for name in SCALARS:
        expected = np.quantile(made[name], [0.025, 0.16, 0.5, 0.84, 0.975], axis=1, method="hazen").T
        spread = expected[:, -1:] - expected[:, :1]
        np.testing.assert_allclose(prediction.quantiles[name] / spread, expected / spread, atol=1e-3, err_msg=name)
    assert np.array_equal(
        draw_posterior_samples(few, bundle, 20)["mh_mw"], draw_posterior_samples(few, bundle, 20)["mh_mw"]
    )


def test_point_is_the_networks_own_answer(data, bundle):
    values = predict_point_values(data, bundle, "cpu", batch_size=5)
    assert set(values) == {*SCALARS, *VECTORS}
    np.testing.assert_allclose(values["light_frac"].sum(1), 1.0, atol=1e-5)
    np.testing.assert_allclose(values["cum_mass"][:, 0], 1.0, atol=1e-5)
    lg_age = bundle.model.mass_to_light.lg_age.numpy()
    np.testing.assert_allclose(values["lg_age_lw"], values["light_frac"] @ lg_age, rtol=1e-5)
    nothing = predict_point_values(replace(data, mask=np.zeros_like(data.mask)), bundle, "cpu")
    assert np.isnan(nothing["mh_mw"]).all()


def test_reconstruction_of_the_truth_fits_the_noise(bundle):
    data, labels = make_toy_data(30, seed=8, snr=40.0)
    truth = run(data, bundle)
    quantiles = dict(truth.quantiles)
    for name, value in (("tau_ism", labels.tau_ism), ("tau_bc", labels.tau_bc)):
        quantiles[name] = np.repeat(value[:, None], 5, axis=1)
    quantiles["ebv"] = ebv_from_tau(quantiles["tau_ism"], labels.slope[:, None]).astype(np.float32)
    truth = replace(truth, mass_frac=labels.mass_frac, mh=labels.mh, quantiles=quantiles)
    flux, phot = reconstruct_observations(data, truth, bundle)
    # The toy's noise is independent from pixel to pixel, as that of a spectrum that needed no broadening.
    chi2 = reduced_chi2(replace(data, sigma_kms=np.full(30, 150.0, np.float32)), flux)
    assert np.median(chi2) == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(flux, data.flux, atol=0.6)
    np.testing.assert_allclose(phot / data.phot, 1.0, atol=0.2)


def test_reconstruction_of_nothing_is_nan(prediction, data, bundle):
    missing = replace(prediction, mass_frac=np.where(np.arange(12)[:, None] == 3, np.nan, prediction.mass_frac))
    flux, phot = reconstruct_observations(data, missing, bundle)
    chi2 = reduced_chi2(data, flux)
    assert np.isnan(flux[3]).all()
    assert np.isnan(phot[3]).all()
    assert np.isnan(chi2[3])
    assert np.isfinite(chi2[[0, 1, 2, 4]]).all()


def test_threads_do_not_disturb_each_other(prediction, data, bundle):
    found = [None, None]

    def work(i):
        found[i] = run(data, bundle, batch_size=3)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for answer in found:
        assert_same(answer, prediction)


def test_memory_is_kept_where_the_c_library_is_glibc_and_never_less(monkeypatch):
    calls = []
    library = SimpleNamespace(mallopt=lambda parameter, value: calls.append((parameter, value)))
    monkeypatch.setattr(arrays, "kept_bytes", 0)
    monkeypatch.setattr(arrays.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(arrays.platform, "libc_ver", lambda: ("", ""))
    assert not arrays.keep_freed_memory(100, 400)
    monkeypatch.setattr(arrays.platform, "libc_ver", lambda: ("glibc", "2.36"))
    for largest, most in ((100, 400), (50, 200), (200, 800)):
        assert arrays.keep_freed_memory(largest, most)
    assert calls == [(-3, 100), (-1, 400), (-3, 200), (-1, 800)]
