"""A prior: what a synthetic set is drawn from, read from TOML and validated when it is read.

Every section is a frozen dataclass whose fields are distributions (`distributions.Dist`) with the range that they
allow. A key that is not known is an error, so that a misspelt setting can never be ignored in silence. ``base = NAME``
takes what the file leaves out from another prior.
"""
# ruff: noqa: RUF009  (`_distribution_field` returns a dataclass field)

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le

from napari_sfh.digests import hash_parts
from napari_sfh.errors import SfhInputError
from napari_sfh.sections import make_section_field, parse_toml, read_section, read_toml_text
from napari_sfh.training.prior.distributions import DISTRIBUTION_KINDS, Dist, constant_distribution, parse_distribution
from napari_sfh.training.prior.enrichment import ENRICHMENT_LAWS, EnrichmentLaw
from napari_sfh.training.prior.star_formation import SFH_FAMILIES, SfhFamily

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

NonNegative = Annotated[float, Ge(0)]
DustLaw = Literal["power", "calzetti"]
#: Of fields that sets drawn earlier do not know.
_LATER = {"later": True}


def _distribution_field(low: float, high: float, default: float) -> Any:
    """A field that holds a distribution within [low, high] and defaults to a constant."""

    def parse(value: Any, file: str, path: str) -> Dist:
        return parse_distribution(value, f"{file}: {path}", (low, high))

    return field(default_factory=lambda: constant_distribution(default), metadata={"parse": parse})


def _optional_distribution_field(low: float, high: float) -> Any:
    """A field that holds a distribution within [low, high], or None; sets drawn earlier do not know it."""

    def parse(value: Any, file: str, path: str) -> Dist:
        return parse_distribution(value, f"{file}: {path}", (low, high))

    return field(default=None, metadata={"parse": parse, **_LATER})


def _optional_section_field(cls: type[DataclassInstance]) -> Any:
    """A field that holds a section, or None."""
    return field(default=None, metadata={"parse": partial(read_section, cls), **_LATER})


#: Key of `Photometry.depth` for the bands that it does not name.
OTHER_BANDS = "others"


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
    weight: NonNegative
    params: Mapping[str, Dist]
    bursts: Bursts = make_section_field(Bursts)


@dataclass(frozen=True)
class LawPrior:
    """One component of the mixture of enrichment laws."""

    law: str
    weight: NonNegative
    params: Mapping[str, Dist]
    scatter_dex: Dist = _distribution_field(0, 2, 0.0)


@dataclass(frozen=True)
class Dust:
    """Two-component attenuation; ``slope`` is the positive n of tau = tau_V (lambda / 5500)^-n. ``law``: that power
    law, or that of Calzetti et al. (2000), which has no slope.
    """

    law: DustLaw = field(default="power", metadata=_LATER)
    tau_bc: Dist = _distribution_field(0, 20, 1.0)
    tau_ism: Dist = _distribution_field(0, 20, 0.3)
    slope: Dist = _distribution_field(0.1, 2.5, 0.7)


@dataclass(frozen=True)
class DustEmission:
    """Infrared emission of dust (Draine & Li 2007), for instruments with infrared bands. The energy is what the dust
    absorbs, times 10^balance_dex: a piece of a galaxy may be heated by its neighbours.
    """

    q_pah: Dist = _distribution_field(0.1, 4.58, 2.5)  # share of the dust's mass in PAHs, per cent
    u_min: Dist = _distribution_field(0.1, 25, 1.0)  # least starlight intensity, of the solar neighbourhood's
    gamma: Dist = _distribution_field(0, 1, 0.02)  # share of the dust's mass that sees more
    balance_dex: Dist = _distribution_field(-2, 2, 0.0)


@dataclass(frozen=True)
class Nebular:
    """Gas around the young stars. ``sigma_kms`` is intrinsic; `fixed_width` draws every line as wide as the stars'."""

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
    """Stellar dispersion before broadening: sets how much of the instrument's dispersion the gas lines receive."""

    sigma_star_kms: Dist = _distribution_field(0, 1000, 60.0)


@dataclass(frozen=True)
class Noise:
    """Noise. ``snr`` is that of a pixel in the spectrum's window; without a spectrum that of a band of depth 1."""

    snr: Dist = _distribution_field(1, 2000, 35.0)
    background: Dist = _distribution_field(0, 50, 0.0)  # background over object photons in the window
    sky: Dist = _distribution_field(0, 20, 0.0)  # residuals of sky lines, standard deviations at the strongest line
    correlation: Dist = _distribution_field(0, 0.5, 0.0)  # between neighbouring pixels
    broadened: Dist = _distribution_field(
        0, 1, 0.0
    )  # probability that the noise went through prep's convolution to the instrument's dispersion
    redshift: Dist = _distribution_field(0, 20, 0.0)  # puts the sky lines and the notch into the rest frame
    error_scale_dex: Dist = _distribution_field(0, 0.5, 0.0)  # the reported error is wrong by a factor of this scatter
    wiggle: Dist = _distribution_field(0, 0.3, 0.0)  # standard deviation of smooth calibration errors, a fraction
    wiggle_scale_aa: Dist | None = _optional_distribution_field(
        50, 1e4
    )  # their wavelengths; None: 150-3000 evenly in log
    notch: Dist = _distribution_field(0, 1, 0.0)  # probability that the laser notch is masked
    bad_pixels: Dist = _distribution_field(0, 0.9, 0.0)  # fraction of pixels masked at random
    edge_aa: Dist = _distribution_field(0, 1000, 0.0)  # pixels masked at the blue end


