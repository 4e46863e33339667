"""Draws the parameters of N objects from a prior: what `forward_model.synthesise_objects` turns into spectra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.dust import CALZETTI_SLOPE
from napari_sfh.training.prior.enrichment import ENRICHMENT_LAWS, add_metallicity_scatter
from napari_sfh.training.prior.prior_config import DustEmission, FamilyPrior, LawPrior, PriorConfig
from napari_sfh.training.prior.star_formation import SFH_FAMILIES, add_bursts
from napari_sfh.types import F64

_MAX_BURSTS = 4


@dataclass(frozen=True)
class ObjectParameters:
    """Parameters of N objects on S fine age sub-bins. ``slope`` is negative: tau = tau_V (lambda / 5500)^slope."""

    mass: F64  # (N, S) mass formed in each sub-bin, rows sum to 1
    mh: F64  # (N, S) [M/H] of the stars of each sub-bin, dex, inside the library's range
    tau_bc: F64  # (N,)
    tau_ism: F64  # (N,)
    slope: F64  # (N,)
    lg_u: F64  # (N,) ionisation parameter of the H II regions
    mh_gas: F64  # (N,) dex
    escape: F64  # (N,)
    gas_sigma_kms: F64  # (N,) on top of the line-spread function, the broadening of prep included
    gas_v_kms: F64  # (N,)
    diffuse: F64  # (N,)
    diffuse_ew_aa: F64  # (N,)
    diffuse_lg_u: F64  # (N,)
    line_scatter_dex: F64  # (N,)
    sigma_star_kms: F64  # (N,)
    redshift: F64  # (N,)
    q_pah: F64  # (N,) per cent of the dust's mass in PAHs; 0 = no dust emission
    u_min: F64  # (N,) least starlight intensity that dust sees
    gamma: F64  # (N,) share of the dust's mass that sees more
    lg_balance: F64  # (N,) log10 of the energy that dust emits over what it absorbs
    family: NDArray[np.int32]  # (N,)
    family_names: tuple[str, ...]
    clipped: NDArray[np.bool_]  # (N,) stars holding over 1 % of the mass had to be moved into the library's range

    @property
    def n(self) -> int:
        """Number of objects."""
        return int(self.tau_bc.size)

    def select(self, rows: Any) -> ObjectParameters:
        """The objects ``rows`` (slice, mask or integers)."""
        return replace(self, **{key: getattr(self, key)[rows] for key in self._array_names()})

    @classmethod
    def join(cls, parts: Sequence[ObjectParameters]) -> ObjectParameters:
        """Objects of several draws from one prior, one after the other."""
        arrays: dict[str, Any] = {
            key: np.concatenate([getattr(part, key) for part in parts]) for key in cls._array_names()
        }
        return replace(parts[0], **arrays)

    @classmethod
    def _array_names(cls) -> list[str]:
        return [f.name for f in fields(cls) if f.name != "family_names"]

    @classmethod
    def single(cls, mass: F64, mh: F64, **values: F64 | float) -> ObjectParameters:
        """Objects with given histories, without dust, diffuse gas or faults unless ``values`` say so."""
        n = len(mass)
        plain = {"lg_u": -3.0, "gas_sigma_kms": 150.0, "slope": -0.7, "sigma_star_kms": 60.0, "escape": 0.0}
        scalars = {
            f.name: np.broadcast_to(np.asarray(values.get(f.name, plain.get(f.name, 0.0)), float), (n,)).copy()
            for f in fields(cls)
            if f.name not in ("mass", "mh", "family", "family_names", "clipped", "mh_gas")
        }
        gas = np.broadcast_to(np.asarray(values.get("mh_gas", mh[:, 0]), float), (n,)).copy()
        unknown = set(values) - set(scalars) - {"mh_gas"}
        if unknown:
            raise SfhInputError(f"ObjectParameters.single: unknown argument {sorted(unknown)[0]!r}")
        return cls(
            mass=mass / mass.sum(1, keepdims=True),
            mh=mh,
            mh_gas=gas,
            family=np.zeros(n, np.int32),
            family_names=("given",),
            clipped=np.zeros(n, bool),
            **scalars,
        )


def _draw_components(rng: np.random.Generator, weights: list[float], n: int) -> NDArray[np.int64]:
    """Component of each object (n,): a random draw with the given shares."""
    share = np.cumsum(np.asarray(weights, float) / np.sum(weights))
    return np.minimum(np.searchsorted(share, rng.random(n), side="right"), len(weights) - 1)


def _draw_histories(
    rng: np.random.Generator, family: FamilyPrior, edges_gyr: F64, n: int, max_age_gyr: float, youngest_gyr: float
) -> F64:
    """Cumulative mass curves (n, S+1) of one component of the mixture, bursts included."""
    params = {key: dist.sample(rng, n) for key, dist in family.params.items()}
    if family.kind == "ssp" and youngest_gyr > 0:
        # The same distribution, squeezed into the ages that the library has.
        lo, hi = family.params["lg_age_yr"].low, family.params["lg_age_yr"].high
        first = min(max(lo, 9.0 + float(np.log10(youngest_gyr))), hi)
        params["lg_age_yr"] = first + (params["lg_age_yr"] - lo) * (hi - first) / max(hi - lo, 1e-9)
    formed = SFH_FAMILIES[family.kind].formed(rng, edges_gyr, params, max_age_gyr)
    count = np.rint(family.bursts.count.sample(rng, n)).astype(np.int64)
    most = int(min(family.bursts.count.high, _MAX_BURSTS))
    if most < 1:
        return formed
    burst = {
        key: getattr(family.bursts, key).sample(rng, n * most).reshape(n, most)
        for key in ("age_gyr", "width_gyr", "mass")
    }
    return add_bursts(formed, edges_gyr, burst, count)


def _draw_metallicities(
    rng: np.random.Generator, law: LawPrior, m_cum: F64, age_gyr: F64, limits: tuple[float, float]
) -> F64:
    """[M/H] (n, S) of one component of the mixture of laws; ``limits`` are those of the library."""
    params = {key: dist.sample(rng, len(m_cum)) for key, dist in law.params.items()}
    params |= {key: np.full(len(m_cum), limit) for key, limit in zip(("mh_low", "mh_high"), limits)}
    mh = ENRICHMENT_LAWS[law.law].mh(m_cum, age_gyr, params)
    return add_metallicity_scatter(rng, mh, age_gyr, law.scatter_dex.sample(rng, len(m_cum)))


def _clip_metallicities(
    mh: F64, mass: F64, limits: tuple[float, float], config: PriorConfig
) -> tuple[F64, NDArray[np.bool_]]:
    """[M/H] inside the library's range, and which objects this changed by more than a trace of their mass."""
    outside = (mh < limits[0] - 1e-9) | (mh > limits[1] + 1e-9)
    moved = np.where(outside, mass, 0.0).sum(1) > 0.01
    if config.out_of_range == "error" and moved.any():
        raise SfhInputError(
            f"prior {config.name!r}: enrichment reaches [M/H] {mh.min():.2f} to {mh.max():.2f}, the library has "
            f'{limits[0]:.2f} to {limits[1]:.2f}; narrow the prior or set out_of_range = "clip"'
        )
    return np.clip(mh, *limits), moved


