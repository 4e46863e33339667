"""``napari-sfh-train prior-summaries``: how wide the priors of finished weights are, for weights that do not say so.

Weights that are trained today carry the summary of their prior. For those of earlier versions, objects are drawn anew
from the prior that the weights name, and the summaries are kept by the prior's sha256 in
``src/napari_sfh/data/prior_summaries.json``. With ``--misfit``, the limits beyond which a model does not describe its
data are kept by the weights' own sha256, for the package in ``src/napari_sfh/data/misfit_limits.json``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sfh.model.bundle import Bundle

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_prior_summaries_parser(subparsers: Subparsers) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("prior-summaries", help="widths of the priors of weights", description=__doc__)
    parser.add_argument("--weights", nargs="*", help="names or files (default: all shipped ones)")
    parser.add_argument("--n", type=int, default=20_000, help="objects to draw of each prior (default 20000)")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write; what it has of others stays")
    parser.add_argument("--misfit", type=Path, help="JSON file: also the limits of the misfit flag of these weights")
    parser.set_defaults(run=run_prior_summaries)


def run_prior_summaries(args: argparse.Namespace) -> int:
    """Draw, measure and write."""
    import json

    from napari_sfh.analysis.credibility.misfit_check import MISFIT_LIMITS_KEY
    from napari_sfh.errors import SfhInputError
    from napari_sfh.instruments.bundle_header import list_bundles
    from napari_sfh.io.atomic import write_text_atomically
    from napari_sfh.model.bundle import load_bundle
    from napari_sfh.model.prior_summary import PRIOR_SUMMARY_KEY
    from napari_sfh.training.fitting.selection.misfit_limits import measure_misfit_limits

    if args.n < 200:
        raise SfhInputError(f"--n {args.n}: at least 200 objects are needed")
    found, limits = _read_found(args.output), _read_found(args.misfit)
    for name in args.weights or list_bundles():
        bundle = load_bundle(name)
        if args.misfit is not None and MISFIT_LIMITS_KEY not in bundle.meta:
            measured = measure_misfit_limits(bundle)
            limits |= {} if measured is None else {bundle.sha256: {"weights": bundle.name} | measured.to_json()}
            write_text_atomically(args.misfit, json.dumps(limits, sort_keys=True, indent=1) + "\n")
        prior = bundle.meta["prior"]
        own = bundle.meta.get(PRIOR_SUMMARY_KEY)
        complete = own is not None and (not bundle.targets.n_age or "label_density" in own)
        if complete or not prior.get("toml"):
            continue
        found[prior["sha256"]] = {"prior": prior["name"]} | _draw_summary(bundle, args.n)
        print(f"{bundle.name}: prior {prior['name']}")
    write_text_atomically(args.output, json.dumps(found, sort_keys=True) + "\n")
    return 0


def _read_found(path: Path | None) -> dict[str, Any]:
    """What a file of this command has already."""
    import json

    from napari_sfh.errors import SfhInputError

    if path is None or not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise SfhInputError(f"{path}: no file of prior summaries ({error}); choose another") from error


def _draw_summary(bundle: Bundle, n: int) -> dict[str, Any]:
    """The summary of one bundle's prior, as JSON has it."""
    from napari_sfh.training.fitting.spectra_sources import make_fresh_source
    from napari_sfh.training.prior.prior_config import parse_prior
    from napari_sfh.training.simulator.prior_summary import summarise_prior
    from napari_sfh.training.simulator.simulation import prepare_prior

    prior = bundle.meta["prior"]
    source = prepare_prior(parse_prior(prior["toml"], f"prior of {bundle.name}"), bundle.instrument)
    return summarise_prior(make_fresh_source(source, n, 1).labels, bundle.targets).to_json()
