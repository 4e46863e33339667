"""Release: a run's bundle with its evaluation and model card, as it ships.

Weights and metadata stay apart: releasing changes the metadata, and so the file's sha256, but not the hash of the
weights (`model.bundle.hash_bundle_tensors`). A report belongs to a bundle if it names the file's hash or the weights'.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_sfh.analysis.credibility.misfit_check import MISFIT_LIMITS_KEY
from napari_sfh.console import LogLine
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import PREFERRED, weights_folder
from napari_sfh.io.outputs import check_outputs
from napari_sfh.model.bundle import Bundle, hash_bundle_tensors, load_bundle, save_bundle
from napari_sfh.training.fitting import model_card
from napari_sfh.training.fitting.selection.misfit_limits import describe_misfit_limits
from napari_sfh.training.fitting.training_run import BUNDLE

#: What a bundle keeps of a report.
REPORT_KEYS = ("accuracy", "coverage", "ppxf", "throughput", "machine", "n_test")


def release_bundle(
    run: Path,
    name: str,
    reports: Sequence[Path] = (),
    output: Path | None = None,
    summary: str = "",
    say: LogLine | None = None,
) -> Path:
    """Write the released bundle.

    Parameters
    ----------
    run : path
        Folder of a finished `training_run.train_bundle`, or a bundle file.
    name : str
        Name of the bundle: what ``--model`` will take.
    reports : sequence of path
        Folders of `evaluate` (or their ``report.json``), one per test set.
    output : path, optional
        File to write; by default NAME.safetensors among the shipped weights.
    summary : str
        One line on the weights, in place of the recipe's.
    say : callable, optional
        Gets a line on limits of the misfit flag, which are measured where the run has none.

    Raises
    ------
    SfhInputError
        No bundle; a report that is none, lacks figures, or is of other weights; a name that cannot be a file's.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise SfhInputError(f"`name` {name!r}: use letters, digits, - and _ only, for example {PREFERRED[0]}")
    bundle = load_bundle(_bundle_file(run))
    if output is not None:
        check_outputs([output], [bundle.path, *reports])
    evaluation: dict[str, Any] = {}
    for path in reports:
        label, table = _read_report(path, bundle)
        if label in evaluation:
            raise SfhInputError(f"`report` {path}: a second report on {label!r}; give one for each test set")
        evaluation[label] = table
    meta = {**bundle.meta, "name": name, "evaluation": evaluation}
    if MISFIT_LIMITS_KEY not in meta:
        meta |= describe_misfit_limits(bundle, say or (lambda line: None))
    if summary:
        meta["summary"] = summary
    meta["card"] = model_card.format_model_card(meta)
    return save_bundle(
        output or _shipped_path(name), bundle.model, bundle.instrument, bundle.filters, bundle.basis, meta
    )


def _bundle_file(run: Path) -> Path:
    path = run if run.is_file() else run / BUNDLE
    if not path.is_file():
        raise SfhInputError(f"{path}: no bundle; finish the run first (napari-sfh-train train, `resume`)")
    return path


def _shipped_path(name: str) -> Path:
    """Where the package keeps its weights, if this is a checkout."""
    folder = weights_folder()
    if not (folder.parents[3] / "pyproject.toml").is_file():
        raise SfhInputError(f"`output`: {folder} is no checkout of napari-sfh; name a file to write")
    return folder / f"{name}.safetensors"


def _read_report(path: Path, bundle: Bundle) -> tuple[str, dict[str, Any]]:
    """Name of the test set and the figures that are kept."""
    file = path / "report.json" if path.is_dir() else path
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        sha256 = report["weights"]["sha256"]
        table = {k: report[k] for k in REPORT_KEYS if k in report}
        wanted = model_card.MEAN_WORDS if bundle.targets.n_age else bundle.targets.scalars
        missing = [k for k in wanted if k not in report["accuracy"]]
    except OSError as error:
        raise SfhInputError(
            f"`report` {file}: cannot be read ({error.strerror}); run napari-sfh-train evaluate"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SfhInputError(
            f"`report` {file}: no report of napari-sfh-train evaluate ({error}); run it again"
        ) from error
    if missing or "n_test" not in table:
        raise SfhInputError(
            f"`report` {file}: lacks {(missing or ['n_test'])[0]!r}; run napari-sfh-train evaluate again"
        )
    known = {bundle.sha256, hash_bundle_tensors(bundle)}
    if not known & {sha256, report["weights"].get("tensors_sha256")}:
        raise SfhInputError(
            f"`report` {file}: of other weights (sha256 {str(sha256)[:16]}, this bundle's is {bundle.sha256[:16]}); "
            f"evaluate {bundle.path}"
        )
    return _test_set_name(report, file), table


def _test_set_name(report: Mapping[str, Any], file: Path) -> str:
    """What the report was made on: its prior's name where it says so, else its folder's."""
    for key in ("prior", "data"):
        value = report.get(key)
        value = value.get("prior", value.get("name")) if isinstance(value, Mapping) else value
        if isinstance(value, str) and value:
            return value
    return file.resolve().parent.name
