"""A viewer that shows a synthetic result, and what the tests do in it."""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from qtpy.QtWidgets import QApplication
from shared_window import SharedViewer, SharedWindow, collecting_seldom, painting_once
from smooth_result import make_result, make_wcs
from window_acts import open_explorer, open_viewer, window

from napari_sfh.io.results import write_result
from napari_sfh.types import Result


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with viewers of their own come after those in the shared window, which is closed for them.

    So do, in a file, the former after the latter, and in this folder the files with many of the former.
    """
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    own = {item: "make_viewer" in getattr(item, "fixturenames", ()) for item in here}
    kinds = {item.path: {own[other] for other in here if other.path == item.path} for item in here}
    ranks = {path: len(kind) if False in kind else 3 for path, kind in kinds.items()}  # none, some or all are of those
    first = {item.path: k for k, item in reversed(list(enumerate(here)))}
    ordered = iter(sorted(here, key=lambda item: (ranks[item.path], first[item.path], own[item])))
    items[:] = [next(ordered) if item in own else item for item in items]


@pytest.fixture(autouse=True)
def painting_at_rest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test waits for is painted once, when it is there: to paint every turn takes longer than all else.

    A test marked ``painted`` sees each turn.
    """
    if "painted" in request.keywords or "shared_window" not in request.fixturenames:
        return
    request.getfixturevalue("imported")
    from pytestqt.qtbot import QtBot

    from napari_sfh._qt.explorer import Explorer

    for owner, name in ((Explorer, "wait"), (QtBot, "waitUntil")):
        monkeypatch.setattr(owner, name, paint_after(getattr(owner, name)))


def paint_after(wait: Callable[..., Any]) -> Callable[..., Any]:
    """A wait during which no window that is there is painted; afterwards, all are."""

    @functools.wraps(wait)
    def wait_unpainted(*args: Any, **kwargs: Any) -> Any:
        from qtpy.QtWidgets import QApplication

        with contextlib.ExitStack() as stack:
            for each in QApplication.topLevelWidgets():
                if each.isVisible():
                    stack.enter_context(painting_once(each))
            return wait(*args, **kwargs)

    return wait_unpainted


@pytest.fixture(scope="session")
def result() -> Result:
    """16 bins (some lost at the corners of the round field) on a 40 x 40 map."""
    return make_result()


@pytest.fixture(scope="module")
def discovered() -> None:
    """napari finds plugins when its first window opens; some tests have none."""
    from npe2 import PluginManager

    PluginManager.instance().discover()


@pytest.fixture
def result_file(result: Result, tmp_path: Path) -> Path:
    """The result that tests share, as a file."""
    return write_result(result, tmp_path / "ngc0000_sfh.fits")


@pytest.fixture
def cube_file(tmp_path: Path) -> Path:
    """A cube whose every channel is 7, 8, ... along x where it is good; a channel of one constant is no observation."""
    header = make_wcs((6, 8)).to_header()
    header.update(CTYPE3="AWAV", CUNIT3="Angstrom", CRVAL3=4749.88, CRPIX3=1.0, CD3_3=1.25, WCSAXES=3)
    header["BUNIT"] = "10**(-20)*erg/s/cm**2/Angstrom"
    data = np.broadcast_to(7 + np.arange(8, dtype=np.float32), (2000, 6, 8)).copy()
    data[:, 0, 0] = np.nan
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(data, header, "DATA"), fits.ImageHDU(np.ones_like(data), header, "STAT")]
    path = tmp_path / "NGC0000_DATACUBE.fits"
    fits.HDUList(hdus).writeto(path)
    return path


@pytest.fixture
def default_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The synthetic results count as made by the shipped default weights."""
    from napari_sfh.instruments.bundle_header import find_bundle_file

    monkeypatch.setattr("napari_sfh.analysis.weights.find_result_weights", lambda result: find_bundle_file("default"))


@pytest.fixture(scope="session")
def imported() -> Iterator[None]:
    """The modules of the window, set aside from the garbage collection with which napari drops a layer.

    VisPy takes the comments out of the same few shaders whenever something is drawn for the first time: once will do.
    """
    from vispy.gloo import program

    import napari_sfh._qt.explorer  # noqa: F401

    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "re", SimpleNamespace(**{**vars(re), "sub": functools.cache(re.sub)}))
        yield


@pytest.fixture(scope="session", autouse=True)
def traced_qt_threads() -> Iterator[None]:
    """Who measures coverage sees what runs in Qt's threads too: Python tells a tracer of its own threads alone."""
    if threading.gettrace() is None:
        yield
        return
    from superqt.utils import WorkerBase

    run = WorkerBase.run

    def run_traced(self: Any) -> None:
        sys.settrace(threading.gettrace())
        run(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorkerBase, "run", run_traced)
        yield


@pytest.fixture(scope="session")
def shared_window(qapp: Any, imported: None) -> Iterator[SharedWindow]:
    """The window that the tests share."""
    shared = SharedWindow(lambda width, height: open_explorer(open_viewer(width, height)))
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def shared_viewer(qapp: Any, imported: None) -> Iterator[SharedViewer]:
    """The viewer in which tests dock explorers of their own."""

    def open_shown(width: int, height: int) -> tuple[Any, Any]:
        viewer = open_viewer(width, height)
        return viewer, window(viewer)

    shared = SharedViewer(open_shown)
    yield shared
    shared.close()


@pytest.fixture
def shown(qtbot: Any, shared_window: SharedWindow, shared_viewer: SharedViewer, result: Result) -> Any:
    """An explorer that shows the result, at rest: for tests that do not care about how it was opened."""
    shared_viewer.close()
    return shared_window.take(result)


@pytest.fixture
def opened(qtbot: Any, shown: Any) -> Any:
    """An explorer that shows a result in the active window."""
    window(shown.viewer).activateWindow()
    qtbot.waitUntil(lambda: QApplication.activeWindow() is not None, timeout=120_000)
    return shown


@pytest.fixture
def make_viewer(qtbot: Any, shared_window: SharedWindow, shared_viewer: SharedViewer) -> Iterator[Any]:
    """A function that opens a shown viewer, the first one of which is emptied after the test and the others closed."""
    shared_window.close()
    others: list[Any] = []
    calls = itertools.count()

    def make(width: int = 1280, height: int = 720) -> Any:
        if next(calls) == 0:
            return shared_viewer.take(width, height)
        others.append(open_viewer(width, height))
        return others[-1]

    yield make
    with collecting_seldom():
        while others:
            others.pop().close()
        shared_viewer.empty()


@pytest.fixture
def no_window(shared_window: SharedWindow, shared_viewer: SharedViewer) -> None:
    """No viewer is open: what is read goes to no explorer."""
    shared_window.close()
    shared_viewer.close()


def pytest_sessionfinish() -> None:
    """Let threads end that load torch for a window that was closed, as napari does before it quits."""
    from qtpy.QtCore import QCoreApplication, QEvent, QThreadPool

    pool = QThreadPool.globalInstance()
    if pool is not None:
        pool.waitForDone(120_000)
    if QCoreApplication.instance() is not None:
        # The last window has nobody who would end it before Python ends what it still knows of.
        ends: Any = QEvent.Type.DeferredDelete
        for _ in range(3):
            QCoreApplication.processEvents()
            QCoreApplication.sendPostedEvents(None, int(getattr(ends, "value", ends)))
            gc.collect()
