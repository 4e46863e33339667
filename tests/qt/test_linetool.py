"""The tools 'Emission lines' and 'Notes of the run' on a viewer model: acts, layers, errors in words."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from napari.components import ViewerModel
from skimage.color import deltaE_ciede2000, rgb2lab
from smooth_result import make_result
from vispy.color import ColorArray

from napari_sfh._qt.canvas.layer_data import FLAG_COLORS, get_layer_link, make_map_layer
from napari_sfh._qt.canvas.legend_overlay import describe_layer
from napari_sfh._qt.canvas.result_layers import LayerStack
from napari_sfh._qt.jobs import tool_tasks
from napari_sfh._qt.jobs.line_tasks import make_line_layer
from napari_sfh._qt.session import Session
from napari_sfh._qt.tools.emission_lines import NO_LINES, LineTool
from napari_sfh._qt.tools.notes import NOTHING_ASSUMED, NotesTool
from napari_sfh._qt.widgets.theme import get_palette
from napari_sfh.analysis.drawing.bin_drawing import COLORS, choose_color
from napari_sfh.analysis.gas.line_maps import BPT_CLASSES, BPT_COLORS, LineFluxes
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.errors import ComputeError, SfhInputError


class Host:
    """A host that works at once and remembers what was said."""

    busy = False

    def __init__(self, result):
        self.viewer, self.session = ViewerModel(), Session()
        self.stack = LayerStack(self.viewer, self.session)
        self.session.set_result(result)
        self.data = SimpleNamespace(maps_path=None)
        self.said, self.docks = [], {}

    def in_turns(self, steps):
        for step in steps:
            step()

    def start(self, work, after, button=""):
        value = work(None, None)
        if value is not None:
            after(value)

    def attempt(self, act):
        try:
            act()
        except (SfhInputError, ComputeError) as error:
            self.show_message(str(error), error=True)
            return False
        return True

    def show_message(self, text, error=False):
        self.said.append(text)

    def show_dock(self, title, widget):
        self.docks[title] = widget

    def hide_dock(self, title):
        self.docks.pop(title, None)


@pytest.fixture
def maps_file(tmp_path, result):
    """A MAPS file on the result's grid: H II regions, an AGN in the middle, faint gas at the left edge."""
    ny, nx = result.bins.bin_id.shape
    header = result.wcs.to_header()
    one = np.ones((ny, nx), np.float32)
    values = {"HA6562": 300 * one, "HB4861": 90 * one, "OIII5006": 45 * one, "NII6583": 90 * one}
    values["OIII5006"][18:22, 18:22] = 900
    values["NII6583"][18:22, 18:22] = 300
    error = dict.fromkeys(values, 3 * one)
    error["OIII5006"][:, :12] = 30
    hdus = [fits.PrimaryHDU(), fits.ImageHDU((result.bins.bin_id - 1).astype(float), header, "BIN_ID")]
    hdus += [fits.ImageHDU(0 * one, header, name) for name in ("V_STARS", "SIGMA_STARS")]
    for name, flux in values.items():
        hdus += [fits.ImageHDU(flux, header, f"{name}_FLUX"), fits.ImageHDU(error[name], header, f"{name}_FLUX_ERR")]
    path = tmp_path / "X_MAPS.fits"
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.fixture
def tool(qapp, result):
    host = Host(result)
    tool = LineTool(host)
    tool.on_result(result)
    yield tool
    host.stack.release()


def layers(tool):
    return {get_layer_link(layer.metadata).name: layer for layer in tool.host.viewer.layers}


def test_lines_of_maps_become_layers_on_the_sky(tool, maps_file, result):
    tool.load(maps_file)
    assert tool.host.said[-1] == "Emission lines from X_MAPS.fits."
    (shown,) = layers(tool).values()
    assert shown.name.startswith("Hα [")
    np.testing.assert_allclose(shown.data, 300)
    assert str(shown.units[0]) == "arcsecond"
    tool.show("OH")
    found = layers(tool)
    assert [name for name, layer in found.items() if layer.visible] == ["OH"]
    oxygen = found["OH"].data
    assert np.isnan(oxygen[18:22, 18:22]).all()  # an AGN's gas
    assert np.isnan(oxygen[:, :12]).all()  # too faint
    assert np.isfinite(oxygen[30, 30])
    tool.show(NO_LINES)
    assert visible(tool) == ["AGE_LW"], "the map takes the line's place"


