"""What another camera's band costs: the same galaxies seen with UVIS and with ACS, through the same network.

In several PHANGS galaxies B is ACS F435W and not UVIS F438W, V and I are ACS's. The network was trained on UVIS (a
prior may draw ACS too: `prior_config.Photometry.acs`) and is not told the camera; the bin is flagged OTHER_CAMERA.
Here every
object of a prior is observed twice with the same noise, once in each camera's bands, and the answers are compared in
pairs: what differs is the filters alone.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

import numpy as np

from napari_sfh.analysis.comparison.map_comparison import ScatterStatistics, measure_scatter
from napari_sfh.jobs import ReportProgress
from napari_sfh.model import inference
from napari_sfh.model.bundle import Bundle
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.prior.sampling import draw_parameters
from napari_sfh.training.simulator import forward_model, noise
from napari_sfh.training.simulator.simulation import PreparedPrior
from napari_sfh.types import BANDS, F32, Observation, Prediction

#: Cases: name -> bands that come from ACS.
SUBSTITUTIONS: dict[str, tuple[str, ...]] = {
    "B": ("F438W",),
    "V": ("F555W",),
    "I": ("F814W",),
    "B, V, I": ("F438W", "F555W", "F814W"),
}
_DRAWS = 100


@dataclass(frozen=True)
class SubstitutionCost:
    """What one case changes in N objects."""

    bands: tuple[str, ...]
    shift: dict[str, ScatterStatistics]  # of each of MEAN_NAMES, answer with ACS less answer with UVIS, dex
    error: dict[str, float]  # median 1 sigma error that the posterior states, dex
    warned: float  # share of objects with the out-of-depth warning, with ACS less with UVIS
    magnitudes: dict[str, tuple[float, float]]  # band -> median and 16-84 % half width of ACS - UVIS, mag


def measure_substitution_costs(
    source: PreparedPrior,
    bundle: Bundle,
    n: int = 2000,
    seed: int = 1,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> dict[str, SubstitutionCost]:
    """Cost of each case of `SUBSTITUTIONS`.

    Parameters
    ----------
    source : Source
        Prior and templates; objects come from its first library.
    bundle : Bundle
    n : int
    seed : int
    progress, cancel : optional
        See `jobs.report_progress`.
    """
    uvis, acs = _simulate_both_cameras(source, n, seed)
    plain = inference.predict_histories(
        _add_noise(source, uvis, uvis.phot, seed), bundle, draws=_DRAWS, progress=progress, cancel=cancel
    )
    out = {}
    for name, bands in SUBSTITUTIONS.items():
        columns = [BANDS.index(band) for band in bands]
        phot = uvis.phot.copy()
        phot[:, columns] = acs.phot[:, columns]
        other = inference.predict_histories(
            _add_noise(source, uvis, phot, seed), bundle, draws=_DRAWS, progress=progress, cancel=cancel
        )
        out[name] = _compare_predictions(bands, plain, other, uvis.phot, phot)
    return out


def _simulate_both_cameras(
    source: PreparedPrior, n: int, seed: int
) -> tuple[forward_model.NoiselessObjects, forward_model.NoiselessObjects]:
    """The same objects in the bands of both cameras, without noise."""
    model = source.models[0]
    rng = np.random.default_rng(seed)
    params = draw_parameters(source.config, rng, n, model.templates.sub_edges_gyr, model.mh_limits)
    light = forward_model.synthesise_objects(model, params)
    return light, forward_model.synthesise_objects(model, params, acs=np.ones(n, bool))


def _add_noise(source: PreparedPrior, clean: forward_model.NoiselessObjects, phot: F32, seed: int) -> Observation:
    return noise.add_observational_noise(replace(clean, phot=phot), source.config, np.random.default_rng(seed + 1))


def _compare_predictions(
    bands: tuple[str, ...], plain: Prediction, other: Prediction, uvis: F32, acs: F32
) -> SubstitutionCost:
    magnitude = -2.5 * np.log10(acs / uvis)
    spread = {}
    for band in bands:
        low, middle, high = np.percentile(magnitude[:, BANDS.index(band)], [16, 50, 84])
        spread[band] = (float(middle), float(0.5 * (high - low)))
    return SubstitutionCost(
        bands=bands,
        shift={name: measure_scatter(other.median(name), plain.median(name)) for name in MEAN_NAMES},
        error={name: float(np.nanmedian(plain.half_width(name))) for name in MEAN_NAMES},
        warned=float((other.ood > 1).mean() - (plain.ood > 1).mean()),
        magnitudes=spread,
    )


def format_substitution_table(costs: dict[str, SubstitutionCost], title: str) -> str:
    """The costs as a Markdown table."""
    rows = [
        f"{title}. Cells: median shift / its scatter among objects, dex; the last row is the posterior's error.",
        "",
        "| from ACS | ACS - UVIS, mag | LW age | MW age | LW [M/H] | MW [M/H] | more warnings |",
        "|---|---|---|---|---|---|---|",
    ]
    order = ("lg_age_lw", "lg_age_mw", "mh_lw", "mh_mw")
    for name, cost in costs.items():
        mags = ", ".join(f"{band} {m:+.3f} ± {s:.3f}" for band, (m, s) in cost.magnitudes.items())
        cells = " | ".join(f"{cost.shift[k].bias:+.3f} / {cost.shift[k].std:.3f}" for k in order)
        rows.append(f"| {name} | {mags} | {cells} | {cost.warned:+.1%} |")
    error = next(iter(costs.values())).error
    rows.append(f"| posterior, 1 σ | | {' | '.join(f'{error[k]:.3f}' for k in order)} | |")
    return "\n".join(rows) + "\n"
