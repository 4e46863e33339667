"""Several answers for one bin, side by side: the network's, another result's, pPXF's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from astropy import units as u
from astropy.table import QTable
from numpy.typing import NDArray

from napari_sfh.analysis.bin_view import BinView
from napari_sfh.analysis.comparison.map_comparison import SFH_PARTS, Comparison
from napari_sfh.analysis.comparison.ppxf_fit import PpxfFit
from napari_sfh.analysis.credible_bands import CredibleBand
from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.physics.ages import AGE_EDGES_GYR, N_AGE
from napari_sfh.physics.dust import CALZETTI_R_V
from napari_sfh.physics.means import MEAN_NAMES
from napari_sfh.physics.quantities import MEANS
from napari_sfh.types import F64, Result

#: Titles of the four means in tables.
TITLES: dict[str, str] = {quantity.name: quantity.label for quantity in MEANS}


@dataclass(frozen=True)
class BinHistory:
    """What somebody says of the stars of one bin; NaN where nothing."""

    name: str
    mass: CredibleBand  # (16,)
    light: CredibleBand
    mh: CredibleBand
    means: Mapping[str, float]  # physics.means.MEAN_NAMES
    errors: Mapping[str, float]  # 1 sigma
    model: NDArray[np.floating] | None = None  # (W,) in the unit of the bin's flux
    phot_model: NDArray[np.floating] | None = None  # (B,)
    chi2: float = float("nan")
    ebv: tuple[float, float] = (float("nan"), float("nan"))  # of the stars, and its error, mag

    def sfh(self, kind: str) -> CredibleBand:
        """The SFH as ``mass`` or ``light``."""
        return self.light if kind == "light" else self.mass


@check_arguments
def history_from_network(result: Result, bin_id: int) -> BinHistory:
    """The result's own answer.

    Parameters
    ----------
    result : Result
    bin_id : int
        1 to N.

    Returns
    -------
    BinHistory
    """
    view, row, prediction = BinView.of(result, bin_id), bin_id - 1, result.prediction
    return BinHistory(
        name=f"network {result.model_name}",
        mass=view.mass,
        light=view.light,
        mh=view.mh,
        means={k: float(prediction.median(k)[row]) for k in MEAN_NAMES},
        errors={k: float(prediction.half_width(k)[row]) for k in MEAN_NAMES},
        model=view.model,
        phot_model=view.phot_model,
        chi2=result.chi2_of(row),
        ebv=(float(prediction.median("ebv")[row]), float(prediction.half_width("ebv")[row])),
    )


def history_from_comparison(comparison: Comparison, bin_id: int) -> BinHistory:
    """The other answer's, averaged over the bin's spaxels (see `compare`).

    Parameters
    ----------
    comparison : Comparison
    bin_id : int
        1 to N, of the comparison's result.

    Returns
    -------
    BinHistory
    """
    row = bin_id - 1
    empty = np.full((N_AGE, 3), np.nan)
    parts = {name: comparison.sfh[name][row] if name in comparison.sfh else empty for name in SFH_PARTS}
    bands = {
        name: CredibleBand(*(np.asarray(part[:, k], dtype=np.float64) for k in range(3)))
        for name, part in parts.items()
    }
    return BinHistory(
        name=comparison.other.name,
        mass=bands["mass_frac"],
        light=bands["light_frac"],
        mh=bands["mh"],
        means={k: float(v[row]) for k, v in comparison.means.items()},
        errors={k: float(v[row]) for k, v in comparison.errors.items()},
    )


@check_arguments
def history_from_ppxf(fit: PpxfFit) -> BinHistory:
    """pPXF's answer; the errors of a regularised fit are unknown."""
    unknown = np.full(N_AGE, np.nan)

    def band(values: F64) -> CredibleBand:
        return CredibleBand(values, unknown, unknown)

    mass, light, mh = band(fit.mass_frac), band(fit.light_frac), band(fit.mh)
    ebv = fit.a_v / CALZETTI_R_V, float("nan")
    return BinHistory("pPXF", mass, light, mh, fit.means, {}, fit.model, fit.phot_model, fit.chi2, ebv)


def list_history_means(histories: Sequence[BinHistory]) -> list[tuple[str, list[str]]]:
    """The four means, E(B-V) and chi2, a row each with one text per answer."""
    rows = [(title, [_format_value(h.means.get(k), h.errors.get(k)) for h in histories]) for k, title in TITLES.items()]
    if any(np.isfinite(h.ebv[0]) for h in histories):
        rows.append(("E(B−V) (mag)", [_format_value(*h.ebv) for h in histories]))
    if any(np.isfinite(h.chi2) for h in histories):
        rows.append(("χ², reduced", [_format_value(h.chi2, None) for h in histories]))
    return rows


def _format_value(value: float | None, error: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    plus = f" ± {error:.2f}" if error is not None and np.isfinite(error) else ""
    return f"{value:z.2f}{plus}".replace("-", "−")


def build_history_table(histories: Sequence[BinHistory], bin_id: int) -> QTable:
    """SFHs as a table: one row per answer and age bin, youngest first; the means are in ``meta``.

    Columns: ANSWER, AGE_LO, AGE_HI (Gyr), MASS_FRAC, LIGHT_FRAC, MH (dex), each with _P16 and _P84.

    Parameters
    ----------
    histories : sequence of BinHistory
        A block of rows each.
    bin_id : int
        Kept in ``meta``.

    Returns
    -------
    QTable
    """
    out = QTable()
    out["ANSWER"] = np.repeat([h.name for h in histories], N_AGE)
    out["AGE_LO"] = np.tile(AGE_EDGES_GYR[:-1], len(histories)) * u.Gyr
    out["AGE_HI"] = np.tile(AGE_EDGES_GYR[1:], len(histories)) * u.Gyr
    for name in ("mass", "light", "mh"):
        unit = u.dex if name == "mh" else u.dimensionless_unscaled
        column = "MH" if name == "mh" else f"{name.upper()}_FRAC"
        for suffix, part in (("", "value"), ("_P16", "low"), ("_P84", "high")):
            out[column + suffix] = np.concatenate([getattr(getattr(h, name), part) for h in histories]) * unit
    out.meta["BIN_ID"] = bin_id
    for h in histories:
        out.meta[h.name] = {k: float(v) for k, v in h.means.items()} | {"ebv": h.ebv[0]}
    return out
