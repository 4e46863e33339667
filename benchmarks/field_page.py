"""docs/results/field.md from what `bench_fullsize` measured: one field stage by stage, and a survey of such fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: Galaxies of the survey that is planned.
SURVEY = 1000
_PAGE = """# One field, and a survey of them

Written by `python benchmarks/bench_fullsize.py --side {side} --mosaic {mosaic} --docs docs`; the figures lie in
[report/field.json](../report/field.json). Measured on {machine}.

A field of {side} x {side} spaxels x 3681 channels with variance ({cube_gb:.1f} GB) and five mosaics of
{mosaic} x {mosaic} pixels with weights, every pixel written: {bins} bins. Processor time is the measure: other jobs on
the machine add to the wall clock.

| stage | processor | read | peak memory |
|---|---|---|---|
{rows}
| everything | {cpu:.0f} s | {asked:.1f} GB | **{peak:.2f} GiB** |

Signal, binning, spectra and photometry grow with the spaxels and pixels, the rest with the bins: {per_spaxel:.0f} s for
a million spaxels and {per_bin:.1f} ms for a bin. In proportion, a million spaxels with as many bins for each take
{full:.0f} s (the binning grows a little faster than that).

## {survey} galaxies

Of this size, one after the other on one core, from these figures:

| | |
|---|---|
| processor | {hours:.1f} hours of a core; {hours_16:.1f} hours on 16 cores, with memory for as many workers |
| memory | {peak:.1f} GiB for each galaxy at a time |
| input to hold | {input_tb:.1f} TB; each cube is read {passes:.2f} times |
| results | {result_gb:.0f} GB |
| the network's share | {network:.0%} of the processor time: that is what a GPU takes over |

A cube of another size: see above what grows with what. `napari-sfh info` says the same of each galaxy beforehand.
"""


def write_field_page(found: dict[str, Any], docs: Path) -> None:
    """Write the figures and the page below a folder of documentation."""
    stages, last = found["stages"], found["stages"][-1]
    cpu = sum(row["cpu"] for row in stages)
    asked = sum(row["asked"] for row in stages)
    network = sum(row["cpu"] for row in stages if row["stage"].startswith("predicting"))
    by_bin = ("rest frame", "predicting", "models", "stars", "emission", "writing", "reading")
    of_bins = sum(row["cpu"] for row in stages if row["stage"].startswith(by_bin))
    cube = ("signal and noise", "spectra", "the cube through")
    passes = sum(row["asked"] for row in stages if row["stage"].startswith(cube)) / found["cube_gb"]
    text = _PAGE.format(
        **{key: found[key] for key in ("side", "mosaic", "machine", "cube_gb")},
        bins=last["bins"],
        rows="\n".join(
            f"| {row['stage']} | {row['cpu']:.1f} s | {row['asked']:.1f} GB | {row['peak']:.2f} GiB |" for row in stages
        ),
        cpu=cpu,
        asked=asked,
        peak=max(row["peak"] for row in stages),
        per_spaxel=1e6 * (cpu - of_bins) / found["side"] ** 2,
        per_bin=1e3 * of_bins / last["bins"],
        full=cpu * 1e6 / found["side"] ** 2,
        survey=SURVEY,
        hours=SURVEY * cpu / 3600,
        hours_16=SURVEY * cpu / 3600 / 16,
        input_tb=SURVEY * found["input_gb"] / 1000,
        passes=passes,
        result_gb=SURVEY * last["result_gb"],
        network=network / cpu,
    )
    (docs / "report").mkdir(parents=True, exist_ok=True)
    (docs / "results").mkdir(parents=True, exist_ok=True)
    (docs / "report" / "field.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (docs / "results" / "field.md").write_text(text, encoding="utf-8")
