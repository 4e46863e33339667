"""The command line: ``napari-sfh demo | run | estimate | gradient | info | models | instruments | view | doctor``.

Exit status 0, 2 for input that cannot be used, 1 for a failure; one-line errors; progress on stderr.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sfh import __version__, object_commands
from napari_sfh.config import FILE_SETTINGS, OPTIONS, SETTINGS, name_settings
from napari_sfh.console import (
    drop_teardown,
    list_option_names,
    make_stderr_logger,
    print_message,
    print_progress,
    resolve_home,
    run_command,
)
from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import check_destination, ensure_folder, remove_parts_on_signals, write_atomically
from napari_sfh.processes.environment import restrict_algebra_threads

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

if TYPE_CHECKING:
    from napari_sfh.config import RunConfig
    from napari_sfh.types import Result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    Without ``argv`` it is that of this process, which shall end with it (`console.drop_teardown`).
    """
    end_with = None
    if argv is None:
        restrict_algebra_threads(os.environ)
        end_with = drop_teardown()
    options = build_command_parser().parse_args(resolve_home(sys.argv[1:] if argv is None else argv))
    if threading.current_thread() is threading.main_thread():
        remove_parts_on_signals()
    status = run_command(
        lambda: options.command(options), "napari-sfh", "no result was left half-written", options.option_names
    )
    if end_with is not None:
        end_with(status)
    return status


def build_command_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="napari-sfh", description="Star-formation histories of integral-field galaxies."
    )
    parser.add_argument("--version", action="version", version=f"napari-sfh {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="the bundled mock galaxy, whose truth is known")
    demo.add_argument("--headless", action="store_true", help="no window: write FITS and PNG")
    demo.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help=f"where FITS and PNG of a headless run go (default {DEMO_FOLDER})",
    )
    _add_setting(demo, "device")
    demo.add_argument("--quiet", action="store_true", help="no progress; notes and warnings stay")
    demo.set_defaults(command=_demo_command)

    run = commands.add_parser("run", help="from a cube and mosaics to a result file; many galaxies too")
    _add_run_arguments(run)
    run.set_defaults(command=_run_command)

    object_commands.add_object_parsers(commands)

    _add_look_parsers(commands)
    for command in commands.choices.values():
        command.set_defaults(option_names={**OPTIONS, **list_option_names(command)})
    return parser


def _add_look_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Commands that look, and compute nothing to keep."""
    info = commands.add_parser("info", help="what files are, what is missing, what would be done")
    info.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files or galaxy folders")
    info.add_argument(
        "--plot", type=Path, metavar="FILE.png", help="draw the footprints of a folder's cube and mosaics"
    )
    for name in (name for name, setting in SETTINGS.items() if not setting.is_file):
        _add_setting(info, name)
    info.add_argument("--quiet", action="store_true", help="no progress; notes and warnings stay")
    info.set_defaults(command=_info_command)

    models = commands.add_parser("models", help="the weights at hand, or one's model card")
    models.add_argument("name", nargs="?", help="a name of the list, or a file")
    models.set_defaults(command=_models_command)

    instruments = commands.add_parser("instruments", help="what weights may be made for: grid, resolution, bands")
    instruments.add_argument("name", nargs="?", metavar="NAME|FILE", help="a name of the list, or a TOML file")
    instruments.set_defaults(command=_instruments_command)

    view = commands.add_parser("view", help="the viewer on a saved result or workspace")
    view.add_argument("result", type=Path, metavar="OUT.fits|WORKSPACE.json", help="what is opened")
    view.set_defaults(command=_view_command)

    doctor = commands.add_parser("doctor", help="check the installation; a text for bug reports")
    doctor.add_argument("--no-run", action="store_true", help="do not run the tiny galaxy")
    doctor.set_defaults(command=_doctor_command)


def _add_run_arguments(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "galaxies", nargs="*", type=Path, metavar="GALAXY_DIR", help="folder with cube, mosaics and MAPS, one a galaxy"
    )
    for name in SETTINGS:
        _add_setting(run, name)
    run.add_argument("--images", nargs="+", default=[], metavar="BAND=FILE", help="band images instead of a cube")
    run.add_argument("--quiet", action="store_true", help="no progress; notes and warnings stay")
    run.add_argument(
        "--output",
        required=True,
        metavar="OUT.fits|DIR|PATTERN",
        help="a file; for many galaxies a folder, or a pattern such as results/{name}_sfh.fits",
    )
    many = run.add_argument_group("many galaxies")
    many.add_argument("--table", type=Path, metavar="FILE", help="CSV or ECSV: name, redshift, ebv_mw, ... by galaxy")
    many.add_argument("--scheduler", metavar="local|ADDRESS", help="a Dask scheduler (default local)")
    many.add_argument(
        "--workers", type=int, metavar="N", help="galaxies at a time (default 1, or all of the cluster's)"
    )


def _add_setting(parser: argparse.ArgumentParser, name: str) -> None:
    """The option of a setting of `config.SETTINGS`; its value is that field's."""
    setting = SETTINGS[name]
    about: dict[str, Any] = {"dest": name, "help": setting.help}
    if setting.kind is bool:
        about["action"] = "store_true"
    elif setting.is_file:
        about |= {"nargs": "+", "metavar": "BAND=FILE"} if setting.kind is dict else {"type": Path, "metavar": "FILE"}
    elif setting.choices and not setting.other[0]:
        about["choices"] = list(setting.choices)
    else:
        about |= {"type": setting.kind, "metavar": setting.metavar or "|".join([*setting.choices, setting.other[0]])}
    if not setting.is_file:
        about["default"] = setting.default
        known = setting.unset or ("" if setting.kind is bool else setting.default)
        limits = "" if setting.low is None else f"{setting.low:g} to {setting.high:g} {setting.unit}".rstrip()
        words = [text for text in (limits, f"default {known}" if known != "" else "") if text]
        about["help"] += f" ({'; '.join(words)})" if words else ""
    parser.add_argument(OPTIONS[name], **about)


