"""From bins to images: every quantity that can be drawn on the sky, with its title, unit and colours."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.analysis.credibility.prior_influence import measure_result_prior_share
from napari_sfh.analysis.stellar_mass import (
    compute_ages_share,
    compute_bin_formation_times,
    compute_mass_density,
    compute_sfr_density,
    estimate_mass_error,
    estimate_sfr_error,
    find_age_edges,
)
from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.physics.quantities import MEANS, QUANTITIES
from napari_sfh.types import F32, FLAG_MEANING, I32, Result


@dataclass(frozen=True)
class MapSpec:
    """How one quantity is shown. ``values(result)`` gives one number a bin, (N,)."""

    name: str  # extension of the result file
    title: str
    unit: str
    colormap: str  # perceptually uniform; known to napari and matplotlib alike
    values: Callable[[Result], F32]
    by_age: bool = False  # ``values`` gives one number a bin and age, (N, 16)
    diverging: bool = False  # colours run away from zero to both sides


def _median(key: str) -> Callable[[Result], F32]:
    return lambda result: result.prediction.median(key)


def _error(key: str) -> Callable[[Result], F32]:
    return lambda result: result.prediction.half_width(key)


#: Times over which star-formation rates are averaged: name, words, Gyr.
SFR_TIMES: tuple[tuple[str, str, float], ...] = (
    ("30MYR", "30 Myr", 0.03),
    ("100MYR", "100 Myr", 0.1),
    ("300MYR", "300 Myr", 0.3),
    ("1GYR", "1 Gyr", 1.0),
)
#: The four mean maps: name in result files -> key of Prediction.quantiles.
MEAN_MAPS: dict[str, str] = {quantity.map_name: quantity.name for quantity in MEANS}


def _specs() -> dict[str, MapSpec]:
    specs = {}
    for q in MEANS:
        error = f"{q.map_name}_ERR"
        specs[q.map_name] = MapSpec(q.map_name, q.title, q.unit, q.colormap, _median(q.name))
        specs[error] = MapSpec(error, f"{q.title}, 1 sigma", q.error_unit, "magma", _error(q.name))
    return specs | _physical_specs() | _scalar_specs() | _age_specs() | _quality_specs()


def _scalar_specs() -> dict[str, MapSpec]:
    """What only weights without histories predict, and the errors of formation times."""
    specs = {}
    for name in ("lg_age", "age_lw_gyr", "age_mw_gyr", *(f"t{p}" for p in range(10, 100, 10))):
        q, key = QUANTITIES[name], name.upper()
        if name[0] != "t":
            specs[key] = MapSpec(key, q.title, q.unit, q.colormap, _median(name))
        error = _formation_error(name) if name[0] == "t" else _error(name)
        specs[f"{key}_ERR"] = MapSpec(f"{key}_ERR", f"{q.title}, 1 sigma", q.error_unit, "magma", error)
    return specs


def _physical_specs() -> dict[str, MapSpec]:
    """Masses, rates, formation times, dust, kinematics."""
    ebv = QUANTITIES["ebv"]
    rows = [
        MapSpec("EBV", f"{ebv.title}, stars", ebv.unit, ebv.colormap, _median("ebv")),
        MapSpec("EBV_ERR", f"{ebv.title}, stars, 1 sigma", ebv.unit, "magma", _error("ebv")),
        MapSpec("MASS", "log stellar mass formed", "log Msun/kpc2", "inferno", _log(compute_mass_density)),
        MapSpec("MASS_ERR", "log stellar mass formed, 1 sigma", "dex", "magma", lambda r: _f32(estimate_mass_error(r))),
        *(
            spec
            for word, text, gyr in SFR_TIMES
            for spec in (
                MapSpec(f"SFR_{word}", f"log SFR over {text}", "log Msun/yr/kpc2", "magma", _log(_sfr_over(gyr))),
                MapSpec(f"SFR_{word}_ERR", f"log SFR over {text}, 1 sigma", "dex", "magma", _sfr_error(gyr)),
            )
        ),
        MapSpec("ML_V", "M/L V, formed", "Msun/Lsun", "viridis", lambda r: _f32(10 ** r.prediction.median("lg_ml_v"))),
        *(
            MapSpec(f"T{100 * f:.0f}", f"t{100 * f:.0f}", "Gyr", "viridis", _formed_at(f))
            for f in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
        ),
        MapSpec("V", "V, stars", "km/s", "RdBu_r", lambda result: _f32(result.data.v_kms), diverging=True),
        MapSpec("SIGMA", "Sigma, stars", "km/s", "plasma", lambda result: _f32(result.data.sigma_kms)),
    ]
    return {spec.name: spec for spec in rows}


def _age_specs() -> dict[str, MapSpec]:
    """Maps with an axis of age."""

    def each(name: str) -> Callable[[Result], F32]:
        return lambda result: _f32(result.prediction.history(name))

    rows = [
        MapSpec("MASS_AGE", "By age: mass", "", "viridis", each("mass_frac"), by_age=True),
        MapSpec("LIGHT_AGE", "By age: V light", "", "viridis", each("light_frac"), by_age=True),
        MapSpec("MASS_YOUNGER", "Mass younger than", "", "viridis", _mass_younger, by_age=True),
        MapSpec("LIGHT_YOUNGER", "V light younger than", "", "viridis", _light_younger, by_age=True),
        MapSpec("MH_AGE", "By age: [M/H]", "dex", "plasma", each("mh"), by_age=True),
    ]
    return {spec.name: spec for spec in rows}


def _mass_younger(result: Result) -> F32:
    """From the posterior's median curve, as t10 ... t90 and the plot of the mass formed; means where there is none."""
    curves = result.prediction.quantiles.get("cum_mass")
    if curves is None:
        return _f32(np.cumsum(result.prediction.history("mass_frac"), axis=1))
    older = np.asarray(curves[..., 2], dtype=float)[:, 1:]
    return _f32(1.0 - np.concatenate([older, np.zeros((len(older), 1))], axis=1))


