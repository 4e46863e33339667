"""What is true of every synthetic spectrum: the labels that the network learns and that evaluation compares with."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from napari_sfh.physics.means import compute_population_means
from napari_sfh.types import F32, I32


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
    ) -> Labels:
        """Labels whose four means follow from the fractions."""
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
            **means,
        )

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
