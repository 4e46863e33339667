"""A matplotlib figure in the window, for plots that are drawn once and not at every click."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_sfh._qt.widgets.theme import Palette


class FigurePage(QWidget):
    """A figure in the colours of napari's theme; another one takes its place."""

    def __init__(self, colors: Palette) -> None:
        super().__init__()
        self._colors = colors
        self._canvas: Any = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)

    def show_figure(self, figure: Figure) -> None:
        """Show a figure that no window has yet."""
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg

        if self._canvas is not None:
            self._layout.removeWidget(self._canvas)
            self._canvas.deleteLater()
        recolor_figure(figure, self._colors)
        self._canvas = FigureCanvasQTAgg(figure)
        self._canvas.setMinimumHeight(180)
        self._layout.addWidget(self._canvas)

    def set_colors(self, colors: Palette) -> None:
        """Follow napari's theme."""
        self._colors = colors
        if self._canvas is not None:
            recolor_figure(self._canvas.figure, colors)
            self._canvas.draw_idle()


def recolor_figure(figure: Any, colors: Palette) -> None:
    """Give a figure the colours of napari's theme."""
    figure.set_facecolor(colors.background)
    texts = [figure._suptitle] if figure._suptitle is not None else []
    for axes in figure.axes:
        axes.set_facecolor(colors.background)
        axes.tick_params(colors=colors.text, which="both")
        for spine in axes.spines.values():
            spine.set_color(colors.faint)
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label]
        legend = axes.get_legend()
        if legend is not None:
            legend.get_frame().set(facecolor=colors.background, edgecolor=colors.faint)
            texts += legend.get_texts()
    for text in texts:
        text.set_color(colors.text)
