"""The fused convolution unit and the plain attention: values and gradients of the layers that they replace."""

import copy

import pytest
import torch
from torch import nn

from napari_sfh.model.encoding import Features
from napari_sfh.model.fast_convolution import MIN_BATCH, allows_fast_convolution
from napari_sfh.model.layers import ConvUnit, WavelengthAttention, convolve_by_product
from napari_sfh.model.networks import build_network

SHAPES = [(1, 16, 7, 4, 241), (16, 32, 5, 4, 60), (3, 6, 7, 4, 64), (2, 5, 3, 3, 50)]  # C, C', kernel, pool, W


def make_unit(shape, slope=0.25, seed=0):
    torch.manual_seed(seed)
    unit = ConvUnit(*shape[:4])
    with torch.no_grad():
        unit.act.weight.fill_(slope)
        for weight in (unit.norm.weight, unit.norm.bias, unit.conv.bias):
            weight.normal_()
    return unit


def plain(unit):
    return nn.Sequential(unit.conv, unit.norm, unit.act, unit.pool)


def run_backward(module, x, towards):
    x = x.clone().requires_grad_()
    y = module(x)
    y.backward(towards.to(y))
    return y.detach(), x.grad, {k: p.grad for k, p in module.named_parameters()}


def distance(a, b):
    return float((a.double() - b).norm() / b.norm())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slope", [0.25, 1.7])
def test_unit_equals_the_plain_layers_in_value_and_every_gradient(shape, slope):
    unit = make_unit(shape, slope)
    x = torch.randn(MIN_BATCH, shape[0], shape[4]) + 0.5
    assert allows_fast_convolution(x, shape[2], unit.act.weight)
    towards = torch.randn(MIN_BATCH, shape[1], shape[4] // shape[3])
    exact = run_backward(plain(copy.deepcopy(unit)).double(), x.double(), towards)
    found = run_backward(unit, x, towards)
    torch.testing.assert_close(found[0].double(), exact[0], atol=1e-4, rtol=1e-5)
    assert distance(found[1], exact[1]) < 1e-4
    for found_gradient, (name, gradient) in zip(found[2].values(), exact[2].items(), strict=True):
        if name == "0.bias":  # it cancels in the normalisation
            assert not found_gradient.any()
            assert gradient.abs().max() < 1e-9
        else:
            assert distance(found_gradient, gradient) < 1e-4, name


def test_gradients_are_those_of_small_steps():
    unit = make_unit((2, 3, 3, 3, 17)).double()
    x = torch.randn(MIN_BATCH, 2, 17, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit, (x,), fast_mode=True)


def test_of_equal_maxima_the_first_gets_the_gradient():
    unit = make_unit((1, 4, 7, 4, 241))
    x = torch.randn(MIN_BATCH, 1, 241)
    x[:, :, 40:120] = 0.4
    towards = torch.randn(MIN_BATCH, 4, 60)
    exact = run_backward(plain(copy.deepcopy(unit)), x, towards)
    found = run_backward(unit, x, towards)
    assert distance(found[1], exact[1]) < 1e-4


@pytest.mark.parametrize("slope", [0.0, -0.3])
def test_a_slope_that_does_not_rise_takes_the_plain_layers(slope):
    unit = make_unit(SHAPES[0], slope)
    x = torch.randn(MIN_BATCH, 1, 241)
    assert torch.equal(unit(x), plain(unit)(x))


def test_outside_training_an_object_does_not_depend_on_its_batch():
    unit = make_unit(SHAPES[0]).eval()
    x = torch.randn(MIN_BATCH, 1, 241)
    assert torch.equal(unit(x), plain(unit)(x))


@pytest.mark.parametrize(("batch", "kernel"), [(MIN_BATCH - 1, 7), (MIN_BATCH, 6)])
def test_small_batches_and_even_kernels_are_refused(batch, kernel):
    assert not allows_fast_convolution(torch.zeros(batch, 1, 50), kernel, torch.tensor([0.25]))


def test_attention_equals_torchs_own():
    torch.manual_seed(0)
    layer = WavelengthAttention(64, 27, 4)
    with torch.no_grad():
        for weight in (layer.attention.in_proj_bias, layer.attention.out_proj.bias):
            weight.normal_()
    x = torch.randn(8, 64, 27)
    tokens = x.transpose(1, 2)
    placed = tokens + layer.place
    expected = (tokens + layer.attention(placed, placed, tokens, need_weights=False)[0]).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_networks_weights_keep_their_names():
    names = set(build_network("galceran2026", None, 1761, 5).state_dict())
    stored = ("conv.weight", "conv.bias", "norm.weight", "norm.bias", "act.weight")
    assert {f"spectral.0.{k}" for k in stored} <= names
    assert {"spectral.3.place", "spectral.3.attention.in_proj_weight", "spectral.3.attention.out_proj.bias"} <= names


def test_training_and_evaluation_agree_on_the_whole_network():
    torch.manual_seed(0)
    network = build_network("galceran2026", {"channels": [4, 8, 8], "heads": 2}, 1761, 5)
    features = Features(
        0.3 * torch.randn(MIN_BATCH, 3, 1761),
        torch.randn(MIN_BATCH, 3, 5),
        torch.ones(MIN_BATCH, 1),
        torch.ones(MIN_BATCH, 0),
    )
    torch.testing.assert_close(network.train()(features)[1], network.eval()(features)[1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("channels", "kernel", "width"), [((1, 16), 7, 61), ((16, 8), 5, 40), ((3, 4), 1, 9)])
def test_product_of_matrices_is_the_convolution_with_its_gradients(channels, kernel, width):
    torch.manual_seed(0)
    n_in, n_out = channels
    given = [torch.randn(6, n_in, width), torch.randn(n_out, n_in, kernel), torch.randn(n_out)]
    mine, theirs = ([x.clone().requires_grad_() for x in given] for _ in range(2))
    out = convolve_by_product(*mine)
    wanted = torch.nn.functional.conv1d(*theirs, padding=kernel // 2)
    torch.testing.assert_close(out, wanted, rtol=1e-5, atol=1e-5)
    for result in (out, wanted):
        (result * torch.arange(result.numel()).view(result.shape)).sum().backward()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-2)
