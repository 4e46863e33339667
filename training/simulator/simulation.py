"""The synthetic set on disk: shards written atomically, in any order, by any number of workers, resumable.

Chunk k of a set is drawn from ``SeedSequence(seed, spawn_key=(k,))`` and from nothing else, so that the set does not
depend on the number of workers or on what was done before: bit by bit on one kind of processor, to the rounding of
single precision on another. `PreparedPrior.to` has spectra and noise made by torch on a device: the same objects, their
spectra equal to that rounding, other noise. A shard is one safetensors file of one chunk, written to a temporary name
and renamed; a run that was interrupted keeps the shards it finished. Fluxes and errors are stored as
float16: their rounding (2.8e-4 of the value at most, 1.4e-4 in the mean) is 3 % of the noise at S/N 200. Masks are
packed to bits.
"""

from __future__ import annotations

import json
import platform
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

import napari_sfh
from napari_sfh.arrays import keep_freed_memory
from napari_sfh.digests import hash_parts
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.instruments.instrument import REST_FRAME_REDSHIFT, Instrument
from napari_sfh.io.atomic import ensure_folder, write_atomically, write_text_atomically
from napari_sfh.jobs import ReportProgress, limit_algebra_threads, report_progress
from napari_sfh.training.libraries import templates
from napari_sfh.training.prior.prior_config import PriorConfig
from napari_sfh.training.prior.sampling import draw_parameters
from napari_sfh.training.simulator import array_backend, forward_model, noise
from napari_sfh.training.simulator.labels import DERIVED_LABELS, Labels
from napari_sfh.training.simulator.library_blends import blend_libraries
from napari_sfh.types import Bool, Observation, Progress

#: Objects of a shard.
CHUNK_SIZE = 2048
MANIFEST = "manifest.json"
#: Largest array, and arrays in all, whose memory is kept from chunk to chunk.
_KEPT_FOR_CHUNKS = 1 << 25, 1 << 29
#: Array fields of `types.Observation`; ``redshift`` is None where the network is not told it.
OBSERVATION_ARRAYS: tuple[str, ...] = tuple(f.name for f in fields(Observation) if f.name != "instrument")
#: Bumped when the meaning of a shard changes. 2: lines of one ion scatter together.
SHARD_VERSION = 2


@dataclass(frozen=True)
class PreparedPrior:
    """A prior with its libraries prepared for an instrument: all that a chunk needs."""

    config: PriorConfig
    models: tuple[forward_model.ForwardModel, ...]
    shares: tuple[float, ...]

    @property
    def instrument(self) -> Instrument:
        """What sees the objects."""
        return self.models[0].instrument

    @property
    def libraries(self) -> dict[str, str]:
        """Names and hashes of the template sets."""
        return {str(m.templates.provenance["name"]): m.templates.sha256 for m in self.models}

    @property
    def arrays(self) -> array_backend.ArrayBackend:
        """Where spectra and noise are made."""
        return self.models[0].arrays

    def to(self, device: str | None) -> PreparedPrior:
        """The same source with spectra and noise made by torch on ``device``; None is NumPy."""
        target = array_backend.select_backend(device)
        with array_backend.explain_out_of_memory("the templates"):
            return replace(self, models=tuple(model.to(target) for model in self.models))


def prepare_prior(
    config: PriorConfig, instrument: Instrument | None = None, cache: Path | None = None
) -> PreparedPrior:
    """Prepare (or load) the templates of a prior's libraries for an instrument, muse-hst where none is given.

    M/L is put on the first library's stellar masses.

    Parameters
    ----------
    config : PriorConfig
    instrument : Instrument, optional
        muse-hst unless given.
    cache : Path, optional
        Folder of the templates.

    Returns
    -------
    PreparedPrior

    Raises
    ------
    SfhInputError
        Where a library cannot serve the instrument, or the prior's redshifts are beyond it.
    """
    prepared = [templates.prepare_templates(name, instrument, cache) for name in config.libraries]
    return prepare_prior_from_templates(config, prepared)


