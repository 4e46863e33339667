"""The dock's outer part: what a run says while it goes on."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest
from magicgui.widgets import CheckBox, ComboBox, PushButton, Slider
from napari.qt import get_stylesheet
from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt
from qtpy.QtGui import QImage, QPainter, QTextCursor
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QDoubleSpinBox,
    QLabel,
    QMainWindow,
    QScrollArea,
    QSlider,
    QTextBrowser,
    QToolTip,
    QVBoxLayout,
    QWidget,
)
from vispy.color import ColorArray

from napari_sfh._qt.canvas.selection_overlay import choose_borders, measure_luminance
from napari_sfh._qt.docks.bin_panel import BinPanel, PropertyTable, shorten_number
from napari_sfh._qt.docks.explorer_frame import ExplorerFrame
from napari_sfh._qt.docks.side_tabs import SIDE_WIDTH
from napari_sfh._qt.docks.tour import Tour, describe_window
from napari_sfh._qt.forms.fields import make_file_edit, make_form
from napari_sfh._qt.session import Session
from napari_sfh._qt.undo import describe_step
from napari_sfh._qt.widgets.input_guard import InputGuard
from napari_sfh._qt.widgets.small_widgets import Section, show_text
from napari_sfh._qt.widgets.theme import get_palette
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.drawing.bin_drawing import choose_color
from napari_sfh.prep.kinematics.stellar_kinematics import describe_ppxf_time
from napari_sfh.types import Progress, Result


def test_a_sentence_that_stays_is_told_in_the_words_of_the_window(qtbot: Any) -> None:
    frame = ExplorerFrame("Open a galaxy", "dark")
    qtbot.addWidget(frame)
    frame.show_progress(Progress("spectra", 1, 3), cancelling=False)
    assert frame.message.text() == "Open a galaxy"
    assert "channel 1/3" in frame.stage.value, "not taken for the number of bins"
    warning = describe_ppxf_time(16_700)
    assert warning is not None
    frame.show_progress(Progress(warning, 0, 0, stays=True), cancelling=False)
    frame.show_progress(Progress("stellar kinematics", 1, 16_700), cancelling=False)
    assert frame.stage.value == "Stellar kinematics 1/16700…"
    assert frame.message.text().startswith("pPXF fits 16700 spectra, about 8 min; faster: ")
    assert "(“V and σ” V,SIGMA), or a larger “Target S/N”" in frame.message.text()
    assert "--" not in frame.message.text()


def test_a_stage_without_a_count_tells_its_seconds_and_moves_no_bar(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = ExplorerFrame("Open a galaxy", "dark")
    qtbot.addWidget(frame)
    frame.show_running(True, False)
    with qtbot.waitExposed(frame):
        frame.show()
    frame.show_progress(Progress("rest frame", 0, 0), cancelling=False)
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + 7.0)
    frame.show_progress(Progress("rest frame", 0, 0), cancelling=False)  # told again and again while it lasts
    qtbot.waitUntil(lambda: "7 s" in frame.stage.value, timeout=5000)
    assert (frame.bar.value, frame.bar.max) == (0, 1), "a bar of no length is drawn 25 times a second by Qt"
    frame.show_progress(Progress("photometry", 2, 5), cancelling=False)
    assert frame.stage.value == "Photometry 2/5…"
    assert (frame.bar.value, frame.bar.max) == (2, 5)


class _LayoutCounter(QObject):
    """Counts the requests for a new layout that a widget gets."""

    count = 0

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Count, and pass on."""
        assert event is not None
        self.count += event.type() == QEvent.Type.LayoutRequest
        return False