@dataclass(frozen=True)
class Blends:
    """Stars between libraries, and a little beyond: see `simulator.library_blends`."""

    n: Annotated[int, Ge(1), Le(200)] = 12  # kinds of such stars
    share: Annotated[float, Ge(0), Le(1)] = 0.5  # of the objects that have them
    beyond: Annotated[float, Ge(0), Le(0.5)] = 0.25  # how far beyond either library, in units of their difference
    seed: int = 1


def _read_depths(value: Any, file: str, path: str) -> dict[str, float]:
    table = {OTHER_BANDS: value} if isinstance(value, int | float) else value
    good = isinstance(table, Mapping) and all(isinstance(v, int | float) and v >= 0 for v in table.values())
    if not good:
        raise SfhInputError(
            f"{file}: {path} = {value!r}: expected a non-negative number, or a table of one per band "
            "({ F275W = 1.2, ... })"
        )
    return {str(band): float(depth) for band, depth in table.items()}


@dataclass(frozen=True)
class Photometry:
    """Errors of the bands, see `noise.add_photometric_noise`. ``depth`` is the error at S/N = 1 by band, in units of
    the norm; a band that it does not name has that of `OTHER_BANDS`, or 1.
    """

    depth: Mapping[str, float] = field(default_factory=dict, metadata={"parse": _read_depths})
    floor: Dist = _distribution_field(0, 0.5, 0.02)
    floor_known: Dist = _distribution_field(0, 1, 1.0)  # share of the floor that the error array holds
    error_scale_dex: Dist = _distribution_field(
        0, 0.5, 0.0
    )  # the reported background error is wrong by a factor of this scatter
    offset: Dist = _distribution_field(0, 0.5, 0.0)  # standard deviation of the spectrum against all bands, a fraction
    zero_point: Dist = _distribution_field(0, 0.5, 0.0)  # standard deviation of each band's zero point
    missing: Dist = _distribution_field(0, 1, 0.0)  # probability that a band is missing
    none: Dist = _distribution_field(0, 1, 0.0)  # probability that all bands are missing
    negative: bool = field(default=False, metadata=_LATER)  # fluxes below zero count as measured
    acs: Dist = _distribution_field(0, 1, 0.0)  # probability that other cameras stand in where the instrument names any

    def depth_of(self, band: str) -> float:
        """Error of a band at S/N = 1, in units of the norm."""
        return self.depth.get(band, self.depth.get(OTHER_BANDS, 1.0))


def _read_components(
    cls: type[Any],
    tag: str,
    kinds: Mapping[str, SfhFamily] | Mapping[str, EnrichmentLaw],
    tables: Any,
    file: str,
    path: str,
) -> tuple[Any, ...]:
    """Components of a mixture; ``tag`` is the key whose value, one of ``kinds``, decides what parameters there are."""
    if not isinstance(tables, list):
        raise SfhInputError(f"{file}: {path} = {tables!r} is no list of tables; write [[{path}]] and its keys below")
    found = []
    for i, table in enumerate(tables):
        where = f"{path}[{i}]"
        if isinstance(table, Mapping) and tag in table:
            if table[tag] not in kinds:
                raise SfhInputError(f"{file}: {where}.{tag} = {table[tag]!r}: choose from {', '.join(kinds)}")
            bounds = kinds[table[tag]].bounds
            if missing := [key for key in bounds if key not in table]:
                raise SfhInputError(f"{file}: key '{where}.{missing[0]}' is missing")
            known = [f.name for f in fields(cls) if f.name != "params"] + list(bounds)
            if unknown := sorted(set(table) - set(known)):
                raise SfhInputError(f"{file}: unknown key '{where}.{unknown[0]}'; known are {', '.join(known)}")
            params = {key: parse_distribution(table[key], f"{file}: {where}.{key}", bounds[key]) for key in bounds}
            table = {key: value for key, value in table.items() if key not in bounds} | {"params": params}
        found.append(read_section(cls, table, file, where))
    return tuple(found)


def _read_library_shares(table: Any, file: str, path: str) -> dict[str, float]:
    good = (
        isinstance(table, Mapping)
        and table
        and all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in table.values())
    )
    if not good:
        raise SfhInputError(f"{file}: {path} = {table!r}: expected a table of library names with positive shares")
    return {str(k): float(v) for k, v in table.items()}


