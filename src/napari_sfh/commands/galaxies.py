"""The commands ``run`` and ``demo``: cubes or band images to result files, one galaxy or many."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sfh.commands.objects import parse_band_pairs
from napari_sfh.commands.window import open_viewer
from napari_sfh.config import FILE_SETTINGS, OPTIONS, SETTINGS, name_settings
from napari_sfh.console import make_stderr_logger, print_message, print_progress
from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import check_destination, ensure_folder, write_atomically

if TYPE_CHECKING:
    from napari_sfh.config import RunConfig
    from napari_sfh.types import Result

#: Where a headless run of the mock galaxy writes.
DEMO_FOLDER = Path("demo-output")
#: What the drawing of a result's page loads, when it draws at the latest.
_PAGE_MODULES = (
    "napari_sfh.batch.result_files",
    "napari_sfh.figures.files",
    "napari_sfh.figures.summary",
    "astropy.visualization.wcsaxes",
    "matplotlib.backends.backend_agg",
)


def run_demo_command(options: argparse.Namespace) -> int:
    """The window on the mock galaxy, or its files."""
    if not options.headless:
        if options.output is not None:
            note = f"--output {options.output} is left: the window writes nothing by itself; --headless does"
            print_message(f"note: {note}")
        return open_viewer(demo=True)
    options.output = options.output or DEMO_FOLDER
    make_stderr_logger(options.quiet)("demo: loading the libraries")

    def configure() -> RunConfig:
        from napari_sfh import demo

        return demo.make_demo_config(options.device)

    lines: list[str] = []
    _run_and_save(
        configure,
        options.output / "mock_spiral_sfh.fits",
        options.quiet,
        lambda result: lines.extend(_compare_demo_with_truth(result, options.output / "mock_spiral_truth.png")),
    )
    print("\n".join(lines))
    return 0


def _compare_demo_with_truth(result: Result, page: Path) -> Iterator[str]:
    """Draw the demo beside its truth; what there is to say, line by line."""
    from napari_sfh import demo
    from napari_sfh.analysis.comparison import map_comparison, other_results
    from napari_sfh.figures.comparison import draw_comparison_page
    from napari_sfh.figures.files import save_figure

    known = demo.read_demo_truth()
    truth = map_comparison.bin_truth(known, result.bins)
    comparison = map_comparison.compare_results(result, other_results.other_result_from_truth(known, result))
    save_figure(draw_comparison_page(comparison, result.data.snr > map_comparison.MIN_SNR), page, dpi=90)
    yield "recovered - true, bins with S/N > 20 and no foreground star:"
    for name, s in map_comparison.compare_with_truth(result, truth).items():
        yield f"  {name:10s} median difference {s.bias:+.3f}  std {s.std:.3f}  NMAD {s.nmad:.3f} dex  (n = {s.n})"
    on, off = map_comparison.measure_ood_warning_rates(result, truth)
    yield f"out-of-depth warning: {on:.0%} of the bins on the foreground star, {off:.1%} of those without it"


def run_galaxy_command(options: argparse.Namespace) -> int:
    """``run``: one galaxy, or several by `_run_many_command`."""
    make_stderr_logger(options.quiet)("run: loading the libraries")
    if _is_many_galaxies(options):
        return _run_many_command(options)
    _check_weights_are_no_output(options)

    images = parse_band_pairs("--images", options.images)
    if images:
        if options.cube or options.galaxies or options.photometry:
            raise SfhInputError("--images: takes the place of a cube and its mosaics; leave those out")
        options.model = "narrowband" if options.model == "default" else options.model
    said: list[str] = []

    def say(problem: str) -> None:
        said.append(problem)
        print_message(f"note: {name_settings(problem, OPTIONS)}")

    def configure() -> RunConfig:
        from napari_sfh.decisions import configure_run

        return configure_run(
            folder=options.galaxies[0] if options.galaxies else None,
            on_problem=say,
            cube=options.cube,
            photometry=images or parse_band_pairs(OPTIONS["photometry"], options.photometry or []),
            maps=options.maps,
            **list_run_settings(options),
        )

    if options.output.endswith("/"):
        raise SfhInputError(f"--output {options.output}: is a folder; name a file in it")
    _run_and_save(configure, Path(options.output), options.quiet, said=said)
    return 0


def _check_weights_are_no_output(options: argparse.Namespace) -> None:
    """Before the weights are read: they tell which kind of run this is."""
    from napari_sfh.io.outputs import check_outputs

    if Path(options.model).is_file():
        check_outputs([options.output], [options.model])


def list_run_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that are not files."""
    return {name: getattr(options, name) for name, setting in SETTINGS.items() if not setting.is_file}


def _is_many_galaxies(options: argparse.Namespace) -> bool:
    """Several folders; or one, where the output is a folder or a pattern, or options for many are given."""
    if len(options.galaxies) != 1:
        return len(options.galaxies) > 1
    asked = options.table is not None or options.scheduler is not None or options.workers is not None
    folder = options.output.endswith("/") or Path(options.output).is_dir()
    return asked or folder or "{name}" in options.output


