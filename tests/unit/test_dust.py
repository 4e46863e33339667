"""Dust against numbers worked out by hand."""

import numpy as np
import pytest

from napari_sfh.physics import dust


def test_transmission_by_hand():
    """tau_V = 1: e^-1 at 5500 AA; at 2750 AA tau = 2^0.7 = 1.6245, transmission 0.1970."""
    np.testing.assert_allclose(dust.dust_transmission(np.array([5500.0, 2750.0]), 1.0), [0.36788, 0.19701], atol=2e-5)


def test_slope_is_variable_and_per_object():
    tau = np.array([0.5, 2.0])
    out = dust.dust_transmission(np.array([4400.0, 5500.0]), tau, np.array([-0.7, -1.0]))
    np.testing.assert_allclose(-np.log(out[:, 1]), tau, rtol=1e-6)
    np.testing.assert_allclose(-np.log(out[1, 0]), 2.0 * 1.25, rtol=1e-6)


def test_screens_multiply():
    wave = np.linspace(3000, 9000, 7)
    np.testing.assert_allclose(
        dust.dust_transmission(wave, 0.3) * dust.dust_transmission(wave, 0.8),
        dust.dust_transmission(wave, 1.1),
        rtol=1e-6,
    )


def test_no_dust_and_single_precision():
    out = dust.dust_transmission(np.array([3000.0, 6000.0]), np.zeros(3, dtype=np.float32))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, 1.0)


def test_magnitudes_by_hand():
    """A_V = 1.0857 tau; E(B-V) = A_V ((4400/5500)^-0.7 - 1) = 0.1691 A_V, so R_V = 5.9 for this law."""
    assert dust.a_v_from_tau(1.0) == pytest.approx(1.085736, rel=1e-6)
    assert dust.ebv_from_tau(1.0) / dust.a_v_from_tau(1.0) == pytest.approx(0.16907, abs=1e-5)
    assert dust.tau_from_ebv(dust.ebv_from_tau(0.7, -1.1), -1.1) == pytest.approx(0.7)
