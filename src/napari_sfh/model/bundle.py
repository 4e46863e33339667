"""Weights bundles: one safetensors file, no pickle, that holds everything inference needs.

Tensors named ``model.*`` are the state of `SfhModel`, those named ``basis.*`` the compact template basis and the filter
curves. The header's metadata hold one JSON document: `REQUIRED` names its keys. A digest over every
tensor and the document is stored with them, so that an altered file is refused, as is one made for another
grid, band list, set of age bins or version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from napari_sfh.digests import hash_file, hash_parts
from napari_sfh.errors import SfhInputError
from napari_sfh.io.atomic import write_atomically
from napari_sfh.model.encoding import FeatureSettings
from napari_sfh.model.sfh_model import ModelConfig, SfhModel
from napari_sfh.physics.ages import AGE_EDGES_GYR
from napari_sfh.physics.template_basis import TemplateBasis
from napari_sfh.physics.wavelength import N_WAVE, SIGMA_TARGET_KMS, STEP_AA, WAVE_AA
from napari_sfh.types import BANDS

#: Version of the file format; others are refused.
FORMAT = 1
#: Bundles looked for, in this order, when none is named.
PREFERRED = ("wide", "phangs")
#: Keys of the metadata document.
REQUIRED = (
    "format",
    "name",
    "summary",  # one line: what it is meant for
    "code_version",
    "model",  # ModelConfig
    "features",  # FeatureSettings
    "grid",  # see `describe_grid`
    "filters",  # band -> sha256 of its curve
    "libraries",  # template library -> provenance and sha256
    "prior",  # the simulation's configuration
    "training",  # recipe, command, seed, hash of the training set
    "evaluation",  # table of `training.evaluation.evaluation`
    "card",  # Markdown text for a person
)


@dataclass(frozen=True)
class Bundle:
    """A model ready for inference, and what is known of it."""

    name: str
    path: Path
    sha256: str  # of the file
    meta: Mapping[str, Any]
    basis: TemplateBasis
    model: SfhModel  # on the CPU, in evaluation mode
    features: FeatureSettings

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return str(self.meta["card"])


def describe_grid() -> dict[str, Any]:
    """The contract between data and network that a bundle is bound to."""
    return {
        "wave_first_aa": float(WAVE_AA[0]),
        "wave_step_aa": STEP_AA,
        "n_wave": N_WAVE,
        "sigma_kms": SIGMA_TARGET_KMS,
        "age_edges_gyr": [float(a) for a in AGE_EDGES_GYR],
        "bands": list(BANDS),
    }


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


def find_bundle_file(name_or_path: str | Path) -> Path:
    """The file of a bundle: a path, a shipped bundle's name, or ``default``."""
    shipped = list_bundles()
    text = str(name_or_path)
    if text == "default":
        if not shipped:
            raise SfhInputError(f"model: no weights in {weights_folder()}; train some, or name a file")
        return next(iter(shipped.values()))
    if text in shipped:
        return shipped[text]
    path = Path(text).expanduser()
    if path.is_file():
        return path
    raise SfhInputError(f"model: {text!r} is neither a file nor a shipped bundle ({', '.join(shipped) or 'none'})")


def load_bundle(name_or_path: str | Path = "default") -> Bundle:
    """Read and check a weights bundle.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped bundle, a file, or ``default``: the first of `PREFERRED` that is shipped, else any.

    Raises
    ------
    SfhInputError
        Not found; not a bundle, truncated or altered; made for another grid, bands, ages or version.

    Examples
    --------
    >>> bundle = load_bundle("wide")
    >>> bundle.name, len(bundle.sha256)
    ('wide', 64)
    """
    path = find_bundle_file(name_or_path)
    meta, tensors = _read_verified(path)
    _check_meta(path, meta, tensors)
    try:
        basis = TemplateBasis.from_tensors(
            {k.removeprefix("basis."): v.numpy() for k, v in tensors.items() if k.startswith("basis.")}
        )
        model = SfhModel(ModelConfig.from_json(meta["model"]), basis)
        state = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
        features = FeatureSettings.from_json(meta["features"])
    except (SfhInputError, RuntimeError, KeyError, TypeError) as error:
        line = str(error).splitlines()[0]
        raise SfhInputError(f"{path}: weights do not fit this version of napari-sfh ({line}); update one") from error
    model.eval().requires_grad_(False)
    return Bundle(meta["name"], path, hash_file(path), meta, basis, model, features)


