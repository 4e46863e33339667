"""Training spectra: split, fresh noise, what is taken away, and that every pass can be made again."""

import dataclasses

import numpy as np
import pytest
import torch
from muse_hst import NORM_PIXELS, WAVE_AA
from synthetic_toys import toy_source
from toy_universe import make_toy_data

from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.prep.observation import mask_gas_lines
from napari_sfh.training.fitting import spectra_sources
from napari_sfh.training.fitting.augmentation import (
    GAP_WIDTHS_PX,
    MASKED_LINES_AA,
    MOST_GAPS,
    augment_spectra,
    degrade_to_snr,
)
from napari_sfh.training.fitting.recipe import AugmentSettings
from napari_sfh.training.fitting.spectra_sources import (
    Batches,
    StoredSource,
    load_fresh_source,
    make_fresh_source,
    save_fresh_source,
    split_rows,
)
from napari_sfh.training.simulator import simulation
from napari_sfh.training.simulator.array_backend import get_torch_backend

NONE = AugmentSettings()


@pytest.fixture(scope="module")
def fresh():
    return make_fresh_source(toy_source(), 64, 3)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_split_is_70_20_10_complete_and_fixed():
    parts = split_rows(1000, 5)
    assert [len(p) for p in parts] == [700, 200, 100]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(1000))
    for a, b in zip(parts, split_rows(1000, 5), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(parts[0], split_rows(1000, 6)[0])
    with pytest.raises(SfhInputError, match="12 spectra are too few to"):
        split_rows(12, 1)


def test_same_seed_makes_the_same_noiseless_set(fresh):
    again, other = make_fresh_source(toy_source(), 64, 3), make_fresh_source(toy_source(), 64, 4)
    assert np.array_equal(fresh.flux, again.flux)
    assert np.array_equal(fresh.labels.mh, again.labels.mh)
    assert not np.array_equal(fresh.flux, other.flux)


def test_noiseless_set_survives_the_disk(fresh, tmp_path):
    save_fresh_source(fresh, tmp_path / "fresh.npz")
    back = load_fresh_source(tmp_path / "fresh.npz", fresh.config, fresh.instrument)
    rows = np.arange(10)
    a, b = (s.observe(rows, NONE, rng()) for s in (fresh, back))
    assert np.array_equal(a.flux, b.flux)
    assert np.array_equal(a.phot, b.phot)
    assert back.labels.family_names == fresh.labels.family_names


def test_a_full_disk_leaves_no_half_set(fresh, tmp_path, monkeypatch):
    def full(path, **arrays):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(ComputeError, match="No space left"):
        save_fresh_source(fresh, tmp_path / "fresh.npz")
    assert list(tmp_path.iterdir()) == []


def test_noise_is_new_in_every_pass_and_the_object_is_not(fresh):
    rows = np.arange(20)
    a, b = (fresh.observe(rows, NONE, rng(seed)) for seed in (1, 2))
    assert not np.array_equal(a.flux, b.flux)
    good = a.mask & b.mask
    pull = (a.flux - b.flux)[good] / np.hypot(a.error, b.error)[good]
    assert pull.std() == pytest.approx(1.0, abs=0.1)


def test_recipe_decides_the_snr(fresh):
    settings = AugmentSettings(snr_mix=(20.0,), snr_mix_share=1.0)
    data = fresh.observe(np.arange(40), settings, rng())
    window = data.flux[:, NORM_PIXELS] / np.where(data.mask, data.error, np.nan)[:, NORM_PIXELS]
    assert np.nanmedian(window) == pytest.approx(20.0, rel=0.1)


def test_degraded_spectra_have_the_snr_that_was_asked_for():
    data, _ = make_toy_data(200, seed=1, snr=80.0)
    worse = degrade_to_snr(data, np.full(200, 20.0), rng())
    np.testing.assert_allclose(worse.snr, 20.0, rtol=1e-5)
    np.testing.assert_allclose(worse.error / data.error, 4.0, rtol=1e-5)
    added = ((worse.flux - data.flux) / worse.error).std()
    assert added == pytest.approx(np.sqrt(1 - 1 / 16), rel=0.01)
    same = degrade_to_snr(data, np.full(200, 500.0), rng())
    assert np.array_equal(same.flux, data.flux)


def test_bands_and_wavelengths_are_taken_away_and_input_is_not_touched():
    data, _ = make_toy_data(400, seed=2)
    before = {k: v.copy() for k, v in data.__dict__.items() if isinstance(v, np.ndarray)}
    out = augment_spectra(
        data, AugmentSettings(drop_band=1.0, drop_photometry=0.1, mask_range=0.5, mask_line=0.2), rng()
    )
    for key, value in before.items():
        assert np.array_equal(getattr(data, key), value, equal_nan=value.dtype.kind == "f"), key
    combinations = {tuple(row) for row in out.phot_mask}
    assert len(combinations) == 32
    assert (out.phot[~out.phot_mask] == 0).all()
    assert (out.flux[~out.mask] == 0).all()
    kept = out.mask | ~data.mask
    assert 0.4 < (~kept).any(1).mean() < 0.9


def test_lines_are_masked_at_their_rate():
    data, _ = make_toy_data(1000, seed=2)
    mask = augment_spectra(data, AugmentSettings(mask_line=0.2), rng()).mask
    for lo, hi in MASKED_LINES_AA:
        middle = np.searchsorted(WAVE_AA, 0.5 * (lo + hi))
        assert 1 - mask[:, middle].mean() == pytest.approx(0.2, abs=0.05)


def test_all_lines_are_hidden_as_inference_hides_them():
    data, _ = make_toy_data(1000, seed=2)
    out = augment_spectra(data, AugmentSettings(mask_all_lines=0.2), rng())
    hidden = (out.mask == mask_gas_lines(data).mask).all(1)
    assert hidden.mean() == pytest.approx(0.2, abs=0.05)
    assert np.array_equal(out.mask[~hidden], data.mask[~hidden])
    assert (out.flux[~out.mask] == 0).all()


def test_short_gaps_are_hidden_anywhere():
    data, _ = make_toy_data(2000, seed=2)
    data = dataclasses.replace(data, mask=np.ones(data.mask.shape, bool))
    hidden = ~augment_spectra(data, AugmentSettings(mask_gaps=0.5), rng()).mask
    hit = hidden.any(1)
    assert hit.mean() == pytest.approx(0.5, abs=0.04)
    starts = (np.diff(hidden.astype(int), axis=1, prepend=0) == 1).sum(1)[hit]
    assert set(starts) == {1, 2, 3, 4}
    one = hidden[hit][starts == 1].sum(1)
    assert one.min() == 1
    assert 0.8 * GAP_WIDTHS_PX[1] <= np.percentile(one, 99) <= MOST_GAPS * GAP_WIDTHS_PX[1]
    # Evenly over the grid: no tenth of it is spared.
    tenths = np.array([part.mean() for part in np.array_split(hidden.mean(0), 10)])
    assert tenths.min() > 0.7 * tenths.mean()


def test_a_group_of_lines_is_hidden_together():
    data, _ = make_toy_data(1000, seed=2)
    mask = augment_spectra(data, AugmentSettings(mask_line_group=0.4), rng()).mask
    h_alpha, h_beta, o_iii, s_ii = (~mask[:, np.searchsorted(WAVE_AA, x)] for x in (6562.8, 4861.3, 5006.8, 6716.4))
    assert np.array_equal(h_alpha, h_beta)
    assert np.array_equal(o_iii, s_ii)
    assert not (h_alpha & o_iii).any()
    assert h_alpha.mean() == pytest.approx(0.2, abs=0.05)
    assert o_iii.mean() == pytest.approx(0.2, abs=0.05)


def test_passes_are_shuffled_by_epoch_and_repeatable(fresh):
    def passes(epoch, seed=7):
        return [b.y for b in Batches(fresh, np.arange(50), 16, NONE, seed, epoch=lambda: epoch)]

    first, again, second = passes(0), passes(0), passes(1)
    assert len(first) == 3
    assert all(len(y) == 16 for y in first)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], second[0])


