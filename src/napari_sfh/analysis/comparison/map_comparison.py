"""Two answers for the same sky, held against each other: bias, scatter, and a known truth.

Bins of another answer seldom are this result's. Each spaxel of a bin is looked up on the other's map (nearest pixel, by
WCS); the other's value for the bin is the mean over these spaxels: of the logarithmic means, and of the SFHs. A bin of
which the other covers less than half (`MIN_SHARE`) is not compared. Where the bins are the same, so are the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable
from astropy.wcs import WCS
from numpy.typing import NDArray
from scipy.sparse import csr_array

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.means import MEAN_NAMES, compute_population_means
from napari_sfh.physics.robust import measure_nmad
from napari_sfh.types import F64, I32, BinMap, Flag, Result, SpaxelTruth

#: Share of a foreground star in a bin's light up to which the bin is held against the galaxy's truth.
MAX_STAR = 0.02
#: Share of a bin's spaxels that another answer must cover.
MIN_SHARE = 0.5
#: S/N above which bins are held against a truth.
MIN_SNR = 20.0
#: More pairs than this are drawn as a density; fewer than `ERROR_BARS` with their errors.
DENSE, ERROR_BARS = 1500, 400
#: The parts of an SFH that answers may hold.
SFH_PARTS: tuple[str, ...] = ("mass_frac", "light_frac", "mh")


@dataclass(frozen=True)
class ScatterStatistics:
    """Differences ``found - reference`` of n pairs.

    Median, standard deviation, 1.4826 x median absolute deviation, and Pearson's correlation of the two (NaN below
    three pairs, or where one does not vary).
    """

    bias: float
    std: float
    nmad: float
    n: int
    correlation: float = float("nan")


def measure_scatter(found: NDArray[np.floating], reference: NDArray[np.floating]) -> ScatterStatistics:
    """Bias (median), std, NMAD and correlation of the pairs in which both are finite.

    All NaN with ``n`` = 0 where no pair is finite.

    Parameters
    ----------
    found, reference : array (N,)
        Of one unit; pairs with a NaN are left out.

    Returns
    -------
    ScatterStatistics
        Of ``found`` minus ``reference``.
    """
    a, b = np.asarray(found, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if a.size == 0:
        return ScatterStatistics(np.nan, np.nan, np.nan, 0)
    difference = a - b
    median = float(np.median(difference))
    nmad = measure_nmad(difference)
    varies = a.size > 2 and np.std(a) > 0 and np.std(b) > 0
    correlation = float(np.corrcoef(a, b)[0, 1]) if varies else float("nan")
    return ScatterStatistics(median, float(np.std(difference)), nmad, int(difference.size), correlation)


def format_scatter(found: ScatterStatistics, unit: str = "dex", joint: str = "; ") -> str:
    """Median difference and scatter, then NMAD, correlation and number, with ``joint`` between them.

    Parameters
    ----------
    found : ScatterStatistics
    unit : str
        Of the differences.
    joint : str
        Between the two parts.

    Returns
    -------
    str
    """
    text = f"median difference {found.bias:+z.3f}, std {found.std:.3f}"
    rest = f"NMAD {found.nmad:.3f} {unit}, r {found.correlation:z.3f}, {found.n} bins"
    return f"{text}{joint}{rest}".replace("-", "−")


@dataclass(frozen=True)
class OtherResult:
    """What somebody says of the stars in M bins of his own."""

    name: str  # for legends
    bin_id: I32  # (ny, nx), 1..M, 0 = none
    wcs: WCS | None  # celestial; None: on the spaxels of the result that it is compared with
    means: Mapping[str, F64]  # (M,) scalars by their name in physics.quantities: the four means, or what there is
    errors: Mapping[str, F64]  # (M,) 1 sigma, where known
    sfh: Mapping[str, F64]  # VECTORS to (M, 16, 3): value, low, high (NaN where unknown); empty = none
    notes: tuple[str, ...] = ()  # what a reader must know, one line each


@dataclass(frozen=True)
class Comparison:
    """An `OtherResult` brought onto the N bins of a result."""

    result: Result
    other: OtherResult
    share: F64  # (N,) share of the bin's spaxels that the answer covers
    means: Mapping[str, F64]  # (N,) of `OtherResult` those that the result has too, NaN where it covers too little
    errors: Mapping[str, F64]
    sfh: Mapping[str, F64]  # (N, 16, 3)

    @property
    def own_name(self) -> str:
        """What the result is called beside the other: by its weights, unless those are the other's, too."""
        name = self.result.model_name
        return f"{name} (this result)" if self.other.name.split(" (")[0] == name else name

    def pair(self, key: str) -> tuple[F64, F64]:
        """This result's and the other's mean ``key``, (N,) each."""
        return np.asarray(self.result.prediction.median(key), dtype=np.float64), self.means[key]

    def find_compared(self) -> NDArray[np.bool_]:
        """Bins (N,) of which both say something: the answer covers them, and neither leaves them out."""
        pairs = [np.isfinite(self.difference(key)) for key in self.means]
        return np.logical_or.reduce(pairs) if pairs else np.zeros(self.share.shape, dtype=bool)

    def pair_errors(self, key: str) -> tuple[F64, F64]:
        """The errors (N,) of `pair`; NaN where unknown."""
        own = np.asarray(self.result.prediction.half_width(key), dtype=np.float64)
        return own, self.errors.get(key, np.full(own.shape, np.nan))

    def difference(self, key: str) -> F64:
        """This result minus the other, (N,)."""
        own, other = self.pair(key)
        return own - other

    def scatter(self, key: str, use: NDArray[np.bool_] | None = None) -> ScatterStatistics:
        """`measure_scatter` of this result against the other in the bins ``use`` (N,), or in all."""
        own, other = self.pair(key)
        return measure_scatter(own, other) if use is None else measure_scatter(own[use], other[use])