def _demo_command(options: argparse.Namespace) -> int:
    if not options.headless:
        if options.output is not None:
            note = f"--output {options.output} is left: the window writes nothing by itself; --headless does"
            print_message(f"note: {note}")
        return _open_viewer(demo=True)
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


def _run_command(options: argparse.Namespace) -> int:
    make_stderr_logger(options.quiet)("run: loading the libraries")
    if _is_many_galaxies(options):
        return _run_many_command(options)
    _check_weights_are_no_output(options)

    images = object_commands.parse_band_pairs("--images", options.images)
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
            photometry=images or object_commands.parse_band_pairs(OPTIONS["photometry"], options.photometry or []),
            maps=options.maps,
            **_run_settings(options),
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


def _run_settings(options: argparse.Namespace) -> dict[str, Any]:
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
    settings = {key: value for key, value in _run_settings(options).items() if value is not None}
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


def _info_command(options: argparse.Namespace) -> int:
    from napari_sfh.instruments.bundle_header import read_bundle_header
    from napari_sfh.io.identify import describe_file, identify_file

    header = read_bundle_header(options.model)
    folders = [path for path in options.paths if path.is_dir()]
    if options.plot and len(folders) != 1:
        raise SfhInputError(f"--plot {options.plot}: draws one galaxy; give one folder")
    missing = [path for path in options.paths if not path.exists()]
    if missing:
        raise SfhInputError(f"{missing[0]}: no such file or folder")
    usable = True
    for path in options.paths:
        if path.is_dir():
            lines = _describe_galaxy(path, options)
        else:
            info = identify_file(path, header)
            other = _describe_other_file(path) if info.kind == "unknown" else []
            lines, usable = other or describe_file(info), usable and (info.usable or bool(other))
        print(name_settings("\n".join(lines), OPTIONS))
    return 0 if usable else 2


def _describe_other_file(path: Path) -> list[str]:
    from napari_sfh.preflight.other_files import describe_other_file  # loads what reads tables

    return describe_other_file(path)


def _describe_galaxy(folder: Path, options: argparse.Namespace) -> list[str]:
    """What the files of a folder are, and what a run would do with them."""
    from napari_sfh.config import RunConfig
    from napari_sfh.instruments.bundle_header import read_bundle_header
    from napari_sfh.io.identify import describe_file, find_galaxy_files
    from napari_sfh.io.outputs import check_outputs
    from napari_sfh.preflight import plan

    galaxy = find_galaxy_files(folder, read_bundle_header(options.model))
    if options.plot:
        check_outputs([options.plot], (galaxy.cube, *galaxy.mosaics.values(), galaxy.maps))
    with print_progress(options.quiet) as progress:
        settings = {name: value for name, value in _run_settings(options).items() if value is not None}
        config = RunConfig(galaxy.cube, galaxy.mosaics, galaxy.maps, **settings)
        found = plan.examine_inputs(config, galaxy.problems, galaxy.described, progress)
    # What is wrong with a file stands below, with what is done about it.
    text = [line for info in galaxy.described for line in describe_file(info) if not line.startswith("  !")]
    if found is not None:
        text += plan.format_preflight_text(found)
        if options.plot:
            from napari_sfh.figures.files import save_figure
            from napari_sfh.figures.preflight import draw_footprints

            ensure_folder(options.plot.parent)
            save_figure(draw_footprints(found), options.plot)
            text.append(f"footprints: {options.plot}")
    return [f"{folder}: {galaxy.name}", *("  " + line for line in text)]


