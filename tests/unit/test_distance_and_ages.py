"""A distance as it is typed, and shares between two ages."""

import numpy as np
import pytest

from napari_sfh.analysis.stellar_mass import compute_ages_share, compute_young_share, parse_distance
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import AGE_EDGES_GYR


def test_a_distance_is_mpc_or_a_redshift():
    assert parse_distance("") is None
    assert parse_distance(" 9.84 ") == 9.84
    # c z / H0 (1 + (1 - q0) z / 2) with H0 = 67.66 km/s/Mpc, q0 = -0.534
    assert parse_distance("z=0.01") == pytest.approx(299792.458 * 0.01 / 67.66 * (1 + 0.5 * 1.534 * 0.01), rel=1e-3)
    for wrong in ("far", "-3", "z=-0.1", "z=7", "1e9"):
        with pytest.raises(SfhInputError, match="or as z="):
            parse_distance(wrong)


def test_shares_between_ages_add_up():
    rng = np.random.default_rng(3)
    share = rng.dirichlet(np.ones(AGE_EDGES_GYR.size - 1), 5)
    parts = [compute_ages_share(share, low, high) for low, high in ((0, 0.1), (0.1, 2.0), (2.0, 17.8))]
    assert np.allclose(sum(parts), 1.0)
    assert np.allclose(parts[0], compute_young_share(share, 0.1))
    with pytest.raises(SfhInputError, match="younger first"):
        compute_ages_share(share, 1.0, 1.0)
