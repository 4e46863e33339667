"""The command line: ``napari-sfh demo | run | info | models | view``.

Exit status 0, 2 for input that cannot be used, 1 for a failure; one-line errors; progress on stderr.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from napari_sfh import __version__
from napari_sfh.errors import ComputeError, SfhInputError

if TYPE_CHECKING:
    from napari_sfh.pipeline import RunConfig
    from napari_sfh.types import Progress, Result

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        return int(options.command(options))
    except SfhInputError as error:
        print(f"napari-sfh: {error}", file=sys.stderr)
        return 2
    except (ComputeError, OSError) as error:
        print(f"napari-sfh: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("napari-sfh: interrupted; no result was left half-written", file=sys.stderr)
        return 1


def show_progress(work: Generator[Progress, None, T], quiet: bool, stream: TextIO | None = None) -> T:
    """Drive a generator to its end; on stderr one line a stage on a log, one moving line on a terminal."""
    stream = stream or sys.stderr
    moving = stream.isatty()
    last = ""
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            if moving and last and not quiet:
                print(file=stream)
            value: T = end.value
            return value
        if quiet or (step.stage == last and not moving):
            continue
        count = f" {step.done}/{step.total}" if step.total else ""
        if moving:
            print(f"\r\x1b[K{step.stage}{count}", end="\n" if step.stays else "", file=stream, flush=True)
        else:
            print(step.stage, file=stream, flush=True)
        last = step.stage


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-sfh", description="Star-formation histories of integral-field galaxies."
    )
    parser.add_argument("--version", action="version", version=f"napari-sfh {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="the bundled mock galaxy, whose truth is known")
    demo.add_argument("--headless", action="store_true", help="no window: write FITS and PNG")
    demo.add_argument("--output", type=Path, default=Path("demo-output"), metavar="DIR")
    _device(demo)
    demo.set_defaults(command=_demo)

    run = commands.add_parser("run", help="from a cube and mosaics to a result file; many galaxies too")
    _run_arguments(run)
    run.set_defaults(command=_run)

    info = commands.add_parser("info", help="what files are, what is missing, what would be done")
    info.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files or galaxy folders")
    info.add_argument(
        "--plot", type=Path, metavar="FILE.png", help="draw the footprints of a folder's cube and mosaics"
    )
    info.add_argument("--quiet", action="store_true", help="no progress")
    info.set_defaults(command=_info)

    models = commands.add_parser("models", help="the weights at hand, or one's model card")
    models.add_argument("name", nargs="?", help="a name of the list, or a file")
    models.set_defaults(command=_models)

    view = commands.add_parser("view", help="the viewer on a saved result or workspace")
    view.add_argument("result", type=Path, metavar="OUT.fits|WORKSPACE.json")
    view.set_defaults(command=_view)
    return parser


def _run_arguments(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "galaxies", nargs="*", type=Path, metavar="GALAXY_DIR", help="folder with cube, mosaics and MAPS, one a galaxy"
    )
    run.add_argument("--cube", type=Path, metavar="FILE")
    run.add_argument("--photometry", nargs="+", default=[], metavar="BAND=FILE", help="e.g. F275W=image.fits")
    run.add_argument("--maps", type=Path, metavar="FILE", help="DAP MAPS: bins and stellar kinematics")
    run.add_argument("--redshift", type=float, metavar="Z")
    run.add_argument("--ebv-mw", type=float, metavar="E", help="Milky Way E(B-V), mag")
    run.add_argument("--psf-fwhm", type=float, metavar="ARCSEC", help="of the cube, at 6500 AA")
    run.add_argument("--hst-psf-fwhm", type=float, metavar="ARCSEC", help="of the mosaics (default: computed)")
    run.add_argument(
        "--subtract-sky", action="store_true", help="measure each mosaic's sky outside the cube, subtract it"
    )
    run.add_argument("--align", action="store_true", help="undo the offset found between mosaics and cube")
    run.add_argument(
        "--mask-lines", action="store_true", help="hide gas lines from the network: active nuclei, LINERs, shocks"
    )
    run.add_argument("--target-snr", type=float, default=35.0, metavar="SNR", help="per pixel (default %(default)s)")
    run.add_argument("--binning", default="auto", metavar="auto|vorbin|powerbin|maps|FILE")
    run.add_argument("--kinematics", default="auto", metavar="auto|maps|ppxf|V,SIGMA")
    run.add_argument("--model", default="default", metavar="NAME|FILE")
    _device(run)
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


def _device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _demo(options: argparse.Namespace) -> int:
    if not options.headless:
        return _open_viewer(demo=True)
    from napari_sfh import demo
    from napari_sfh.analysis import answers, compare
    from napari_sfh.figures.comparison import comparison_page
    from napari_sfh.figures.files import save

    result = _finish(demo.config(options.device), options.output / "mock_spiral_sfh.fits", options.quiet)
    truth = compare.bin_truth(demo.truth(), result.bins)
    found = compare.against_truth(result, truth)
    comparison = compare.against(result, answers.of_truth(demo.truth(), result))
    page = comparison_page(comparison, result.data.snr > compare.MIN_SNR)
    save(page, options.output / "mock_spiral_truth.png", dpi=90)
    print("recovered - true, bins with S/N > 20 and no foreground star:")
    for name, s in found.items():
        print(f"  {name:10s} bias {s.bias:+.3f}  std {s.std:.3f}  NMAD {s.nmad:.3f} dex  (n = {s.n})")
    on, off = compare.warnings_against_truth(result, truth)
    print(f"out-of-depth warning: {on:.0%} of the bins on the foreground star, {off:.1%} of those without it")
    return 0


def _run(options: argparse.Namespace) -> int:
    if _is_many(options):
        return _run_many(options)
    from napari_sfh.pipeline import config_from_files

    config = config_from_files(
        folder=options.galaxies[0] if options.galaxies else None,
        cube=options.cube,
        photometry=_bands(options.photometry),
        maps=options.maps,
        **_settings(options),
    )
    _finish(config, Path(options.output), options.quiet)
    return 0


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """The options that are not files."""
    return {
        "redshift": options.redshift,
        "ebv_mw": options.ebv_mw,
        "psf_fwhm_arcsec": options.psf_fwhm,
        "hst_psf_fwhm_arcsec": options.hst_psf_fwhm,
        "subtract_sky": options.subtract_sky,
        "align": options.align,
        "mask_lines": options.mask_lines,
        "target_snr": options.target_snr,
        "binning": options.binning,
        "kinematics": options.kinematics,
        "model": options.model,
        "device": options.device,
    }


def _is_many(options: argparse.Namespace) -> bool:
    """Several folders; or one, where the output is a folder or a pattern, or options for many are given."""
    if len(options.galaxies) != 1:
        return len(options.galaxies) > 1
    asked = options.table is not None or options.scheduler is not None or options.workers is not None
    folder = options.output.endswith("/") or Path(options.output).is_dir()
    return asked or folder or "{name}" in options.output


def _run_many(options: argparse.Namespace) -> int:
    """Several galaxies: each its result file, and a report of all."""
    from datetime import UTC, datetime

    from napari_sfh.batch import cluster, manyreport
    from napari_sfh.batch.many import Outcome, run_many
    from napari_sfh.pipeline import RunConfig

    for name in ("cube", "photometry", "maps"):
        if getattr(options, name):
            raise SfhInputError(f"--{name}: is of one galaxy; leave it out, or run that galaxy alone")
    settings = {key: value for key, value in _settings(options).items() if value is not None}
    table = manyreport.read_options(options.table) if options.table else {}
    for some in (settings, *({**settings, **row} for row in table.values())):
        RunConfig(cube=Path("cube"), maps=Path("maps"), **some)  # refuses what is wrong for every galaxy
    jobs = manyreport.jobs_of(options.galaxies, options.output, settings, table)
    folder = manyreport.report_folder(options.output)
    for place in {folder / manyreport.REPORT_JSON, *(job.output for job in jobs)}:
        _make_writable(place)
    scheduler = options.scheduler or cluster.LOCAL
    about = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "scheduler": scheduler, "options": settings}
    ended: list[Outcome] = []

    def finished(outcome: Outcome) -> None:
        ended.append(outcome)
        manyreport.write_report(ended, folder, about)

    with _interrupts() as cancel:
        outcomes = show_progress(run_many(jobs, scheduler, options.workers, cancel, finished), options.quiet)
    manyreport.write_report(outcomes, folder, {**about, "finished": datetime.now(UTC).isoformat(timespec="seconds")})
    for outcome in outcomes:
        if outcome.status == "failed":
            print(f"napari-sfh: {outcome.name}: {outcome.message}", file=sys.stderr)
    print("\n".join(manyreport.lines(outcomes)))
    return int(any(outcome.status in ("failed", "interrupted") for outcome in outcomes))


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
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


def _finish(config: RunConfig, output: Path, quiet: bool) -> Result:
    """Run, write the result file and its page, say what was written."""
    from napari_sfh.batch.many import save
    from napari_sfh.pipeline import run

    _make_writable(output)
    result = show_progress(run(config), quiet)
    if result is None:
        raise ComputeError("the run was cancelled; nothing was written")
    picture = save(result, config, output)
    for note in filter(None, str(result.settings.get("notes", "")).split(" | ")):
        if not quiet:
            print(f"note: {note}", file=sys.stderr)
    print(f"{result.bins.n_bins} bins of {result.name}, weights {result.model_name}: {output}, {picture}")
    return result


def _make_writable(output: Path) -> None:
    """Refuse before the work, not after it, where the result could not be written."""
    if output.is_dir():
        raise SfhInputError(f"--output {output}: is a folder; name a file in it")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SfhInputError(f"--output {output}: {error.strerror}; choose another folder") from error
    if not os.access(output.parent, os.W_OK):
        raise SfhInputError(f"--output {output}: the folder is not writable; choose another one")


def _bands(pairs: Sequence[str]) -> dict[str, Path]:
    bands = {}
    for pair in pairs:
        band, sign, path = pair.partition("=")
        if not sign:
            raise SfhInputError(f"--photometry {pair}: write BAND=FILE, for instance F275W={pair}")
        bands[band.upper()] = Path(path)
    return bands


def _info(options: argparse.Namespace) -> int:
    from napari_sfh.io.identify import describe, identify

    folders = [path for path in options.paths if path.is_dir()]
    if options.plot and len(folders) != 1:
        raise SfhInputError(f"--plot {options.plot}: draws one galaxy; give one folder")
    for path in options.paths:
        print("\n".join(_galaxy_info(path, options) if path.is_dir() else describe(identify(path))))
    return 0


def _galaxy_info(folder: Path, options: argparse.Namespace) -> list[str]:
    """What the files of a folder are, and what a run would do with them."""
    from napari_sfh import preflight
    from napari_sfh.io.identify import describe, find_galaxy, identify

    galaxy = find_galaxy(folder)
    found = show_progress(preflight.examine(preflight.Plan.of_galaxy(galaxy), galaxy.problems), options.quiet)
    files = (galaxy.cube, *galaxy.mosaics.values(), *((galaxy.maps,) if galaxy.maps else ()))
    # What is wrong with a file stands below, with what is done about it.
    text = [line for file in files for line in describe(identify(file)) if not line.startswith("  !")]
    if found is not None:
        text += preflight.lines(found)
        if options.plot:
            from napari_sfh.figures.files import save
            from napari_sfh.figures.preflight import footprints

            options.plot.parent.mkdir(parents=True, exist_ok=True)
            save(footprints(found), options.plot)
            text.append(f"footprints: {options.plot}")
    return [f"{folder}: {galaxy.name}", *("  " + line for line in text)]


def _models(options: argparse.Namespace) -> int:
    from napari_sfh.model.bundle import list_bundles, load_bundle

    if options.name:
        print(load_bundle(options.name).card)
        return 0
    for name, path in list_bundles().items():
        bundle = load_bundle(path)
        print(f"{name:16s} {bundle.sha256[:12]}  {bundle.meta['summary']}")
    return 0


def _view(options: argparse.Namespace) -> int:
    if not options.result.exists():
        raise SfhInputError(f"{options.result}: no such file")
    return _open_viewer(options.result)


def _open_viewer(path: Path | None = None, demo: bool = False) -> int:
    """A napari window with the explorer, by way of the plugin manifest."""
    import napari

    viewer = napari.Viewer(title="napari-sfh")
    _, explorer = viewer.window.add_plugin_dock_widget("napari-sfh", "SFH explorer")
    if demo:
        explorer.open_demo(run=True)
    elif path is not None:
        explorer.open(path)
    napari.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