def test_progress_lays_no_window_out_anew(qtbot: Any) -> None:
    frame = ExplorerFrame("Open a galaxy", "dark")
    frame.arrange({}, [])
    qtbot.addWidget(frame)
    frame.show_running(True, False)
    with qtbot.waitExposed(frame):
        frame.show()
    frame.show_progress(Progress("predicting", 1, 1219), cancelling=False)
    QApplication.processEvents()
    counter = _LayoutCounter()
    frame.installEventFilter(counter)
    for done in (64, 512, 1219):
        frame.show_progress(Progress("predicting", done, 1219), cancelling=False)
        QApplication.processEvents()
        assert frame.stage.value == f"Predicting {done}/1219…"
    assert counter.count == 0, "the window would be painted twice for each text"
    label = frame.stage.native
    assert label.isVisible()
    assert label.width() > 0.8 * frame.width()
    assert label.height() >= label.fontMetrics().height()


def test_the_stage_takes_no_room_while_nothing_runs(qtbot: Any) -> None:
    frame = ExplorerFrame("Open a galaxy", "dark")
    frame.arrange({}, [])
    qtbot.addWidget(frame)
    with qtbot.waitExposed(frame):
        frame.show()
    idle = frame.demo_button.native.y(), frame.run_button.native.mapTo(frame, QPoint()).y()
    frame.show_running(True, False)
    assert frame.stage.visible
    frame.show_running(False, False)
    QApplication.processEvents()
    assert not frame.stage.visible
    assert (frame.demo_button.native.y(), frame.run_button.native.mapTo(frame, QPoint()).y()) == idle


def test_a_spin_box_that_refuses_a_key_says_what_it_takes(qtbot: Any) -> None:
    root = QWidget()
    qtbot.addWidget(root)
    box = QDoubleSpinBox(root)
    box.setRange(1, 1000)
    InputGuard(root).protect_fields(root)
    with qtbot.waitExposed(root):
        root.show()
    box.lineEdit().selectAll()
    QTest.keyClicks(box, "5")
    assert not QToolTip.isVisible()
    QTest.keyClicks(box, "-")
    assert "1 to 1000" in QToolTip.text()
    QToolTip.hideText()


def test_a_section_that_is_unfolded_comes_into_sight(qtbot: Any) -> None:
    area, column = QScrollArea(), QWidget()
    qtbot.addWidget(area)
    layout = QVBoxLayout(column)
    sections = [Section(f"part {n}", QLabel("text"), False) for n in range(12)]
    for section in sections:
        section.body.setFixedHeight(150)
        layout.addWidget(section)
    area.setWidgetResizable(True)
    area.setWidget(column)
    area.resize(300, 260)
    area.show()
    qtbot.waitExposed(area)
    last = sections[-1]
    area.ensureWidgetVisible(last.toggle)
    QTest.mouseClick(last.toggle, Qt.MouseButton.LeftButton)
    shown = area.viewport().rect()
    qtbot.waitUntil(
        lambda: shown.contains(last.body.mapTo(area.viewport(), last.body.rect().bottomLeft())), timeout=5000
    )
    assert shown.contains(last.toggle.mapTo(area.viewport(), last.toggle.rect().topLeft()))


def test_outlines_contrast_with_whatever_lies_beneath() -> None:
    colors = np.array([ColorArray(choose_color(place)).rgba[0] for place in range(21)])
    line, border = measure_luminance(colors), measure_luminance(choose_borders(colors))
    for ground in np.linspace(0, 1, 101):  # luminance of the map
        ratios = [(np.maximum(ink, ground) + 0.05) / (np.minimum(ink, ground) + 0.05) for ink in (line, border)]
        assert np.max(ratios, axis=0).min() > 1.9


def test_three_compared_bins_have_their_columns_in_sight(qtbot: Any, result: Result) -> None:
    table = PropertyTable(get_palette("dark"))
    qtbot.addWidget(table)
    table.resize(600, 400)
    table.show_numbers([BinView.of(result, b) for b in (1, 2, 3)])
    table.show()
    qtbot.waitExposed(table)
    assert table.horizontalScrollBar().maximum() == 0
    table.show_numbers([BinView.of(result, 1)])
    QApplication.processEvents()
    shown = [label for label in table.findChildren(QLabel) if label.isVisible() and "±" in label.text()]
    assert min(label.width() for label in shown) > table.width() / 2, "one bin has the room of one"
    assert shorten_number("0.47, within its depth") == "0.47"
    assert shorten_number("113, 45 km/s") == "113, 45 km/s"