def draw_parameters(
    config: PriorConfig,
    rng: np.random.Generator,
    n: int,
    sub_edges_gyr: F64,
    mh_limits: tuple[float, float],
    sigma_kms: float,
    youngest_gyr: float = 0.0,
) -> ObjectParameters:
    """Draw ``n`` objects.

    Parameters
    ----------
    config : PriorConfig
    rng : numpy Generator
    n : int
    sub_edges_gyr : array (S+1,)
        Edges of the fine age sub-bins, lookback time, from 0.
    mh_limits : (float, float)
        [M/H] range of the library.
    sigma_kms : float
        Dispersion to which spectra are brought; stars of a larger one are taken for this one.
    youngest_gyr : float
        Age of the library's youngest stars, for families of single ages.

    Raises
    ------
    SfhInputError
        If the prior leaves the library's range and asks for an error.
    """
    family = _draw_components(rng, [f.weight for f in config.families], n)
    formed = np.zeros((n, len(sub_edges_gyr)))
    for k, component in enumerate(config.families):
        rows = np.flatnonzero(family == k)
        if rows.size:
            formed[rows] = _draw_histories(rng, component, sub_edges_gyr, rows.size, config.max_age_gyr, youngest_gyr)
    mass = np.maximum(formed[:, :-1] - formed[:, 1:], 0.0)
    mass /= mass.sum(1, keepdims=True)
    m_cum = 0.5 * (formed[:, :-1] + formed[:, 1:])
    middle = 0.5 * (sub_edges_gyr[:-1] + sub_edges_gyr[1:])
    law = _draw_components(rng, [part.weight for part in config.laws], n)
    mh = np.zeros_like(mass)
    for k, part in enumerate(config.laws):
        rows = np.flatnonzero(law == k)
        if rows.size:
            mh[rows] = _draw_metallicities(rng, part, m_cum[rows], middle, mh_limits)
    mh, clipped = _clip_metallicities(mh, mass, mh_limits, config)
    return ObjectParameters(
        mass=mass,
        mh=mh,
        family=family.astype(np.int32),
        family_names=config.family_names,
        clipped=clipped,
        **_draw_gas_and_dust(config, rng, mh[:, 0], sigma_kms),
    )


