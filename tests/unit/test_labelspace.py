"""Label vectors and what follows from them: inverses, sums, the basis' own mass-to-light ratios."""

import numpy as np
import pytest
import torch
from histories import HISTORY, N_TARGET, SCALARS, VECTORS, pack_history
from toy_universe import make_toy_basis, make_toy_data

from napari_sfh.model.sfh_model import targets_from_labels
from napari_sfh.model.targets import MassToLight
from napari_sfh.physics.dust import ebv_from_tau
from napari_sfh.physics.formation import cumulative_fraction
from napari_sfh.physics.mass_to_light import interpolate_light_v


@pytest.fixture(scope="module")
def truth():
    return make_toy_data(50, seed=1)[1]


@pytest.fixture(scope="module")
def mass_to_light():
    return MassToLight.from_basis(make_toy_basis())


def test_pack_and_unpack_are_inverse(truth):
    parts = HISTORY.unpack(targets_from_labels(truth, HISTORY))
    for key in ("light_frac", "mh", "tau_ism", "tau_bc", "slope"):
        np.testing.assert_allclose(parts[key], getattr(truth, key), atol=2e-6, rtol=2e-5)


def test_any_vector_gives_fractions_and_optical_depths_that_exist():
    y = 3 * torch.randn(200, N_TARGET, generator=torch.Generator().manual_seed(0))
    parts = HISTORY.unpack(y)
    torch.testing.assert_close(parts["light_frac"].sum(1), torch.ones(200))
    assert (parts["light_frac"] >= 0).all()
    assert (parts["tau_ism"] >= 0).all()
    assert (parts["tau_bc"] > 0).all()


def test_empty_bins_are_ordinary_points():
    light = torch.zeros(1, 16)
    light[0, 15] = 1.0
    one = torch.ones(1)
    torch.testing.assert_close(
        HISTORY.unpack(pack_history(light, torch.zeros(1, 16), one, one, -one))["light_frac"], light
    )


def test_masses_are_those_of_the_basis(truth, mass_to_light):
    basis = make_toy_basis()
    light, mh = torch.from_numpy(truth.light_frac), torch.from_numpy(truth.mh)
    mass, lg_ml = mass_to_light.mass_from_light(light, mh)
    np.testing.assert_allclose(mass, basis.mass_from_light(truth.light_frac, truth.mh), atol=1e-5)
    np.testing.assert_allclose(lg_ml, basis.lg_ml_v(mass.numpy(), truth.mh), atol=1e-4)
    torch.testing.assert_close(mass_to_light.light_from_mass(mass, mh), light, atol=1e-5, rtol=1e-4)


def test_metallicities_beyond_the_grid_take_its_ends(mass_to_light):
    ends = [mass_to_light.light_per_mass(torch.full((16,), z)) for z in (-9.0, -1.5, 0.3, 9.0)]
    torch.testing.assert_close(ends[0], ends[1])
    torch.testing.assert_close(ends[2], ends[3])


@pytest.mark.parametrize("innermost", ["age bins", "objects"])
def test_light_per_mass_is_linear_between_the_metallicities(innermost):
    rng = np.random.default_rng(4)
    grid = np.array([-2.3, -1.5, -0.4, 0.0, 0.5])
    light = np.exp(rng.normal(0, 2, (16, 1)) + rng.normal(0, 0.5, (16, len(grid))))  # a factor of some along [M/H]
    mh = rng.uniform(-3, 1, (300, 16))
    wanted = np.column_stack([np.interp(mh[:, a], grid, light[a]) for a in range(16)])
    np.testing.assert_allclose(interpolate_light_v(light, grid, mh), wanted, rtol=1e-12)
    tensors = [torch.from_numpy(v.astype(np.float32)) for v in (light, grid, mh)]
    if innermost == "objects":
        tensors[2] = tensors[2].t().contiguous().t()
    made = interpolate_light_v(*tensors)
    np.testing.assert_allclose(made, wanted, rtol=1e-5)
    assert made.stride() == tensors[2].stride(), "draws stay in their order of memory"


def test_derived_quantities_are_the_labels_own(truth, mass_to_light):
    made = mass_to_light.derive(HISTORY.unpack(targets_from_labels(truth, HISTORY)))
    assert set(made) == {*SCALARS, *VECTORS}
    for key in ("lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw", "lg_ml_v"):
        np.testing.assert_allclose(made[key], getattr(truth, key), atol=1e-4)
    np.testing.assert_allclose(made["ebv"], ebv_from_tau(truth.tau_ism, truth.slope), rtol=1e-4)


def test_cumulative_runs_from_the_oldest_bin():
    fraction = torch.full((1, 16), 1 / 16)
    made = cumulative_fraction(fraction)[0]
    assert made[0] == pytest.approx(1.0)
    assert made[15] == pytest.approx(1 / 16)
    assert (made.diff() < 0).all()


def test_reddening_per_optical_depth_is_that_of_physics():
    slope = torch.tensor([-1.3, -0.7, -0.4])
    np.testing.assert_allclose(ebv_from_tau(1.0, slope), ebv_from_tau(1.0, slope.numpy()), rtol=1e-5)
