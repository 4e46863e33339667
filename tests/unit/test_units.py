"""Units of fluxes in words, and limits for colorbars."""

from __future__ import annotations

import numpy as np
import pytest
from vispy.visuals.axis import _get_ticks_talbot

from napari_sfh.analysis.drawing.units import choose_flux_unit, format_exponent, round_limits_outward


@pytest.mark.parametrize(
    "unit",
    ["1e-20 erg/s/cm2", "10**(-20)*erg/s/cm**2", "1e-20 erg s^-1 cm^-2 spaxel^-1", "1e-20 erg/s/cm2/spaxel"],
)
def test_fluxes_are_written_in_powers_of_ten(unit: str) -> None:
    factor, text = choose_flux_unit(unit, 67_000.0)
    assert text == "10⁻¹⁶ erg s⁻¹ cm⁻²"
    assert 67_000.0 * factor == pytest.approx(6.7)


def test_other_units_of_a_flux_are_converted() -> None:
    factor, text = choose_flux_unit("W / m2", 2e-19)
    assert text == "10⁻¹⁶ erg s⁻¹ cm⁻²"
    assert 2e-19 * factor == pytest.approx(2.0)


@pytest.mark.parametrize(("unit", "largest"), [("file's unit", 3.0), ("km/s", 3.0), ("1e-20 erg/s/cm2", 0.0)])
def test_what_is_no_flux_stays(unit: str, largest: float) -> None:
    assert choose_flux_unit(unit, largest) == (1.0, unit)


def test_exponents() -> None:
    assert format_exponent(-20) == "⁻²⁰"


def test_limits_give_a_colorbar_two_labels() -> None:
    """napari's colorbar takes its ticks from vispy, for an axis of one pixel whatever its size."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        low = rng.normal() * rng.choice([0.0, 1.0, 10.0])
        high = low + 10 ** rng.uniform(-1.5, 1)
        tidy = round_limits_outward(low, high)
        assert tidy[0] <= low + 1e-9
        assert high - 1e-9 <= tidy[1]
        assert tidy[1] - tidy[0] < 2 * (high - low)
        room = 1e-4 * (tidy[1] - tidy[0])
        ticks = [t for t in _get_ticks_talbot(*tidy, 1 / 96, 2) if tidy[0] - room <= t <= tidy[1] + room]
        assert len(ticks) >= 2
    assert round_limits_outward(0.0, 6.7) == (0.0, 8.0)
