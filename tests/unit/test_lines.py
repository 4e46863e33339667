"""Dust, oxygen and the BPT class against numbers by hand; bins and spaxels; what bad input says."""

import dataclasses

import numpy as np
import pytest
from astropy import units as u
from dust_extinction.parameter_averages import CCM89
from synthetic_bins import bins_of
from test_results import make_result

from napari_sfh.analysis.gas import line_maps
from napari_sfh.analysis.gas.line_maps import (
    HALPHA,
    HBETA,
    NII,
    OIII,
    LineFluxes,
    add_halpha_width,
    classify_bpt,
    derive_gas_properties,
    line_fluxes_from_maps,
    make_line_image,
    sum_lines_in_bins,
)
from napari_sfh.errors import SfhInputError
from napari_sfh.io.dap import LineMaps
from napari_sfh.physics.extinction import R_V, cardelli_curve


def fluxes(error=0.01, **values):
    """Four lines of one spaxel or more, errors a share of the flux."""
    flux = {name: np.atleast_1d(np.asarray(value, float)) for name, value in values.items()}
    return LineFluxes(flux, {name: error * np.abs(value) for name, value in flux.items()}, "1e-20", "test")


def hii(**other):
    """An H II region: [O III]/Hb = 0.5, [N II]/Ha = 0.3, no dust."""
    return fluxes(**({HALPHA: 286.0, HBETA: 100.0, OIII: 50.0, NII: 85.8} | other))


def test_no_dust_where_the_decrement_is_case_b():
    assert derive_gas_properties(hii()).ebv[0] == pytest.approx(0.0, abs=1e-12)


def test_curve_is_that_of_cardelli():
    # Their table and formulae give 3.61 and 2.53 at Hbeta and Halpha for R_V = 3.1.
    assert line_maps.line_extinction(HBETA) == pytest.approx(3.61, abs=0.01)
    assert line_maps.line_extinction(HALPHA) == pytest.approx(2.53, abs=0.01)
    wave = np.linspace(3031.0, 9090.0, 200)
    theirs = R_V * CCM89(Rv=R_V)(wave * u.AA)
    np.testing.assert_allclose(cardelli_curve(wave), theirs, rtol=1e-13)
    for outside in (3000.0, 9100.0):
        with pytest.raises(ValueError, match="3030 to 9091"):
            cardelli_curve(np.array([5000.0, outside]))


def test_dust_that_was_put_in_comes_out():
    ebv = 0.3
    dimmed = {
        name: value * 10 ** (-0.4 * ebv * line_maps.line_extinction(name))
        for name, value in {HALPHA: 286.0, HBETA: 100.0, OIII: 50.0, NII: 85.8}.items()
    }
    found, clear = derive_gas_properties(fluxes(**dimmed)), derive_gas_properties(hii())
    assert found.ebv[0] == pytest.approx(ebv, abs=1e-9)
    assert found.o3n2[0] == pytest.approx(clear.o3n2[0], abs=1e-9)
    assert found.oxygen[0] == pytest.approx(clear.oxygen[0], abs=1e-9)


def test_oxygen_by_hand():
    # O3N2 = log10(0.5) - log10(0.3) = 0.2218; 8.533 - 0.214 x 0.2218 = 8.4855
    found = derive_gas_properties(hii())
    assert found.o3n2[0] == pytest.approx(0.22185, abs=1e-5)
    assert found.oxygen[0] == pytest.approx(8.48552, abs=1e-5)


def test_errors_are_those_of_many_draws():
    rng = np.random.default_rng(1)
    true = {HALPHA: 400.0, HBETA: 100.0, OIII: 50.0, NII: 85.8}
    error = {HALPHA: 4.0, HBETA: 2.0, OIII: 3.0, NII: 2.5}
    n = 40_000
    drawn = {k: v + error[k] * rng.standard_normal(n) for k, v in true.items()}
    one = LineFluxes({k: np.array([v]) for k, v in true.items()}, {k: np.array([e]) for k, e in error.items()}, "", "")
    many = LineFluxes(drawn, {k: np.full(n, e) for k, e in error.items()}, "", "")
    found, spread = derive_gas_properties(one), derive_gas_properties(many)
    assert spread.ebv.std() == pytest.approx(found.ebv_error[0], rel=0.02)
    assert np.nanstd(spread.oxygen) == pytest.approx(found.oxygen_error[0], rel=0.02)


