"""docs/results/narrow-band.md from the tables of `narrow_measure`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMES = {"lg_age": "log age", "mh": "[M/H]", "ebv": "E(B-V)"}


def format_narrow_band_page(results: Mapping[str, Any]) -> str:
    """The page of whatever was measured: ``spaxel``, ``jpas`` or both, each with its ``command`` and ``machine``."""
    lines = [
        "# Narrow bands",
        "",
        "Two networks read narrow-band photometry instead of spectra. Their bands are made "
        "(`prep/band_fluxes/narrowband.py`): trapezoids of 145 Å every 100 Å like those of J-PAS, cut from a cube by "
        "`narrowband.make_narrowband_images`, "
        "from any spectra by `narrowband.measure_narrowband_fluxes`. "
        "This page is written by the commands below; no number is typed in.",
    ]
    if "spaxel" in results:
        lines += _spaxel(results["spaxel"])
    if "jpas" in results:
        lines += _jpas(results["jpas"])
    return "\n".join([*lines, ""])


def _record(r: Mapping[str, Any]) -> list[str]:
    return ["", f"    {r['command']}", "", f"Machine: {r['machine']['cpu']}; {r['seconds']:.0f} s.", ""]


def _spaxel(r: Mapping[str, Any]) -> list[str]:
    lines = ["", "## Spaxels: light-weighted log age and [M/H] (after Liew-Cain et al. 2021)"]
    lines += _record(r)
    lines += [
        f"{r['n_galaxies']} mock galaxies of {r['per_galaxy']} spaxels (prior `{r['prior']}`, {r['bands']} bands in "
        f"the MUSE range without those that hold Halpha, S/N {r['snr']:g} per band). Every spaxel is tested once, by a "
        "network that was trained on three quarters: of the spaxels of every galaxy (set A), or of the galaxies "
        "(set B). Gradients are slopes within one effective radius, from the answers less from the truth.",
        "",
        "| set | quantity | bias | std | NMAD | spread of the truth | gradient: bias | NMAD | spread of the truth |",
        "|---" * 9 + "|",
    ]
    for kind, tables in r["sets"].items():
        for name, t in tables.items():
            g = t["gradient"]
            lines.append(
                f"| {kind} | {_NAMES[name]} | {t['bias']:+.3f} | {t['std']:.3f} | {t['nmad']:.3f} | "
                f"{r['spread'][name]:.3f} | {g['bias']:+.3f} | {g['nmad']:.3f} | {g['spread']:.3f} |"
            )
    ratios = ", ".join(f"{ratio:.2f} in {_NAMES[k]}" for k, ratio in r["memory"].items())
    lines += [
        "",
        f"Scatter (NMAD) of set B over that of set A: {ratios}. What A reaches and B does not is memory of the test "
        "spaxels' own galaxies: a real survey is set B, and a figure measured by splitting spaxels flatters.",
    ]
    return lines


def _jpas(r: Mapping[str, Any]) -> list[str]:
    names = ", ".join(r["libraries"])
    lines = ["", "## 56 bands: log age, [M/H], E(B-V) of single populations (after Domínguez Sánchez et al. 2025)"]
    lines += _record(r)
    low, high = r["mh_range"]
    limits = ", ".join(f"{limit:g} in {_NAMES[k]}" for k, limit in r["outlier"].items())
    lines += [
        f"Libraries: {names}; [M/H] {low:.2f} to {high:.2f}, which they share. {r['n']} populations per training set, "
        f"each at a magnitude drawn from 16 to 22; {r['n_test']} other populations of each library for the tests. "
        f"Outliers err by more than {limits}.",
        "",
        "Trained on all libraries, tested on all: bias / std / NMAD / outliers.",
        "",
        f"| magnitude | {' | '.join(_NAMES[q] for q in r['by_magnitude'])} |",
        "|---" * (1 + len(r["by_magnitude"])) + "|",
    ]
    for magnitude in next(iter(r["by_magnitude"].values())):
        lines.append(f"| {magnitude} | {' | '.join(_cell(t[magnitude]) for t in r['by_magnitude'].values())} |")
    lines += ["", "Across libraries, magnitudes 16 to 18:", "", "| trained on | tested on | log age | [M/H] | E(B-V) |"]
    lines.append("|---|---|---|---|---|")
    for source, tests in r["across"].items():
        for name, tables in tests.items():
            lines.append(f"| {source} | {name} | {' | '.join(_cell(t) for t in tables.values())} |")
    return lines


def _cell(t: Mapping[str, float]) -> str:
    return f"{t['bias']:+.3f} / {t['std']:.3f} / {t['nmad']:.3f} / {100 * t['outliers']:.1f} %"
