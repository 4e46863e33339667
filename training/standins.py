"""What another camera's band costs: the same galaxies seen with UVIS and with ACS, through the same network.

In several PHANGS galaxies B is ACS F435W and not UVIS F438W, V and I are ACS's. The network was trained on UVIS (a
prior may draw ACS too: `config.Photometry.acs`) and is not told the camera; the bin is flagged OTHER_CAMERA. Here every
object of a prior is observed twice with the same noise, once in each camera's bands, and the answers are compared in
pairs: what differs is the filters alone.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np

from napari_sfh import infer
from napari_sfh.analysis.compare import Scatter, scatter
from napari_sfh.model.bundle import Bundle
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.training import forward, noise
from napari_sfh.training.draw import draw
from napari_sfh.training.simulate import Source
from napari_sfh.types import BANDS, F32, BinData, Prediction, Progress

#: Cases: name -> bands that come from ACS.
CASES: dict[str, tuple[str, ...]] = {
    "B": ("F438W",),
    "V": ("F555W",),
    "I": ("F814W",),
    "B, V, I": ("F438W", "F555W", "F814W"),
}
_DRAWS = 100


@dataclass(frozen=True)
class Cost:
    """What one case changes in N objects."""

    bands: tuple[str, ...]
    shift: dict[str, Scatter]  # of each of MEAN_NAMES, answer with ACS less answer with UVIS, dex
    error: dict[str, float]  # median 1 sigma error that the posterior states, dex
    warned: float  # share of objects with the out-of-depth warning, with ACS less with UVIS
    magnitudes: dict[str, tuple[float, float]]  # band -> median and 16-84 % half width of ACS - UVIS, mag


def measure(
    source: Source, bundle: Bundle, n: int = 2000, seed: int = 1, cancel: threading.Event | None = None
) -> Generator[Progress, None, dict[str, Cost]]:
    """Cost of each case of `CASES`.

    Parameters
    ----------
    source : Source
        Prior and templates; objects come from its first library.
    bundle : Bundle
    n : int
    seed : int
    cancel : threading.Event, optional
        Ends with what the network has reached, which is no measurement: discard it.
    """
    uvis, acs = _observed(source, n, seed)
    plain = yield from infer.predict(_noisy(source, uvis, uvis.phot, seed), bundle, draws=_DRAWS, cancel=cancel)
    out = {}
    for name, bands in CASES.items():
        columns = [BANDS.index(band) for band in bands]
        phot = uvis.phot.copy()
        phot[:, columns] = acs.phot[:, columns]
        other = yield from infer.predict(_noisy(source, uvis, phot, seed), bundle, draws=_DRAWS, cancel=cancel)
        out[name] = _cost(bands, plain, other, uvis.phot, phot)
    return out


def _observed(source: Source, n: int, seed: int) -> tuple[forward.Noiseless, forward.Noiseless]:
    """The same objects in the bands of both cameras, without noise."""
    model = source.models[0]
    rng = np.random.default_rng(seed)
    params = draw(source.config, rng, n, model.templates.sub_edges_gyr, model.mh_limits)
    light = forward.synthesise(model, params)
    return light, forward.synthesise(model, params, acs=np.ones(n, bool))


def _noisy(source: Source, clean: forward.Noiseless, phot: F32, seed: int) -> BinData:
    return noise.observe(replace(clean, phot=phot), source.config, np.random.default_rng(seed + 1))


def _cost(bands: tuple[str, ...], plain: Prediction, other: Prediction, uvis: F32, acs: F32) -> Cost:
    magnitude = -2.5 * np.log10(acs / uvis)
    spread = {}
    for band in bands:
        low, middle, high = np.percentile(magnitude[:, BANDS.index(band)], [16, 50, 84])
        spread[band] = (float(middle), float(0.5 * (high - low)))
    return Cost(
        bands=bands,
        shift={name: scatter(other.median(name), plain.median(name)) for name in MEAN_NAMES},
        error={name: float(np.nanmedian(plain.half_width(name))) for name in MEAN_NAMES},
        warned=float((other.ood > 1).mean() - (plain.ood > 1).mean()),
        magnitudes=spread,
    )


def table(costs: dict[str, Cost], title: str) -> str:
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
