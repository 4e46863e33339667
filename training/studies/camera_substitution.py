"""What another camera's band costs: the same galaxies seen in both cameras' bands, through the same network.

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
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.jobs import ReportProgress
from napari_sfh.model import inference
from napari_sfh.model.bundle import Bundle
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training.prior.sampling import draw_parameters
from napari_sfh.training.simulator import forward_model, noise
from napari_sfh.training.simulator.simulation import PreparedPrior
from napari_sfh.types import F32, Observation, Prediction

_DRAWS = 100


@dataclass(frozen=True)
class SubstitutionCost:
    """What one case changes in N objects."""

    bands: tuple[str, ...]
    shift: dict[str, ScatterStatistics]  # of each of MEAN_NAMES, answer with ACS less answer with UVIS, dex
    error: dict[str, float]  # median 1 sigma error that the posterior states, dex
    warned: float  # share of objects with the out-of-depth warning, with ACS less with UVIS
    magnitudes: dict[str, tuple[float, float]]  # band -> median and 16-84 % half width of ACS - UVIS, mag


def list_substitutions(instrument: Instrument) -> dict[str, tuple[str, ...]]:
    """Cases: each band for which the instrument names another camera's filter, then all of them; name -> bands."""
    replaced = [band.name for band in instrument.bands if band.substitute]
    cases = {name: (name,) for name in replaced}
    return cases | ({", ".join(replaced): tuple(replaced)} if len(replaced) > 1 else {})


def measure_substitution_costs(
    source: PreparedPrior,
    bundle: Bundle,
    n: int = 2000,
    seed: int = 1,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> dict[str, SubstitutionCost]:
    """Cost of each case of `list_substitutions`.

    Parameters
    ----------
    source : PreparedPrior
        Prior and templates; objects come from its first library.
    bundle : Bundle
    n : int
    seed : int
    progress, cancel : optional
        See `jobs.report_progress`.
    """
    uvis, acs = simulate_both_cameras(source, n, seed)
    plain = inference.predict_histories(
        add_camera_noise(source, uvis, uvis.phot, seed), bundle, draws=_DRAWS, progress=progress, cancel=cancel
    )
    out = {}
    names = source.instrument.band_names
    for name, bands in list_substitutions(source.instrument).items():
        columns = [names.index(band) for band in bands]
        phot = uvis.phot.copy()
        phot[:, columns] = acs.phot[:, columns]
        other = inference.predict_histories(
            add_camera_noise(source, uvis, phot, seed), bundle, draws=_DRAWS, progress=progress, cancel=cancel
        )
        out[name] = _compare_predictions(bands, plain, other, _magnitude_change(uvis.phot, phot, names))
    return out


def simulate_both_cameras(
    source: PreparedPrior, n: int, seed: int
) -> tuple[forward_model.NoiselessObjects, forward_model.NoiselessObjects]:
    """The same objects in the bands of both cameras, without noise.

    Parameters
    ----------
    source : PreparedPrior
        Of an instrument that names other cameras' bands; its first library is used.
    n, seed : int
        Objects, and the seed of their draws.

    Returns
    -------
    own, other : NoiselessObjects
    """
    model = source.models[0]
    rng = np.random.default_rng(seed)
    sigma_kms = model.instrument.grid.sigma_kms
    params = draw_parameters(source.config, rng, n, model.templates.sub_edges_gyr, model.mh_limits, sigma_kms)
    light = forward_model.synthesise_objects(model, params)
    return light, forward_model.synthesise_objects(model, params, substituted=np.ones(n, bool))


def add_camera_noise(source: PreparedPrior, clean: forward_model.NoiselessObjects, phot: F32, seed: int) -> Observation:
    """Observe objects with the bands of one camera or of both: the same noise whatever the bands.

    Parameters
    ----------
    source : PreparedPrior
    clean : NoiselessObjects
        N objects.
    phot : array (N, B)
        Their bands.
    seed : int
    """
    return noise.add_observational_noise(replace(clean, phot=phot), source.config, np.random.default_rng(seed + 1))


def _magnitude_change(own: F32, other: F32, names: tuple[str, ...]) -> dict[str, F32]:
    """Magnitude of the other camera less that of the own one, (N,), by band."""
    change = -2.5 * np.log10(other / own)
    return {name: change[:, k] for k, name in enumerate(names)}


def _compare_predictions(
    bands: tuple[str, ...], plain: Prediction, other: Prediction, magnitude: dict[str, F32]
) -> SubstitutionCost:
    spread = {}
    for band in bands:
        low, middle, high = np.percentile(magnitude[band], [16, 50, 84])
        spread[band] = (float(middle), float(0.5 * (high - low)))
    return SubstitutionCost(
        bands=bands,
        shift={name: measure_scatter(other.median(name), plain.median(name)) for name in MEAN_NAMES},
        error={name: float(np.nanmedian(plain.half_width(name))) for name in MEAN_NAMES},
        warned=float((other.ood > 1).mean() - (plain.ood > 1).mean()),
        magnitudes=spread,
    )


def format_substitution_table(costs: dict[str, SubstitutionCost], title: str) -> str:
    """The costs as a Markdown table.

    Parameters
    ----------
    costs : dict of str to SubstitutionCost
        By the bands that were replaced.
    title : str

    Returns
    -------
    str
    """
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