def _light_younger(result: Result) -> F32:
    return _f32(np.cumsum(result.prediction.history("light_frac"), axis=1))


def _quality_specs() -> dict[str, MapSpec]:
    """What tells how far a bin is to be believed."""
    rows = [
        MapSpec("CHI2", "Reduced chi2", "", "cividis", _chi2),
        MapSpec("MISFIT_RMS", "Misfit: rms", "", "cividis", _missed("MISFIT_RMS")),
        MapSpec("MISFIT_NARROW", "Misfit: narrow lines", "1 = noise", "cividis", _missed("MISFIT_NARROW")),
        MapSpec("MISFIT_SLOPE", "Misfit: slope", "per 1000 A", "RdBu_r", _missed("MISFIT_SLOPE"), diverging=True),
        MapSpec("MISFIT_V", "Misfit: velocity", "km/s", "RdBu_r", _missed("MISFIT_V"), diverging=True),
        MapSpec("MISFIT_SIGMA", "Misfit: width", "km/s", "RdBu_r", _missed("MISFIT_SIGMA"), diverging=True),
        MapSpec("SNR", "S/N per pixel", "", "cividis", lambda result: result.data.snr),
        MapSpec("OOD", "Out of depth", "1 = warning", "magma", lambda result: result.prediction.ood),
        *(
            MapSpec(f"PRIOR_{q.map_name}", f"{q.title}, share of the prior", "1 = prior", "magma", _prior_share(q.name))
            for q in MEANS
        ),
        MapSpec("FLAG", "Flags", "category", "gray", lambda result: _f32(classify_flags(result.flag))),
    ]
    return {spec.name: spec for spec in rows}


def _prior_share(name: str) -> Callable[[Result], F32]:
    return lambda result: measure_result_prior_share(result, name)


