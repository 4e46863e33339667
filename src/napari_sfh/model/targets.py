"""What the network predicts, as one vector of numbers, and every quantity that follows from it.

`HistoryTargets`: star-formation histories. The vector y of an object holds the square roots of the A V-light fractions,
the A [M/H], the diffuse optical depth, the logarithm of the birth clouds' one, and the slope of the attenuation: 35
numbers for 16 age bins. Square roots, because they make a fraction of zero an ordinary point (no logarithm of nothing),
lie on the unit sphere, and have about the same error whatever the fraction; any vector maps back to fractions that are
positive and sum to one, f = s^2 / sum s^2.

Mass follows from light through the basis' intrinsic V-band light per mass formed, L(age bin, [M/H]):
mass_i ~ light_i / L_i. It is never predicted on its own, since half a per cent of mass put into a young bin
by mistake would rule the light-weighted ages.

`ScalarTargets`: named numbers. Each is transformed (not at all, logarithm, logit between its limits), then its limits
are brought to -1 and 1 where it has both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, cast, get_args

import numpy as np
import torch
from torch import nn

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.ages import AGE_EDGES_GYR, LG_AGE_YR, compute_lg_age_centres
from napari_sfh.physics.dust import ebv_from_tau
from napari_sfh.physics.formation import FORMATION_PERCENTS, cumulative_fraction
from napari_sfh.physics.mass_to_light import (
    interpolate_light_v,
    lg_mass_to_light,
    light_from_mass,
    mass_from_light,
)
from napari_sfh.physics.means import compute_population_means
from napari_sfh.physics.template_basis import TemplateBasis

#: Limits of the birth clouds' optical depth in the logarithm.
TAU_BC_RANGE = (0.01, 20.0)
#: Limits of the attenuation slope.
SLOPE_RANGE = (-2.0, -0.1)
Transform = Literal["identity", "log10", "logit"]


@dataclass(frozen=True)
class HistoryTargets:
    """Light fractions and [M/H] in age bins, dust, and all that follows from them.

    Attributes
    ----------
    age_edges_gyr : tuple of A + 1 float
        Edges of the age bins, lookback time, rising from 0.

    Examples
    --------
    >>> HistoryTargets().size, HistoryTargets().n_age
    (35, 16)
    """

    age_edges_gyr: tuple[float, ...] = tuple(float(a) for a in AGE_EDGES_GYR)
    kind: ClassVar[str] = "history"
    #: In the order of calibration tables.
    scalars: ClassVar[tuple[str, ...]] = (
        "lg_age_mw", "lg_age_lw", "mh_mw", "mh_lw", "tau_ism", "tau_bc", "ebv", "lg_ml_v",
    )  # fmt: skip
    vectors: ClassVar[tuple[str, ...]] = ("light_frac", "mass_frac", "mh", "cum_mass")

    def __post_init__(self) -> None:
        edges = np.asarray(self.age_edges_gyr)
        if edges.ndim != 1 or edges.size < 3 or np.any(np.diff(edges) <= 0) or edges[0] < 0:
            raise SfhInputError("targets: age_edges_gyr must rise from 0 or more, three edges at least")

    @property
    def n_age(self) -> int:
        """Number of age bins A."""
        return len(self.age_edges_gyr) - 1

    @property
    def size(self) -> int:
        """Entries of the vector y."""
        return 2 * self.n_age + 3

    @property
    def n_output(self) -> int:
        """Numbers that a network's head gives for light, [M/H] and dust."""
        return 2 * self.n_age + 3

    def pack(self, quantities: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The vector y (..., 2 A + 3) of ``light_frac``, ``mh`` (..., A), ``tau_ism``, ``tau_bc``, ``slope`` (...)."""
        ln_bc = torch.log(quantities["tau_bc"].clamp(*TAU_BC_RANGE))
        root = torch.sqrt(quantities["light_frac"].clamp(min=0.0))
        rest = [quantities["tau_ism"][..., None], ln_bc[..., None], quantities["slope"][..., None]]
        return torch.cat([root, quantities["mh"], *rest], dim=-1)

    def unpack(self, y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Inverse of `pack` for any real vector."""
        n = self.n_age
        square = y[..., :n] ** 2
        lo, hi = (math.log(t) for t in TAU_BC_RANGE)
        return {
            "light_frac": square / square.sum(-1, keepdim=True).clamp(min=1e-12),
            "mh": y[..., n : 2 * n],
            # A draw below zero is folded back: there is no negative dust.
            "tau_ism": y[..., 2 * n].abs(),
            "tau_bc": torch.exp(y[..., 2 * n + 1].clamp(lo, hi)),
            "slope": y[..., 2 * n + 2].clamp(*SLOPE_RANGE),
        }

    def derive(self, y: torch.Tensor, mass_to_light: MassToLight | None) -> dict[str, torch.Tensor]:
        """Every quantity of ``scalars`` and ``vectors``, and ``slope``, of vectors y."""
        parts = self.unpack(y)
        return cast(MassToLight, mass_to_light).derive(parts) | {"slope": parts["slope"]}

    def to_json(self) -> dict[str, Any]:
        """Plain values for a bundle's metadata; `targets_from_json` inverts it."""
        return {"kind": self.kind, "age_edges_gyr": list(self.age_edges_gyr)}


@dataclass(frozen=True)
class Target:
    """One number to be predicted.

    Attributes
    ----------
    name : str
        Lower-case identifier, e.g. ``lg_age_lw``.
    transform : str
        ``identity``, ``log10`` or ``logit`` between ``lo`` and ``hi``: the scale on which the network predicts it.
    unit : str
        FITS unit, empty for none.
    lo, hi : float
        Limits, which no draw leaves; infinite where there are none.
    """

    name: str
    transform: Transform = "identity"
    unit: str = ""
    lo: float = -math.inf
    hi: float = math.inf

    def __post_init__(self) -> None:
        where = f"target {self.name!r}"
        if not self.name.isidentifier() or self.name != self.name.lower():
            raise SfhInputError(f"{where}: a name has lower-case letters, digits and '_' only")
        if self.transform not in get_args(Transform):
            raise SfhInputError(f"{where}: transform {self.transform!r}; choose from {', '.join(get_args(Transform))}")
        if not self.lo < self.hi:
            raise SfhInputError(f"{where}: lo = {self.lo} must lie below hi = {self.hi}")
        if self.transform == "logit" and not (math.isfinite(self.lo) and math.isfinite(self.hi)):
            raise SfhInputError(f"{where}: transform 'logit' needs finite lo and hi")
        if self.transform == "log10" and not self.lo > 0:
            raise SfhInputError(f"{where}: transform 'log10' needs lo above 0")

    def standardise(self, value: torch.Tensor) -> torch.Tensor:
        """The entry of y of values."""
        y = self._transform(value.clamp(self.lo, self.hi))
        middle, half = self._middle_and_half()
        return (y - middle) / half

    def restore(self, y: torch.Tensor) -> torch.Tensor:
        """Inverse of `standardise`, within the limits."""
        middle, half = self._middle_and_half()
        y = middle + half * y
        if self.transform == "logit":
            return self.lo + (self.hi - self.lo) * torch.sigmoid(y)
        value = torch.pow(10.0, y) if self.transform == "log10" else y
        return value.clamp(self.lo, self.hi)

    def _transform(self, value: torch.Tensor) -> torch.Tensor:
        if self.transform == "logit":
            return torch.logit((value - self.lo) / (self.hi - self.lo), eps=1e-4)
        return torch.log10(value) if self.transform == "log10" else value

    def _middle_and_half(self) -> tuple[float, float]:
        """Of the transformed range; a logit's is of order 2 either way."""
        if self.transform == "logit":
            return 0.0, 2.0
        if not (math.isfinite(self.lo) and math.isfinite(self.hi)):
            return 0.0, 1.0
        lo, hi = (math.log10(x) if self.transform == "log10" else x for x in (self.lo, self.hi))
        return 0.5 * (lo + hi), 0.5 * (hi - lo)


#: Numbers that a training set knows, with their transforms and limits. ``lg_age`` is the age of a single population, or
#: the mass-weighted one on finer bins than ``lg_age_mw``. ``t10`` is the lookback time in Gyr before which
#: 10 % of the mass had formed, and so on.
KNOWN_TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("lg_age_lw", lo=5.0, hi=10.3),
        Target("lg_age_mw", lo=5.0, hi=10.3),
        Target("lg_age", lo=5.0, hi=10.3),
        Target("mh_lw", unit="dex", lo=-3.0, hi=1.0),
        Target("mh_mw", unit="dex", lo=-3.0, hi=1.0),
        Target("tau_ism", lo=0.0, hi=10.0),
        Target("tau_bc", transform="log10", lo=0.01, hi=20.0),
        Target("ebv", unit="mag", lo=0.0, hi=3.0),
        Target("lg_ml_v", unit="dex", lo=-4.0, hi=3.0),
        Target("slope", lo=-2.0, hi=-0.1),
        Target("age_lw_gyr", transform="log10", unit="Gyr", lo=1e-4, hi=20.0),
        Target("age_mw_gyr", transform="log10", unit="Gyr", lo=1e-4, hi=20.0),
        *(Target(f"t{p}", transform="logit", unit="Gyr", lo=0.0, hi=17.8) for p in FORMATION_PERCENTS),
    )
}