def test_negative_dust_is_kept_but_not_applied():
    found = derive_gas_properties(hii(**{HALPHA: 250.0, NII: 75.0}))
    assert found.ebv[0] < -0.1
    assert found.o3n2[0] == pytest.approx(np.log10(0.5) - np.log10(0.3), abs=1e-9)


@pytest.mark.parametrize("faint", [HALPHA, HBETA, OIII, NII])
def test_a_faint_line_says_nothing(faint):
    lines_ = hii()
    lines_.error[faint][:] = 0.4 * lines_.flux[faint]
    found = derive_gas_properties(lines_)
    assert np.isnan(found.oxygen[0])
    assert found.bpt[0] == 0
    assert np.isnan(found.ebv[0]) == (faint in (HALPHA, HBETA))
    assert np.isfinite(derive_gas_properties(lines_, min_snr=2.0).oxygen[0])


def test_negative_and_missing_fluxes_are_no_lines():
    for value in (-50.0, np.nan, 0.0):
        with np.errstate(all="raise"):
            assert np.isnan(derive_gas_properties(hii(**{OIII: value})).oxygen[0])


def test_bpt_classes_of_known_gas():
    lg_n2 = np.array([-0.8, -0.25, 0.1, -0.1, np.nan, 0.6, -1.0])
    lg_o3 = np.array([-0.2, -0.2, 0.6, 0.9, 0.0, -2.0, 1.3])
    np.testing.assert_array_equal(classify_bpt(lg_n2, lg_o3), [1, 2, 3, 3, 0, 3, 3])


def test_bpt_lines_where_they_are_published():
    # Kauffmann et al. (2003): y = 1.3 + 0.61 / (x - 0.05); Kewley et al. (2001): y = 1.19 + 0.61 / (x - 0.47).
    x = -0.5
    for border, below in ((1.3 + 0.61 / (x - 0.05), 1), (1.19 + 0.61 / (x - 0.47), 2)):
        np.testing.assert_array_equal(classify_bpt(np.full(2, x), border + np.array([-0.01, 0.01])), [below, below + 1])


def test_agn_gets_no_oxygen_and_composite_only_if_wanted():
    agn = derive_gas_properties(hii(**{OIII: 600.0, NII: 250.0}))
    assert agn.bpt[0] == 3
    assert np.isnan(agn.oxygen[0])
    composite = hii(**{OIII: 80.0, NII: 160.0})
    assert derive_gas_properties(composite).bpt[0] == 2
    assert np.isnan(derive_gas_properties(composite).oxygen[0])
    assert np.isfinite(derive_gas_properties(composite, composite=True).oxygen[0])


def test_oxygen_only_where_the_calibration_holds():
    # O3N2 = 2.3: a metal-poor galaxy, outside -1.1 .. 1.7.
    found = derive_gas_properties(hii(**{OIII: 400.0, NII: 5.0}))
    assert found.bpt[0] == 1
    assert found.o3n2[0] == pytest.approx(np.log10(4) - np.log10(5 / 286), abs=1e-9)
    assert np.isnan(found.oxygen[0])


def maps_of(shape=(2, 3), value=3.0, unit="1e-20 erg/s/cm2/spaxel"):
    flux = np.full(shape, value, np.float32)
    return LineMaps(flux, np.full(shape, 0.5, np.float32), None, unit)


def test_bins_sum_their_spaxels():
    bins = bins_of([[1, 1, 1], [2, 2, 0]])
    lines_ = sum_lines_in_bins(line_fluxes_from_maps({HALPHA: maps_of()}), bins)
    np.testing.assert_allclose(lines_.flux[HALPHA], [9.0, 6.0])
    np.testing.assert_allclose(lines_.error[HALPHA], 0.5 * np.sqrt([3, 2]))
    assert lines_.by_bin
    assert sum_lines_in_bins(lines_, bins) is lines_