def _chi2(result: Result) -> F32:
    if result.chi2 is None:
        raise SfhInputError("these weights have no model of the spectrum, and so no chi2")
    return _f32(result.chi2)


def _missed(name: str) -> Callable[[Result], F32]:
    def values(result: Result) -> F32:
        if name not in result.misfit:
            raise SfhInputError("these weights have no limits of a misfit, or the result is of an earlier version")
        return result.misfit[name]

    return values


def _f32(values: NDArray[Any]) -> F32:
    return np.asarray(values, dtype=np.float32)


def _log(density: Callable[[Result], NDArray[np.float64]]) -> Callable[[Result], F32]:
    def values(result: Result) -> F32:
        found = density(result)
        return _f32(np.log10(found, out=np.full(found.shape, np.nan), where=found > 0))

    return values


def _sfr_over(lookback_gyr: float) -> Callable[[Result], NDArray[np.float64]]:
    return lambda result: compute_sfr_density(result, lookback_gyr)


def _sfr_error(lookback_gyr: float) -> Callable[[Result], F32]:
    return lambda result: _f32(estimate_sfr_error(result, lookback_gyr))


def find_formation_interval(result: Result, name: str, row: int) -> tuple[float, float] | None:
    """The 16 and 84 % of a formation time of one bin, Gyr; None where ``name`` is none, or has no interval.

    Parameters
    ----------
    result : Result
    name : str
        Of a map: ``T10`` ... ``T90``.
    row : int
        From 0.
    """
    if re.fullmatch(r"T[1-9]0", name) is None:
        return None
    quantiles = result.prediction.quantiles.get(name.lower())
    if quantiles is not None:
        low, high = (float(quantiles[row, k]) for k in (1, 3))
    else:
        low, high = (_find_formation_times(result, name, k)[row] for k in (1, 3))
    return (min(low, high), max(low, high)) if np.isfinite([low, high]).all() else None


def find_age_interval(result: Result, name: str, row: int, age: int) -> tuple[float, float] | None:
    """The 16 and 84 % of one step of a map with an axis of age in one bin; None where the posterior has none.

    Where hardly any stars have an age, their [M/H] is what the prior says: this width tells it.

    Parameters
    ----------
    result : Result
    name : str
        Of a map with an axis of age.
    row : int
        From 0.
    age : int
        Step of the axis, from 0.
    """
    key = {"MASS_AGE": "mass_frac", "LIGHT_AGE": "light_frac", "MH_AGE": "mh", "MASS_YOUNGER": "cum_mass"}.get(name)
    quantiles = None if key is None else result.prediction.quantiles.get(key)
    if quantiles is None:
        return None
    if key == "cum_mass":  # formed before an age's younger edge
        older = quantiles[row, age + 1] if age + 1 < quantiles.shape[1] else np.zeros(quantiles.shape[-1])
        return float(1 - older[3]), float(1 - older[1])
    return float(quantiles[row, age, 1]), float(quantiles[row, age, 3])


def _find_formation_times(result: Result, name: str, quantile: int) -> NDArray[np.float64]:
    return compute_bin_formation_times(result, (int(name[1:]) / 100,), quantile)[:, 0]


def _formed_at(fraction: float) -> Callable[[Result], F32]:
    name = f"t{100 * fraction:.0f}"

    def values(result: Result) -> F32:
        if name in result.prediction.quantiles:
            return result.prediction.median(name)
        return _f32(compute_bin_formation_times(result, (fraction,))[:, 0])

    return values


def _formation_error(name: str) -> Callable[[Result], F32]:
    """Half of the 16-84 % width of a formation time."""

    def values(result: Result) -> F32:
        if name in result.prediction.quantiles:
            return result.prediction.half_width(name)
        low, high = (_find_formation_times(result, name, k) for k in (1, 3))
        return _f32(0.5 * np.abs(high - low))

    return values