def prepare_prior_from_templates(config: PriorConfig, prepared: Iterable[templates.Templates]) -> PreparedPrior:
    """A source from templates at hand, in the order of ``config.libraries``.

    Parameters
    ----------
    config : PriorConfig
    prepared : iterable of Templates
        In the order of ``config.libraries``.

    Returns
    -------
    PreparedPrior

    Raises
    ------
    SfhInputError
        The prior's redshifts are beyond the instrument's.
    """
    listed = list(prepared)
    shares = np.array(list(config.libraries.values())) / sum(config.libraries.values())
    if config.blends is not None:
        blends = blend_libraries(listed, config.blends)
        listed += blends
        shares = np.append(shares * (1 - config.blends.share), np.full(len(blends), config.blends.share / len(blends)))
    instrument = listed[0].instrument
    if instrument.bands and config.noise.redshift.high > max(instrument.redshift_max, REST_FRAME_REDSHIFT):
        raise SfhInputError(
            f"prior {config.name!r}: noise.redshift reaches {config.noise.redshift.high:g}, instrument "
            f"{instrument.name} is for redshifts up to {instrument.redshift_max:g}; lower one or raise the other"
        )
    if config.dust_emission is None and listed[0].dust is not None:
        raise SfhInputError(
            f"prior {config.name!r}: has no [dust_emission], instrument {instrument.name} has infrared bands; add the "
            "section, or take the prior phangs-jwst"
        )
    models = tuple(
        replace(
            forward_model.build_forward_model(t),
            dust_law=config.dust.law,
            lg_ml_offset=forward_model.lg_ml_offset(t, listed[0]) if t is not listed[0] else 0.0,
        )
        for t in listed
    )
    return PreparedPrior(config, models, tuple(float(v) for v in shares))


def simulate_chunk(
    source: PreparedPrior, seed: int, index: int, n: int = CHUNK_SIZE
) -> tuple[Observation, Labels, int]:
    """Chunk ``index`` of the endless set of ``seed``, as `simulate_objects` makes it.

    Parameters
    ----------
    source : PreparedPrior
    seed : int
        Of the set.
    index : int
        Of the chunk, from 0: it decides the draws together with ``seed``.
    n : int
        Objects.

    Returns
    -------
    data : Observation
    labels : Labels
    clipped : int
        Objects whose metallicities were moved into the library's range.
    """
    return simulate_objects(source, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,))), n)


def simulate_objects(source: PreparedPrior, rng: np.random.Generator, n: int) -> tuple[Observation, Labels, int]:
    """``n`` objects of the prior, its libraries mixed.

    Parameters
    ----------
    source : PreparedPrior
    rng : numpy.random.Generator
    n : int

    Returns
    -------
    data : Observation
        Flux, error and mask are tensors where the source makes its spectra with torch.
    labels : Labels
    clipped : int
        Objects whose metallicity was moved into the library's range in stars of over 1 % of the mass.
    """
    counts = rng.multinomial(n, source.shares)
    parts = [_simulate_library_share(source, model, rng, int(k)) for model, k in zip(source.models, counts) if k]
    order = rng.permutation(n)
    data = _join_in_order([p[0] for p in parts], order)
    return data, join_labels([p[1] for p in parts]).select(order), sum(p[2] for p in parts)


def _simulate_library_share(
    source: PreparedPrior, model: forward_model.ForwardModel, rng: np.random.Generator, n: int
) -> tuple[Observation, Labels, int]:
    """The objects of a chunk that come from one library."""
    clean, substituted = draw_noiseless_objects(source.config, model, rng, n)
    data = noise.add_observational_noise(clean, source.config, rng, substituted)
    return data, clean.labels, int(clean.params.clipped.sum())