def _draw_gas_and_dust(
    config: PriorConfig, rng: np.random.Generator, mh_youngest: F64, sigma_kms: float
) -> dict[str, F64]:
    n = len(mh_youngest)
    gas, dust = config.nebular, config.dust
    sigma_star = np.minimum(config.kinematics.sigma_star_kms.sample(rng, n), sigma_kms)
    intrinsic = gas.sigma_kms.sample(rng, n)
    # prep broadens every spectrum by sqrt(sigma_kms^2 - sigma_star^2), the lines with it.
    sigma = np.full(n, sigma_kms) if gas.fixed_width else np.sqrt(intrinsic**2 + sigma_kms**2 - sigma_star**2)
    return {
        "tau_bc": dust.tau_bc.sample(rng, n),
        "tau_ism": dust.tau_ism.sample(rng, n),
        # Calzetti's law: the slope that has its E(B-V) over A_V.
        "slope": np.full(n, CALZETTI_SLOPE) if dust.law == "calzetti" else -dust.slope.sample(rng, n),
        "lg_u": gas.lg_u.sample(rng, n),
        "mh_gas": mh_youngest + gas.mh_offset.sample(rng, n),
        "escape": gas.escape.sample(rng, n),
        "gas_sigma_kms": sigma,
        "gas_v_kms": gas.velocity_kms.sample(rng, n),
        "diffuse": gas.diffuse.sample(rng, n),
        "diffuse_ew_aa": gas.diffuse_ew_aa.sample(rng, n),
        "diffuse_lg_u": gas.diffuse_lg_u.sample(rng, n),
        "line_scatter_dex": gas.line_scatter_dex.sample(rng, n),
        "sigma_star_kms": sigma_star,
        "redshift": config.noise.redshift.sample(rng, n),
        **_draw_dust_emission(config.dust_emission, rng, n),
    }


def _draw_dust_emission(config: DustEmission | None, rng: np.random.Generator, n: int) -> dict[str, F64]:
    """Nothing is drawn without a section, so that other priors' draws stay what they are."""
    if config is None:
        return {key: np.zeros(n) for key in ("q_pah", "u_min", "gamma", "lg_balance")}
    return {
        "q_pah": config.q_pah.sample(rng, n),
        "u_min": config.u_min.sample(rng, n),
        "gamma": config.gamma.sample(rng, n),
        "lg_balance": config.balance_dex.sample(rng, n),
    }
