"""Figures 13 and 14 of Galceran et al. (2026) on the bundled mock galaxy: its maps beside the truth, and the offsets.

Of real galaxies ``napari-sfh compare`` draws the same against the DAP, GIST/nGIST or another run.
"""

from __future__ import annotations

from dataclasses import replace

from matplotlib.figure import Figure

from napari_sfh import demo
from napari_sfh.analysis.comparison.map_comparison import MIN_SNR, compare_results
from napari_sfh.analysis.comparison.other_results import other_result_from_truth
from napari_sfh.analysis.gas.line_fitting import measure_line_fluxes
from napari_sfh.figures.offsets import draw_map_columns, draw_offset_page
from napari_sfh.instruments.files import load_instrument
from napari_sfh.jobs import ReportProgress
from napari_sfh.model.bundle import Bundle
from napari_sfh.pipeline import run_pipeline


def draw_galaxy_figures(
    bundle: Bundle, device: str = "auto", progress: ReportProgress | None = None
) -> dict[int, Figure]:
    """Figures 13 and 14 of weights for the mock's instrument; none for others.

    Parameters
    ----------
    bundle : Bundle
    device : str
        auto, cpu, cuda or mps.
    progress : callable, optional

    Returns
    -------
    dict of int to Figure
        By the figure's number.
    """
    if bundle.instrument.sha256 != load_instrument().sha256:
        return {}
    config = replace(demo.make_demo_config(device), model=str(bundle.path))
    result = run_pipeline(config, progress)
    comparison = compare_results(result, other_result_from_truth(demo.read_demo_truth(), result))
    lines = measure_line_fluxes(result, bundle, progress)
    return {13: draw_map_columns(result, [comparison], lines), 14: draw_offset_page(comparison, MIN_SNR)}
