"""Enrichment laws by hand."""

import numpy as np
import pytest

from napari_sfh.physics.ages import Z_SUN
from napari_sfh.training.prior import enrichment
from napari_sfh.training.prior.enrichment import ENRICHMENT_LAWS

M_CUM = np.array([[1.0, 0.5, 0.0]])
AGE = np.array([0.01, 1.0, 12.0])


def params(**values):
    return {k: np.array([float(v)]) for k, v in values.items()}


def test_linear_law_is_the_papers():
    mh = ENRICHMENT_LAWS["linear"].mh(M_CUM, AGE, params(z_initial=1e-4, z_final=0.02))
    np.testing.assert_allclose(10 ** mh[0] * Z_SUN, [0.02, 0.01005, 1e-4])


def test_leaky_box_ends_at_its_metallicity_and_starts_at_its_first():
    mh = ENRICHMENT_LAWS["leaky"].mh(M_CUM, AGE, params(z_initial=1e-3, z_final=0.03, gas_final=0.1))
    z = 10 ** mh[0] * Z_SUN
    np.testing.assert_allclose(z[[0, 2]], [0.03, 1e-3])
    # ln(1 / gas) with the gas fraction 1 - 0.9 M: half of the mass formed leaves 0.55 of the gas.
    assert z[1] == pytest.approx(1e-3 + 0.029 * np.log(0.55) / np.log(0.1))


def test_constant_and_decoupled():
    assert np.all(ENRICHMENT_LAWS["constant"].mh(M_CUM, AGE, params(mh=-0.3)) == -0.3)
    even = ENRICHMENT_LAWS["even"].mh(M_CUM, AGE, params(place=0.25, mh_low=-2.0, mh_high=0.0))
    np.testing.assert_allclose(even, -1.5)
    mh = ENRICHMENT_LAWS["decoupled"].mh(M_CUM, AGE, params(mh_old=-1, mh_young=0.2, knee_gyr=1, width_dex=0.05))
    np.testing.assert_allclose(mh[0], [0.2, -0.4, -1.0], atol=1e-6)


def test_scatter_has_its_width():
    mh = enrichment.add_metallicity_scatter(np.random.default_rng(0), np.zeros((20_000, 3)), AGE, np.full(20_000, 0.2))
    np.testing.assert_allclose(mh.std(0), 0.2, rtol=0.2)
    assert np.corrcoef(mh[:, 0], mh[:, 2])[0, 1] < 0.3
