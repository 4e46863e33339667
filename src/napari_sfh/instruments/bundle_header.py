"""What a weights file says of itself, read without torch: its instrument, targets and card.

A bundle is a safetensors file: eight bytes with the length of a JSON header, the header, then the tensors. The header's
``__metadata__`` holds the document that `model.bundle` writes. Forms, the preflight and the readers of files ask for
bands, grid and coverage here; only inference loads the tensors and proves the digest over them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.coverage import DEFAULT_MIN_COVERAGE
from napari_sfh.instruments.files import DEFAULT_INSTRUMENT, instrument_from_json, load_instrument
from napari_sfh.instruments.instrument import Instrument

#: Name of the bundle in the folder of a training run.
BUNDLE_FILE = "bundle.safetensors"
#: Ending of a bundle's name.
BUNDLE_SUFFIX = ".safetensors"
#: Bundles looked for, in this order, when none is named.
PREFERRED = ("wide", "phangs")
#: Key of the document in a file's metadata.
DOCUMENT = "napari_sfh"
#: Types of the document's keys that are no plain numbers.
_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("name", "summary", "code_version", "card"), str),
    **dict.fromkeys(("model", "features", "instrument", "targets", "filters", "libraries"), dict),
    **dict.fromkeys(("prior", "training", "evaluation", "prior_summary"), dict),
}
#: Longest header in bytes that is believed to be one.
_LONGEST = 100_000_000


@dataclass(frozen=True)
class BundleHeader:
    """A weights file without its tensors.

    Attributes
    ----------
    name : str
    path : Path
    instrument : Instrument
        What the network is shown.
    meta : mapping
        The whole document, see `model.bundle.REQUIRED`.
    """

    name: str
    path: Path
    instrument: Instrument
    meta: Mapping[str, Any]

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return str(self.meta.get("card", ""))

    @property
    def min_coverage(self) -> float:
        """Share of the grid's pixels that data must cover, see `read_min_coverage`."""
        return read_min_coverage(self.meta)

    @property
    def window_aa(self) -> tuple[float, float]:
        """Rest-frame range in Angstrom where S/N is looked at: the spectrum's window, or amid the bands."""
        if self.instrument.spectrum is not None:
            return self.instrument.spectrum.norm_window_aa
        middle = float(np.nanmedian(self.instrument.pivot_aa))
        return 0.98 * middle, 1.02 * middle

    @property
    def predicts_histories(self) -> bool:
        """Whether it predicts histories, else scalars; files of format 1 predict histories."""
        return bool(self.meta.get("targets", {"kind": "history"}).get("kind") == "history")

    @property
    def scalars(self) -> tuple[str, ...]:
        """Names of the scalars that it predicts instead of histories."""
        return tuple(str(target["name"]) for target in self.meta.get("targets", {}).get("targets", ()))


def read_min_coverage(meta: Mapping[str, Any]) -> float:
    """Share of the grid's pixels that a data set must cover: less is more than the network learned to do without."""
    return float(meta.get("min_coverage", DEFAULT_MIN_COVERAGE))


def weights_folder() -> Path:
    """The folder of the shipped bundles."""
    return Path(str(resources.files("napari_sfh.data"))) / "weights"


def list_bundles() -> dict[str, Path]:
    """Shipped bundles: name to file, the default first.

    Examples
    --------
    >>> "wide" in list_bundles()
    True
    """
    found = {p.stem: p for p in sorted(weights_folder().glob("*.safetensors"))}
    first = [n for n in PREFERRED if n in found]
    return {n: found[n] for n in first + [n for n in found if n not in first]}


def is_bundle_path(path: Path) -> bool:
    """Whether a path is meant to be weights: a safetensors file, or the folder of a training run."""
    return path.suffix.lower() == BUNDLE_SUFFIX or (path / BUNDLE_FILE).is_file()


def list_bundles_for(instrument: Instrument) -> list[str]:
    """Names of the shipped bundles that are made for an instrument, the default first."""
    return [name for name, path in list_bundles().items() if read_bundle_header(path).instrument == instrument]


def find_bundle_file(name_or_path: str | Path) -> Path:
    """The file of a bundle: a path, the folder of a training run, a shipped bundle's name, or ``default``."""
    shipped = list_bundles()
    text = str(name_or_path)
    if text == "default":
        if not shipped:
            raise SfhInputError(f"model: no weights in {weights_folder()}; train some, or name a file")
        return next(iter(shipped.values()))
    if text in shipped:
        return shipped[text]
    path = Path(text).expanduser()
    if (path / BUNDLE_FILE).is_file():
        return path / BUNDLE_FILE
    if path.is_file():
        return path
    raise SfhInputError(f"model: {text!r} is neither a file nor a shipped bundle ({', '.join(shipped) or 'none'})")


def read_bundle_header(name_or_path: str | Path = "default") -> BundleHeader:
    """What a weights file says of itself.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped bundle, a file, or ``default``.

    Raises
    ------
    SfhInputError
        Not found, or not a bundle.

    Examples
    --------
    >>> header = read_bundle_header("wide")
    >>> header.instrument.name, header.min_coverage
    ('muse-hst', 0.9)
    """
    path = find_bundle_file(name_or_path)
    meta = _read_document(path)
    own = meta.get("instrument")
    instrument = (
        load_instrument(DEFAULT_INSTRUMENT) if own is None else instrument_from_json(own, "instrument of the weights")
    )
    return BundleHeader(str(meta.get("name", path.stem)), path, instrument, meta)


def _read_document(path: Path) -> Mapping[str, Any]:
    """The JSON document in the metadata of a file."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= _LONGEST:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError) as error:
        raise SfhInputError(f"{path}: not a readable weights file ({error}); fetch it again") from error
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or DOCUMENT not in metadata:
        raise SfhInputError(f"{path}: a safetensors file, but no napari-sfh weights; use a released bundle")
    try:
        meta = json.loads(metadata[DOCUMENT])
    except (TypeError, ValueError, RecursionError) as error:
        raise SfhInputError(f"{path}: not a readable weights file ({error}); fetch it again") from error
    if not isinstance(meta, dict):
        raise SfhInputError(f"{path}: not a readable weights file (its document is no table); fetch it again")
    check_document_types(meta, path)
    return meta


def check_document_types(meta: Mapping[str, Any], path: Path) -> None:
    """Refuse a document whose texts are none, or whose sections are no tables.

    Parameters
    ----------
    meta : mapping
        As it was read; keys that it lacks are not missed here.
    path : Path
        For messages.

    Raises
    ------
    SfhInputError
        Names the key.
    """
    wrong = [key for key, kind in _TYPES.items() if key in meta and not isinstance(meta[key], kind)]
    if not wrong and not isinstance(meta.get("prior", {}).get("sha256", ""), str):
        wrong = ["prior.sha256"]
    if not wrong and not isinstance(meta.get("min_coverage", 1.0), int | float):
        wrong = ["min_coverage"]
    if wrong:
        raise SfhInputError(f"{path}: {wrong[0]} in its document is of another type; use weights as released")
