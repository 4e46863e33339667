"""The fast draws of both kinds of flow against zuko's own inverse, and the shipped weights' numbers kept."""

import pytest
import torch
from zuko.flows import MAF, NSF

from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.flow_draws.autoregressive import allows_blockwise_draws, draw_feature_by_feature
from napari_sfh.model.flow_draws.couplings import allows_fast_draws, draw_through_couplings
from napari_sfh.model.posterior import FlowConfig, Posterior, build_flow, make_base_points

CONTEXT = 6


def plain_draws(flow, points, context, colour, location):
    z = flow(context).transform.inv(points[:, None].expand(-1, len(context), -1))
    return (location + z @ colour).transpose(0, 1)


#: By kind of flow: what draws from it, and whether that applies.
WAYS = {
    "coupling": (draw_through_couplings, allows_fast_draws),
    "maf": (draw_feature_by_feature, allows_blockwise_draws),
}


def make_problem(features, n_objects=9, n_draws=300, spread=1.0, kind="coupling", hidden=(16, 16)):
    torch.manual_seed(features)
    flow = build_flow(features, CONTEXT, FlowConfig(4 if features > 1 else 0, hidden, 5, kind))
    with torch.no_grad():
        for weight in flow.parameters():
            weight.mul_(2.0)  # fresh weights are close to the identity
    shapes = (n_draws, features), (n_objects, CONTEXT), (features, features), (n_objects, features)
    points, *rest = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    return flow.double(), spread * points, *rest


@pytest.mark.parametrize("features", [1, 2, 3, 10, 35])
@pytest.mark.parametrize("spread", [1.0, 3.0])  # the second with points beyond the splines' bound
def test_fast_draws_are_zukos_inverse(features, spread):
    problem = make_problem(features, spread=spread)
    with torch.inference_mode():
        expected = plain_draws(*problem)
        found = draw_through_couplings(*problem)
    assert found.shape == expected.shape == (9, 300, features)
    assert bool(problem[1].abs().max() > 5) == (spread > 1)
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("features", [2, 3, 10])
@pytest.mark.parametrize("hidden", [(5,), (16, 16), (40, 24, 17)])  # five units do not reach every feature of ten
def test_draws_feature_by_feature_are_zukos_inverse(features, hidden):
    problem = make_problem(features, kind="maf", hidden=hidden)
    with torch.inference_mode():
        expected = plain_draws(*problem)
        found = draw_feature_by_feature(*problem)
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-8)


def test_features_that_come_together_go_back_together():
    _, *given = make_problem(7)
    torch.manual_seed(1)
    flow = MAF(7, CONTEXT, transforms=3, hidden_features=(16, 16), passes=3).double()
    with torch.inference_mode():
        torch.testing.assert_close(draw_feature_by_feature(flow, *given), plain_draws(flow, *given))


@pytest.mark.parametrize("kind", list(WAYS))
@pytest.mark.parametrize("n_draws", [1, 50, 5000])  # objects in one group, and one object a group
def test_an_object_does_not_depend_on_its_company(n_draws, kind):
    flow, points, context, colour, location = make_problem(7, n_draws=n_draws, kind=kind)
    draw, _ = WAYS[kind]
    with torch.inference_mode():
        together = draw(flow, points, context, colour, location)
        alone = draw(flow, points, context[4:5], colour, location[4:5])
    torch.testing.assert_close(together[4:5], alone, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("kind", list(WAYS))
def test_points_and_context_stay_as_they_were(kind):
    problem = make_problem(7, kind=kind)
    kept = [x.clone() for x in problem[1:]]
    with torch.inference_mode():
        WAYS[kind][0](*problem)
    assert all(torch.equal(a, b) for a, b in zip(kept, problem[1:], strict=True))


@pytest.mark.parametrize("kind", list(WAYS))
def test_gradients_and_other_flows_take_the_plain_way(kind):
    flow, _, context, *_ = make_problem(7, kind=kind)
    other, *_ = make_problem(7, kind="maf" if kind == "coupling" else "coupling")
    allows = WAYS[kind][1]
    assert not allows(flow, context)
    with torch.no_grad():
        assert allows(flow, context)
        assert not allows(other, context)
        assert not allows(NSF(7, CONTEXT, transforms=3), context)
        assert not allows(flow, context.to("meta"))


@pytest.mark.parametrize("kind", list(WAYS))
def test_posterior_gives_the_same_draws_with_and_without_gradients(kind):
    posterior = Posterior(CONTEXT - 2, FlowConfig(2, (16,), 4, kind), 35)
    mu, context, base = torch.randn(5, 35), torch.randn(5, CONTEXT), torch.randn(80, 35)
    plain = posterior.draw(mu, context, base, 1.3)
    with torch.no_grad():
        fast = posterior.draw(mu, context, base, 1.3)
    torch.testing.assert_close(fast, plain.detach(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "kind"), [("phangs", "coupling"), ("wide", "coupling"), ("percentiles", "maf")])
def test_shipped_weights_give_the_draws_of_zukos_inverse(name, kind):
    bundle = load_bundle(name)
    torch.manual_seed(0)
    flow, size = bundle.model.posterior.flow, len(bundle.model.posterior.shift)
    points, context, mu = (
        make_base_points(200, size),
        torch.randn(6, bundle.model.network.latent_size + 2),
        torch.randn(6, size),
    )
    with torch.inference_mode():
        plain = plain_draws(flow, points, context, bundle.model.posterior.colour, mu)
        found = WAYS[kind][0](flow, points, context, bundle.model.posterior.colour, mu)
    torch.testing.assert_close(found, plain, atol=1e-4, rtol=1e-4)
