"""What weights need is read from their header, without torch, and files are looked at for those weights."""

import json

import numpy as np
import pytest
from io_mocks import write_cube, write_mosaic
from toy_universe import write_toy_bundle

from napari_sfh.cli import main
from napari_sfh.config import RunConfig
from napari_sfh.decisions import configure_run
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import list_bundles, read_bundle_header
from napari_sfh.instruments.files import load_instrument
from napari_sfh.instruments.instrument import Band, Instrument
from napari_sfh.io.identify import find_galaxy_files
from napari_sfh.model.bundle import load_bundle
from napari_sfh.model.targets import make_targets
from napari_sfh.preflight.plan import examine_inputs
from napari_sfh.training.fitting.recipe import AugmentSettings, load_recipe
from napari_sfh.training.fitting.selection.coverage_rule import measure_min_coverage
from napari_sfh.training.prior.prior_config import Noise, load_prior

BANDS = tuple(Band(f"N{c}", centre_aa=c, fwhm_aa=150.0) for c in (5000, 6000))
NARROW = Instrument("two", bands=BANDS, photometry_norm="median")
CUBE = "NGC0628_PHANGS_DATACUBE_copt_0.92asec.fits"


@pytest.mark.parametrize("name", list_bundles())
def test_the_header_says_what_the_bundle_says(name):
    header, bundle = read_bundle_header(name), load_bundle(name)
    assert header.instrument == bundle.instrument
    assert header.min_coverage == bundle.min_coverage
    assert header.card == bundle.card
    assert header.predicts_histories == bool(bundle.targets.n_age)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Toys: bands without a spectrum, and MUSE with NIRCam."""
    folder = tmp_path_factory.mktemp("bundles")
    return {
        "narrow": write_toy_bundle(folder / "n.safetensors", 0, NARROW, make_targets("scalars", ["ebv"])),
        "jwst": write_toy_bundle(folder / "j.safetensors", 0, load_instrument("phangs-jwst")),
    }


def test_bands_without_a_spectrum_have_a_window_amid_them(bundles):
    header = read_bundle_header(bundles["narrow"])
    assert header.window_aa[0] < 5500 < header.window_aa[1]
    assert not header.predicts_histories


def test_a_folder_is_looked_at_for_the_weights_that_are_to_be_run(bundles, tmp_path, capsys):
    """The muse-hst weights know no F335M; those with NIRCam look for it."""
    write_cube(tmp_path / CUBE, primary={"REDSHIFT": 0.002})
    image = np.random.default_rng(1).normal(1, 0.1, (30, 30))
    for band in ("F555W", "F335M"):
        write_mosaic(tmp_path / f"x_uvis_{band.lower()}_exp_drc_sci.fits", image, FILTER=band)
    jwst = read_bundle_header(bundles["jwst"])
    assert list(find_galaxy_files(tmp_path).mosaics) == ["F555W"]
    assert list(find_galaxy_files(tmp_path, jwst).mosaics) == ["F555W", "F335M"]
    config = configure_run(tmp_path, model=str(bundles["jwst"]))
    assert list(config.photometry) == ["F555W", "F335M"]
    found = examine_inputs(config)
    assert [check.band for check in found.bands] == ["F555W", "F335M"]
    assert any("F200W" in problem for problem in found.problems)
    assert main(["info", str(tmp_path), "--model", str(bundles["jwst"]), "--quiet"]) == 0
    assert "F335M" in capsys.readouterr().out


def test_weights_for_bands_alone_ask_for_no_images(bundles, tmp_path):
    cube = write_cube(tmp_path / CUBE, primary={"REDSHIFT": 0.002})
    found = examine_inputs(RunConfig(cube, model=str(bundles["narrow"])))
    assert not found.bands
    assert not any("no image" in problem for problem in found.problems)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a readable weights file"),
        (b"\xff" * 64, "a header of"),
        ((20).to_bytes(8, "little") + b"{" + b" " * 19, "not a readable weights file"),
        ((2).to_bytes(8, "little") + b"{}", "no napari-sfh weights"),
        ((30).to_bytes(8, "little") + b'{"__metadata__":{"a":"b"}}    ', "no napari-sfh weights"),
    ],
)
def test_what_is_no_bundle_is_refused_by_name(tmp_path, content, words):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(SfhInputError, match=rf"w\.safetensors.*{words}"):
        read_bundle_header(path)


def test_a_document_that_is_no_table_is_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    header = json.dumps({"__metadata__": {"napari_sfh": "[1, 2]"}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(SfhInputError, match="its document is no table"):
        read_bundle_header(path)


def test_data_must_cover_what_training_never_hid():
    muse = load_instrument()
    assert measure_min_coverage(AugmentSettings(), Noise(), muse) == 0.99
    often, rarely = (measure_min_coverage(AugmentSettings(mask_range=s), Noise(), muse) for s in (0.9, 0.05))
    # Ranges of 50-400 AA of 2200 are hidden.
    assert 1 - 400 / 2200 - 0.01 < often < rarely < 0.99
    assert measure_min_coverage(AugmentSettings(), Noise(), NARROW) == 0.0
    assert measure_min_coverage(AugmentSettings(mask_range=0.9), Noise(), load_instrument("optical")) > often


def test_a_recipe_that_hides_ranges_allows_for_them():
    recipe = load_recipe("wide")
    share = measure_min_coverage(recipe.augment, load_prior(recipe.prior).noise, recipe.load_instrument())
    assert 0.75 < share < 0.9