def save_bundle(path: str | Path, model: SfhModel, basis: TemplateBasis, meta: Mapping[str, Any]) -> Path:
    """Write a bundle: to a temporary name, then renamed.

    Parameters
    ----------
    path : str or Path
        File to write, ending in ``.safetensors``.
    model : SfhModel
    basis : TemplateBasis
    meta : mapping
        The keys of `REQUIRED` except ``format``, ``model`` and ``describe_grid``, which are filled in.
    """
    path = Path(path)
    document = {**meta, "format": FORMAT, "model": model.config.to_json(), "grid": describe_grid()}
    if missing := [k for k in REQUIRED if k not in document]:
        raise SfhInputError(f"{path}: metadata lack {missing[0]!r}; a bundle must say all of {', '.join(REQUIRED)}")
    tensors = _collect_tensors(model, basis)
    text = json.dumps(document, sort_keys=True)
    content = save(tensors, metadata={"napari_sfh": text, "digest": _digest(text, tensors)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SfhInputError(f"{path}: cannot be written ({error}); choose another folder") from error
    with write_atomically(path) as part:
        part.write_bytes(content)
    return path


def _halve_precision(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in half precision where that loses nothing; loading widens it again."""
    if tensor.dtype == torch.float32 and tensor.numel() > 1000 and torch.equal(tensor.half().float(), tensor):
        return tensor.half()
    return tensor


def hash_bundle_tensors(bundle: Bundle) -> str:
    """Hash of every tensor of a bundle, whatever its metadata say: the same before and after a release."""
    return _digest("", _collect_tensors(bundle.model, bundle.basis))


def _collect_tensors(model: SfhModel, basis: TemplateBasis) -> dict[str, torch.Tensor]:
    """What a file holds."""
    tensors = {f"model.{k}": _halve_precision(v.detach().cpu().contiguous()) for k, v in model.state_dict().items()}
    for key, array in basis.to_tensors().items():
        tensors[f"basis.{key}"] = torch.from_numpy(np.array(array, order="C"))
    return tensors


def _digest(text: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """sha256 over the document and every tensor's name, type, shape and bytes."""
    parts = ((f"{name}|{t.dtype}|{tuple(t.shape)}|", t.numpy()) for name, t in sorted(tensors.items()))
    return hash_parts(text, *parts)


def _read_verified(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Metadata document and tensors of a file whose digest agrees."""
    try:
        with safe_open(str(path), framework="pt") as f:
            header = f.metadata() or {}
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 - not a mapping
        text = header["napari_sfh"]
        meta = json.loads(text)
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise SfhInputError(f"{path}: not a readable weights file ({error}); fetch it again") from error
    except KeyError as error:
        raise SfhInputError(f"{path}: a safetensors file, but no napari-sfh weights; use a released bundle") from error
    if header.get("digest") != _digest(text, tensors):
        raise SfhInputError(f"{path}: altered since it was released (sha256 digest differs); fetch it again")
    return meta, tensors


def _check_meta(path: Path, meta: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse, by name, what was made for something else."""
    if missing := [k for k in REQUIRED if k not in meta]:
        raise SfhInputError(f"{path}: metadata lack {missing[0]!r}; use weights released with this version")
    if meta["format"] != FORMAT:
        raise SfhInputError(f"{path}: format {meta['format']}, this version reads {FORMAT}; update one of the two")
    for key, value in describe_grid().items():
        if meta["grid"].get(key) != value:
            raise SfhInputError(f"{path}: {key} is {meta['grid'].get(key)}, this version has {value}; retrain for it")
