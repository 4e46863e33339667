"""Dust emission on the real libraries: energy balance, bagpipes' own numbers, published colours."""

import numpy as np
import pytest

from napari_sfh.instruments.files import load_instrument
from napari_sfh.physics.dust import dust_transmission
from napari_sfh.physics.filters import mean_flux_density
from napari_sfh.training.libraries import age_grid, dust_emission, templates
from napari_sfh.training.prior.sampling import ObjectParameters
from napari_sfh.training.simulator import forward_model

pytestmark = pytest.mark.slow

#: F300M, F335M and F360M per unit of energy (1/AA) of (q_PAH, U_min, gamma), by bagpipes 1.3.6's `dust_emission` class,
#: which was run on the grid's own wavelengths.
BAGPIPES = {
    (2.5, 2.0, 0.02): (1.6085335e-07, 1.1603636e-06, 1.7186851e-07),
    (4.0, 0.7, 0.1): (2.8210630e-07, 1.9987406e-06, 3.0335616e-07),
    (1.0, 5.0, 0.01): (7.3815698e-08, 4.7275719e-07, 7.7296586e-08),
}


@pytest.fixture(scope="module")
def jwst_templates(stock_templates):
    """BC03-MILES for the instrument with NIRCam bands."""
    return templates.prepare_templates("bc03-miles", load_instrument("phangs-jwst"))


@pytest.fixture(scope="module")
def grid(stock_templates):
    return dust_emission.load_dust_grid()


def test_columns_of_the_grid_are_told_by_their_energy(grid):
    """Dust emits in proportion to U; the power law's mean intensity is U_min ln(U_max / U_min) above it."""
    per_u = grid.total[0] / grid.u_min
    np.testing.assert_allclose(per_u / per_u[:, :1], 1.0, rtol=5e-3)
    np.testing.assert_allclose(grid.total[1] / grid.total[0], np.log(1e6 / grid.u_min)[None].repeat(11, 0), rtol=1e-2)


@pytest.mark.parametrize("dust", BAGPIPES)
def test_bands_are_those_of_bagpipes(jwst_templates, dust):
    light = dust_emission.compute_dust_spectra(jwst_templates.dust, *(np.array([x]) for x in dust))[0]
    bands = [mean_flux_density(band, jwst_templates.sed_wave_aa, light) for band in jwst_templates.filters[6:]]
    np.testing.assert_allclose(bands, BAGPIPES[dust], rtol=2e-3)


@pytest.mark.parametrize(("tau_ism", "tau_bc"), [(0.3, 1.0), (1.5, 0.5)])
def test_energy_is_balanced_to_a_per_cent(bc03_miles, jwst_templates, grid, tau_ism, tau_bc):
    """Absorbed at the library's full resolution, from the Lyman limit to its red end; emitted over all wavelengths."""
    t = jwst_templates
    steady = np.where(t.sub_edges_gyr[1:] < 13.4, np.diff(t.sub_edges_gyr), 0.0)[None]
    common = {"tau_ism": tau_ism, "tau_bc": tau_bc, "escape": 1.0, "q_pah": 2.5, "u_min": 1.0, "gamma": 0.02}
    params = ObjectParameters.single(steady, np.zeros_like(steady), **common)
    dark = ObjectParameters.single(steady, np.zeros_like(steady), **(common | {"q_pah": 0.0}))
    model = forward_model.build_forward_model(t)
    lit, unlit = (forward_model.compute_emitted_light(model, p).sed[0] for p in (params, dark))
    seen = dust_emission.compute_dust_spectra(t.dust, *(np.array([x]) for x in (2.5, 1.0, 0.02)))[0]
    emitted = (lit - unlit).sum() / seen.sum()
    per_sub = np.einsum("st,tn->sn", age_grid.averaging_matrix(bc03_miles.age_gyr), _solar(bc03_miles))
    young = params.mass[0, : t.n_young] @ per_sub[: t.n_young]
    old = params.mass[0, t.n_young :] @ per_sub[t.n_young :]
    ism, clouds = (dust_transmission(bc03_miles.wave_aa, tau) for tau in (tau_ism, tau_bc))
    lost = young * (1 - ism * clouds) + old * (1 - ism)
    part = bc03_miles.wave_aa > 912
    assert emitted == pytest.approx(np.trapezoid(lost[part], bc03_miles.wave_aa[part]), rel=0.01)


def _solar(library):
    """Spectra (T, n) of the metallicity [M/H] = 0, between the library's two nearest."""
    upper = int(np.searchsorted(library.mh, 0.0))
    share = -library.mh[upper - 1] / (library.mh[upper] - library.mh[upper - 1])
    return library.spectrum[upper - 1] * (1 - share) + library.spectrum[upper] * share


def test_coarse_bins_give_the_nircam_bands(bc03_miles, jwst_templates):
    """Bins of 100 AA against the library's own sampling, young and old stars behind dust."""
    t = jwst_templates
    fine = np.einsum("st,tn->sn", age_grid.averaging_matrix(bc03_miles.age_gyr), bc03_miles.spectrum[4])
    for band in t.filters[5:]:
        for sub in (5, 30, 60):
            own, coarse = (
                mean_flux_density(band, wave, light * dust_transmission(wave, 1.0))
                for wave, light in ((bc03_miles.wave_aa, fine[sub]), (t.sed_wave_aa, t.sed[4, sub]))
            )
            assert coarse == pytest.approx(own, rel=2e-3), (band.name, sub)


def test_the_pah_feature_has_its_published_place_and_grows_with_the_pahs(grid):
    """Draine & Li (2007), table 1: a profile at 3.300 micrometres (33000 AA), here sampled every 300 AA."""
    shares = (0.47, 1.12, 2.5, 3.9)
    light = [dust_emission.compute_dust_spectra(grid, *(np.array([x]) for x in (q, 1.0, 0.0)))[0] for q in shares]
    near = (grid.wave_aa > 31000) & (grid.wave_aa < 35500)
    for spectrum in light:
        assert grid.wave_aa[near][np.argmax(spectrum[near])] == pytest.approx(33000, abs=200)
    assert np.all(np.diff([spectrum[near].max() for spectrum in light]) > 0)


def test_old_stars_have_the_colours_of_giants(jwst_templates):
    """10 Gyr of solar metallicity: F200W - F300M within 0.3 mag of the Rayleigh-Jeans law, and no feature at F335M."""
    t = jwst_templates
    light = np.tensordot(t.weights_of_age(10.0), t.sed[4], axes=1)
    flux = {b.name: mean_flux_density(b, t.sed_wave_aa, light) * b.pivot_aa**2 for b in t.filters}
    pivot = {b.name: b.pivot_aa for b in t.filters}
    hot = (pivot["F300M"] / pivot["F200W"]) ** 2
    assert -0.05 < 2.5 * np.log10(hot * flux["F300M"] / flux["F200W"]) < 0.3
    assert flux["F335M"] / (0.5 * (flux["F300M"] + flux["F360M"])) == pytest.approx(1.0, abs=0.05)
