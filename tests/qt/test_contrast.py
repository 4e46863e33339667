"""What plots show is seen on both themes' backgrounds, and told from each other also by those who see no green."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication
from skimage.color import deltaE_ciede2000, rgb2lab
from test_plot_reading import make_diagrams
from vispy.color import ColorArray

from napari_sfh._qt.plots.bin_plots import BinPlots
from napari_sfh._qt.plots.brush import MarkedPoints
from napari_sfh._qt.plots.estimate_plots import EstimatePlots
from napari_sfh._qt.plots.gas_plots import GasPlots
from napari_sfh._qt.plots.gradient_plot import GradientPlot
from napari_sfh._qt.plots.plot_items import Ribbon, VerticalLines, pg
from napari_sfh._qt.plots.scatter_plot import ScatterPlot
from napari_sfh._qt.plots.side_plots import HistoryPlots, OneToOne
from napari_sfh._qt.session import MAX_DRAWN, BinMark
from napari_sfh._qt.widgets.theme import Palette, get_palette
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.comparison import history_comparison, other_results
from napari_sfh.analysis.comparison.map_comparison import compare_results
from napari_sfh.analysis.disc import guess_disc
from napari_sfh.analysis.drawing.bin_drawing import COLORS, choose_color
from napari_sfh.analysis.gas.line_maps import BPT_COLORS
from napari_sfh.analysis.gradients import fit_all_gradients
from napari_sfh.figures.line_colors import ANSWER_COLORS, LEAST_CONTRAST, PAPER, measure_contrast, recolor_lines
from napari_sfh.types import Result

THEMES = ("dark", "light")
#: Linear sRGB as seen by a deuteranope (Machado et al. 2009, IEEE TVCG 15, 1291).
DEUTERANOPE = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]])


def to_labs(colors: list[str]) -> list[Any]:
    """CIELAB of colours, as they are and as a deuteranope sees them."""
    seen = ColorArray(colors).rgb
    linear = np.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)
    without = (linear @ DEUTERANOPE.T).clip(0, 1)
    blind = np.where(without <= 0.0031308, 12.92 * without, 1.055 * without ** (1 / 2.4) - 0.055)
    return [rgb2lab(each[None])[0] for each in (seen, blind)]


def find_least_distance(colors: list[str]) -> float:
    """Of any two (CIEDE2000), for both kinds of eyes."""
    pairs = np.triu_indices(len(colors), 1)
    return min(float(deltaE_ciede2000(lab[:, None], lab[None])[pairs].min()) for lab in to_labs(colors))


def test_contrast_is_that_of_the_standard() -> None:
    """Grey #767676 is known as the lightest with 4.5 on white; #949494 with 3."""
    assert measure_contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert measure_contrast("#ffffff", "#949494") == pytest.approx(3.03, abs=0.01)
    assert measure_contrast("#00000080", "#ffffff") == pytest.approx(measure_contrast("#7f7f7f", "#ffffff"))


@pytest.mark.parametrize("background", [*(get_palette(theme).background for theme in THEMES), PAPER])
def test_answers_are_told_from_bins_and_regions(background: str) -> None:
    """As far as the bins' own colours are from each other (11.6 as published, Okabe & Ito 2008; 9 darkened)."""
    bins, answers = recolor_lines(COLORS, background), recolor_lines(ANSWER_COLORS, background)
    assert find_least_distance(bins) > (11 if background == get_palette("dark").background else 8.5)
    for first, second in zip(to_labs(bins), to_labs(answers)):
        assert deltaE_ciede2000(first[:, None], second[None]).min() > 9
    assert find_least_distance(answers) > 9


@pytest.mark.parametrize("theme", THEMES)
def test_colours_of_the_theme_and_of_bins_and_classes_are_seen(theme: str) -> None:
    colors = get_palette(theme)
    own = [colors.text, colors.faint, colors.data, colors.model, colors.residual, colors.error]
    shaded = colors.shade_all([*(choose_color(k) for k in range(MAX_DRAWN)), *ANSWER_COLORS])
    drawn = [*own, colors.points, colors.others, colors.pale, *shaded, *map(colors.make_readable, BPT_COLORS)]
    assert {color for color in drawn if measure_contrast(color, colors.background) < LEAST_CONTRAST} == set()
    assert len(set(shaded)) == MAX_DRAWN + len(ANSWER_COLORS)


def read_look(look: Any) -> str | None:
    """Colour of a pen or brush as ``#rrggbbaa``; None where it draws nothing."""
    none = Qt.PenStyle.NoPen if hasattr(look, "width") else Qt.BrushStyle.NoBrush
    if look is None or look.style() == none:
        return None
    color = QColor(look.color())
    return f"{color.name()}{color.alpha():02x}"