@dataclass(frozen=True)
class ScalarTargets:
    """Named numbers, each predicted on its own scale.

    Attributes
    ----------
    targets : tuple of Target
    falling : tuple of str
        Names of quantities of which no draw rises from one to the next: lookback times of formation.

    Examples
    --------
    >>> age = ScalarTargets((Target("lg_age_lw", lo=5.0, hi=10.3),))
    >>> round(float(age.derive(age.pack({"lg_age_lw": torch.tensor([9.5])}))["lg_age_lw"][0]), 4)
    9.5
    """

    targets: tuple[Target, ...]
    falling: tuple[str, ...] = ()
    kind: ClassVar[str] = "scalars"
    vectors: ClassVar[tuple[str, ...]] = ()
    n_age: ClassVar[int] = 0

    def __post_init__(self) -> None:
        names = self.scalars
        if not names:
            raise SfhInputError("targets: no name is given; name one at least")
        if twice := [n for n in names if names.count(n) > 1]:
            raise SfhInputError(f"targets: {twice[0]!r} is there twice; name it once")
        if unknown := [n for n in self.falling if n not in names]:
            raise SfhInputError(f"targets: falling names {unknown[0]!r}, which is not predicted; add it to the names")

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(t.name for t in self.targets)

    @property
    def size(self) -> int:
        """Entries of the vector y."""
        return len(self.targets)

    @property
    def n_output(self) -> int:
        """Numbers that a network's head gives."""
        return len(self.targets)

    def pack(self, quantities: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The vector y (..., T) of the named quantities (...)."""
        return torch.stack([t.standardise(quantities[t.name]) for t in self.targets], dim=-1)

    def unpack(self, y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Inverse of `pack` for any real vector."""
        out = {t.name: t.restore(y[..., k]) for k, t in enumerate(self.targets)}
        if self.falling:
            ordered = torch.stack([out[n] for n in self.falling], dim=-1).sort(dim=-1, descending=True).values
            out |= {n: ordered[..., k] for k, n in enumerate(self.falling)}
        return out

    def derive(self, y: torch.Tensor, mass_to_light: MassToLight | None = None) -> dict[str, torch.Tensor]:
        """The same as `unpack`: nothing follows from scalars."""
        return self.unpack(y)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a bundle's metadata; `targets_from_json` inverts it."""
        rows = []
        for target in self.targets:
            row = {f.name: getattr(target, f.name) for f in fields(target)}
            rows.append({k: v for k, v in row.items() if not (isinstance(v, float) and math.isinf(v))})
        return {"kind": self.kind, "targets": rows, "falling": list(self.falling)}


Targets = HistoryTargets | ScalarTargets


def make_targets(kind: str = "history", names: Sequence[str] = ()) -> Targets:
    """Targets of a network by their kind.

    Parameters
    ----------
    kind : str
        ``history`` or ``scalars``.
    names : sequence of str
        For scalars: keys of `KNOWN_TARGETS`.

    Returns
    -------
    Targets

    Raises
    ------
    SfhInputError
        Another kind, names for histories, no or unknown names for scalars.
    """
    if kind == "history":
        if names:
            raise SfhInputError("targets: kind 'history' predicts all its quantities; leave names out")
        return HistoryTargets()
    if kind != "scalars":
        raise SfhInputError(f"targets: kind = {kind!r}; choose history or scalars")
    if unknown := [n for n in names if n not in KNOWN_TARGETS]:
        raise SfhInputError(f"targets: {unknown[0]!r} is unknown; choose from {', '.join(KNOWN_TARGETS)}")
    times = [n for n in names if n[0] == "t" and n[1:].isdigit()]
    return ScalarTargets(tuple(KNOWN_TARGETS[n] for n in names), tuple(sorted(times)) if len(times) > 1 else ())


def targets_from_json(values: Mapping[str, Any]) -> Targets:
    """Targets from what their ``to_json`` gave.

    Raises
    ------
    SfhInputError
        Another kind, or a key that is missing or unknown.
    """
    try:
        if values["kind"] == "history":
            return HistoryTargets(tuple(float(a) for a in values["age_edges_gyr"]))
        if values["kind"] == "scalars":
            targets = tuple(Target(**row) for row in values["targets"])
            return ScalarTargets(targets, tuple(values.get("falling", ())))
    except (KeyError, TypeError, ValueError) as error:
        raise SfhInputError(f"targets: not those of a weights bundle ({error}); use weights of this version") from error
    raise SfhInputError(f"targets: kind {values['kind']!r} is unknown; use weights of this version")


class MassToLight(nn.Module):
    """Intrinsic V-band light per mass formed of each age bin, interpolated in [M/H]; from the template basis."""

    grid_mh: torch.Tensor
    light_v: torch.Tensor
    lg_age: torch.Tensor

    def __init__(self, n_mh: int, lg_age_yr: Sequence[float] | np.ndarray = LG_AGE_YR) -> None:
        super().__init__()
        self.register_buffer("grid_mh", torch.linspace(-2.0, 0.5, n_mh))
        self.register_buffer("light_v", torch.ones(len(lg_age_yr), n_mh))
        self.register_buffer("lg_age", torch.tensor(np.asarray(lg_age_yr), dtype=torch.float32))

    @classmethod
    def from_basis(cls, basis: TemplateBasis) -> MassToLight:
        """Take the grid of a basis."""
        made = cls(len(basis.mh), compute_lg_age_centres(basis.age_edges_gyr))
        made.grid_mh.copy_(torch.from_numpy(np.asarray(basis.mh, np.float32)))
        made.light_v.copy_(torch.from_numpy(np.asarray(basis.light_v, np.float32)))
        return made

    def light_per_mass(self, mh: torch.Tensor) -> torch.Tensor:
        """Lsun,V per Msun formed, (..., A): `physics.mass_to_light.interpolate_light_v`."""
        return cast(torch.Tensor, interpolate_light_v(self.light_v, self.grid_mh, mh))

    def mass_from_light(self, light: torch.Tensor, mh: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mass fractions (..., A) and log10 of mass formed over V-light (...) of light fractions."""
        light_per_mass = self.light_per_mass(mh)
        mass = mass_from_light(light, light_per_mass)
        return mass, lg_mass_to_light(mass, light_per_mass)

    def light_from_mass(self, mass: torch.Tensor, mh: torch.Tensor) -> torch.Tensor:
        """Light fractions (..., A) of mass fractions."""
        return cast(torch.Tensor, light_from_mass(mass, self.light_per_mass(mh)))

    def derive(self, parts: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Every quantity of `HistoryTargets` from the parts that its ``unpack`` gives.

        ``cum_mass`` of a bin is the fraction of the mass formed up to the bin's young edge, counted from the
        oldest: 1 in the youngest bin.
        """
        light, mh = parts["light_frac"], parts["mh"]
        mass, lg_ml = self.mass_from_light(light, mh)
        return {
            **compute_population_means(mass, light, mh, self.lg_age),
            "tau_ism": parts["tau_ism"],
            "tau_bc": parts["tau_bc"],
            "ebv": ebv_from_tau(parts["tau_ism"], parts["slope"]),
            "lg_ml_v": lg_ml,
            "light_frac": light,
            "mass_frac": mass,
            "mh": mh,
            "cum_mass": cumulative_fraction(mass),
        }
