"""``napari-sfh-train narrowband``: networks on narrow-band photometry, measured; writes narrow-band.json and .md."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

#: File of the results.
RESULTS_FILE = "narrow-band.json"


def add_narrowband_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("narrowband", help="networks on narrow bands, measured", description=__doc__)
    parser.add_argument("--system", choices=("spaxel", "jpas"), required=True, help="which of the two networks")
    parser.add_argument("--galaxies", type=int, help="spaxel: mock galaxies (default 190)")
    parser.add_argument("--spaxels", type=int, help="spaxel: spaxels of each (default 104)")
    parser.add_argument("--snr", type=float, help="spaxel: S/N of each band (default 50)")
    parser.add_argument("--prior", help="spaxel: prior of the populations (default wide)")
    parser.add_argument("--n", type=int, help="jpas: populations of a training set (default 20000)")
    parser.add_argument("--n-test", type=int, help="jpas: other populations of each library (default 2000)")
    parser.add_argument("--libraries", help="libraries, separated by commas (spaxel: the first)")
    parser.add_argument("--epochs", type=int, help="most epochs of every network (default 80)")
    parser.add_argument("--threads", type=int, default=1, help="cores to use (default 1)")
    parser.add_argument("--output", type=Path, required=True, help="folder; holds the results of both systems")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_narrowband)


def run_narrowband(args: argparse.Namespace) -> int:
    """Measure one system, keep it beside the other, write the page."""
    import shlex
    import time
    from dataclasses import replace

    import torch
    from threadpoolctl import threadpool_limits

    from napari_sfh.console import print_progress
    from napari_sfh.training.evaluation.evaluation import describe_evaluation_machine
    from napari_sfh.training.evaluation.report import prepare_output_folder
    from napari_sfh.training.studies import narrow_measure

    _check_arguments(args)
    prepare_output_folder(args.output)
    _read_results(args.output)
    libraries = tuple(x.strip() for x in (args.libraries or "").split(",") if x.strip())
    if args.system == "spaxel":
        values = {"n_galaxies": args.galaxies, "per_galaxy": args.spaxels, "snr": args.snr, "prior": args.prior}
        values["library"] = libraries[0] if libraries else None
        spaxel = narrow_measure.SpaxelSettings(**_given(values))
        fit = replace(spaxel.fit, epochs=args.epochs or spaxel.fit.epochs)
        measure = partial(narrow_measure.measure_spaxel_networks, replace(spaxel, fit=fit))
    else:
        jpas = narrow_measure.JpasSettings(
            **_given({"n": args.n, "n_test": args.n_test, "libraries": libraries or None})
        )
        fit = replace(jpas.fit, epochs=args.epochs or jpas.fit.epochs)
        measure = partial(narrow_measure.measure_jpas_networks, replace(jpas, fit=fit))
    torch.set_num_threads(args.threads)
    start = time.process_time()
    with threadpool_limits(args.threads), print_progress(args.quiet) as progress:
        measured = measure(progress)
    command = shlex.join(["napari-sfh-train", *sys.argv[1:]])
    record = {"command": command, "machine": describe_evaluation_machine(), "seconds": time.process_time() - start}
    print(_write_results(args.output, args.system, record | measured))
    return 0


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if v is not None}


def _check_arguments(args: argparse.Namespace) -> None:
    from napari_sfh.errors import SfhInputError

    for key, least in (("galaxies", 8), ("spaxels", 8), ("n", 100), ("n_test", 10), ("epochs", 1), ("threads", 1)):
        value = getattr(args, key)
        if value is not None and value < least:
            raise SfhInputError(f"--{key.replace('_', '-')} {value}: must be at least {least}")
    if args.snr is not None and args.snr <= 0:
        raise SfhInputError(f"--snr {args.snr:g}: must be positive")


def _read_results(folder: Path) -> dict[str, Any]:
    """What was measured before."""
    import json

    from napari_sfh.errors import SfhInputError

    path = folder / RESULTS_FILE
    try:
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise SfhInputError(f"{path}: damaged ({error}); delete it to measure anew") from error
    return kept


def _write_results(folder: Path, system: str, result: dict[str, Any]) -> Path:
    """Put the result beside the other system's, and write the page of both."""
    import json

    from napari_sfh.training.studies import narrow_page

    path, results = folder / RESULTS_FILE, _read_results(folder)
    results[system] = result
    path.write_text(json.dumps(results, indent=1, allow_nan=False), encoding="utf-8")
    text = path.with_suffix(".md")
    text.write_text(narrow_page.format_narrow_band_page(results), encoding="utf-8")
    return text
