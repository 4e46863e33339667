"""Gas against young stars: the means, the table, the page."""

import numpy as np
import pytest
from astropy.table import Table
from muse_hst import WAVE_AA
from synthetic_prediction import prediction_of, result_of

from napari_sfh.analysis.gas import gas_and_stars
from napari_sfh.analysis.gas.line_maps import HALPHA, HBETA, NII, OIII, LineFluxes
from napari_sfh.figures.gas_and_stars import draw_gas_page


def _find_other_gas(result, lines):
    return gas_and_stars.find_non_star_forming_gas(result.data, result.model_flux, result.redshift, lines)


@pytest.fixture(scope="module")
def result():
    return result_of(prediction_of(4))


@pytest.fixture(scope="module")
def lines():
    flux = {HALPHA: 286.0, HBETA: 100.0, OIII: 50.0, NII: 85.8}
    return LineFluxes(
        {k: np.array([v, 2 * v, v, v]) for k, v in flux.items()},
        {k: np.full(4, 0.01 * v) for k, v in flux.items()},
        "1e-20 erg/s/cm2",
        "test",
    )


def test_young_stars_are_the_two_youngest_bins(result):
    young = gas_and_stars.measure_young_stars(result)
    np.testing.assert_allclose(young.light[:3], 0.4, rtol=1e-6)
    np.testing.assert_allclose(young.mh[:3], -0.2, rtol=1e-6)
    np.testing.assert_allclose(young.low[:3], -0.3, rtol=1e-6)
    np.testing.assert_allclose(young.high[:3], -0.1, rtol=1e-6)
    assert np.isnan(young.mh[3])


def test_only_the_youngest_bin_and_the_light_it_needs(result):
    assert gas_and_stars.measure_young_stars(result, youngest_gyr=0.014).light[0] == pytest.approx(0.3)
    assert np.isnan(gas_and_stars.measure_young_stars(result, youngest_gyr=0.014, min_light=0.35).mh).all()


def test_light_weighs_the_age_bins(result):
    prediction = prediction_of(2)
    prediction.mh[0, 0], prediction.mh[0, 1] = 0.1, -0.3
    # 0.3 of the light at 0.1, 0.1 at -0.3.
    assert gas_and_stars.measure_young_stars(result_of(prediction)).mh[0] == pytest.approx(0.0, abs=1e-6)


def gas_of(nii, oiii, ew_aa, result, snr=100.0):
    """Lines by [N II]/Halpha, [O III]/Hbeta and the rest-frame equivalent width of Halpha, behind no dust."""
    continuum = result.data.norm_cgs[:1] * (1 + result.redshift) * 1e20
    halpha = np.full(4, ew_aa) * continuum * result.model_flux[:, np.abs(WAVE_AA - 6562.8) < 80].mean(1)
    flux = {HALPHA: halpha, HBETA: halpha / 2.86, OIII: halpha / 2.86 * oiii, NII: halpha * nii}
    return LineFluxes(flux, {k: np.abs(v) / snr for k, v in flux.items()}, "1e-20 erg/s/cm2", "test")


@pytest.mark.parametrize(
    ("nii", "oiii", "ew_aa", "snr", "other"),
    [
        (0.30, 0.5, 30.0, 100.0, False),  # an H II region
        (0.45, 0.2, 30.0, 100.0, False),  # a metal-rich one
        (1.10, 0.4, 30.0, 100.0, True),  # a cooling flow
        (0.60, 8.0, 30.0, 100.0, True),  # a Seyfert nucleus
        (1.10, 0.4, 0.5, 100.0, False),  # too faint to tell from the stars' absorption
        (1.10, 0.4, 30.0, 5.0, False),  # too noisy
        (1.10, 0.4, 30.0, 2.0, False),
    ],
)
def test_gas_that_young_stars_do_not_light(result, nii, oiii, ew_aa, snr, other):
    found = _find_other_gas(result, gas_of(nii, oiii, ew_aa, result, snr))
    assert found.tolist() == [other] * 4


def test_gas_that_was_not_measured_is_not_strange(result):
    lines = gas_of(1.1, 0.4, 30.0, result)
    lines.flux[NII][0] = lines.error[NII][1] = np.nan
    assert _find_other_gas(result, lines).tolist() == [False, False, True, True]


def test_table_holds_numbers_units_and_words(result, lines, tmp_path):
    found = gas_and_stars.build_gas_table(result, lines)
    assert len(found) == 4
    assert found["OH"][0] == pytest.approx(8.48552, abs=1e-5)
    assert found["EBV_GAS"].unit == "mag"
    assert found["EBV_STARS"][0] == pytest.approx(0.05)
    assert "Marino" in found["OH"].description
    found.write(tmp_path / "lines.ecsv")
    again = Table.read(tmp_path / "lines.ecsv")
    np.testing.assert_allclose(again["HA6562_FLUX"], lines.flux[HALPHA])
    assert again.meta["lines"] == "test"


def test_a_trend_has_a_minus_as_all_the_window():
    x = np.arange(4.0)
    assert gas_and_stars.format_trend(x, -x) == "4 bins: stars − gas −3.00, ρ −1.00"


def test_page_shows_three_panels_with_their_counts(result, lines, tmp_path):
    figure = draw_gas_page(result, lines)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0].startswith("3 bins: stars − gas")
    assert titles[2].startswith("BPT")
    assert "4 of 4 bins" in titles[2]
    figure.savefig(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_page_without_any_pair_says_so(result, lines):
    faint = LineFluxes(lines.flux, {k: 10 * np.abs(v) for k, v in lines.flux.items()}, lines.unit, lines.source)
    assert draw_gas_page(result, faint).axes[0].get_title() == "0 bins"
