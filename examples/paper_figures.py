"""Figures of a result for a paper: maps, one bin, radial gradients.

python paper_figures.py RESULT.fits FOLDER [DISTANCE_MPC]
"""

from __future__ import annotations

import sys
from pathlib import Path

import napari_sfh
from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.disc import guess_disc
from napari_sfh.analysis.gradients import GradientFitSettings, fit_all_gradients
from napari_sfh.analysis.maps import find_brightest_bin
from napari_sfh.figures import pages
from napari_sfh.figures.files import save_figure
from napari_sfh.figures.gradient import draw_gradient_page


def main(result_file: Path, folder: Path, distance_mpc: float | None = None, r_max: float = 1.5) -> list[Path]:
    """Write the figures as PDF, gradients within ``r_max`` effective radii; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    result = napari_sfh.read_result(result_file)
    view = BinView.of(result, find_brightest_bin(result))
    written = [
        save_figure(pages.draw_maps_page(result, distance_mpc), folder / "maps.pdf"),
        save_figure(pages.draw_bins_page(result, [view], "mass"), folder / "bin.pdf"),
    ]
    disc = guess_disc(result.white, result.wcs)  # or replace(disc, pa_deg=..., inclination_deg=...) of the literature
    gradients = fit_all_gradients(result, disc, GradientFitSettings(r_max=r_max))
    return [*written, save_figure(draw_gradient_page(result, gradients), folder / "gradients.pdf")]


if __name__ == "__main__":
    distance = float(sys.argv[3]) if len(sys.argv) > 3 else None
    print(*main(Path(sys.argv[1]), Path(sys.argv[2]), distance), sep="\n")
