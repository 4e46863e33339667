"""Templates: a library prepared once for the forward model and one instrument.

For every metallicity and age sub-bin (`age_grid`): the spectrum of 1 Msun formed at a constant rate in the sub-bin on
the instrument's grid, its coarse spectral energy distribution (SED) for photometry (`resampling`), its V-band light and
its ionising rate; for the sub-bins younger than 28 Myr their nebular lines and continuum (`nebular`). Photometry is
linear in the SED.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.digests import hash_parts
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import instrument_from_json, load_instrument
from napari_sfh.instruments.instrument import REST_FRAME_REDSHIFT, Instrument
from napari_sfh.io.atomic import ensure_folder, write_atomically
from napari_sfh.physics.filters import Filter
from napari_sfh.training.libraries import age_grid, fetch, filter_curves, nebular
from napari_sfh.training.libraries.catalogue import load_library
from napari_sfh.training.libraries.dust_emission import DustGrid, bin_dust_emission, load_dust_grid
from napari_sfh.training.libraries.resampling import (
    average_over_bins,
    choose_sed_edges,
    convolve_to_instrument,
    needs_infrared,
    v_band_luminosity,
)
from napari_sfh.training.libraries.ssp_library import SspLibrary
from napari_sfh.types import F32, F64

#: Bumped when the preparation changes, so that old cache files are made anew.
TEMPLATES_VERSION = 8
_DUST = "dust_"  # before the names of the dust emission's arrays
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
        The instrument's grid; empty without a spectrum.
    spectrum : float32 array (Z, S, W)
        Stars, Lsun/AA per Msun formed, at the instrument's LSF and dispersion.
    sed_edges_aa : array (K + 1,)
        Edges of the SED's bins.
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
    cont_spectrum, cont_sed : float32 arrays (G, U, I, W), (G, U, I, K)
        Nebular continuum, Lsun/AA per Msun formed.
    instrument : Instrument
    filters, substitutes : tuples of Filter
        Its bands in order, and as many of the cameras that may stand in for them.
    dust : DustGrid, optional
        Dust emission on the bins of the SED; None without infrared bands.
    provenance : mapping
        Library name, isochrones, IMF, citation, sha256, notes.
    sha256 : str
        Digest of every array above, the curves and the instrument.
    """

    sub_edges_gyr: F64
    bin_of_sub: NDArray[np.int_]
    n_young: int
    n_ion: int
    mh: F64
    wave_aa: F64
    spectrum: F32
    sed_edges_aa: F64
    sed: F32
    light_v: F32
    q_h: F64
    mh_gas: F64
    log_u: F64
    line_wave_aa: F64
    line_lum: F32
    cont_spectrum: F32
    cont_sed: F32
    instrument: Instrument
    filters: tuple[Filter, ...]
    substitutes: tuple[Filter, ...]
    provenance: Mapping[str, Any]
    sha256: str
    dust: DustGrid | None = None

    @property
    def n_sub(self) -> int:
        """Number of sub-bins."""
        return int(self.bin_of_sub.size)

    @property
    def sed_wave_aa(self) -> F64:
        """Centres of the SED's bins, (K,)."""
        return 0.5 * (self.sed_edges_aa[1:] + self.sed_edges_aa[:-1])

    def weights_of_age(self, age_gyr: float) -> F64:
        """Weights (S,) of sub-bins that stand for a single age, linear in log age between sub-bin middles."""
        middle = 0.5 * (self.sub_edges_gyr[1:] + self.sub_edges_gyr[:-1])
        return age_grid.interpolation_matrix(np.log10(middle), np.log10([age_gyr]))[0]


