"""The viewer's reconstruction from 16 bins against the forward model that makes the training set.

Where stars form at a constant rate in each bin both must agree: the compact basis is then exact.
"""

import numpy as np
import pytest

from napari_sfh.physics.ages import N_AGE
from napari_sfh.training.libraries import basis as compact
from napari_sfh.training.libraries.basis import make_template_basis
from napari_sfh.training.prior.sampling import ObjectParameters
from napari_sfh.training.simulator import forward_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(stock_templates):
    """Reconstruction and forward model of 200 objects, with the forward model's labels."""
    rng = np.random.default_rng(5)
    n = 200
    mass = rng.dirichlet(np.full(N_AGE, 0.5), n)
    mh = rng.uniform(-1.5, 0.4, (n, N_AGE))
    mh[:, 1] = mh[:, 0]
    dust = {"tau_ism": rng.uniform(0, 2, n), "tau_bc": rng.uniform(0, 3, n), "slope": rng.uniform(-1.1, -0.4, n)}
    share = compact.constant_sfr_mass_share(stock_templates)
    fine = ObjectParameters.single(mass @ share, mh[:, stock_templates.bin_of_sub], **dust)
    truth = forward_model.synthesise_objects(forward_model.build_forward_model(stock_templates), fine)
    basis = make_template_basis(stock_templates)
    flux, phot = basis.reconstruct(mass, mh, **dust)
    return truth, flux, phot, basis


def test_spectra_agree(both):
    """To 0.1 % everywhere but on strong lines, whose dust the forward model takes at the line's own wavelength."""
    truth, flux, _, _ = both
    ratio = flux / truth.flux
    assert np.abs(np.median(ratio) - 1) < 1e-4
    assert np.max(np.abs(ratio - 1)) < 5e-3


def test_photometry_agrees(both):
    """To 0.5 %: a line near a filter's edge is spread over 20 AA in the compact basis."""
    truth, _, phot, _ = both
    assert np.max(np.abs(phot / truth.phot - 1)) < 5e-3


def test_labels_agree(both):
    truth, _, _, basis = both
    labels = truth.labels
    light = basis.light_from_mass(labels.mass_frac, labels.mh)
    np.testing.assert_allclose(light, labels.light_frac, atol=1e-4)
    np.testing.assert_allclose(basis.lg_ml_v(labels.mass_frac, labels.mh), labels.lg_ml_v, atol=1e-4)
    np.testing.assert_allclose(labels.mass_frac.sum(1), 1.0, atol=1e-5)
    np.testing.assert_allclose(labels.light_frac.sum(1), 1.0, atol=1e-5)