@pytest.fixture
def panel(qtbot: Any, result: Result) -> BinPanel:
    """A panel of a result, as wide as a window of 1280 pixels leaves it."""
    session = Session()
    made = BinPanel(session, "dark", lambda: None, lambda: None)
    qtbot.addWidget(made, before_close_func=lambda widget: widget.release())
    made.resize(940, 300)
    made.show()
    qtbot.waitExposed(made)
    session.set_result(result)
    session.select(1)
    for _ in range(3):
        QApplication.processEvents()
    made.session = session
    return made


def test_all_compared_bins_are_named_above_the_plots(panel: BinPanel) -> None:
    beside = panel.legend.y()
    panel.session.restore({"selected": 1, "compared": [2, 3, 4, 5, 6]})
    QApplication.processEvents()
    assert panel.legend.y() > beside, "they have a line of their own"
    assert panel.legend.width() >= panel.legend.wanted_width
    assert panel.legend.y() >= panel.controls.native.geometry().bottom()
    panel.resize(1900, 300)
    QApplication.processEvents()
    assert panel.legend.y() < panel.controls.native.geometry().bottom()
    assert panel.legend.width() >= panel.legend.wanted_width
    panel.resize(940, 300)
    panel.session.clear_compared()
    QApplication.processEvents()
    assert panel.legend.y() == beside


class LayoutWatch(QObject):
    """Counts the turns in which widgets are laid out anew."""

    def __init__(self, widgets: list[QWidget]) -> None:
        super().__init__()
        self.turns = 0
        for widget in widgets:
            widget.installEventFilter(self)

    def eventFilter(self, _: Any, event: Any) -> bool:
        self.turns += event.type() == QEvent.Type.LayoutRequest
        return False


def test_nothing_is_laid_out_again_after_the_first_painting_of_a_bin(panel: BinPanel) -> None:
    numbers = panel.numbers
    for bin_id in (2, 3, 4):
        panel.session.select(bin_id)
        watch = LayoutWatch([numbers.widget(), numbers.viewport(), numbers, panel])
        for _ in range(5):
            QApplication.processEvents()
        assert watch.turns == 0


