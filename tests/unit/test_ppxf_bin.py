"""pPXF on a bin, with the shipped network's templates: what went into a spectrum comes out."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from muse_hst import MUSE_HST

from napari_sfh.analysis.comparison import ppxf_fit
from napari_sfh.analysis.comparison.ppxf_fit import PpxfBinSettings
from napari_sfh.errors import Cancelled, ComputeError, SfhInputError
from napari_sfh.model.bundle import load_bundle
from napari_sfh.physics.ages import LG_AGE_YR
from napari_sfh.physics.means import compute_population_means
from napari_sfh.prep.kinematics import ppxf_call
from napari_sfh.types import Observation

FREE = PpxfBinSettings(regul_error=1.0)
SOLAR = 0.02227


@pytest.fixture(scope="module")
def basis():
    return load_bundle().basis


def _observe(basis, light_frac, mh, snr=200.0, line=None, v=0.0):
    """Dust-free data of V-light fractions (16,) at one [M/H]; ``line``: Halpha's flux, at ``v`` km/s."""
    metals = np.full((1, 16), mh)
    mass = basis.mass_from_light(np.asarray(light_frac, float)[None], metals)
    flux, phot = basis.reconstruct(mass, metals, np.zeros(1), np.zeros(1))
    flux = flux.astype(float)
    if line is not None:
        profile, _, names = ppxf_fit.make_gas_line_templates(basis.filters, MUSE_HST.grid, 60.0, v)
        flux += line * profile[:, names.index("Halpha")]
    error = np.full(flux.shape, 1 / snr)
    flux += np.random.default_rng(3).normal(0, 1, flux.shape) * error
    zero = np.zeros(1)
    data = Observation(
        flux=flux, error=error, mask=np.ones(flux.shape, bool), phot=phot, phot_error=0.02 * phot,
        phot_mask=np.ones(phot.shape, bool), norm_cgs=zero, snr=zero + snr, v_kms=zero, sigma_kms=zero + 150.0,
        flag=np.zeros(1, np.int32), instrument=MUSE_HST,
    )  # fmt: skip
    return data, {
        k: float(v) for k, v in compute_population_means(mass[0], np.asarray(light_frac, float), metals[0]).items()
    }


def _light(**shares):
    out = np.zeros(16)
    for name, share in shares.items():
        out[int(name.removeprefix("a"))] = share
    return out


@pytest.mark.parametrize(("age", "mh"), [(4, SOLAR), (8, -0.3756), (12, SOLAR), (14, 0.2)])
def test_one_population_comes_back_to_a_tenth_of_a_dex(basis, age, mh):
    data, _ = _observe(basis, _light(**{f"a{age}": 1.0}), mh)
    found = ppxf_fit.fit_ppxf(data, basis, settings=FREE)
    assert found.means["lg_age_lw"] == pytest.approx(LG_AGE_YR[age], abs=0.1)
    if age >= 8:  # under a young population a per cent of old light is most of the mass
        assert found.means["lg_age_mw"] == pytest.approx(LG_AGE_YR[age], abs=0.1)
    assert found.means["mh_lw"] == pytest.approx(mh, abs=0.1)
    assert found.light_frac.sum() == pytest.approx(1)
    assert found.mass_frac.sum() == pytest.approx(1)
    assert found.chi2 == pytest.approx(1.0, abs=0.12)


def test_two_populations_come_back_to_a_tenth_of_a_dex(basis):
    data, true = _observe(basis, _light(a5=0.5, a14=0.5), SOLAR)
    found = ppxf_fit.fit_ppxf(data, basis, settings=FREE)
    for key in ("lg_age_lw", "lg_age_mw"):
        assert found.means[key] == pytest.approx(true[key], abs=0.1)
    assert found.light_frac[:9].sum() == pytest.approx(0.5, abs=0.1)


def test_regularisation_smooths(basis):
    data, _ = _observe(basis, _light(a12=1.0), SOLAR)
    rough, smooth = (ppxf_fit.fit_ppxf(data, basis, settings=PpxfBinSettings(regul_error=e)) for e in (10.0, 0.01))
    assert np.abs(np.diff(smooth.light_frac, 2)).sum() < 0.5 * np.abs(np.diff(rough.light_frac, 2)).sum()


