"""Fit some bins of a result with pPXF and print both answers.

    python compare_with_ppxf.py RESULT.fits TABLE.ecsv

Needs the extra `kinematics`. pPXF is given the network's own templates, so that a difference is one of method.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from astropy.table import Table

import napari_sfh
from napari_sfh.analysis.comparison.ppxf_fit import PpxfBinSettings, fit_ppxf
from napari_sfh.physics.means import MEAN_NAMES


def main(result_file: Path, table_file: Path, n_bins: int = 5) -> Table:
    """The brightest bins that the network knows, by both codes."""
    result = napari_sfh.read_result(result_file)
    basis = napari_sfh.load_bundle(result.model_name).basis
    known = np.flatnonzero(result.prediction.ood < 1)
    chosen = known[np.argsort(-result.data.snr[known])][:n_bins]
    rows = []
    for row in chosen:
        fit = fit_ppxf(result.data.select(slice(row, row + 1)), basis, result.redshift, PpxfBinSettings(gas=False))
        answer = {"bin": int(row) + 1, "snr": float(result.data.snr[row]), "chi2_ppxf": fit.chi2}
        for name in MEAN_NAMES:
            answer[name] = float(result.prediction.median(name)[row])
            answer[f"{name}_err"] = float(result.prediction.half_width(name)[row])
            answer[f"{name}_ppxf"] = fit.means[name]
        rows.append(answer)
    table = Table(rows)
    table.write(table_file, overwrite=True)
    return table


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2])).pprint_all()
