"""Spoilt spectra, and the critic that learns to know them."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from muse_hst import WAVE_AA
from toy_universe import make_toy_basis, make_toy_data

from napari_sfh.model.encoding import FeatureSettings, encode_observation
from napari_sfh.model.ood import OodDetector
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.training.fitting import corruption
from napari_sfh.training.fitting.ood_classifier import fit_ood_classifier
from napari_sfh.training.fitting.recipe import AugmentSettings
from napari_sfh.training.fitting.spectra_sources import SpectraSource


@dataclass(frozen=True)
class ToySource(SpectraSource):
    data: object
    labels: object
    features: FeatureSettings = field(default_factory=FeatureSettings)

    def observe(self, rows, settings, rng):
        return self.data.select(rows)


@pytest.mark.parametrize("kind", range(7))
def test_each_kind_changes_something_and_keeps_the_contract(kind):
    data, _ = make_toy_data(12, seed=1, snr=40.0)
    spoil = corruption.list_corruptions(data, make_toy_basis())[kind]
    mask = data.mask.copy()
    mask[:, 100:200] = False
    data = replace(data, mask=mask, flux=np.where(mask, data.flux, 0).astype(np.float32))
    before = data.flux.copy(), data.phot.copy()
    made = spoil(data, np.random.default_rng(0))
    assert made.flux.dtype == made.phot.dtype == np.float32
    assert (made.flux[:, 100:200] == 0).all()
    assert np.isfinite(made.flux).all()
    assert np.isfinite(made.phot).all()
    assert not (np.array_equal(made.flux, data.flux) and np.array_equal(made.phot, data.phot))
    np.testing.assert_array_equal(data.flux, before[0])
    np.testing.assert_array_equal(data.phot, before[1])


def test_a_shift_moves_lines_by_its_velocity():
    data, _ = make_toy_data(200, seed=1)
    line = (1 + 3 * np.exp(-0.5 * ((WAVE_AA - 6000.0) / 4.0) ** 2)).astype(np.float32)
    data = replace(data, flux=np.tile(line, (200, 1)))
    made = corruption.corrupt_velocities(data, np.random.default_rng(0))
    centre = ((made.flux - 1) * WAVE_AA).sum(1) / (made.flux - 1).sum(1)
    v = np.abs(centre / 6000.0 - 1) * C_KMS
    assert v.min() == pytest.approx(100, abs=15)
    assert v.max() == pytest.approx(800, abs=15)


def test_a_blend_holds_both_objects_and_no_less_noise():
    data, _ = make_toy_data(600, seed=1)
    line = (1 + 3 * np.exp(-0.5 * ((WAVE_AA - 6000.0) / 4.0) ** 2)).astype(np.float32)
    mask = data.mask.copy()
    mask[:, :50] = False
    noisy = line + 0.02 * np.random.default_rng(5).standard_normal(data.flux.shape).astype(np.float32)
    data = replace(data, flux=np.where(mask, noisy, 0), mask=mask, error=np.full_like(data.flux, 0.02))
    made = corruption.blend_with_another_object(data, np.random.default_rng(0), make_toy_basis().filters)
    at_home = made.flux[:, np.abs(WAVE_AA - 6000.0) < 1.0].mean(1) - 1
    own = at_home / (line[np.abs(WAVE_AA - 6000.0) < 1.0].mean() - 1)
    assert np.quantile(own, 0.02) == pytest.approx(0.1, abs=0.05)
    assert np.quantile(own, 0.98) == pytest.approx(0.75, abs=0.05)
    quiet = (WAVE_AA > 6200) & (WAVE_AA < 6400)
    scatter = made.flux[:, quiet].std(1)
    assert np.quantile(scatter, 0.1) > 0.02 * 0.85
    assert (made.flux[:, :50] == 0).all()


def test_odd_lines_have_the_ratios_of_nuclei():
    data, _ = make_toy_data(300, seed=1, snr=2000.0)
    extra = (corruption.add_active_nucleus_lines(data, np.random.default_rng(0)).flux - data.flux) * 1.25

    def area(low, high):
        return extra[:, slice(*np.searchsorted(WAVE_AA, [low, high]))].sum(1)

    ratio = area(4993, 5021) / area(4847, 4876)
    assert 0.4 < np.quantile(ratio, 0.05) < 0.9
    assert np.quantile(ratio, 0.95) < 16


def test_spoil_returns_every_object_once():
    data, _ = make_toy_data(40, seed=2)
    assert (
        sum(part.n_bins for part in corruption.corrupt_spectra(data, make_toy_basis(), np.random.default_rng(0))) == 40
    )


def test_the_critic_learns_and_repeats_itself():
    data, labels = make_toy_data(900, seed=3, snr=40.0)
    source, losses, answers = ToySource(data, labels), [], []
    for _ in range(2):
        torch.manual_seed(0)
        depth = OodDetector(4, data.instrument.n_wave, data.instrument.n_bands, components=8)
        depth.fit_subspace(encode_observation(data))
        losses.append(fit_ood_classifier(depth, make_toy_basis(), source, np.arange(700), AugmentSettings(), seed=1))
        good = data.select(slice(700, 900))
        with torch.no_grad():
            home = depth.classifier_statistic(depth.classifier_input(encode_observation(good)))
            away = depth.classifier_statistic(
                depth.classifier_input(
                    encode_observation(corruption.corrupt_velocities(good, np.random.default_rng(9)))
                )
            )
        answers.append(away)
    assert losses[0] == losses[1] < 0.5
    assert torch.equal(*answers)
    assert float((away > home.quantile(0.95)).float().mean()) > 0.5
