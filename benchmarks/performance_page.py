"""docs/results/performance.md from the figures that `performance` measured: every number comes from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_HEAD = """## Steps

Written by `python benchmarks/performance.py`; the figures lie in [report/performance.json](../report/performance.json).
Measured on {machine}; torch {torch}, one thread, code at {commit}; load when it ended: {load_after}.

All figures are processor time of the measuring process, the least of some calls. Other jobs share the machine: they add
to the wall clock, and through caches and memory also some per cent to the processor time. Compare within a line: both
ways were called in turn, in one run.
"""
_GOALS_HEAD = """# Speed

## Goals

Written by `python benchmarks/speed_goals.py`; the figures lie in [report/speed.json](../report/speed.json). Times
are by the clock unless it says processor. Windows were painted by software GL on a virtual screen. The machines differ
by more than two: the products of matrices a second say how fast each was at that hour.
"""
_TRAINING = """
## What limits training

On a processor a step is the network's: its products, and the memory that they stream through. One by one, the four
layers of a convolution unit spend most of their time in kernels that are not vectorised (the backward pass of PReLU,
max-pooling with indices) and in page faults of fresh arrays. `model/fast_convolution.py` does them in one step, with
the batch innermost; `keep_freed_memory` lets the process keep its arrays. New noise and encoding are the rest of a
step.

On an H100 an epoch of the network takes three seconds. A step of the posterior's flow is thousands of small operations;
begun one by one they take up to 40 ms. Recorded once and played again (a CUDA graph, `fitting/device`) they take at
most 3.5, and ten epochs with their spectra half a minute. A simulated set is the host's work: of 175 ms that a chunk
takes, 107 are the drawing of histories (a quarter less since), on threads that wait for each other.

## Where a GPU's time goes

Of the 85 ms that an H100 computes for 65 536 points, 20 copy spectra to it and 14 are matrix products; the rest streams
through its memory. Of 358 ms for 8 192 posteriors of 1 000 draws, arithmetic by element (splines, couplings) takes
nearly half, cumulative sums and sorting a fifth, products 50 ms. Half precision in the products would gain a sixth at
most, and cost digits: they stay in single precision.
"""
_OTHERS = """
## Measured by other benchmarks

| what | command |
|---|---|
| the full-size run (29 GB and five mosaics), [a field and a survey](field.md) | `benchmarks/bench_fullsize.py` |
| millions of catalogue rows: rows per second, memory, Dask workers | `benchmarks/bench_catalogue.py` |
| rows and galaxies on a Dask cluster by its address, compared with one process | `benchmarks/bench_cluster.py` |
| the window: blocks of every act, start | `benchmarks/window_blocks.py` |
| the window: clicks and map switches until they are painted | `benchmarks/bench_viewer.py` |
| synthetic sets on disk, endless source | `benchmarks/bench_simulate.py` |
| every stage of a run beside what the preflight expects | `benchmarks/bench_estimate.py` |
| point inference and posterior on all cores | `benchmarks/bench_infer.py` |
| a GPU: tests, throughput, simulator, whole training | `make gpu` |
"""
_WINDOW_HEAD = """
## The window

Written by `benchmarks/window_blocks.py`, which walks through the window with real mouse and keys; the figures lie in
[report/window.json](../report/window.json). For each act, the longest block of the event loop in ms: processor time of
the main thread without drawing (in brackets: with it; by the clock). Drawing is the canvas' OpenGL and what brings the
window's picture to the screen: a graphics card's work where there is one, the processor's under Xvfb. A press of the
mouse also draws unseen, to find what lies under it: that is in the first figure. Processor time grows, too, when other
jobs share the caches, and the clock by far more: compare runs of like load.

{machines}.
"""

_NO_GL_HEAD = """
With OpenGL that costs nothing (`GALLIUM_NOOP=1`), as a graphics card's does: ms of processor of the main thread from
the act until all is painted, the commits {commits} in turn. In brackets the same in units of a fixed piece of work
that was timed beside each act (4.2 ms of it): neighbours take more or less of this host from second to second.
Measured on {machine}.

