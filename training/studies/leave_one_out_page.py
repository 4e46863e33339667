"""The tables of `leave_one_out` as Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.physics.quantities import QUANTITIES

MEAN_HEADINGS = {name: QUANTITIES[name].title for name in MEAN_NAMES}


def format_leave_one_out_page(result: dict[str, Any], command: str) -> str:
    """A page on families held out in turn.

    Parameters
    ----------
    result : dict
        Of `leave_one_out.measure_leave_one_out`.
    command : str
        What made it, for the record.
    """
    lines = [
        "# Families held out in turn",
        "",
        f"Small networks trained on {result['n']} objects of the prior `{result['name']}` with and without one family, "
        f"each tested on {result['n_test']} objects of that family alone; all else as the prior has it. Cells: "
        "bias (median) and std in dex, *with* → *without* the family. Coverage of the 68 and 95 % intervals and "
        "width (claimed by the posterior, without over with) are means over the four quantities; warned: share of "
        "objects called out of depth by the network that does not know the family.",
        "",
        f"    {command}",
        "",
        f"Machine: {result['machine']['cpu']}. The whole prior on itself: {_cells(result['home'])}.",
        "",
        f"| held out | {' | '.join(MEAN_HEADINGS.values())} | 68 % | 95 % | width | warned |",
        "|---" * (1 + len(MEAN_HEADINGS) + 4) + "|",
    ]
    lines += [_family_row(row) for row in result["families"]]
    lines += [
        "",
        "## Loss of accuracy per kind",
        "",
        "Median over the families of a kind of std without / std with.",
        "",
    ]
    lines += [
        f"| kind | {' | '.join(MEAN_HEADINGS.values())} | 68 % without |",
        "|---" * (2 + len(MEAN_HEADINGS)) + "|",
    ]
    for kind in dict.fromkeys(row["kind"] for row in result["families"]):
        rows = [row for row in result["families"] if row["kind"] == kind]
        ratios = " | ".join(f"{np.median([scatter_ratio(row, k) for row in rows]):.2f}" for k in MEAN_NAMES)
        covered = np.median([mean_coverage(row["without"], "p68") for row in rows])
        lines.append(f"| {kind} | {ratios} | {100 * covered:.0f} |")
    return "\n".join([*lines, ""])


def scatter_ratio(row: dict[str, Any], name: str) -> float:
    """Scatter without the family over scatter with it.

    Parameters
    ----------
    row : dict
        Of one family: ``with`` and ``without``, each with its ``accuracy``.
    name : str
        Of `MEAN_NAMES`.
    """
    return float(row["without"]["accuracy"][name]["std"] / row["with"]["accuracy"][name]["std"])


def mean_coverage(summary: dict[str, Any], which: str) -> float:
    """Coverage (``p68`` or ``p95``), mean over the four means.

    Parameters
    ----------
    summary : dict
        With ``coverage`` by mean.
    which : str
        ``p68`` or ``p95``.

    Returns
    -------
    float
        0 to 1.
    """
    return float(np.mean([summary["coverage"][k][which] for k in MEAN_NAMES]))


def _cells(summary: dict[str, Any]) -> str:
    """Bias and std of the four means."""
    a = summary["accuracy"]
    return ", ".join(f"{MEAN_HEADINGS[k]} {a[k]['bias']:+.3f} / {a[k]['std']:.3f}" for k in MEAN_NAMES)


def _family_row(row: dict[str, Any]) -> str:
    a, b = row["with"], row["without"]

    def cell(name: str) -> str:
        x, y = a["accuracy"][name], b["accuracy"][name]
        return f"{x['bias']:+.2f}\u00a0/\u00a0{x['std']:.3f} →\u00a0{y['bias']:+.2f}\u00a0/\u00a0{y['std']:.3f}"

    def covered(which: str) -> str:
        return f"{100 * mean_coverage(a, which):.0f}\u00a0→\u00a0{100 * mean_coverage(b, which):.0f}"

    width = np.mean([b["widths"][k]["claimed"] / a["widths"][k]["claimed"] for k in MEAN_NAMES])
    cells = " | ".join(cell(k) for k in MEAN_NAMES)
    warned = f"{100 * b['out_of_depth_share']:.0f} %"
    return (
        f"| {row['kind']}: {row['name']} | {cells} | {covered('p68')} | {covered('p95')} | x {width:.2f} | {warned} |"
    )


def format_training_sizes_page(result: dict[str, Any], command: str) -> str:
    """A page on the size of the training set; ``result`` of `leave_one_out.measure_training_sizes`.

    Parameters
    ----------
    result : dict
        Of `leave_one_out.measure_training_sizes`.
    command : str
        That made it.

    Returns
    -------
    str
        Markdown.
    """
    lines = [
        "# Size of the training set",
        "",
        f"Small networks on parts of one set of the prior `{result['name']}`, {result['steps']} steps each, tested on "
        f"{result['n_test']} other objects. Noise is new in every epoch. Cells: std and NMAD in dex.",
        "",
        f"    {command}",
        "",
        f"Machine: {result['machine']['cpu']}.",
        "",
        f"| objects (trained on) | epochs | {' | '.join(MEAN_HEADINGS.values())} | 68 % | 95 % |",
        "|---" * (4 + len(MEAN_HEADINGS)) + "|",
    ]
    for row in result["sizes"]:
        s = row["summary"]
        cells = " | ".join(f"{s['accuracy'][k]['std']:.3f} / {s['accuracy'][k]['nmad']:.3f}" for k in MEAN_NAMES)
        covered = " | ".join(f"{100 * mean_coverage(s, w):.0f}" for w in ("p68", "p95"))
        lines.append(f"| {row['n']} ({row['trained_on']}) | {row['epochs']} | {cells} | {covered} |")
    return "\n".join([*lines, ""])
