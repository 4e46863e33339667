"""A prior: what a synthetic set is drawn from, read from TOML and validated when it is read.

Every section is a frozen dataclass whose fields are distributions (`distributions.Dist`) with the range that they
allow. A key that is not known is an error, so that a misspelt setting can never be ignored in silence.
"""
# ruff: noqa: RUF009  (`_distribution_field` returns a dataclass field)

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_sfh.digests import hash_parts
from napari_sfh.errors import SfhInputError
from napari_sfh.training.prior.distributions import Dist, constant_distribution, parse_distribution
from napari_sfh.training.prior.enrichment import ENRICHMENT_LAWS
from napari_sfh.training.prior.star_formation import SFH_FAMILIES
from napari_sfh.types import BANDS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Section = TypeVar("_Section", bound="DataclassInstance")


def _distribution_field(low: float, high: float, default: float) -> Any:
    """A field that holds a distribution within [low, high] and defaults to a constant."""
    return field(default_factory=lambda: constant_distribution(default), metadata={"bounds": (low, high)})


@dataclass(frozen=True)
class Bursts:
    """Box-shaped bursts on top of a family: how many, and each burst's middle age, width and share of the mass."""

    count: Dist = _distribution_field(0, 4, 0)
    age_gyr: Dist = _distribution_field(0, 20, 0.1)
    width_gyr: Dist = _distribution_field(1e-4, 5, 0.05)
    mass: Dist = _distribution_field(0, 1, 0.05)


@dataclass(frozen=True)
class FamilyPrior:
    """One component of the mixture of histories: a name of its own, a kind of `star_formation.SFH_FAMILIES`, a
    share, parameters.
    """

    name: str
    kind: str
    weight: float
    params: Mapping[str, Dist]
    bursts: Bursts


@dataclass(frozen=True)
class LawPrior:
    """One component of the mixture of enrichment laws."""

    law: str
    weight: float
    params: Mapping[str, Dist]
    scatter_dex: Dist


@dataclass(frozen=True)
class Dust:
    """Two-component attenuation; ``slope`` is the positive n of tau = tau_V (lambda / 5500)^-n."""

    tau_bc: Dist = _distribution_field(0, 20, 1.0)
    tau_ism: Dist = _distribution_field(0, 20, 0.3)
    slope: Dist = _distribution_field(0.1, 2.5, 0.7)


@dataclass(frozen=True)
class Nebular:
    """Gas around the young stars. ``sigma_kms`` is intrinsic; `fixed_width` draws every line 150 km/s wide in all."""

    fixed_width: bool = False
    lg_u: Dist = _distribution_field(-4, 0, -3.0)
    mh_offset: Dist = _distribution_field(-2, 2, 0.0)  # gas-phase minus youngest stars' [M/H], dex
    escape: Dist = _distribution_field(0, 1, 0.0)  # fraction of ionising photons that ionise nothing
    sigma_kms: Dist = _distribution_field(0, 500, 30.0)
    velocity_kms: Dist = _distribution_field(-500, 500, 0.0)  # of the gas relative to the stars
    diffuse: Dist = _distribution_field(
        0, 5, 0.0
    )  # photons that ionise diffuse gas, over those of the object's own young stars
    diffuse_ew_aa: Dist = _distribution_field(0, 200, 0.0)  # Halpha equivalent width of gas that other stars ionise
    diffuse_lg_u: Dist = _distribution_field(-4, 0, -3.5)
    line_scatter_dex: Dist = _distribution_field(
        0, 1, 0.0
    )  # per-line log-normal departure of metal lines from the grid


@dataclass(frozen=True)
class Kinematics:
    """Stellar dispersion before broadening: sets how much of the 150 km/s the gas lines receive."""

    sigma_star_kms: Dist = _distribution_field(0, 150, 60.0)


