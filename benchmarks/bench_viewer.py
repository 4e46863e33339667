"""Latencies of the window: ``xvfb-run -a python benchmarks/bench_viewer.py [RESULT.fits ...] [--bins 10000]``.

The mock spiral is run in the window; then its result, and one of 10 000 bins made of it (or the files given instead),
are shown and used. A click is a real mouse click on the canvas, a lasso a real drag; they end when the plots (and for
a click the canvas, too) have painted. The longest block is the longest time between two ticks of a fast timer. Under
Xvfb, OpenGL is drawn by the CPU: a machine with a GPU paints the canvas faster. The CPU time of the main thread is what
remains at most on an idle machine: the main thread's part of the software GL is in it.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

for folder in ("qt", "toys"):
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / folder))


def describe(viewer: Any) -> str:
    """One line about where this ran."""
    import napari
    import pyqtgraph
    import qtpy
    from machine import machine
    from vispy import gloo

    viewer.window._qt_viewer.canvas._scene_canvas.set_current()
    renderer = gloo.gl.glGetParameter(gloo.gl.GL_RENDERER)
    software = ": software GL under Xvfb" if "llvmpipe" in renderer else ""
    return (
        f"{machine()}; napari {napari.__version__}, {qtpy.API_NAME} "
        f"{qtpy.QT_VERSION}, pyqtgraph {pyqtgraph.__version__}; GL: {renderer}{software}"
    )


class Painted:
    """Counts the paintings of the canvas and of the plots."""

    def __init__(self, dock: Any, viewer: Any) -> None:
        self.canvas = self.plots = 0
        viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(self._canvas, position="last")
        plots = dock.panel.plots
        paint = type(plots).paintEvent

        def painted(widget: Any, event: Any) -> None:
            paint(widget, event)
            self.plots += widget is plots

        type(plots).paintEvent = painted

    def _canvas(self, _: Any) -> None:
        self.canvas += 1


def timed_click(viewer: Any, dock: Any, painted: Painted, bin_id: int) -> tuple[float, float]:
    """Milliseconds from the press of the mouse to both painted: wall clock, CPU of the main thread."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from window_acts import bin_world, native_canvas, screen_point

    point = screen_point(viewer, bin_world(dock.session, bin_id))
    QTest.mouseMove(native_canvas(viewer), point)
    settle()
    before = (painted.canvas, painted.plots)
    click = partial(
        QTest.mouseClick, native_canvas(viewer), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point
    )
    times = timed(click, lambda: painted.canvas > before[0] and painted.plots > before[1])
    assert dock.session.selected == bin_id, (dock.session.selected, bin_id)
    return times


def settle(seconds: float = 0.1) -> None:
    """Let the event loop come to rest."""
    from qtpy.QtWidgets import QApplication

    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def load(dock: Any, result: Any) -> tuple[float, str]:
    """Seconds to show a result, and the longest block meanwhile."""
    from napari_sfh._qt.jobs import tasks

    shown = tasks.prepare_result(result)
    heart, start = Heart(), time.perf_counter()
    dock.presenter.show_prepared(shown)
    wait(lambda: not dock.loading)
    return time.perf_counter() - start, heart.blocks()


class Heart:
    """A fast timer in the main thread: its longest pause is the longest block."""

    def __init__(self, dock: Any = None) -> None:
        from qtpy.QtCore import QTimer

        self._ticks = [(time.perf_counter(), time.thread_time())]
        self._stages = [""]
        self._dock = dock
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(2)

    def _beat(self) -> None:
        self._ticks.append((time.perf_counter(), time.thread_time()))
        self._stages.append("" if self._dock is None else self._dock.stage.value)

    def blocks(self, n: int = 1) -> str:
        """Stop, and tell the longest pauses, the CPU time of the main thread in each, and the stages."""
        settle(0.05)
        self._timer.stop()
        gaps = 1e3 * np.diff(np.array(self._ticks), axis=0)
        longest = np.argsort(gaps[:, 0])[::-1][:n]
        told = (f"{gaps[k, 0]:.0f} ms (CPU {gaps[k, 1]:.0f} ms) {self._stages[k]}".strip() for k in longest)
        return f"longest block of the main thread {', '.join(told)}; most CPU in one {gaps[:, 1].max():.0f} ms"