def test_a_bin_with_too_many_bad_spaxels_has_no_flux():
    bins = bins_of([[1] * 10, [2] * 10])
    found = maps_of((2, 10))
    found.flux[0, :1] = np.nan
    found.flux[1, :2] = np.nan
    lines_ = sum_lines_in_bins(line_fluxes_from_maps({HALPHA: found}), bins)
    np.testing.assert_allclose(lines_.flux[HALPHA], [30.0, np.nan])


def test_maps_without_errors_give_fluxes_but_no_ratios():
    found = {name: LineMaps(np.ones((2, 2), np.float32), None, None, "") for name in (HALPHA, HBETA, OIII, NII)}
    lines_ = line_fluxes_from_maps(found)
    assert (derive_gas_properties(lines_).bpt == 0).all()
    assert (make_line_image(lines_, HALPHA, bins_of([[1, 1], [1, 1]])) == 1).all()


@pytest.mark.parametrize(
    ("unit", "cgs"),
    [("1e-20 erg/s/cm2", 1e-20), ("10**(-20)*erg/s/cm**2/spaxel", 1e-20), ("1E-17 erg/s/cm^2/spaxel", 1e-17)],
)
def test_halpha_width_is_at_rest_whatever_the_unit_of_the_fluxes(unit, cgs):
    result = make_result()
    data = dataclasses.replace(result.data, flux=np.full_like(result.data.flux, 2.0))
    result = dataclasses.replace(result, data=data)
    flux = np.full(result.bins.n_bins, 30.0)
    found = add_halpha_width(LineFluxes({HALPHA: flux}, {HALPHA: flux}, unit, ""), result)
    np.testing.assert_allclose(found.width_aa, 30 * cgs / (2 * data.norm_cgs * (1 + result.redshift)), rtol=1e-6)
    brightness = LineFluxes({HALPHA: flux}, {HALPHA: flux}, f"{unit.removesuffix('/spaxel')}/arcsec2", "")
    assert add_halpha_width(brightness, result) is brightness


def test_image_of_lines_and_quantities():
    bins = bins_of([[1, 1], [2, 0]])
    lines_ = hii(**{k: v * np.array([1.0, 2.0]) for k, v in {HALPHA: 286, HBETA: 100, OIII: 50, NII: 85.8}.items()})
    # By bin: flux per spaxel.
    np.testing.assert_allclose(make_line_image(lines_, HALPHA, bins), [[143, 143], [572, np.nan]])
    np.testing.assert_allclose(make_line_image(lines_, "OH", bins), [[8.48552, 8.48552], [8.48552, np.nan]], atol=1e-5)
    assert line_maps.list_line_maps(lines_) == (HALPHA, HBETA, OIII, NII, "EBV_GAS", "OH", "BPT")
    assert line_maps.describe_line_map(HALPHA, "1e-20 erg/s/cm2") == ("Hα", "1e-20 erg/s/cm2 per spaxel", "magma")
    # By spaxel: as it is, whatever the bins.
    by_spaxel = line_fluxes_from_maps({HALPHA: maps_of((2, 2))})
    assert line_maps.list_line_maps(by_spaxel) == (HALPHA,)
    assert (make_line_image(by_spaxel, HALPHA, bins) == 3).all()


def test_messages():
    with pytest.raises(SfhInputError, match="none of the lines HA6562"):
        line_fluxes_from_maps({}, "MAPS.fits")
    with pytest.raises(SfhInputError, match="test: no line OIII5006; dust"):
        derive_gas_properties(fluxes(**{HALPHA: 1.0, HBETA: 1.0, NII: 1.0}))
    with pytest.raises(SfhInputError, match="line 'HEI' is not there"):
        make_line_image(hii(), "HEI", bins_of([[1]]))
    with pytest.raises(SfhInputError, match="2 x 3 spaxels for bins on 1 x 2; give the MAPS"):
        sum_lines_in_bins(line_fluxes_from_maps({HALPHA: maps_of()}), bins_of([[1, 1]]))
