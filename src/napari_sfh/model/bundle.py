"""Weights bundles: one safetensors file, no pickle, that holds everything inference needs.

Tensors named ``model.*`` are the state of `SfhModel`, those named ``filter.*`` the curves of the instrument's bands,
those named ``basis.*`` the compact template basis, which a bundle of scalars does not have. The header's metadata hold
one JSON document: `REQUIRED` names its keys; among them the instrument and the targets, which decide every shape. A
digest over every tensor and the document is stored with them, so that an altered file is refused. The document also
holds the network's answer to a fixed question (`model.probe`): settings that do not fit the weights are refused.

Bundles of format 1 name no instrument: they are for MUSE spectra and five HST bands (`muse-hst`), and hold the curves
among the tensors of the basis.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.digests import hash_file, hash_parts
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import (
    DOCUMENT,
    check_document_types,
    find_bundle_file,
    read_min_coverage,
    weights_folder,
)
from napari_sfh.instruments.files import DEFAULT_INSTRUMENT, instrument_from_json, load_instrument
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.io.atomic import ensure_folder, write_atomically
from napari_sfh.model.encoding import FeatureSettings
from napari_sfh.model.probe import compute_probe_answer, is_other_answer
from napari_sfh.model.sfh_model import ModelConfig, SfhModel
from napari_sfh.model.targets import Targets, targets_from_json
from napari_sfh.physics.filters import Filter, filters_from_tensors, filters_to_tensors, hash_filter_curve
from napari_sfh.physics.template_basis import TemplateBasis

#: Version of the file format that is written; it and those before are read.
FORMAT = 2
#: Keys of the metadata document.
REQUIRED = (
    "format",
    "name",
    "summary",  # one line: what it is meant for
    "code_version",
    "model",  # ModelConfig
    "features",  # FeatureSettings
    "instrument",  # Instrument: sections and keys of its TOML file
    "targets",  # HistoryTargets or ScalarTargets
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
    instrument: Instrument
    targets: Targets
    filters: tuple[Filter, ...]  # the curves of the instrument's bands
    basis: TemplateBasis | None  # None: nothing can be rebuilt
    model: SfhModel  # on the CPU, in evaluation mode
    features: FeatureSettings

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return str(self.meta["card"])

    @property
    def min_coverage(self) -> float:
        """Share of the grid's pixels that a data set must cover: what the network was trained to do without is less."""
        return read_min_coverage(self.meta)


