"""What spectra say against what headers and users say, and channels that no galaxy makes."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.model.bundle import load_bundle
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.prep.bad_channels import mask_bad_channels, mask_tiny_errors
from napari_sfh.prep.cross_checks import (
    check_against_templates,
    check_errors,
    compare_redshifts,
    sum_all_bins,
)
from napari_sfh.prep.kinematics.given_kinematics import check_given_kinematics
from napari_sfh.prep.kinematics.stellar_kinematics import make_kinematics
from napari_sfh.prep.redshift import estimate_redshift, measure_line_depth
from napari_sfh.prep.spectra import BinSpectra

Z = 0.0025
WAVE = np.arange(4750.0, 7100.0, 1.25)
PATH = Path("cube.fits")


@cache
def basis() -> TemplateBasis:
    found = load_bundle("wide").basis
    assert found is not None
    return found


def make_spectra(n: int = 4, redshift: float = Z, snr: float = 100.0, seed: int = 1) -> BinSpectra:
    """``n`` bins of one old population, each brighter than the next, with noise."""
    template = basis().spectrum[10, int(np.argmin(np.abs(basis().mh)))].astype(np.float64)
    flux = np.interp(WAVE / (1 + redshift), basis().wave_aa, template)
    flux = flux / np.median(flux) * np.arange(n, 0, -1)[:, None]
    sigma = np.median(flux, axis=1, keepdims=True) / snr * np.ones_like(flux)
    flux = flux + sigma * np.random.default_rng(seed).normal(size=flux.shape)
    good = np.ones(flux.shape, dtype=bool)
    return BinSpectra(WAVE, flux.astype(np.float32), (sigma**2).astype(np.float32), good, 1e-20, True)


def find_masked(spectra: BinSpectra) -> tuple[np.ndarray, tuple[str, ...]]:
    """Channels that are masked in every bin, and the notes."""
    masked, notes = mask_bad_channels(spectra, Z)
    return np.flatnonzero(~masked.good.any(0)), notes


def test_untouched_spectra_keep_their_channels() -> None:
    for seed in range(3):
        channels, notes = find_masked(make_spectra(seed=seed))
        assert channels.size == 0
        assert notes == ()


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0, -1.0])
@pytest.mark.parametrize("width", [1, 2, 3, 7, 40])
def test_a_stretch_of_channels_of_another_scale_is_masked(width: int, factor: float) -> None:
    spectra = make_spectra()
    spectra.flux[:, 700 : 700 + width] *= factor
    channels, notes = find_masked(spectra)
    assert channels.tolist() == list(range(700, 700 + width))
    assert f"{WAVE[700]:.1f}" in notes[0]


def test_a_lone_step_is_told_and_kept() -> None:
    spectra = make_spectra()
    spectra.flux[:, 900:] *= 1.3
    channels, notes = find_masked(spectra)
    assert channels.size == 0
    assert len(notes) == 1
    assert "step by +2" in notes[0]  # of the median; the template is fainter there
    assert f"{WAVE[900]:.1f}" in notes[0]


@pytest.mark.parametrize(("fwhm_aa", "told"), [(1.5, False), (2.6, True)])
def test_a_step_of_channels_as_wide_as_a_line_is_a_flank(fwhm_aa: float, told: bool) -> None:
    spectra = make_spectra()
    flux = spectra.flux.copy()
    flux[:, 900:] *= 1.2
    _, notes = find_masked(replace(spectra, flux=flux, lsf=LineSpread("constant_fwhm_aa", fwhm_aa)))
    assert any("two calibrations meet" in note for note in notes) == told


def test_one_cosmic_ray_costs_one_pixel() -> None:
    spectra = make_spectra()
    spectra.flux[2, 333] += 50.0
    masked, notes = mask_bad_channels(spectra, Z)
    assert np.argwhere(~masked.good).tolist() == [[2, 333]]
    assert "1 in 1 bins" in notes[0]


@pytest.mark.parametrize("times", [1, 2, 3])
def test_channels_that_were_repeated_are_told_and_kept(times: int) -> None:
    once = make_spectra()
    once.flux[:, 300:] *= np.where(np.arange(once.flux.shape[1] - 300) < 3, 0.9, 1.0)  # the edge of a line
    flux, variance, good = (np.repeat(a, times, axis=1) for a in (once.flux, once.variance, once.good))
    wave = once.wave_aa[0] + np.median(np.diff(once.wave_aa)) / times * np.arange(flux.shape[1])
    channels, notes = find_masked(replace(once, flux=flux, variance=variance, good=good, wave_aa=wave))
    assert channels.size == 0
    assert [note.split(":")[0] for note in notes] == [f"each channel stands {times} times in a row"] * (times > 1)


def test_a_stretch_without_noise_is_masked() -> None:
    spectra = make_spectra()
    spectra.flux[:, 850:986] = np.linspace(1, 1.1, 136) * spectra.flux[:, [850]]
    channels, _ = find_masked(spectra)
    assert set(range(852, 984)) <= set(channels.tolist())
    assert channels.size < 142


@pytest.mark.parametrize("tiny", [4.6e-41, 1e-6])
def test_pixels_without_a_believable_error_are_masked(tiny: float) -> None:
    """Seen in a cube whose STAT was damaged: its velocities ended in a traceback."""
    spectra = make_spectra()
    spectra.variance[1, 300:340] = tiny * spectra.variance[1, 300]
    masked, notes = mask_tiny_errors(spectra)
    assert (spectra.good & ~masked.good).sum() == 40 == (~masked.good[1, 300:340]).sum()
    assert "40 in 1 of 4 bins, at 5125.0-5173.8 A" in notes[0]
    motion = make_kinematics(np.zeros(4), np.full(4, 50.0), np.ones(4, dtype=bool))
    assert check_given_kinematics(masked, basis(), load_bundle("wide").instrument.grid, Z, motion) is not None


def test_errors_of_all_sizes_are_believed() -> None:
    """A night sky of a hundred times the noise between its lines, and a spectrum of which most is nearly lost."""
    spectra = make_spectra()
    spectra.variance[0, ::2] *= 1e4
    spectra.variance[1, :1300] *= 1e6
    spectra.good[2] = False
    spectra.variance[3] *= np.geomspace(1, 30, WAVE.size) ** 2
    assert mask_tiny_errors(spectra) == (spectra, ())
    measured = replace(make_spectra(), from_variance=False)  # of the scatter, which a filled stretch has none of
    measured.variance[0, 300:340] = 1e-12
    assert mask_tiny_errors(measured) == (measured, ())


def test_emission_lines_of_the_galaxy_are_kept() -> None:
    """Lines as narrow as MUSE's, a hundred times the continuum."""
    spectra = make_spectra()
    for line in (4861.33, 5006.84, 6562.79):
        profile = np.exp(-0.5 * ((WAVE - line * (1 + Z)) / 1.1) ** 2)
        spectra.flux[...] += 100 * profile * np.median(spectra.flux, axis=1, keepdims=True)
    assert find_masked(spectra)[0].size == 0


