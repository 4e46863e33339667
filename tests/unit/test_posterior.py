"""The flow: shapes, an exact inverse, physical draws, and honest widths where the posterior is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from histories import HISTORY, N_TARGET
from toy_universe import make_toy_basis
from zuko.flows.coupling import GeneralCouplingTransform

from napari_sfh.model.posterior import AlternatingCoupling, FlowConfig, Posterior, make_base_points
from napari_sfh.model.targets import MassToLight
from napari_sfh.training.fitting.posterior import FlowObjects, FlowTrainingSet, fit_flow
from napari_sfh.training.fitting.recipe import PosteriorSettings

LATENT = 3
SMALL = FlowConfig(transforms=2, hidden=(16,), bins=4)


def posterior():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Posterior(LATENT, SMALL, N_TARGET).eval()


def some(n, seed=0):
    """Point predictions and contexts of n objects."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, N_TARGET, generator=generator), torch.randn(n, LATENT + 2, generator=generator)


@torch.inference_mode()
def test_draws_and_densities_have_their_shapes():
    made, (mu, context) = posterior(), some(7)
    assert made.draw(mu, context, make_base_points(50, N_TARGET)).shape == (7, 50, N_TARGET)
    assert made.log_prob(mu, mu, context).shape == (7,)


@torch.inference_mode()
def test_an_object_draws_the_same_in_any_company():
    made, (mu, context) = posterior(), some(7)
    alone = made.draw(mu[3:4], context[3:4], make_base_points(50, N_TARGET))
    torch.testing.assert_close(made.draw(mu, context, make_base_points(50, N_TARGET))[3:4], alone, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_density_of_a_draw_is_that_of_its_base_point():
    made, (mu, context) = posterior(), some(4)
    base = make_base_points(64, N_TARGET)
    y = made.draw(mu, context, base)
    for i in range(4):
        flow = made.flow(context[i])
        z = (y[i] - mu[i] - made.shift) @ made.whiten
        back, ladj = flow.transform.call_and_ladj(z)
        torch.testing.assert_close(back, base, atol=2e-3, rtol=1e-3)
        normal = -0.5 * (base**2).sum(1) - 0.5 * N_TARGET * np.log(2 * np.pi)
        density = made.log_prob(y[i], mu[i].expand(64, -1), context[i].expand(64, -1))
        torch.testing.assert_close(density, normal + ladj, atol=5e-2, rtol=1e-3)


@torch.inference_mode()
def test_every_draw_is_a_history():
    made, (mu, context) = posterior(), some(20)
    parts = HISTORY.unpack(made.draw(3 * mu, context, make_base_points(100, N_TARGET)))
    light = parts["light_frac"]
    assert (light >= 0).all()
    torch.testing.assert_close(light.sum(-1), torch.ones(20, 100))
    derived = MassToLight.from_basis(make_toy_basis()).derive(parts)
    assert (derived["mass_frac"] >= 0).all()
    torch.testing.assert_close(derived["mass_frac"].sum(-1), torch.ones(20, 100))
    assert (derived["cum_mass"].diff(dim=-1) <= 1e-6).all()
    assert (derived["tau_bc"] > 0).all()
    assert all(torch.isfinite(v).all() for v in derived.values())


def test_base_points_are_normal_and_always_the_same():
    points = make_base_points(1024, N_TARGET)
    torch.testing.assert_close(points.mean(0), torch.zeros(N_TARGET), atol=0.02, rtol=0)
    torch.testing.assert_close(points.std(0), torch.ones(N_TARGET), atol=0.02, rtol=0)
    assert torch.equal(points, make_base_points(1024, N_TARGET))


def test_whitening_makes_residuals_white_and_is_undone():
    made = posterior()
    generator = torch.Generator().manual_seed(2)
    mix = torch.randn(N_TARGET, N_TARGET, generator=generator)
    residual = torch.randn(5000, N_TARGET, generator=generator) @ mix + 3.0
    made.fit_whitening(residual, torch.randn(5000, LATENT, generator=generator))
    white = (residual - made.shift) @ made.whiten
    torch.testing.assert_close(white.T @ white / 5000, torch.eye(N_TARGET), atol=0.05, rtol=0)
    torch.testing.assert_close(made.whiten @ made.colour, torch.eye(N_TARGET), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("features", "given_even"), [(6, True), (6, False), (7, True), (7, False)])
def test_a_coupling_is_zukos_and_its_weights_are_stored_alike(features, given_even):
    ours = AlternatingCoupling(features, LATENT, given_even, [16])
    mask = torch.arange(features) % 2 == (0 if given_even else 1)
    theirs = GeneralCouplingTransform(features, LATENT, mask=mask, hidden_features=[16])
    theirs.load_state_dict(ours.state_dict())
    x, c = torch.randn(9, features), torch.randn(9, LATENT)
    gradients = []
    for coupling in (ours, theirs):
        coupling.zero_grad()
        y, ladj = coupling(c).call_and_ladj(x)
        torch.testing.assert_close(coupling(c).inv(y), x)
        (y.square().sum() + ladj.sum()).backward()
        gradients.append([y.detach(), ladj.detach(), *(w.grad for w in coupling.parameters())])
    for mine, yours in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, yours)


