"""The learning curve of a run: a table on disk, one row an epoch, and its picture."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from napari_sfh.io.atomic import write_atomically

#: Table of a run folder.
TABLE = "metrics.csv"
_COLUMNS = ("epoch", "train", "val", "seconds")


class Epoch(NamedTuple):
    """One row: number from 0, training and validation loss, seconds since the run began (NaN: not known)."""

    epoch: int
    train: float
    val: float
    seconds: float


def read_learning_curve(folder: Path) -> list[Epoch]:
    """Epochs of a run folder, in order; none where there is no table. Also reads Lightning's own CSV logs."""
    path = folder / TABLE
    if not path.is_file():
        return []
    found: dict[int, dict[str, float]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            values = found.setdefault(int(row["epoch"]), {})
            values.update({k: float(row[k]) for k in _COLUMNS[1:] if row.get(k)})
    nan = float("nan")
    return [Epoch(k, *(v.get(c, nan) for c in _COLUMNS[1:])) for k, v in sorted(found.items())]


def write_learning_curve(folder: Path, epochs: list[Epoch]) -> None:
    """Replace the table.

    Parameters
    ----------
    folder : Path
        Of the run.
    epochs : list of Epoch
        All that there are.
    """
    with write_atomically(folder / TABLE) as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(_COLUMNS)
        table.writerows(epochs)


def plot_learning_curve(folder: Path, title: str) -> Path | None:
    """Draw ``learning_curve.png`` of a run folder; None where there is nothing to draw.

    Parameters
    ----------
    folder : Path
        Of the run, with its table.
    title : str
        Of the figure.

    Returns
    -------
    Path or None
    """
    epochs = read_learning_curve(folder)
    if not epochs:
        return None
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    x = [e.epoch + 1 for e in epochs]
    axes.plot(x, [e.train for e in epochs], label="training")
    axes.plot(x, [e.val for e in epochs], label="validation")
    best = min(epochs, key=lambda e: e.val)
    axes.axvline(best.epoch + 1, color="0.6", lw=1, ls=":", label=f"best: epoch {best.epoch + 1}")
    axes.set(xlabel="epoch", ylabel="loss", title=title, yscale="log")
    axes.legend(frameon=False)
    path = folder / "learning_curve.png"
    figure.savefig(path, dpi=130)
    return path