def classify_flags(flag: NDArray[np.integer]) -> NDArray[np.int64]:
    """Category of each bin's flags.

    Parameters
    ----------
    flag : int array (...)
        Bits of `types.Flag`.

    Returns
    -------
    int array (...)
        0 for none, else the place (from 1) in `FLAG_MEANING` of the first flag that is set.
    """
    category = np.zeros(np.shape(flag), dtype=np.int64)
    for place, bit in reversed(list(enumerate(FLAG_MEANING, 1))):
        category[(np.asarray(flag) & int(bit)) > 0] = place
    return category


def format_age_range(name: str, index: int) -> str:
    """The ages that a map with an axis of age shows at one step: ``1.0-1.6 Gyr``.

    Of a map of all stars younger than an age it is that age: ``56 Myr``.

    Parameters
    ----------
    name : str
        Of the map.
    index : int
        Of the age bin, from 0.

    Returns
    -------
    str
    """
    low, high = AGE_EDGES_GYR[index : index + 2]
    scale, unit = (1.0, "Gyr") if high >= 1 else (1e3, "Myr")
    if name.endswith("_YOUNGER"):
        return f"{high * scale:.3g} {unit}"
    return f"{low * scale:.3g}–{high * scale:.3g} {unit}"


#: All maps by name, in the order of menus and layer lists.
MAPS: dict[str, MapSpec] = _specs()
#: Maps of one predicted scalar, which answers are compared in: name in result files -> key of Prediction.quantiles.
SCALAR_MAPS: dict[str, str] = {
    name: quantity.name
    for quantity in QUANTITIES.values()
    if (name := quantity.map_name or quantity.name.upper()) in MAPS
}


#: What can be shown between two ages: kind to words.
AGES_KINDS: dict[str, str] = {"MASS": "mass share", "LIGHT": "V light share", "SFR": "SFR per kpc²"}
_AGES_NAME = re.compile(r"(MASS|LIGHT|SFR)_AGES_([0-9.]+)_([0-9.]+)")


def name_ages_map(kind: str, low_gyr: float, high_gyr: float) -> str:
    """Name of the map of a kind of `AGES_KINDS` between two ages in Gyr; `add_ages_map` makes it.

    Parameters
    ----------
    kind : str
        A key of `AGES_KINDS`.
    low_gyr, high_gyr : float
        Ages, Gyr.

    Returns
    -------
    str

    Raises
    ------
    SfhInputError
        The ages do not rise from 0 on.
    """
    if not 0 <= low_gyr < high_gyr:
        raise SfhInputError(f"ages {low_gyr:g} to {high_gyr:g} Gyr: give the younger first, from 0 on")
    return f"{kind}_AGES_{low_gyr:.6g}_{high_gyr:.6g}"


def add_ages_map(name: str) -> bool:
    """Have a map of `name_ages_map` among `MAPS`, if it is not yet there; False for any other name.

    Raises
    ------
    SfhInputError
        The ages do not rise.
    """
    found = _AGES_NAME.fullmatch(name)
    if found is None:
        return False
    kind, low, high = found[1], float(found[2]), float(found[3])
    name_ages_map(kind, low, high)  # refuses ages that do not rise
    ages = f"{low:g}–{high:g} Gyr"
    if kind == "SFR":
        rate = _log(lambda result: compute_sfr_density(result, high, low))
        spec = MapSpec(name, f"log SFR {ages}", "log Msun/yr/kpc2", "magma", rate)
    else:
        key, title = ("mass_frac", "Mass share") if kind == "MASS" else ("light_frac", "V light share")
        spec = MapSpec(
            name,
            f"{title} {ages}",
            "",
            "viridis",
            lambda result: _f32(compute_ages_share(result.prediction.history(key), low, high, find_age_edges(result))),
        )
    MAPS[name] = spec
    return True


