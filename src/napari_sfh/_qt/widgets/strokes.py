"""Freehand strokes on the canvas keep their corners, however fast the hand and however slow the painting.

Four things take places away from a lasso. Qt on X11 drops the moves that wait while the window is busy, but for the
last; vispy drops those within 10 ms of the one before, napari those within 5 ms; and what is drawn while the layer to
draw in is still made goes to another layer. Here the first is switched off while a layer takes strokes; places that
become corners wait in a queue until vispy and napari take them, and a stroke that is drawn too early until its layer
is there. Places between two corners only move the end of the line: the last of them is enough.
"""

from __future__ import annotations

from typing import Any

from napari.settings import get_settings
from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEvent, QObject, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QMainWindow, QOpenGLWidget, QWidget

#: Modes of a layer that draw a line along the mouse.
STROKE_MODES = ("add_polygon_lasso", "add_path")
#: Milliseconds between two events, so that vispy and napari take both.
STROKE_REST_MS = 12
#: Milliseconds that a stroke waits for its layer at most.
STROKE_HOLD_MS = 5000
_COMPRESS = Qt.ApplicationAttribute.AA_CompressHighFrequencyEvents
_PRESS, _MOVE, _RELEASE = (
    QEvent.Type.MouseButtonPress,
    QEvent.Type.MouseMove,
    QEvent.Type.MouseButtonRelease,
)


class StrokeKeeper(QObject):
    """Event filter of a viewer's canvas, which is there until `release`.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    dock : QWidget
        A dock of the window with the canvas, which is looked for when something is drawn: the dock may be new.
    """

    def __init__(self, viewer: Any, dock: QWidget) -> None:
        super().__init__(dock)
        self._viewer, self._dock = viewer, dock
        self._canvas: QWidget | None = None
        self._layer: Any = None
        self._waiting: list[QMouseEvent] = []
        self._corner: QPointF | None = None
        self._loose = False  # the last that waits is a place between corners
        self._passing = False
        self._compressed = QCoreApplication.testAttribute(_COMPRESS)
        self._rest, self._hold = QTimer(self), QTimer(self)
        for timer, milliseconds, act in (
            (self._rest, STROKE_REST_MS, self._pass_next),
            (self._hold, STROKE_HOLD_MS, self.let_go),
        ):
            timer.setSingleShot(True)
            timer.setInterval(milliseconds)
            timer.timeout.connect(act)
        viewer.layers.selection.events.active.connect(self._follow_layer)
        self._follow_layer()

    def hold(self) -> None:
        """A layer to draw in is about to come: what the mouse does until `let_go` is for it."""
        self._hold.start()
        self._follow_mode()

    def let_go(self) -> None:
        """The layer is there: what the mouse has done meanwhile goes on."""
        self._hold.stop()
        self._follow_mode()
        if self._waiting:
            self._rest.start()

    def release(self) -> None:
        """Leave the canvas as it was."""
        self._viewer.layers.selection.events.active.disconnect(self._follow_layer)
        if self._canvas is not None and isalive(self._canvas):
            self._canvas.removeEventFilter(self)
        self._leave_layer()
        self._rest.stop()
        self._hold.stop()
        self._waiting.clear()
        QCoreApplication.setAttribute(_COMPRESS, self._compressed)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Keep back what would be lost now."""
        if self._passing or not isinstance(event, QMouseEvent) or event.type() not in (_PRESS, _MOVE, _RELEASE):
            return False
        held = self._hold.isActive() and event.type() == _PRESS
        if not (self._waiting or held or self._takes_strokes()):
            return False
        if event.type() == _PRESS:
            self._corner = _find_place(event)
        loose = event.type() == _MOVE and not self._is_corner(event)
        if not (self._waiting or held or self._rest.isActive()):
            self._rest.start()
            return False
        if self._waiting and self._loose:
            self._waiting.pop()
        self._waiting.append(_copy_event(event))
        self._loose = loose
        return True

    def _is_corner(self, event: QMouseEvent) -> bool:
        """Whether a move is one that makes a corner of a stroke."""
        if not event.buttons() & Qt.MouseButton.LeftButton or self._corner is None:
            return False
        step = _find_place(event) - self._corner
        far = float(step.x() ** 2 + step.y() ** 2) ** 0.5 > get_settings().experimental.lasso_vertex_distance
        if far:
            self._corner = _find_place(event)
        return far

    def _pass_next(self) -> None:
        if not self._waiting or self._hold.isActive() or self._canvas is None:
            return
        event = self._waiting.pop(0)
        self._loose = self._loose and bool(self._waiting)
        self._passing = True
        try:
            QCoreApplication.sendEvent(self._canvas, event)
        finally:
            self._passing = False
        self._rest.start()

    def _takes_strokes(self) -> bool:
        return self._layer is not None and str(self._layer.mode) in STROKE_MODES

    def _follow_layer(self, _: object = None) -> None:
        self._leave_layer()
        self._layer = self._viewer.layers.selection.active
        if self._layer is not None:
            self._layer.events.mode.connect(self._follow_mode)
        self._follow_mode()

    def _leave_layer(self) -> None:
        if self._layer is not None:
            self._layer.events.mode.disconnect(self._follow_mode)
        self._layer = None

    def _follow_mode(self, _: object = None) -> None:
        keep = self._hold.isActive() or self._takes_strokes()
        QCoreApplication.setAttribute(_COMPRESS, self._compressed and not keep)
        if keep and self._canvas is None:
            self._canvas = find_canvas(self._dock)
            if self._canvas is not None:
                self._canvas.installEventFilter(self)


def find_canvas(widget: QWidget) -> QWidget | None:
    """The canvas of the window that a widget belongs to, also where its dock floats."""
    above: QObject | None = widget
    while above is not None and not (isinstance(above, QMainWindow) and above.centralWidget() is not None):
        above = above.parent()
    middle = above.centralWidget() if isinstance(above, QMainWindow) else None
    return None if middle is None else middle.findChild(QOpenGLWidget)


def _find_place(event: Any) -> QPointF:
    """Where the mouse was, on the canvas."""
    return QPointF(event.position())


def _copy_event(event: Any) -> QMouseEvent:
    """An event that outlives its delivery."""
    places = _find_place(event), QPointF(event.globalPosition())
    return QMouseEvent(event.type(), *places, event.button(), event.buttons(), event.modifiers())