@check_arguments
def load_bundle(name_or_path: str | Path = "default") -> Bundle:
    """Read and check a weights bundle.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a shipped bundle, a file, or ``default``: the first of `PREFERRED` that is shipped, else any.

    Raises
    ------
    SfhInputError
        Not found; not a bundle, truncated or altered; of another version.

    Examples
    --------
    >>> bundle = load_bundle("wide")
    >>> bundle.name, len(bundle.sha256), bundle.instrument.name
    ('wide', 64, 'muse-hst')
    """
    path = find_bundle_file(name_or_path)
    meta, tensors = _read_verified(path)
    _check_meta(path, meta)
    _check_tensors(path, meta, tensors)
    try:
        made = _rebuild(*_bring_up_to_date(meta, tensors))
        _check_answer(meta, tensors, made)
    except (SfhInputError, RuntimeError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise SfhInputError(f"{path}: weights do not fit this version of napari-sfh ({line}); update one") from error
    return Bundle(name=meta["name"], path=path, sha256=hash_file(path), meta=meta, **made)


def _rebuild(meta: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The objects of a bundle from its document and tensors: fields of `Bundle`."""
    instrument = instrument_from_json(meta["instrument"], "instrument of the weights")
    targets = targets_from_json(meta["targets"])
    filters = filters_from_tensors(_take_part(tensors, "filter."))
    if tuple(band.name for band in filters) != instrument.band_names:
        raise SfhInputError(f"curves of {[band.name for band in filters]} for bands {list(instrument.band_names)}")
    edges = meta["targets"].get("age_edges_gyr")
    arrays = _take_part(tensors, "basis.")
    basis = TemplateBasis.from_tensors(arrays, filters, instrument.norm_pixels, edges) if arrays and edges else None
    if basis is not None and basis.wave_aa.size != instrument.n_wave:
        raise SfhInputError(f"templates of {basis.wave_aa.size} pixels for a grid of {instrument.n_wave}")
    model = SfhModel(ModelConfig.from_json(meta["model"]), instrument, targets, basis)
    state = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    if (shift := state.get("calibration.age_shift")) is not None:  # only of weights calibrated by age too
        model.calibration.age_shift = torch.zeros_like(shift)
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    model.eval().requires_grad_(False)
    features = FeatureSettings.from_json(meta["features"])
    return {
        "instrument": instrument,
        "targets": targets,
        "filters": filters,
        "basis": basis,
        "model": model,
        "features": features,
    }


def _take_part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v.numpy() for k, v in tensors.items() if k.startswith(prefix)}


def save_bundle(
    path: str | Path,
    model: SfhModel,
    instrument: Instrument,
    filters: tuple[Filter, ...],
    basis: TemplateBasis | None,
    meta: Mapping[str, Any],
) -> Path:
    """Write a bundle: to a temporary name, then renamed.

    Parameters
    ----------
    path : str or Path
        File to write, ending in ``.safetensors``.
    model : SfhModel
    instrument : Instrument
    filters : tuple of Filter
        Curves of the instrument's bands, in order.
    basis : TemplateBasis or None
        None for scalars.
    meta : mapping
        The keys of `REQUIRED` except ``format``, ``model``, ``instrument`` and ``targets``, which are filled in.
        ``min_coverage`` may say what share of the grid data must cover.

    Raises
    ------
    SfhInputError
        A key is missing, the filters are not those of the instrument, or the file cannot be written.
    """
    path = Path(path)
    document = {
        **meta,
        "format": FORMAT,
        "model": model.config.to_json(),
        "instrument": instrument.place_bands([band.pivot_aa for band in filters]).to_json(),
        "targets": model.targets.to_json(),
    }
    if missing := [k for k in REQUIRED if k not in document]:
        raise SfhInputError(f"{path}: metadata lack {missing[0]!r}; a bundle must say all of {', '.join(REQUIRED)}")
    if (names := tuple(band.name for band in filters)) != instrument.band_names:
        raise SfhInputError(f"{path}: filters {names} for bands {instrument.band_names}; give one curve a band")
    document["probe"] = compute_probe_answer(
        model.eval().cpu(), FeatureSettings.from_json(document["features"]), instrument
    )
    tensors = _collect_tensors(model, filters, basis)
    text = json.dumps(document, sort_keys=True)
    content = save(tensors, metadata={DOCUMENT: text, "digest": hash_tensors(tensors, text)})
    ensure_folder(path.parent)
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
    return hash_tensors(_collect_tensors(bundle.model, bundle.filters, bundle.basis))


def hash_tensors(tensors: Mapping[str, torch.Tensor], text: str = "") -> str:
    """sha256 over tensors (their names, types, shapes and bytes) and a text: a bundle's is its document.

    Parameters
    ----------
    tensors : mapping of str to tensor
        Of any shapes; the order does not count.
    text : str

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    plain = ((name, tensor.detach().cpu().contiguous()) for name, tensor in sorted(tensors.items()))
    return hash_parts(text, *((f"{name}|{t.dtype}|{tuple(t.shape)}|", t.numpy()) for name, t in plain))


def _collect_tensors(
    model: SfhModel, filters: tuple[Filter, ...], basis: TemplateBasis | None
) -> dict[str, torch.Tensor]:
    """What a file holds."""
    tensors = {f"model.{k}": _halve_precision(v.detach().cpu().contiguous()) for k, v in model.state_dict().items()}
    plain = {f"filter.{k}": v for k, v in filters_to_tensors(filters).items()}
    if basis is not None:
        plain |= {f"basis.{k}": v for k, v in basis.to_tensors().items()}
    return tensors | {k: torch.from_numpy(np.array(v, order="C")) for k, v in plain.items()}


def _read_verified(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Metadata document and tensors of a file whose digest agrees."""
    try:
        with safe_open(str(path), framework="pt") as f:
            header = f.metadata() or {}
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118 - not a mapping
        text = header[DOCUMENT]
        meta = json.loads(text)
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise SfhInputError(f"{path}: not a readable weights file ({error}); fetch it again") from error
    except KeyError as error:
        raise SfhInputError(f"{path}: a safetensors file, but no napari-sfh weights; use a released bundle") from error
    if header.get("digest") != hash_tensors(tensors, text):
        raise SfhInputError(f"{path}: altered since it was released (sha256 digest differs); fetch it again")
    return meta, tensors


def _check_meta(path: Path, meta: Mapping[str, Any]) -> None:
    """Refuse, by name, what was made for something else."""
    if not isinstance(meta.get("format"), int) or not 1 <= meta["format"] <= FORMAT:
        raise SfhInputError(
            f"{path}: format {meta.get('format')}, this version reads 1 to {FORMAT}; update one of the two"
        )
    check_document_types(meta, path)
    needed = REQUIRED if meta["format"] > 1 else [k for k in REQUIRED if k not in ("instrument", "targets")]
    if missing := [k for k in needed if k not in meta]:
        raise SfhInputError(f"{path}: metadata lack {missing[0]!r}; use weights released with this version")


def _check_tensors(path: Path, meta: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors with numbers that are none, and curves that are not those of the document."""
    for name, tensor in tensors.items():
        # Limits of the out-of-distribution score are infinite where it was not calibrated.
        limits = name.startswith("model.depth.") and not bool(torch.isnan(tensor).any())
        if tensor.is_floating_point() and not limits and not bool(torch.isfinite(tensor).all()):
            raise SfhInputError(f"{path}: tensor {name} holds numbers that are not finite; use weights as released")
    try:
        curves = filters_from_tensors(_take_part(_rename_filters(tensors), "filter."))
        stated = {band: (str(facts["camera"]), str(facts["sha256"])) for band, facts in meta["filters"].items()}
    except (SfhInputError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise SfhInputError(f"{path}: its filter curves cannot be read ({error}); use weights as released") from error
    for curve in curves:
        named = stated.get(curve.name)
        if named is not None and named != (curve.camera, hash_filter_curve(curve)):
            raise SfhInputError(
                f"{path}: the curve of {curve.name} is not the one that the metadata name ({named[0]}, sha256 "
                f"{named[1][:16]}); use weights as released"
            )


def _check_answer(meta: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], made: Mapping[str, Any]) -> None:
    """Refuse settings with which the network answers otherwise than when it was saved."""
    stored = meta.get("probe") or _read_released_probes().get(hash_tensors(tensors))
    if stored is None:
        return  # of another's making, before bundles held their answer
    if is_other_answer(compute_probe_answer(made["model"], made["features"], made["instrument"]), stored):
        raise SfhInputError(
            "the network does not answer as it did when it was saved: settings of the model, the encoding, the "
            "instrument or the targets are not those of the weights"
        )


@cache
def _read_released_probes() -> dict[str, list[float]]:
    """Answers of the bundles that were released without theirs, by the digest of their tensors."""
    file = weights_folder() / "probes.json"
    probes: dict[str, list[float]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return probes


def _rename_filters(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of format 1, which held the curves among the templates', as format 2 names them."""
    return {k.replace("basis.filter_", "filter.filter_"): v for k, v in tensors.items()}


def _bring_up_to_date(
    meta: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> tuple[Mapping[str, Any], Mapping[str, torch.Tensor]]:
    """Document and tensors of format 1 as format 2 has them; those of format 2 as they are."""
    if meta["format"] > 1:
        return meta, tensors
    instrument, grid = load_instrument(DEFAULT_INSTRUMENT), meta["grid"]
    have = (grid["n_wave"], grid["wave_first_aa"], grid["wave_step_aa"], grid["sigma_kms"], tuple(grid["bands"]))
    own = instrument.grid
    want = (own.n_wave, own.first_aa, own.step_aa, own.sigma_kms, instrument.band_names)
    if have != want:
        raise SfhInputError(f"grid and bands {have}, those of {instrument.name} are {want}")
    targets = {"kind": "history", "age_edges_gyr": list(grid["age_edges_gyr"])}
    return {**meta, "instrument": instrument.to_json(), "targets": targets}, _rename_filters(tensors)
