"""The out-of-distribution score: 1 % of false alarms at home, alarms for what is strange."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from muse_hst import WAVE_AA
from toy_universe import make_toy_data

from napari_sfh.model.calibration import LG_SNR_NODES
from napari_sfh.model.encoding import encode_observation
from napari_sfh.model.ood import OOD_STATISTICS, OodDetector


def statistics_and_snr(n=20000, seed=0):
    """Signs whose middle and width depend on S/N, and lg S/N."""
    g = torch.Generator().manual_seed(seed)
    lg_snr = 0.7 + 1.5 * torch.rand(n, generator=g)
    statistics = lg_snr[:, None] * torch.tensor([1.0, -2.0, 0.5, 3.0, 1.5, 0.3]) + torch.randn(
        n, len(OOD_STATISTICS), generator=g
    )
    return statistics, lg_snr


def test_false_alarms_are_one_per_cent_at_every_snr():
    depth = OodDetector(4, 1761, 5)
    depth.fit_threshold(*statistics_and_snr())
    statistics, lg_snr = statistics_and_snr(seed=1)
    alarm = depth.score(statistics, lg_snr) > 1
    assert float(alarm.float().mean()) == pytest.approx(0.01, abs=0.004)
    for low in (0.7, 1.2, 1.7):
        part = (lg_snr > low) & (lg_snr < low + 0.5)
        assert float(alarm[part].float().mean()) == pytest.approx(0.01, abs=0.008)


def test_each_sign_alone_rings():
    depth = OodDetector(4, 1761, 5)
    depth.fit_threshold(*statistics_and_snr())
    statistics, lg_snr = statistics_and_snr(n=50, seed=2)
    for k in range(len(OOD_STATISTICS)):
        strange = statistics.clone()
        strange[:, k] += 12.0
        assert (depth.score(strange, lg_snr) > 1).all()


def test_without_thresholds_nothing_rings():
    statistics, lg_snr = statistics_and_snr(n=50)
    assert (OodDetector(4, 1761, 5).score(statistics, lg_snr) < 1e-3).all()


@pytest.fixture(scope="module")
def subspace():
    depth = OodDetector(4, 1761, 5, components=12)
    depth.fit_subspace(encode_observation(make_toy_data(800, seed=5, snr=80.0)[0]))
    return depth


def test_spectra_of_the_set_leave_noise_alone(subspace):
    data, _ = make_toy_data(40, seed=6, snr=20.0)
    chi2 = 10 ** subspace.subspace_statistic(encode_observation(data).spectrum)
    assert float(chi2.median()) == pytest.approx(1.0, abs=0.12)


def test_a_strange_line_and_a_shift_are_seen(subspace):
    data, _ = make_toy_data(40, seed=6, snr=40.0)
    home = subspace.subspace_statistic(encode_observation(data).spectrum)
    line = replace(data, flux=(data.flux + np.exp(-0.5 * ((WAVE_AA - 6300.0) / 5.0) ** 2)).astype(np.float32))
    shifted = np.stack([np.interp(WAVE_AA * 1.002, WAVE_AA, f) for f in data.flux]).astype(np.float32)
    assert (subspace.subspace_statistic(encode_observation(line).spectrum) > home.max()).all()
    assert (
        float((subspace.subspace_statistic(encode_observation(replace(data, flux=shifted)).spectrum) - home).median())
        > 0.02
    )


def test_masked_pixels_do_not_ring(subspace):
    data, _ = make_toy_data(40, seed=7, snr=40.0)
    mask = data.mask.copy()
    mask[:, 600:760] = False
    flux = data.flux.copy()
    flux[:, 600:760] = 40.0
    home = subspace.subspace_statistic(encode_observation(data).spectrum)
    masked = subspace.subspace_statistic(encode_observation(replace(data, mask=mask, flux=flux)).spectrum)
    assert float((masked - home).abs().max()) < 0.12


def test_latent_density_is_that_of_the_mixture():
    from scipy.stats import multivariate_normal

    depth = OodDetector(2, 1761, 5, gaussians=2)
    covariances = [np.diag([1.0, 4.0]), np.array([[2.0, 0.5], [0.5, 1.0]])]
    roots = [np.linalg.cholesky(np.linalg.inv(c)) for c in covariances]
    means = np.array([[0.0, 1.0], [3.0, -1.0]])
    depth.set_density(
        torch.tensor(means, dtype=torch.float32),
        torch.tensor(np.array(roots), dtype=torch.float32),
        torch.tensor([0.3, 0.7]),
    )
    x = np.array([[0.0, 0.0], [2.0, 2.0], [8.0, -5.0]])
    density = 0.3 * multivariate_normal(means[0], covariances[0]).pdf(x)
    density += 0.7 * multivariate_normal(means[1], covariances[1]).pdf(x)
    made = depth.latent_statistic(torch.tensor(x, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(np.diff(made), np.diff(-np.log(density)), rtol=1e-4)


def test_photometry_uses_the_bands_there_are():
    depth = OodDetector(4, 1761, 5)
    g = torch.Generator().manual_seed(0)
    root = torch.diag(torch.tensor([0.1, 0.05, 0.05, 0.02, 0.04]))
    root[1, 0] = 0.08
    away = torch.randn(4000, 5, generator=g) @ root.T + 0.03
    seen = torch.ones(4000, 5, dtype=torch.bool)
    lg_snr = torch.full((4000,), LG_SNR_NODES[2])
    depth.fit_photometry(away, seen, lg_snr)
    assert float(depth.photometry_statistic(away, seen, lg_snr).mean()) == pytest.approx(1.0, abs=0.1)
    off = away[:100].clone()
    off[:, 3] += 0.2
    assert (depth.photometry_statistic(off, seen[:100], lg_snr[:100]) > 5).all()
    without = seen[:100].clone()
    without[:, 3] = False
    assert float(depth.photometry_statistic(off, without, lg_snr[:100]).mean()) == pytest.approx(1.0, abs=0.3)
    assert (depth.photometry_statistic(off, torch.zeros_like(without), lg_snr[:100]) == 0).all()
