"""The files that a run leaves, without Matplotlib until the page is drawn: a process of its own may draw it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_sfh.batch.rerun import INPUTS, describe_input_files, list_input_files
from napari_sfh.config import RunConfig
from napari_sfh.errors import ComputeError
from napari_sfh.io.results import write_result
from napari_sfh.types import Result


def check_input_files(config: RunConfig, inputs: str, lead: str) -> None:
    """Refuse a run of which a file has changed while it was read.

    Parameters
    ----------
    config : RunConfig
    inputs : str
        `rerun.describe_input_files` before the run.
    lead : str
        What the error begins with: what is not done.

    Raises
    ------
    ComputeError
        Nobody knows what was read of which.
    """
    if describe_input_files(config) != inputs:
        names = ", ".join(path.name for path in list_input_files(config).values())
        raise ComputeError(f"{lead}, a file of the run has changed while it was read ({names}); run again")


def write_galaxy_result(result: Result, config: RunConfig, output: Path, inputs: str) -> None:
    """Write a result with what identifies its input files.

    Parameters
    ----------
    result : Result
    config : RunConfig
        What it was made with.
    output : Path
        The result file.
    inputs : str
        `rerun.describe_input_files` before the run.

    Raises
    ------
    SfhInputError, ComputeError
        As `io.results.write_result`; or a file has changed since: nobody knows what was read of which.
    """
    check_input_files(config, inputs, f"{output}: not written")
    write_result(replace(result, settings={**result.settings, INPUTS: inputs}), output)


def render_result_page(result: Result, page: Path) -> bytes:
    """The page of a result, as the content of a file: for `processes.calls.run_in_process`.

    Parameters
    ----------
    result : Result
    page : Path
        Its ending tells the kind of file.

    Returns
    -------
    bytes

    Raises
    ------
    ComputeError
        The page cannot be drawn.
    """
    from napari_sfh.figures.files import render_figure
    from napari_sfh.figures.summary import PAGE_DPI, draw_summary_page

    return render_figure(draw_summary_page(result), page, PAGE_DPI)
