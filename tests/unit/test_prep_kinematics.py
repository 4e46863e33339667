"""Redshift and kinematics recovered from spectra whose truth is known to the line."""

import threading
from pathlib import Path

import numpy as np
import pytest
from muse_hst import MUSE_HST
from prep_toys import forest, forest_basis
from threadpoolctl import threadpool_info

from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.kinematics import stellar_kinematics
from napari_sfh.prep.kinematics.log_spectra import make_log_spectra
from napari_sfh.prep.redshift import estimate_redshift
from napari_sfh.prep.spectra import BinSpectra

WAVE = 4749.88 + 1.25 * np.arange(3681)
MIX = np.zeros((16, 4))
MIX[6, 2], MIX[12, 2], MIX[14, 1] = 0.3, 0.5, 0.2


@pytest.fixture(scope="module")
def basis():
    return forest_basis()


def observed(redshift, v=(0.0,), sigma=(60.0,), snr=35.0, gas=0.0, seed=0):
    flux = np.array([forest(WAVE, MIX, redshift, a, b) for a, b in zip(v, sigma)])
    for line, peak in ((4861.3, 1.0), (5006.8, 1.2), (6562.8, 3.0), (6583.5, 0.9)):
        flux += gas * peak * np.exp(-0.5 * ((WAVE / (1 + redshift) - line) / 2.0) ** 2)
    variance = np.full_like(flux, snr**-2.0)
    flux = flux + np.random.default_rng(seed).standard_normal(flux.shape) / snr
    return BinSpectra(WAVE, flux.astype("f4"), variance.astype("f4"), np.ones(flux.shape, bool), 1e-20, True)


@pytest.mark.parametrize("redshift", [-0.001, 0.0022, 0.0052, 0.03, 0.088, 0.15])
@pytest.mark.parametrize(("snr", "gas"), [(10.0, 0.0), (35.0, 0.5)])
def test_redshift_is_found(basis, redshift, snr, gas):
    found, error = estimate_redshift(observed(redshift, snr=snr, gas=gas), basis, Path("cube.fits"))
    assert found == pytest.approx(redshift, abs=2e-4)
    assert abs(found - redshift) < 5 * error + 2e-5
    assert error < 6e-5


def test_redshift_survives_the_laser_notch_and_a_sky_residual(basis):
    spectra = observed(0.0052)
    spectra.good[0, (WAVE > 5800) & (WAVE < 5970)] = False
    spectra.flux[0, np.abs(WAVE - 5577) < 2] += 30.0
    assert estimate_redshift(spectra, basis, Path("cube.fits"))[0] == pytest.approx(0.0052, abs=1e-4)


def test_noise_has_no_redshift(basis):
    flux = (100 + 10 * np.random.default_rng(1).standard_normal((1, WAVE.size))).astype("f4")
    noise = BinSpectra(WAVE, flux, np.full_like(flux, 100.0), flux > 0, 1e-20, True)
    with pytest.raises(SfhInputError, match=r"cube\.fits: the redshift cannot"):
        estimate_redshift(noise, basis, Path("cube.fits"))
    with pytest.raises(SfhInputError, match=r"cube\.fits: too few good channels"):
        estimate_redshift(
            BinSpectra(WAVE, flux, flux, np.zeros(flux.shape, bool), 1e-20, True), basis, Path("cube.fits")
        )


def test_ppxf_recovers_velocity_and_dispersion_below_150(basis):
    pytest.importorskip("ppxf")
    v = np.array([-180.0, -60.0, 0.0, 75.0, 200.0, 20.0])
    sigma = np.array([60.0, 90.0, 120.0, 180.0, 60.0, 90.0])
    out = stellar_kinematics.fit_ppxf_kinematics(
        make_log_spectra(observed(0.0052, v, sigma, snr=60.0), 0.0052, basis, MUSE_HST.grid)
    )
    assert out.measured.all()
    np.testing.assert_allclose(out.v_kms, v, atol=15)
    np.testing.assert_allclose(out.sigma_kms, sigma, atol=25)
    # The systemic redshift may be off: velocities take it up.
    shifted = stellar_kinematics.fit_ppxf_kinematics(
        make_log_spectra(observed(0.0052, v[:1], sigma[:1], snr=60.0), 0.0050, basis, MUSE_HST.grid)
    )
    assert shifted.v_kms[0] == pytest.approx(v[0] + C_KMS * np.log(1.0052 / 1.0050), abs=15)


def test_ppxf_bins_without_a_spectrum_take_the_others(basis):
    pytest.importorskip("ppxf")
    spectra = observed(0.0052, (50.0, 0.0), (80.0, 80.0), snr=60.0)
    spectra.good[1] = False
    out = stellar_kinematics.fit_ppxf_kinematics(make_log_spectra(spectra, 0.0052, basis, MUSE_HST.grid))
    assert list(out.measured) == [True, False]
    assert out.v_kms[1] == out.v_kms[0]
    spectra.good[:] = False
    with pytest.raises(SfhInputError, match="`kinematics` ppxf: no fit"):
        stellar_kinematics.fit_ppxf_kinematics(make_log_spectra(spectra, 0.0052, basis, MUSE_HST.grid))


def test_ppxf_cancels(basis):
    pytest.importorskip("ppxf")
    event = threading.Event()
    event.set()
    spectra = observed(0.0052, np.zeros(40), np.full(40, 60.0))
    with pytest.raises(Cancelled):
        stellar_kinematics.fit_ppxf_kinematics(make_log_spectra(spectra, 0.0052, basis, MUSE_HST.grid), cancel=event)


def test_many_fits_are_announced_before_the_first(basis, monkeypatch):
    pytest.importorskip("ppxf")
    assert stellar_kinematics.describe_ppxf_time(1000) is None
    assert "16700 spectra, about 8 min" in stellar_kinematics.describe_ppxf_time(16_700)
    monkeypatch.setattr(stellar_kinematics, "PPXF_SECONDS", 1800.0)
    steps, cancel = [], threading.Event()

    def tell(step):
        steps.append(step)
        if len(steps) == 2:
            cancel.set()

    spectra = observed(0.0052, np.zeros(4), np.full(4, 60.0))
    with pytest.raises(Cancelled):
        stellar_kinematics.fit_ppxf_kinematics(make_log_spectra(spectra, 0.0052, basis, MUSE_HST.grid), tell, cancel)
    first, second = steps
    assert first.stays
    assert first.stage.startswith("pPXF fits 4 spectra, about 2.0 h; faster: ")
    assert second.stage.endswith("about 2.0 h")
    assert (second.done, second.total) == (0, 4)


def test_ppxf_fits_on_one_core_and_gives_the_others_back(basis, monkeypatch):
    """Threads on its small matrices make it slower, beside other work some 8 times."""
    pytest.importorskip("ppxf")
    seen = []

    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    monkeypatch.setattr(
        stellar_kinematics, "fit_row_with_ppxf", lambda data, row: seen.append(threads()) or (0.0, 60.0)
    )
    before = threads()
    stellar_kinematics.fit_ppxf_kinematics(
        make_log_spectra(observed(0.0052, np.zeros(3), np.full(3, 60.0)), 0.0052, basis, MUSE_HST.grid)
    )
    assert seen == [{1}] * 3
    assert threads() == before


def test_ppxf_missing_is_said(basis, monkeypatch):
    monkeypatch.setattr(stellar_kinematics, "is_ppxf_installed", lambda: False)
    with pytest.raises(SfhInputError, match=r"pip install ppxf"):
        stellar_kinematics.fit_ppxf_kinematics(make_log_spectra(observed(0.0), 0.0, basis, MUSE_HST.grid))
