"""For all tests: the collector sleeps while they are collected, and pages that nobody looks at are drawn small."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

# Before anything loads napari, which then reads its preferences: the tests neither see nor touch those of the user.
_PREFERENCES = tempfile.TemporaryDirectory(prefix="napari-sfh-test-")  # removed when this process ends
os.environ["NAPARI_CONFIG"] = str(Path(_PREFERENCES.name) / "settings.yaml")
os.environ["NAPARI_SFH_CONFIG"] = _PREFERENCES.name
(Path(_PREFERENCES.name) / "tour-seen").touch()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Modules and syntax trees are made by the million, and hardly one is garbage: a quarter of the time.

    Afterwards it looks less often than after 700 new objects: there is memory for what waits.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The unit tests, which come last, begin with their longest files: at the end no worker waits long for another."""
    last = [item for item in items if item.path.parent == Path(__file__).parent / "unit"]
    lengths = {path: path.stat().st_size for path in {item.path for item in last}}
    ordered = iter(sorted(last, key=lambda item: (-lengths[item.path], item.path)))
    items[:] = [next(ordered) if item.path in lengths else item for item in items]


@pytest.fixture(scope="session", autouse=True)
def plain_fits_settings() -> Iterator[None]:
    """Astropy looks its settings up, and checks them, at each card of a header: a sixth of all work on FITS files."""
    from astropy.io import fits

    with pytest.MonkeyPatch.context() as patch:
        for name, setting in fits.conf.items():
            patch.setattr(type(fits.conf), name, setting())
        yield


@pytest.fixture(scope="session", autouse=True)
def tiny_numbers_are_compared() -> Iterator[None]:
    """`pytest.approx` allows 1e-12 whatever ``rel`` says, more than any flux in cgs units: those by ``rel`` alone."""
    scalar = type(pytest.approx(1.0))
    tolerance = scalar.tolerance

    def compare_tiny(approx: Any) -> Any:
        tiny = approx.abs is None and isinstance(approx.expected, float) and 0 < abs(approx.expected) < 1e-12
        return abs(approx.expected) * (approx.rel or 1e-6) if tiny else tolerance.fget(approx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scalar, "tolerance", property(compare_tiny))
        yield


@pytest.fixture(scope="session", autouse=True)
def small_summary_pages() -> Iterator[None]:
    """The page that every run leaves beside its result takes longer than the run: half of that is its layout and size.

    `test_binview` and the demo draw it as users see it.
    """
    module = sys.modules.get("napari_sfh.batch.many_galaxies")
    if module is None:
        yield
        return

    from napari_sfh.figures import files

    save_page, save_figure = module.save_summary_page, files.save_figure

    def save_small(figure: Any, path: Path, dpi: int) -> Path:
        figure.set_layout_engine("none")
        return save_figure(figure, path, dpi=min(dpi, 40))

    def save_small_page(result: Any, output: Path) -> Path:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(files, "save_figure", save_small)
            return save_page(result, output)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "save_summary_page", save_small_page)
        yield


@pytest.fixture(scope="session", autouse=True)
def small_learning_curves() -> Iterator[None]:
    """The picture of its losses that every training leaves takes as long as that of a toy: half is layout and size."""
    module = sys.modules.get("napari_sfh.training.fitting.learning_curve")
    if module is None:
        yield
        return

    class SmallFigure(module.Figure):
        def __init__(self, **_: Any) -> None:
            super().__init__(figsize=(2.0, 1.5))

        def savefig(self, path: Path, dpi: int) -> None:
            super().savefig(path, dpi=min(dpi, 40))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Figure", SmallFigure)
        yield


@pytest.fixture
def small_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn once and small, as PNG whatever their file is called, for tests that save many by the way."""
    from matplotlib.figure import Figure

    save = Figure.savefig

    def save_small(self: Figure, fname: Any, **_: Any) -> None:
        self.set_layout_engine("none")
        save(self, fname, format="png", dpi=40)

    monkeypatch.setattr(Figure, "savefig", save_small)


@pytest.fixture
def page_at_once(small_figures: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """`napari-sfh run` draws its page here, small, not in a Python of its own that loads Matplotlib once more.

    The demo's test draws it as users see it.
    """
    from napari_sfh.processes.held_values import run_held_call

    class ChildHere:
        """In place of a `ChildPython`: what it was asked is done when it is waited for."""

        def __init__(self) -> None:
            self._held: dict[Any, Any] = {}
            self._calls: list[tuple[Callable[..., Any], tuple[Any, ...], bool]] = []

        def begin(self, function: Callable[..., Any], args: tuple[Any, ...], follow: bool) -> int:
            self._calls.append((function, args, follow))
            return len(self._calls)

        def load(self, modules: Sequence[str]) -> None: ...

        def finish(self, call: int, stage: str, progress: Any, cancel: Any) -> Any:
            function, args, follow = self._calls[call - 1]
            made = partial(function, progress=progress, cancel=cancel) if follow else function
            return run_held_call(call, made, args, self._held)

    def start_here(modules: Sequence[str]) -> AbstractContextManager[ChildHere]:
        return nullcontext(ChildHere())

    def call_here(function: Callable[..., Any], args: tuple[Any, ...], *_: Any, **__: Any) -> Any:
        return function(*args)

    monkeypatch.setattr("napari_sfh.processes.calls.start_process", start_here)
    monkeypatch.setattr("napari_sfh.processes.calls.run_in_process", call_here)
