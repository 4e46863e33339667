"""Templates: a library prepared once for the forward model.

For every metallicity and age sub-bin (`age_grid`): the spectrum of 1 Msun formed at a constant rate in the sub-bin on
the network's grid, its coarse spectral energy distribution (SED) for photometry (`resample`), its V-band light and
its ionising rate; for the sub-bins younger than 28 Myr their nebular lines and continuum (`nebular`). Photometry is
linear in the SED.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.digests import hash_parts
from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.physics.filters import Filter
from napari_sfh.physics.wavelength import WAVE_AA
from napari_sfh.training.libraries import age_grid, fetch, filter_curves, nebular
from napari_sfh.training.libraries.catalogue import load_library
from napari_sfh.training.libraries.resampling import (
    SED_EDGES_AA,
    SED_WAVE_AA,
    average_over_bins,
    convolve_to_muse_resolution,
    v_band_luminosity,
)
from napari_sfh.training.libraries.ssp_library import SspLibrary
from napari_sfh.types import F32, F64

#: Bumped when the preparation changes, so that old cache files are made anew.
TEMPLATES_VERSION = 7
_PROVENANCE = ("name", "isochrones", "imf", "medium", "citation", "sha256", "notes")


@dataclass(frozen=True)
class Templates:
    """A prepared library. Z metallicities, S sub-bins, W pixels, K SED bins, I ionising sub-bins, L lines.

    Attributes
    ----------
    sub_edges_gyr : array (S + 1,)
        Edges of the age sub-bins.
    bin_of_sub : int array (S,)
        Age bin 0-15 of each sub-bin.
    n_young, n_ion : int
        The first ``n_young`` sub-bins are younger than 10 Myr, the first ``n_ion`` younger than 28 Myr.
    mh : array (Z,)
        [M/H] of the stars, dex.
    wave_aa : array (W,)
    muse : float32 array (Z, S, W)
        Stars, Lsun/AA per Msun formed, MUSE LSF and 150 km/s.
    sed_wave_aa : array (K,)
        Centres of the SED's bins.
    sed : float32 array (Z, S, K)
        Stars, Lsun/AA per Msun formed.
    light_v : float32 array (Z, S)
        V-band light of the stars, solar V luminosities per Msun formed.
    q_h : float64 array (Z, S)
        Ionising photons/s per Msun formed.
    mh_gas : array (G,)
        [M/H] of the nebular grid, gas and its stars alike.
    log_u : array (U,)
    line_wave_aa : array (L,)
        Air wavelengths.
    line_lum : float32 array (G, U, I, L)
        Lsun per Msun formed, no escape, no dust.
    cont_muse, cont_sed : float32 arrays (G, U, I, W), (G, U, I, K)
        Nebular continuum, Lsun/AA per Msun formed.
    filters : tuple of Filter
        The five UVIS bands in order, then ACS F435W, F555W, F814W.
    provenance : mapping
        Library name, isochrones, IMF, citation, sha256, notes.
    sha256 : str
        Digest of every array above.
    """

    sub_edges_gyr: F64
    bin_of_sub: NDArray[np.int_]
    n_young: int
    n_ion: int
    mh: F64
    wave_aa: F64
    muse: F32
    sed_wave_aa: F64
    sed: F32
    light_v: F32
    q_h: F64
    mh_gas: F64
    log_u: F64
    line_wave_aa: F64
    line_lum: F32
    cont_muse: F32
    cont_sed: F32
    filters: tuple[Filter, ...]
    provenance: Mapping[str, Any]
    sha256: str

    @property
    def n_sub(self) -> int:
        """Number of sub-bins."""
        return int(self.bin_of_sub.size)

    def weights_of_age(self, age_gyr: float) -> F64:
        """Weights (S,) of sub-bins that stand for a single age, linear in log age between sub-bin middles."""
        middle = 0.5 * (self.sub_edges_gyr[1:] + self.sub_edges_gyr[:-1])
        return age_grid.interpolation_matrix(np.log10(middle), np.log10([age_gyr]))[0]


def prepare_templates(
    library: str = "bc03-miles", cache: Path | None = None, folder: str | Path | None = None
) -> Templates:
    """Templates of a library, from the cache where they were made before.

    Parameters
    ----------
    library : str
        A stock name, or the user's own name for the library in ``folder`` (once prepared, the name is enough).
    cache : path, optional
        Folder of prepared templates; default the cache folder.
    folder : path, optional
        A folder of E-MILES/MILES FITS files or a pPXF npz file, see `catalogue.load_library`. It is read anew.

    Raises
    ------
    SfhInputError, ComputeError
        Where the library cannot be had or is not what it says, or the cache cannot be written.
    """
    place = templates_cache_path(library, cache)
    if folder is None and place.is_file():
        return load_templates(place)
    templates = build_templates(load_library(library, folder))
    save_templates(templates, place)
    return templates


def templates_cache_path(library: str, cache: Path | None = None) -> Path:
    """Where the templates of a library are kept.

    Raises
    ------
    SfhInputError
        Where the name cannot be part of a file name.
    """
    if not re.fullmatch(r"[A-Za-z0-9._+-]+", library):
        raise SfhInputError(f"library name {library!r}: use letters, digits and . _ + - only")
    return (cache or fetch.ensure_cache_folder()) / f"templates-{library}-v{TEMPLATES_VERSION}.npz"


def build_templates(library: SspLibrary, grid: nebular.NebularGrid | None = None) -> Templates:
    """Prepare a library; ``grid`` is the nebular one, read from the stock files when not given."""
    average = age_grid.averaging_matrix(library.age_gyr)
    band_list = filter_curves.load_hst_filters()
    rate = nebular.ionising_rate(library.wave_aa, library.spectrum)
    if grid is None:
        grid = nebular.load_nebular_grid(load_library("bc03-miles") if library.name != "bc03-miles" else library)
    light = np.einsum("st,ztn->zsn", average, library.spectrum, optimize=True)
    arrays: dict[str, Any] = {
        "sub_edges_gyr": age_grid.SUB_EDGES_GYR,
        "bin_of_sub": age_grid.BIN_OF_SUB,
        "n_young": age_grid.N_YOUNG,
        "n_ion": age_grid.N_ION,
        "mh": library.mh,
        "wave_aa": WAVE_AA,
        "muse": convolve_to_muse_resolution(light, library.wave_aa, library.fwhm_aa),
        "sed_wave_aa": SED_WAVE_AA,
        "sed": average_over_bins(light, library.wave_aa, SED_EDGES_AA).astype(np.float32),
        "light_v": v_band_luminosity(light, library.wave_aa).astype(np.float32),
        "q_h": rate @ average.T,
    }
    arrays |= _nebular_arrays(grid, library, rate, average)
    provenance = {key: getattr(library, key) for key in _PROVENANCE} | {"nebular": grid.note}
    return Templates(**arrays, filters=band_list, provenance=provenance, sha256=_digest(arrays, band_list))


def _nebular_arrays(grid: nebular.NebularGrid, library: SspLibrary, rate: F64, average: F64) -> dict[str, Any]:
    """Nebular emission per Msun formed in each ionising sub-bin: per-photon ratios times the stars' own rate."""
    per_age = age_grid.interpolation_matrix(np.log10(grid.age_gyr), np.log10(library.age_gyr))
    rate_at_gas = np.stack([np.interp(grid.mh, library.mh, column) for column in rate.T], axis=1)
    # (G, I, T_grid): photons/s of a sub-bin, by the grid age whose ratios they carry.
    photons = np.einsum("it,gt,tk->gik", average[: age_grid.N_ION], rate_at_gas, per_age, optimize=True)
    continuum = np.einsum("gik,gukn->guin", photons, grid.continuum, optimize=True)
    return {
        "mh_gas": grid.mh,
        "log_u": grid.log_u,
        "line_wave_aa": grid.line_wave_aa,
        "line_lum": np.einsum("gik,gukl->guil", photons, grid.lines, optimize=True).astype(np.float32),
        "cont_muse": convolve_to_muse_resolution(continuum, grid.wave_aa, np.zeros(grid.wave_aa.size)),
        "cont_sed": average_over_bins(continuum, grid.wave_aa, SED_EDGES_AA).astype(np.float32),
    }


