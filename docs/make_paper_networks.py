"""docs/results/paper-network.md from the reports, curves and weights of the paper's own networks."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

from make_figures import MEANS, PAPER, cells, heading

from napari_sfh.model.bundle import load_bundle

HERE = Path(__file__).resolve().parent
NETWORKS = {"galceran2026": "the paper's network", "four_branch": "its first version, four branches without attention"}
#: Epochs whose losses are told.
EPOCHS = (1, 2, 5, 10, 20, 40, 60, 80, 100)

HEAD = """# The paper's networks (`galceran2026`, `four_branch`)

Made by `python docs/make_paper_networks.py` from `docs/report/` and the weights. The architectures and the recipe of
Galceran et al. (2026), and of its first version, on their prior, for comparison with `phangs` and `wide`:

    napari-sfh run GALAXY_DIR --model galceran2026 --output out.fits
    # to its own stop; --resume goes on
    napari-sfh-train train --config galceran2026 --output run
    # ends it with the best of N epochs
    napari-sfh-train train --config galceran2026 --resume --epochs N --output run

Both read values only: no masks, no errors. Pixels and bands that are missing are filled, and they were never trained
without them; `phangs` and `wide` were. For maps of real galaxies take those.
"""


def read_report(name: str) -> dict[str, Any]:
    """A report of ``docs/report``."""
    return json.loads((HERE / "report" / f"{name}.json").read_text(encoding="utf-8"))


def describe_run(name: str, what: str) -> list[str]:
    """How far a network came, and its losses."""
    rows = list(csv.DictReader((HERE / "report" / "curves" / f"{name}.csv").open(encoding="utf-8")))
    losses = [(float(row["train"]), float(row["val"])) for row in rows]
    best = min(range(len(rows)), key=lambda k: losses[k][1])
    training = load_bundle(name).meta["training"]
    machine, seconds = training["machine"], training["seconds"]
    fit = training["recipe"]["fit"]
    told = [k for k in EPOCHS if k <= len(rows)] + [len(rows)]
    note = training.get("note", "")
    note = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", r"`\1`", note)
    note = f" {note[:1].upper()}{note[1:]}." if note else ""
    return [
        "",
        f"## `{name}`: {what}",
        "",
        f"**It did not reach its own stop** (250 epochs, or {fit['stop_epochs']} without gain): {len(rows)} epochs, "
        f"the best of them {best + 1}. {training['n']} spectra, seed {training['seed']}, data sha256 "
        f"`{training['data_sha256'][:12]}`; network {seconds['network']:.0f} s, flow {seconds['posterior']:.0f} s, "
        f"calibration {seconds['calibration']:.0f} s on {machine['device']} / {machine['processor']}.{note} "
        "The learning rate fell to zero over the last five epochs: an ending, not a plateau.",
        "",
        f"| epoch | {' | '.join(str(k) for k in told)} |",
        "|---" * (len(told) + 1) + "|",
        f"| training, x 1000 | {' | '.join(f'{1e3 * losses[k - 1][0]:.3f}' for k in told)} |",
        f"| validation, x 1000 | {' | '.join(f'{1e3 * losses[k - 1][1]:.3f}' for k in told)} |",
    ]


def compare_accuracy() -> list[str]:
    """The networks, `phangs` and pPXF on the same spectra."""
    reports = {k: read_report(f"{k}-galceran2026") for k in (*NETWORKS, "phangs")}
    n = {r["n_test"] for r in reports.values()}
    assert len(n) == 1, "reports of one size"
    lines = ["", f"## The same {n.pop()} test spectra of `galceran2026`, bias / std / NMAD", "", *heading("weights")]
    lines += [f"| `{k}` | {cells(r['accuracy'])} |" for k, r in reports.items()]
    lines.append(f"| the paper, on its own test set (std) | {' | '.join(PAPER[k] for k in MEANS)} |")
    lines += ["", "Share inside the 68 / 95 % intervals:", "", *heading("weights")]
    for k, r in reports.items():
        inside = [f"{100 * r['coverage'][m]['p68']:.0f} / {100 * r['coverage'][m]['p95']:.0f}" for m in MEANS]
        lines.append(f"| `{k}` | {' | '.join(inside)} |")
    fits = reports["phangs"]["ppxf"]
    lines += ["", f"The first {fits['n']} of them, pPXF {fits['version']} beside:", "", *heading("method")]
    lines += [f"| `{k}` | {cells(reports[k]['first_spectra']['accuracy'])} |" for k in NETWORKS]
    lines += [f"| `phangs` | {cells(fits['network_on_the_same'])} |", f"| pPXF | {cells(fits['accuracy'])} |"]
    elsewhere = [f"| `{k}` | {cells(r['elsewhere']['accuracy'])} |" for k, r in reports.items() if "elsewhere" in r]
    return [*lines, "", "Galaxies of the independent simulator, S/N 35:", "", *heading("weights"), *elsewhere]


def main() -> None:
    """Write the page."""
    body = [line for name, what in NETWORKS.items() for line in describe_run(name, what)]
    text = "\n".join([HEAD.rstrip(), *body, *compare_accuracy(), ""])
    (HERE / "results" / "paper-network.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
