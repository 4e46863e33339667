"""Other people's answers as one structure: a result of another run or network, GIST/nGIST, DAP MAPS, a mock's truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.comparison.map_comparison import MAX_STAR, SFH_PARTS, OtherResult, bin_truth
from napari_sfh.analysis.comparison.mock_truth import read_truth
from napari_sfh.analysis.maps import SCALAR_MAPS
from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.io.dap_populations import PopulationMaps, read_populations
from napari_sfh.io.identify import KINDS, identify_file
from napari_sfh.io.ngist import NgistResult, read_ngist
from napari_sfh.io.results import read_result
from napari_sfh.physics.ages import AGE_EDGES_GYR, N_AGE
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.types import F64, Result, SpaxelTruth


@check_arguments
def read_other_result(path: str | Path, result: Result) -> OtherResult:
    """Read another answer for the galaxy of ``result``.

    Parameters
    ----------
    path : str or Path
        A result, GIST or nGIST output, MAPS of a DAP run with populations, or a mock's truth.
    result : Result

    Returns
    -------
    OtherResult

    Raises
    ------
    SfhInputError
        The file holds none, or cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise SfhInputError(f"{path}: no such file; check the path")
    kind = identify_file(path).kind
    if kind == "result":
        return other_result_from_run(read_result(path), path.name)
    if kind == "ngist":
        return other_result_from_ngist(read_ngist(path))
    if kind == "maps":
        return other_result_from_maps(read_populations(path))
    if kind == "truth":
        return other_result_from_truth(read_truth(path), result)
    raise SfhInputError(
        f"{path}: {KINDS[kind]}, nothing to compare with; give a result of napari-sfh, tables or maps of GIST/nGIST, "
        "or a MAPS file with ages (PHANGS, Pipe3D)"
    )


def other_result_from_run(result: Result, file: str = "") -> OtherResult:
    """Another run's or network's result.

    Parameters
    ----------
    result : Result
    file : str
        Its name, for the legend.

    Returns
    -------
    OtherResult
        On the bins of that run.
    """
    prediction = result.prediction
    known = [k for k in SCALAR_MAPS.values() if k in prediction.quantiles]
    means = {k: np.asarray(prediction.median(k), dtype=np.float64) for k in known}
    errors = {k: np.asarray(prediction.half_width(k), dtype=np.float64) for k in known}
    sfh: dict[str, F64] = {}
    for name in SFH_PARTS if prediction.has_histories else ():
        value = np.asarray(prediction.history(name), dtype=np.float64)
        quantiles = prediction.quantiles.get(name)
        low, high = (
            (quantiles[..., 1], quantiles[..., 3]) if quantiles is not None else (np.nan * value, np.nan * value)
        )
        sfh[name] = np.stack([value, low, high], axis=-1)
    name = f"{result.model_name} ({file})" if file else result.model_name
    return OtherResult(name, result.bins.bin_id, result.wcs, means, errors, sfh)


def other_result_from_truth(truth: SpaxelTruth, result: Result) -> OtherResult:
    """A mock's truth, on the result's bins; bins with a foreground star in front are left out.

    Parameters
    ----------
    truth : SpaxelTruth
    result : Result
        On the same spaxels.

    Returns
    -------
    OtherResult

    Raises
    ------
    SfhInputError
        The truth lies on another grid than the bins.
    """
    known = bin_truth(truth, result.bins)
    star = known.star >= MAX_STAR
    means = {k: np.where(star, np.nan, v) for k, v in known.means.items()}
    sfh = {name: _without_interval(np.where(star[:, None], np.nan, getattr(known, name))) for name in SFH_PARTS}
    notes = (f"{int(star.sum())} bins behind a foreground star are left out",) if star.any() else ()
    return OtherResult("truth", result.bins.bin_id, result.wcs, means, {}, sfh, notes)


def other_result_from_maps(maps: PopulationMaps) -> OtherResult:
    """Ages and metallicities of a DAP MAPS file."""
    means, errors = ({k: v.astype(np.float64) for k, v in part.items()} for part in (maps.means, maps.errors))
    return OtherResult(maps.path.name, maps.bin_id, maps.wcs, means, errors, {}, maps.notes)


def other_result_from_ngist(run: NgistResult) -> OtherResult:
    """A GIST/nGIST run, whose files do not say whether its templates were normalised to light or to mass.

    Its means therefore stand under both names, and its weights are taken for both fractions.
    """
    weighted = run.lg_age_weighted_yr is not None and run.mh_weighted is not None
    lg_age, mh = (run.lg_age_weighted_yr, run.mh_weighted) if weighted else (run.lg_age_yr, run.mh)
    both = {"lg_age": np.asarray(lg_age, dtype=np.float64), "mh": np.asarray(mh, dtype=np.float64)}
    means = {k: both[k.rsplit("_", 1)[0]] for k in MEAN_NAMES}
    error = {"lg_age": run.errors.get("lg_age_yr"), "mh": run.errors.get("mh")}
    errors = {k: e.astype(np.float64) for k in MEAN_NAMES if (e := error[k.rsplit("_", 1)[0]]) is not None}
    sfh = {}
    if run.weights is not None and run.templates is not None:
        share, metal = rebin_template_weights(run.weights, run.templates[:, 0], run.templates[:, 1])
        sfh = dict(zip(SFH_PARTS, (_without_interval(v) for v in (share, share, metal))))
    notes = [
        *run.notes,
        "means are light- or mass-weighted as the run's templates were normalised: choose the map accordingly",
    ]
    if not weighted:
        notes.append(
            "no *_sfh-weights.fits: the age is the logarithm of a linear mean, older than a mean of logarithms"
        )
    return OtherResult(f"nGIST {run.path.name}", run.bin_id, run.wcs, means, errors, sfh, tuple(notes))


def rebin_template_weights(
    weights: NDArray[np.floating], lg_age_yr: NDArray[np.floating], mh: NDArray[np.floating]
) -> tuple[F64, F64]:
    """Template weights added up in the package's age bins.

    Parameters
    ----------
    weights : array (M, T)
        Of M bins; not negative.
    lg_age_yr : array (T,)
        Ages of the templates, log10 of yr; templates older than the last bin count to it.
    mh : array (T,)
        [M/H] of the templates, dex.

    Returns
    -------
    share : array (M, 16)
        Summing to one.
    mh : array (M, 16)
        Weighted mean of each age bin, dex; NaN where it has no weight.
    """
    number = np.clip(
        np.searchsorted(AGE_EDGES_GYR, 10 ** (lg_age_yr.astype(np.float64) - 9), side="right") - 1, 0, None
    )
    member = np.minimum(number, N_AGE - 1)[:, None] == np.arange(N_AGE)
    w = weights.astype(np.float64)
    share = w @ member
    metal = np.divide((w * mh) @ member, share, out=np.full(share.shape, np.nan), where=share > 0)
    total = share.sum(1, keepdims=True)
    return np.divide(share, total, out=np.full(share.shape, np.nan), where=total > 0), metal


def _without_interval(value: F64) -> F64:
    """(M, 16) as (M, 16, 3) with NaN limits."""
    return np.stack([value, np.full_like(value, np.nan), np.full_like(value, np.nan)], axis=-1)
