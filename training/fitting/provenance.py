"""Where weights come from: what a bundle says of its templates, prior, data, recipe and machine."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import napari_sfh
from napari_sfh.digests import hash_parts
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.model.bundle import hash_tensors
from napari_sfh.model.targets import Targets
from napari_sfh.physics.filters import Filter, hash_filter_curve
from napari_sfh.training.fitting import model_card
from napari_sfh.training.fitting.learning_curve import Epoch
from napari_sfh.training.fitting.recipe import Recipe
from napari_sfh.training.fitting.spectra_sources import FreshSource
from napari_sfh.training.libraries.templates import Templates
from napari_sfh.training.prior.prior_config import PriorConfig
from napari_sfh.training.simulator.labels import Labels


def hash_fresh_source(fresh: FreshSource) -> str:
    """sha256 of a noiseless set: spectra, band fluxes, labels."""
    arrays = [fresh.flux, fresh.phot, fresh.substituted]
    arrays += [getattr(fresh.labels, k) for k in Labels.hashed_names()]
    return hash_parts(*((f"{array.dtype}{array.shape}", array) for array in arrays))


def make_seal(state: Mapping[str, torch.Tensor], origin: str) -> dict[str, Any]:
    """What shows that a file of a run is whole, and of this run: its digest, and what it was fitted to.

    Parameters
    ----------
    state : mapping
        Tensors by name.
    origin : str
        Hash or name of the data.
    """
    return {"origin": origin, "sha256": hash_tensors(state)}


def check_seal(seal: Mapping[str, Any] | None, state: Mapping[str, torch.Tensor], origin: str, path: Path) -> None:
    """Refuse a state that was altered, or belongs to another run; files of earlier versions have no seal.

    Parameters
    ----------
    seal : mapping or None
        As `make_seal` made it.
    state : mapping of str to tensor
        What was read with it.
    origin : str
        Identity of this run.
    path : Path
        Of the file, for messages.

    Raises
    ------
    SfhInputError
        Names the file and what differs.
    """
    if seal is None:
        return
    if seal.get("origin") != origin:
        raise SfhInputError(
            f"{path}: belongs to another run (fitted to {str(seal.get('origin'))[:40]}, this one is of "
            f"{origin[:40]}); delete it to redo the stage, or put back its own"
        )
    if (found := hash_tensors(state)) != seal.get("sha256"):
        raise SfhInputError(
            f"{path}: altered since it was written (sha256 {found[:16]}, was {str(seal.get('sha256'))[:16]}); "
            "delete it to redo the stage"
        )


def describe_libraries(prepared: Sequence[Templates]) -> dict[str, dict[str, Any]]:
    """Template libraries by name: provenance, and the hash of what was prepared from them."""
    return {
        str(t.provenance["name"]): {k: _plain(v) for k, v in t.provenance.items()} | {"templates_sha256": t.sha256}
        for t in prepared
    }


def describe_prior(config: PriorConfig) -> dict[str, str]:
    """A prior: name, hash of its settings, and their text."""
    return {"name": config.name, "sha256": config.sha256, "toml": config.source}


def describe_filters(filters: Sequence[Filter]) -> dict[str, dict[str, str]]:
    """Bands: camera, and the hash of the curve."""
    return {
        f.name: {
            "camera": f.camera,
            "sha256": hash_filter_curve(f),
        }
        for f in filters
    }


def describe_training_machine(device: str) -> dict[str, Any]:
    """The computer and the versions that mattered."""
    return {
        "processor": read_processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "lightning": version("lightning"),
        "numpy": np.__version__,
    }


def find_source_commit() -> str | None:
    """Short hash of the commit that this package runs from, with ``+`` where files differ; None outside of a clone."""
    where = Path(napari_sfh.__file__).resolve().parent

    def ask(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=where, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.strip()

    try:
        if not ask("ls-files", "__init__.py"):  # a repository around an installed package says nothing of it
            return None
        changed = ask("status", "--porcelain", "--untracked-files=no", "--", ":/src", ":/training")
        return ask("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def read_processor_name() -> str:
    """Model name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def describe_training(
    recipe: Recipe,
    facts: dict[str, Any],
    command: str,
    device: str,
    seconds: dict[str, float],
    epochs: Sequence[Epoch],
) -> dict[str, Any]:
    """The record of a training for the metadata of a bundle.

    Parameters
    ----------
    recipe : Recipe
    facts : dict
        Of the training data: ``n``, ``data_sha256``, ``noise``; ``start`` of weights that were trained further, and
        the trials of a ``search``.
    command : str
        Command line.
    device : str
        Of torch.
    seconds : dict
        Wall time of each stage.
    epochs : sequence of Epoch
        Losses; the one with the smallest validation loss counts.

    Returns
    -------
    dict
        JSON types.
    """
    best = min(epochs, key=lambda e: e.val, default=None)
    return {
        "command": command,
        "recipe": recipe.to_json(),
        "recipe_sha256": recipe.sha256,
        "seed": recipe.fit.seed,
        "n": facts["n"],
        "data_sha256": facts["data_sha256"],
        "noise": facts["noise"],
        **{key: facts[key] for key in ("start", "search") if key in facts},
        "epochs": len(epochs),
        "best_epoch": None if best is None else best.epoch + 1,
        "best_validation_loss": None if best is None else best.val,
        "seconds": dict(seconds),
        "machine": describe_training_machine(device),
    }


def build_bundle_metadata(
    recipe: Recipe,
    instrument: Instrument,
    targets: Targets,
    filters: Sequence[Filter],
    facts: Mapping[str, Any],
    record: dict[str, Any],
) -> dict[str, Any]:
    """Metadata that `model.bundle.save_bundle` asks for, without figures of accuracy.

    Parameters
    ----------
    recipe : Recipe
    instrument : Instrument
    targets : Targets
    filters : sequence of Filter
        Curves of the instrument's bands, in order.
    facts : mapping
        Of the training data: its ``libraries`` and ``prior``.
    record : dict
        From `describe_training`.

    Returns
    -------
    dict
        JSON types.
    """
    meta = {
        "name": recipe.name,
        "summary": recipe.summary,
        "code_version": napari_sfh.__version__,
        "features": recipe.features.to_json(),
        "instrument": instrument.to_json(),
        "targets": targets.to_json(),
        "min_coverage": facts["min_coverage"],
        "filters": describe_filters(filters),
        "libraries": facts["libraries"],
        "prior": facts["prior"],
        "training": record,
        "evaluation": {},
    }
    return meta | {"card": model_card.format_model_card(meta)}


def _plain(value: Any) -> Any:
    """As JSON can hold it."""
    return [str(v) for v in value] if isinstance(value, list | tuple) else str(value)
