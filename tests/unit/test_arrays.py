"""Spectra and noise by torch against NumPy's: one forward model, the same objects, and what a seed promises."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_toys import toy_source

from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.model.encoding import encode_observation
from napari_sfh.training.fitting.augmentation import augment_spectra
from napari_sfh.training.fitting.recipe import AugmentSettings
from napari_sfh.training.fitting.spectra_sources import Batches, StoredSource, make_endless_source, make_fresh_source
from napari_sfh.training.simulator import array_backend, simulation, stored_set
from napari_sfh.training.simulator.array_backend import NUMPY_BACKEND, ArrayBackend, TorchBackend
from napari_sfh.training.simulator.labels import Labels

N = 96
WORSE = AugmentSettings(snr_range=(5.0, 100.0), drop_band=0.3, drop_photometry=0.1, mask_range=0.3, mask_line=0.2)
THERE = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


@pytest.fixture(params=list(THERE))
def device(request):
    if not THERE[request.param]:
        pytest.skip(f"this machine has no {request.param} device: parity with NumPy is not measured on one here")
    return request.param


@pytest.fixture
def same_noise(monkeypatch):
    """Large random arrays of torch from the host's generator: the same numbers as NumPy's."""
    for name in ("normal", "uniform"):
        numbers = getattr(ArrayBackend, name)
        monkeypatch.setattr(TorchBackend, name, lambda self, rng, shape, f=numbers: self.put(f(self, rng, shape)))


def rng(seed=0):
    return np.random.default_rng(seed)


def host(data):
    """Flux, error and mask of bins, on the host."""
    return [array_backend.find_backend(x).take(x) for x in (data.flux, data.error, data.mask)]


def agree(a, b):
    """Bins equal to the rounding of single precision."""
    for x, y, tolerance in zip(host(a), host(b), (2e-5, 2e-5, 0), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=tolerance)
    for name in ("phot", "phot_error", "snr"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=2e-4, atol=1e-6)
    for name in ("phot_mask", "flag", "sigma_kms"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("prior", ["tiny", "wide"])
def test_torch_makes_the_same_objects_with_the_same_noise(device, prior, same_noise):
    source = toy_source(prior)
    data, labels, clipped = simulation.simulate_chunk(source, 3, 5, N)
    other, other_labels, other_clipped = simulation.simulate_chunk(source.to(device), 3, 5, N)
    assert torch.is_tensor(other.flux)
    assert other.flux.device.type == device
    agree(data, other)
    for name in Labels.array_names():
        np.testing.assert_array_equal(getattr(labels, name), getattr(other_labels, name))
    assert clipped == other_clipped


def test_spectra_agree_far_below_the_noise_where_noise_is_the_devices_own(device):
    """The noiseless part of a held set: largest difference from NumPy's, relative to the flux."""
    source = toy_source("wide")
    here, there = make_fresh_source(source, N, 4), make_fresh_source(source.to(device), N, 4)
    difference = np.abs(here.flux.astype(float) - there.flux) / here.flux
    assert difference.max() < 1.5e-3  # float16, in which both are kept, rounds to 1e-3
    assert difference.mean() < 2e-5
    np.testing.assert_allclose(here.phot, there.phot, rtol=1e-4)


def test_input_made_on_the_device_is_the_input_made_here(device, same_noise):
    source = toy_source("wide")
    data, _, _ = simulation.simulate_chunk(source, 3, 1, N)
    other, _, _ = simulation.simulate_chunk(source.to(device), 3, 1, N)
    a, b = (
        encode_observation(augment_spectra(data, WORSE, rng(1))),
        encode_observation(augment_spectra(other, WORSE, rng(1))),
    )
    assert b.spectrum.device.type == b.photometry.device.type == b.lg_snr.device.type == device
    for name in ("spectrum", "photometry", "lg_snr"):
        torch.testing.assert_close(getattr(b, name).cpu(), getattr(a, name), rtol=1e-3, atol=2e-4)