def test_numbers_can_be_marked_where_the_mouse_is(panel: BinPanel) -> None:
    (value,) = [label for label in panel.numbers.findChildren(QLabel) if "spaxels" in label.text()]
    before = value.size()
    QApplication.sendEvent(value, QEvent(QEvent.Type.Enter))
    QTest.mouseDClick(value, Qt.MouseButton.LeftButton, pos=QPoint(4, value.height() // 2))
    assert value.selectedText() == value.text().split()[0]
    QApplication.processEvents()
    assert value.size() == before
    panel.session.select(4)
    assert not value.hasSelectedText()


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_numbers_of_many_bins_stand_in_one_line_each_beside_the_plots(qtbot: Any, result: Result, n: int) -> None:
    session = Session()
    panel = BinPanel(session, "dark", lambda: None, lambda: None)
    qtbot.addWidget(panel)
    panel.resize(940, 300)  # what a window of 1280 pixels leaves
    session.set_result(result)
    session.restore({"selected": 1, "compared": list(range(2, n + 1))})
    panel.show()
    qtbot.waitExposed(panel)
    QApplication.processEvents()
    shown = [label for label in panel.numbers.findChildren(QLabel) if label.isVisible() and label.text()]
    assert len(shown) > 10 * n
    assert all(label.width() >= label.sizeHint().width() for label in shown), "nothing is cut"
    assert max(label.height() for label in shown) < 2 * panel.numbers.fontMetrics().height()
    assert panel.numbers.horizontalScrollBar().maximum() == 0
    axis = panel.plots.sed.getAxis("bottom")
    painter = QPainter(image := QImage(10, 10, QImage.Format.Format_ARGB32))
    _, _, names = axis.generateDrawSpecs(painter)
    painter.end()
    assert image.width() == 10
    assert len(names) == result.instrument.n_bands
    lines: dict[int, list[Any]] = {}
    for rect, _, text in names:
        lines.setdefault(text.count("\n"), []).append(rect)
    assert all(a.right() < b.left() for line in lines.values() for a, b in itertools.pairwise(line))
    right = max(axis.mapRectToScene(rect).right() for rect, *_ in names)
    assert right <= panel.plots.sceneRect().right(), "the last name is not cut"
    panel.release()


@pytest.mark.parametrize(("ground", "ink"), [("#111111", "#eeeeee"), ("#ffffff", "#222222")])
def test_links_of_longer_texts_contrast_with_their_ground(qtbot: Any, ground: str, ink: str) -> None:
    parent = QWidget()
    qtbot.addWidget(parent)
    parent.setStyleSheet(f"QTextBrowser {{ background: {ground}; color: {ink}; }}")
    parent.show()  # of one that is never shown Qt keeps the style, for whatever comes to lie at its address
    dialog = show_text(parent, "Help", "See [the page](https://example.org) and more.", markdown=True)
    document = dialog.findChild(QTextBrowser).document()
    cursor = QTextCursor(document)
    cursor.setPosition(document.toPlainText().index("the page") + 2)
    format_ = cursor.charFormat()
    assert format_.isAnchor()
    luminances = measure_luminance(
        np.array([ColorArray(c).rgba[0] for c in (format_.foreground().color().name(), ground)])
    )
    assert (luminances.max() + 0.05) / (luminances.min() + 0.05) > 4.5, "WCAG AA"
    dialog.close()


ONE = ([[0, 0], [1, 1]], True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"session": {"selected": 5}}, "selection of bin 5"),
        ({"session": {"selected": 0}}, "end of the selection"),
        ({"session": {"compared": [2, 7]}}, "comparison with bin 7"),
        ({"session": {"compared": []}}, "end of the comparison with bin 2"),
        ({"session": {"plot_region": [1, 2]}}, "lasso in a plot"),
        ({"maps": {"min_snr": 9}}, "hidden bins"),
        ({"maps": {"quantity": "EBV"}, "limits": (0.0, 0.3)}, "choice of the map"),
        ({"limits": (8.0, 9.0)}, "limits of colours"),
        ({"maps": {"quantity": "SNR", "limits": "typed"}, "limits": (1.0, 2.0)}, "choice of the map"),
        ({"outlines": [ONE, ONE]}, "drawn region"),
        ({"outlines": []}, "region taken away"),
        ({"outlines": [([[0, 0], [3, 3]], True)]}, "change of a region"),
    ],
)
def test_a_step_is_named_by_what_it_changed(change: dict[str, Any], words: str) -> None:
    before: dict[str, Any] = {
        "session": {"selected": 1, "compared": [2], "pinned": [], "plot_region": []},
        "maps": {"quantity": "AGE_LW", "min_snr": 0},
        "limits": (8.5, 10.0),
        "outlines": [ONE],
    }
    parts = {key: {**before[key], **new} if isinstance(new, dict) else new for key, new in change.items()}
    assert describe_step(before, {**before, **parts}) == words


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_what_has_the_keyboard_can_be_seen(qtbot: Any, theme: str) -> None:
    """Of fields without a cursor, too."""
    fields = [ComboBox(choices=["a", "b"]), PushButton(text="Show"), CheckBox(text="four maps"), Slider(max=9)]
    holder = QWidget()
    layout = QVBoxLayout(holder)
    for field in fields:
        layout.addWidget(field.native)
    frame = ExplorerFrame("Open a galaxy", "light" if theme == "dark" else "dark")
    qtbot.addWidget(frame)
    frame.arrange({"maps": Section("Maps", holder, True)}, [])
    frame.set_theme(theme)
    frame.setStyleSheet(get_stylesheet(theme))
    with qtbot.waitActive(frame, timeout=20_000):
        frame.show()
        frame.activateWindow()
    for field in fields:
        native = field.native.findChild(QSlider) or field.native
        native.clearFocus()
        plain = native.grab().toImage()
        native.setFocus(Qt.FocusReason.TabFocusReason)
        assert native.hasFocus()
        assert native.grab().toImage() != plain, type(field).__name__


