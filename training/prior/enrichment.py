"""Chemical enrichment: the metallicity of the stars formed at each lookback time.

Each law is a function of the cumulative mass fraction (n, S) and the age (S,) in Gyr of every sub-bin, and of its own
parameters by name, (n,) each. It returns [M/H] = log10(Z / 0.019), (n, S):

- ``linear_enrichment``: Z = Z_i + (Z_f - Z_i) M_cum, the law of Galceran et al. (2026, eq. 2).
- ``leaky_box_enrichment``: Z = Z_i + y ln(1 / gas fraction), the closed or leaky box (Searle & Sargent 1972), with
  the gas fraction falling in step with the mass formed, scaled to end at Z_f.
- ``constant_metallicity``: one [M/H] for all stars.
- ``even_metallicity``: one [M/H] for all stars, at ``place`` (0 to 1) in the range of the object's own library.
- ``decoupled_enrichment``: [M/H] moves along log age between free values for old and young stars, with a free knee,
  whatever the star-formation history does; falling values (dilution by infall) included.

Any law may carry a random walk in log age of ``scatter_dex``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from napari_sfh.physics.ages import Z_SUN
from napari_sfh.training.prior.star_formation import draw_log_age_walk
from napari_sfh.types import F64

LawParameters = Mapping[str, F64]


def linear_enrichment(m_cum: F64, age_gyr: F64, p: LawParameters) -> F64:
    """Metals in step with the mass formed."""
    z_i, z_f = p["z_initial"][:, None], p["z_final"][:, None]
    return np.log10((z_i + (z_f - z_i) * m_cum) / Z_SUN)


def leaky_box_enrichment(m_cum: F64, age_gyr: F64, p: LawParameters) -> F64:
    """Leaky box that ends with the gas fraction ``gas_final`` at the metallicity ``z_final``."""
    z_i, z_f, gas = (p[k][:, None] for k in ("z_initial", "z_final", "gas_final"))
    return np.log10((z_i + (z_f - z_i) * np.log(1 - (1 - gas) * m_cum) / np.log(gas)) / Z_SUN)


def constant_metallicity(m_cum: F64, age_gyr: F64, p: LawParameters) -> F64:
    """One metallicity."""
    return np.broadcast_to(p["mh"][:, None], m_cum.shape).copy()


def even_metallicity(m_cum: F64, age_gyr: F64, p: LawParameters) -> F64:
    """One metallicity, at a place in the range that the library has: ``mh_low`` to ``mh_high``."""
    return constant_metallicity(m_cum, age_gyr, {"mh": p["mh_low"] + (p["mh_high"] - p["mh_low"]) * p["place"]})


def decoupled_enrichment(m_cum: F64, age_gyr: F64, p: LawParameters) -> F64:
    """From ``mh_old`` before ``knee_gyr`` to ``mh_young`` now, along log age, by a logistic step of ``width_dex``."""
    x = (np.log10(age_gyr)[None, :] - np.log10(p["knee_gyr"])[:, None]) / p["width_dex"][:, None]
    return p["mh_young"][:, None] + (p["mh_old"] - p["mh_young"])[:, None] / (1 + np.exp(-np.clip(x, -30, 30)))


def add_metallicity_scatter(rng: np.random.Generator, mh: F64, age_gyr: F64, scatter_dex: F64) -> F64:
    """Add a random walk over log age to metallicity histories.

    Parameters
    ----------
    rng : numpy.random.Generator
    mh : array (n, m)
        [M/H] in dex at ``age_gyr``.
    age_gyr : array (m,)
        Lookback times.
    scatter_dex : array (n,)
        Standard deviation of each walk.

    Returns
    -------
    array (n, m)
        Dex.
    """
    return mh + draw_log_age_walk(rng, len(mh), age_gyr, scatter_dex)


@dataclass(frozen=True)
class EnrichmentLaw:
    """A law's function and its parameters with the range that each allows."""

    mh: Callable[[F64, F64, LawParameters], F64]
    bounds: Mapping[str, tuple[float, float]]


_Z = (1e-5, 0.2)
_MH = (-3.0, 1.0)
#: Laws by the name that prior files use.
ENRICHMENT_LAWS: Mapping[str, EnrichmentLaw] = {
    "linear": EnrichmentLaw(linear_enrichment, {"z_initial": _Z, "z_final": _Z}),
    "leaky": EnrichmentLaw(leaky_box_enrichment, {"z_initial": _Z, "z_final": _Z, "gas_final": (1e-4, 0.99)}),
    "constant": EnrichmentLaw(constant_metallicity, {"mh": _MH}),
    "even": EnrichmentLaw(even_metallicity, {"place": (0, 1)}),
    "decoupled": EnrichmentLaw(
        decoupled_enrichment, {"mh_old": _MH, "mh_young": _MH, "knee_gyr": (0.001, 20), "width_dex": (0.01, 3)}
    ),
}