@pytest.mark.parametrize("redshift", [0.0, Z, 0.03, 0.1])
def test_redshift_and_line_depth_of_templates(redshift: float) -> None:
    summed, _ = sum_all_bins(make_spectra(redshift=redshift))
    measured, error = estimate_redshift(summed, basis(), PATH)
    assert measured == pytest.approx(redshift, abs=5e-5)
    assert error < 1e-4
    depth = measure_line_depth(summed, basis(), measured)
    assert depth is not None
    assert 0.5 < depth[0] <= depth[1] < 2


@pytest.mark.parametrize(("young", "added", "told"), [(0.0, 0, False), (0.0, 5, True), (0.001, 5, True),
                                                     (0.06, 0, False), (1.0, 0, False)])  # fmt: skip
def test_shallow_lines_are_those_of_young_stars_where_gas_shines(young: float, added: float, told: bool) -> None:
    """Light without lines of ``added`` times the galaxy's is told; a share of mass below 14 Myr is not."""
    mass = np.zeros((1, 16))
    mass[0, [0, 8, 11, 14]] = [young, *((1 - young) * np.array([0.05, 0.15, 0.8]))]
    flux, _ = basis().reconstruct(mass, np.full((1, 16), -0.2), np.array([0.3]), np.zeros(1))
    flux = np.interp(WAVE / (1 + Z), basis().wave_aa, flux[0])[None] + added
    spectra = replace(make_spectra(1), flux=flux.astype(np.float32), variance=((flux / 100) ** 2).astype(np.float32))
    notes = check_against_templates(spectra, basis(), Z, np.zeros(1, np.float32), True, PATH)
    assert any("times as deep as" in note for note in notes) is told


