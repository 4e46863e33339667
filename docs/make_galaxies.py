"""docs/results/galaxies.md: uncertainty and warning on the mock spiral and on Abell 478. No number is typed in.

python docs/make_galaxies.py demo-output/mock_spiral_sfh.fits real-output/abell478_sfh.fits LINES_MASKED.fits
(the last: `napari-sfh run real-output/abell478 --target-snr 15 --ebv-mw 0.45 --mask-lines --output LINES_MASKED.fits`)
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from napari_sfh import demo, read_result
from napari_sfh.analysis.comparison import map_comparison
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.physics.quantities import QUANTITIES
from napari_sfh.types import Flag, Result

HERE = Path(__file__).resolve().parent
MEANS = {name: QUANTITIES[name].title for name in MEAN_NAMES}
Array = NDArray[np.floating]

HEAD = """# Two galaxies judged

Made by `python docs/make_galaxies.py` from the results of `make demo` and `make real`, weights `{model}`
(sha256 {sha}).

## Does the uncertainty follow the S/N and the dust?

Half of the 16-84 % interval (dex: 5 %, median, 95 % of the bins), its rank correlation with the bins' S/N, and with the
stars' E(B-V) once S/N and LW age are taken out (partial rank correlation). Voronoi bins even out the S/N; those of the
mock are [its own](../start/command-line.md#how-many-bins-has-the-mock-spiral).

"""


def partial(a: Array, b: Array, others: list[Array]) -> float:
    """Rank correlation of ``a`` and ``b`` (N,) once the ranks of ``others`` are taken out linearly."""
    design = np.stack([np.ones(a.size), *(rankdata(x) for x in others)], axis=1)
    rest = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in (rankdata(a), rankdata(b))]
    return float(np.corrcoef(*rest)[0, 1])


def widths(result: Result) -> list[str]:
    """Table of widths and what they follow."""
    p, snr = result.prediction, result.data.snr
    ebv, age = p.median("ebv"), p.median("lg_age_lw")
    lo, mid, hi = np.quantile(snr, [0.05, 0.5, 0.95])
    lines = [
        f"{result.name}: {result.bins.n_bins} bins, S/N {lo:.0f}, {mid:.0f}, {hi:.0f} (5 %, median, 95 %).",
        "",
        "| quantity | half width | with S/N | with E(B-V) |",
        "|---|---|---|---|",
    ]
    for key, label in MEANS.items():
        half = p.half_width(key)
        a, b, c = np.quantile(half, [0.05, 0.5, 0.95])
        follows = f"{spearmanr(half, snr).statistic:+.2f} | {partial(half, ebv, [snr, age]):+.2f}"
        lines.append(f"| {label} | {a:.3f}, {b:.3f}, {c:.3f} | {follows} |")
    return [*lines, ""]


def star(result: Result) -> list[str]:
    """Warnings of the mock by the share of the light that is the foreground star's."""
    share = map_comparison.bin_truth(demo.read_demo_truth(), result.bins).star
    lines = [
        "## Does the warning light up on the foreground star, and nowhere else?",
        "",
        "| the star's share of a bin's light | bins | warned | median score |",
        "|---|---|---|---|",
    ]
    for lo, hi in ((0.5, 1.01), (0.3, 0.5), (0.1, 0.3), (0.05, 0.1), (0.0, 0.05)):
        rows = (share >= lo) & (share < hi)
        if rows.any():
            ood = result.prediction.ood[rows]
            text = f"{rows.sum()} | {np.mean(ood > 1):.0%} | {np.median(ood):.2f}"
            lines.append(f"| {lo:.0%} to {min(hi, 1):.0%} | {text} |")
    return [*lines, ""]


def cluster(kept: Result, masked: Result, spiral: Result) -> list[str]:
    """Abell 478 with its emission lines and without."""
    lines = [
        "## Abell 478: gas that no young stars light up",
        "",
        "The brightest galaxy of a cooling-flow cluster, z = 0.086 (no bands), S/N 15, its filaments a LINER. Lines of",
        "[N II] and [O I] as strong as these are in no H II region, and the network takes Halpha for youth.",
        "`--mask-lines` hides the lines' pixels:",
        "",
        "| run | LW age (16, 50, 84 % of the bins) | median half width | out of depth | gas flagged | reduced χ² |",
        "|---|---|---|---|---|---|",
    ]
    for label, r in (("as it is", kept), ("--mask-lines", masked)):
        age = np.quantile(r.prediction.median("lg_age_lw"), [0.16, 0.5, 0.84])
        half = np.median(r.prediction.half_width("lg_age_lw"))
        strange = f"{int((r.prediction.ood > 1).sum())} of {r.bins.n_bins}"
        flagged = int((r.flag & Flag.OTHER_GAS > 0).sum())
        gas = "lines hidden" if r is masked else f"{flagged} of {r.bins.n_bins}"
        ages = f"{age[0]:.2f}, {age[1]:.2f}, {age[2]:.2f}"
        lines.append(f"| {label} | {ages} | {half:.2f} | {strange} | {gas} | {np.nanmedian(r.chi2):.1f} |")
    youngest = np.argsort(masked.prediction.median("lg_age_lw"))[:3] + 1
    flagged = int((spiral.flag & Flag.OTHER_GAS > 0).sum())
    notes = [n for n in str(kept.settings["notes"]).split(" | ") if "night-sky" in n or "not lit" in n]
    return [
        *lines,
        "",
        "Notes of the run: " + ";\n".join(notes) + ".",
        f"In the mock spiral, whose gas young stars light, {flagged} of {spiral.bins.n_bins} bins are flagged.",
        "",
        f"Bins {', '.join(map(str, youngest))} stay young without lines: they lie at one edge of the field and have a",
        "continuum that rises to the blue, unlike all others, and χ² above most. The cause is believed to be a",
        "background that is not flat, not stars; the warning does not see it. The cube's STAT is 1.5 times too small:",
        "χ² of 2 is usual.",
        "",
    ]


def main(mock: str, kept: str, masked: str) -> None:
    """Write the page."""
    spiral, with_lines, without = (read_result(path) for path in (mock, kept, masked))
    head = HEAD.format(model=spiral.model_name, sha=spiral.model_sha256[:12])
    body = [*widths(spiral), *widths(with_lines), *star(spiral), *cluster(with_lines, without, spiral)]
    (HERE / "results" / "galaxies.md").write_text(head + "\n".join(body), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
