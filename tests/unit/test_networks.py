"""Every architecture: shapes, gradients to every weight, settings; the posterior's flow."""

import dataclasses

import pytest
import torch
from histories import HISTORY, N_TARGET
from muse_hst import MUSE_HST
from toy_universe import make_toy_basis, make_toy_config, make_toy_data

from napari_sfh.errors import SfhInputError
from napari_sfh.model.encoding import encode_observation
from napari_sfh.model.networks import ARCHITECTURES, build_network
from napari_sfh.model.posterior import FlowConfig, Posterior, make_base_points
from napari_sfh.model.sfh_model import ModelConfig, SfhModel, targets_from_labels
from napari_sfh.model.targets import MassToLight
from napari_sfh.training.fitting.losses import light_loss, log_cosh, paper_loss

SMALL = {
    "galceran2026": {"channels": [4, 8, 8], "heads": 2, "latent": 10, "decoder": 24},
    "four_branch": {"channels": [4, 8, 8], "latent": 10, "decoder": 24},
    "stem": dict(make_toy_config().network),
}


@pytest.fixture(scope="module")
def toy():
    data, labels = make_toy_data(8, seed=2)
    return encode_observation(data), labels


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_predicts_fractions_and_every_weight_learns(name, toy):
    features, labels = toy
    torch.manual_seed(0)
    net = build_network(name, SMALL[name], 1761, 5)
    decoded, latent = net(features)
    assert latent.shape == (8, net.latent_size)
    torch.testing.assert_close(decoded.fraction.sum(1), torch.ones(8))
    assert decoded.mh.shape == (8, 16)
    if net.predicts_mass:
        loss = paper_loss(decoded, torch.from_numpy(labels.mass_frac), torch.from_numpy(labels.mh))
    else:
        truth = {
            k: torch.from_numpy(getattr(labels, k))
            for k in ("mass_frac", "lg_ml_v", "lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw")
        }
        loss = light_loss(
            decoded, targets_from_labels(labels, HISTORY), truth, MassToLight.from_basis(make_toy_basis())
        )
    loss.backward()
    dead = [k for k, p in net.named_parameters() if p.grad is None or not torch.any(p.grad != 0)]
    assert not dead


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_settings_rebuild_the_same_network(name):
    net = build_network(name, SMALL[name], 1761, 5)
    again = build_network(name, dataclasses.asdict(net.config), 1761, 5)
    again.load_state_dict(net.state_dict())
    assert again.config == net.config


def test_the_paper_network_has_the_papers_sizes():
    net = build_network("galceran2026", None, 1761, 5)
    assert net.latent_size == 40
    assert net.spectral_dense[-1].dense.out_features == 64
    assert net.photometric[-1].dense.out_features == 32
    assert len(net.photometric) == len(net.decoder) == 3
    assert net.config.masks is False


def test_paper_network_reads_masks_only_when_asked(toy):
    features, _ = toy
    net = build_network("galceran2026", SMALL["galceran2026"], 1761, 5).eval()
    changed = type(features)(features.spectrum.clone(), features.photometry, features.lg_snr, features.redshift)
    changed.spectrum[:, 1:] = 0.0
    assert torch.equal(net(features)[1], net(changed)[1])


def test_unknown_architecture_and_setting_are_named():
    with pytest.raises(SfhInputError, match="'resnet' is unknown; choose from galceran2026"):
        build_network("resnet", None, 1761, 5)
    with pytest.raises(SfhInputError, match="setting 'heads' is not used by 'stem'"):
        build_network("stem", {"heads": 4}, 1761, 5)
    with pytest.raises(SfhInputError, match="unknown key 'netwrok'"):
        ModelConfig.from_json({"netwrok": {}})


def test_projection_starts_at_the_principal_components():
    net = build_network("stem", SMALL["stem"], 1761, 5)
    many = encode_observation(make_toy_data(64, seed=4)[0])
    net.centre(many)
    value = net.centre_spectrum(many.spectrum)[:, 0]
    made = net.project(value)
    # Components of the set that made them: unit variance, no correlation.
    covariance = made.T @ made / len(made)
    torch.testing.assert_close(covariance, torch.eye(covariance.shape[0]), atol=0.05, rtol=0.0)


def test_log_cosh_is_its_definition_and_never_overflows():
    x = torch.tensor([-3.0, 0.0, 0.5, 2.0])
    torch.testing.assert_close(log_cosh(x), torch.log(torch.cosh(x)))
    assert torch.isfinite(log_cosh(torch.tensor(1e4)))


def flow(latent=5, n=400):
    torch.manual_seed(1)
    posterior = Posterior(latent, FlowConfig(2, (16,), 4), N_TARGET)
    residual = 0.1 * torch.randn(n, N_TARGET) + 0.02
    posterior.fit_whitening(residual, torch.randn(n, latent))
    return posterior


def test_flow_draws_invert_its_density_map():
    posterior = flow()
    context, mu = torch.randn(3, 7), torch.randn(3, N_TARGET)
    base = make_base_points(64, N_TARGET)
    y = posterior.draw(mu, context, base)
    assert y.shape == (3, 64, N_TARGET)
    z = (y - mu[:, None] - posterior.shift) @ posterior.whiten
    back = posterior.flow(context[:, None].expand(-1, 64, -1)).transform(z)
    torch.testing.assert_close(back, base.expand(3, -1, -1), atol=2e-3, rtol=1e-3)


def test_every_weight_of_the_flow_learns():
    posterior = flow()
    (-posterior.log_prob(torch.randn(9, N_TARGET), torch.zeros(9, N_TARGET), torch.randn(9, 7)).mean()).backward()
    dead = [k for k, p in posterior.named_parameters() if p.grad is None or not torch.any(p.grad != 0)]
    assert not dead


def test_base_points_are_standard_normal_and_fixed():
    points = make_base_points(512, N_TARGET)
    assert torch.equal(points, make_base_points(512, N_TARGET))
    torch.testing.assert_close(points.mean(0), torch.zeros(N_TARGET), atol=0.03, rtol=0)
    torch.testing.assert_close(points.std(0), torch.ones(N_TARGET), atol=0.03, rtol=0)


def test_draws_follow_a_temperature():
    posterior = flow()
    mu, context = torch.zeros(1, N_TARGET), torch.zeros(1, 7)
    narrow, wide = (posterior.draw(mu, context, make_base_points(256, N_TARGET), t).std(1).mean() for t in (0.5, 2.0))
    assert wide > 2.5 * narrow


def test_model_draws_every_quantity(toy):
    features, _ = toy
    model = SfhModel(make_toy_config(), MUSE_HST, HISTORY, make_toy_basis()).eval()
    mu, context, _ = model.predict_centre(features)
    made = model.draw(mu, context, make_base_points(64, N_TARGET))
    assert made["mh_lw"].shape == (8, 64)
    assert made["cum_mass"].shape == (8, 64, 16)
    torch.testing.assert_close(made["mass_frac"].sum(-1), torch.ones(8, 64), atol=1e-4, rtol=0)
