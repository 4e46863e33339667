"""Small Qt parts of the dock."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QCoreApplication, QEvent, Qt, QTimer
from qtpy.QtGui import QColor, QPalette, QTextCharFormat, QTextCursor, QTextOption
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFrame,
    QPlainTextEdit,
    QScrollArea,
    QTextBrowser,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

#: Colours of links beside dark and beside light letters.
LINKS = ("#1d6fa5", "#7fb8e6")
#: A title without a frame; it is underlined while it has the keyboard.
FLAT = """QToolButton { border: none; background: transparent; font-weight: bold; }
QToolButton:focus { text-decoration: underline; }"""


def apply_layouts(widget: QWidget | None) -> None:
    """Lay out a widget and all around it now, from the inside.

    Qt lays out each of them in a turn of its own, and paints the window in between: three times for a click.

    Parameters
    ----------
    widget : QWidget or None
        The innermost one that has changed.
    """
    while widget is not None:
        QCoreApplication.sendPostedEvents(widget, QEvent.Type.LayoutRequest)
        widget = widget.parentWidget()


def set_tip(widget: QWidget, tip: str) -> None:
    """Give a widget a tip, unless it has it: Qt sends an event for each, through all filters.

    Parameters
    ----------
    widget : QWidget
    tip : str
    """
    if widget.toolTip() != tip:
        widget.setToolTip(tip)


class MessageText(QPlainTextEdit):
    """Sentences in a box whose height is given: what is longer scrolls, and a path without a blank is broken anywhere.

    It can be copied, and never takes the keyboard.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        document: Any = self.document()
        document.setDocumentMargin(0)
        self.set_color("")

    def text(self) -> str:
        """What it says."""
        return self.toPlainText()

    def set_color(self, color: str) -> None:
        """Letters of a colour; empty: of the theme."""
        ink = f" color: {color};" if color else ""
        self.setStyleSheet(f"QPlainTextEdit {{ background: transparent; border: none; padding: 0px;{ink} }}")


class StillRow(QWidget):
    """A row about a widget whose text changes often: no layout asks for its size, so the window is not laid out anew.

    A window with a canvas is painted by OpenGL as a whole, once for a label's new text and once for the layout.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self._content = content
        content.setParent(self)
        self.fit_height()

    def fit_height(self) -> None:
        """As high as the widget wants to be, for example in another font."""
        self.setFixedHeight(max(self._content.sizeHint().height(), self.fontMetrics().height()))

    def resizeEvent(self, event: Any) -> None:
        """The widget takes all of the room."""
        super().resizeEvent(event)
        self._content.setGeometry(self.rect())


class Section(QWidget):
    """A titled part of the dock that folds away; what the user unfolds is scrolled into view."""

    def __init__(self, title: str, body: QWidget, expanded: bool) -> None:
        super().__init__()
        self._laid_out = QTimer(self)
        self._laid_out.setSingleShot(True)
        self._laid_out.timeout.connect(self._scroll_into_view)
        self.toggle = QToolButton()
        self.toggle.setText(title)
        self.toggle.setCheckable(True)
        self.toggle.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.toggle.setStyleSheet(FLAT)
        self.toggle.toggled.connect(self._fold)
        self.toggle.clicked.connect(lambda _: self._laid_out.start())
        self.body = body
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.toggle)
        layout.addWidget(body)
        self.toggle.setChecked(expanded)
        self._fold(expanded)

    @property
    def expanded(self) -> bool:
        """True while the part is open."""
        return self.toggle.isChecked()

    def on_unfold(self, act: Callable[[], None]) -> None:
        """Call a bound method whenever the part is opened; it is not kept alive."""
        reference = weakref.WeakMethod(act)

        def unfolded(expanded: bool) -> None:
            target = reference()
            if expanded and target is not None:
                target()

        self.toggle.toggled.connect(unfolded)

    def expand(self, expanded: bool) -> None:
        """Fold out or away."""
        self.toggle.setChecked(expanded)

    def bring_into_view(self) -> None:
        """Fold out, and scroll there once it is laid out."""
        self.expand(True)
        self._laid_out.start()

    def _scroll_into_view(self) -> None:
        """The part as far as there is room for it, its title in any case."""
        area: Any = self.parentWidget()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parentWidget()
        if area is not None and self.expanded:
            area.ensureWidgetVisible(self.body, 0, 0)
            area.ensureWidgetVisible(self.toggle, 0, 0)

    def _fold(self, expanded: bool) -> None:
        self.body.setVisible(expanded)
        self.toggle.setArrowType(Qt.ArrowType.DownArrow if expanded else Qt.ArrowType.RightArrow)


def show_text(parent: QWidget, title: str, text: str, markdown: bool) -> QDialog:
    """A window with a longer text, which can be copied; it does not block.

    Parameters
    ----------
    parent : QWidget
    title : str
        Of the window.
    text : str
    markdown : bool
        The text is Markdown, not plain.
    """
    dialog = QDialog(parent)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle(title)
    dialog.resize(720, 480)
    browser = QTextBrowser()
    browser.setOpenExternalLinks(True)
    if markdown:
        browser.setMarkdown(text)
    else:
        browser.setPlainText(text)
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.reject)
    layout = QVBoxLayout(dialog)
    layout.addWidget(browser)
    layout.addWidget(buttons)
    dialog.show()
    _color_links(browser)
    return dialog


def _color_links(browser: QTextBrowser) -> None:
    """Links that read well on the theme's ground: Markdown takes the desktop's, dark blue."""
    light = browser.palette().color(QPalette.ColorRole.Text).lightness() > 127
    ink = QTextCharFormat()
    ink.setForeground(QColor(LINKS[light]))
    document: Any = browser.document()
    block = document.begin()
    while block.isValid():
        place = block.begin()
        while not place.atEnd():
            piece = place.fragment()
            if piece.charFormat().isAnchor():
                cursor = QTextCursor(document)
                cursor.setPosition(piece.position())
                cursor.setPosition(piece.position() + piece.length(), QTextCursor.MoveMode.KeepAnchor)
                cursor.mergeCharFormat(ink)
            place += 1
        block = block.next()


def make_weak_slot(method: Callable[[Any], None]) -> Callable[[Any], None]:
    """A function that calls ``method`` while its object lives, and does not keep it alive."""
    reference = weakref.WeakMethod(method)

    def slot(event: Any = None, *_: Any) -> None:
        target = reference()
        if target is not None:
            target(event)

    return slot