def run_demo(dock: Any, weights: str, cancel: bool) -> None:
    """Run the mock spiral to the end; on request, once more for each stage, cancelled in it."""
    dock.open_demo()
    wait(lambda: not dock.busy)
    dock.network.file.line_edit.value = weights
    stages: dict[str, float] = {}
    heart, start = Heart(dock), time.perf_counter()
    dock.run()
    while dock.busy or dock.loading:
        settle(0.01)
        stages.setdefault(dock.stage.value.split(" ")[0], time.perf_counter() - start)
    print(f"demo: maps shown after {time.perf_counter() - start:.1f} s, {heart.blocks(4)}")
    for stage in stages if cancel else ():
        dock.run()
        wait(lambda stage=stage: dock.stage.value.startswith(stage) or not dock.busy)
        start = time.perf_counter()
        dock.cancel()
        wait(lambda: not dock.busy)
        print(f"  cancelled in {1e3 * (time.perf_counter() - start):6.0f} ms at {stage!r}")
        wait(lambda: not dock.loading)


def wait(condition: Any, seconds: float = 300.0) -> None:
    """Turn the event loop until a condition holds."""
    end = time.perf_counter() + seconds
    while not condition() and time.perf_counter() < end:
        settle(0.005)


def until(condition: Any, seconds: float = 5.0) -> None:
    """Turn the event loop without a pause."""
    from qtpy.QtWidgets import QApplication

    start = time.perf_counter()
    while not condition() and time.perf_counter() - start < seconds:
        QApplication.processEvents()


def timed(act: Any, done: Any) -> tuple[float, float]:
    """Milliseconds from ``act()`` until ``done()``: wall clock, CPU of the main thread."""
    start, cpu = time.perf_counter(), time.thread_time()
    act()
    until(done)
    times = 1e3 * (time.perf_counter() - start), 1e3 * (time.thread_time() - cpu)
    settle(0.05)
    return times


def timed_lasso(viewer: Any, dock: Any, painted: Painted, size: float) -> tuple[float, float]:
    """Of a square lasso, from its release until the plots show the region's mean."""
    from window_acts import drag, native_canvas, screen_point, send_mouse

    ny, nx = dock.session.result.bins.bin_id.shape
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1], [-1, -0.9]]) * size
    pixels = (np.array([ny, nx]) - 1) / 2 * (1 + corners)
    points = [screen_point(viewer, world) for world in dock.session.sky.to_world(pixels)]
    dock.draw_region()
    settle(0.2)
    native = native_canvas(viewer)
    drag(native, points, release=False)
    settle(0.1)
    before = painted.plots
    release = partial(send_mouse, native, "MouseButtonRelease", points[-1])
    times = timed(release, lambda: dock.session.region is not None and painted.plots > before)
    dock.tools["region"].clear()
    settle(0.1)
    return times