def draw_noiseless_objects(
    config: PriorConfig, model: forward_model.ForwardModel, rng: np.random.Generator, n: int
) -> tuple[forward_model.NoiselessObjects, Bool]:
    """Objects of a prior with one library, before noise.

    Parameters
    ----------
    config : PriorConfig
    model : ForwardModel
        Of the library.
    rng : numpy.random.Generator
    n : int
        N.

    Returns
    -------
    clean : NoiselessObjects
    substituted : bool array (N,)
        Objects whose bands another camera sees.
    """
    grid = model.instrument.spectrum
    sigma_kms = grid.sigma_kms if grid else 0.0
    youngest_gyr = config.youngest_gyr.get(str(model.templates.provenance["name"]), 0.0)
    edges_gyr = model.templates.sub_edges_gyr
    params = draw_parameters(config, rng, n, edges_gyr, model.mh_limits, sigma_kms, youngest_gyr)
    substituted = (rng.random(n) < config.photometry.acs.sample(rng, n)) & model.has_substitutes
    return forward_model.synthesise_objects(model, params, rng, substituted), substituted


def _join_in_order(parts: list[Observation], order: np.ndarray) -> Observation:
    """Rows of all parts together, in ``order``; each is copied once."""
    place = np.argsort(order)
    columns: dict[str, Any] = {}
    for key in OBSERVATION_ARRAYS:
        first = getattr(parts[0], key)
        if first is None:
            continue
        xp = array_backend.find_backend(first)
        columns[key] = out = xp.empty((len(order), *first.shape[1:]), like=first)
        start = 0
        for part in (getattr(p, key) for p in parts):
            out[xp.put(place[start : start + len(part)])] = part
            start += len(part)
    return Observation(**columns, instrument=parts[0].instrument)


def join_labels(parts: list[Labels]) -> Labels:
    """Concatenate along the objects."""
    if len(parts) == 1:
        return parts[0]
    columns = {k: np.concatenate([getattr(p, k) for p in parts]) for k in Labels.array_names()}
    return Labels(**columns, family_names=parts[0].family_names)


def pack_shard(data: Observation, labels: Labels) -> dict[str, np.ndarray]:
    """Arrays of a shard: float16 spectra, masks packed to bits.

    Parameters
    ----------
    data : Observation
        N objects.
    labels : Labels
        Of the same.

    Returns
    -------
    dict of str to array
        Columns ``data.*`` and ``labels.*``, N rows each.
    """
    wanted = [k for k in OBSERVATION_ARRAYS if k not in ("norm_cgs", "v_kms") and getattr(data, k) is not None]
    stored: dict[str, Any] = {k: getattr(data, k) for k in wanted}
    for k, limits in (("flux", (-6e4, 6e4)), ("error", (1e-6, 6e4))):
        stored[k] = array_backend.find_backend(stored[k]).half(stored[k].clip(*limits))
    out = {f"data.{k}": array_backend.find_backend(v).take(v) for k, v in stored.items()}
    out["data.mask"] = np.packbits(out["data.mask"], axis=1)
    out |= {f"labels.{k}": getattr(labels, k) for k in Labels.array_names()}
    return {k: np.ascontiguousarray(v) for k, v in out.items()}


def shard_path(folder: Path, index: int) -> Path:
    """File of chunk ``index``.

    Parameters
    ----------
    folder : Path
        Of the set.
    index : int
        From 0.
    """
    return folder / f"shard-{index:05d}.safetensors"


def hash_columns(columns: Mapping[str, np.ndarray]) -> str:
    """sha256 of a shard's columns, as the manifest holds it."""
    hashed = {k: v for k, v in columns.items() if k.removeprefix("labels.") not in DERIVED_LABELS}
    return hash_parts(*sorted(hashed.items()))


def write_shard(source: PreparedPrior, seed: int, index: int, n: int, folder: Path, key: str) -> dict[str, Any]:
    """Make one chunk and write it; returns its entry in the manifest.

    Parameters
    ----------
    source : PreparedPrior
    seed, index, n : int
        As of `simulate_chunk`.
    folder : Path
        Of the set; it exists.
    key : str
        Names the set in the shard, so that shards of two sets are not mixed.

    Returns
    -------
    dict
        Number of objects, of clipped ones, and sha256 of the columns.

    Raises
    ------
    ComputeError
        When the disk is full or the folder is not writable.
    """
    data, labels, clipped = simulate_chunk(source, seed, index, n)
    columns = pack_shard(data, labels)
    entry = {"n": n, "clipped": clipped, "sha256": hash_columns(columns)}
    path = shard_path(folder, index)
    try:
        with write_atomically(path) as part:
            _save_columns(columns, part, {"key": key, "index": str(index), "entry": json.dumps(entry)})
    except ComputeError as err:
        raise ComputeError(f"{err}; run again with the same `output`: finished shards are kept") from err
    return entry