@pytest.fixture
def one_thread():
    """Matrix products of a processor round by how many threads share them, and MKL shares them as the load allows."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_batch_depends_on_its_number_alone(device):
    source = toy_source("wide").to(device)
    stream = stored_set.stream_batches(source, 9, n=32)
    first = [next(stream)[0].flux for _ in range(3)]
    stream.close()
    last_first = [simulation.simulate_chunk(source, 9, k, 32)[0].flux for k in (2, 0, 1)]
    for k, flux in zip((2, 0, 1), last_first, strict=True):
        assert torch.equal(first[k], flux)
    assert not torch.equal(first[0], first[1])


def test_noise_of_the_device_has_its_width(device):
    source = toy_source("tiny").to(device)
    held = make_fresh_source(source, 200, 1)
    there = replace(held, flux=source.arrays.put(held.flux))
    data = there.observe(np.arange(200), AugmentSettings(), rng(2))
    flux, error, mask = host(data)
    pull = ((flux - held.flux) / error)[mask]
    assert pull.std() == pytest.approx(1.0, abs=0.02)
    assert pull.mean() == pytest.approx(0.0, abs=0.05)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("endless", [False, True])
def test_batches_of_a_device_are_repeatable_whatever_was_made_before(device, endless):
    source = toy_source("wide").to(device)
    held = make_fresh_source(source, 64, 3)
    held = replace(held, flux=source.arrays.put(held.flux))
    spectra = make_endless_source(held, source) if endless else held
    assert spectra.on_device

    def passes(epoch):
        return [b.features.spectrum for b in Batches(spectra, np.arange(48), 16, WORSE, 7, epoch=lambda: epoch)]

    first, _, again = passes(2), passes(1), passes(2)
    assert len(first) == 3
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert first[0].device.type == device


def test_endless_source_shows_new_objects_in_training_and_the_same_ones_in_validation():
    source = toy_source("wide")
    held = make_fresh_source(source, 64, 3)
    endless = make_endless_source(held, source)
    rows = np.arange(32)

    def truth(epoch):
        return next(iter(Batches(endless, rows, 32, WORSE, 1, epoch=epoch))).y

    assert not torch.equal(truth(lambda: 0), truth(lambda: 1))
    assert torch.equal(truth(lambda: 1), truth(lambda: 1))
    assert torch.equal(truth(None), next(iter(Batches(held, rows, 32, WORSE, 1))).y)
    snr = 10 ** np.concatenate([b.features.lg_snr for b in Batches(endless, rows, 32, WORSE, 1, epoch=lambda: 3)])
    assert snr.min() > 2
    assert snr.max() < 250


def test_a_source_moves_there_and_back():
    source = toy_source()
    held = make_endless_source(make_fresh_source(source, 32, 3), source)
    assert held.to("cpu").source.arrays is NUMPY_BACKEND
    assert not held.to("cpu").on_device
    np.testing.assert_array_equal(held.to("cpu").flux, held.flux)


def test_a_stored_set_is_made_worse_on_the_device(device, tmp_path, same_noise):
    simulation.simulate_set(toy_source(), 40, 4, tmp_path, 1)
    here = StoredSource.open(tmp_path)
    there = replace(here, arrays=array_backend.select_backend(device))
    rows = np.array([3, 8, 20])
    agree(here.observe(rows, WORSE, rng(1)), there.observe(rows, WORSE, rng(1)))


def test_a_set_made_by_torch_is_not_mixed_with_numpys(tmp_path):
    simulation.simulate_set(toy_source().to("cpu"), 40, 4, tmp_path, 2)
    manifest = simulation.read_manifest(tmp_path)
    assert manifest["made_with"] == "torch-cpu"
    assert len(stored_set.load_stored_set(tmp_path)) == 40
    with pytest.raises(SfhInputError, match=r"holds another set \(prior, .* device"):
        simulation.simulate_set(toy_source(), 40, 4, tmp_path, 1)
    with pytest.raises(SfhInputError, match="`scheduler` tcp://x:1: its workers make"):
        simulation.simulate_set(toy_source().to("cpu"), 40, 4, tmp_path / "b", 1, "tcp://x:1")


def test_a_device_that_is_not_there_is_named():
    name = "mps" if not THERE["mps"] else "cuda"
    if THERE[name]:
        pytest.skip("every device is there")
    with pytest.raises(ComputeError, match=rf"`device` {name}: torch cannot use it .*; choose cpu"):
        toy_source().to(name)


def test_short_memory_is_one_line():
    words = "too small for 5 spectra; use `device` cpu or a smaller `n`"
    with pytest.raises(ComputeError, match=words), array_backend.explain_out_of_memory("5 spectra"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
    with pytest.raises(RuntimeError, match="another"), array_backend.explain_out_of_memory("5 spectra"):
        raise RuntimeError("another failure")