def paint_bins(bin_id: I32, values: NDArray[np.floating]) -> F32:
    """Paint one value a bin onto the sky.

    Parameters
    ----------
    bin_id : int array (ny, nx)
        Bin of each spaxel, 1..N; 0 = none.
    values : array (N,) or (N, A)

    Returns
    -------
    float32 array (ny, nx) or (A, ny, nx), NaN outside the bins.
    """
    known = np.asarray(values, dtype=np.float32)
    table = np.concatenate([np.full((1, *known.shape[1:]), np.nan, np.float32), known])
    painted: F32 = table[bin_id] if known.ndim == 1 else np.stack([column[bin_id] for column in table.T])
    return painted


@check_arguments
def find_brightest_bin(result: Result) -> int:
    """Number (1..N) of the bin with the brightest white light among those in which the network is to be believed.

    Where there is none of these, the brightest of all counts. A foreground star is brighter than its galaxy, and its
    out-of-distribution score tells it.
    """
    bin_id = result.bins.bin_id
    good = (bin_id > 0) & np.isfinite(result.white)
    n = result.bins.n_bins
    total = np.bincount(bin_id[good], result.white[good], n + 1)[1:]
    count = np.bincount(bin_id[good], minlength=n + 1)[1:]
    mean = np.divide(total, count, out=np.full(n, -np.inf), where=count > 0)
    trusted = result.prediction.ood <= 1
    return int(np.argmax(np.where(trusted, mean, -np.inf) if trusted.any() else mean)) + 1


@check_arguments
def list_result_maps(result: Result) -> list[str]:
    """Names of the maps that a result has: a network without histories, or with other targets, has fewer."""
    found, first = [], _take_first_bin(result)
    no_spectrum = result.instrument.spectrum is None  # V and sigma are nobody's then
    for name, spec in MAPS.items():
        if no_spectrum and name in ("V", "SIGMA"):
            continue
        value = name.removesuffix("_ERR")
        if value != name and value in MAPS and value not in found:
            continue  # an error of nothing
        try:
            spec.values(first)
        except (KeyError, SfhInputError):
            continue
        found.append(name)
    return found


def _take_first_bin(result: Result) -> Result:
    """A result of one bin, by which it can be told quickly what there is."""
    prediction, one = result.prediction, slice(0, 1)
    histories = {key: getattr(prediction, key) for key in ("light_frac", "mass_frac", "mh")}
    return replace(
        result,
        bins=replace(result.bins, **{key: getattr(result.bins, key)[one] for key in ("x", "y", "nspax", "snr")}),
        data=result.data.select(one),
        prediction=replace(
            prediction,
            **{key: None if values is None else values[one] for key, values in histories.items()},
            quantiles={key: values[one] for key, values in prediction.quantiles.items()},
            ood=prediction.ood[one],
            latent=prediction.latent[one],
        ),
        chi2=None if result.chi2 is None else result.chi2[one],
        misfit={name: values[one] for name, values in result.misfit.items()},
        flag=result.flag[one],
    )


def list_main_maps(result: Result) -> tuple[str, ...]:
    """Names of the maps that say most of a result, at most four: the four means, or what the weights predict."""
    if result.prediction.has_histories:
        return tuple(MEAN_MAPS)
    known = {key: name for name, key in MEAN_MAPS.items()}
    names = [known.get(key, key.upper()) for key in result.prediction.scalars]
    times = [name for name in names if name[0] == "T" and name[1:].isdigit()]
    telling = [name for name in ("T50", "T90", "T10") if name in times]
    chosen = dict.fromkeys((*telling, *(name for name in names if name not in times)))
    return tuple(name for name in chosen if name in MAPS)[:4]


@check_arguments
def make_map_image(result: Result, name: str) -> F32:
    """A map of a result as an image.

    Parameters
    ----------
    result : Result
    name : str
        A key of `MAPS`.

    Returns
    -------
    array (ny, nx)
        In the map's unit; NaN outside the bins.

    Raises
    ------
    SfhInputError
        ``name`` is not a map.
    """
    if name not in MAPS:
        raise SfhInputError(f"map {name!r} is unknown: choose one of {', '.join(MAPS)}")
    return paint_bins(result.bins.bin_id, MAPS[name].values(result))
