"""Commands that look, and compute nothing to keep: ``info``, ``models``, ``instruments``, ``doctor``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from napari_sfh.commands.galaxies import list_run_settings
from napari_sfh.config import OPTIONS, name_settings
from napari_sfh.console import print_progress
from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import ensure_folder


def run_info_command(options: argparse.Namespace) -> int:
    """What files are; of a galaxy's folder what a run would do."""
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
        settings = {name: value for name, value in list_run_settings(options).items() if value is not None}
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


def run_models_command(options: argparse.Namespace) -> int:
    """The weights at hand, or one's model card."""
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


def run_instruments_command(options: argparse.Namespace) -> int:
    """What weights may be made for."""
    from napari_sfh.instruments.files import list_instruments, load_instrument

    if options.name:
        print("\n".join(load_instrument(options.name).describe()))
        return 0
    for name, path in list_instruments().items():
        print(f"{name:20s} {load_instrument(path).summary}")
    return 0


def run_doctor_command(options: argparse.Namespace) -> int:
    """The state of the installation."""
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