| act, the demo's bins | before | after |
|---|---|---|
"""


def write_page(found: dict[str, Any], path: Path) -> None:
    """Write the page."""
    lines = [_format_goals(path.parents[1] / "report" / "speed.json"), _HEAD.format(**found)]
    lines += ["## Before and after", "", "| step | before | after | ratio |", "|---|---|---|---|"]
    notes = []
    for one in found["compared"]:
        before, after = (_format_rate(one[f"{k}_s"], one["work"]) for k in ("before", "after"))
        ratio = one["before_s"] / one["after_s"]
        lines.append(f"| {one['what']} | {one['before']}: {before} | {one['after']}: {after} | {ratio:.1f} |")
        notes += [one["notes"]] if one["notes"] else []
    lines += [
        "",
        *(f"{note[0].upper()}{note[1:]}." for note in notes),
        "",
        "## Alone",
        "",
        "| what | figure |",
        "|---|---|",
    ]
    lines += [f"| {one['what']} | {one['value']:g} {one['unit']} |" for one in found["singles"]]
    lines += ["", "## How it grows", "", "Processor time goes as size to the power of the exponent.", ""]
    lines += ["| step | of | sizes | seconds | exponent |", "|---|---|---|---|---|"]
    for one in found["growth"]:
        sizes, seconds = (", ".join(f"{x:.4g}" for x in one[k]) for k in ("sizes", "seconds"))
        lines.append(f"| {one['what']} | {one['of']} | {sizes} | {seconds} | {one['exponent']:.2f} |")
    window = _format_window(path.parents[1] / "report" / "window.json")
    profiles, rows = _format_profiles(found.get("profiles")), (found.get("catalogue"), found.get("long_catalogue"))
    text = "\n".join(lines) + "\n" + profiles + _format_catalogue(*rows)
    window += _format_without_gl(path.parents[1] / "report" / "window_gl.json")
    text += _TRAINING + window + "\n## GPU\n\n" + _format_gpu(found["gpu"]) + _OTHERS
    path.write_text(text, encoding="utf-8")


def _format_goals(figures: Path) -> str:
    """The goals beside what was reached: the median of the runs, the best where there are several."""
    lines = [_GOALS_HEAD]
    parts: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    for part in parts.values():
        lines += [_name_measurement(part), "", "| what | goal | here | reached |", "|---|---|---|---|"]
        for one in part["figures"]:
            values, more = sorted(one["values"], reverse=one["more_is_better"]), one["more_is_better"]
            middle, best = values[len(values) // 2], values[0]
            told = f"{middle:g} {one['unit']}" + (f" (best of {len(values)}: {best:g})" if len(values) > 1 else "")
            share = middle / one["goal"]
            reached = "yes" if (share >= 1 if more else share <= 1) else f"no, {share:.2f} of it"
            lines.append(f"| {one['what']} | {one['goal']:g} {one['unit']} | {told} | {reached} |")
        lines.append("")
    return "\n".join(lines)


def _name_measurement(part: dict[str, Any]) -> str:
    pace = f"; {part['pace']} products of 512 x 512 matrices a second, one thread" if "pace" in part else ""
    return f"Measured on {part['machine']}{pace}; code at {part['commit']}; load when it ended: {part['load_after']}."


def _format_profiles(part: dict[str, Any] | None) -> str:
    """Tables of shares of the processor time."""
    if part is None:
        return ""
    lines = ["", "## Where the time goes", "", _name_measurement(part)]
    for one in part["figures"]:
        lines += ["", f"| {one['what']}: {one['seconds']:.3g} s of processor | share |", "|---|---|"]
        shares = one["shares"] | {"the rest": 1 - sum(one["shares"].values())}
        lines += [f"| {name} | {share:.0%} |" for name, share in shares.items()]
    return "\n".join(lines) + "\n"


def _format_catalogue(part: dict[str, Any] | None, long: dict[str, Any] | None) -> str:
    """Rows per second of `estimate`, here and on Dask workers; and what a catalogue of a whole survey took."""
    if part is None:
        return ""
    lines = ["", "## Catalogues", "", _name_measurement(part), ""]
    lines += ["| J-PAS rows, 400 draws | rows a second of wall clock | rows a second of processor |", "|---|---|---|"]
    for one in part["figures"]:
        where = f"{one['workers']} Dask workers of this machine" if one["workers"] else "in one process"
        wall, busy = one["rows"] / one["wall"], one["rows"] / one["cpu"]
        lines.append(f"| {one['rows']}, {where} | {wall:.0f} | {busy:.0f} |")
    if long is not None:
        (one,) = long["figures"]
        did = f"{one['rows']} rows, {one['gigabytes']} GB, {one['draws']} draws, by `{long['command']}`"
        rate = f"{one['rows_per_s']} rows a second of wall clock, {one['rows_per_cpu_s']} of processor"
        held = f"the process held {one['RssAnon']} GiB at most, and {one['RssFile']} GiB of mapped files"
        reading = f"reading alone {one['read_rows_per_cpu_s']}"
        lines += ["", f"{did}: {rate} ({reading}); {held}. {_name_measurement(long)}"]
    return "\n".join(lines) + "\n"


def _format_rate(seconds: float, work: int) -> str:
    return f"{_round_plainly(1e3 * seconds / work)} ms each, {_round_plainly(work / seconds)} a second"


def _round_plainly(value: float) -> str:
    """Three figures, never as a power of ten."""
    return f"{value:.3g}" if value < 1000 else f"{float(f'{value:.3g}'):.0f}"


def _format_gpu(gpu: dict[str, Any] | None) -> str:
    if gpu is None:
        return "Not measured: no GPU was at hand. `make gpu` measures there in ten minutes.\n"
    rows = "\n".join(
        f"| {one['what']} | {one['value']:g} {one['unit']} | {format(one['goal'], 'g') if 'goal' in one else ''} |"
        for one in gpu["figures"]
    )
    return f"Measured on {gpu['machine']}.\n\n| what | figure | goal |\n|---|---|---|\n{rows}\n"


def _format_window(figures: Path) -> str:
    """The blocks of the window's event loop, of the runs that `window_blocks` has kept."""
    kept: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    if not kept:
        return ""
    runs = [(label, size) for size in next(iter(kept.values()))["acts"] for label in kept]
    rows = {(label, size): {row["act"]: row for row in kept[label]["acts"].get(size, [])} for label, size in runs}
    acts = list(dict.fromkeys(act for each in rows.values() for act in each))
    order = sorted(acts, key=lambda act: -max(each[act]["ours"] for each in rows.values() if act in each))
    lines = [
        _WINDOW_HEAD.format(
            machines="; ".join(f"{label.capitalize()}: {run['machine']}" for label, run in kept.items())
        )
    ]
    lines += [f"| act | {' | '.join(f'{label}, {size}' for label, size in runs)} |", f"|---|{'---|' * len(runs)}"]
    for act in order:
        cells = [
            f"{each[act]['ours']} ({each[act]['cpu']}; {each[act]['wall']})" if act in each else ""
            for each in rows.values()
        ]
        lines.append(f"| {act} | {' | '.join(cells)} |")
    lines += [
        "",
        "| `napari-sfh demo`, seconds after its call | " + " | ".join(kept) + " |",
        f"|---|{'---|' * len(kept)}",
    ]
    for name in dict.fromkeys(name for run in kept.values() for name in run.get("start", {})):
        lines.append(f"| {name} | {' | '.join(str(run.get('start', {}).get(name, '')) for run in kept.values())} |")
    return "\n".join(lines) + "\n"


def _format_without_gl(figures: Path) -> str:
    """Acts of the window without the cost of OpenGL, before and after."""
    if not figures.exists():
        return ""
    kept: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
    rows = "".join(
        f"| {one['what']} | {one['before']:g} ({one['fixed_before']:g}) | {one['after']:g} ({one['fixed_after']:g}) |\n"
        for one in kept["figures"]
    )
    return _NO_GL_HEAD.format(commits=" and ".join(kept["commits"]), machine=kept["machine"]) + rows
