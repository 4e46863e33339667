"""``napari-sfh-train retraining-bound``: how exact any network could be on galaxies from elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_retraining_bound_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "retraining-bound", help="the same network, fitted to galaxies from elsewhere", description=__doc__
    )
    parser.add_argument("--weights", required=True, help="name or file of a bundle")
    parser.add_argument("--n", type=int, help="galaxies per library to fit (default 8000)")
    parser.add_argument("--epochs", type=int, help="epochs (default 8)")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_retraining_bound)


def run_retraining_bound(args: argparse.Namespace) -> int:
    """Measure as the arguments say."""
    import json
    from dataclasses import replace

    from napari_sfh.console import make_stderr_logger
    from napari_sfh.io.atomic import ensure_folder, write_text_atomically
    from napari_sfh.model.bundle import load_bundle
    from napari_sfh.training.libraries import templates
    from napari_sfh.training.libraries.catalogue import list_libraries
    from napari_sfh.training.studies.retraining_bound import RetrainingBoundSettings, measure_retraining_bound

    settings = RetrainingBoundSettings()
    given = {k: getattr(args, k) for k in ("n", "epochs") if getattr(args, k) is not None}
    bundle = load_bundle(args.weights)
    libraries = {name: templates.prepare_templates(name, bundle.instrument) for name in list_libraries()}
    report = measure_retraining_bound(bundle, libraries, replace(settings, **given), make_stderr_logger(args.quiet))
    report["weights"] = {"name": bundle.name, "sha256": bundle.sha256}
    ensure_folder(args.output.parent)
    write_text_atomically(args.output, json.dumps(report, indent=1) + "\n")
    for key in ("shipped", "fitted"):
        print(key, "  ".join(f"{k} {v['bias']:+.3f} / {v['std']:.3f}" for k, v in report[key].items()))
    return 0
