"""Line fluxes from spectra: what was put in comes out, with honest errors; stars without gas."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from muse_hst import MUSE_HST, SIGMA_TARGET_KMS, WAVE_AA

from napari_sfh.analysis.gas import gas_and_stars, line_fitting
from napari_sfh.analysis.gas.line_fitting import remove_gas_emission
from napari_sfh.analysis.gas.line_maps import HALPHA, HBETA, LINES, NII, OIII
from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.instruments.line_spread import MUSE_LSF
from napari_sfh.model.bundle import load_bundle
from napari_sfh.physics.lsf import FWHM_PER_SIGMA, broaden_spectra, broadening_kms
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.observation import mask_gas_lines

ORDER = list(LINES)
TRUE = {HALPHA: 30.0, HBETA: 9.0, OIII: 6.0, NII: 10.0, "SII6716": 5.0, "SII6730": 4.0}
PIXELS = line_fitting.select_line_pixels(WAVE_AA)


def _find_other_gas(result, lines):
    return gas_and_stars.find_non_star_forming_gas(result.data, result.model_flux, result.redshift, lines)


@pytest.fixture(scope="module")
def bundle():
    return load_bundle()


def stars():
    """A continuum with broad Balmer absorption."""
    out = 1.0 - 0.1 * (WAVE_AA - 5400.0) / 1000.0
    for centre, width in ((4861.3, 6.0), (6562.8, 3.0)):
        out -= width * np.exp(-0.5 * ((WAVE_AA - centre) / 9.0) ** 2) / (9.0 * np.sqrt(2 * np.pi))
    return out


def spectrum(sigma_stars, v=0.0, sigma_gas=30.0, scale=1.0):
    """Stars and gas at 150 km/s; ``sigma_stars`` is what prep started from."""
    extra = float(broadening_kms(sigma_stars, SIGMA_TARGET_KMS)[0])
    out = stars()
    doublets = ((4958.91, TRUE[OIII] / 2.98), (6548.05, TRUE[NII] / 3.05))
    for centre, flux in (*((LINES[name][1], TRUE[name]) for name in ORDER), *doublets):
        at = centre * np.exp(v / C_KMS)
        width = np.sqrt(
            (MUSE_LSF.fwhm_aa(centre) / FWHM_PER_SIGMA) ** 2 + (centre / C_KMS) ** 2 * (sigma_gas**2 + extra**2)
        )
        out = out + scale * flux * np.exp(-0.5 * ((WAVE_AA - at) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    return out


def fit(flux, error, sigma_stars, mask=None, model=None):
    n = len(flux)
    good = np.ones_like(flux, bool) if mask is None else np.broadcast_to(mask, flux.shape)
    base = np.broadcast_to(stars() if model is None else model, flux.shape)
    arrays = (flux, np.broadcast_to(error, flux.shape), good, base)
    return line_fitting.fit_lines(
        *(a[:, PIXELS].astype(np.float32 if a.dtype != bool else bool) for a in arrays),
        np.full(n, sigma_stars, np.float32),
        np.full(n, broadening_kms(sigma_stars, SIGMA_TARGET_KMS)[0]),
        MUSE_HST.grid,
    )[:2]


@pytest.mark.parametrize(
    ("sigma_stars", "v", "sigma_gas"), [(60.0, 0.0, 30.0), (120.0, -90.0, 60.0), (180.0, 60.0, 20.0)]
)
def test_noiseless_lines_come_back(sigma_stars, v, sigma_gas):
    flux, error = fit(spectrum(sigma_stars, v, sigma_gas)[None], 1e-4, sigma_stars)
    np.testing.assert_allclose(flux[0], [TRUE[name] for name in ORDER], rtol=2e-3)
    assert (error < 0.05).all()


def test_lines_of_a_bin_do_not_depend_on_the_bins_that_are_fitted_with_it():
    rng = np.random.default_rng(5)
    rows = np.stack(
        [spectrum(80.0, v, width, scale) for v, width, scale in ((0, 30, 1), (210, 90, 0.02), (-60, 15, 3))]
    )
    rows += rng.normal(0, 0.02, rows.shape)
    together = fit(rows, 0.02, 80.0)
    alone = [fit(row[None], 0.02, 80.0) for row in rows]
    for k, both in enumerate(together):
        np.testing.assert_allclose(both, np.concatenate([one[k] for one in alone]), rtol=1e-9)


def test_a_wrong_continuum_slope_does_not_matter():
    tilted = spectrum(80.0) * (1.2 + 1e-4 * (WAVE_AA - 5400))
    flux, _ = fit(tilted[None], 1e-4, 80.0)
    scale = 1.2 + 1e-4 * (np.array([LINES[name][1] for name in ORDER]) - 5400)
    np.testing.assert_allclose(flux[0], scale * [TRUE[name] for name in ORDER], rtol=1e-2)


@pytest.mark.parametrize(("sigma_stars", "scale"), [(60.0, 1.0), (140.0, 1.0), (60.0, 0.2)])
def test_errors_are_honest(sigma_stars, scale):
    rng = np.random.default_rng(2)
    n, noise = 250, 1 / 25
    extra = float(broadening_kms(sigma_stars, SIGMA_TARGET_KMS)[0])
    white = noise * rng.standard_normal((n, WAVE_AA.size))
    seen = spectrum(sigma_stars, 20.0, scale=scale) + broaden_spectra(white, WAVE_AA, extra / C_KMS * WAVE_AA)
    flux, error = fit(seen, noise, sigma_stars)
    true = scale * np.array([TRUE[name] for name in ORDER])
    pull = (flux - true) / error
    assert np.abs(pull.mean(0)).max() < 0.3
    np.testing.assert_allclose(pull.std(0), 1.0, atol=0.22)


def test_no_lines_give_no_flux():
    rng = np.random.default_rng(3)
    white = 0.04 * rng.standard_normal((100, WAVE_AA.size))
    extra = float(broadening_kms(70.0, SIGMA_TARGET_KMS)[0])
    flux, error = fit(stars() + broaden_spectra(white, WAVE_AA, extra / C_KMS * WAVE_AA), 0.04, 70.0)
    assert (np.abs(np.median(flux / error, axis=0)) < 0.5).all()
    assert (np.abs(flux / error) > 3).mean() < 0.03


def test_a_bad_fit_raises_the_errors():
    clean = spectrum(80.0)[None]
    ripple = clean + 0.05 * np.sin(WAVE_AA / 3.0)
    assert (fit(ripple, 0.01, 80.0)[1] > 2 * fit(clean, 0.01, 80.0)[1]).all()


def test_a_masked_line_is_not_measured_and_spoils_no_other():
    mask = np.abs(WAVE_AA - 6562.8) > 6
    flux, _ = fit(spectrum(80.0)[None], 1e-4, 80.0, mask)
    assert np.isnan(flux[0, ORDER.index(HALPHA)])
    for name in (HBETA, OIII, "SII6716"):
        assert flux[0, ORDER.index(name)] == pytest.approx(TRUE[name], rel=0.01)


def width_aa(spectrum, centre):
    """Equivalent width, positive in emission, over a straight continuum."""
    core, side = np.abs(WAVE_AA - centre) < 16, (np.abs(WAVE_AA - centre) > 45) & (np.abs(WAVE_AA - centre) < 80)
    base = np.interp(WAVE_AA[core], WAVE_AA[side], spectrum[side])
    return 1.25 * ((spectrum[core] - base) / base).sum()


def test_stars_only_have_no_lines_and_keep_their_continuum(bundle):
    basis, bare = bundle.basis, remove_gas_emission(bundle.basis)
    assert (bare.young_nebular == 0).all()
    before = width_aa(basis.spectrum[0, 2], 6562.8)
    assert before > 20  # gas of 10-14 Myr
    for age in (0, 1):
        for z in range(basis.mh.size):
            assert -9 < width_aa(bare.spectrum[age, z], 6562.8) < 0
            assert -9 < width_aa(bare.spectrum[age, z], 4861.3) < 0
    far = np.abs(WAVE_AA - 5500) < 90
    np.testing.assert_array_equal(bare.spectrum[:, :, far], basis.spectrum[:, :, far])
    np.testing.assert_array_equal(bare.spectrum[2:], basis.spectrum[2:])


def test_measure_gives_fluxes_in_cgs_of_the_whole_bin(bundle, line_result):
    result = replace(line_result, redshift=0.005)
    found = line_fitting.measure_line_fluxes(result, bundle)
    assert found.by_bin
    true = TRUE[HALPHA] * 1e-17 * 1.005 / 1e-20
    np.testing.assert_allclose(found.flux[HALPHA][:2], true, rtol=0.02)
    assert np.isnan(found.flux[HALPHA][2])  # nothing was predicted there
    assert found.unit == "1e-20 erg/s/cm2"


@pytest.mark.parametrize("redshift", [0.0, 0.3])
def test_gas_is_judged_by_the_rest_frame_width_of_halpha(bundle, line_result, monkeypatch, redshift):
    """Against the width of the line that was put in, in Angstrom of the grid."""
    result = replace(line_result, redshift=redshift)
    lines = line_fitting.measure_line_fluxes(result, bundle)
    monkeypatch.setattr(gas_and_stars, "MAX_LG_N2", -2.0)  # [N II]/Halpha of 1/3 is enough
    away = np.abs(WAVE_AA - 6562.8)
    continuum = result.model_flux[0, (away > 40) & (away < 80)].mean()
    for factor, flagged in ((0.95, True), (1.05, False)):
        monkeypatch.setattr(gas_and_stars, "MIN_EW_AA", factor * TRUE[HALPHA] / continuum)
        assert _find_other_gas(result, lines)[:2].tolist() == [flagged, flagged]


def test_a_result_whose_lines_are_hidden_is_refused(bundle, line_result):
    hidden = replace(line_result, data=mask_gas_lines(line_result.data))
    with pytest.raises(SfhInputError, match=r"no gas lines.*run without it"):
        line_fitting.measure_line_fluxes(hidden, bundle)


def test_measure_can_be_cancelled(bundle, line_result):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        line_fitting.measure_line_fluxes(line_result, bundle, cancel=cancel)


@pytest.fixture(scope="module")
def line_result(bundle):
    """Three bins of stars from the bundle's basis with the lines of TRUE; the last has no prediction."""
    from synthetic_prediction import prediction_of, result_of

    from napari_sfh.model.inference import reconstruct_observations

    prediction = prediction_of(3)
    result = result_of(prediction)
    bare, _ = reconstruct_observations(
        result.data, prediction, replace(bundle, basis=remove_gas_emission(bundle.basis))
    )
    gas_light = (spectrum(60.0) - stars())[None]
    flux = np.where(np.isfinite(bare), bare, 1.0) + gas_light
    return replace(result, data=replace(result.data, flux=flux.astype(np.float32)))