@pytest.mark.parametrize("kind", ["coupling", "maf"])
def test_a_step_of_the_flow_asks_the_device_nothing(kind):
    """A graph is recorded without values: tensors of the meta device have none, and to ask for one is an error."""
    made = Posterior(LATENT, replace(SMALL, kind=kind), N_TARGET).to("meta")
    objects = FlowObjects(*(torch.zeros(8, n, device="meta") for n in (N_TARGET, N_TARGET, LATENT + 2)))
    loss = objects.compute_loss(made)
    loss.backward()
    assert loss.shape == ()
    assert all(w.grad is not None for w in made.flow.parameters())


def test_zukos_own_coupling_asks_the_device():
    """Else `AlternatingCoupling` could go."""
    with pytest.raises(NotImplementedError, match="nonzero"):
        GeneralCouplingTransform(4, 1).to("meta")(torch.zeros(1, device="meta"))


def known(n, seed):
    """Objects whose posterior is Gaussian: centre and width follow from the latent vector."""
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(n, LATENT, generator=generator)
    mu = torch.randn(n, N_TARGET, generator=generator)
    centre = mu + 0.3 * latent[:, :1] * torch.linspace(-1, 1, N_TARGET)
    width = 0.2 * torch.exp(0.5 * latent[:, 1:2]) * torch.linspace(0.5, 1.5, N_TARGET)
    y = centre + width * torch.randn(n, N_TARGET, generator=generator)
    context = torch.cat([latent, torch.zeros(n, 2)], dim=1)
    return FlowTrainingSet(mu, context, latent, y), centre, width


def fit_known(stored, config=SMALL, epochs=12, device="cpu", say=lambda line: None):
    """A flow that was trained on `known` objects."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = SimpleNamespace(
            posterior=Posterior(LATENT, config, N_TARGET), network=SimpleNamespace(latent_size=LATENT)
        )
    settings = PosteriorSettings(epochs=epochs, batch=256, learning_rate=5e-3)
    fit_flow(model, stored, settings, 1, say, device)
    return model.posterior.eval()


@pytest.fixture(scope="module")
def fitted():
    return fit_known(known(8000, 4)[0])


def test_fewer_objects_than_a_batch_are_fitted():
    """One step an epoch, with all of them."""
    said = []
    fit_known(known(100, 4)[0], epochs=20, say=said.append)
    losses = [float(line.split()[-1]) for line in said]
    assert len(losses) == 20
    assert losses[-1] < losses[0]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", ["coupling", "maf"])
def test_a_graph_fits_the_flow_that_plain_steps_fit(kind):
    """Its random numbers are the processor's: losses and weights agree as long as rounding does not grow."""
    stored, config = known(12_000, 4)[0], replace(SMALL, kind=kind)
    losses, weights = [], []
    for device in ("cpu", "cuda"):
        said = []
        made = fit_known(stored, config, epochs=3, device=device, say=said.append)
        losses.append([float(line.split()[-1]) for line in said])
        weights.append([w.detach() for w in made.flow.parameters()])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    for there, here in zip(*reversed(weights), strict=True):
        torch.testing.assert_close(there, here, atol=0.02, rtol=0.02)


@torch.inference_mode()
def drawn(made, stored, n=400):
    context = stored.context.clone()
    context[:, :LATENT] = (stored.latent - made.latent_mean) * made.latent_scale
    return made.draw(stored.mu, context, make_base_points(n, N_TARGET))


def test_known_posterior_is_found(fitted):
    stored, centre, width = known(300, 5)
    draws = drawn(fitted, stored)
    away = (draws.mean(1) - centre) / width
    assert float(away.pow(2).mean().sqrt()) < 0.25
    ratio = draws.std(1) / width
    assert float(ratio.median()) == pytest.approx(1.0, abs=0.06)
    # Objects differ in width by more than e: the flow follows each one.
    order = np.corrcoef(np.log(draws.std(1)[:, 0]), np.log(width[:, 0]))[0, 1]
    assert order > 0.95


def test_known_posterior_is_calibrated(fitted):
    stored, _, _ = known(600, 6)
    ranks = (drawn(fitted, stored) < stored.y[:, None]).float().mean(1)
    for low, high, share in ((0.16, 0.84, 0.68), (0.025, 0.975, 0.95)):
        inside = ((ranks > low) & (ranks < high)).float().mean()
        assert float(inside) == pytest.approx(share, abs=0.03)
    assert float(ranks.mean()) == pytest.approx(0.5, abs=0.02)


def test_temperature_widens_the_draws(fitted):
    stored, _, _ = known(20, 7)
    context = stored.context
    with torch.inference_mode():
        plain, wide = (fitted.draw(stored.mu, context, make_base_points(400, N_TARGET), t) for t in (1.0, 1.5))
    ratio = (wide.std(1) / plain.std(1)).median()
    assert float(ratio) == pytest.approx(1.5, abs=0.15)