def _save_columns(columns: Mapping[str, np.ndarray], path: Path, metadata: dict[str, str]) -> None:
    try:
        save_file(dict(columns), path, metadata=metadata)
    except SafetensorError as err:  # its only way to say that the disk is full
        raise OSError(str(err)) from err


def _read_finished_entry(path: Path, key: str, n: int) -> dict[str, Any] | None:
    """Manifest entry of a shard that an earlier run of the same set left behind; None if it must be made."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as stored:
            metadata = stored.metadata() or {}
            entry = json.loads(metadata.get("entry", "{}"))
            usable = metadata.get("key") == key and entry.get("n") == n and "data.flux" in stored.keys()  # noqa: SIM118
            # A shard copied over another one would be trained on twice.
            usable &= shard_path(path.parent, int(metadata.get("index", path.stem.split("-")[-1]))) == path
    except (OSError, SafetensorError, ValueError):
        return None
    return entry if usable else None


def _compute_set_key(source: PreparedPrior, seed: int) -> str:
    """What a shard must agree with to belong to a set: prior, libraries, seed, version, maker of the noise.

    The hashes of the libraries' templates hold the instrument's.
    """
    parts = [source.config.sha256, json.dumps(source.libraries, sort_keys=True), str(seed), str(SHARD_VERSION)]
    if source.arrays is not array_backend.NUMPY_BACKEND:
        parts.append(source.arrays.name)
    return hash_parts("|".join(parts))


def simulate_set(
    source: PreparedPrior,
    n: int,
    seed: int,
    folder: Path,
    workers: int = 1,
    scheduler: str | None = None,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> dict[str, Any]:
    """Make a set of ``n`` objects, or finish one that was interrupted.

    Parameters
    ----------
    source : PreparedPrior
        Of `prepare_prior`.
    n, seed : int
        Size and seed. The first n objects of a larger set of the same seed are the same, but for the last chunk.
    folder : path
        Where shards and manifest go.
    workers : int
        Threads of this machine; matrix products of each use one core.
    scheduler : str, optional
        Address of a Dask scheduler whose workers are used instead; they must share the folder.
    progress, cancel : optional
        See `jobs.report_progress`; the shards that are finished stay.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    SfhInputError
        If the folder holds another set, or an argument is out of range.
    ComputeError
        When a shard cannot be written.
    """
    if n < 1 or workers < 1 or seed < 0:
        raise SfhInputError(f"`n` {n}, `workers` {workers}, `seed` {seed}: n and workers from 1, seed from 0")
    if scheduler and source.arrays is not array_backend.NUMPY_BACKEND:
        raise SfhInputError(f"`scheduler` {scheduler}: its workers make spectra with NumPy; leave out `device`")
    key = _compute_set_key(source, seed)
    _prepare_folder(folder, key)
    sizes = [min(CHUNK_SIZE, n - start) for start in range(0, n, CHUNK_SIZE)]
    entries = {
        i: entry for i, size in enumerate(sizes) if (entry := _read_finished_entry(shard_path(folder, i), key, size))
    }
    report_progress(Progress("simulate", sum(sizes[i] for i in entries), n), progress, cancel)
    # Workers elsewhere need not stand in this folder.
    jobs = [
        (source, seed, i, size, folder.absolute() if scheduler else folder, key)
        for i, size in enumerate(sizes)
        if i not in entries
    ]
    for index, entry in _run_jobs(jobs, workers, scheduler):
        entries[index] = entry
        report_progress(Progress("simulate", sum(sizes[i] for i in entries), n), progress, cancel)
    manifest = _build_manifest(source, n, seed, key, [entries[i] for i in range(len(sizes))])
    _write_manifest(folder, manifest)
    return manifest


def _prepare_folder(folder: Path, key: str) -> None:
    ensure_folder(folder)
    if (folder / MANIFEST).is_file() and read_manifest(folder).get("key") != key:
        raise SfhInputError(
            f"`output` {folder}: holds another set (prior, library, instrument, seed, device or version differ); "
            "choose an empty folder"
        )


def _run_jobs(jobs: list[tuple[Any, ...]], workers: int, scheduler: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
    if scheduler:
        from napari_sfh.training.simulator.cluster import write_shards_on_cluster

        yield from write_shards_on_cluster(write_shard, jobs, scheduler)
        return
    # One core per chunk: numpy releases the lock in products, exponentials and random numbers, and the rounding of a
    # product would depend on how many threads shared it.
    keep_freed_memory(*_KEPT_FOR_CHUNKS)
    with limit_algebra_threads(), ThreadPoolExecutor(workers) as pool:
        pending: dict[Future[dict[str, Any]], int] = {}
        queue = iter(jobs)
        try:
            while True:
                while len(pending) < workers and (job := next(queue, None)) is not None:
                    pending[pool.submit(write_shard, *job)] = job[2]
                if not pending:
                    return
                done, _ = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in done:
                    yield pending.pop(future), future.result()
        finally:
            for future in pending:
                future.cancel()


def _build_manifest(
    source: PreparedPrior, n: int, seed: int, key: str, entries: list[dict[str, Any]]
) -> dict[str, Any]:
    total = hash_parts(*(e["sha256"] for e in entries))
    clipped = sum(e["clipped"] for e in entries)
    return {
        "version": SHARD_VERSION,
        "code_version": napari_sfh.__version__,
        "key": key,
        "prior": source.config.name,
        "prior_sha256": source.config.sha256,
        "prior_toml": source.config.source,
        "family_names": list(source.config.family_names),
        "libraries": source.libraries,
        "library_provenance": {
            str(m.templates.provenance["name"]): dict(m.templates.provenance) for m in source.models
        },
        "lg_ml_offset": {str(m.templates.provenance["name"]): m.lg_ml_offset for m in source.models},
        "instrument": source.instrument.to_json(),
        "seed": seed,
        "n": n,
        "chunk": CHUNK_SIZE,
        "n_metallicity_clipped": clipped,
        "shards": entries,
        "data_sha256": total,
        "made_with": source.arrays.name,
        "machine": {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()},
    }


def _write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write ``manifest.json``, whole or not at all."""
    write_text_atomically(folder / MANIFEST, json.dumps(manifest, indent=1, default=str))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a set.

    Raises
    ------
    SfhInputError
        If there is none, or it is not one.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        manifest["shards"], manifest["n"]
    except OSError as err:
        raise SfhInputError(f"{path}: no synthetic set here; make it with napari-sfh-train simulate") from err
    except (ValueError, KeyError, TypeError) as err:
        raise SfhInputError(f"{path}: not a manifest; make the set anew in an empty folder") from err
    return manifest


def check_manifest(manifest: Mapping[str, Any], folder: Path) -> None:
    """Refuse a manifest whose numbers do not fit together: edited, or of shards from several sets.

    Parameters
    ----------
    manifest : mapping
        As it was read from JSON.
    folder : Path
        Of the set, for messages.

    Raises
    ------
    SfhInputError
        Names what differs.
    """
    path = folder / MANIFEST
    try:
        sizes, hashes = ([entry[key] for entry in manifest["shards"]] for key in ("n", "sha256"))
        total, stated = hash_parts(*hashes), manifest["data_sha256"]
        count = sum(int(n) for n in sizes)
    except (KeyError, TypeError, ValueError) as err:
        raise SfhInputError(f"{path}: not a manifest; make the set anew in an empty folder") from err
    if total != stated:
        raise SfhInputError(
            f"{path}: data_sha256 {str(stated)[:16]} is not that of its shards ({total[:16]}); restore the file, or "
            "make the set anew"
        )
    if count != manifest["n"] or len(set(hashes)) != len(hashes):
        raise SfhInputError(f"{path}: says {manifest['n']} objects, its shards hold {count} or repeat each other")
