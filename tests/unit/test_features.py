"""The encoding: what it keeps, what it hides behind masks, what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_universe import make_toy_data

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import load_instrument
from napari_sfh.model.encoding import (
    FeatureSettings,
    compute_arcsinh,
    encode_observation,
    encoded_value_error,
    find_usable_rows,
)
from napari_sfh.types import Flag, Observation, make_empty_observation


@pytest.fixture(scope="module")
def data() -> Observation:
    return make_toy_data(6, seed=3, snr=30.0)[0]


def test_values_are_the_flux_and_invert(data):
    f = encode_observation(data)
    assert f.spectrum.shape == (6, 3, 1761)
    assert f.photometry.shape == (6, 3, 5)
    np.testing.assert_allclose(np.sinh(f.spectrum[:, 0].numpy()) + 1, data.flux, atol=2e-4)
    np.testing.assert_allclose(10 ** f.photometry[:, 0].numpy(), data.phot, rtol=1e-4)
    np.testing.assert_allclose(f.lg_snr[:, 0], np.log10(data.snr), rtol=1e-6)


def test_error_channel_gives_the_error_of_the_value(data):
    f = encode_observation(data)
    shifted = encode_observation(replace(data, flux=data.flux + 1e-2))
    slope = (shifted.spectrum[:, 0] - f.spectrum[:, 0]) / 1e-2
    np.testing.assert_allclose(encoded_value_error(f.spectrum), slope * torch.from_numpy(data.error), rtol=0.02)


def test_inputs_stay_unmodified(data):
    before = {k: v.copy() for k, v in data.__dict__.items() if isinstance(v, np.ndarray)}
    encode_observation(replace(data, mask=data.mask & (np.arange(1761) > 300)))
    for key, value in before.items():
        np.testing.assert_array_equal(getattr(data, key), value)


def test_what_lies_under_a_mask_is_never_seen(data):
    mask = data.mask.copy()
    mask[:, 400:700] = False
    phot_mask = data.phot_mask.copy()
    phot_mask[:, 1] = False
    clean = replace(data, mask=mask, phot_mask=phot_mask)
    flux, phot = data.flux.copy(), data.phot.copy()
    flux[:, 400:700], phot[:, 1] = np.nan, np.inf
    spoilt = replace(clean, flux=flux, phot=phot)
    a, b = encode_observation(clean), encode_observation(spoilt)
    assert torch.equal(a.spectrum, b.spectrum)
    assert torch.equal(a.photometry, b.photometry)


def test_masked_pixels_are_filled_with_the_continuum_near_them(data):
    mask = data.mask.copy()
    mask[:, 800:816] = False
    filled = np.sinh(encode_observation(replace(data, mask=mask)).spectrum[:, 0, 800:816].numpy()) + 1
    near = np.concatenate([data.flux[:, 708:800], data.flux[:, 816:908]], axis=1).mean(1)
    np.testing.assert_allclose(filled.mean(1), near, atol=0.02)


def test_non_finite_and_non_positive_values_count_as_masked(data):
    flux, error, phot = data.flux.copy(), data.error.copy(), data.phot.copy()
    flux[0, 5], error[1, 6], error[2, 7], phot[3, 0] = np.nan, 0.0, np.inf, -1.0
    f = encode_observation(replace(data, flux=flux, error=error, phot=phot))
    assert f.spectrum[0, 1, 5] == f.spectrum[1, 1, 6] == f.spectrum[2, 1, 7] == f.photometry[3, 1, 0] == 0
    assert all(torch.isfinite(t).all() for t in (f.spectrum, f.photometry, f.lg_snr))


def test_a_bin_without_any_pixel_is_finite_but_unusable(data):
    none = replace(data, mask=np.zeros_like(data.mask), snr=np.full(6, np.nan, np.float32))
    f = encode_observation(none)
    assert torch.isfinite(f.spectrum).all()
    assert torch.isfinite(f.lg_snr).all()
    assert not find_usable_rows(none).any()


def test_usable_needs_pixels_snr_and_no_flag(data):
    mask = data.mask.copy()
    mask[0, 300:] = False
    snr, flag = data.snr.copy(), data.flag.copy()
    snr[1], flag[2] = 0.0, int(Flag.NO_SPECTRUM)
    assert find_usable_rows(replace(data, mask=mask, snr=snr, flag=flag)).tolist() == [
        False,
        False,
        False,
        True,
        True,
        True,
    ]


def test_no_bins_is_no_error():
    empty = make_toy_data(2)[0].select(slice(0, 0))
    assert len(encode_observation(empty)) == 0
    assert find_usable_rows(empty).shape == (0,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flux": np.ones((6, 1760), np.float32)}, r"flux: shape \(6, 1760\), expected \(6, 1761\)"),
        ({"phot": np.ones((6, 4), np.float32)}, r"phot: shape \(6, 4\), expected \(6, 5\)"),
    ],
)
def test_wrong_shapes_are_named(data, change, words):
    with pytest.raises(SfhInputError, match=words):
        encode_observation(replace(data, **change))


def test_a_redshift_is_weighed_as_the_settings_say():
    data = make_empty_observation(load_instrument("jpas-z"), 2)
    data = replace(data, redshift=np.array([0.0, 0.25], np.float32))
    plain, scaled = (encode_observation(data, FeatureSettings(redshift_scale=k)).redshift for k in (1.0, 20.0))
    np.testing.assert_allclose(scaled.numpy(), 20 * plain.numpy())
    assert scaled[1, 0] == pytest.approx(20 * np.log10(1.25), rel=1e-5)


@pytest.mark.parametrize("longest", [1, 3, 8])
def test_gaps_up_to_the_bridge_are_filled_with_the_line_between_their_neighbours(data, longest):
    """A spectrum that rises evenly comes out of short gaps as it was; longer ones and the ends keep the mean."""
    slope = np.linspace(0.5, 1.5, 1761, dtype=np.float32)
    clean = replace(data, flux=np.tile(slope, (6, 1)), mask=np.ones((6, 1761), bool))
    mask, gaps = clean.mask.copy(), {300: 1, 500: longest, 700: longest + 1, 1761 - 1: 1, 0: longest}
    for first, length in gaps.items():
        mask[:, first : first + length] = False
    holed = replace(clean, mask=mask)
    whole, mean, line = (
        encode_observation(d, FeatureSettings(bridge_px=k)).spectrum
        for d, k in ((clean, 0), (holed, 0), (holed, longest))
    )
    short = np.r_[300, 500 : 500 + longest]
    other = np.setdiff1d(np.flatnonzero(~mask[0]), short)
    torch.testing.assert_close(line[:, 0, short], whole[:, 0, short], atol=1e-6, rtol=0)
    assert torch.equal(line[:, 0, other], mean[:, 0, other])
    assert torch.equal(line[:, 1:], mean[:, 1:])
    assert torch.equal(line[:, 0, mask[0]], whole[:, 0, mask[0]])


def test_settings_survive_json_and_refuse_others():
    settings = FeatureSettings(fill_px=40, bridge_px=2)
    assert FeatureSettings.from_json(settings.to_json()) == settings
    with pytest.raises(SfhInputError, match="unknown key 'fil_px'"):
        FeatureSettings.from_json({"fil_px": 3})
    with pytest.raises(SfhInputError, match="version 99"):
        FeatureSettings.from_json({"version": 99})


def test_arcsinh_is_that_of_torch_near_zero_and_far_out():
    x = torch.tensor([0.0, 1e-30, -1e-6, 0.3, -0.3, 2.0, -50.0, 1e15, -1e15])
    np.testing.assert_allclose(compute_arcsinh(x), torch.asinh(x.double()).float(), rtol=2e-7)
    assert torch.isfinite(compute_arcsinh(torch.tensor([1e30, -3e38]))).all()
