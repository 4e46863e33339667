"""Draws for a corner plot: of the right network, with the quantiles that the result tells."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.wcs import WCS
from histories import SCALARS, VECTORS, make_history_calibration
from toy_universe import make_toy_data, write_toy_bundle

from napari_sfh.analysis import posteriors
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.posteriors import compute_predictive_band, draw_bin_posterior
from napari_sfh.analysis.weights import find_result_weights
from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.inference import draw_predicted_spectra, predict_histories, reconstruct_observations
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.physics.formation import compute_formation_times
from napari_sfh.types import QUANTILES, BinMap, Result


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Six bins predicted by toy weights, which the run had in a folder of its own."""
    path = write_toy_bundle(tmp_path_factory.mktemp("weights") / "toy.safetensors")
    bundle = load_bundle(path)
    data = make_toy_data(6, seed=3)[0]
    prediction = predict_histories(data, bundle, "cpu", draws=1024)
    flux, phot = reconstruct_observations(data, prediction, bundle)
    bins = BinMap(
        np.arange(1, 7, dtype=np.int32)[None], np.arange(6.0), np.zeros(6), np.ones(6, np.int32), data.snr, 35.0, "file"
    )
    return Result(
        bins=bins,
        data=data,
        prediction=prediction,
        model_flux=flux,
        model_phot=phot,
        chi2=np.ones(6, np.float32),
        flag=data.flag,
        white=np.ones((1, 6), np.float32),
        wcs=WCS(naxis=2),
        name="toy",
        redshift=0.002,
        model_name=bundle.name,
        model_sha256=bundle.sha256,
        settings={"model": str(path)},
    )


def test_draws_have_the_quantiles_of_the_result(toy: Result) -> None:
    names = ("lg_age_lw", "mh_mw", "ebv", "t50")
    draws = draw_bin_posterior(toy, 3, names, n=4096)
    assert draws is not None
    assert list(draws.values) == list(names)
    assert draws.array().shape == (4096, 4)
    for name in names[:3]:
        told = toy.prediction.quantiles[name][2]
        assert np.quantile(draws.values[name], QUANTILES) == pytest.approx(told, abs=0.08 * float(told[-1] - told[0]))
    assert ((draws.values["t50"] > 0) & (draws.values["t50"] < AGE_EDGES_GYR[-1])).all()


def test_predictive_band_is_of_the_bin_and_rises_through_its_quantiles(toy: Result) -> None:
    band = compute_predictive_band(toy, 3, n=40)
    assert band.shape == (5, toy.data.instrument.n_wave)
    assert (np.diff(band, axis=0) >= 0).all()
    spectra = draw_predicted_spectra(toy.data.select(slice(2, 3)), load_bundle(toy.settings["model"]), 40)[0]
    np.testing.assert_allclose(band[2], np.median(spectra, 0), rtol=1e-5)
    with pytest.raises(SfhInputError, match="bins 1 to 6"):
        compute_predictive_band(toy, 7)


def test_redrawn_quantiles_are_the_calibrated_ones() -> None:
    """A calibration that widens and shifts; ranks stay, cumulative curves fall."""
    torch.manual_seed(1)
    calibration = make_history_calibration()
    levels = torch.tensor([0.005, 0.10, 0.45, 0.80, 0.99])
    calibration.scalar[:] = levels
    calibration.vector[:] = levels
    rows = torch.randn(2, 4000)
    falling = torch.linspace(1, 0.1, 16) ** torch.rand(2, 4000, 1).mul(3)
    draws = dict.fromkeys(SCALARS, rows) | dict.fromkeys(VECTORS, falling)
    lg_snr = torch.tensor([1.3, 2.0])
    moved = calibration.calibrate_draws(draws, lg_snr)
    told = calibration.quantiles(draws, lg_snr)
    for name in ("mh_lw", "ebv"):
        got = torch.quantile(moved[name], torch.tensor(QUANTILES), dim=1).T
        assert got.numpy() == pytest.approx(told[name].numpy(), abs=0.02)
        assert (moved[name].gather(1, rows.argsort(1)).diff(dim=1) >= 0).all()
    middle = torch.quantile(moved["cum_mass"], torch.tensor(QUANTILES), dim=1).permute(1, 2, 0)
    assert middle.numpy() == pytest.approx(told["cum_mass"].numpy(), abs=0.02)
    assert (moved["cum_mass"].diff(dim=-1) <= 0).all()
    assert moved["light_frac"] is draws["light_frac"]


