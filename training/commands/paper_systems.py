"""``napari-sfh-train paper-systems``: published systems measured on their own terms, as JSON and a Markdown table."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def add_paper_systems_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("paper-systems", help="published systems on their own terms", description=__doc__)
    parser.add_argument("system", choices=("percentiles", "jpas"))
    parser.add_argument("--folder", type=Path, metavar="PATH", help="percentiles: MILES models (folder or tar archive)")
    parser.add_argument("--model", default="jpas", metavar="NAME|FILE", help="jpas: weights for bands")
    parser.add_argument("--prior", default="jpas", metavar="NAME|FILE", help="jpas: what objects are drawn from")
    parser.add_argument("--n", type=int, metavar="N", help="histories (default 10000), or objects a magnitude (1000)")
    parser.add_argument("--epochs", type=int, default=30, metavar="N", help="percentiles: of the encoder")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json", help="the page stands beside it")
    parser.set_defaults(run=run_paper_systems)


def run_paper_systems(args: argparse.Namespace) -> int:
    """Measure, write the JSON file and the page."""
    import shlex

    from napari_sfh.errors import SfhInputError
    from napari_sfh.training.evaluation.evaluation import describe_evaluation_machine

    if args.system == "percentiles" and args.folder is None:
        raise SfhInputError("--folder: give the MILES models of miles.iac.es, BaSTI isochrones")
    measured = _measure_percentiles(args) if args.system == "percentiles" else _measure_jpas(args)
    record = {"command": shlex.join(["napari-sfh-train", *sys.argv[1:]]), "machine": describe_evaluation_machine()}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(record | measured, indent=1), encoding="utf-8")
    page = format_percentile_table(measured) if args.system == "percentiles" else format_magnitude_table(measured)
    args.output.with_suffix(".md").write_text(page, encoding="utf-8")
    print(args.output.with_suffix(".md"))
    return 0


def _measure_percentiles(args: argparse.Namespace) -> dict[str, Any]:
    from napari_sfh.training.libraries.emiles import load_miles_folder
    from napari_sfh.training.studies import percentile_measure
    from napari_sfh.training.studies.percentile_nets import PercentileFitSettings

    fit = PercentileFitSettings(epochs=args.epochs, flow_epochs=max(1, 2 * args.epochs // 3))
    settings = percentile_measure.PercentileSettings(histories=args.n or 10_000, fit=fit)
    library = load_miles_folder(args.folder, "miles")
    measured, _ = percentile_measure.measure_percentile_networks(
        library, settings, lambda line: print(line, file=sys.stderr)
    )
    return measured


def _measure_jpas(args: argparse.Namespace) -> dict[str, Any]:
    from napari_sfh.model.bundle import load_bundle
    from napari_sfh.training.prior.prior_config import load_prior
    from napari_sfh.training.simulator.simulation import prepare_prior
    from napari_sfh.training.studies.catalogue_measure import measure_by_magnitude

    bundle = load_bundle(args.model)
    source = prepare_prior(load_prior(args.prior), bundle.instrument)
    return {"model": bundle.name, "by_magnitude": measure_by_magnitude(bundle, source, args.n or 1000)}


def format_percentile_table(measured: dict[str, Any]) -> str:
    """Markdown table of accuracies beside the thesis'."""
    rows = ["| quantity | 100 R2 | thesis | NMAD | 68 % | 95 % |", "| --- | --- | --- | --- | --- | --- |"]
    for name, found in measured["accuracy"].items():
        printed = measured["thesis"].get(name)
        cover = measured["coverage"][name]
        rows.append(
            f"| {name} | {found['r2']:.2f} | {'' if printed is None else f'{printed:.2f}'} | {found['nmad']:.3f} | "
            f"{100 * cover['p68']:.1f} | {100 * cover['p95']:.1f} |"
        )
    return "\n".join(rows) + "\n"


def format_magnitude_table(measured: dict[str, Any]) -> str:
    """Markdown table: bias / std / NMAD and 68 % coverage of each quantity by magnitude."""
    first = next(iter(measured["by_magnitude"].values()))
    names = [name for name in first if name != "out_of_depth"]
    rows = [f"| magnitude | {' | '.join(names)} | out of distribution |", "| --- " * (len(names) + 2) + "|"]
    for magnitude, row in measured["by_magnitude"].items():
        cells = [
            f"{row[n]['bias']:+.3f} / {row[n]['std']:.3f} / {row[n]['nmad']:.3f}, {100 * row[n]['p68']:.0f} %"
            for n in names
        ]
        rows.append(f"| {magnitude} | {' | '.join(cells)} | {100 * row['out_of_depth']:.1f} % |")
    spread = " | ".join(f"{first[n]['spread']:.3f}" for n in names)
    rows.append(f"| spread of the truth | {spread} | |")
    return "\n".join(rows) + "\n"