@check_arguments
def compare_results(result: Result, answer: OtherResult) -> Comparison:
    """Bring another answer onto a result's bins.

    Parameters
    ----------
    result : Result
    answer : OtherResult
        Of the same galaxy.

    Returns
    -------
    Comparison
        Arrays (N, ...): bins that the other covers too little are NaN.

    Raises
    ------
    SfhInputError
        It has no WCS and another shape, covers less than half of every bin, or has no quantity of the result.
    """
    common = [key for key in answer.means if key in result.prediction.quantiles]
    if not common:
        own = ", ".join(key for key in result.prediction.scalars)
        raise SfhInputError(
            f"{answer.name}: has {', '.join(answer.means) or 'no quantity'}, but {result.model_name} predicts {own}; "
            "give an answer with one of these"
        )
    weight, share = compute_bin_overlap(result, answer)
    covered = share >= MIN_SHARE
    if not covered.any():
        raise SfhInputError(f"{answer.name}: covers no bin of {result.name}; give an answer for the same galaxy")

    def mean(values: F64) -> F64:
        flat = values.reshape(values.shape[0], -1)
        good = np.isfinite(flat)
        total, norm = weight @ np.where(good, flat, 0.0), weight @ good.astype(np.float64)
        use = (norm > 0.5) & covered[:, None]
        out: F64 = np.divide(total, norm, out=np.full(total.shape, np.nan), where=use)
        return out.reshape(-1, *values.shape[1:])

    # Errors of bins that were fitted apart are independent.
    errors = {}
    for key in [key for key in common if key in answer.errors]:
        value = answer.errors[key]
        good = np.isfinite(value)
        found, norm = np.sqrt((weight * weight) @ np.where(good, value, 0.0) ** 2), weight @ good.astype(np.float64)
        errors[key] = np.divide(found, norm, out=np.full(norm.shape, np.nan), where=covered & (norm > 0.5))
    means, sfh = {k: mean(answer.means[k]) for k in common}, {k: mean(v) for k, v in answer.sfh.items()}
    return Comparison(result, answer, share, means, errors, sfh)


def compute_bin_overlap(result: Result, answer: OtherResult) -> tuple[Any, F64]:
    """Share of each of the answer's bins in each of the result's.

    Parameters
    ----------
    result : Result
        N bins.
    answer : OtherResult
        M bins, on any grid with a WCS or on the same spaxels.

    Returns
    -------
    weight : sparse array (N, M)
        Rows sum to 1, or to 0 where nothing is covered.
    share : array (N,)
        Share of the bin's spaxels that the answer covers.

    Raises
    ------
    SfhInputError
        The answer has no WCS, and another shape.
    """
    bins = result.bins
    y, x = np.nonzero(bins.bin_id)
    there = _look_up_bins(answer, result, y, x)
    row = bins.bin_id[y, x][there > 0] - 1
    n_other = int(answer.bin_id.max(initial=0))
    counts = csr_array((np.ones(row.size), (row, there[there > 0] - 1)), shape=(bins.n_bins, n_other))
    total = counts.sum(axis=1)
    members = np.bincount(bins.bin_id.ravel(), minlength=bins.n_bins + 1)[1:]
    weight = csr_array(counts.multiply((1 / np.maximum(total, 1))[:, None]))
    return weight, total / np.maximum(members, 1)


def _look_up_bins(answer: OtherResult, result: Result, y: NDArray[np.intp], x: NDArray[np.intp]) -> I32:
    """The answer's bin at each of a result's spaxels (y, x); 0 where it has none."""
    if answer.wcs is None:
        if answer.bin_id.shape != result.bins.bin_id.shape:
            raise SfhInputError(
                f"{answer.name}: {answer.bin_id.shape} spaxels without a WCS, but {result.name} has "
                f"{result.bins.bin_id.shape}; give a run on the same cube, or maps with a WCS"
            )
        return answer.bin_id[y, x]
    sky = result.wcs.celestial.wcs_pix2world(np.column_stack([x, y]), 0)
    with np.errstate(invalid="ignore"):
        pixel = np.nan_to_num(np.rint(answer.wcs.celestial.wcs_world2pix(sky, 0)), nan=-1).astype(np.int64)
    ny, nx = answer.bin_id.shape
    inside = ((pixel >= 0) & (pixel < [nx, ny])).all(1)
    found = np.zeros(y.size, dtype=np.int32)
    found[inside] = answer.bin_id[pixel[inside, 1], pixel[inside, 0]]
    return found