def list_looks(widget: Any) -> tuple[dict[str, list[str]], int]:
    """Colours of what is drawn, by kind of item, and how many filled regions have no line around."""
    looks: dict[str, list[str]] = {}
    bare = 0
    for item in widget.scene().items():
        if not item.isVisible():
            continue
        found: list[str | None] = []
        if isinstance(item, Ribbon) and not item.path().isEmpty():
            found = [read_look(item.pen())]
            bare += found == [None]
        elif isinstance(item, pg.ScatterPlotItem):
            # An edge tells a large point; of others the inside must.
            found = [read_look(p.pen()) or read_look(p.brush()) for p in item.points()]
        elif (isinstance(item, pg.PlotCurveItem) and item.getData()[0] is not None) or isinstance(
            item, pg.ErrorBarItem
        ):
            found = [read_look(pg.mkPen(item.opts["pen"]))]
        elif isinstance(item, pg.InfiniteLine):
            found = [read_look(item.pen)]
        elif isinstance(item, VerticalLines):
            found = [read_look(item.pen())]
        looks.setdefault(type(item).__name__, []).extend(color for color in found if color is not None)
    return looks, bare


def test_bands_of_few_bins_have_edges(qtbot: Any, result: Result) -> None:
    plots = BinPlots(get_palette("light"))
    qtbot.addWidget(plots)
    for n, bare in ((1, 2), (3, 2), (4, 2 + 3 * 3)):
        plots.draw([BinView.of(result, k) for k in range(1, n + 1)])
        plots.show()
        assert list_looks(plots)[1] == bare


def draw_all(result: Result, colors: Palette) -> dict[str, Any]:
    """Every plot of bins, regions and answers, with many bins marked."""
    views = [replace(BinView.of(result, k), color=choose_color(k)) for k in range(1, 10)]
    marks = [BinMark(k, choose_color(k), k < 7) for k in range(14)]
    comparison = compare_results(result, other_results.other_result_from_run(result))
    plots: dict[str, Any] = {"bins": BinPlots(colors), "gas": GasPlots(colors), "gradient": GradientPlot(colors)}
    plots |= {"history": HistoryPlots(colors, spectrum=True), "one": OneToOne(colors)}
    plots |= {"scatter": ScatterPlot(colors), "estimates": EstimatePlots(colors)}
    plots["bins"].draw(views)
    plots["gas"].draw(make_diagrams())
    plots["gas"].mark(marks)
    made = next(iter(fit_all_gradients(result, guess_disc(result.white, result.wcs)).values()))
    plots["gradient"].draw(made)
    plots["gradient"].mark(made, marks)
    answers = [
        history_comparison.history_from_network(result, 3),
        history_comparison.history_from_comparison(comparison, 3),
    ]
    plots["history"].draw(answers, BinView.of(result, 3))
    plots["one"].draw(comparison, "lg_age_lw", np.ones(result.bins.n_bins, bool))
    plots["one"].mark(marks, *comparison.pair("lg_age_lw"))
    plots["scatter"].draw(np.arange(9.0), np.arange(9.0) ** 2, ("a", "b"))
    plots["scatter"].mark([1, 2, 3])
    plots["estimates"].set_population({"lg_age_lw": np.linspace(8, 10, 40)})
    one = SimpleNamespace(name="lg_age_lw", value=9.0, low=8.8, high=9.1)
    plots["estimates"].draw([[one]], [COLORS[4]])
    return plots


@pytest.mark.parametrize("theme", THEMES)
def test_points_lines_bands_and_edges_are_seen(qtbot: Any, result: Result, theme: str) -> None:
    """Of the plots of bins also what was drawn in the other theme."""
    colors = get_palette(theme)
    plots = draw_all(result, colors)
    plots["bins"].set_colors(get_palette(THEMES[1 - THEMES.index(theme)]))
    plots["bins"].set_colors(colors)
    for plot in plots.values():
        qtbot.addWidget(plot)
    for name, plot in plots.items():
        plot.resize(900, 300)
        plot.show()
        QApplication.processEvents()
        looks, bare = list_looks(plot)
        assert sum(map(len, looks.values())) > 2, name
        faint = {
            kind: {color for color in some if measure_contrast(color, colors.background) < LEAST_CONTRAST}
            for kind, some in looks.items()
        }
        assert {kind: some for kind, some in faint.items() if some} == {}, name
        # Of many bins the first band alone has an edge; masked ranges have none.
        assert bare <= (2 + 3 * (9 - 1) if name == "bins" else 0), name
        if name in ("gas", "gradient", "one"):
            assert looks[MarkedPoints.__name__], name
