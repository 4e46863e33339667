"""The forms, the parser, the preferences and a table of galaxies: all made from the same settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from magicgui.widgets.bases import RangedWidget

from napari_sfh._qt.forms.fields import fill_form
from napari_sfh._qt.forms.run_forms import BinningForm, DataForm, NetworkForm
from napari_sfh._qt.widgets.wording import name_form_labels
from napari_sfh.batch.galaxies_report import COLUMNS
from napari_sfh.cli import build_command_parser
from napari_sfh.config import OPTIONS, SETTINGS, RunConfig
from napari_sfh.errors import SfhInputError
from napari_sfh.prep.kinematics.stellar_kinematics import describe_ppxf_time


@pytest.fixture
def forms(qapp: Any) -> tuple[DataForm, BinningForm, NetworkForm]:
    data = DataForm()
    data.cube.line_edit.value = "cube.fits"
    return data, BinningForm(), NetworkForm()


def values_of(forms: tuple[Any, ...]) -> dict[str, Any]:
    return {name: value for form in forms for name, value in form.values().items()}


def parse(*arguments: str) -> dict[str, Any]:
    return vars(build_command_parser().parse_args(["run", "--output", "o.fits", "--cube", "cube.fits", *arguments]))


def test_the_form_offers_every_option_with_its_default(forms: tuple[Any, ...]) -> None:
    offered, options = values_of(forms), parse()
    assert set(offered) == set(SETTINGS)
    assert set(SETTINGS) <= set(options)
    for name, setting in SETTINGS.items():
        if not setting.is_file:
            assert offered[name] == options[name] == setting.default, name
    assert RunConfig(**offered) == RunConfig(cube=Path("cube.fits"))


def controls_of(forms: tuple[Any, ...]) -> dict[str, Any]:
    data, binning, network = forms
    return {
        "redshift": data.redshift,
        "ebv_mw": data.ebv_mw,
        "psf_fwhm_arcsec": data.psf,
        "hst_psf_fwhm_arcsec": data.hst_psf,
        "target_snr": binning.target_snr,
        "draws": network.draws,
    }


def test_ranges_are_those_of_the_settings(forms: tuple[Any, ...]) -> None:
    controls = controls_of(forms)
    assert set(controls) == {name for name, setting in SETTINGS.items() if setting.low is not None}
    for name, control in controls.items():
        setting = SETTINGS[name]
        if isinstance(control, RangedWidget):
            assert (control.min, control.max) == (setting.low, setting.high)
            continue
        for edge in (setting.low, setting.high):
            control.value = str(edge)
            assert values_of(forms)[name] == edge
        control.value = str(setting.high * 1.01)
        with pytest.raises(SfhInputError, match=re.escape(control.label)):
            values_of(forms)
        control.value = ""


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.low is not None])
def test_a_value_out_of_range_is_refused_by_the_configuration(name: str) -> None:
    high = SETTINGS[name].high
    assert high is not None
    RunConfig(cube=Path("c"), **{name: type(high)(high)})
    for wrong in (high * 1.01, float("nan")):
        with pytest.raises(SfhInputError, match=f"`{name}`"):
            RunConfig(cube=Path("c"), **{name: wrong})


def test_choices_are_those_of_the_settings(forms: tuple[Any, ...]) -> None:
    _, binning, network = forms
    assert list(binning.method.choices) == [*SETTINGS["binning"].choices, "file"]
    assert list(binning.kinematics.choices) == [*SETTINGS["kinematics"].choices, "constant"]
    assert list(network.device.choices) == list(SETTINGS["device"].choices)
    with pytest.raises(SystemExit):
        parse("--device", "tpu")
    with pytest.raises(SfhInputError, match="device"):
        RunConfig(cube=Path("c"), device="tpu")


def test_constants_of_the_form_are_read_as_those_of_the_command_line(forms: tuple[Any, ...]) -> None:
    forms[1].kinematics.value = "constant"
    from_command_line = RunConfig(cube=Path("cube.fits"), kinematics="0,70")
    assert RunConfig(**values_of(forms)) == from_command_line
    forms[1].constants.value = "fast"
    with pytest.raises(SfhInputError, match="fast"):
        values_of(forms)


def test_preferences_and_table_have_the_settings_ranges() -> None:
    manifest = yaml.safe_load((Path(__file__).parents[2] / "napari.yaml").read_text(encoding="utf-8"))
    (run,) = (
        manifest["contributions"]["configurations"]
        if isinstance(manifest["contributions"]["configurations"], list)
        else [manifest["contributions"]["configurations"]["run"]]
    )
    for name, kept in run["properties"].items():
        setting = SETTINGS[name]
        assert kept["default"] == setting.default
        if setting.low is not None:
            assert (kept["minimum"], kept["maximum"]) == (setting.low, setting.high)
        if "enum" in kept:
            assert set(kept["enum"]) <= set(setting.choices)
    assert set(COLUMNS) <= set(SETTINGS)


def test_the_window_names_no_option() -> None:
    sentences = ["give `redshift` or --psf-fwhm", describe_ppxf_time(16_700), *(f"check `{name}`" for name in SETTINGS)]
    for sentence in sentences:
        assert sentence is not None
        worded = name_form_labels(sentence)
        assert "`" not in worded
        assert not any(option in worded for option in OPTIONS.values())
    assert name_form_labels(sentences[0] or "") == "give “Redshift” or “PSF FWHM”"


def test_weights_of_bands_alone_ask_for_nothing_of_a_spectrum(qapp: Any) -> None:
    data, binning = DataForm(), BinningForm()
    binning.kinematics.value = "constant"
    for alone in (True, False):
        data.set_bands(("F275W", "F336W"), in_place_of_cube=alone)
        binning.set_spectrum(not alone)
        controls = (data.hst_psf, data.subtract_sky, data.align, binning.kinematics, binning.constants)
        assert {control.native.isHidden() for control in controls} == {alone}


def test_a_field_of_a_mosaic_shows_the_band_whoever_fills_it_in(qapp: Any, tmp_path: Path) -> None:
    form = DataForm()
    state = {"bands": {band: tmp_path / f"hlsp_long_name_{band.lower()}_v1_exp-drc-sci.fits" for band in form.bands}}
    fill_form(form, state)
    for band, edit in form.bands.items():
        line = edit.line_edit.native
        assert line.text()[: line.cursorPosition()].lower().rstrip("_v").endswith(band.lower())
