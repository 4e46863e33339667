"""What the two narrow-band networks reach, as tables.

`measure_spaxel_networks`  Every spaxel of the mock galaxies is tested once by networks that were trained on the three
other parts, for
           set A and for set B (`narrow_galaxies`); and the radial gradients of every galaxy, from the truth and from
           the answers, by the same tool (`gradients`).
`measure_jpas_networks`     Populations of each library (`narrow_ssp`) read by networks trained on each library alone
and on all mixed:
           bias, scatter and outliers by magnitude, and across libraries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis import gradients
from napari_sfh.analysis.comparison.map_comparison import measure_scatter
from napari_sfh.analysis.disc import Disc
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.narrow_bands import make_jpas_like_filters
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.physics.lines import HALPHA_AA
from napari_sfh.training.libraries import templates
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.simulator.forward_model import build_forward_model
from napari_sfh.training.studies import narrow_galaxies, narrow_ssp
from napari_sfh.training.studies.narrow_galaxies import MockSpaxels, Split
from napari_sfh.training.studies.narrow_nets import JpasMlp, Regressor, RegressorFitSettings, SpaxelCnn, train_regressor
from napari_sfh.training.studies.narrow_ssp import SspSample
from napari_sfh.types import F32, I64, Progress

#: What a spaxel's network reads, and the gradient tool's name for it.
SPAXEL_QUANTITIES = {"lg_age": "AGE_LW", "mh": "MH_LW"}
#: Range of a cube of MUSE in Angstrom.
MUSE_AA = (4750.0, 9350.0)
#: Share of the training objects that decides when to stop.
_VALIDATION = 8
#: Name of the training set that holds populations of every library.
MIXED = "all mixed"
#: Magnitudes at which libraries are compared.
BRIGHT = tuple(m for m in narrow_ssp.MAGNITUDES if m <= 18.0)


@dataclass(frozen=True)
class SpaxelSettings:
    """Mock galaxies and the optimisation of their networks."""

    n_galaxies: int = 190
    per_galaxy: int = 104
    snr: float = 50.0
    prior: str = "wide"
    library: str = "bc03-miles"
    seed: int = 5
    fit: RegressorFitSettings = field(default_factory=lambda: RegressorFitSettings(epochs=80, batch=128))


@dataclass(frozen=True)
class JpasSettings:
    """Populations per library and the optimisation of their networks."""

    libraries: tuple[str, ...] = ("bc03-miles", "e-miles")
    n: int = 20_000
    n_test: int = 2_000
    seed: int = 5
    fit: RegressorFitSettings = field(default_factory=lambda: RegressorFitSettings(epochs=80, absolute=True))


def summarise_errors(
    found: NDArray[np.floating], truth: NDArray[np.floating], outlier: float | None = None
) -> dict[str, Any]:
    """Summarise the errors of an answer.

    Parameters
    ----------
    found, truth : arrays (N,)
        In one unit.
    outlier : float, optional
        Error, in that unit, beyond which an answer counts as an outlier.

    Returns
    -------
    dict
        ``n``, ``bias`` (median), ``std``, ``nmad`` and, with ``outlier``, the share ``outliers``.
    """
    s = measure_scatter(found, truth)
    out = {"n": s.n, "bias": float(s.bias), "std": float(s.std), "nmad": float(s.nmad)}
    if outlier is not None:
        out["outliers"] = float((np.abs(np.asarray(found) - truth) > outlier).mean())
    return out


def measure_spaxel_networks(settings: SpaxelSettings, progress: ReportProgress | None = None) -> dict[str, Any]:
    """Measure system 3: both splits, both quantities, and gradients.

    Returns
    -------
    dict
        ``sets``: ``{A, B: {lg_age, mh: {bias, std, nmad, gradient: {...}}}}``; and ``memory``: scatter of B over A.
    """
    model = build_forward_model(templates.prepare_templates(settings.library))
    filters = make_jpas_like_filters(*MUSE_AA, without_aa=[HALPHA_AA])
    report_progress(Progress("mock galaxies", 0, 0), progress)
    made = narrow_galaxies.make_mock_spaxels(
        model,
        load_prior(settings.prior),
        filters,
        settings.n_galaxies,
        settings.per_galaxy,
        settings.seed,
        settings.snr,
    )
    sets: dict[str, Any] = {}
    kinds: tuple[Split, ...] = ("A", "B")
    for kind in kinds:
        sets[kind] = {}
        for name, quantity in SPAXEL_QUANTITIES.items():
            found = predict_held_out_folds(made, name, kind, settings, progress=progress)
            truth = getattr(made, name)
            slopes = _compare_gradients(made, quantity, found, truth, progress=progress)
            sets[kind][name] = summarise_errors(found, truth) | {"gradient": slopes}
    memory = {k: sets["B"][k]["nmad"] / sets["A"][k]["nmad"] for k in SPAXEL_QUANTITIES}
    spread = {k: float(np.std(getattr(made, k))) for k in SPAXEL_QUANTITIES}
    facts = {"n_galaxies": settings.n_galaxies, "per_galaxy": settings.per_galaxy, "bands": len(filters)}
    return {**facts, "snr": settings.snr, "prior": settings.prior, "spread": spread, "sets": sets, "memory": memory}


def predict_held_out_folds(
    made: MockSpaxels, name: str, kind: Split, settings: SpaxelSettings, progress: ReportProgress | None = None
) -> F32:
    """Answers (N,) for every spaxel, each by a network that did not see its part."""
    parts = narrow_galaxies.split_folds(made, kind, settings.seed)
    truth = getattr(made, name)
    found = np.full(len(truth), np.nan, np.float32)
    for k, test in enumerate(parts):
        report_progress(Progress(f"set {kind}, {name}", k, len(parts)), progress)
        rest = np.concatenate([p for j, p in enumerate(parts) if j != k])
        fit_on, stop_on = _split_for_stopping(made, rest, kind, settings.seed + k)
        validation = (made.flux[stop_on], truth[stop_on])
        net = train_regressor(
            SpaxelCnn, made.flux[fit_on], truth[fit_on], validation, replace(settings.fit, seed=settings.seed + k)
        )
        found[test] = net.predict(made.flux[test])
    return found


def _split_for_stopping(made: MockSpaxels, rows: I64, kind: Split, seed: int) -> tuple[I64, I64]:
    """Rows to fit and rows to stop by: spaxels in set A, whole galaxies in set B."""
    rng = np.random.default_rng([seed, 34])
    unit = made.galaxy[rows] if kind == "B" else np.arange(len(rows))
    numbers = rng.permutation(np.unique(unit))
    held = np.isin(unit, numbers[: max(1, numbers.size // _VALIDATION)])
    return rows[~held], rows[held]


def _compare_gradients(
    made: MockSpaxels, quantity: str, found: F32, truth: F32, progress: ReportProgress | None = None
) -> dict[str, Any]:
    """Slopes per effective radius within one, from answers and from the truth."""
    disc = Disc(ra_deg=0.0, dec_deg=0.0, pa_deg=0.0, inclination_deg=0.0, r_e_arcsec=1.0)
    settings = gradients.GradientFitSettings(r_max=1.0, draws=100)
    slopes: list[tuple[float, float, float]] = []
    numbers = np.unique(made.galaxy)
    for k, g in enumerate(numbers):
        rows = made.galaxy == g
        if ((made.r[rows] <= 1.0).sum()) < gradients.MIN_BINS:
            continue
        report_progress(Progress(f"gradients of {quantity}", k, numbers.size), progress)
        fits = []
        for values in (found, truth):
            value = values[rows].astype(float)
            data = gradients.RadialProfile(quantity, disc, made.r[rows].astype(float), value, np.zeros(value.size))
            fits.append(gradients.fit_gradient(data, settings))
        answer, true = fits
        if answer is not None and true is not None:
            slopes.append((answer.slope, true.slope, float(np.hypot(answer.slope_error, true.slope_error))))
    if not slopes:
        raise SfhInputError(f"gradients: no galaxy has {gradients.MIN_BINS} spaxels within one effective radius")
    a, b, error = (np.array(x) for x in zip(*slopes, strict=True))
    within = float((np.abs(a - b) < error).mean())
    return summarise_errors(a, b) | {"within_1_sigma": within, "spread": float(b.std())}


def measure_jpas_networks(settings: JpasSettings, progress: ReportProgress | None = None) -> dict[str, Any]:
    """Measure system 4.

    Returns
    -------
    dict
        ``by_magnitude``: ``{quantity: {magnitude: {bias, std, nmad, outliers}}}`` of the networks trained on all
        libraries and tested on all; ``across``: ``{trained on: {tested on: {quantity: {...}}}}`` up to magnitude 18.
    """
    prepared = [templates.prepare_templates(name) for name in settings.libraries]
    mh_range = narrow_ssp.find_common_mh_range(prepared)
    report_progress(Progress("populations", 0, 0), progress)

    def drawn(n: int, seed: int) -> dict[str, SspSample]:
        pairs = zip(settings.libraries, prepared, strict=True)
        return {name: narrow_ssp.draw_ssp_sample(t, n, mh_range, seed) for name, t in pairs}

    training, tests = drawn(settings.n, settings.seed), drawn(settings.n_test, settings.seed + 1)
    sources = {name: [p] for name, p in training.items()} | {MIXED: list(training.values())}
    across: dict[str, Any] = {}
    for source, listed in sources.items():
        nets: dict[str, Regressor] = {}
        for k, quantity in enumerate(narrow_ssp.OUTLIER_LIMITS):
            report_progress(Progress(f"trained on {source}", k, len(narrow_ssp.OUTLIER_LIMITS)), progress)
            nets[quantity] = _fit_regressor(listed, quantity, settings)
        across[source] = {name: _test_all_quantities(nets, [p], BRIGHT, settings.seed) for name, p in tests.items()}
    # The last networks are those of all libraries.
    rows = {m: _test_all_quantities(nets, list(tests.values()), [m], settings.seed) for m in narrow_ssp.MAGNITUDES}
    return {
        "libraries": list(settings.libraries),
        "n": settings.n,
        "n_test": settings.n_test,
        "mh_range": list(mh_range),
        "outlier": dict(narrow_ssp.OUTLIER_LIMITS),
        "by_magnitude": {q: {f"{m:g}": row[q] for m, row in rows.items()} for q in narrow_ssp.OUTLIER_LIMITS},
        "across": across,
    }


def _test_all_quantities(
    nets: dict[str, Regressor], listed: Sequence[SspSample], magnitudes: Sequence[float], seed: int
) -> dict[str, Any]:
    """Errors of every quantity."""
    return {q: _test_quantity(net, listed, q, magnitudes, seed) for q, net in nets.items()}


def _fit_regressor(listed: Sequence[SspSample], quantity: str, settings: JpasSettings) -> Regressor:
    """A network on populations of one or several libraries, as many in all, each at a magnitude drawn at random."""
    rng = np.random.default_rng([settings.seed, 35])
    n = settings.n // len(listed)
    fluxes = [narrow_ssp.observe_ssp_sample(p, rng.choice(narrow_ssp.MAGNITUDES, len(p.mh)), rng)[:n] for p in listed]
    x, y = np.concatenate(fluxes), np.concatenate([p.labels(quantity)[:n] for p in listed])
    order = rng.permutation(len(y))
    held, rest = np.split(order, [len(y) // 5])  # 16 of 80 parts of the paper's split
    return train_regressor(JpasMlp, x[rest], y[rest], (x[held], y[held]), settings.fit)


def _test_quantity(
    net: Regressor, listed: Sequence[SspSample], quantity: str, magnitudes: Sequence[float], seed: int
) -> dict[str, Any]:
    """Errors over some magnitudes."""
    rng = np.random.default_rng([seed, 36])
    found = [net.predict(narrow_ssp.observe_ssp_sample(p, m, rng)) for m in magnitudes for p in listed]
    truth = [p.labels(quantity) for _ in magnitudes for p in listed]
    return summarise_errors(np.concatenate(found), np.concatenate(truth), narrow_ssp.OUTLIER_LIMITS[quantity])