_FAMILIES = {"key": "family", "parse": partial(_read_components, FamilyPrior, "kind", SFH_FAMILIES)}
_LAWS = {"key": "enrichment", "parse": partial(_read_components, LawPrior, "law", ENRICHMENT_LAWS)}


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """A prior, complete and valid."""

    name: str
    description: str = "-"
    n: Annotated[int, Ge(1)]  # size of the set when none is asked for
    max_age_gyr: Annotated[float, Ge(1), Le(17.8)]  # nothing forms before
    out_of_range: Literal["clip", "error"] = "error"  # what to do with [M/H] beyond the library
    libraries: Mapping[str, float] = field(metadata={"parse": _read_library_shares})  # name -> share
    families: tuple[FamilyPrior, ...] = field(metadata=_FAMILIES)
    laws: tuple[LawPrior, ...] = field(metadata=_LAWS)
    dust: Dust = make_section_field(Dust)
    nebular: Nebular = make_section_field(Nebular)
    kinematics: Kinematics = make_section_field(Kinematics)
    noise: Noise = make_section_field(Noise)
    photometry: Photometry = make_section_field(Photometry)
    # Library -> youngest age in Gyr of a family of single ages: below it the library's stars are another's.
    youngest_gyr: Mapping[str, float] = field(default_factory=dict, metadata={"parse": _read_library_shares, **_LATER})
    dust_emission: DustEmission | None = _optional_section_field(DustEmission)
    blends: Blends | None = _optional_section_field(Blends)
    source: str = field(default="", compare=False)  # the TOML text

    @property
    def family_names(self) -> tuple[str, ...]:
        """Names of the components, which `Labels.family` indexes."""
        return tuple(f.name for f in self.families)

    @property
    def sha256(self) -> str:
        """Hash of everything that decides the draws."""
        names = [n for n in _hashed_names(self) if n not in ("source", "n", "description")]
        record = {name: getattr(self, name) for name in names}
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


def _hashed_names(config: DataclassInstance) -> list[str]:
    """Fields that decide the draws; those that came later only where they are set, so that older sets stay valid."""
    plain = {f.name: f.default if f.default is not MISSING else {} for f in fields(config) if "later" in f.metadata}
    return [f.name for f in fields(config) if f.name not in plain or getattr(config, f.name) != plain[f.name]]


def _as_json(value: Any) -> Any:
    record = {name: getattr(value, name) for name in _hashed_names(value)}
    if isinstance(value, Photometry):
        # Names of bands are the instrument's, whose own hash stands beside this one in every set.
        record["depth"] = list(value.depth.values())
    return {"__": type(value).__name__, **record}


def parse_prior(text: str, where: str) -> PriorConfig:
    """Validate the text of a prior file; ``where`` is its name in messages.

    Parameters
    ----------
    text : str
        TOML.
    where : str
        Its name, for messages.

    Returns
    -------
    PriorConfig

    Raises
    ------
    SfhInputError
        If the text is no TOML, a key is unknown, missing or of the wrong type, or a value leaves its range.
    """
    config = replace(read_section(PriorConfig, _inherit(parse_toml(text, where), where), where), source=text)
    _check_prior(config, where)
    return config


def _inherit(table: dict[str, Any], where: str) -> dict[str, Any]:
    """A prior's table on top of that of its ``base``, another prior's name; sections are joined key by key."""
    if "base" not in table:
        return table
    base = table.pop("base")
    if base not in list_priors():
        raise SfhInputError(f"{where}: base = {base!r} is no prior; choose from {', '.join(list_priors())}")
    return _join_tables(_inherit(parse_toml(_read_stock_prior(base), f"{base}.toml"), f"{base}.toml"), table)


def _join_tables(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Keys of both; of those in both ``above``'s, but tables are joined in turn: not distributions, nor libraries."""
    out = dict(below)
    for key, value in above.items():
        both_tables = key != "libraries" and isinstance(value, dict) and isinstance(out.get(key), dict)
        joined = both_tables and not {*value, *out[key]} & {*DISTRIBUTION_KINDS}
        out[key] = _join_tables(out[key], value) if joined else value
    return out


def _read_stock_prior(name: str) -> str:
    return (resources.files("napari_sfh.training.prior.priors") / f"{name}.toml").read_text(encoding="utf-8")


def _check_prior(config: PriorConfig, where: str) -> None:
    """The conditions between keys."""
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
        return parse_prior(read_toml_text(path), path.name)
    if str(name_or_path) not in list_priors():
        raise SfhInputError(f"`config` {name_or_path}: no such prior or file, choose from {', '.join(list_priors())}")
    return parse_prior(_read_stock_prior(str(name_or_path)), f"{name_or_path}.toml")


def restore_prior(record: Mapping[str, Any], weights: str) -> PriorConfig:
    """The prior that weights were trained on, from the text that they carry.

    A prior's name does not tell it: one of a file of the user's is not among those that ship, or has the name of the
    one that it was copied from.

    Parameters
    ----------
    record : mapping
        ``prior`` of the metadata of a bundle: its name, and its text as ``toml``; the name alone in old bundles.
    weights : str
        Their name, for errors.

    Raises
    ------
    SfhInputError
        The text is no prior of this version, or there is none and the name is of no prior that ships.
    """
    text = record.get("toml")
    return parse_prior(str(text), f"prior of {weights}") if text else load_prior(str(record["name"]))
