"""For all tests: what takes long beside them and is not what they test (collector, settings, pages) is kept short."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from napari_sfh import jobs
from napari_sfh.jobs import run_in_process, start_process


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Modules and syntax trees are made by the million, and hardly one is garbage: a quarter of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def plain_fits_settings() -> Iterator[None]:
    """Astropy looks its settings up, and checks them, at each card of a header: a sixth of all work on FITS files."""
    from astropy.io import fits

    with pytest.MonkeyPatch.context() as patch:
        for name, setting in fits.conf.items():
            patch.setattr(type(fits.conf), name, setting())
        yield


class SmallPages:
    """Summary pages drawn small, without the layout, and in this process.

    The page that every run leaves beside its result takes longer than the run: a Python of its own loads Matplotlib for
    it, and half of the rest is its layout and size.
    """

    def __init__(self) -> None:
        self.wanted = True

    def start_process(self, modules: Sequence[str]) -> AbstractContextManager[Any]:
        """In place of `jobs.start_process`."""
        small = self.wanted and list(modules) == ["napari_sfh.figures.summary"]
        return nullcontext() if small else start_process(modules)

    def run_in_process(self, function: Callable[..., Any], args: tuple[Any, ...], *rest: Any, **options: Any) -> Any:
        """In place of `jobs.run_in_process`."""
        if not self.wanted or function.__name__ != "render_page_of_file":
            return run_in_process(function, args, *rest, **options)
        from napari_sfh.figures.files import render_figure
        from napari_sfh.figures.summary import draw_summary_page
        from napari_sfh.io.results import read_result

        output, page = args
        figure = draw_summary_page(read_result(output))
        figure.set_layout_engine("none")
        return render_figure(figure, page, 40)


@pytest.fixture(scope="session", autouse=True)
def small_summary_pages() -> Iterator[SmallPages]:
    """Summary pages, where their look and process is not what is tested: see `pages_as_users_get_them`."""
    small = SmallPages()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "start_process", small.start_process)
        patch.setattr(jobs, "run_in_process", small.run_in_process)
        module = sys.modules.get("napari_sfh.batch.many_galaxies")
        if module is not None:
            save_figure = module.save_figure

            def save_small(figure: Any, path: Path, dpi: int) -> Path:
                if small.wanted:
                    figure.set_layout_engine("none")
                return save_figure(figure, path, dpi=min(dpi, 40) if small.wanted else dpi)

            patch.setattr(module, "save_figure", save_small)
        yield small


@pytest.fixture(scope="module")
def pages_as_users_get_them(small_summary_pages: SmallPages) -> Iterator[None]:
    """For a module: summary pages of full size, drawn by a Python of their own."""
    small_summary_pages.wanted = False
    yield
    small_summary_pages.wanted = True


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

    def start_nothing(modules: Sequence[str]) -> AbstractContextManager[None]:
        return nullcontext()

    def call_here(function: Callable[..., Any], args: tuple[Any, ...], *_: Any, **__: Any) -> Any:
        return function(*args)

    monkeypatch.setattr("napari_sfh.jobs.start_process", start_nothing)
    monkeypatch.setattr("napari_sfh.jobs.run_in_process", call_here)