@pytest.mark.parametrize(
    ("shift_kms", "given", "told"),
    [(0, True, False), (40, True, False), (150, True, True), (60, False, False), (150, False, True)],
)
def test_velocities_that_were_given_are_checked(shift_kms: float, given: bool, told: bool) -> None:
    spectra = make_spectra(redshift=(1 + Z) * np.exp(shift_kms / 299792.458) - 1)
    notes = check_against_templates(spectra, basis(), Z, np.zeros(4, np.float32), given, PATH)
    assert bool(notes) is told
    if told:
        assert f"+{shift_kms}" in notes[0].replace(f"+{shift_kms - 1}", f"+{shift_kms}")
    # The same velocities, given rightly, say nothing.
    right = np.full(4, shift_kms, np.float32)
    assert check_against_templates(spectra, basis(), Z, right, True, PATH) == ()


def make_disc() -> tuple[BinSpectra, np.ndarray]:
    """Twelve bins of a rotating disc, and their velocities; the templates have a dispersion of 150 km/s."""
    velocities = np.linspace(-120, 120, 12)
    parts = [make_spectra(1, (1 + Z) * np.exp(v / 299792.458) - 1, seed=k) for k, v in enumerate(velocities)]
    flux, variance = (np.concatenate([getattr(p, k) for p in parts]) for k in ("flux", "variance"))
    return replace(parts[0], flux=flux, variance=variance, good=np.ones(flux.shape, dtype=bool)), velocities


@pytest.mark.parametrize(
    ("factor", "sigma_kms", "words"),
    [
        (1.0, 150.0, []),
        (1.0, 120.0, []),
        (-1.0, 150.0, ["scatter by 1"]),
        (0.0, 150.0, ["scatter by 6"]),
        (1.0, 2.8, ["2.8 km/s", "Angstrom"]),
        (1.0, 353.0, ["353 km/s", "FWHM"]),
    ],
)
def test_maps_of_kinematics_are_checked_bin_by_bin(factor: float, sigma_kms: float, words: list[str]) -> None:
    """Mirrored or constant velocities have the right mean; widths in Angstrom and FWHM are numbers like any others."""
    spectra, velocities = make_disc()
    given = make_kinematics(factor * velocities, np.full(12, sigma_kms), np.ones(12, dtype=bool))
    notes = check_given_kinematics(spectra, basis(), load_bundle("wide").instrument.grid, Z, given)
    assert len(notes) == bool(words)
    for word in words:
        assert word in notes[0]
    assert check_given_kinematics(spectra, None, load_bundle("wide").instrument.grid, Z, given) == ()


