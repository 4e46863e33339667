"""What holds for every input: filters, bin maps, workspaces, calibration, regions, the way to light and back."""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from astropy.wcs import WCS
from histories import SCALARS, VECTORS, make_history_calibration
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from toy_universe import make_toy_basis

from napari_sfh.analysis.region_files import read_regions, write_regions
from napari_sfh.analysis.regions import Outline
from napari_sfh.config import SETTINGS, RunConfig
from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.bin_maps import renumber_bins
from napari_sfh.io.workspaces import Workspace, read_workspace, write_workspace
from napari_sfh.model.calibration import compute_pit
from napari_sfh.physics.ages import AGE_EDGES_GYR, LG_AGE_YR, N_AGE
from napari_sfh.physics.filters import Filter, ab_mag, filter_weights, flux_from_ab
from napari_sfh.physics.means import compute_population_means

few = settings(max_examples=25, deadline=None)
unit = st.floats(0, 1, allow_nan=False, width=32)


@st.composite
def filters(draw):
    """A throughput curve of 3 to 30 points somewhere in 3000-9000 AA."""
    n = draw(st.integers(3, 30))
    steps = draw(arrays(float, n, elements=st.floats(1, 200)))
    curve = draw(arrays(float, n, elements=st.floats(0.01, 1)))
    return Filter.from_curve("X", "CAM", 3000 + np.cumsum(steps), curve)


@given(filters(), st.floats(1, 60), st.floats(-3, 3))
@few
def test_a_filter_averages(band, step_aa, slope):
    wave = np.arange(2900.0, 9500.0, step_aa)
    weights = filter_weights(band, wave)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-12)
    spectrum = (wave / 5500) ** slope
    inside = (wave >= band.wave_aa[0] - step_aa) & (wave <= band.wave_aa[-1] + step_aa)
    assert spectrum[inside].min() * (1 - 1e-9) <= spectrum @ weights <= spectrum[inside].max() * (1 + 1e-9)


@given(filters(), st.floats(-5, 40))
@few
def test_magnitudes_and_fluxes_are_inverse(band, mag):
    np.testing.assert_allclose(ab_mag(band, flux_from_ab(band, mag)), mag, atol=1e-9)


bin_images = arrays(np.int64, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(-2, 9))


@given(bin_images)
@few
def test_bins_are_numbered_without_gaps_and_in_order(image):
    if not (image >= 0).any():
        with pytest.raises(SfhInputError, match="holds no bin"):
            renumber_bins(image, "map", zero_is_bin=True)
        return
    if image.size > 1 and not image.any():  # what an image looks like that nobody has filled in
        with pytest.raises(SfhInputError, match="0 everywhere"):
            renumber_bins(image, "map", zero_is_bin=True)
        return
    bins, _ = renumber_bins(image, "map", zero_is_bin=True)
    assert np.array_equal(np.unique(bins[bins > 0]), np.arange(1, bins.max() + 1))
    assert np.array_equal(bins == 0, image < 0)
    for number in np.unique(bins[bins > 0]):
        assert np.unique(image[bins == number]).size == 1
    assert (np.diff([image[bins == k][0] for k in range(1, bins.max() + 1)]) > 0).all()


@given(bin_images)
@few
def test_a_given_bin_map_keeps_its_bins(image):
    none = image < (0 if (image < 0).any() else 1)
    if none.all():
        with pytest.raises(SfhInputError, match="holds no bin"):
            renumber_bins(image.astype(float), "map")
        return
    bins, _ = renumber_bins(image.astype(float), "map")
    assert np.array_equal(bins == 0, none)
    assert np.unique(bins[~none]).size == np.unique(image[~none]).size


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
states = st.dictionaries(st.text(max_size=5), values, max_size=3)
blocks = st.dictionaries(st.text(min_size=1, max_size=8), states, max_size=3)


@given(blocks, blocks, st.integers(0, 10**6))
@few
def test_a_workspace_comes_back(forms, tools, n_bins):
    with tempfile.TemporaryDirectory() as folder:
        work = Workspace(Path(folder).resolve() / "sfh.fits", n_bins, forms=forms, tools=tools)
        again = read_workspace(write_workspace(work, Path(folder) / "work.json"))
    assert again == work


