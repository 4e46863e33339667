"""Calibration, and the test of calibration itself: a posterior that is right passes, a wrong one is mended."""

import pytest
import torch
from histories import SCALARS, VECTORS

from napari_sfh.model.calibration import PosteriorCalibration, compute_pit, weighted_quantile

N, DRAWS = 4000, 400
#: Age bins: each has levels of its own, so three tell what sixteen would.
N_AGE = 3


def make_calibration() -> PosteriorCalibration:
    """A calibration of histories that changes nothing yet."""
    return PosteriorCalibration(SCALARS, VECTORS, N_AGE)


def interval_coverage(quantiles, truth):
    """Share of truths inside 16-84 % and inside 2.5-97.5 % of quantiles (..., 5)."""
    inside = [(truth >= quantiles[..., i]) & (truth <= quantiles[..., 4 - i]) for i in (1, 0)]
    return float(inside[0].float().mean()), float(inside[1].float().mean())


def universe(width: float = 1.0, shift: float = 0.0, seed: int = 0):
    """Truths drawn from N(m, 1) per object, posteriors N(m + shift, width), for every quantity alike; and lg S/N."""
    g = torch.Generator().manual_seed(seed)
    middle = torch.randn(N, generator=g)
    truth = middle + torch.randn(N, generator=g)
    draws = middle[:, None] + shift + width * torch.randn(N, DRAWS, generator=g)
    lg_snr = 0.7 + 1.4 * torch.rand(N, generator=g)
    return truth, draws, lg_snr


def as_quantities(draws):
    vector = draws[:, :, None].expand(-1, -1, N_AGE)
    return dict.fromkeys(SCALARS, draws) | dict.fromkeys(VECTORS, vector)


def ranks_of(draws, truth):
    rank = compute_pit(draws, truth)
    return dict.fromkeys(SCALARS, rank) | dict.fromkeys(VECTORS, rank[:, None].expand(-1, N_AGE))


def test_a_right_posterior_is_found_calibrated():
    truth, draws, lg_snr = universe()
    rank = compute_pit(draws, truth)
    assert torch.histc(rank, 10, 0, 1) / N == pytest.approx(torch.full((10,), 0.1), abs=0.02)
    q = make_calibration().quantiles(as_quantities(draws), lg_snr)
    p68, p95 = interval_coverage(q["mh_lw"], truth)
    assert p68 == pytest.approx(0.68, abs=0.02)
    assert p95 == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(("width", "p68"), [(0.5, 0.38), (2.0, 0.954)])
def test_a_wrong_width_is_found(width, p68):
    truth, draws, lg_snr = universe(width)
    q = make_calibration().quantiles(as_quantities(draws), lg_snr)
    assert interval_coverage(q["tau_ism"], truth)[0] == pytest.approx(p68, abs=0.03)


@pytest.mark.parametrize(("width", "shift"), [(0.8, 0.0), (2.0, 0.3), (1.0, -0.5)])
def test_fitting_mends_width_and_shift_on_other_objects(width, shift):
    truth, draws, lg_snr = universe(width, shift)
    calibration = make_calibration()
    calibration.fit(ranks_of(draws, truth), lg_snr, draws=DRAWS)
    truth, draws, lg_snr = universe(width, shift, seed=1)
    q = calibration.quantiles(as_quantities(draws), lg_snr)
    for values in (q["lg_age_mw"], q["mass_frac"][:, 1]):
        p68, p95 = interval_coverage(values, truth)
        assert p68 == pytest.approx(0.68, abs=0.03)
        assert p95 == pytest.approx(0.95, abs=0.025)
        assert float((values[:, 2] - truth).median()) == pytest.approx(0.0, abs=0.08)


def test_levels_follow_the_light_weighted_age_too():
    """Posteriors of old objects are too narrow by two and wrong by half of their width, those of young ones right."""

    def posterior(seed):
        truth, draws, lg_snr = universe(seed=seed)
        lg_age = 8.2 + 1.6 * (torch.arange(N) % 2)  # the outermost nodes
        old = (lg_age > 9)[:, None]
        draws = torch.where(
            old, draws.mean(1, keepdim=True) + 0.5 * (draws - draws.mean(1, keepdim=True)) + 0.25, draws
        )
        ages = lg_age[:, None] + 0.01 * torch.randn(N, DRAWS)
        return truth, as_quantities(draws) | {"lg_age_lw": ages}, lg_snr, old[:, 0]

    truth, draws, lg_snr, old = posterior(0)
    calibration = make_calibration()
    rank = compute_pit(draws["mh_lw"], truth)
    calibration.fit(
        {k: compute_pit(v, truth) if v.dim() == 2 else rank[:, None].expand(-1, N_AGE) for k, v in draws.items()},
        lg_snr,
    )
    pooled = calibration.quantiles(draws, lg_snr)["mh_lw"]
    for part in (old, ~old):
        assert abs(interval_coverage(pooled[part], truth[part])[0] - 0.68) > 0.06
    calibration.fit_age_shift({"mh_lw": rank}, lg_snr, draws["lg_age_lw"].median(1).values, DRAWS)
    truth, draws, lg_snr, old = posterior(1)
    q = calibration.quantiles(draws, lg_snr)
    for part in (old, ~old):
        assert interval_coverage(q["mh_lw"][part], truth[part])[0] == pytest.approx(0.68, abs=0.03)
        assert float((q["mh_lw"][part, 2] - truth[part]).median()) == pytest.approx(0.0, abs=0.08)
    # Draws are moved to the same quantiles; what was not given stays as it was.
    few = {name: values[:50] for name, values in draws.items()}
    moved = calibration.calibrate_draws(few, lg_snr[:50])["mh_lw"]
    levels = torch.tensor([0.16, 0.5, 0.84])
    assert torch.quantile(moved, levels, dim=1).T == pytest.approx(q["mh_lw"][:50, 1:4], abs=0.05)
    calibration.age_shift = None
    torch.testing.assert_close(calibration.quantiles(draws, lg_snr)["ebv"], q["ebv"], rtol=0, atol=1e-3)


