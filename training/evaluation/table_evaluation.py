"""A bundle of scalars judged on the user's own labels: a table of objects, see `fitting.labelled_table`.

What only a synthetic set can tell (other S/N, fewer bands, galaxies of an independent simulator) is left out. Where the
table names galaxies, each has a row of its own: labels of one galaxy share their errors.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.model.bundle import Bundle
from napari_sfh.model.inference import predict_histories
from napari_sfh.physics.filters import Filter
from napari_sfh.training.evaluation import metrics
from napari_sfh.training.evaluation.evaluation import Evaluation, EvaluationSettings, describe_evaluated_weights
from napari_sfh.training.evaluation.predictions import PredictionsWithTruth
from napari_sfh.training.fitting.labelled_table import TableSource, hash_table_file, read_labelled_table
from napari_sfh.types import Progress

#: More galaxies than this have no rows of their own.
_MAX_GALAXIES = 60


def evaluate_on_table(
    bundle: Bundle, path: Path, n: int, settings: EvaluationSettings, progress: ReportProgress | None = None
) -> Evaluation:
    """Accuracy and coverage on a labelled table.

    Parameters
    ----------
    bundle : Bundle
        Of scalars; the table labels one of them at least.
    path : Path
        Table of objects.
    n : int
        The first rows that are used.
    settings : EvaluationSettings
        Its ``device`` and ``draws`` count.

    Raises
    ------
    SfhInputError
        Weights that predict histories; a table that cannot be used; no object that the weights can take.
    """
    start = time.process_time()
    filters: tuple[Filter, ...] = bundle.filters
    source = read_labelled_table(path, bundle.instrument, filters, bundle.targets, allow_missing=True)
    rows = np.arange(min(n, source.labels.n))
    head = _header(bundle, path, rows.size)
    report_progress(Progress("table", 0, rows.size), progress)
    data = source.data.select(rows)
    found = predict_histories(data, bundle, settings.device, draws=settings.draws, progress=progress)
    truth = {name: np.asarray(values[rows], float) for name, values in source.labels.columns.items()}
    predicted = PredictionsWithTruth(
        quantiles={name: np.asarray(found.quantiles[name], float) for name in truth},
        truth=truth,
        mass_frac=None,
        light_frac=None,
        ood=np.asarray(found.ood, float),
        latent=np.asarray(found.latent, float),
        snr=np.asarray(data.snr, float),
        n_bands=np.asarray(data.phot_mask.sum(1), float),
    )
    usable = np.isfinite(next(iter(predicted.found.values())))
    if not usable.any():
        raise SfhInputError(f"`data` {path}: no row has enough of what weights {bundle.name} read; check the columns")
    report = head | _tables(predicted, source, rows)
    report["processor_seconds"] = round(time.process_time() - start, 1)
    return Evaluation(report, predicted, source.labels.select(rows), None, [])


def _header(bundle: Bundle, path: Path, n: int) -> dict[str, Any]:
    return describe_evaluated_weights(bundle) | {
        "prior": f"table {path.name}",
        "data_sha256": hash_table_file(path),
        "seed": None,
        "n_test": n,
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _tables(predicted: PredictionsWithTruth, source: TableSource, rows: np.ndarray) -> dict[str, Any]:
    found, truth = predicted.found, predicted.truth
    calibration = {
        name: dict(zip(("nominal", "true"), metrics.measure_quantile_calibration(q, truth[name]), strict=True))
        for name, q in predicted.quantiles.items()
    }
    galaxies: dict[str, Any] = {}
    if source.galaxy is not None and len(names := np.unique(source.galaxy[rows])) <= _MAX_GALAXIES:
        labels = tuple(source.galaxy_names[k] for k in names)
        number = np.searchsorted(names, source.galaxy[rows])
        galaxies = metrics.measure_accuracy_by_class(found, truth, number, labels)
    return {
        "accuracy": metrics.measure_accuracy(found, truth),
        "spread": metrics.measure_spread({k: truth[k] for k in found}),
        "coverage": metrics.measure_coverage(predicted.quantiles, truth),
        "calibration": calibration,
        "widths": metrics.compare_widths(predicted.quantiles, truth),
        "by_family": galaxies,
        "by_snr": {},
        "by_bands": {},
        "realistic_noise": None,
        "not_estimated": int(np.sum(~np.isfinite(next(iter(found.values()))))),
        "out_of_depth": {"false_alarm_rate": float(np.nanmean(predicted.ood > 1)), "detection_rate": {}},
    }
