"""Weights, template cache, and a run of a tiny galaxy."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_sfh import demo
from napari_sfh.decisions import configure_run
from napari_sfh.digests import hash_file
from napari_sfh.doctor.findings import Finding
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import list_bundles
from napari_sfh.io.outputs import locate_cache_folder
from napari_sfh.model.bundle import load_bundle
from napari_sfh.pipeline import run_pipeline

#: Seconds after which the tiny galaxy counts as slow.
SLOW_S: float = 60.0
#: Rows and columns of the tiny galaxy.
TINY: tuple[slice, slice] = (slice(24, 32), slice(24, 32))
#: The run must find the light-weighted age of its truth within this, dex: five times the scatter on the whole mock.
MAX_BIAS_DEX: float = 0.5
_REINSTALL = (
    "install the package again: pip install --force-reinstall --no-deps . in a clone, or its wheel in place of the dot"
)


def check_weights() -> Iterator[Finding]:
    """Every set of weights that is found: is it unaltered, and which digest has it?"""
    bundles = list_bundles()
    if not bundles:
        yield Finding("weights", "none found", "problem", _REINSTALL)
    for name, path in bundles.items():
        try:
            load_bundle(path)  # verifies the digest that it carries
        except SfhInputError as error:
            yield Finding("weights", str(error), "problem", _REINSTALL)
        else:
            yield Finding("weights", f"{name}, sha256 {hash_file(path)[:12]}, {path.stat().st_size / 1e6:.1f} MB")


def check_template_cache() -> Iterator[Finding]:
    """What training has prepared; inference needs none of it."""
    folder = locate_cache_folder()
    prepared = sorted(folder.glob("templates-*.npz")) if folder.is_dir() else []
    text = f"{len(prepared)} prepared in {folder}" if prepared else f"none in {folder}; only training needs them"
    yield Finding("templates", text)


def check_tiny_run() -> Iterator[Finding]:
    """Run a tiny galaxy, and compare it with its truth."""
    from napari_sfh.analysis.comparison.map_comparison import bin_truth, compare_with_truth
    from napari_sfh.analysis.comparison.mock_truth import read_truth

    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="napari-sfh-") as name:
        folder = demo.write_demo_cutout(Path(name) / "tiny", TINY)
        result = run_pipeline(configure_run(folder, ebv_mw=demo.EBV_MW))
        (truth,) = folder.glob("*TRUTH*")
        found = compare_with_truth(result, bin_truth(read_truth(truth), result.bins))["lg_age_lw"]
    seconds = time.perf_counter() - started
    slow = seconds > SLOW_S
    yield Finding(
        "run",
        f"a galaxy of {result.bins.n_bins} bins in {seconds:.0f} s with {result.model_name}",
        "note" if slow else "ok",
        "other programs may use the processor; see threads above" if slow else "",
    )
    if not np.isfinite(found.bias) or abs(found.bias) > MAX_BIAS_DEX:
        text = f"its light-weighted age is off by {found.bias:+.2f} dex"
        yield Finding("run", text, "problem", "report this with the text above; try `device` cpu")
    else:
        yield Finding("run", f"light-weighted age minus truth: {found.bias:+.2f} dex, NMAD {found.nmad:.2f}")
