"""The model card: what a person must know of a weights bundle before trusting it, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_sfh.instruments.bundle_header import read_min_coverage

#: Names of the four means as a person says them.
MEAN_WORDS = {
    "lg_age_mw": "log age, mass-weighted",
    "lg_age_lw": "log age, light-weighted",
    "mh_mw": "[M/H], mass-weighted",
    "mh_lw": "[M/H], light-weighted",
}
_OLD_AGES = "Ages in {n} bins; the three oldest are hard to tell apart in any spectrum."
_LIMITS = (
    "Truth here is synthetic: libraries, initial mass function, dust and gas are the templates', and errors of "
    "those are in no interval. Active nuclei, foreground stars and scattered light are outside; the OOD score "
    "is there for them.",
    "Intervals are calibrated on held-out spectra of the training prior; on galaxies unlike all of its families "
    "they can be too narrow.",
)


def format_model_card(meta: Mapping[str, Any]) -> str:
    """The card of a bundle's metadata (`model.bundle.REQUIRED` without format and model)."""
    return "\n\n".join(
        [*_head(meta), *_data(meta), *_training(meta), *_figures(meta.get("evaluation", {})), *_limits(meta)]
    )


def _head(meta: Mapping[str, Any]) -> list[str]:
    return [
        f"# {meta['name']}",
        f"**Purpose:** {meta['summary']}.",
        f"Reads {_input(meta)}; gives {_output(meta)}, and a posterior of each.",
    ]


def _input(meta: Mapping[str, Any]) -> str:
    instrument = meta["instrument"]
    parts = []
    if grid := instrument.get("spectrum"):
        parts.append(f"spectra of {grid['first_aa']:g}-{grid['last_aa']:g} AA")
    if bands := [band["name"] for band in instrument.get("band", [])]:
        shown = ", ".join(bands) if len(bands) <= 8 else f"{bands[0]} ... {bands[-1]}"
        parts.append(f"up to {len(bands)} bands ({shown})")
    return f"{' and '.join(parts)} (instrument `{instrument['name']}`)"


def _output(meta: Mapping[str, Any]) -> str:
    targets = meta["targets"]
    if targets["kind"] == "scalars":
        return ", ".join(f"`{row['name']}`" for row in targets["targets"])
    n = len(targets["age_edges_gyr"]) - 1
    return f"the star-formation history and metallicities in {n} age bins, dust, their means"


def _data(meta: Mapping[str, Any]) -> list[str]:
    training, prior = meta["training"], meta["prior"]
    lines = [
        f"- prior `{prior['name']}`, sha256 `{str(prior['sha256'])[:16]}`",
        f"- {training['n']} synthetic objects, sha256 `{str(training['data_sha256'])[:16]}`, noise "
        f"{training['noise']}; 70 % trained on, 20 % for validation and calibration, 10 % left for tests",
    ]
    for name, facts in meta["libraries"].items():
        lines.append(
            f"- templates `{name}`: {facts['isochrones']}, IMF {facts['imf']}, sha256 `{facts['sha256'][:16]}`; "
            f"{facts['citation']}"
        )
    bands = (f"{band} ({f['camera']}, `{f['sha256'][:8]}`)" for band, f in meta["filters"].items())
    if meta["filters"]:
        lines.append(f"- filters {', '.join(bands)}")
    return ["## Data", "\n".join(lines)]


def _training(meta: Mapping[str, Any]) -> list[str]:
    t = meta["training"]
    machine, recipe = t["machine"], t["recipe"]
    seconds = t["seconds"]
    lines = [
        f"- command `{t['command']}`" if t["command"] else "- command not recorded",
        f"- recipe `{recipe['name']}`, sha256 `{t['recipe_sha256'][:16]}`: network `{recipe['architecture']}`, loss "
        f"`{recipe['loss']}`, seed {t['seed']}",
        f"- {t['epochs']} epochs, best {t['best_epoch']}; seconds: "
        + (", ".join(f"{k} {v:.0f}" for k, v in seconds.items()) or "not recorded"),
        f"- {machine['processor']}, {machine['threads']} of {machine['cores']} cores, device {machine['device']}, "
        f"torch {machine['torch']}, napari-sfh {meta['code_version']}",
    ]
    if start := t.get("start"):
        error = "{:.3f} dex before, {:.3f} after".format(*start.get("independent_error", (float("nan"),) * 2))
        known = f"; mean error on galaxies of the independent simulator {error}" if "independent_error" in start else ""
        lines.append(f"- went on from `{start['name']}`, sha256 `{start['sha256'][:16]}`{known}")
    if again := t.get("recalibration"):
        lines.append(
            f"- intervals calibrated on {again['n']} objects of the prior and as many of the independent simulator"
        )
    if note := t.get("note"):
        lines.append(f"- {note}")
    return ["## Training", "\n".join(lines)]


def _figures(evaluation: Mapping[str, Any]) -> list[str]:
    if not evaluation:
        return ["## Figures", "Not evaluated yet: run `napari-sfh-train evaluate`, then `release`."]
    parts = ["## Figures"]
    for name, table in evaluation.items():
        parts += [f"Tested on `{name}`, {table['n_test']} spectra.", format_accuracy_table(table)]
        if speed := table.get("throughput", {}).get("bins_per_second"):
            parts.append(f"Point inference {speed:.3g} bins/s on {_machine(table.get('machine', {}))}.")
    return parts


def _machine(machine: Mapping[str, Any]) -> str:
    return f"{machine.get('cpu', 'a machine not recorded')}, {machine.get('cores', '?')} cores"


def format_accuracy_table(table: Mapping[str, Any]) -> str:
    """Markdown table of a report's accuracy and coverage, with pPXF's where it is known."""
    rival = table.get("ppxf", {}).get("accuracy", {})
    head = ["", "bias", "std", "NMAD", "68 %", "95 %"] + (["pPXF bias", "pPXF std"] if rival else [])
    rows = [head, ["---"] * len(head)]
    whole = all(k in table["accuracy"] for k in MEAN_WORDS)
    names = MEAN_WORDS if whole else {k: MEAN_WORDS.get(k, f"`{k}`") for k in table["accuracy"]}
    for key, words in names.items():
        accuracy, coverage = table["accuracy"][key], table.get("coverage", {}).get(key, {})
        row = [
            words,
            *(f"{accuracy[k]:+.3f}" if k == "bias" else f"{accuracy[k]:.3f}" for k in ("bias", "std", "nmad")),
        ]
        row += [f"{100 * coverage[k]:.1f}" if k in coverage else "" for k in ("p68", "p95")]
        if rival:
            row += [f"{rival[key]['bias']:+.3f}", f"{rival[key]['std']:.3f}"] if key in rival else ["", ""]
        rows.append(row)
    return "\n".join(_row(r) for r in rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _limits(meta: Mapping[str, Any]) -> list[str]:
    lines, instrument = list(_LIMITS), meta["instrument"]
    if meta["targets"]["kind"] == "history":
        lines.insert(0, _OLD_AGES.format(n=len(meta["targets"]["age_edges_gyr"]) - 1))
    if instrument.get("band"):
        lines.insert(0, f"Bands of redshifts up to {instrument['redshift']['max']:g}.")
    if grid := instrument.get("spectrum"):
        lines.insert(0, f"Spectra in the rest frame, broadened to {grid['sigma_kms']:g} km/s.")
        needed = 100 * read_min_coverage(meta)
        lines.insert(1, f"Spectra must cover {needed:.0f} % of the range; what is missing is masked.")
    return ["## Limits", "\n".join(f"- {line}" for line in lines)]