@dataclass(frozen=True)
class Noise:
    """Noise of the spectrum. ``snr`` is per 1.25 AA pixel in the normalisation window."""

    snr: Dist = _distribution_field(1, 2000, 35.0)
    background: Dist = _distribution_field(0, 50, 0.0)  # background over object photons in the window
    sky: Dist = _distribution_field(0, 20, 0.0)  # residuals of sky lines, standard deviations at the strongest line
    correlation: Dist = _distribution_field(0, 0.5, 0.0)  # between neighbouring pixels
    broadened: Dist = _distribution_field(
        0, 1, 0.0
    )  # probability that the noise went through prep's convolution to 150 km/s
    redshift: Dist = _distribution_field(0, 0.01, 0.0)  # puts the sky lines and the notch into the rest frame
    error_scale_dex: Dist = _distribution_field(0, 0.5, 0.0)  # the reported error is wrong by a factor of this scatter
    wiggle: Dist = _distribution_field(0, 0.3, 0.0)  # standard deviation of smooth calibration errors, a fraction
    notch: Dist = _distribution_field(0, 1, 0.0)  # probability that the laser notch is masked
    bad_pixels: Dist = _distribution_field(0, 0.9, 0.0)  # fraction of pixels masked at random
    edge_aa: Dist = _distribution_field(0, 1000, 0.0)  # pixels masked at the blue end


@dataclass(frozen=True)
class Photometry:
    """Errors of the five bands, see `noise.add_photometric_noise`. ``depth`` is the error at S/N = 1, in units of
    the norm.
    """

    depth: tuple[float, ...] = (1.2, 0.8, 0.4, 0.2, 0.25)
    floor: Dist = _distribution_field(0, 0.5, 0.02)
    floor_known: Dist = _distribution_field(0, 1, 1.0)  # share of the floor that the error array holds
    error_scale_dex: Dist = _distribution_field(
        0, 0.5, 0.0
    )  # the reported background error is wrong by a factor of this scatter
    offset: Dist = _distribution_field(0, 0.5, 0.0)  # standard deviation of the spectrum against all bands, a fraction
    zero_point: Dist = _distribution_field(0, 0.5, 0.0)  # standard deviation of each band's zero point
    missing: Dist = _distribution_field(0, 1, 0.0)  # probability that a band is missing
    none: Dist = _distribution_field(0, 1, 0.0)  # probability that all bands are missing
    acs: Dist = _distribution_field(0, 1, 0.0)  # probability that B, V and I come from ACS


@dataclass(frozen=True)
class PriorConfig:
    """A prior, complete and valid."""

    name: str
    description: str
    n: int  # size of the set when none is asked for
    max_age_gyr: float  # nothing forms before
    out_of_range: str  # clip or error: what to do with [M/H] beyond the library
    libraries: Mapping[str, float]  # name -> share
    families: tuple[FamilyPrior, ...]
    laws: tuple[LawPrior, ...]
    dust: Dust
    nebular: Nebular
    kinematics: Kinematics
    noise: Noise
    photometry: Photometry
    source: str = field(default="", compare=False)  # the TOML text

    @property
    def family_names(self) -> tuple[str, ...]:
        """Names of the components, which `Labels.family` indexes."""
        return tuple(f.name for f in self.families)

    @property
    def sha256(self) -> str:
        """Hash of everything that decides the draws."""
        record = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("source", "n", "description")}
        return hash_parts(json.dumps(record, default=_as_json, sort_keys=True))

    def restrict_families(self, names: Collection[str] | None = None, without: Collection[str] = ()) -> PriorConfig:
        """This prior with some components of histories held out; their numbers in the labels do not change.

        Parameters
        ----------
        names : collection of str, optional
            Components to keep; None keeps all.
        without : collection of str
            Components to hold out.

        Raises
        ------
        SfhInputError
            If a name is not a component of this prior or none is left.
        """
        for name in [*(names or ()), *without]:
            if name not in self.family_names:
                raise SfhInputError(
                    f"family {name!r} is not in prior {self.name!r}: choose from {', '.join(self.family_names)}"
                )
        kept = tuple(
            replace(f, weight=f.weight if (names is None or f.name in names) and f.name not in without else 0.0)
            for f in self.families
        )
        if not any(f.weight > 0 for f in kept):
            raise SfhInputError(f"prior {self.name!r}: no family left, keep at least one")
        return replace(self, families=kept)


