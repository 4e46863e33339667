"""``napari-sfh-train templates``: fetch, check and convert the template libraries."""

from __future__ import annotations

import argparse
import sys
import textwrap

from napari_sfh.console import make_stderr_logger
from napari_sfh.instruments.files import load_instrument
from napari_sfh.training.libraries import fetch, templates
from napari_sfh.training.libraries.catalogue import list_libraries


def add_templates_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "templates",
        help="fetch the template libraries and prepare them",
        description="Fetch the stock libraries by package name, check them by sha256 and prepare them once; or "
        "prepare your own: a folder or tar archive of E-MILES/MILES or XSL files, or an npz file of pPXF or XSL.",
    )
    parser.add_argument("--list", action="store_true", help="say what there is and stop")
    parser.add_argument("--library", metavar="NAME", help="only this one; with --folder your name for it")
    parser.add_argument(
        "--folder", metavar="PATH", help="folder or tar archive of E-MILES/MILES or XSL FITS files, or an npz file"
    )
    parser.add_argument("--instrument", help="prepare them for this one: a name or a TOML file (default muse-hst)")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    parser.set_defaults(run=run_templates)


def run_templates(args: argparse.Namespace) -> int:
    """Prepare the libraries asked for and print what they are."""
    if args.list:
        _print_libraries()
        return 0
    if args.folder and not args.library:
        args.library = "user"
    instrument = load_instrument(args.instrument) if args.instrument else load_instrument()
    say = make_stderr_logger(args.quiet)
    for name in [args.library] if args.library else list(list_libraries()):
        say(f"{name}: preparing")
        _print_library(templates.prepare_templates(name, instrument, folder=args.folder))
    return 0


def _print_libraries() -> None:
    folder = fetch.ensure_cache_folder()
    for name, stock in list_libraries().items():
        state = "prepared" if templates.templates_cache_path(name).is_file() else "not yet prepared"
        _print_entry(f"{name}: {state}; from {stock.origin}", stock.citation)
    stock_files = {templates.templates_cache_path(name).name for name in list_libraries()}
    for path in sorted(folder.glob(f"templates-*-v{templates.TEMPLATES_VERSION}.npz")):
        if path.name not in stock_files:
            key = path.name.split("-", 1)[1].rsplit("-v", 1)[0].rsplit("-", 1)[0]
            _print_entry(f"{key}: prepared, your own or for another instrument", str(path))
    for archive in fetch.ARCHIVES.values():
        state = "at hand" if fetch.find_local_archive(archive) else "not yet fetched"
        _print_entry(f"archive {archive.filename}: {state}", f"sha256 {archive.sha256}")


def _print_library(prepared: templates.Templates) -> None:
    source, seen_by = prepared.provenance, prepared.instrument
    _print_entry(
        f"{source['name']}: {source['isochrones']}; IMF {source['imf']}",
        source["citation"],
        f"[M/H] {prepared.mh[0]:+.2f} to {prepared.mh[-1]:+.2f} in {prepared.mh.size} steps, {prepared.n_sub} age "
        f"sub-bins, source wavelengths in {source['medium']}",
        *source["notes"],
        f"nebulae: {source['nebular']}",
        f"library sha256 {source['sha256']}",
        f"instrument {seen_by.name}: {seen_by.n_wave} pixels, {seen_by.n_bands} bands",
        f"templates {templates.templates_cache_path(source['name'], seen_by)}",
    )


def _print_entry(title: str, *lines: str) -> None:
    out = [
        title,
        *(w for line in lines for w in textwrap.wrap(line, 110, initial_indent="  ", subsequent_indent="    ")),
    ]
    sys.stdout.write("\n".join(out) + "\n")