def prepare_templates(
    library: str = "bc03-miles",
    instrument: Instrument | None = None,
    cache: Path | None = None,
    folder: str | Path | None = None,
) -> Templates:
    """Templates of a library for an instrument, from the cache where they were made before.

    Parameters
    ----------
    library : str
        A stock name, or the user's own name for the library in ``folder`` (once prepared for an instrument,
        the name is enough for it).
    instrument : Instrument, optional
        Default muse-hst.
    cache : path, optional
        Folder of prepared templates; default the cache folder.
    folder : path, optional
        A folder of E-MILES/MILES FITS files or a pPXF npz file, see `catalogue.load_library`. It is read anew.

    Raises
    ------
    SfhInputError, ComputeError
        Where the library cannot be had or is not what it says, or the cache cannot be written.
    """
    instrument = instrument or load_instrument()
    place = templates_cache_path(library, instrument, cache)
    if folder is None and place.is_file():
        return load_templates(place)
    templates = build_templates(load_library(library, folder), instrument)
    save_templates(templates, place)
    return templates


def templates_cache_path(library: str, instrument: Instrument | None = None, cache: Path | None = None) -> Path:
    """Where the templates of a library for an instrument are kept.

    Parameters
    ----------
    library : str
    instrument : Instrument, optional
        muse-hst unless given.
    cache : Path, optional
        Folder.

    Returns
    -------
    Path

    Raises
    ------
    SfhInputError
        Where the name cannot be part of a file name.
    """
    if not re.fullmatch(r"[A-Za-z0-9._+-]+", library):
        raise SfhInputError(f"library name {library!r}: use letters, digits and . _ + - only")
    instrument = instrument or load_instrument()
    key = f"{library}-{instrument.name}-{instrument.sha256[:12]}"
    return (cache or fetch.ensure_cache_folder()) / f"templates-{key}-v{TEMPLATES_VERSION}.npz"


def build_templates(
    library: SspLibrary, instrument: Instrument | None = None, grid: nebular.NebularGrid | None = None
) -> Templates:
    """Prepare a library for an instrument, by default muse-hst.

    ``grid`` is the nebular one, read from the stock files when not given.

    Parameters
    ----------
    library : SspLibrary
    instrument : Instrument, optional
        muse-hst unless given.
    grid : NebularGrid, optional
        The stock one unless given.

    Returns
    -------
    Templates

    Raises
    ------
    SfhInputError
        Where the library does not reach over the instrument's grid or bands, or is coarser than it.
    """
    instrument = instrument or load_instrument()
    average = age_grid.averaging_matrix(library.age_gyr)
    filters, substitutes = filter_curves.load_instrument_filters(instrument)
    bands = (*filters, *substitutes)
    edges = choose_sed_edges(bands, max(instrument.redshift_max, REST_FRAME_REDSHIFT))
    rate = nebular.ionising_rate(library.wave_aa, library.spectrum)
    if grid is None:
        ionising = load_library("bc03-miles") if library.name != "bc03-miles" else library
        grid = nebular.load_nebular_grid(ionising, (edges[0], edges[-1]))
    light = np.einsum("st,ztn->zsn", average, library.spectrum, optimize=True)
    arrays: dict[str, Any] = {
        "sub_edges_gyr": age_grid.SUB_EDGES_GYR,
        "bin_of_sub": age_grid.BIN_OF_SUB,
        "n_young": age_grid.N_YOUNG,
        "n_ion": age_grid.N_ION,
        "mh": library.mh,
        "wave_aa": instrument.wave_aa,
        "spectrum": _resample_spectra(light, library.wave_aa, library.fwhm_aa, instrument),
        "sed_edges_aa": edges,
        "sed": average_over_bins(light, library.wave_aa, edges).astype(np.float32),
        "light_v": v_band_luminosity(light, library.wave_aa).astype(np.float32),
        "q_h": rate @ average.T,
    }
    arrays |= _nebular_arrays(grid, library, rate, average, instrument, edges)
    dust = bin_dust_emission(load_dust_grid(), edges) if needs_infrared(bands) else None
    provenance = {key: getattr(library, key) for key in _PROVENANCE} | {"nebular": grid.note}
    digest = _digest(arrays | _dust_arrays(dust), instrument, bands)
    seen_by: dict[str, Any] = {"instrument": instrument, "filters": filters, "substitutes": substitutes}
    return Templates(**arrays, **seen_by, dust=dust, provenance=provenance, sha256=digest)