def build_comparison_table(comparison: Comparison) -> QTable:
    """Both answers, one row a bin: BIN_ID, SHARE covered, and for each scalar KEY, KEY_ERR, KEY_OTHER, KEY_OTHER_ERR.

    The four means are log10 yr and dex, others as in `physics.quantities`. ``meta`` holds names and statistics.
    """
    out = QTable()
    result = comparison.result
    out["BIN_ID"] = np.arange(1, result.bins.n_bins + 1, dtype=np.int32)
    out["SHARE"] = comparison.share
    out.meta.update(GALAXY=result.name, MODEL=result.model_name, OTHER=comparison.other.name)
    for key in comparison.means:
        name = key.removeprefix("lg_").upper()
        (own, other), (own_error, other_error) = comparison.pair(key), comparison.pair_errors(key)
        for suffix, values in (("", own), ("_ERR", own_error), ("_OTHER", other), ("_OTHER_ERR", other_error)):
            out[name + suffix] = values
        found = comparison.scatter(key)
        out.meta[name] = {k: float(getattr(found, k)) for k in ("bias", "std", "nmad", "correlation", "n")}
    return out


@dataclass(frozen=True)
class BinnedTruth:
    """The truth of N bins: 16-vectors and the four means (keys of `physics.means.MEAN_NAMES`)."""

    mass_frac: F64  # (N, 16)
    light_frac: F64  # (N, 16)
    mh: F64  # (N, 16)
    means: Mapping[str, F64]  # (N,) each
    star: F64  # (N,) mean share of light that is a foreground star's, of which the truth knows nothing


@check_arguments
def bin_truth(truth: SpaxelTruth, bins: BinMap) -> BinnedTruth:
    """Sum a mock's truth over the spaxels of each bin.

    Parameters
    ----------
    truth : SpaxelTruth
        On the bins' spaxels.
    bins : BinMap

    Returns
    -------
    BinnedTruth
        Arrays (N, ...).

    Raises
    ------
    SfhInputError
        The truth lies on another grid than the bins.
    """
    if truth.mass.shape[1:] != bins.bin_id.shape:
        raise SfhInputError(f"truth is {truth.mass.shape[1:]} spaxels, the bins {bins.bin_id.shape}: not this galaxy's")
    mass, light, metals = (_sum_in_bins(a, bins) for a in (truth.mass, truth.light, truth.mass_metals))
    mh = np.divide(metals, mass, out=np.zeros_like(mass), where=mass > 0)
    mass_frac = mass / mass.sum(1, keepdims=True)
    light_frac = light / light.sum(1, keepdims=True)
    means = {k: np.asarray(v, np.float64) for k, v in compute_population_means(mass_frac, light_frac, mh).items()}
    star = _sum_in_bins(truth.star[None], bins)[:, 0] / bins.nspax
    return BinnedTruth(mass_frac, light_frac, mh, means, star)


@check_arguments
def compare_with_truth(result: Result, truth: BinnedTruth, min_snr: float = MIN_SNR) -> dict[str, ScatterStatistics]:
    """Recovered against true for the four means, in the bins above an S/N with no star in front of them.

    Parameters
    ----------
    result : Result
    truth : BinnedTruth
    min_snr : float
        Bins below this S/N are left out.

    Returns
    -------
    dict of str to ScatterStatistics
        By mean, in dex.
    """
    good = (result.data.snr > min_snr) & (truth.star < MAX_STAR)
    return {k: measure_scatter(result.prediction.median(k)[good], truth.means[k][good]) for k in MEAN_NAMES}


def measure_ood_warning_rates(result: Result, truth: BinnedTruth) -> tuple[float, float]:
    """Shares of bins with the out-of-distribution warning.

    Parameters
    ----------
    result : Result
    truth : BinnedTruth
        Its ``star`` (N,) is the share of a bin's light that is a foreground star's.

    Returns
    -------
    on_star : float
        Of the bins that are mostly a star's; NaN where there are none.
    off_star : float
        Of the bins without a star.
    """
    warned = (result.flag & int(Flag.OUT_OF_DEPTH)) > 0
    on, off = truth.star > 0.5, truth.star < MAX_STAR
    return float(warned[on].mean()) if on.any() else np.nan, float(warned[off].mean()) if off.any() else np.nan


def _sum_in_bins(planes: NDArray[np.floating], bins: BinMap) -> F64:
    flat = bins.bin_id.ravel()
    counted = [np.bincount(flat, weights=p.ravel(), minlength=bins.n_bins + 1)[1:] for p in planes]
    return np.stack(counted, axis=1)