def test_a_device_makes_several_batches_together_and_the_same_ones(fresh):
    """With torch's arrays, here on the processor: the objects of each batch are those that NumPy's have."""
    there = dataclasses.replace(fresh, flux=get_torch_backend("cpu").put(fresh.flux))
    here, grouped = (Batches(source, np.arange(50), 16, NONE, 7, epoch=lambda: 3) for source in (fresh, there))
    assert [len(group) for group in grouped.iterate_groups()] == [48]
    pairs = list(zip(here, grouped, strict=True))
    assert len(pairs) == 3
    for a, b in pairs:
        assert sorted(a.y.tolist()) == sorted(b.y.tolist())
        where = [a.y.tolist().index(row) for row in b.y.tolist()]
        torch.testing.assert_close(b.truth["mass_frac"], a.truth["mass_frac"][where])
        # The noise is another; the spectra under it are not.
        torch.testing.assert_close(b.features.spectrum[:, 0], a.features.spectrum[where, 0], atol=1.5, rtol=0)


def test_a_pass_without_epochs_keeps_order_and_every_row(fresh):
    batches = list(Batches(fresh, np.arange(50), 16, NONE, 7))
    assert [len(b.y) for b in batches] == [16, 16, 16, 2]
    mh = torch.cat([b.y for b in batches])[:, 16:32].numpy()
    np.testing.assert_allclose(mh, fresh.labels.mh[:50], atol=1e-6)


def test_stored_set_gives_its_own_data(tmp_path):
    simulation.simulate_set(toy_source(), 40, 4, tmp_path, 1)
    source = StoredSource.open(tmp_path)
    rows = np.array([3, 8, 20])
    data = source.observe(rows, NONE, rng())
    assert np.array_equal(data.flux, source.dataset.data(rows).flux)
    batch = source.batch(rows, NONE, rng())
    assert np.array_equal(batch.truth["mass_frac"].numpy(), source.labels.mass_frac[rows].astype(np.float32))


def test_noise_settings_of_the_prior_are_used(fresh):
    quiet = dataclasses.replace(fresh, config=dataclasses.replace(fresh.config, noise=_noise(fresh, 400.0)))
    data = quiet.observe(np.arange(10), NONE, rng())
    assert np.allclose(data.snr, 400.0, rtol=0.1)


def _noise(fresh, snr):
    from napari_sfh.training.prior.distributions import constant_distribution

    return dataclasses.replace(fresh.config.noise, snr=constant_distribution(snr))


def test_processes_share_every_batch_of_a_pass(fresh, monkeypatch):
    def pass_of(rank, processes, epoch=lambda: 2):
        monkeypatch.setattr(spectra_sources, "find_process_rank", lambda: (rank, processes))
        return [b.y for b in Batches(fresh, np.arange(50), 16, NONE, 7, epoch=epoch)]

    whole, parts = pass_of(0, 1), [pass_of(rank, 2) for rank in (0, 1)]
    assert len(whole) == len(parts[0]) == len(parts[1]) == 3
    for k, batch in enumerate(whole):
        assert len(parts[0][k]) == len(parts[1][k]) == 8
        assert sorted(map(tuple, torch.cat([parts[0][k], parts[1][k]]).tolist())) == sorted(map(tuple, batch.tolist()))
    # What validates is the same for all.
    assert all(torch.equal(a, b) for a, b in zip(pass_of(0, 2, None), pass_of(1, 2, None), strict=True))