def measure(viewer: Any, dock: Any, painted: Painted, result: Any, clicks: int, ppxf: bool) -> None:
    """All latencies for one result; ``ppxf``: with a fit, too."""
    ny, nx = result.bins.bin_id.shape
    print(f"{result.name}: {result.bins.n_bins} bins on {ny} x {nx} spaxels")
    for name in ("first", "again"):
        seconds, blocks = load(dock, result)
        print(f"  layers shown, {name:20s} {seconds:6.2f} s, {blocks}")
    settle(0.5)
    rng = np.random.default_rng(1)
    bins = np.resize(rng.permutation(np.arange(1, result.bins.n_bins + 1)), clicks + 3)
    report("click -> canvas and plots", [timed_click(viewer, dock, painted, int(b)) for b in bins][3:])
    measure_maps(dock, painted)
    names = ("AGE_MW", "MH_LW", "MH_MW", "AGE_LW")
    for label, act in (
        ("map switch -> canvas", lambda k: dock.show_map(names[k % 4])),
        ("S/N slider -> canvas", lambda k: setattr(dock.map.min_snr, "value", 21 + k)),
    ):
        times = []
        for k in range(24):
            before = painted.canvas
            times.append(timed(partial(act, k), lambda before=before: painted.canvas > before))
        report(label, times[4:])
    dock.map.min_snr.value = 0
    if ppxf:
        heart = Heart(dock)
        dock.tools["ppxf"].fit(int(bins[0]))
        wait(lambda: not dock.busy)
        settle(0.5)
        print(f"  pPXF on a bin: {heart.blocks(2)}")
    report("lasso -> plots", [timed_lasso(viewer, dock, painted, 0.2 + 0.05 * k) for k in range(10)][1:])


def measure_maps(dock: Any, painted: Painted) -> None:
    """Maps that have no layer yet, and four maps side by side, on and off."""

    def paint(act: Any, shown: Any) -> tuple[float, float]:
        """Until the canvas has painted after ``shown()`` holds and nothing waits."""
        seen: list[int] = []

        def done() -> bool:
            if not seen and shown() and not dock.loading:
                seen.append(painted.canvas)
            return bool(seen) and painted.canvas > seen[0]

        return timed(act, done)

    names = ("EBV", "MASS", "T50", "SFR_100MYR", "ML_V", "T90")
    display = dock.stack.display
    times = [paint(partial(dock.show_map, name), lambda name=name: display.shown.name == name) for name in names]
    report("map shown first", times)
    dock.show_map("AGE_LW")
    settle(0.5)
    grid: dict[str, list[tuple[float, float]]] = {"first": [], "again": [], "off": []}
    for k in range(6):
        heart = Heart(dock)
        for name, on in (("first" if k == 0 else "again", True), ("off", False)):
            act = partial(setattr, dock.map.grid, "value", on)
            grid[name].append(paint(act, lambda on=on: display.is_grid == on))
        blocks = heart.blocks()
        if k < 2:
            print(f"    four maps, on and off: {blocks}")
    for name, measured in grid.items():
        report(f"four maps, {name}", measured)


def report(name: str, times: list[tuple[float, float]]) -> None:
    """Median and 95th percentile of (wall clock, CPU of the main thread) in ms."""
    (wall, cpu), (wall95, cpu95) = np.percentile(times, [50, 95], axis=0)
    clock = f"median {wall:6.1f} ms   95 % {wall95:6.1f} ms"
    print(f"  {name:28s} {clock}   CPU of the main thread {cpu:6.1f} / {cpu95:6.1f} ms   n {len(times)}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="*", type=Path, help="instead of the mock spiral and its enlargement")
    parser.add_argument("--bins", type=int, default=10_000)
    parser.add_argument("--clicks", type=int, default=100)
    parser.add_argument("--weights", default="", help="other than the default ones")
    parser.add_argument("--cancel", action="store_true", help="cancel a run in each of its stages, too")
    options = parser.parse_args()
    import napari
    from big_result import big_result
    from window_acts import open_explorer, window

    from napari_sfh.io.results import read_result

    viewer = napari.Viewer(show=True)
    window(viewer).resize(1920, 1080)
    dock = open_explorer(viewer)
    settle(3)
    print(describe(viewer))
    painted = Painted(dock, viewer)
    results = [read_result(path) for path in options.results]
    if not results:
        run_demo(dock, options.weights, options.cancel)
        results = [dock.session.result, big_result(options.bins, dock.session.result)]
    for result in results:
        measure(viewer, dock, painted, result, options.clicks, result is results[0])
    viewer.close()


if __name__ == "__main__":
    main()
