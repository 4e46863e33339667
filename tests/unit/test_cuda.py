"""The device gives what the processor gives; skipped where there is none."""

import numpy as np
import pytest
import torch
from toy_universe import make_toy_data, write_toy_bundle

from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.inference import predict_histories, predict_point_values
from napari_sfh.model.layers import ConvUnit

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(write_toy_bundle(tmp_path_factory.mktemp("cuda") / "toy.safetensors"))


def test_posterior_is_that_of_the_processor(bundle):
    data, _ = make_toy_data(40)
    here, there = (predict_histories(data, bundle, device, draws=200) for device in ("cpu", "cuda"))
    for name, values in here.quantiles.items():
        np.testing.assert_allclose(there.quantiles[name], values, atol=2e-3, rtol=2e-3, err_msg=name)


def test_point_values_are_those_of_the_processor(bundle):
    data, _ = make_toy_data(40)
    here, there = (predict_point_values(data, bundle, device) for device in ("cpu", "cuda"))
    for name, values in here.items():
        np.testing.assert_allclose(there[name], values, atol=2e-3, rtol=2e-3, err_msg=name)


def test_training_on_the_device_has_the_gradients_of_the_processor():
    torch.manual_seed(0)
    unit, x = ConvUnit(3, 8, 7, 4), torch.randn(32, 3, 240)
    unit(x).square().sum().backward()
    here = unit.conv.weight.grad.clone()
    unit.zero_grad()
    unit.cuda()(x.cuda()).square().sum().backward()
    torch.testing.assert_close(unit.conv.weight.grad.cpu(), here, atol=1e-2, rtol=1e-2)