def test_gas_is_fitted_with_its_own_velocity_and_leaves_the_ages_alone(basis):
    data, _ = _observe(basis, _light(a12=1.0), SOLAR, line=20.0, v=80.0)
    found = ppxf_fit.fit_ppxf(data, basis, settings=FREE)
    assert found.gas_v_kms == pytest.approx(80, abs=25)
    assert found.gas_sigma_kms == pytest.approx(60, abs=30)
    assert found.means["lg_age_lw"] == pytest.approx(LG_AGE_YR[12], abs=0.1)
    assert np.abs(data.flux[0] - found.model).max() < 0.05 * (data.flux[0].max() - 1)


def test_bands_are_fitted_at_their_redshift_and_may_be_missing(basis):
    data, _ = _observe(basis, _light(a10=1.0), SOLAR)
    data = replace(data, phot_mask=np.array([[False, True, True, False, True]]))
    found = ppxf_fit.fit_ppxf(data, basis, settings=FREE)
    np.testing.assert_array_equal(np.isfinite(found.phot_model), data.phot_mask[0])
    np.testing.assert_allclose(found.phot_model[data.phot_mask[0]], data.phot[0][data.phot_mask[0]], rtol=0.05)
    alone = ppxf_fit.fit_ppxf(data, basis, settings=replace(FREE, photometry=False))
    assert np.isnan(alone.phot_model).all()
    assert not np.allclose(
        ppxf_fit.build_ppxf_templates(basis, 0.01).bands, ppxf_fit.build_ppxf_templates(basis).bands, rtol=1e-3
    )


def test_templates_have_unit_light_and_the_basis_s_mass_to_light(basis):
    stars = ppxf_fit.build_ppxf_templates(basis)
    mass = basis.mass_from_light(np.full((1, 16), 1 / 16), np.full((1, 16), basis.mh[3]))[0]
    weights = np.zeros((16, basis.mh.size))
    weights[:, 3] = 1.0
    found, light, mh = ppxf_fit.sum_ppxf_weights(weights, stars.light_v, stars.bin_of_group, stars.mh)
    np.testing.assert_allclose(found, mass, rtol=1e-5)
    np.testing.assert_allclose(light, 1 / 16)
    np.testing.assert_allclose(mh, basis.mh[3])


def test_without_ppxf_the_remedy_is_named(basis, monkeypatch):
    monkeypatch.setattr(ppxf_call, "is_ppxf_installed", lambda: False)
    data, _ = _observe(basis, _light(a10=1.0), SOLAR)
    with pytest.raises(SfhInputError, match="pPXF is not installed: run"):
        ppxf_fit.fit_ppxf(data, basis)


def test_bad_input_and_failures_are_told(basis):
    data, _ = _observe(basis, _light(a10=1.0), SOLAR)
    with pytest.raises(SfhInputError, match="fewer than 200 usable pixels; choose another bin"):
        ppxf_fit.fit_ppxf(replace(data, mask=np.zeros_like(data.mask)), basis)
    with pytest.raises(ComputeError, match="pPXF failed on this bin: "):
        ppxf_fit.fit_ppxf(replace(data, flux=np.full_like(data.flux, np.nan)), basis)


class _Toy:
    """As much of a result as `fit_ppxf_in_process` needs."""

    def __init__(self, data):
        self.data, self.redshift, self.name = data, 0.002, "NGC0000"
        self.bins = type("Bins", (), {"n_bins": 1})()


def test_a_bin_is_fitted_in_the_background_and_can_be_cancelled(basis):
    data, _ = _observe(basis, _light(a10=1.0), SOLAR)
    result = _Toy(data)
    steps = []
    assert ppxf_fit.fit_ppxf_in_process(result, 1, basis, FREE, steps.append).bin_id == 1
    assert {step.stage for step in steps} == {"fitting bin 1 with pPXF"}
    stop = threading.Event()
    with pytest.raises(Cancelled):
        ppxf_fit.fit_ppxf_in_process(result, 1, basis, FREE, lambda step: stop.set(), stop)
    with pytest.raises(SfhInputError, match="no bin 7; NGC0000 has bins 1 to 1"):
        ppxf_fit.fit_ppxf_in_process(result, 7, basis)