@pytest.mark.parametrize(
    ("factor", "sigma_kms", "words"),
    [(1.0, 150.0, []), (-1.0, 150.0, ["groups of the 240 bins"]), (1.0, 353.0, ["353 km/s", "FWHM"])],
)
def test_bins_too_faint_to_tell_alone_are_checked_in_groups(factor: float, sigma_kms: float, words: list[str]) -> None:
    """Single spaxels of a MAPS file, S/N 7 each: 240 of a disc that turns by 240 km/s."""
    spectra, velocities = make_disc()
    rng = np.random.default_rng(5)
    flux, variance = (np.repeat(a, 20, axis=0) for a in (spectra.flux, spectra.variance))
    noise = np.median(flux, axis=1, keepdims=True) / 7
    flux = flux + noise * rng.normal(size=flux.shape)
    faint = replace(
        spectra,
        flux=flux.astype(np.float32),
        variance=(variance + noise**2).astype(np.float32),
        good=np.ones(flux.shape, dtype=bool),
    )
    given = make_kinematics(factor * np.repeat(velocities, 20), np.full(240, sigma_kms), np.ones(240, dtype=bool))
    notes = check_given_kinematics(faint, basis(), load_bundle("wide").instrument.grid, Z, given)
    assert len(notes) == bool(words)
    for word in words:
        assert word in notes[0]


@pytest.mark.parametrize(("shift_kms", "told"), [(150, False), (-400, True)])
def test_a_redshift_that_only_the_fit_makes_good_is_told(shift_kms: float, told: bool) -> None:
    spectra = make_spectra(redshift=(1 + Z) * np.exp(shift_kms / 299792.458) - 1)
    notes = check_against_templates(spectra, basis(), Z, np.full(4, shift_kms, np.float32), False, PATH)
    assert bool(notes) is told
    if told:
        told_redshift = float(re.search(r"spectra is (\S+):", notes[0])[1])  # type: ignore[index]
        assert told_redshift == pytest.approx((1 + Z) * np.exp(shift_kms / 299792.458) - 1, abs=5e-5)


def test_another_redshift_is_told_with_both_numbers() -> None:
    (note,) = check_against_templates(make_spectra(redshift=0.05), basis(), Z, np.zeros(4, np.float32), False, PATH)
    assert "0.00250" in note
    assert "0.05" in note


@pytest.mark.parametrize(("sky", "word"), [(20.0, "light without lines"), (-0.8, "too much sky")])
def test_sky_that_was_not_or_too_much_subtracted(sky: float, word: str) -> None:
    spectra = make_spectra(snr=300.0)
    level = np.median(spectra.flux, axis=1, keepdims=True)
    spectra = replace(spectra, flux=(spectra.flux + sky * level).astype(np.float32))
    notes = check_against_templates(spectra, basis(), Z, np.zeros(4, np.float32), False, PATH)
    assert any(word in note for note in notes)


def test_the_sum_makes_good_for_missing_bins() -> None:
    spectra = make_spectra(snr=1e4)
    spectra.good[0, 500:600] = False
    summed, light = sum_all_bins(spectra)
    whole, _ = sum_all_bins(make_spectra(snr=1e4))
    assert light.argmax() == 0
    assert summed.flux[0, 500:600] == pytest.approx(whole.flux[0, 500:600], rel=0.06)


@pytest.mark.parametrize(("factor", "told"), [(1.0, False), (0.01, True), (100.0, True), (4.0, False)])
def test_errors_are_set_against_the_scatter(factor: float, told: bool) -> None:
    spectra = make_spectra(snr=30.0)
    notes = check_errors(replace(spectra, variance=spectra.variance * np.float32(factor)))
    assert bool(notes) is told


def test_sources_of_redshift_that_disagree() -> None:
    assert compare_redshifts({"MAPS": 0.0025, "the header": None}) == ()
    assert compare_redshifts({"MAPS": 0.0025, "the header": 0.003}) == ()
    (note,) = compare_redshifts({"MAPS": 0.0025, "the header": 0.03})
    assert "0.00250 of MAPS" in note
    assert "0.03000" in note


def test_errors_of_another_unit_are_told_with_a_number() -> None:
    spectra = make_spectra()
    (note,) = check_errors(replace(spectra, variance=np.full_like(spectra.variance, 1e-36)))
    assert re.search(r"scatter [\d.]+e\+\d+ times", note)