@given(st.integers(0, 2**31), st.floats(0.3, 3), st.floats(-1, 1), st.floats(0.5, 2.3))
@few
def test_calibrated_quantiles_rise(seed, width, offset, lg_snr):
    """Whatever was wrong with the draws, the calibrated quantiles are in order."""
    rng = np.random.default_rng(seed)
    calibration = make_history_calibration()
    truth, drawn = rng.normal(size=(400, 1)), offset + width * rng.normal(size=(400, 60))
    rank = compute_pit(torch.tensor(drawn), torch.tensor(truth[:, 0])).float()
    ranks = dict.fromkeys(SCALARS, rank) | {name: rank[:, None].expand(-1, N_AGE) for name in VECTORS}
    calibration.fit(ranks, torch.tensor(rng.uniform(0.7, 2.2, 400), dtype=torch.float32), draws=60)
    draws = {name: torch.tensor(rng.normal(size=(2, 60)), dtype=torch.float32) for name in SCALARS}
    draws |= {name: torch.tensor(rng.uniform(size=(2, 60, N_AGE)), dtype=torch.float32) for name in VECTORS}
    found = calibration.quantiles(draws, torch.full((2,), lg_snr))
    for name in (*SCALARS, *VECTORS):
        assert (torch.diff(found[name], dim=-1) >= 0).all(), name


BASIS = make_toy_basis()
fractions = arrays(np.float64, (3, N_AGE), elements=st.floats(1e-3, 1)).map(lambda x: x / x.sum(1, keepdims=True))
metals = arrays(np.float64, (3, N_AGE), elements=st.floats(-2, 0.5))


@given(fractions, metals)
@few
def test_mass_and_light_are_inverse(mass, mh):
    light = BASIS.light_from_mass(mass, mh)
    np.testing.assert_allclose(light.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(BASIS.mass_from_light(light, mh), mass, rtol=1e-9)


@given(fractions, fractions, metals)
@few
def test_means_lie_inside_what_they_average(mass, light, mh):
    means = compute_population_means(mass, light, mh)
    for name in ("lg_age_mw", "lg_age_lw"):
        assert (means[name] >= LG_AGE_YR.min() - 1e-9).all()
        assert (means[name] <= LG_AGE_YR.max() + 1e-9).all()
    for name in ("mh_mw", "mh_lw"):
        assert (means[name] >= mh.min(1) - 1e-9).all()
        assert (means[name] <= mh.max(1) + 1e-9).all()
    assert AGE_EDGES_GYR.size == N_AGE + 1


def _wcs() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [24.17, 15.78], [20.0, 20.0]
    wcs.wcs.cdelt = [-0.2 / 3600, 0.2 / 3600]
    return wcs


corners = arrays(np.float64, st.tuples(st.integers(3, 9), st.just(2)), elements=st.floats(-30, 70))


@given(corners, st.booleans())
@few
def test_a_region_keeps_its_corners(points, hole):
    outlines = [Outline(np.array([[0.0, 0], [0, 9], [9, 9]])), Outline(points, not hole)]
    with tempfile.TemporaryDirectory() as folder:
        path = write_regions(Path(folder) / "a.reg", outlines, _wcs())
        again = read_regions(path, _wcs()).outlines
    assert [o.include for o in again] == [o.include for o in outlines]
    for before, after in zip(outlines, again, strict=True):
        np.testing.assert_allclose(after.points, before.points, atol=2e-3)  # eight digits of a degree


RANGES = {name: about for name, about in SETTINGS.items() if about.low is not None}


@given(st.sampled_from(sorted(RANGES)), st.floats(0, 1), st.floats(1e-3, 1e3))
@few
def test_a_setting_inside_its_range_is_kept_and_one_outside_refused(name, share, beyond):
    about = RANGES[name]
    value = about.kind(about.low + share * (about.high - about.low))
    assert RunConfig(cube="cube.fits", **{name: value}).settings()[name] == value
    for outside in (about.low - beyond, about.high + beyond):
        with pytest.raises(SfhInputError, match=name):
            RunConfig(cube="cube.fits", **{name: outside})
