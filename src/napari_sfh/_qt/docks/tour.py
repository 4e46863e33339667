"""The tour of a first run: four steps beside what they are about; it can be skipped, and comes once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from qtpy.QtCore import QEvent, QObject, QPoint, QRect, Qt, QTimer
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QMainWindow, QPushButton, QVBoxLayout, QWidget

from napari_sfh._qt.widgets.startup import has_marker, set_marker

#: Pixels between a bubble and what it is about, or the window's edge.
MARGIN = 18
#: Of the canvas, what a bubble beside something else may cover.
_CANVAS_SHARE = 0.15
#: Name of the file that says that the tour has been seen.
_SEEN_FILE = "tour-seen"
_STYLE = """QFrame#tour { background: #1f4e79; border: 1px solid #56b4e9; border-radius: 6px; }
QFrame#tour QLabel { color: white; background: transparent; }"""


_ARROW = "color: #56b4e9; background: transparent; font-size: 16pt;"


class TourStep(NamedTuple):
    """One step: beside which widget, and what it says."""

    target: QWidget
    words: str


def describe_window(files: QWidget, maps: QWidget, window: Any, plots: QWidget) -> list[TourStep]:
    """The four steps: the row of files, the section of the maps, the canvas in the middle of the window, the plots.

    Parameters
    ----------
    files, maps, plots : QWidget
        What the steps point at.
    window : QMainWindow
        Of napari.
    """
    return [
        TourStep(files, "Open a result, a cube, a table of estimates, or a galaxy's folder; <i>Help</i> has all keys. "
                 "A file may also be dropped on the window."),
        TourStep(maps, "What the map shows: ages, metallicities, masses, errors, flags; Alt+G shows four side by "
                 "side."),
        TourStep(window.centralWidget(), "Click a bin for its history, Shift + click compares further ones, Alt+R "
                 "draws a region. Ctrl+Z undoes."),
        TourStep(plots, "History, metallicity, spectrum and bands of what is selected. The wheel zooms, a double "
                 "click shows one plot alone, the right button copies."),
    ]  # fmt: skip


def is_tour_due() -> bool:
    """Whether nobody has seen or skipped the tour with this configuration."""
    return not has_marker(_SEEN_FILE)


class Tour(QFrame):
    """A bubble that goes from widget to widget.

    Parameters
    ----------
    window : QWidget
        Over which it lies.
    steps : sequence of TourStep
    """

    def __init__(self, window: QWidget, steps: Sequence[TourStep]) -> None:
        super().__init__(window)
        self.setObjectName("tour")
        self.setStyleSheet(_STYLE)
        self.place = -1
        self._moved = QTimer(self)  # once all docks have their places
        self._moved.setSingleShot(True)
        self._moved.timeout.connect(self._settle)
        for watched in (window, *(step.target for step in steps)):
            watched.installEventFilter(self)
        self._steps = list(steps)
        self.arrow = QLabel(window)
        self.arrow.setStyleSheet(_ARROW)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setFixedWidth(280)
        self.skip_button, self.next_button = QPushButton("Skip the tour"), QPushButton("Next")
        for button, act in ((self.skip_button, self.end), (self.next_button, self.go_on)):
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.clicked.connect(act)
        row = QHBoxLayout()
        row.addWidget(self.skip_button)
        row.addStretch(1)
        row.addWidget(self.next_button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.words)
        layout.addLayout(row)
        self.go_on()

    @property
    def targets(self) -> list[QWidget]:
        """What each step is about."""
        return [step.target for step in self._steps]

    def go_on(self, _: object = None) -> None:
        """The next step, or the end after the last."""
        self.place += 1
        if self.place >= len(self._steps):
            self.end()
            return
        step = self._steps[self.place]
        self.words.setText(f"<b>{self.place + 1} of {len(self._steps)}</b><br>{step.words}")
        self.next_button.setText("Done" if self.place == len(self._steps) - 1 else "Next")
        self.adjustSize()
        self._settle()
        self.show()
        self.raise_()

    def _settle(self) -> None:
        """Stand beside what the step is about."""
        place, arrow = self._find_place(self._steps[self.place].target)
        self.move(place)
        self._point(arrow)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """What the step is about moves with the size of the window, or of the docks beside it."""
        sizes = (QEvent.Type.Resize, QEvent.Type.Move)
        if event is not None and event.type() in sizes and not self.isHidden():  # it is hidden once it has ended
            self._moved.start()
        return False

    def _point(self, arrow: str) -> None:
        """An arrow at the edge that faces the target."""
        self.arrow.setText(arrow)
        self.arrow.adjustSize()
        size, at = self.arrow.size(), self.geometry()
        left = {"◀": at.left() - size.width(), "▶": at.right()}.get(arrow, at.left() + 20)
        top = {"▲": at.top() - size.height() + 3, "▼": at.bottom() - 3}.get(arrow, at.top() + 10)
        self.arrow.move(left, top)
        self.arrow.show()
        self.arrow.raise_()

    def _find_place(self, target: QWidget) -> tuple[QPoint, str]:
        """Where the bubble goes, and which way its arrow points: beside a small target, at the top of a large one."""
        window: Any = self.parentWidget()
        origin = target.mapTo(window, QPoint(0, 0)) if window.isAncestorOf(target) else QPoint(0, 0)
        about = QRect(origin, target.size())
        room = window.rect().adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
        top = max(room.top(), min(about.top() + min(40, about.height() // 3), room.bottom() - self.height()))
        left = max(room.left(), min(about.left(), room.right() - self.width()))
        middle = about.center().x() - self.width() // 2
        above = QPoint(middle, about.top() - self.height() - MARGIN), "▼"
        beside = [
            (QPoint(about.left() - self.width() - MARGIN, top), "▶"),
            (QPoint(about.right() + MARGIN, top), "◀"),
            (QPoint(left, about.top() - self.height() - MARGIN), "▼"),
            (QPoint(left, about.bottom() + MARGIN), "▲"),
        ]
        within = QPoint(middle, about.top() + MARGIN), "▼"
        # Beside the canvas or the plots lies what the step does not speak of.
        places = [above, within] if about.width() > 2 * self.width() else sorted(beside, key=self._hides_map)
        fits = (each for each in places if room.contains(QRect(each[0], self.size())))
        return next(fits, (QPoint(left, max(room.top(), about.bottom() - self.height() - MARGIN)), ""))

    def _hides_map(self, place: tuple[QPoint, str]) -> bool:
        """Whether the bubble would lie on much of the canvas, as it does in a small window."""
        window: Any = self.parentWidget()
        canvas = window.centralWidget() if isinstance(window, QMainWindow) else None
        if canvas is None:
            return False
        whole = QRect(canvas.mapTo(window, QPoint(0, 0)), canvas.size())
        covered = whole.intersected(QRect(place[0], self.size()))
        return covered.width() * covered.height() > _CANVAS_SHARE * whole.width() * whole.height()

    def end(self, _: object = None) -> None:
        """It does not come again."""
        set_marker(_SEEN_FILE)
        self._moved.stop()
        self.hide()
        self.arrow.hide()
        self.arrow.deleteLater()
        self.deleteLater()
