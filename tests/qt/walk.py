"""A walk through the window with real mouse and keyboard events: all that an astronomer does with a galaxy.

`test_walk` does it on a small result at every test, and on the mock spiral and a galaxy of 10 000 bins among the slow
tests (``pytest -m slow -s tests/qt/test_walk.py``); the times until the window has dealt with each act are printed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QScrollArea, QSlider
from window_acts import bin_world, click, drag, lasso, native_canvas, screen_point, window

ALT, NONE = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.NoModifier


class Walk:
    """Acts on a viewer with an explorer that shows a result.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    dock : Explorer
    folder : Path
        Where files are saved to.
    ask : callable
        Given a path that the next file dialog shall answer.
    """

    def __init__(self, viewer: Any, dock: Any, folder: Path, ask: Callable[[Path], None]) -> None:
        self.viewer, self.dock, self.folder, self.ask = viewer, dock, folder, ask
        self.times_ms: dict[str, list[tuple[float, float]]] = {}
        order = np.argsort(dock.session.result.data.snr)[::-1]
        self.bins = [int(b) + 1 for b in order[np.linspace(0, order.size - 1, 7).astype(int)[1:-1]]]

    def do(self, name: str, act: Callable[[], object]) -> None:
        """An act, until the window has dealt with it; a job that it starts is waited for, but not timed."""
        start, cpu = time.perf_counter(), time.thread_time()
        act()
        QApplication.processEvents()
        times = 1e3 * (time.perf_counter() - start), 1e3 * (time.thread_time() - cpu)
        self.times_ms.setdefault(name, []).append(times)
        assert self.dock.wait(600), f"{name}: takes more than ten minutes"
        self.no_error(name)
        self.fits(name)

    def no_error(self, name: str) -> None:
        """The sentence at the top of the dock is no error."""
        assert not self.dock.is_error, f"{name}: {self.dock.message.text()}"

    def key(self, key: Any, modifier: Any = ALT) -> None:
        """A key on the canvas."""
        QTest.keyClick(native_canvas(self.viewer), key, modifier)

    def click(self, bin_id: int) -> None:
        """A click on a bin, which is selected whatever was done before."""
        session = self.dock.session
        self.do("click", lambda: click(self.viewer, session, bin_id))
        assert session.selected == bin_id

    def press(self, button: Any) -> None:
        """A click on a button; it is scrolled into sight first."""
        native = getattr(button, "native", button)
        self.scroll_to(native)
        assert native.isEnabled(), f"{native.text()} cannot be pressed"
        QTest.mouseClick(native, Qt.MouseButton.LeftButton)

    def scroll_to(self, native: Any) -> None:
        """Bring a widget of the dock into sight."""
        for area in self.dock.findChildren(QScrollArea):
            if area.widget().isAncestorOf(native):
                area.ensureWidgetVisible(native)
        QApplication.processEvents()

    def slide(self, name: str, slider: Any, *keys: Any) -> None:
        """Keys on a slider that the Tab key has reached; each of them moves it."""
        inner = slider.native.findChild(QSlider)
        assert inner.focusPolicy() & Qt.FocusPolicy.TabFocus, f"{slider.label}: the keyboard does not get there"
        self.scroll_to(inner)
        inner.setFocus(Qt.FocusReason.TabFocusReason)
        for key in keys:
            before = slider.value
            self.do(name, lambda key=key: QTest.keyClick(inner, key))
            assert slider.value != before, f"{slider.label}: the key does not move it"

    def save(self, name: str, button: Any) -> None:
        """A button that asks for a file name and writes it."""
        path = self.folder / name
        self.ask(path)
        self.do("save", lambda: self.press(button))
        assert path.stat().st_size > 500, name

    # -- the parts ---------------------------------------------------------------------------------------------

    def maps(self) -> None:
        """Four maps, errors, the grid, hidden bins."""
        for key, name in ((Qt.Key.Key_2, "AGE_MW"), (Qt.Key.Key_3, "MH_LW"), (Qt.Key.Key_4, "MH_MW")):
            self.do("map switch", lambda key=key: self.key(key))
            assert self.dock.stack.find("map", name).visible
        self.do("error map, first", lambda: self.key(Qt.Key.Key_E))
        assert self.dock.stack.current == "MH_MW_ERR"
        self.do("map switch", lambda: self.key(Qt.Key.Key_E))
        self.do("grid", lambda: self.key(Qt.Key.Key_G))
        assert self.viewer.canvas.grid.enabled
        self.do("grid", lambda: self.key(Qt.Key.Key_G))
        self.do("map switch", lambda: self.key(Qt.Key.Key_1))
        snr, shown = self.dock.session.result.data.snr, self.dock.stack.find("map", "AGE_LW")
        whole = np.isfinite(shown.data).sum()
        self.slide("slider", self.dock.map.min_snr, *[Qt.Key.Key_PageUp] * 5)
        some_hidden = bool((snr < self.dock.map.min_snr.value).any())
        assert (np.isfinite(shown.data).sum() < whole) == some_hidden
        self.slide("slider", self.dock.map.min_snr, Qt.Key.Key_Home)
        assert np.isfinite(shown.data).sum() == whole

    def bins_and_plots(self) -> None:
        """Clicks, a comparison, arrow keys, what lies under the cursor, the kinds of history, files."""
        session = self.dock.session
        for bin_id in self.bins:
            self.click(bin_id)
        self.do("shift-click", lambda: click(self.viewer, session, self.bins[0], shift=True))
        assert len(session.shown) == 2
        self.do("arrow key", lambda: self.key(Qt.Key.Key_Left, NONE))
        here = screen_point(self.viewer, bin_world(session, self.bins[1]))
        self.do("hover", lambda: QTest.mouseMove(native_canvas(self.viewer), here))
        for kind in ("light", "sfr", "mass"):
            self.do("kind of history", lambda kind=kind: setattr(self.dock.panel.kind_field, "value", kind))
        self.save("bins.pdf", self.dock.panel.plots_button)
        self.save("bins.ecsv", self.dock.panel.table_button)

    def region(self) -> None:
        """A lasso with the mouse, and its end."""
        session = self.dock.session
        ny, nx = session.result.bins.bin_id.shape
        corners = np.array([[0.35, 0.35], [0.35, 0.65], [0.65, 0.65], [0.65, 0.35], [0.36, 0.35]]) * [ny, nx]
        self.unfold("region")
        self.do("draw region", lambda: self.key(Qt.Key.Key_R))
        path = [screen_point(self.viewer, world) for world in session.sky.to_world(corners)]
        self.do("lasso", lambda: drag(native_canvas(self.viewer), path))
        self.until(lambda: session.region is not None)
        self.save("region.pdf", self.dock.panel.plots_button)

    def mosaics(self) -> None:
        """HST under translucent maps, contours above."""
        tool = self.dock.tools["composite"]
        self.unfold("composite")
        self.do("HST colours", lambda: self.key(Qt.Key.Key_U))
        assert tool.layer is not None
        self.slide("slider of HST", tool.form.brightness, *[Qt.Key.Key_Right] * 3)
        self.do("contours", lambda: tool.show_contours("AGE_LW"))
        self.save("hst.pdf", tool.form.save)
        self.do("HST colours", lambda: self.key(Qt.Key.Key_U))

    def lines(self) -> None:
        """Emission lines from the spectra, on the canvas and against the young stars."""
        tool = self.dock.tools["lines"]
        self.unfold("lines")
        self.do("lines", lambda: self.press(tool.form.from_spectra))
        self.do("line map", lambda: setattr(tool.form.show, "value", tool.form.show.choices[1]))
        self.do("gas and stars", lambda: self.press(tool.form.plot))
        self.save("lines.ecsv", tool.form.table)
        self.save("lines.pdf", tool.figure_button)
        self.do("line map", lambda: setattr(tool.form.show, "value", tool.form.show.choices[0]))

    def gradient(self) -> None:
        """The disc from the white light, its gradients."""
        tool = self.dock.tools["gradient"]
        self.unfold("gradient")
        self.do("guess the disc", lambda: self.press(tool.form.guess))
        self.do("gradient", lambda: self.key(Qt.Key.Key_A))
        self.save("gradient.pdf", tool.figure_button)
        self.save("gradient.fits", tool.table_button)

    def comparison(self, other: Path) -> None:
        """Another result beside this one; the truth where it is known."""
        tool = self.dock.tools["compare"]
        self.unfold("compare")
        tool.form.file.line_edit.value = str(other)
        self.do("compare", lambda: self.press(tool.form.load))
        assert tool.comparison is not None
        self.do("difference map", lambda: self.key(Qt.Key.Key_D))
        self.click(self.bins[3])
        self.save("compare.pdf", tool.figure_button)
        self.save("compare.fits", tool.table_button)
        self.do("difference map", lambda: self.key(Qt.Key.Key_D))

    def posterior_and_ppxf(self) -> None:
        """The corner plot of a bin, and pPXF's answer for it."""
        self.do("corner plot", lambda: self.key(Qt.Key.Key_J))
        self.do("pPXF", lambda: self.key(Qt.Key.Key_B))
        assert self.dock.session.selected in self.dock.tools["ppxf"].fits

    def undo(self) -> None:
        """A click that is taken back, and done again."""
        session = self.dock.session
        QTest.qWait(260)  # a step is kept when nothing has changed for a moment
        before = session.selected
        other = next(b for b in self.bins if b != before)
        self.click(other)
        QTest.qWait(260)
        control = Qt.KeyboardModifier.ControlModifier
        self.do("undo", lambda: self.key(Qt.Key.Key_Z, control))
        assert session.selected == before
        self.do("redo", lambda: self.key(Qt.Key.Key_Z, control | Qt.KeyboardModifier.ShiftModifier))
        assert session.selected == other

    def brush(self) -> None:
        """A lasso around points of the gradient's plot shows the mean of their bins, outlined on the map."""
        plot, session = self.dock.tools["gradient"].plot, self.dock.session
        self.dock.show_dock("Gradient", self.dock.tools["gradient"].dock)
        corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98), (0.02, 0.03)]
        self.do("lasso in a plot", lambda: lasso(plot, plot.box, corners))
        assert session.regions
        assert session.regions[-1].rows.size > 4
        self.press(self.dock.tools["region"].form.clear)
        assert not session.regions

    def ages(self) -> None:
        """The stars between two ages, typed."""
        form = self.dock.map
        for field, text in ((form.youngest, "0"), (form.oldest, "0.3")):
            field.value = text
        self.do("map between ages, first", lambda: self.press(form.ages_button))
        assert self.dock.stack.display.shown.name == "MASS_AGES_0_0.3"
        self.do("map switch", lambda: self.key(Qt.Key.Key_1))

    def exports(self) -> None:
        """Result, page of maps, table."""
        export = self.dock.export
        self.unfold("export")
        self.scroll_to(export.distance.native)
        export.distance.native.setFocus()
        QTest.keyClicks(export.distance.native, "9.84")
        self.save("result.fits", export.result)
        self.save("maps.pdf", export.figure)

    def workspace(self) -> None:
        """Keep all, go elsewhere, come back."""
        self.save("work.json", self.dock.file_row.save)
        kept = self.dock.files.capture()
        self.click(self.bins[2])
        self.do("map switch", lambda: self.key(Qt.Key.Key_4))
        self.ask(self.folder / "work.json")
        self.do("open workspace", lambda: self.press(self.dock.file_row.open))
        again = self.dock.files.capture()
        assert again.session == kept.session
        assert again.tools == kept.tools

    # -- help --------------------------------------------------------------------------------------------------

    def unfold(self, name: str) -> None:
        """Open a section by a click on its title, if it is folded."""
        section = self.dock.sections[name]
        if not section.expanded:
            self.do("unfold", lambda: self.press(section.toggle))

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Turn the event loop until a condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the window did not get there"
            QApplication.processEvents()
            time.sleep(0.01)

    def fits(self, name: str, width: int = 1280, height: int = 720) -> None:
        """An act has not made the window larger than a small screen."""
        now = window(self.viewer).width(), window(self.viewer).height()
        assert now[0] <= width and now[1] <= height, f"{name}: the window grows to {now}"  # noqa: PT018

    def report(self) -> str:
        """One line an act: how often; median and longest time in ms, by the clock and of the main thread's CPU."""
        lines = []
        for name, times in self.times_ms.items():
            (wall, cpu), (longest, most) = np.median(times, axis=0), np.max(times, axis=0)
            figures = f"median {wall:7.1f} ms   longest {longest:7.1f} ms   CPU {cpu:7.1f} / {most:7.1f} ms"
            lines.append(f"  {name:20s} n {len(times):3d}   {figures}")
        return "\n".join(lines)