def _run_many_command(options: argparse.Namespace) -> int:
    """Several galaxies: each its result file, and a report of all."""
    from datetime import UTC, datetime

    from napari_sfh.batch import cluster, galaxies_report
    from napari_sfh.batch.many_galaxies import GalaxyOutcome, run_galaxies
    from napari_sfh.io.outputs import check_outputs, check_result_name, summary_page_path

    for name in (name for name, setting in SETTINGS.items() if setting.is_file):
        if getattr(options, name):
            raise SfhInputError(f"`{name}`: is of one galaxy; leave it out, or run that galaxy alone")
    settings = {key: value for key, value in list_run_settings(options).items() if value is not None}
    table = galaxies_report.read_galaxy_options(options.table) if options.table else {}
    _check_many_settings(settings, table, options)
    jobs = galaxies_report.list_galaxy_jobs(options.galaxies, options.output, settings, table)
    folder = galaxies_report.find_report_folder(options.output)
    reports = [folder / name for name in (galaxies_report.REPORT_JSON, galaxies_report.REPORT_ECSV)]
    for place in {reports[0], *(job.output for job in jobs)}:
        _check_writable(place)
        if place not in reports:
            check_result_name(place)
    pages = [summary_page_path(job.output) for job in jobs]
    given = [Path(str(settings[key])) for key in FILE_SETTINGS if key in settings]
    check_outputs([*reports, *(job.output for job in jobs), *pages], [options.table, *given])
    scheduler = options.scheduler or cluster.LOCAL
    about = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "scheduler": scheduler, "options": settings}
    ended: list[GalaxyOutcome] = []

    def finished(outcome: GalaxyOutcome) -> None:
        ended.append(outcome)
        galaxies_report.write_galaxies_report(ended, folder, about)

    with _cancel_on_interrupt() as cancel, print_progress(options.quiet) as progress:
        outcomes = run_galaxies(jobs, scheduler, options.workers, finished, progress, cancel)
    galaxies_report.write_galaxies_report(
        outcomes, folder, {**about, "finished": datetime.now(UTC).isoformat(timespec="seconds")}
    )
    for outcome in outcomes:
        if outcome.status == "failed":
            line = name_settings(f"{outcome.name}: {outcome.message}", options.option_names)
            print_message(f"napari-sfh: {line}")
    print(name_settings("\n".join(galaxies_report.format_galaxies_report(outcomes)), options.option_names))
    return int(any(outcome.status in ("failed", "interrupted") for outcome in outcomes))


def _check_many_settings(
    settings: dict[str, Any], table: dict[str, dict[str, Any]], options: argparse.Namespace
) -> None:
    """Refuse settings that are wrong for a galaxy, and say which galaxies the table leaves out."""
    from napari_sfh.config import RunConfig

    RunConfig(cube=Path("cube"), maps=Path("maps"), **settings)
    for name, row in table.items():
        try:
            RunConfig(cube=Path("cube"), maps=Path("maps"), **{**settings, **row})
        except SfhInputError as error:
            raise SfhInputError(f"`table` {options.table}: {name}: {error}") from error
    absent = [str(folder) for folder in options.galaxies if table and folder.resolve().name not in table]
    if absent:
        print_message(
            f"note: {options.table} has no row of {', '.join(absent)}: the options of the command line are theirs"
        )


@contextmanager
def _cancel_on_interrupt() -> Iterator[threading.Event]:
    """An event that Ctrl-C or a polite kill sets, so that work ends in order; a second Ctrl-C ends it at once."""
    cancel = threading.Event()

    def stop(number: int, frame: object) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    here = threading.current_thread() is threading.main_thread()  # only there may handlers be set
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM) if here}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_and_save(
    configure: Callable[[], RunConfig],
    output: Path,
    quiet: bool,
    meanwhile: Callable[[Result], None] | None = None,
    said: Sequence[str] = (),
) -> None:
    """Run, write the result file and its page, say what was written and what was not ``said`` of the files before.

    A Python of its own makes what needs no network while this one loads PyTorch (`RunAhead`), then loads Matplotlib
    and draws the page, beside ``meanwhile``.
    """
    from concurrent.futures import ThreadPoolExecutor

    from napari_sfh.jobs import report_progress
    from napari_sfh.processes.calls import run_in_process, start_process

    with (
        print_progress(quiet) as progress,
        ThreadPoolExecutor(1) as pool,
        start_process(["napari_sfh.stages.ahead"]) as child,
    ):
        config = configure()
        from napari_sfh.batch.rerun import check_run_outputs, describe_input_files
        from napari_sfh.batch.result_files import render_result_page, write_galaxy_result
        from napari_sfh.decisions import drop_told_notes
        from napari_sfh.io.outputs import summary_page_path
        from napari_sfh.stages.ahead import RunAhead
        from napari_sfh.types import Progress

        _check_writable(output)
        check_run_outputs(config, output)
        inputs, picture = describe_input_files(config), summary_page_path(output)
        ahead = RunAhead(child, config)
        child.load(_PAGE_MODULES)
        from napari_sfh.pipeline import run_pipeline

        result = run_pipeline(config, progress, ahead=ahead)
        report_progress(Progress("writing the result and its page", 0, 0), progress)
        drawn = pool.submit(run_in_process, render_result_page, (result, picture), "drawing the page", child=child)
        write_galaxy_result(result, config, output, inputs)
        if meanwhile is not None:
            meanwhile(result)
        with write_atomically(picture) as part:
            part.write_bytes(drawn.result())
    for note in drop_told_notes(filter(None, str(result.settings.get("notes", "")).split(" | ")), said):
        print_message(f"note: {name_settings(note, OPTIONS)}")
    print(f"{result.bins.n_bins} bins of {result.name}, weights {result.model_name}: {output}, {picture}")


def _check_writable(output: Path) -> None:
    """Refuse before the work, not after it, where the result could not be written."""
    ensure_folder(output.parent)
    check_destination(output)
    if not os.access(output.parent, os.W_OK):
        raise SfhInputError(f"--output {output}: the folder is not writable; choose another one")
