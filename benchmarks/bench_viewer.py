"""Latencies of the window: ``xvfb-run -a python benchmarks/bench_viewer.py [RESULT.fits] [--bins-per-side 20 110]``.

A click is a real mouse click on the canvas; it ends when both the plots and the canvas have painted. The longest block
is the longest time between two ticks of a fast timer while layers are loaded. Without a result file, made-up ones are
shown. Under Xvfb, OpenGL is drawn by the CPU: a machine with a GPU paints the canvas faster. The CPU time of the main
thread is what remains of the wall clock on an idle machine with a GPU.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "qt"))


def machine(viewer: Any) -> str:
    """One line about where this ran."""
    import napari
    import pyqtgraph
    import qtpy
    from vispy import gloo

    viewer.window._qt_viewer.canvas._scene_canvas.set_current()
    renderer = gloo.gl.glGetParameter(gloo.gl.GL_RENDERER)
    return (
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"napari {napari.__version__}, {qtpy.API_NAME} {qtpy.QT_VERSION}, pyqtgraph {pyqtgraph.__version__}; "
        f"GL: {renderer}"
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
    from conftest import bin_world, native_canvas, screen_point
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    point = screen_point(viewer, bin_world(dock.session, bin_id))
    QTest.mouseMove(native_canvas(viewer), point)
    settle()
    before = (painted.canvas, painted.plots)
    start, cpu = time.perf_counter(), time.thread_time()
    QTest.mouseClick(native_canvas(viewer), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)
    while (painted.canvas == before[0] or painted.plots == before[1]) and time.perf_counter() - start < 5:
        QApplication.processEvents()
    assert dock.session.selected == bin_id, (dock.session.selected, bin_id)
    return 1e3 * (time.perf_counter() - start), 1e3 * (time.thread_time() - cpu)


def settle(seconds: float = 0.1) -> None:
    """Let the event loop come to rest."""
    from qtpy.QtWidgets import QApplication

    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def load(dock: Any, result: Any) -> tuple[float, float]:
    """Seconds to show a result, and the longest block in ms meanwhile."""
    from napari_sfh._qt import tasks

    shown = tasks.prepare(result)
    heart, start = Heart(), time.perf_counter()
    dock._shown(shown)
    wait(lambda: not dock._loading)
    return time.perf_counter() - start, heart.longest_ms()


class Heart:
    """A fast timer in the main thread: its longest pause is the longest block."""

    def __init__(self, dock: Any = None) -> None:
        from qtpy.QtCore import QTimer

        self.ticks = [time.perf_counter()]
        self.stages = [""]
        self._dock = dock
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(2)

    def _beat(self) -> None:
        self.ticks.append(time.perf_counter())
        self.stages.append("" if self._dock is None else self._dock.stage.value)

    def worst(self, n: int = 4) -> str:
        """The longest pauses and the stages in which they fell."""
        gaps = 1e3 * np.diff(self.ticks)
        return ", ".join(f"{gaps[k]:.0f} ms ({self.stages[k]})" for k in np.argsort(gaps)[::-1][:n])

    def longest_ms(self) -> float:
        """Stop, and tell the longest pause in ms."""
        settle(0.05)
        self._timer.stop()
        return 1e3 * float(np.diff(self.ticks).max())


def run_demo(dock: Any, weights: str) -> None:
    """Run the mock spiral: once with a cancel in each stage that lasts, once to the end."""
    dock.open_demo()
    wait(lambda: not dock.job.running)
    dock.network.file.line_edit.value = weights
    stages: dict[str, float] = {}
    heart, start = Heart(dock), time.perf_counter()
    dock.run()
    while dock.job.running:
        settle(0.01)
        stages.setdefault(dock.stage.value.split(" ")[0], time.perf_counter() - start)
    computed, block = time.perf_counter() - start, heart.longest_ms()
    print(f"  longest blocks: {heart.worst()}")
    heart = Heart()
    wait(lambda: not dock._loading)
    print(f"demo: computed in {computed:.1f} s, longest block of the main thread {block:.0f} ms")
    print(f"  layers shown after {time.perf_counter() - start:.1f} s, longest block {heart.longest_ms():.0f} ms")
    for stage in stages:
        dock.run()
        wait(lambda stage=stage: dock.stage.value.startswith(stage) or not dock.job.running)
        start = time.perf_counter()
        dock.cancel()
        wait(lambda: not dock.job.running)
        print(f"  cancelled in {1e3 * (time.perf_counter() - start):6.0f} ms at {stage!r}")
        wait(lambda: not dock._loading)


def wait(condition: Any, seconds: float = 300.0) -> None:
    """Turn the event loop until a condition holds."""
    end = time.perf_counter() + seconds
    while not condition() and time.perf_counter() < end:
        settle(0.005)


def report(name: str, values: list[float]) -> None:
    """Median and 95th percentile of times in ms."""
    print(
        f"  {name:34s} median {np.median(values):6.1f} ms   95 % {np.percentile(values, 95):6.1f} ms   n {len(values)}"
    )


def measure(viewer: Any, dock: Any, painted: Painted, result: Any, clicks: int) -> None:
    """All latencies for one result."""
    from qtpy.QtWidgets import QApplication

    ny, nx = result.bins.bin_id.shape
    print(f"{result.bins.n_bins} bins on {ny} x {nx} spaxels")
    for name in ("first", "again"):
        seconds, longest = load(dock, result)
        print(f"  layers shown, {name:20s} {seconds:6.2f} s, longest block of the main thread {longest:6.1f} ms")
    settle(0.5)
    rng = np.random.default_rng(1)
    bins = rng.permutation(np.arange(1, result.bins.n_bins + 1))
    times = [timed_click(viewer, dock, painted, int(b)) for b in np.resize(bins, clicks + 3)]
    report("click -> canvas and plots painted", [wall for wall, _ in times[3:]])
    report("  the same, CPU of the main thread", [cpu for _, cpu in times[3:]])
    for label, act in (
        ("map switch", lambda k: dock.show_map(("AGE_MW", "MH_LW", "MH_MW", "AGE_LW")[k % 4])),
        ("S/N slider", lambda k: setattr(dock.map.min_snr, "value", 21 + k)),
    ):
        durations = []
        for k in range(20):
            before, start = painted.canvas, time.perf_counter()
            act(k)
            while painted.canvas == before and time.perf_counter() - start < 5:
                QApplication.processEvents()
            durations.append(1e3 * (time.perf_counter() - start))
            settle(0.05)
        report(label + " -> painted", durations)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", nargs="?", type=Path)
    parser.add_argument("--bins-per-side", nargs="+", type=int, default=[20, 110])
    parser.add_argument("--clicks", type=int, default=100)
    parser.add_argument("--demo", nargs="?", const="", help="run the mock spiral, with these weights")
    options = parser.parse_args()
    import napari
    from conftest import make_result, open_explorer, window

    viewer = napari.Viewer(show=True)
    window(viewer).resize(1920, 1080)
    dock = open_explorer(viewer)
    settle(3)
    print(machine(viewer))
    painted = Painted(dock, viewer)
    if options.demo is not None:
        run_demo(dock, options.demo)
    if options.result is not None:
        from napari_sfh.io.results import read_result

        results = [read_result(options.result)]
    else:
        results = [make_result(n, (3 * n, 3 * n)) for n in options.bins_per_side]
    for result in results:
        measure(viewer, dock, painted, result, options.clicks)
    viewer.close()


if __name__ == "__main__":
    main()