def _as_json(value: Any) -> Any:
    return {"__": type(value).__name__, **{f.name: getattr(value, f.name) for f in fields(value)}}


class _Reader:
    """Takes keys out of a table and complains, with the file's name, about what is left, missing or wrong."""

    def __init__(self, table: Any, where: str) -> None:
        if not isinstance(table, Mapping):
            raise SfhInputError(f"{where}: expected a table, got {table!r}")
        self.table, self.where = dict(table), where

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        if key not in self.table:
            if default is None:
                raise SfhInputError(f"{self.where}: key {key!r} is missing")
            return default
        value = self.table.pop(key)
        if not isinstance(value, kind) or isinstance(value, bool) != (kind is bool):
            raise SfhInputError(f"{self.where}.{key} = {value!r}: wrong type")
        return value

    def dist(self, key: str, bounds: tuple[float, float], default: Dist | None = None) -> Dist:
        if key not in self.table:
            if default is None:
                raise SfhInputError(f"{self.where}: key {key!r} is missing")
            return default
        return parse_distribution(self.table.pop(key), f"{self.where}.{key}", bounds)

    def finish(self, known: Collection[str]) -> None:
        if self.table:
            key = sorted(self.table)[0]
            raise SfhInputError(f"{self.where}: unknown key {key!r}, known are {', '.join(sorted(known))}")


def _read_section(cls: type[_Section], table: Any, where: str) -> _Section:
    """Build a section's dataclass: distributions by their bounds, plain fields by the type of their default."""
    reader = _Reader(table, where)
    values: dict[str, Any] = {}
    default = cls()
    for f in fields(cls):
        current = getattr(default, f.name)
        if isinstance(current, Dist):
            values[f.name] = reader.dist(f.name, f.metadata["bounds"], current)
        elif isinstance(current, bool):
            values[f.name] = reader.take(f.name, bool, current)
        else:
            values[f.name] = _read_depths(reader.take(f.name, list, list(current)), f"{where}.{f.name}")
    reader.finish([f.name for f in fields(cls)])
    return cls(**values)


def _read_depths(value: list[Any], key: str) -> tuple[float, ...]:
    good = len(value) == len(BANDS) and all(isinstance(v, int | float) and v >= 0 for v in value)
    if not good:
        raise SfhInputError(f"{key} = {value!r}: expected {len(BANDS)} non-negative numbers, one per band {BANDS}")
    return tuple(float(v) for v in value)


def _read_weight(reader: _Reader) -> float:
    weight = float(reader.take("weight", (int, float)))
    if not (0 <= weight < math.inf):
        raise SfhInputError(f"{reader.where}.weight = {weight:g}: must be a non-negative number")
    return weight


def _read_family(table: Any, where: str) -> FamilyPrior:
    reader = _Reader(table, where)
    name = reader.take("name", str)
    kind = reader.take("kind", str)
    if kind not in SFH_FAMILIES:
        raise SfhInputError(f"{where}.kind = {kind!r}: choose from {', '.join(SFH_FAMILIES)}")
    weight = _read_weight(reader)
    bursts = _read_section(Bursts, reader.take("bursts", dict, {}), f"{where}.bursts")
    bounds = SFH_FAMILIES[kind].bounds
    params = {key: reader.dist(key, limits) for key, limits in bounds.items()}
    reader.finish(["name", "kind", "weight", "bursts", *bounds])
    return FamilyPrior(name, kind, weight, params, bursts)


def _read_law(table: Any, where: str) -> LawPrior:
    reader = _Reader(table, where)
    law = reader.take("law", str)
    if law not in ENRICHMENT_LAWS:
        raise SfhInputError(f"{where}.law = {law!r}: choose from {', '.join(ENRICHMENT_LAWS)}")
    weight = _read_weight(reader)
    scatter = reader.dist("scatter_dex", (0, 2), constant_distribution(0.0))
    bounds = ENRICHMENT_LAWS[law].bounds
    params = {key: reader.dist(key, limits) for key, limits in bounds.items()}
    reader.finish(["law", "weight", "scatter_dex", *bounds])
    return LawPrior(law, weight, params, scatter)


