"""pPXF as it is run here, as Galceran et al. (2026, section 3.5) ran it, and between: whence the sign of its bias.

The paper cuts the emission lines out of the spectra and leaves them in the bands; here they are fitted in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_sfh.jobs import ReportProgress
from napari_sfh.training.evaluation.ppxf_comparison import (
    PpxfTestSettings,
    fit_test_spectra,
    summarise_ppxf_fits,
)
from napari_sfh.training.evaluation.predictions import truth_from_labels
from napari_sfh.training.evaluation.test_set import TestSet

#: Settings by what they are, the ones of every report first.
PPXF_VARIANTS: Mapping[str, PpxfTestSettings] = {
    "lines fitted": PpxfTestSettings(),
    "lines cut out, kept in the bands": PpxfTestSettings(gas=False),
    "lines cut out, no bands": PpxfTestSettings(gas=False, bands=False),
    "lines fitted, hardly regularised": replace(PpxfTestSettings(), regul_error=10.0),
}


def measure_ppxf_variants(
    test_set: TestSet, n: int, folder: Path, workers: int = 1, progress: ReportProgress | None = None
) -> dict[str, Any]:
    """Accuracy of each of `PPXF_VARIANTS` on the first ``n`` spectra; fits are kept in ``folder``.

    Parameters
    ----------
    test_set : TestSet
    n : int
        Spectra.
    folder : Path
        Keeps the fits.
    workers : int
        Processes.
    progress : optional
        See `jobs.report_progress`.

    Returns
    -------
    dict
    """
    truth = truth_from_labels(test_set.labels)
    rows = {}
    for k, (name, settings) in enumerate(PPXF_VARIANTS.items()):
        cache = folder / (f"ppxf-{test_set.name}.jsonl" if k == 0 else f"ppxf-{test_set.name}-{k}.jsonl")
        rows[name] = summarise_ppxf_fits(fit_test_spectra(test_set, n, cache, settings, workers, progress), truth)
    return {"n": n, "prior": test_set.name, "seed": test_set.seed, "rows": rows}
