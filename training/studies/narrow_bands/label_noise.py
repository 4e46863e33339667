"""What holds the agreement of a spaxel network with its labels back: labels that scatter around the truth.

The same mock galaxies, their labels fitted to spectra of several S/N (Liew-Cain et al. 2021 take theirs from a fit,
too). A network cannot know the error of a single label: its scatter against labels cannot be smaller than theirs, while
its scatter against the truth can. If the noise of the labels is the cause, the scatter falls with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress
from napari_sfh.training.studies.narrow_bands.narrow_galaxies import MockSpaxels
from napari_sfh.training.studies.narrow_bands.spaxel_tests import (
    SPAXEL_QUANTITIES,
    SPAXEL_SETS,
    SpaxelTestSettings,
    predict_held_out_folds,
    summarise_errors,
)


def measure_label_noise(
    make: Callable[[float], MockSpaxels],
    snrs: Sequence[float],
    settings: SpaxelTestSettings,
    progress: ReportProgress | None = None,
) -> dict[str, Any]:
    """Errors of labels and of both sets' answers at each S/N of the spectra that labels are fitted to.

    Parameters
    ----------
    make : callable
        Gives the mock galaxies with labels fitted at an S/N; truth and bands the same but for noise.
    snrs : sequence of float
        Of a pixel.
    settings : SpaxelTestSettings
    progress : optional
        See `jobs.report_progress`.

    Returns
    -------
    dict
        By S/N: ``labels`` {quantity: errors of the labels against the truth}, and of each set {quantity: errors of the
        answers against the labels, with ``against_truth``}; ``n_spaxels``.

    Raises
    ------
    SfhInputError
        Labels that are the truth.
    """
    rows: dict[str, Any] = {}
    for snr in snrs:
        made = make(snr)
        truth = made.truth
        if any(name not in truth or truth[name] is getattr(made, name) for name in SPAXEL_QUANTITIES):
            raise SfhInputError("`label_snr`: labels are the truth and have no noise; leave `labels` out")
        row: dict[str, Any] = {
            "n_spaxels": len(made.r),
            "labels": {name: summarise_errors(getattr(made, name), truth[name]) for name in SPAXEL_QUANTITIES},
        }
        for kind in SPAXEL_SETS:
            found = predict_held_out_folds(made, kind, settings, progress).found
            row[kind] = {
                name: summarise_errors(found[name], getattr(made, name))
                | {"against_truth": summarise_errors(found[name], truth[name])}
                for name in SPAXEL_QUANTITIES
            }
        rows[f"{snr:g}"] = row
    return rows
