"""The main job on the bundled mock galaxy: files in, result file out, and the truth found again."""

import importlib.util
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from napari_sfh import demo
from napari_sfh.analysis.comparison import map_comparison
from napari_sfh.cli import main
from napari_sfh.config import RunConfig
from napari_sfh.decisions import configure_run
from napari_sfh.errors import Cancelled, SfhInputError
from napari_sfh.io.identify import find_galaxy_files
from napari_sfh.io.results import read_result
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.pipeline import run_pipeline
from napari_sfh.preflight import plan as preflight
from napari_sfh.prep import binning
from napari_sfh.processes.calls import start_process
from napari_sfh.stages import ahead, inputs
from napari_sfh.stages.ahead import RunAhead, start_run
from napari_sfh.training.mock.archive_layouts import dress_mock_galaxy
from napari_sfh.types import Flag, Progress

#: Processor seconds of the run.
TOOK: dict[str, float] = {}
CONTRACT = Path(__file__).parents[3] / "shared" / "check_result.py"


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    start = time.process_time()
    assert main(["demo", "--headless", "--quiet", "--device", "cpu", "--output", str(folder)]) == 0
    TOOK["seconds"] = time.process_time() - start
    return folder


@pytest.fixture(scope="module")
def part(tmp_path_factory) -> Path:
    """A piece of the mock, with all its files."""
    folder = tmp_path_factory.mktemp("part")
    dress_mock_galaxy(demo.find_demo_folder(), folder, "copt", (slice(18, 30), slice(24, 36)))
    return folder


@pytest.fixture(scope="module")
def result(output):
    return read_result(output / "mock_spiral_sfh.fits")


def test_it_leaves_the_result_and_two_pictures(output):
    assert sorted(p.name for p in output.iterdir()) == [
        "mock_spiral_sfh.fits",
        "mock_spiral_sfh.png",
        "mock_spiral_truth.png",
    ]


