"""The configuration of a run and the options that make it."""

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sfh.cli import build_command_parser
from napari_sfh.config import OPTIONS, SETTINGS, RunConfig, name_settings, parse_kinematics
from napari_sfh.decisions import configure_run, describe_bin_source
from napari_sfh.demo import EBV_MW, find_demo_folder, make_demo_config
from napari_sfh.errors import SfhInputError


def value_of(name):
    setting = SETTINGS[name]
    if setting.kind is bool:
        return st.booleans()
    if setting.kind is int:
        return st.integers(int(setting.low), int(setting.high))
    if setting.kind is float:
        numbers = st.floats(setting.low, setting.high)
        return numbers if setting.default is not None else st.none() | numbers
    if name == "kinematics":
        v, sigma = st.floats(-1000, 1000), st.floats(1, 500)
        return st.sampled_from(["auto", "ppxf"]) | st.tuples(v, sigma).map(lambda both: f"{both[0]},{both[1]}")
    if setting.choices:
        return st.sampled_from([choice for choice in setting.choices if choice != "maps"])
    return st.sampled_from(["default", "wide", "mine.safetensors"])


@settings(deadline=None, max_examples=40)
@given(st.fixed_dictionaries({name: value_of(name) for name, s in SETTINGS.items() if not s.is_file}))
def test_options_make_the_configuration_that_they_name(values):
    config = RunConfig(cube=Path("c.fits"), **values)
    arguments = ["run", "--output=o.fits", "--cube=c.fits"]
    for name, value in values.items():
        if SETTINGS[name].kind is bool:
            arguments += [OPTIONS[name]] if value else []
        elif value is not None:
            arguments.append(f"{OPTIONS[name]}={value!r}" if isinstance(value, float) else f"{OPTIONS[name]}={value}")
    parsed = vars(build_command_parser().parse_args(arguments))
    assert RunConfig(**{name: parsed[name] for name in values}, cube=parsed["cube"]) == config
    assert {name: config.settings()[name] for name in values} == values


@pytest.mark.parametrize("text", ["0", "a,b", "0,0.5", "0,501", "1001,70", "0,nan", "1,2,3"])
def test_constant_kinematics_out_of_range_are_refused(text):
    with pytest.raises(SfhInputError, match="kinematics"):
        parse_kinematics(text)
    with pytest.raises(SfhInputError, match="kinematics"):
        RunConfig(cube=Path("c"), kinematics=text)


def test_maps_must_be_given_where_they_are_asked_for():
    for setting in ("binning", "kinematics"):
        with pytest.raises(SfhInputError, match="`maps`"):
            RunConfig(cube=Path("c"), **{setting: "maps"})
        RunConfig(cube=Path("c"), maps=Path("m"), **{setting: "maps"})


def test_each_front_end_names_a_setting_in_its_words():
    sentence = "no `psf_fwhm_arcsec`, check `flux` and --ebv-mw in --output"
    assert name_settings(sentence, OPTIONS) == "no --psf-fwhm, check flux and --ebv-mw in --output"
    assert name_settings(sentence, {"ebv_mw": "E(B-V)"}) == "no psf_fwhm_arcsec, check flux and E(B-V) in --output"


def test_bins_are_named_by_what_makes_them(tmp_path):
    config = RunConfig(cube=tmp_path / "cube.fits", maps=tmp_path / "N_MAPS.fits", target_snr=40)
    assert describe_bin_source(config) == "bins of N_MAPS.fits"
    assert describe_bin_source(replace(config, binning="vorbin")) == "binning to S/N 40"
    assert describe_bin_source(replace(config, binning=str(tmp_path / "own.fits"))) == "bins of own.fits"


def test_commands_have_the_defaults_of_what_they_call():
    from napari_sfh.analysis.refinement.refining import RefinementSettings
    from napari_sfh.estimate import EstimateConfig

    parser = build_command_parser()
    options = parser.parse_args(["estimate", "rows.fits", "--output", "out.fits"])
    config = EstimateConfig((Path("rows.fits"),), Path("out.fits"))
    names = options.option_names.keys() & {field.name for field in dataclasses.fields(config)} - {"columns"}
    assert {"model", "redshift", "ebv_mw", "calibration_error", "sigma_kms", "lsf", "medium", "device"} <= names
    assert {name: getattr(options, name) for name in names if hasattr(options, name)} == {
        name: getattr(config, name) for name in names if hasattr(options, name)
    }
    options, settings = parser.parse_args(["refine", "out.fits", "--bin", "1"]), RefinementSettings()
    assert (options.order, options.calibration) == (settings.order, settings.calibration)
    assert options.moves == settings.sampling.moves


def test_the_demo_runs_all_that_a_look_at_its_folder_finds():
    found = configure_run(find_demo_folder(), ebv_mw=EBV_MW, binning="vorbin")
    assert make_demo_config() == found
    assert list(make_demo_config().photometry) == list(found.photometry)


@pytest.mark.parametrize("value", [0.06 * u.mag, 0.06 * u.kpc, "0.06", True, [0.06], np.array([0.06])])
def test_numbers_of_other_types_are_told(value):
    with pytest.raises(SfhInputError, match=r"`ebv_mw` .*give a plain number"):
        RunConfig(cube=Path("c.fits"), ebv_mw=value)
    assert RunConfig(cube=Path("c.fits"), ebv_mw=np.float32(0.06)).ebv_mw == np.float32(0.06)