def _read_library_shares(table: Any, where: str) -> dict[str, float]:
    good = (
        isinstance(table, Mapping)
        and table
        and all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in table.values())
    )
    if not good:
        raise SfhInputError(f"{where} = {table!r}: expected a table of library names with positive shares")
    return {str(k): float(v) for k, v in table.items()}


def parse_prior(text: str, where: str) -> PriorConfig:
    """Validate the text of a prior file; ``where`` is its name in messages.

    Raises
    ------
    SfhInputError
        If the text is no TOML, a key is unknown, missing or of the wrong type, or a value leaves its range.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise SfhInputError(f"{where}: not valid TOML: {err}") from err
    reader = _Reader(table, where)
    families = tuple(_read_family(t, f"{where}: family[{i}]") for i, t in enumerate(reader.take("family", list)))
    laws = tuple(_read_law(t, f"{where}: enrichment[{i}]") for i, t in enumerate(reader.take("enrichment", list)))
    sections: dict[str, Any] = {
        key: _read_section(cls, reader.take(key, dict, {}), f"{where}: {key}")
        for key, cls in (
            ("dust", Dust),
            ("nebular", Nebular),
            ("kinematics", Kinematics),
            ("noise", Noise),
            ("photometry", Photometry),
        )
    }
    config = PriorConfig(
        name=reader.take("name", str),
        description=reader.take("description", str, "-"),
        n=reader.take("n", int),
        max_age_gyr=float(reader.take("max_age_gyr", (int, float))),
        out_of_range=reader.take("out_of_range", str, "error"),
        libraries=_read_library_shares(reader.take("libraries", dict), f"{where}: libraries"),
        families=families,
        laws=laws,
        source=text,
        **sections,
    )
    reader.finish([f.name for f in fields(PriorConfig)])
    _check_prior(config, where)
    return config


def _check_prior(config: PriorConfig, where: str) -> None:
    """The conditions between keys."""
    if config.n < 1:
        raise SfhInputError(f"{where}: n = {config.n}: must be at least 1")
    if not (1 <= config.max_age_gyr <= 17.8):
        raise SfhInputError(f"{where}: max_age_gyr = {config.max_age_gyr:g}: allowed range is 1 to 17.8")
    if config.out_of_range not in ("clip", "error"):
        raise SfhInputError(f"{where}: out_of_range = {config.out_of_range!r}: choose clip or error")
    for key, parts in (("family", config.families), ("enrichment", config.laws)):
        if not any(part.weight > 0 for part in parts):
            raise SfhInputError(f"{where}: {key}: at least one needs a positive weight")
    names = config.family_names
    if len(set(names)) < len(names):
        raise SfhInputError(f"{where}: family: two have the same name, names must differ")


def list_priors() -> list[str]:
    """Names of the priors that ship with the package."""
    folder = resources.files("napari_sfh.training.prior.priors")
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def load_prior(name_or_path: str | Path) -> PriorConfig:
    """Read a prior by its name (`list_priors`) or from a TOML file.

    Raises
    ------
    SfhInputError
        If there is no such prior or it is not valid.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        try:
            return parse_prior(path.read_text(encoding="utf-8"), path.name)
        except (OSError, UnicodeDecodeError) as err:
            raise SfhInputError(f"{path}: cannot read the prior: {err}") from err
    if str(name_or_path) not in list_priors():
        raise SfhInputError(f"--config {name_or_path}: no such prior or file, choose from {', '.join(list_priors())}")
    text = (resources.files("napari_sfh.training.prior.priors") / f"{name_or_path}.toml").read_text(encoding="utf-8")
    return parse_prior(text, f"{name_or_path}.toml")