def test_levels_follow_the_snr():
    g = torch.Generator().manual_seed(3)
    lg_snr = 0.7 + 1.4 * torch.rand(N, generator=g)
    truth = torch.randn(N, generator=g)
    # Too narrow by two at low S/N, right at high S/N.
    width = torch.where(lg_snr < 1.3, 0.5, 1.0)
    draws = width[:, None] * torch.randn(N, DRAWS, generator=g)
    calibration = make_calibration()
    calibration.fit(ranks_of(draws, truth), lg_snr, draws=DRAWS)
    q = calibration.quantiles(as_quantities(draws), lg_snr)["ebv"]
    for part in (lg_snr < 1.1, lg_snr > 1.5):
        assert interval_coverage(q[part], truth[part])[0] == pytest.approx(0.68, abs=0.05)


def test_quantiles_keep_order_and_bounds_of_the_draws():
    draws = torch.rand(20, 100, generator=torch.Generator().manual_seed(0))
    q = make_calibration().quantiles(as_quantities(draws), torch.full((20,), 1.3))["light_frac"]
    assert q.shape == (20, N_AGE, 5)
    assert (q.diff(dim=-1) >= 0).all()
    assert (q >= draws.min()).all()
    assert (q <= draws.max()).all()


def test_too_few_objects_leave_levels_as_they_are():
    truth, draws, lg_snr = (t[:20] for t in universe())
    calibration = make_calibration()
    before = calibration.scalar.clone()
    calibration.fit(ranks_of(draws, truth), lg_snr)
    assert torch.equal(calibration.scalar, before)


def test_ties_count_half():
    assert compute_pit(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([0.0])) == pytest.approx(0.25)


def test_weighted_quantile_is_the_plain_one_for_equal_weights_and_moves_with_them():
    x = torch.linspace(0, 1, 1001)
    p = torch.tensor([0.1, 0.5, 0.9])
    torch.testing.assert_close(weighted_quantile(x, torch.ones(1001), p), p, atol=1e-3, rtol=0)
    # Weights proportional to x: the median of the density 2x is sqrt(1/2).
    assert float(weighted_quantile(x, x, torch.tensor([0.5]))[0]) == pytest.approx(0.5**0.5, abs=2e-3)


def test_truths_at_a_bound_are_covered_once_held_out_spectra_show_them():
    g = torch.Generator().manual_seed(5)
    lg_snr = torch.full((N,), 1.3)
    # A tenth of the fractions is exactly zero, where draws never are.
    truth = torch.rand(N, generator=g) * (torch.rand(N, generator=g) > 0.1)
    draws = (truth[:, None] + 0.05 * torch.randn(N, DRAWS, generator=g)).abs().clamp(1e-6, 1.0)
    rank = compute_pit(draws, truth)[:, None].expand(-1, N_AGE)
    calibration = make_calibration()
    calibration.fit(dict.fromkeys(SCALARS, rank[:, 0]) | dict.fromkeys(VECTORS, rank), lg_snr, draws=DRAWS)
    q = calibration.quantiles(as_quantities(draws), lg_snr)["light_frac"][:, 1]
    assert interval_coverage(q[truth == 0], truth[truth == 0])[1] > 0.95
    assert (q >= 0).all()
    assert (q <= 1).all()
    assert (q.diff(dim=-1) >= 0).all()


def test_small_fractions_get_ranks_of_their_own_and_honest_intervals():
    generator = torch.Generator().manual_seed(3)
    # Claimed: fractions of 0.02-0.07; one truth in ten lies below all draws.
    draws = 0.05 * torch.rand(N, DRAWS + 1, generator=generator) + 0.02
    truth, draws = draws[:, 0].clone(), draws[:, 1:]
    low = torch.rand(N, generator=generator) < 0.1
    truth[low] = 0.02 * torch.rand(int(low.sum()), generator=generator)
    rank = compute_pit(draws, truth, bounds=True)
    assert len(torch.unique(rank[low])) > 300
    assert float(rank[low].max()) <= 1 / DRAWS
    calibration = make_calibration()
    ranks = dict.fromkeys(SCALARS, rank) | dict.fromkeys(VECTORS, rank[:, None].expand(-1, N_AGE))
    calibration.fit(ranks, torch.full((N,), 1.5), draws=DRAWS)
    read = calibration.quantiles(as_quantities(draws), torch.full((N,), 1.5))["light_frac"][:, 0]
    assert interval_coverage(read, truth)[1] == pytest.approx(0.95, abs=0.01)