def _resample_spectra(light: NDArray[np.floating], wave_aa: F64, fwhm_aa: F64, instrument: Instrument) -> F32:
    """Spectra on the instrument's grid, (..., W); W = 0 without one."""
    if instrument.spectrum is None:
        return np.zeros((*light.shape[:-1], 0), np.float32)
    return convolve_to_instrument(light, wave_aa, fwhm_aa, instrument.spectrum)


def _nebular_arrays(
    grid: nebular.NebularGrid, library: SspLibrary, rate: F64, average: F64, instrument: Instrument, edges_aa: F64
) -> dict[str, Any]:
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
        "cont_spectrum": _resample_spectra(continuum, grid.wave_aa, np.zeros(grid.wave_aa.size), instrument),
        "cont_sed": average_over_bins(continuum, grid.wave_aa, edges_aa).astype(np.float32),
    }


def _dust_arrays(dust: DustGrid | None) -> dict[str, Any]:
    """Dust emission as named arrays; none without infrared bands."""
    return {f"{_DUST}{f.name}": getattr(dust, f.name) for f in fields(DustGrid)} if dust else {}


def _digest(arrays: Mapping[str, Any], instrument: Instrument, band_list: tuple[Filter, ...]) -> str:
    named = ((key, np.asarray(arrays[key])) for key in sorted(arrays))
    bands = ((f"{b.name} {b.camera}", b.wave_aa, b.throughput) for b in band_list)
    return hash_parts(f"{TEMPLATES_VERSION} {instrument.sha256}", *named, *bands)


def save_templates(templates: Templates, path: Path) -> None:
    """Write templates to an npz file, complete or not at all.

    Parameters
    ----------
    templates : Templates
    path : Path
        ``.npz``; its folder is made.

    Raises
    ------
    ComputeError
        Where the disk is full or the folder not writable.
    """
    content: dict[str, Any] = {
        f.name: getattr(templates, f.name)
        for f in fields(templates)
        if f.name not in ("instrument", "filters", "substitutes", "provenance", "dust")
    }
    content |= _dust_arrays(templates.dust)
    content["provenance"] = json.dumps(dict(templates.provenance))
    content["instrument"] = json.dumps(templates.instrument.to_json())
    listed = (*templates.filters, *templates.substitutes)
    content["filter_names"] = np.array([[band.name, band.camera] for band in listed]).reshape(-1, 2)
    for number, band in enumerate(listed):
        content[f"filter_{number}"] = np.stack([band.wave_aa, band.throughput])
    ensure_folder(path.parent)
    with write_atomically(path) as part:
        np.savez(part, **content)


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
        instrument = instrument_from_json(json.loads(str(content.pop("instrument"))))
        provenance = json.loads(str(content.pop("provenance")))
        sha256 = str(content.pop("sha256"))
        dust = {k: content.pop(k) for k in list(content) if k.startswith(_DUST)}
        arrays: dict[str, Any] = {k: (int(v) if v.ndim == 0 else v) for k, v in content.items()}
        n = instrument.n_bands
        seen_by: dict[str, Any] = {"instrument": instrument, "filters": band_list[:n], "substitutes": band_list[n:]}
        emission = DustGrid(**{k.removeprefix(_DUST): v for k, v in dust.items()}) if dust else None
        templates = Templates(**arrays, **seen_by, dust=emission, provenance=provenance, sha256=sha256)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise SfhInputError(f"{path}: not a templates file of this version ({error}); delete it") from error
    if _digest(arrays | dust, instrument, band_list) != sha256:
        raise SfhInputError(f"{path}: content does not match its sha256; the file is damaged, delete it")
    return templates
