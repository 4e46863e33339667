"""Values of ours by their paths: into reports (JSON), recipes, priors, networks and the instrument.

A path is ``SOURCE:KEY.KEY...``. SOURCE is a report's file without its ending, in the folder of reports or its
subfolder ``papers``; or ``recipe:NAME``, ``prior:NAME``, ``network:NAME``, ``weights:NAME``, ``instrument``. Keys
may hold dots and spaces; numbers are places in a list.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from napari_sfh.errors import SfhInputError

#: What stands where a report is not there.
NOT_MEASURED = "not measured"


class MeasuredValues:
    """Looks values up.

    Parameters
    ----------
    folder : path
        Of the reports.

    Examples
    --------
    >>> MeasuredValues(Path("none")).find("recipe:galceran2026:fit.batch")
    128
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sources: dict[str, Any] = {}

    def find(self, path: str) -> Any:
        """The value, or None where its report or the value is not there."""
        source, _, rest = path.partition(":")
        if source in ("recipe", "prior", "network", "weights"):
            name, _, rest = rest.partition(":")
            return _walk(self._configuration(source, name), rest)
        if source == "instrument":
            return _walk(self._instrument, rest)
        return _walk(self.read_report(source), rest)

    def format_value(self, path: str, pattern: str) -> str:
        """The value as text, `NOT_MEASURED` where it is not there."""
        value = self.find(path)
        if value is None:
            return NOT_MEASURED
        if isinstance(value, list | tuple):
            value = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
        try:
            return (
                pattern.format(value).replace("-", "\N{MINUS SIGN}")
                if isinstance(value, float)
                else pattern.format(value)
            )
        except (ValueError, TypeError, IndexError, KeyError) as error:
            raise SfhInputError(f"{path}: {value!r} cannot be written as {pattern!r} ({error})") from error

    def read_report(self, name: str) -> Any:
        """A report by the name of its file; None where there is none."""
        if name not in self._sources:
            places = (self.folder / f"{name}.json", self.folder / "papers" / f"{name}.json")
            found = next((p for p in places if p.is_file()), None)
            self._sources[name] = json.loads(found.read_text(encoding="utf-8")) if found else None
        return self._sources[name]

    def _configuration(self, kind: str, name: str) -> Any:
        if kind == "prior":
            source = resources.files("napari_sfh.training.prior.priors") / f"{name}.toml"
            return tomllib.loads(source.read_text(encoding="utf-8"))
        if kind == "weights":
            from napari_sfh.instruments.bundle_header import read_bundle_header

            return read_bundle_header(name).meta
        from napari_sfh.model.networks import ARCHITECTURES
        from napari_sfh.training.fitting.recipe import load_recipe

        if kind == "network":
            return asdict(ARCHITECTURES[name][0]())
        return load_recipe(name).to_json()

    @cached_property
    def _instrument(self) -> dict[str, Any]:
        from napari_sfh.instruments.files import load_instrument
        from napari_sfh.physics.ages import N_AGE
        from napari_sfh.training.evaluation.ablation import SEGMENT_AA
        from napari_sfh.training.evaluation.evaluation import SNR_VALUES

        made = load_instrument()
        sigma = made.spectrum.sigma_kms if made.spectrum else None
        return {
            "n_age": N_AGE,
            "n_wave": made.n_wave,
            "sigma_kms": sigma,
            "segment_aa": SEGMENT_AA,
            "snr_values": list(SNR_VALUES),
        }


def _walk(tree: Any, path: str) -> Any:
    """The value at a path; the longest key that fits is taken."""
    if tree is None or not path:
        return tree
    if isinstance(tree, list):
        head, _, rest = path.partition(".")
        index = int(head) if head.lstrip("-").isdigit() else None
        if index is None or not -len(tree) <= index < len(tree):
            return None
        return _walk(tree[index], rest)
    if isinstance(tree, dict):
        for key in sorted(tree, key=len, reverse=True):
            if path == key:
                return tree[key]
            if path.startswith(f"{key}."):
                return _walk(tree[key], path[len(key) + 1 :])
    return None
