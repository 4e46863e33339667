"""Families that a prior can be asked to do without: each as the prior less the family, and the family alone.

Five kinds: a parametrisation of histories (components of one `star_formation.SFH_FAMILIES` kind together), an
enrichment law, a part
of the range of the dust's slope, a template library, a kind of noise. What else the prior says stays as it is, so that
a network trained without the family and tested on the family alone meets nothing else that is new.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from napari_sfh.errors import SfhInputError
from napari_sfh.training.prior.distributions import Dist, constant_distribution
from napari_sfh.training.prior.prior_config import LawPrior, PriorConfig

#: Share of the dust slope's range that is held out at either end.
SLOPE_SHARE = 0.35
#: Kinds of noise: the settings that make them, by section of the prior.
NOISE_KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sky residuals": ("noise", ("sky",)),
    "calibration wiggles": ("noise", ("wiggle",)),
    "correlated pixels": ("noise", ("correlation", "broadened")),
    "wrong errors": ("noise", ("error_scale_dex",)),
    "band offsets": ("photometry", ("offset", "zero_point")),
}


@dataclass(frozen=True)
class HeldOutFamily:
    """One family held out."""

    kind: str  # history, enrichment, dust, library, noise
    name: str
    without: PriorConfig  # all but the family
    only: PriorConfig  # the family alone

    @property
    def label(self) -> str:
        """Unique within a prior."""
        return f"{self.kind}: {self.name}"


def list_held_out_families(config: PriorConfig) -> list[HeldOutFamily]:
    """Every family of a prior that leaves something when it is held out."""
    return [*_histories(config), *_laws(config), *_slopes(config), *_libraries(config), *_noises(config)]


def choose_held_out_families(config: PriorConfig, names: list[str] | None) -> list[HeldOutFamily]:
    """Those whose kind, name or label is asked for; None takes all.

    Parameters
    ----------
    config : PriorConfig
    names : list of str, or None

    Returns
    -------
    list of HeldOutFamily

    Raises
    ------
    SfhInputError
        A name that this prior has not.
    """
    every = list_held_out_families(config)
    if names is None:
        return every
    known = {x for h in every for x in (h.kind, h.name, h.label)}
    for name in names:
        if name not in known:
            labels = ", ".join(h.label for h in every)
            raise SfhInputError(f"`only`: {name!r} is no family of prior {config.name!r}; choose from {labels}")
    return [h for h in every if {h.kind, h.name, h.label} & set(names)]


def _histories(config: PriorConfig) -> Iterator[HeldOutFamily]:
    used = [f for f in config.families if f.weight > 0]
    for kind in dict.fromkeys(f.kind for f in used):
        names = [f.name for f in used if f.kind == kind]
        if len(names) < len(used):
            without, only = config.restrict_families(without=names), config.restrict_families(names)
            yield HeldOutFamily("history", kind.replace("_", " "), without, only)


def _laws(config: PriorConfig) -> Iterator[HeldOutFamily]:
    used = [law for law in config.laws if law.weight > 0]
    for name in dict.fromkeys(law.law for law in used):
        if any(law.law != name for law in used):
            yield HeldOutFamily("enrichment", name, _with_laws(config, name, False), _with_laws(config, name, True))


def _with_laws(config: PriorConfig, name: str, alone: bool) -> PriorConfig:
    """The prior with one law alone, or with all but that law."""

    def kept(law: LawPrior) -> LawPrior:
        return law if (law.law == name) == alone else replace(law, weight=0.0)

    return replace(config, laws=tuple(kept(law) for law in config.laws))


def _slopes(config: PriorConfig) -> Iterator[HeldOutFamily]:
    slope = config.dust.slope
    if slope.kind != "uniform" or slope.low == slope.high:
        return
    step = SLOPE_SHARE * (slope.high - slope.low)
    cuts = ((slope.low, slope.low + step), (slope.high - step, slope.high))
    rests = ((slope.low + step, slope.high), (slope.low, slope.high - step))
    for (lo, hi), rest in zip(cuts, rests, strict=True):
        name = f"slope {lo:.2g} to {hi:.2g}"
        yield HeldOutFamily("dust", name, _with_slope(config, *rest), _with_slope(config, lo, hi))


def _with_slope(config: PriorConfig, lo: float, hi: float) -> PriorConfig:
    return replace(config, dust=replace(config.dust, slope=Dist("uniform", (lo, hi), lo, hi)))


def _libraries(config: PriorConfig) -> Iterator[HeldOutFamily]:
    if len(config.libraries) < 2:
        return
    for name, share in config.libraries.items():
        rest = {k: v for k, v in config.libraries.items() if k != name}
        yield HeldOutFamily("library", name, replace(config, libraries=rest), replace(config, libraries={name: share}))


def _noises(config: PriorConfig) -> Iterator[HeldOutFamily]:
    for name, (section, keys) in NOISE_KINDS.items():
        current = {key: getattr(getattr(config, section), key) for key in keys}
        if all(dist.high == 0 for dist in current.values()):
            continue
        without = {key: constant_distribution(0.0) for key in keys}
        # A distribution that starts at zero is met at its strong end, where it is a family of its own.
        only = {key: constant_distribution(dist.high) for key, dist in current.items()}
        yield HeldOutFamily("noise", name, _with_noise(config, section, without), _with_noise(config, section, only))


def _with_noise(config: PriorConfig, section: str, values: dict[str, Any]) -> PriorConfig:
    if section == "noise":
        return replace(config, noise=replace(config.noise, **values))
    return replace(config, photometry=replace(config.photometry, **values))
