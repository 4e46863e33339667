"""What a run takes, stage by stage, beside what `napari_sfh.preflight.cost` expected: the source of its rates.

    OMP_NUM_THREADS=1 python benchmarks/bench_estimate.py [FOLDER] [--target-snr 35] [--kinematics ppxf]

Without a folder, the mock galaxy. Processor time is what the rates are made of: on a machine that does other work the
wall clock says more of that than of this.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import tempfile
import time
from pathlib import Path

start = time.process_time(), time.perf_counter()

from machine import machine  # noqa: E402 - the imports are timed, too

from napari_sfh import demo  # noqa: E402
from napari_sfh.batch.many_galaxies import save_summary_page  # noqa: E402
from napari_sfh.batch.rerun import describe_input_files  # noqa: E402
from napari_sfh.batch.result_files import write_galaxy_result  # noqa: E402
from napari_sfh.decisions import configure_run  # noqa: E402
from napari_sfh.io.identify import find_galaxy_files  # noqa: E402
from napari_sfh.pipeline import run_pipeline  # noqa: E402
from napari_sfh.preflight.plan import examine_inputs  # noqa: E402
from napari_sfh.types import Progress  # noqa: E402


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=demo.find_demo_folder())
    parser.add_argument("--target-snr", type=float, default=35.0)
    parser.add_argument("--kinematics", default="auto")
    options = parser.parse_args()
    print(machine())
    marks = [("imports", *start), ("preflight", time.process_time(), time.perf_counter())]
    galaxy = find_galaxy_files(options.folder)
    asked = {"target_snr": options.target_snr, "kinematics": options.kinematics, "ebv_mw": 0.0}
    config = configure_run(options.folder, **asked, device="cpu")
    found = examine_inputs(config, galaxy.problems)
    marks.append(("opening the run's files", time.process_time(), time.perf_counter()))

    def note(step: Progress) -> None:
        if step.stage != marks[-1][0]:
            marks.append((step.stage, time.process_time(), time.perf_counter()))

    result = run_pipeline(config, note)
    marks.append(("writing", time.process_time(), time.perf_counter()))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.fits"
        write_galaxy_result(result, config, output, describe_input_files(config))
        save_summary_page(result, output)
    marks.append(("", time.process_time(), time.perf_counter()))
    for (name, cpu, wall), (_, cpu_end, wall_end) in itertools.pairwise(marks):
        print(f"{name:40s} CPU {cpu_end - cpu:7.2f} s  wall {wall_end - wall:7.1f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    took = marks[-1][1] - marks[0][1]
    print(f"in all: CPU {took:.1f} s, peak {peak / 1e9:.2f} GB, {result.bins.n_bins} bins")
    print(f"expected: {found.estimate.text()}, {found.n_bins} bins")
    print("  " + ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in found.estimate.seconds.items()))


if __name__ == "__main__":
    main()
