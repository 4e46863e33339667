"""What is true of every synthetic spectrum: the labels that the network learns and that evaluation compares with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import AGE_EDGES_GYR, UNIVERSE_GYR
from napari_sfh.physics.dust import ebv_from_tau
from napari_sfh.physics.formation import (
    FORMATION_PERCENTS,
    FORMED_FRACTIONS,
    compute_formation_times,
    sum_mass_from_oldest,
)
from napari_sfh.physics.means import compute_population_means
from napari_sfh.types import F32, I32

#: Labels that no hash of a set holds: they follow from the histories, and sets of earlier versions lack them.
DERIVED_LABELS: tuple[str, ...] = ("formation_gyr", "lg_age")


def derive_formation_labels(mass: NDArray[np.floating], edges_gyr: NDArray[np.floating] = AGE_EDGES_GYR) -> F32:
    """Lookback times by which `FORMATION_PERCENTS` of the mass had been formed.

    Parameters
    ----------
    mass : array (N, S)
        Formed between the edges, of any scale.
    edges_gyr : array (S + 1,)
        Lookback times, Gyr.

    Returns
    -------
    array (N, 9)
        Gyr. What formed in an interval in which the Universe began is spread over the rest of it, as in a result.
    """
    edges_gyr = np.minimum(edges_gyr, UNIVERSE_GYR)
    return compute_formation_times(sum_mass_from_oldest(mass), FORMED_FRACTIONS, edges_gyr).astype(np.float32)


def derive_fine_lg_age(mass: NDArray[np.floating], edges_gyr: NDArray[np.floating]) -> F32:
    """Mass-weighted mean of log10 age, with ages at the middles of intervals of lookback time.

    Parameters
    ----------
    mass : array (N, S)
        Formed between the edges, of any scale.
    edges_gyr : array (S + 1,)
        Gyr.

    Returns
    -------
    array (N,)
        log10 of yr.
    """
    edges = np.asarray(edges_gyr, np.float64)
    middle = np.log10(0.5 * (edges[1:] + edges[:-1])) + 9.0
    share = np.asarray(mass, np.float64) / np.sum(mass, axis=1, keepdims=True, dtype=np.float64)
    return np.asarray(share @ middle, np.float32)


@dataclass(frozen=True)
class Labels:
    """The truth of N synthetic objects, on the 16 age bins of `physics.ages`.

    ``light_frac`` is intrinsic: the V-band light of the stars before any dust (ours; the paper does not say). Means
    follow the paper's equations 6 and 7 with the bins' central ages.
    """

    mass_frac: F32  # (N, A) fraction of the mass formed, sums to 1
    light_frac: F32  # (N, A) fraction of the intrinsic V-band light, sums to 1
    mh: F32  # (N, A) mass-weighted mean [M/H] of each bin, dex; defined in empty bins too, by the enrichment law
    tau_ism: F32  # (N,) diffuse optical depth at 5500 AA
    tau_bc: F32  # (N,) additional optical depth of the birth clouds at 5500 AA
    slope: F32  # (N,) attenuation slope: tau = tau_V (lambda / 5500)^slope, negative
    lg_ml_v: F32  # (N,) log10 of the mass formed over the intrinsic V-band light, Msun / Lsun,V
    lg_age_mw: F32  # (N,) log10 yr
    lg_age_lw: F32  # (N,) log10 yr
    mh_mw: F32  # (N,) dex
    mh_lw: F32  # (N,) dex
    family: I32  # (N,) index into `family_names`
    formation_gyr: F32  # (N, 9) lookback times by which 10, 20, ... 90 % of the mass had formed
    lg_age: F32  # (N,) log10 yr, mass-weighted on the fine sub-bins: a single population's own age
    family_names: tuple[str, ...] = ()

    @classmethod
    def from_fractions(
        cls,
        mass_frac: F32,
        light_frac: F32,
        mh: F32,
        *,
        tau_ism: F32,
        tau_bc: F32,
        slope: F32,
        lg_ml_v: F32,
        family: I32,
        family_names: tuple[str, ...],
        formation_gyr: F32 | None = None,
        lg_age: F32 | None = None,
    ) -> Labels:
        """Labels whose four means follow from the fractions.

        So do the times of formation and the fine age where the history within the age bins is not known: at a constant
        rate in each.
        """
        if formation_gyr is None:
            formation_gyr = derive_formation_labels(mass_frac)
        means = {k: np.asarray(v, np.float32) for k, v in compute_population_means(mass_frac, light_frac, mh).items()}
        return cls(
            mass_frac=mass_frac,
            light_frac=light_frac,
            mh=mh,
            tau_ism=tau_ism,
            tau_bc=tau_bc,
            slope=slope,
            lg_ml_v=lg_ml_v,
            family=family,
            family_names=family_names,
            formation_gyr=formation_gyr,
            lg_age=means["lg_age_mw"] if lg_age is None else lg_age,
            **means,
        )

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any], family_names: tuple[str, ...]) -> Labels:
        """Labels as they were stored; those of `DERIVED_LABELS` may be missing."""
        known = {k: np.asarray(columns[k]) for k in cls.array_names() if k in columns or k not in DERIVED_LABELS}
        known.setdefault("formation_gyr", derive_formation_labels(known["mass_frac"]))
        known.setdefault("lg_age", known["lg_age_mw"])
        return cls(**known, family_names=family_names)

    def quantity(self, name: str) -> F32:
        """A scalar (N,) by its name in `model.targets.KNOWN_TARGETS`.

        Raises
        ------
        SfhInputError
            A synthetic set does not know it.
        """
        if name in ("age_lw_gyr", "age_mw_gyr"):
            return np.asarray(10 ** (getattr(self, f"lg_{name[:6]}") - 9.0), np.float32)
        if name == "ebv":
            return np.asarray(ebv_from_tau(self.tau_ism, self.slope), np.float32)
        if name[:1] == "t" and name[1:].isdigit() and int(name[1:]) in FORMATION_PERCENTS:
            return self.formation_gyr[:, FORMATION_PERCENTS.index(int(name[1:]))]
        value = getattr(self, name, None)
        if not isinstance(value, np.ndarray) or value.ndim != 1:
            raise SfhInputError(f"[targets] names: {name!r} is not known of synthetic objects; leave it out")
        return value

    @property
    def n(self) -> int:
        """Number of objects."""
        return int(self.lg_ml_v.size)

    def select(self, index: Any) -> Labels:
        """The rows ``index`` (slice, mask or integers) of every array."""
        return Labels(**{k: (v[index] if isinstance(v, np.ndarray) else v) for k, v in self.__dict__.items()})

    @staticmethod
    def array_names() -> tuple[str, ...]:
        """Names of the array fields, in order."""
        return tuple(f.name for f in fields(Labels) if f.name != "family_names")

    @staticmethod
    def hashed_names() -> tuple[str, ...]:
        """Names of the array fields that the hash of a set covers."""
        return tuple(name for name in Labels.array_names() if name not in DERIVED_LABELS)