def test_fluxes_in_an_astronomers_unit_between_round_limits(result):
    flux = np.linspace(100.0, 67_000.0, result.bins.n_bins) * result.bins.nspax
    lines = LineFluxes({"HA6562": flux}, {"HA6562": 0.1 * flux}, "1e-20 erg/s/cm2", "spectra")
    image, attributes, _ = make_line_layer(result, lines, "HA6562", SkyGrid.of(result.wcs, (40, 40)), 3.0, False)
    assert attributes["name"] == "Hα [10⁻¹⁶ erg s⁻¹ cm⁻² per spaxel]"
    assert attributes["contrast_limits"] == (0.0, 8.0)
    assert image.dtype == np.float32
    assert np.nanmax(image) == pytest.approx(6.7, rel=1e-5)


def test_limits_kept_in_another_unit_are_left_alone(tool, maps_file):
    tool.load(maps_file)
    (layer,) = layers(tool).values()
    limits = list(layer.contrast_limits)
    tool.host.stack.set_looks({"lines HA6562": {"contrast_limits": [0.0, 7e4], "opacity": 0.5}})
    assert layer.opacity == 0.5
    assert list(layer.contrast_limits) == limits
    kept = {**tool.host.stack.looks()["lines HA6562"], "contrast_limits": [0.0, 5.0]}
    tool.host.stack.set_looks({"lines HA6562": kept})
    assert list(layer.contrast_limits) == [0.0, 5.0]


def test_the_line_that_is_shown_is_the_active_layer(tool, maps_file):
    tool.load(maps_file)
    tool.show("OH")
    assert tool.host.viewer.layers.selection.active is layers(tool)["OH"]


def test_the_cut_in_snr_is_the_forms(tool, maps_file):
    tool.load(maps_file)
    tool.show("OH")
    tool.form.min_snr.value = 1.0
    assert np.isfinite(layers(tool)["OH"].data[30, 5])


def test_no_oxygen_at_all_is_said(tool, maps_file):
    tool.load(maps_file)
    tool.lines.flux["NII6583"][:] = 160
    tool.show("OH")
    assert "tick composite gas" in tool.host.said[-1]
    tool.form.composite.value = True
    assert np.isfinite(layers(tool)["OH"].data[30, 30])


def test_map_and_line_take_turns(tool, maps_file, result):
    for name in ("AGE_LW", "AGE_MW"):
        tool.host.stack.put(make_map_layer(result, name, tool.host.session.sky))
    tool.host.stack.show("AGE_LW")
    tool.load(maps_file)
    assert visible(tool) == ["HA6562"]
    tool.show(NO_LINES)
    assert visible(tool) == ["AGE_LW"]
    tool.show("OH")
    tool.host.stack.show("AGE_MW")
    assert visible(tool) == ["AGE_MW"]
    assert tool.form.show.value == NO_LINES
    tool.show("BPT")
    tool.host.stack.put(make_map_layer(result, "SNR", tool.host.session.sky))
    tool.host.stack.show("SNR")
    assert visible(tool) == ["SNR"]
    layers(tool)["HA6562"].visible = True
    assert visible(tool) == ["HA6562"]
    assert tool.form.show.value == "HA6562", "the menu follows the eye in the list of layers"
    tool.host.viewer.layers.remove(layers(tool)["HA6562"])
    assert visible(tool) == ["SNR"], "the map comes back"
    assert tool.form.show.value == NO_LINES


def test_bpt_classes_have_names_and_colours_of_their_own(tool, maps_file):
    tool.load(maps_file)
    tool.show("BPT")
    layer = layers(tool)["BPT"]
    assert not tool.form.legend.native.isHidden()
    shown = {}
    low, high = layer.contrast_limits
    for place, (color, text) in enumerate(zip(BPT_COLORS, BPT_CLASSES[1:], strict=True), 1):
        rgba = layer.colormap.map(np.array([(place - low) / (high - low)]))[0]
        assert np.allclose(rgba, ColorArray(color).rgba[0], atol=1e-3), "the legend's colour is the map's"
        n = int((layer.data == place).sum())
        assert (f'color:{color}">■</span> {text}, spaxels: {n}' in tool.form.legend.value) == (n > 0)
        shown[color] = n
    assert sum(shown.values()) == np.isfinite(layer.data).sum()
    assert len(shown) == 3
    assert describe_layer(layer) == (layer.name, (), low, high), "no bar with numbers"
    bin_id = int(tool.host.session.result.bins.bin_id[20, 20])
    assert any(tool.describe(bin_id).endswith(f": {text}") for text in BPT_CLASSES[1:])
    tool.show(NO_LINES)
    assert tool.form.legend.native.isHidden()


def visible(tool):
    return [get_layer_link(layer.metadata).name for layer in tool.host.viewer.layers if layer.visible]


