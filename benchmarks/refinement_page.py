"""docs/results/refinement.md from what `bench_refinement` measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_TITLES = {
    "lg_age_mw": "MW age",
    "lg_age_lw": "LW age",
    "mh_mw": "MW [M/H]",
    "mh_lw": "LW [M/H]",
    "ebv": "E(B-V)",
}
_WORDS = {
    "home": "At home: galaxies of the prior `wide` with the likelihood's own stars ({library}), noise and faults",
    "independent": "The independent simulator, the same stars: other histories, metals, dust laws and gas",
    "other stars": "The prior `wide` with stars of E-MILES, which the likelihood does not know and the network does",
}
_PAGE = """# The likelihood beside the network

Written by `python benchmarks/bench_refinement.py`; every galaxy's figures lie in
[report/refinement.json](../report/refinement.json). Weights `{weights}`, S/N of 20, 35, 70 and 100 per pixel in turn.
Measured on {machine}.

`napari-sfh refine` on {n} galaxies: chains met in {met} of them; {cpu:.0f} s of processor a galaxy (median; at most
{most:.0f}). What it does, when chains have met, and
what these figures make of it, a second opinion and no judge:
[credibility](../method/credibility.md#the-likelihood-as-referee).

*bias / std / inside*: median and standard deviation of estimate minus truth (dex, mag), and shares of truths within the
68 and 95 % intervals. *Apart*: mean and standard deviation of likelihood minus network, over the root of the sum of the
squares of their errors.
{cases}"""
_CASE = """
## {words}

{n} galaxies, of which {contradicted} were said to contradict the model.

| | network | likelihood | width, likelihood over network | apart |
|---|---|---|---|---|
{rows}

Truths within the 68 % intervals, all quantities, by S/N: {by_snr}.
"""


def write_refinement_page(found: dict[str, Any], docs: Path) -> None:
    """Write the page below a folder of documentation.

    Parameters
    ----------
    found : dict
        Of `bench_refinement`.
    docs : Path
    """
    galaxies = list(found["galaxies"].values())
    spent = [g["cpu_s"] for g in galaxies]
    text = _PAGE.format(
        **{k: found[k] for k in ("weights", "machine")},
        n=len(galaxies),
        met=sum(g["met"] for g in galaxies),
        cpu=np.median(spent),
        most=max(spent),
        cases="".join(_write_cases(found)),
    )
    (docs / "results" / "refinement.md").write_text(text, encoding="utf-8")


def _write_cases(found: dict[str, Any]) -> Iterator[str]:
    for case, words in _WORDS.items():
        mine = {k: g for k, g in found["galaxies"].items() if k.split(",")[0] == case}
        if not mine:
            continue
        galaxies = list(mine.values())
        snrs = [float(k.split(",")[1].split()[1]) for k in mine]
        yield _CASE.format(
            words=words.format(library=found["library"]),
            n=len(galaxies),
            contradicted=sum(g["contradicts"] for g in galaxies),
            rows="\n".join(_write_row(title, [g[q] for g in galaxies]) for q, title in _TITLES.items()),
            by_snr="; ".join(_write_snr(galaxies, snrs, snr) for snr in sorted(set(snrs))),
        )


def _write_row(title: str, rows: list[dict[str, Any]]) -> str:
    truth, network, likelihood = (np.array([r[k] for r in rows]) for k in ("truth", "network", "likelihood"))
    errors = [0.5 * (q[:, 3] - q[:, 1]) for q in (network, likelihood)]
    apart = (likelihood[:, 2] - network[:, 2]) / np.hypot(*errors)
    cells = [_write_cell(q, truth) for q in (network, likelihood)]
    width = np.median(errors[1] / errors[0])
    return f"| {title} | {' | '.join(cells)} | {width:.2f} | {apart.mean():+.2f} ± {apart.std():.2f} |"


def _write_cell(q: np.ndarray, truth: np.ndarray) -> str:
    away = q[:, 2] - truth
    inside = [_find_inside(q, truth, k).mean() for k in (1, 0)]
    return f"{np.median(away):+.3f} / {away.std():.3f} / {inside[0]:.0%}, {inside[1]:.0%}"


def _find_inside(q: np.ndarray, truth: np.ndarray, k: int) -> np.ndarray:
    return (truth >= q[:, k]) & (truth <= q[:, 4 - k])


def _write_snr(galaxies: list[dict[str, Any]], snrs: list[float], snr: float) -> str:
    shares = []
    for who in ("network", "likelihood"):
        rows = [g[q] for g, s in zip(galaxies, snrs, strict=True) if s == snr for q in _TITLES]
        inside = _find_inside(np.array([r[who] for r in rows]), np.array([r["truth"] for r in rows]), 1)
        shares.append(f"{inside.mean():.0%}")
    return f"{snr:g}: network {shares[0]}, likelihood {shares[1]}"