def test_no_calibration_moves_nothing() -> None:
    rows = torch.randn(1, 2000)
    falling = torch.linspace(1, 0.1, 16).expand(1, 2000, 16)
    moved = make_history_calibration().calibrate_draws(
        dict.fromkeys(SCALARS, rows) | dict.fromkeys(VECTORS, falling), torch.tensor([1.5])
    )
    assert moved["tau_ism"].numpy() == pytest.approx(rows.numpy(), abs=0.02)


def test_formation_times_of_known_curves() -> None:
    edges = AGE_EDGES_GYR
    even = 1 - edges / edges[-1]
    burst = (edges < 5).astype(float)  # all formed between 4.221 and 6.689 Gyr ago
    times = compute_formation_times(np.stack([even, burst]), (0.5,))[:, 0]
    assert times[0] == pytest.approx(edges[-1] / 2)
    assert times[1] == pytest.approx(0.5 * (4.221 + 6.689))


def test_a_network_that_moved_is_found_by_its_content(toy: Result, tmp_path: Path) -> None:
    original = Path(str(toy.settings["model"]))
    assert find_result_weights(toy) == original
    elsewhere = tmp_path / "other-name.safetensors"
    shutil.copy(original, elsewhere)
    assert find_result_weights(replace(toy, settings={"model": str(elsewhere)})) == elsewhere


def test_a_network_that_is_not_there_or_another(toy: Result) -> None:
    gone = replace(toy, settings={"model": "/nowhere/toy.safetensors"})
    with pytest.raises(SfhInputError, match=r"the weights 'toy' \(sha256 \w{12}…\) .* not"):
        draw_bin_posterior(gone, 1)
    with pytest.raises(SfhInputError, match=r"sha256 000000000000…"):
        draw_bin_posterior(replace(toy, model_sha256="0" * 64), 1)


def test_bins_and_quantities_that_cannot_be_drawn(toy: Result) -> None:
    with pytest.raises(SfhInputError, match=r"bin 7: there are bins 1 to 6"):
        draw_bin_posterior(toy, 7)
    with pytest.raises(SfhInputError, match="posterior of 'mass' is unknown"):
        draw_bin_posterior(toy, 1, ("mass",))
    with pytest.raises(SfhInputError, match="no quantity is chosen"):
        draw_bin_posterior(toy, 1, ())
    mass = toy.prediction.mass_frac.copy()
    mass[1] = np.nan
    empty = replace(toy, prediction=replace(toy.prediction, mass_frac=mass))
    with pytest.raises(SfhInputError, match="bin 2 has no prediction"):
        draw_bin_posterior(empty, 2)


@pytest.mark.parametrize("bin_id", [0, -1, 7, 1.5, "1", None])
def test_what_is_no_bin_is_told(toy: Result, bin_id: Any) -> None:
    """-1 was the last bin but one, without a word."""
    no_number = "`bin_id` is .*: give a whole number"
    words = rf"bin {bin_id}: there are bins 1 to 6"
    with pytest.raises(SfhInputError, match=words):
        BinView.of(toy, bin_id)
    with pytest.raises(SfhInputError, match=words if isinstance(bin_id, int) else no_number):
        draw_bin_posterior(toy, bin_id)
    with pytest.raises(SfhInputError, match=r"'AGE_LW' is no predicted quantity.*lg_age_lw"):
        toy.prediction.median("AGE_LW")


def test_cancelled(toy: Result) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        draw_bin_posterior(toy, 1, cancel=stop)
    assert set(posteriors.DEFAULT_QUANTITIES) <= set(posteriors.POSTERIOR_QUANTITIES)