def take_tour(qtbot: Any, size: tuple[int, int]) -> tuple[QMainWindow, QWidget, QWidget, Tour]:
    """A window with two docks, its canvas, a row of files in the right one, and the tour at that row."""
    main, canvas, plots, files = QMainWindow(), QWidget(), QWidget(), QWidget()
    qtbot.addWidget(main)
    main.setCentralWidget(canvas)
    for widget, area in ((plots, "Bottom"), (dock := QWidget(), "Right")):
        holder = QDockWidget()
        holder.setWidget(widget)
        main.addDockWidget(getattr(Qt.DockWidgetArea, f"{area}DockWidgetArea"), holder)
    main.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
    dock.setMinimumWidth(335)
    plots.setMinimumHeight(400)
    files.setParent(dock)
    files.setGeometry(0, 0, 335, 30)
    main.resize(*size)
    with qtbot.waitExposed(main):
        main.show()
    return main, canvas, files, Tour(main, describe_window(files, files, main, plots))


@pytest.mark.parametrize(("size", "beside"), [((1024, 700), False), ((1600, 1000), True)])
def test_the_tour_leaves_a_small_canvas_free(qtbot: Any, size: tuple[int, int], beside: bool) -> None:
    main, canvas, files, tour = take_tour(qtbot, size)
    on_canvas = tour.geometry().intersects(QRect(canvas.mapTo(main, QPoint(0, 0)), canvas.size()))
    assert on_canvas is beside
    assert not tour.geometry().intersects(QRect(files.mapTo(main, QPoint(0, 0)), files.size()))
    assert main.rect().contains(tour.geometry())
    assert tour.arrow.text() == ("▶" if beside else "▲")


def test_the_tour_follows_a_window_that_changes_its_size(qtbot: Any) -> None:
    main, _, files, tour = take_tour(qtbot, (1600, 1000))
    before = tour.geometry().right() - main.width()
    main.resize(1300, 800)

    def is_free() -> bool:
        row = QRect(files.mapTo(main, QPoint(0, 0)), files.size())
        return main.rect().contains(tour.geometry()) and not tour.geometry().intersects(row)

    qtbot.waitUntil(is_free)
    assert tour.arrow.isVisible()
    main.resize(1600, 1000)
    qtbot.waitUntil(lambda: tour.geometry().right() - main.width() == before)
    while tour.isVisible():  # to its end
        QTest.mouseClick(tour.next_button, Qt.MouseButton.LeftButton)
    main.resize(1300, 800)
    QApplication.processEvents()


def test_nothing_of_the_dock_is_cut_with_large_letters(qtbot: Any) -> None:
    """At its least width: what a desktop's scale of 150 % makes of letters."""
    field = make_file_edit("LSF of the cube", "tip")
    form = make_form([field])
    frame = ExplorerFrame("Open a galaxy", "dark")
    qtbot.addWidget(frame)
    frame.arrange({"data": Section("Data", form.native, True)}, [form])
    frame.setStyleSheet(get_stylesheet("dark"))
    with qtbot.waitExposed(frame):
        frame.show()
    assert frame.minimumWidth() < SIDE_WIDTH
    frame.setStyleSheet(get_stylesheet("dark") + "QWidget { font-size: 16pt; }")
    QApplication.processEvents()
    frame.resize(frame.minimumWidth(), 600)
    QApplication.processEvents()
    row = frame.file_row
    for button in (row.open.native, row.folder.native, row.recent, row.save.native, row.help.native):
        assert button.width() >= button.minimumSizeHint().width(), button.text()
    assert field.choose_btn.native.visibleRegion().boundingRect().width() == field.choose_btn.native.width()
