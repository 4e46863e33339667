"""Write every figure of Galceran et al. (2026) and the numbers behind them into a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from napari_sfh.figures.files import save_figure
from napari_sfh.io.atomic import ensure_folder, write_text_atomically
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.training.papers.main_paper import ablation_figures, figures, report
from napari_sfh.training.papers.main_paper.architecture_figure import plot_architecture
from napari_sfh.training.papers.main_paper.galaxy_figures import draw_galaxy_figures
from napari_sfh.training.papers.main_paper.latent_figures import draw_latent_figures
from napari_sfh.training.papers.main_paper.measurements import PaperMeasurements
from napari_sfh.training.papers.size_curve import plot_size_curve
from napari_sfh.types import Progress

#: Numbers of the paper's ablation figures: photometry and spectrum of each mean.
ABLATION_FIGURES: Mapping[str, tuple[int, int]] = {
    "lg_age_lw": (9, 10), "mh_lw": (11, 12), "lg_age_mw": (23, 24), "mh_mw": (25, 26),
}  # fmt: skip
_DPI = 75


def draw_paper_figures(
    m: PaperMeasurements, size_curve: Mapping[str, Any] | None = None
) -> Iterator[tuple[int, Figure]]:
    """Number and figure, in order of making; 13 and 14 need a galaxy, see `galaxy_figures`.

    Parameters
    ----------
    m : PaperMeasurements
    size_curve : mapping, optional
        Report of ``ablate-recipe --sizes``; without it that figure is left out.
    """
    yield 1, figures.plot_optical_depths(m)
    yield 2, plot_architecture(m.bundle)
    yield 3, figures.plot_four_cases(m)
    yield 4, figures.plot_sfr_errors(m)
    yield 5, figures.plot_mean_recovery(m.main.found, m.main.truth, m.ppxf)
    yield 6, figures.plot_degeneracy(m)
    yield 7, figures.plot_dust_dependence(m)
    yield 8, figures.plot_snr_dependence(m)
    wave, bands = m.data.instrument.wave_aa, m.data.instrument.band_names
    for mean, (first, second) in ABLATION_FIGURES.items():
        changes = ablation_figures.list_band_changes(m.ablation, bands)
        yield first, ablation_figures.plot_ablation(m.ablation, mean, changes, "Bands taken away")
        changes = ablation_figures.list_segment_changes(m.ablation, wave)
        yield second, ablation_figures.plot_ablation(m.ablation, mean, changes, "Segments taken away")
    if size_curve:
        yield 15, plot_size_curve(size_curve)
    yield 16, figures.plot_age_metallicity(m)
    yield from draw_latent_figures(m).items()
    if m.realistic is not None:
        yield 20, figures.plot_mean_recovery(m.realistic.found, m.realistic.truth, [])
    yield 21, ablation_figures.plot_segments(m)
    yield 22, ablation_figures.plot_band_curves(m)


def write_paper_figures(
    m: PaperMeasurements,
    folder: Path,
    size_curve: Mapping[str, Any] | None = None,
    progress: ReportProgress | None = None,
    device: str = "auto",
) -> list[Path]:
    """Write ``figNN.png`` and ``paper.json``; returns their paths.

    Parameters
    ----------
    m : PaperMeasurements
    folder : Path
        Gets ``figNN.png`` and ``paper.json``.
    size_curve : mapping, optional
        Of `size_curve`.
    progress : optional
        See `jobs.report_progress`.
    device : str

    Returns
    -------
    list of Path
    """
    ensure_folder(folder)
    paths: list[Path] = []
    galaxy = draw_galaxy_figures(m.bundle, device, progress)
    for number, figure in [*galaxy.items(), *draw_paper_figures(m, size_curve)]:
        report_progress(Progress("figures of the paper", len(paths), 26), progress)
        paths.append(save_figure(figure, folder / f"fig{number:02d}.png", dpi=_DPI))
    table = folder / "paper.json"
    weights = {"name": m.bundle.name, "sha256": m.bundle.sha256}
    content = {
        "weights": weights,
        "prior": m.test_set.name,
        "seed": m.test_set.seed,
        **report.build_paper_tables(m),
    }
    write_text_atomically(table, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return [*sorted(paths), table]
