"""The two losses: zero at the truth, the paper's weights, and what each term is about."""

import math

import numpy as np
import pytest
import torch
from toy_universe import make_toy_basis, make_toy_data

from napari_sfh.model.networks import HistoryOutput
from napari_sfh.model.sfh_model import targets_from_labels
from napari_sfh.model.targets import HistoryTargets, MassToLight
from napari_sfh.training.fitting.losses import SCALAR_LOSSES, SFH_SHARE, TERMS, light_loss, paper_loss, scalar_loss

ROOT, MH, DUST = slice(0, 16), slice(16, 32), slice(32, 35)
TRUTH_LABELS = ("mass_frac", "lg_ml_v", "lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw")


@pytest.fixture(scope="module")
def toy():
    """Label vectors, truth and mass-to-light ratios."""
    _, labels = make_toy_data(50, seed=1)
    truth = {k: torch.from_numpy(np.asarray(getattr(labels, k), np.float32)) for k in TRUTH_LABELS}
    return targets_from_labels(labels, HistoryTargets()), truth, MassToLight.from_basis(make_toy_basis())


def answer(y, **changes):
    """What a network would decode if it knew the truth, with changes."""
    return HistoryOutput(**{"fraction": y[:, ROOT] ** 2, "mh": y[:, MH], "dust": y[:, DUST]} | changes)


def test_truth_costs_nothing(toy):
    y, truth, to_light = toy
    worst = float(light_loss(answer(y), y, truth, to_light))
    assert worst < 0.02  # the root of a fraction is softened near zero
    assert float(paper_loss(answer(y), y[:, ROOT] ** 2, y[:, MH])) == pytest.approx(0.0, abs=1e-6)


def test_paper_loss_is_80_to_20():
    decoded = HistoryOutput(torch.full((4, 16), 0.5), torch.full((4, 16), 0.25), None)
    zero = torch.zeros(4, 16)
    expected = 0.8 * math.log(math.cosh(0.5)) + 0.2 * math.log(math.cosh(0.25))
    assert float(paper_loss(decoded, zero, zero)) == pytest.approx(expected, rel=1e-5)
    assert SFH_SHARE == 0.8


def test_dust_terms_are_in_their_units(toy):
    y, truth, to_light = toy
    base = light_loss(answer(y), y, truth, to_light)
    dust = answer(y).dust.clone()
    dust[:, 0] += 10 * TERMS["tau_ism"][0]
    extra = float(light_loss(answer(y, dust=dust), y, truth, to_light) - base)
    # log cosh x = |x| - log 2 for large x.
    assert extra == pytest.approx(TERMS["tau_ism"][1] * (10 - math.log(2)), rel=1e-3)


def test_half_a_per_cent_of_mass_in_a_young_bin_costs_light_not_mass(toy):
    """The mistake that rules light-weighted ages is dear to this loss and cheap to the paper's."""
    y, truth, to_light = toy
    mass = truth["mass_frac"].clone()
    leaked = 0.995 * mass
    leaked[:, 1] += 0.005
    light = to_light.light_from_mass(leaked, y[:, MH])
    paper = float(paper_loss(answer(y, fraction=leaked), mass, y[:, MH]))
    ours = float(light_loss(answer(y, fraction=light), y, truth, to_light))
    assert paper < 1e-5
    assert ours > 1.0


def test_no_dust_predicted_no_dust_asked(toy):
    y, truth, to_light = toy
    wrong = answer(y).dust + 3.0
    without = light_loss(answer(y, dust=None), y, truth, to_light)
    assert float(without) < float(light_loss(answer(y, dust=wrong), y, truth, to_light))


def test_gradients_are_finite_where_fractions_vanish(toy):
    y, truth, to_light = toy
    logits = torch.full((50, 16), -30.0)
    logits[:, 9] = 30.0
    logits.requires_grad_()
    light_loss(answer(y, fraction=torch.softmax(logits, 1)), y, truth, to_light).backward()
    assert torch.isfinite(logits.grad).all()


def test_losses_of_scalars_by_hand():
    y, values = torch.zeros(2, 2), torch.tensor([[0.1, -0.3], [0.0, 0.2]])
    ln_width = torch.log(torch.tensor([0.1, 0.2]))
    assert float(scalar_loss("mae", values, y, ln_width)) == pytest.approx(0.15)
    assert float(scalar_loss("mse", values, y, ln_width)) == pytest.approx((0.01 + 0.09 + 0.04) / 4)
    gaussian = 0.5 * (1.0 + 2.25 + 0.0 + 1.0) / 4 + 0.5 * math.log(0.1 * 0.2)
    assert float(scalar_loss("gaussian", values, y, ln_width)) == pytest.approx(gaussian, rel=1e-5)
    in_units = np.log(np.cosh(values.numpy().astype(float) / 0.02)).mean()
    assert float(scalar_loss("log-cosh", values, y, ln_width)) == pytest.approx(in_units, rel=1e-5)


@pytest.mark.parametrize("name", SCALAR_LOSSES)
def test_losses_of_scalars_are_least_at_the_truth(name):
    y, ln_width = torch.randn(50, 3), torch.zeros(3)
    best = scalar_loss(name, y, y, ln_width)
    assert best < scalar_loss(name, y + 0.1, y, ln_width) < scalar_loss(name, y + 0.3, y, ln_width)