def _models_command(options: argparse.Namespace) -> int:
    from napari_sfh.digests import hash_file
    from napari_sfh.instruments.bundle_header import list_bundles, read_bundle_header

    if options.name:
        from napari_sfh.model.bundle import load_bundle

        print(load_bundle(options.name).card)
        return 0
    for name, path in list_bundles().items():
        header = read_bundle_header(path)
        what = "histories" if header.predicts_histories else ", ".join(header.scalars)
        print(f"{name:16s} {hash_file(path)[:12]}  {header.instrument.name} -> {what}  {header.meta['summary']}")
    return 0


def _instruments_command(options: argparse.Namespace) -> int:
    from napari_sfh.instruments.files import list_instruments, load_instrument

    if options.name:
        print("\n".join(load_instrument(options.name).describe()))
        return 0
    for name, path in list_instruments().items():
        print(f"{name:20s} {load_instrument(path).summary}")
    return 0


def _view_command(options: argparse.Namespace) -> int:
    if not options.result.exists():
        raise SfhInputError(f"{options.result}: no such file")
    return _open_viewer(options.result)


def _doctor_command(options: argparse.Namespace) -> int:
    from napari_sfh.doctor.examination import examine_installation
    from napari_sfh.doctor.findings import format_findings

    findings = []
    for finding in examine_installation(run=not options.no_run):
        findings.append(finding)
        if sys.stderr.isatty():
            print(f"\r\x1b[K{finding.topic}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    print(name_settings(format_findings(findings), OPTIONS))
    problems = sum(finding.status == "problem" for finding in findings)
    print(f"\n{problems} problem{'s' * (problems != 1)}. The text above names no folder of yours: paste it as it is.")
    return int(problems > 0)


def _load_analysis(keep_alive: Callable[[], object]) -> None:
    """Import what the explorer needs beside Qt and napari in a thread, while the window is kept alive."""

    def load() -> None:
        # What fails here fails again where it is needed, and is told there.
        with suppress(ImportError):
            from napari_sfh.analysis.comparison import other_results, ppxf_fit  # noqa: F401
            from napari_sfh.analysis.drawing import contours  # noqa: F401
            from napari_sfh.analysis.objects import estimate_table  # noqa: F401
            from napari_sfh.preflight import plan  # noqa: F401

    thread = threading.Thread(target=load, name="napari-sfh imports", daemon=True)
    thread.start()
    while thread.is_alive():
        keep_alive()
        thread.join(0.02)


def _measure_frame() -> tuple[int, int, int, int]:
    """Pixels of the desktop's frame at the left, top, right and bottom of the largest window that is open."""
    from qtpy.QtWidgets import QApplication

    frames = [(w.frameGeometry(), w.geometry()) for w in QApplication.topLevelWidgets() if w.isVisible()]
    outer, inner = max(frames, key=lambda frame: frame[1].width() * frame[1].height())
    right, bottom = outer.right() - inner.right(), outer.bottom() - inner.bottom()
    return inner.left() - outer.left(), inner.top() - outer.top(), right, bottom


def _open_viewer(path: Path | None = None, demo: bool = False) -> int:
    """A napari window with the explorer, by way of the plugin manifest."""
    from napari_sfh.doctor.window_checks import has_screen
    from napari_sfh.processes.calls import CallAhead

    if not has_screen():
        raise SfhInputError(
            "no display for the window: work without one (napari-sfh run, demo --headless), start it under xvfb-run, "
            "or log in with ssh -X"
        )
    import warnings

    # Under Qt 5 letters of 150 % would make everything twice as large; 98 dots per inch are no scale of 102 %.
    os.environ.setdefault("QT_SCALE_FACTOR_ROUNDING_POLICY", "RoundPreferFloor")
    # A Python of its own runs the demo while napari and the explorer come, for which this one is needed.
    ahead = CallAhead("napari_sfh.demo:run_demo") if demo else None
    # napari asks for the desktop's theme, which PyQt5 cannot tell; nobody can act on it.
    warnings.filterwarnings("ignore", message="System theme detection", category=UserWarning)
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(title="napari-sfh")
    screen = QApplication.primaryScreen()
    if screen is not None:
        QApplication.processEvents()  # the desktop puts its frame around the window
        left, top, right, bottom = _measure_frame()
        room = screen.availableGeometry().adjusted(left, top, -right, -bottom)
        viewer.window.set_geometry(room.left(), room.top(), room.width(), room.height())
    QApplication.processEvents()  # painted before all that would hold it up
    _load_analysis(QApplication.processEvents)
    _, explorer = viewer.window.add_plugin_dock_widget("napari-sfh", "SFH explorer")
    QApplication.processEvents()
    if demo:
        explorer.open_demo(run=True, ahead=ahead)
    elif path is not None:
        explorer.open(path)
    napari.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