def test_the_result_keeps_the_contract(output):
    if not CONTRACT.exists():
        pytest.skip("the contract's checker lies beside the checkout, not in it")
    spec = importlib.util.spec_from_file_location("check_result", CONTRACT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert list(module.problems(output / "mock_spiral_sfh.fits")) == []


def test_the_preflight_expects_this_run(result, capsys):
    """Its bins; the time is printed beside the expected one, not judged: it is a figure of the machine."""
    galaxy = find_galaxy_files(demo.find_demo_folder())
    plan = RunConfig(galaxy.cube, galaxy.mosaics, galaxy.maps, ebv_mw=demo.EBV_MW)
    found = preflight.examine_inputs(plan, galaxy.problems)
    assert found.problems == ()
    assert found.n_bins == pytest.approx(result.bins.n_bins, rel=0.1)
    assert [band.coverage for band in found.bands] == [1.0] * 5
    with capsys.disabled():
        expected, took = found.estimate.total_seconds, TOOK["seconds"]
        print(f"\ndemo: {took:.1f} s of processor time, expected {expected:.1f} s ({expected / took:.2f} of it)")  # noqa: T201


def test_maps_follow_the_truth(result):
    truth = map_comparison.bin_truth(demo.read_demo_truth(), result.bins)
    found = map_comparison.compare_with_truth(result, truth)
    assert found["lg_age_lw"].n > 0.9 * result.bins.n_bins
    for name, limit in (("lg_age_mw", 0.15), ("lg_age_lw", 0.15), ("mh_mw", 0.10), ("mh_lw", 0.10)):
        assert found[name].std < limit, (name, found[name])
        assert abs(found[name].bias) < limit, (name, found[name])
    # Not only near on average: the map's structure is the galaxy's.
    good = truth.star < map_comparison.MAX_STAR
    for name in ("lg_age_mw", "lg_age_lw"):
        r = np.corrcoef(result.prediction.median(name)[good], truth.means[name][good])[0, 1]
        assert r > 0.8, (name, r)


def test_true_values_lie_inside_the_intervals_as_often_as_they_say(result):
    truth = map_comparison.bin_truth(demo.read_demo_truth(), result.bins)
    good = truth.star < map_comparison.MAX_STAR
    for name, true in truth.means.items():
        q = result.prediction.quantiles[name][good]
        # One galaxy is no random draw of the prior: its bins share their faults, so the bounds are wide.
        inside = np.mean((q[:, 0] < true[good]) & (true[good] < q[:, 4]))
        assert inside > 0.6, (name, inside)


def test_the_warning_lights_up_on_the_foreground_star_and_hardly_elsewhere(result):
    truth = map_comparison.bin_truth(demo.read_demo_truth(), result.bins)
    brightest = np.argmax(truth.star)
    assert result.flag[brightest] & Flag.OUT_OF_DEPTH
    on, off = map_comparison.measure_ood_warning_rates(result, truth)
    assert on > 0.5
    assert off < 0.02


def test_provenance_is_in_the_header(output, result):
    header = fits.getheader(output / "mock_spiral_sfh.fits")
    assert header["REDSHIFT"] == pytest.approx(0.0025, abs=1e-5)
    assert result.model_sha256
    assert result.settings["photometry_F275W"].startswith("hlsp_phangs-hst")
    assert result.settings["ebv_mw"] == 0.0


def test_a_redshift_that_no_file_tells_is_measured_from_the_brightest_spaxels(part):
    told = []
    known = inputs.open_inputs(configure_run(part, device="cpu"))
    truth = inputs.find_redshift(known)
    unknown = replace(known, maps=None, cube=replace(known.cube, redshift=None))
    found = inputs.find_redshift(unknown, told.append)
    spaxels = binning.measure_signal_noise(known.cube, 0.0, known.bundle.instrument.grid.norm_window_aa)
    bright = spaxels.good & (spaxels.signal >= np.nanpercentile(spaxels.signal[spaxels.good], 80))
    turning = np.average(known.maps.v_kms[bright], weights=spaxels.signal[bright])
    # Gas counts by its lines, not by its light: 19 km/s here, where the velocities lie between -56 and 29.
    assert found == pytest.approx(truth + (1 + truth) * turning / C_KMS, abs=25 / C_KMS)
    assert told[0].stage == "no redshift given: measuring it"
    assert told[-1].stage.startswith(f"redshift {found:.5f} +- ")


@pytest.fixture
def child():
    with start_process(["napari_sfh.stages.ahead"]) as python:
        yield python


def _assert_same_run(found, plain):
    for values in (
        lambda r: r.prediction.median("lg_age_lw"),
        lambda r: r.data.flux,
        lambda r: r.data.phot,
        lambda r: r.flag,
    ):
        np.testing.assert_array_equal(values(found), values(plain))
    assert found.settings == plain.settings


def test_a_run_of_which_a_process_made_a_part_is_the_same_and_so_is_one_whose_process_was_killed(part, child):
    config, told, alone = configure_run(part, ebv_mw=0.05, device="cpu", draws=50), [], []
    plain = run_pipeline(config)
    _assert_same_run(run_pipeline(config, told.append, ahead=RunAhead(child, config)), plain)
    assert child.process.poll() is None
    assert {"spectra", "photometry"} <= {step.stage for step in told}

    def kill(step):
        alone.append(step.stage)
        if "rest frame" in step.stage:
            child.process.kill()

    _assert_same_run(run_pipeline(config, kill, ahead=RunAhead(child, config)), plain)
    assert child.process.poll() is not None
    alone.clear()
    _assert_same_run(run_pipeline(config, lambda step: alone.append(step.stage), ahead=RunAhead(child, config)), plain)
    assert {"signal and noise", "spectra", "photometry"} <= set(alone)


def test_a_refusal_by_the_process_says_what_was_assumed_of_the_cube(part, child):
    config = replace(configure_run(part, device="cpu"), target_snr=1000.0, binning="vorbin")
    with pytest.raises(SfhInputError, match="target_snr") as here:
        run_pipeline(config)
    with pytest.raises(SfhInputError, match="target_snr") as there:
        run_pipeline(config, ahead=RunAhead(child, config))
    assert str(there.value) == str(here.value)
    assert getattr(there.value, "__notes__", []) == getattr(here.value, "__notes__", [])


def test_what_is_no_use_or_too_much_to_begin_elsewhere_is_left_to_the_run(part, monkeypatch, tmp_path):
    config = configure_run(part, device="cpu")
    for other in (replace(config, model="narrowband"), replace(config, cube=tmp_path / "none.fits")):
        assert start_run(other) is None
    packed = shutil.copy(config.cube, tmp_path / "cube.fits.gz")
    assert start_run(replace(config, cube=Path(packed))) is None
    monkeypatch.setattr(ahead, "MOST_BYTES", 1000)
    assert start_run(config) is None


@pytest.mark.parametrize("stage", ["opening the files", "signal and noise", "spectra", "photometry"])
def test_cancel_before_the_network_gives_nothing(part, stage):
    assert _cancel_at(part, stage).reached is None


def test_a_cancel_after_the_network_keeps_the_result(part):
    reached = _cancel_at(part, "emission lines").reached
    assert np.isfinite(reached.prediction.mass_frac).all()
    assert np.isfinite(reached.model_flux).all()


def test_gas_that_no_young_stars_light_is_flagged_and_told(part, result, tmp_path):
    """[N II] as strong as in a cooling flow, put into the mock's gas, which alone raises no flag."""
    assert not (result.flag & Flag.OTHER_GAS).any()
    assert "out of the network's depth" not in result.settings["notes"]
    folder = tmp_path / "galaxy"
    shutil.copytree(part, folder)
    with (
        fits.open(next(folder.glob("*DATACUBE*")), mode="update") as hdus,
        fits.open(next(folder.glob("*MAPS*"))) as maps,
    ):
        wcs, cube = WCS(hdus["DATA"].header), hdus["DATA"].data
        wave = 1e10 * wcs.spectral.pixel_to_world_values(np.arange(len(cube)))
        line = 6583.5 * (1 + result.redshift) * (1 + maps["V_STARS"].data / C_KMS)
        cube += 30 * np.median(cube, axis=0) * np.exp(-0.5 * ((wave[:, None, None] - line) / 1.5) ** 2)
    config = configure_run(folder, ebv_mw=0.0, device="cpu", draws=50)
    found = run_pipeline(config)
    n, flagged = found.bins.n_bins, int((found.flag & Flag.OTHER_GAS > 0).sum())
    assert flagged > 0.75 * n
    assert f"gas of {flagged} of {n} bins is not lit by young stars alone" in found.settings["notes"]
    assert any(note.endswith("give `mask_lines`") for note in found.settings["notes"].split(" | "))
    strange = int((found.flag & Flag.OUT_OF_DEPTH > 0).sum())
    assert (f"{strange} of {n} bins are out of the network's depth" in found.settings["notes"]) == (strange > 0.1 * n)
    hidden = run_pipeline(replace(config, mask_lines=True))
    assert not (hidden.flag & Flag.OTHER_GAS).any()


def _cancel_at(part: Path, stage: str) -> Cancelled:
    """What a run raises that is stopped as soon as a stage is told."""
    cancel = threading.Event()

    def tell(step: Progress) -> None:
        if step.stage == stage:
            cancel.set()

    with pytest.raises(Cancelled) as caught:
        run_pipeline(configure_run(part, ebv_mw=0.0, device="cpu", draws=50), tell, cancel)
    return caught.value