def _digest(arrays: Mapping[str, Any], band_list: tuple[Filter, ...]) -> str:
    named = ((key, np.asarray(arrays[key])) for key in sorted(arrays))
    bands = ((f"{b.name} {b.camera}", b.wave_aa, b.throughput) for b in band_list)
    return hash_parts(str(TEMPLATES_VERSION), *named, *bands)


def save_templates(templates: Templates, path: Path) -> None:
    """Write templates to an npz file, complete or not at all.

    Raises
    ------
    ComputeError
        Where the disk is full or the folder not writable.
    """
    content: dict[str, Any] = {
        f.name: getattr(templates, f.name) for f in fields(templates) if f.name not in ("filters", "provenance")
    }
    content["provenance"] = json.dumps(dict(templates.provenance))
    content["filter_names"] = np.array([[band.name, band.camera] for band in templates.filters])
    for number, band in enumerate(templates.filters):
        content[f"filter_{number}"] = np.stack([band.wave_aa, band.throughput])
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(temporary, **content)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise ComputeError(f"{path}: templates not written ({error.strerror}); free some disk space") from error


def load_templates(path: Path) -> Templates:
    """Read templates written by `save_templates`.

    Raises
    ------
    SfhInputError
        Where the file is truncated or altered.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            content = {key: stored[key] for key in stored.files}
        names = content.pop("filter_names")
        band_list = tuple(
            Filter.from_curve(str(name), str(camera), *content.pop(f"filter_{number}"))
            for number, (name, camera) in enumerate(names)
        )
        provenance = json.loads(str(content.pop("provenance")))
        sha256 = str(content.pop("sha256"))
        arrays: dict[str, Any] = {k: (int(v) if v.ndim == 0 else v) for k, v in content.items()}
        templates = Templates(**arrays, filters=band_list, provenance=provenance, sha256=sha256)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise SfhInputError(f"{path}: not a templates file of this version ({error}); delete it") from error
    if _digest(arrays, band_list) != sha256:
        raise SfhInputError(f"{path}: content does not match its sha256; the file is damaged, delete it")
    return templates
