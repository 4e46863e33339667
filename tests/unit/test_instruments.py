"""Instruments: their files, what a run and a result make of them, and that nobody else holds a grid or a band list."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from muse_hst import MUSE_HST, WAVE_AA
from prep_toys import toy_spectrum, toy_wcs
from synthetic_bins import bins_of
from toy_universe import make_toy_data, write_toy_bundle

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import (
    FILTER_CAMERAS,
    instrument_from_json,
    list_instruments,
    load_instrument,
    make_band_filters,
)
from napari_sfh.instruments.instrument import Band, Instrument
from napari_sfh.instruments.line_spread import LineSpread
from napari_sfh.io.results import read_result, write_result
from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.inference import predict_histories, reconstruct_observations
from napari_sfh.model.targets import HistoryTargets, make_targets
from napari_sfh.physics.filters import compute_photometry_scale, measure_photometry_snr
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.prep.observation import MAX_EXCESS_KMS, describe_excess
from napari_sfh.prep.rest_frame import shift_to_rest_frame
from napari_sfh.prep.spectra import BinSpectra
from napari_sfh.training.fitting.recipe import TargetSettings
from napari_sfh.training.libraries.filter_curves import CAMERAS
from napari_sfh.types import Observation, Result

SOURCE = Path(__file__).parents[2] / "src" / "napari_sfh"
GOLDEN = Path(__file__).parents[1] / "toys" / "golden_bins.npz"

GOOD = """
name = "mine"
[spectrum]
first_aa = 4500.0
last_aa = 6500.0
step_aa = 2.0
norm_window_aa = [5300.0, 5500.0]
[spectrum.lsf]
kind = "constant_r"
r = 2000
[[band]]
name = "N1"
centre_aa = 5000
fwhm_aa = 145
edge_aa = 25
"""


def load(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_instrument(path)


def test_a_file_may_state_only_what_differs_from_another(tmp_path):
    deeper = load(tmp_path, 'base = "jpas"\nname = "deeper"\n[redshift]\nmax = 1.5\n')
    assert deeper.bands == load_instrument("jpas").bands
    assert (deeper.name, deeper.redshift_max) == ("deeper", 1.5)
    with pytest.raises(SfhInputError, match="base = 'none'; choose from muse-hst"):
        load(tmp_path, 'base = "none"\nname = "x"\n')
    with pytest.raises(SfhInputError, match="choose from muse-hst"):
        load(tmp_path, 'base = ["jpas"]\nname = "x"\n')


def test_a_section_may_state_only_what_differs_from_another(tmp_path):
    whole = load_instrument("optical").grid
    short = load(tmp_path, 'base = "optical"\nname = "short"\n[spectrum]\nlast_aa = 5602.6\n').grid
    assert (short.last_aa, short.first_aa, short.step_aa) == (5602.6, whole.first_aa, whole.step_aa)
    assert (short.sigma_kms, short.lsf, short.norm_window_aa) == (300.0, whole.lsf, whole.norm_window_aa)
    head = 'base = "optical"\nname = "mine"\n[spectrum]\nlog_step = 1e-4\n'
    logarithmic = load(tmp_path, head + '[spectrum.lsf]\nkind = "constant_r"\nr = 2000\n').grid
    assert (logarithmic.log_step, logarithmic.step_aa, logarithmic.sigma_kms) == (1e-4, 0.0, 300.0)
    assert logarithmic.lsf.fwhm_aa(np.array([5000.0])) == pytest.approx(2.5)


@pytest.mark.parametrize("name", list_instruments())
def test_shipped_instruments_come_back_from_json(name):
    instrument = load_instrument(name)
    assert instrument.name == name
    again = instrument_from_json(instrument.to_json())
    assert again == instrument
    assert again.sha256 == instrument.sha256
    assert instrument.describe()[0].startswith(name)


def test_grids_step_as_they_say():
    muse, manga = load_instrument("muse-hst"), load_instrument("manga-log")
    np.testing.assert_array_equal(muse.wave_aa, 4800 + 1.25 * np.arange(1761))
    steps = np.diff(np.log(manga.wave_aa))
    assert np.ptp(steps) < 1e-4 * steps[0]
    assert muse.grid.lsf.fwhm_aa(5000.0) == pytest.approx(5.866e-8 * 5000**2 - 9.187e-4 * 5000 + 6.040)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("step_aa = 2.0", "", "give one of step_aa .* and log_step"),
        ("step_aa = 2.0", "step_aa = 2.0\nlog_step = 1e-4", "give one of step_aa .* and log_step"),
        ("last_aa = 6500.0", "last_aa = 4400.0", "first_aa = 4500.0 must lie below last_aa"),
        ("[5300.0, 5500.0]", "[5300.0, 7500.0]", "must lie inside the grid"),
        ("[5300.0, 5500.0]", "[5500.0]", "norm_window_aa"),
        ('kind = "constant_r"', 'kind = "gauss"', "kind.*constant_r"),
        ("r = 2000", "", "r is missing"),
        ("r = 2000", "r = -1", "must be a number above 0"),
        ("fwhm_aa = 145", "", "centre_aa and fwhm_aa"),
        ("edge_aa = 25", "edge_aa = 300", "must lie in 0-fwhm_aa"),
        ("edge_aa = 25", "edge = 25", "unknown key .*edge"),
        ("[[band]]", '[[band]]\nname = "N1"\ncurve = "r SDSS"\n[[band]]', "'N1' is there twice"),
        ('name = "mine"', 'name = "mine"\n[photometry]\nnorm = "N9"', "'N9' is no band"),
        ('name = "mine"', 'name = "my own"', "letters, digits"),
        ('name = "mine"', "", "name.* is missing"),
        ('name = "mine"', 'name = "muse-hst"', "shipped muse-hst.toml, which differs"),
        (
            GOOD[GOOD.index("first_aa") : GOOD.index("[spectrum.lsf]")],
            "first_aa = 450.0\nlast_aa = 650.0\nstep_aa = 0.2\nnorm_window_aa = [530.0, 550.0]\n",
            "nm or micrometres",
        ),
        ("centre_aa = 5000\nfwhm_aa = 145\nedge_aa = 25", "centre_aa = 0.5\nfwhm_aa = 0.1", "nm or micrometres"),
        ("fwhm_aa = 145", "fwhm_aa = 9000", "begins at 487.5"),
        ("centre_aa = 5000\nfwhm_aa = 145\nedge_aa = 25", 'curve = "."', "there is no file"),
        ("centre_aa = 5000\nfwhm_aa = 145\nedge_aa = 25", 'curve = "r_SDSS"', "no known filter.*SDSS"),
        ("centre_aa = 5000\nfwhm_aa = 145\nedge_aa = 25", 'curve = "r MEGACAM"', "no file beside it.*camera of UVIS"),
        ("centre_aa = 5000\nfwhm_aa = 145\nedge_aa = 25", 'curve = "r SDSS"\npivot_aa = 620.0', "pivot_aa = 620 Ang"),
        ("edge_aa = 25", 'edge_aa = 25\nsubstitute = "F555W"', "substitute = 'F555W' is no file"),
        ("r = 2000", "r = 5", "resolving power of 5 "),
        ("r = 2000", "r = 2.5e7", r"resolving power of 2.5e\+07 "),
        (
            '"constant_r"\nr = 2000',
            '"table"\ntable = [[5000.0, 2.5], [5500.0, 2.4]]',
            "table holds 5000-5500 A, the grid",
        ),
        ("[[band]]", "[band]", r"\[\[band\]\], in two brackets"),
        ("[5300.0, 5500.0]", "5400.0", r"norm_window_aa = 5400.0 is no list"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path, old, new, words):
    with pytest.raises(SfhInputError, match=words) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert "mine.toml" in str(caught.value)


def test_cameras_of_known_filters_are_those_of_the_training():
    assert FILTER_CAMERAS == tuple(CAMERAS)


def test_weights_that_were_trained_on_a_slip_still_open():
    """What is refused in a file is not refused in what a bundle or a result carries."""
    values = load_instrument("muse-hst").to_json()
    values["spectrum"]["lsf"] = {"kind": "table", "table": [[5000.0, 2.5], [5500.0, 2.4]]}
    assert instrument_from_json(values).grid.lsf.kind == "table"


def test_a_curve_without_area_is_named(tmp_path):
    (tmp_path / "dark.csv").write_text("4900,0\n5000,0\n5100,0\n")
    text = GOOD.replace("centre_aa = 5000\nfwhm_aa = 145\nedge_aa = 25", 'curve = "dark.csv"')
    with pytest.raises(SfhInputError, match=r"dark.csv: .*zero everywhere"):
        make_band_filters(load(tmp_path, text))


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("history", {"names": ("ebv",)}, "leave names out"),
        ("history", {"limits": {"ebv": [0, 1]}}, "takes no transforms, limits or units"),
        ("scalars", {}, "no name is given"),
        ("scalars", {"names": ("ebv", "ebv")}, "'ebv' is there twice"),
        ("scalars", {"names": ("ebv",), "limits": {"t50": [0, 14]}}, "'t50' has a transform, limits or a unit"),
        ("scalars", {"names": ("ebv",), "limits": {"ebv": [1, 0]}}, "must lie below hi"),
        ("scalars", {"names": ("t50",), "transforms": {"t50": "log10"}, "limits": {"t50": [-1, 14]}}, "lo above 0"),
        ("scalars", {"names": ("age",)}, "'age' is unknown; choose from"),
        ("scalars", {"names": ("age",), "limits": {"age": "all"}}, r"limits of 'age' must be \[lo, hi\]"),
    ],
)
def test_targets_that_contradict_are_refused(kind, settings, words):
    with pytest.raises(SfhInputError, match=words):
        TargetSettings(kind, **settings).make()


def test_age_bins_that_overlap_are_refused():
    with pytest.raises(SfhInputError, match="age_edges_gyr must rise"):
        HistoryTargets(age_edges_gyr=(0.0, 1.0, 0.5, 13.0))


def test_known_filters_of_ones_own_are_drawn_at_their_pivots(tmp_path):
    """A file need not say where a known filter lies: trained weights do."""
    text = GOOD.replace("centre_aa = 5000\nfwhm_aa = 145\nedge_aa = 25", 'curve = "r SDSS"')
    instrument = load(tmp_path, text)
    assert np.isnan(instrument.pivot_aa).all()
    bundle = load_bundle(write_toy_bundle(tmp_path / "b.safetensors", 0, instrument))
    assert bundle.instrument.pivot_aa == pytest.approx([band.pivot_aa for band in bundle.filters], abs=0.1)
    assert bundle.instrument.sha256 == instrument.sha256


def test_an_instrument_needs_a_spectrum_or_bands(tmp_path):
    with pytest.raises(SfhInputError, match="neither"):
        load(tmp_path, 'name = "mine"')
    with pytest.raises(SfhInputError, match="neither a file nor one of muse-hst"):
        load_instrument("hubble")


def test_tables_are_read_beside_the_file_and_written_out(tmp_path):
    (tmp_path / "lsf.txt").write_text("# wave fwhm\n4000 5.0\n7000 6.0\n")
    (tmp_path / "band.csv").write_text("4900,0\n5000,1\n5100,0\n")
    text = GOOD.replace('kind = "constant_r"\nr = 2000', 'kind = "table"\nfile = "lsf.txt"')
    text = text.replace("centre_aa = 5000\nfwhm_aa = 145\nedge_aa = 25", 'curve = "band.csv"')
    instrument = load(tmp_path, text)
    assert instrument.grid.lsf.fwhm_aa(5500.0) == pytest.approx(5.5)
    (tmp_path / "lsf.txt").unlink()
    (tmp_path / "band.csv").unlink()
    again = instrument_from_json(instrument.to_json())
    assert again == instrument
    assert again.pivot_aa[0] == pytest.approx(5000, abs=2)


def test_scale_of_bands_without_a_spectrum():
    phot = np.array([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [1.0, 2.0, 4.0]])
    mask = np.array([[True, True, True], [True, False, True], [False, False, False]])
    names = ("a", "b", "c")
    np.testing.assert_allclose(compute_photometry_scale(phot, mask, "median", names), [2.0, 2.5, np.nan])
    np.testing.assert_allclose(compute_photometry_scale(phot, mask, "b", names), [2.0, 2.5, np.nan])
    np.testing.assert_allclose(measure_photometry_snr(phot, 0.1 * phot, mask), [10.0, 10.0, 0.0])


@pytest.mark.parametrize("fwhm_aa", [1.0, 2.7, 6.0])
def test_data_of_any_resolution_arrive_at_the_instruments(fwhm_aa):
    """Lines of known width, seen through another line-spread function, end as the instrument would see them."""
    wave, line, sigma_kms = np.arange(4700.0, 7100.0, 0.9), 5600.0, 60.0
    width = np.hypot(fwhm_aa / 2.3548, line * sigma_kms / C_KMS)
    flux = (1 - 0.5 * np.exp(-0.5 * ((wave - line) / width) ** 2)).astype(np.float32)[None]
    lsf = LineSpread("constant_fwhm_aa", fwhm_aa)
    spectra = BinSpectra(wave, flux, np.full_like(flux, 1e-4), np.ones(flux.shape, bool), 1e-20, True, lsf)
    rest = shift_to_rest_frame(spectra, MUSE_HST.grid, 0.0, 0.0, sigma_kms)
    depth = 1 - rest.flux[0]
    near = np.abs(WAVE_AA - line) < 40
    measured = np.sqrt((depth[near] * (WAVE_AA[near] - line) ** 2).sum() / depth[near].sum())
    wanted = np.hypot(float(MUSE_HST.grid.lsf.fwhm_aa(line)) / 2.3548, line * 150.0 / C_KMS)
    assert measured == pytest.approx(wanted, rel=2e-3)
    assert rest.excess_kms[0] == 0.0
    assert describe_excess(rest, MUSE_HST) == ()


def test_data_too_broad_are_told_with_by_how_much():
    flux = toy_spectrum(WAVE_AA).astype(np.float32)[None]
    lsf = LineSpread("constant_fwhm_aa", 9.0)
    spectra = BinSpectra(WAVE_AA, flux, np.full_like(flux, 1e-4), np.ones(flux.shape, bool), 1e-20, True, lsf)
    rest = shift_to_rest_frame(spectra, MUSE_HST.grid, 0.0, 0.0, 100.0)
    at = WAVE_AA[WAVE_AA.size // 2]
    lsf_kms = np.sqrt(9.0**2 - float(MUSE_HST.grid.lsf.fwhm_aa(at)) ** 2) / 2.3548 / at * C_KMS
    expected = np.sqrt(lsf_kms**2 + 100.0**2 - 150.0**2)
    assert rest.excess_kms[0] == pytest.approx(expected, rel=0.03)
    assert rest.excess_kms[0] > MAX_EXCESS_KMS
    (note,) = describe_excess(rest, MUSE_HST)
    assert "[M/H] come out too low" in note  # what it does, and what to do
    assert "pPXF" in note
    assert f"{rest.excess_kms[0]:.0f} km/s in quadrature" in note


NARROW = Instrument(
    "narrow", bands=tuple(Band(f"N{k}", centre_aa=4000.0 + 400 * k, fwhm_aa=300.0) for k in range(6)),
    photometry_norm="median",
)  # fmt: skip
SPECTRA = replace(MUSE_HST, name="spectra", bands=())
CASES = [(NARROW, "history"), (NARROW, "scalars"), (SPECTRA, "history"), (SPECTRA, "scalars"), (MUSE_HST, "scalars")]


@pytest.mark.parametrize(("instrument", "kind"), CASES, ids=lambda x: getattr(x, "name", x))
def test_any_half_and_any_target_end_in_a_result_file(tmp_path, instrument, kind):
    """What a bundle does not predict is absent from its results, and they come back as they were."""
    targets = make_targets(kind, ("lg_age_lw", "mh_lw", "t50", "t90") if kind == "scalars" else ())
    path = write_toy_bundle(tmp_path / "toy.safetensors", 1, instrument=instrument, targets=targets)
    bundle = load_bundle(path)
    data = make_toy_data(4, seed=3, instrument=instrument)[0]
    data = replace(data, norm_cgs=np.full(4, 1e-17))
    prediction = predict_histories(data, bundle, "cpu", draws=50)
    assert set(prediction.scalars) == set(targets.scalars)
    flux, phot = reconstruct_observations(data, prediction, bundle)
    assert (flux is None) == (kind == "scalars")
    result = Result(
        bins=bins_of([[1, 2], [3, 4]]), data=data, prediction=prediction, model_flux=flux, model_phot=phot,
        chi2=np.ones(4, np.float32) if kind == "history" and instrument.n_wave else None, flag=data.flag,
        white=np.ones((2, 2), np.float32), wcs=toy_wcs(2, 2, 0.2), name="toy", redshift=0.0, model_name="toy",
        model_sha256=bundle.sha256, settings={},
    )  # fmt: skip
    again = read_result(write_result(result, tmp_path / "r.fits"))
    assert again.instrument == instrument
    assert set(again.prediction.quantiles) == set(prediction.quantiles)
    for name, values in prediction.quantiles.items():
        np.testing.assert_array_equal(again.prediction.quantiles[name], values)
    np.testing.assert_array_equal(again.data.phot, data.phot)
    np.testing.assert_array_equal(again.data.mask, data.mask)
    assert (again.model_flux is None) == (flux is None)
    assert again.prediction.has_histories == (kind == "history")
    if kind == "scalars":
        with pytest.raises(SfhInputError, match="no star-formation histories"):
            again.prediction.history("mass_frac")


@pytest.mark.parametrize("name", ["wide", "phangs"])
def test_shipped_weights_say_of_six_bins_what_they_said_before(name):
    """Bins of the demo: `phangs` as the first release read them, `wide` as its present weights did at first."""
    kept = np.load(GOLDEN)
    bundle = load_bundle(name)
    mask = np.isfinite(kept["flux"])
    arrays = {k: kept[k] for k in ("error", "phot", "phot_error", "phot_mask", "norm_cgs", "snr", "v_kms", "flag")}
    data = Observation(
        flux=np.where(mask, kept["flux"], 0).astype(np.float32),
        mask=mask,
        sigma_kms=kept["sigma_kms"],
        instrument=bundle.instrument,
        **arrays,
    )
    prediction = predict_histories(data, bundle, "cpu", draws=400)
    for key in ("lg_age_lw", "lg_age_mw", "mh_lw", "mh_mw", "ebv", "mass_frac"):
        np.testing.assert_allclose(prediction.quantiles[key], kept[f"{name}_{key}"], atol=1e-5, err_msg=key)
    np.testing.assert_allclose(prediction.ood, kept[f"{name}_ood"], rtol=1e-4)
    model, _ = reconstruct_observations(data, prediction, bundle)
    np.testing.assert_allclose(model[:, ::20], kept[f"{name}_model"], atol=1e-5)


def test_no_module_but_the_instruments_holds_a_grid_a_band_list_or_an_lsf():
    gone = {"WAVE_AA", "N_WAVE", "NORM_PIXELS", "NORM_WINDOW_AA", "STEP_AA", "SIGMA_TARGET_KMS", "BANDS"}
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        if path.parent.name == "instruments":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Name | ast.Attribute):
                name = node.id if isinstance(node, ast.Name) else node.attr
                found += [(path.name, name)] if name in gone else []
            if isinstance(node, ast.Constant) and node.value in (1761, 1760, 5.866e-8):
                found.append((path.name, node.value))
            if isinstance(node, ast.Tuple | ast.List):
                words = [e.value for e in node.elts if isinstance(e, ast.Constant)]
                bands = [w for w in words if isinstance(w, str) and re.fullmatch(r"F\d{3}[WMN]", w)]
                found += [(path.name, tuple(bands))] if len(bands) > 2 else []
    assert found == []