def test_plot_table_and_figure(tool, maps_file, tmp_path):
    tool.load(maps_file)
    tool.plot()
    assert list(tool.host.docks) == ["Gas and young stars"]
    for name in ("t.ecsv", "t.csv", "t.fits", "p.png"):
        (tool.save_table if name[0] == "t" else tool.save_figure)(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 100
        assert tool.host.said[-1] == f"Saved {tmp_path / name}."


def test_another_result_takes_the_lines_away(tool, maps_file):
    tool.load(maps_file)
    other = make_result(seed=5)
    tool.host.session.set_result(other)
    tool.on_result(other)
    assert layers(tool) == {}
    assert not tool.form.plot.enabled
    with pytest.raises(SfhInputError, match="no lines yet: press Lines of the MAPS file"):
        tool.plot()


def test_what_cannot_be_done_is_said(tool, maps_file, tmp_path):
    tool.form.from_maps.changed.emit(True)
    assert "No MAPS file is chosen under Data" in tool.host.said[-1]
    tool.load(maps_file)
    with pytest.raises(SfhInputError, match="line 'HEI' is not there: choose one of HA6562"):
        tool.show("HEI")
    assert not tool.host.attempt(lambda: tool.save_table(tmp_path / "no" / "t.ecsv"))
    assert "does not exist" in tool.host.said[-1]


def test_form_is_kept(tool):
    tool.form.min_snr.value = 5.0
    state = tool.state()
    tool.form.min_snr.value = 3.0
    tool.restore(state)
    assert tool.form.min_snr.value == 5.0
    tool.restore({})


def test_notes_show_warnings_first(qapp, result):
    tool = NotesTool(Host(result))
    tool.on_result(result)
    assert tool.label.text() == NOTHING_ASSUMED
    notes = "Milky Way E(B-V) not given | F555W beside the cube: scale 1.2. WARNING: too large <x>"
    tool.on_result(replace(result, settings={"notes": notes}))
    assert tool.label.text().startswith(
        "• <b>F555W beside the cube: scale 1.2. WARNING: too large &lt;x&gt;</b><br>• Milky"
    )


def test_contours_and_lines_refuse_maps_of_another_field(maps_file, result):
    """The same shape is not the same sky."""
    moved = result.wcs.deepcopy()
    moved.wcs.crval = moved.wcs.crval + 1.0
    elsewhere = replace(result, wcs=moved)
    for work in (
        lambda: tool_tasks.load_line_fluxes(None, None, elsewhere, maps_file),
        lambda: tool_tasks.load_contour_map(None, None, elsewhere, "HA6562", maps_file),
    ):
        with pytest.raises(SfhInputError, match=r"X_MAPS.fits: the maps lie up to .* spaxels beside the result"):
            work()


def test_no_other_weights_stand_in_for_those_of_a_result(result):
    with pytest.raises(SfhInputError, match=r"the weights 'test' .* that made this result are not here"):
        tool_tasks.load_line_fluxes(None, None, result, None)


#: Linear sRGB as seen by a deuteranope (Machado et al. 2009, IEEE TVCG 15, 1291).
DEUTERANOPE = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]])


def test_classes_of_gas_and_plain_points_have_no_colour_of_a_bin_or_region() -> None:
    """Least distance (CIEDE2000) that a class keeps to a bin's colour, and classes to each other."""

    def to_lab(colors: list[str]) -> Any:
        return rgb2lab(ColorArray(colors).rgb[None])[0]

    classes, palette = to_lab(list(BPT_COLORS)), to_lab([choose_color(k) for k in range(len(COLORS))])
    plain = to_lab([get_palette(theme).data for theme in ("dark", "light")])
    for some in (classes, plain):
        assert deltaE_ciede2000(some[:, None], palette[None]).min() > 17
    apart = deltaE_ciede2000(classes[:, None], classes[None])[np.triu_indices(len(classes), 1)]
    assert apart.min() > 24


def test_flags_have_colours_of_their_own_for_those_who_see_no_green_too() -> None:
    """Least distances (CIEDE2000): to bins and regions, to each other, and as a deuteranope sees them."""
    seen = ColorArray(list(FLAG_COLORS)).rgb
    linear = np.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)
    without = (linear @ DEUTERANOPE.T).clip(0, 1)
    blind = np.where(without <= 0.0031308, 12.92 * without, 1.055 * without ** (1 / 2.4) - 0.055)
    flags = rgb2lab(seen[None])[0]
    assert deltaE_ciede2000(flags[:, None], rgb2lab(ColorArray(list(COLORS)).rgb[None])[0][None]).min() > 10
    for colors, least in ((flags, 13), (rgb2lab(blind[None])[0], 11)):
        assert deltaE_ciede2000(colors[:, None], colors[None])[np.triu_indices(len(colors), 1)].min() > least
