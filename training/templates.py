"""Templates: a library prepared once for the forward model, on the network's grid.

For every metallicity and age sub-bin (`agegrid`): the spectrum of 1 Msun formed at a constant rate in the
sub-bin, seen at the MUSE resolution and 150 km/s (`physics.lsf`; one convolution on the library's own grid
and one cubic interpolation), its coarse spectral energy distribution (SED) for photometry, its V-band light
and its ionising rate; for the sub-bins younger than 28 Myr their nebular lines and continuum.

V-band light is in solar units: 10^(-0.4 (M_V - 4.80)), AB magnitudes, M_V,sun = 4.80 (Willmer 2018, ApJS
236, 47). The SED holds means over bins of 20 AA between 1900 and 10500 AA; photometry is linear in it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from napari_sfh.errors import ComputeError, SfhInputError
from napari_sfh.physics import filters, lsf
from napari_sfh.physics.ages import N_AGE
from napari_sfh.physics.basis import TemplateBasis, bracket
from napari_sfh.physics.filters import Filter
from napari_sfh.physics.wavelength import WAVE_AA
from napari_sfh.training import agegrid, bands, fetch, nebular
from napari_sfh.training.libraries import Library, load_library
from napari_sfh.types import BANDS

F32 = NDArray[np.float32]
Array = NDArray[np.float64]

#: Bumped when the preparation changes, so that old cache files are made anew.
VERSION = 3
#: Edges of the SED's bins in Angstrom.
SED_EDGES_AA: Array = np.arange(1900.0, 10500.1, 20.0)
#: AB magnitude of the Sun in V (Willmer 2018).
SUN_V_AB: float = 4.80
#: (10 pc)^2 4 pi in cm^2.
_AREA_10PC_CM2: float = 4 * np.pi * (10 * 3.0856775814913673e18) ** 2
_PROVENANCE = ("name", "isochrones", "imf", "medium", "citation", "sha256", "notes")
_MARGIN_AA = 45.0  # room for the kernels at the ends of the MUSE range


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

    sub_edges_gyr: Array
    bin_of_sub: NDArray[np.int_]
    n_young: int
    n_ion: int
    mh: Array
    wave_aa: Array
    muse: F32
    sed_wave_aa: Array
    sed: F32
    light_v: F32
    q_h: Array
    mh_gas: Array
    log_u: Array
    line_wave_aa: Array
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

    def weights_of_age(self, age_gyr: float) -> Array:
        """Weights (S,) of sub-bins that stand for a single age, linear in log age between sub-bin middles."""
        middle = 0.5 * (self.sub_edges_gyr[1:] + self.sub_edges_gyr[:-1])
        return agegrid.interpolation_matrix(np.log10(middle), np.log10([age_gyr]))[0]


def prepare(library: str = "bc03-miles", cache: Path | None = None, folder: str | Path | None = None) -> Templates:
    """Templates of a library, from the cache where they were made before.

    Parameters
    ----------
    library : str
        A stock name, or the user's own name for the library in ``folder``.
    cache : path, optional
        Folder of prepared templates; default the cache folder.
    folder : path, optional
        A folder of E-MILES/MILES FITS files or a pPXF npz file, see `libraries.load_library`.

    Raises
    ------
    SfhInputError, ComputeError
        Where the library cannot be had or is not what it says, or the cache cannot be written.
    """
    place = (cache or fetch.cache_dir()) / f"templates-{library}-v{VERSION}.npz"
    if folder is None and place.is_file():
        return load(place)
    templates = build(load_library(library, folder))
    if folder is None:
        save(templates, place)
    return templates


def build(library: Library, grid: nebular.NebularGrid | None = None) -> Templates:
    """Prepare a library; ``grid`` is the nebular one, read from the stock files when not given."""
    average = agegrid.averaging_matrix(library.age_gyr)
    band_list = bands.hst_filters()
    rate = nebular.ionising_rate(library.wave_aa, library.spectrum)
    if grid is None:
        grid = nebular.load_grid(load_library("bc03-miles") if library.name != "bc03-miles" else library)
    light = np.einsum("st,ztn->zsn", average, library.spectrum, optimize=True)
    arrays: dict[str, Any] = {
        "sub_edges_gyr": agegrid.SUB_EDGES_GYR,
        "bin_of_sub": agegrid.BIN_OF_SUB,
        "n_young": agegrid.N_YOUNG,
        "n_ion": agegrid.N_ION,
        "mh": library.mh,
        "wave_aa": WAVE_AA,
        "muse": at_muse_resolution(light, library.wave_aa, library.fwhm_aa),
        "sed_wave_aa": 0.5 * (SED_EDGES_AA[1:] + SED_EDGES_AA[:-1]),
        "sed": rebin(light, library.wave_aa, SED_EDGES_AA).astype(np.float32),
        "light_v": v_light(light, library.wave_aa).astype(np.float32),
        "q_h": rate @ average.T,
    }
    arrays |= _nebular_arrays(grid, library, rate, average)
    provenance = {key: getattr(library, key) for key in _PROVENANCE}
    return Templates(**arrays, filters=band_list, provenance=provenance, sha256=_digest(arrays, band_list))


def _nebular_arrays(grid: nebular.NebularGrid, library: Library, rate: Array, average: Array) -> dict[str, Any]:
    """Nebular emission per Msun formed in each ionising sub-bin: per-photon ratios times the stars' own rate."""
    per_age = agegrid.interpolation_matrix(np.log10(grid.age_gyr), np.log10(library.age_gyr))
    rate_at_gas = np.stack([np.interp(grid.mh, library.mh, column) for column in rate.T], axis=1)
    # (G, I, T_grid): photons/s of a sub-bin, by the grid age whose ratios they carry.
    photons = np.einsum("it,gt,tk->gik", average[: agegrid.N_ION], rate_at_gas, per_age, optimize=True)
    continuum = np.einsum("gik,gukn->guin", photons, grid.continuum, optimize=True)
    return {
        "mh_gas": grid.mh,
        "log_u": grid.log_u,
        "line_wave_aa": grid.line_wave_aa,
        "line_lum": np.einsum("gik,gukl->guil", photons, grid.lines, optimize=True).astype(np.float32),
        "cont_muse": at_muse_resolution(continuum, grid.wave_aa, np.zeros(grid.wave_aa.size)),
        "cont_sed": rebin(continuum, grid.wave_aa, SED_EDGES_AA).astype(np.float32),
    }


def at_muse_resolution(light: NDArray[np.floating], wave_aa: Array, fwhm_aa: Array) -> F32:
    """Spectra (..., n) of resolution ``fwhm_aa`` (n,) seen by MUSE at 150 km/s, on `WAVE_AA`.

    Raises
    ------
    SfhInputError
        Where the resolution is not known over the range, or coarser than the wanted one.
    """
    part = (wave_aa > WAVE_AA[0] - _MARGIN_AA) & (wave_aa < WAVE_AA[-1] + _MARGIN_AA)
    wave, fwhm = wave_aa[part], fwhm_aa[part]
    if not np.all(np.isfinite(fwhm)):
        raise SfhInputError("library: the resolution fwhm_aa is not stated over 4755-7045 AA; give it in Angstrom")
    grid = np.linspace(wave[0], wave[-1], wave.size)
    spectra = np.asarray(light[..., part], dtype=np.float64)
    if np.max(np.abs(grid - wave)) > 0.02:
        spectra = CubicSpline(wave, spectra, axis=-1)(grid)
    extra, coarse = lsf.extra_sigma(np.interp(grid, wave, fwhm) / lsf.FWHM_PER_SIGMA, lsf.total_sigma_aa(grid))
    if coarse.any():
        raise SfhInputError(
            f"library: its FWHM reaches {fwhm.max():.1f} AA, coarser than MUSE at 150 km/s at "
            f"{grid[coarse][0]:.0f} AA; use a library of higher resolution"
        )
    return CubicSpline(grid, lsf.broaden(spectra, grid, extra), axis=-1)(WAVE_AA).astype(np.float32)


def rebin(light: NDArray[np.floating], wave_aa: Array, edges_aa: Array) -> Array:
    """Means over bins of spectra (..., n) that are linear between their points; 0 beyond their range."""
    inside = (wave_aa >= edges_aa[0] - 100) & (wave_aa <= edges_aa[-1] + 100)
    wave, spectra = wave_aa[inside], np.asarray(light[..., inside], dtype=np.float64)
    steps = 0.5 * (spectra[..., 1:] + spectra[..., :-1]) * np.diff(wave)
    total = np.concatenate([np.zeros((*spectra.shape[:-1], 1)), np.cumsum(steps, axis=-1)], axis=-1)
    edges = np.clip(edges_aa, wave[0], wave[-1])
    index, share = bracket(wave, edges)
    left = spectra[..., index]
    at_edge = left + (spectra[..., index + 1] - left) * share
    cumulative = total[..., index] + 0.5 * (left + at_edge) * (edges - wave[index])
    return np.diff(cumulative, axis=-1) / np.diff(edges_aa)


def v_light(light: NDArray[np.floating], wave_aa: Array) -> Array:
    """V-band luminosity in solar units of spectra (..., n) in Lsun/AA."""
    band = bands.johnson_v()
    flux = filters.mean_flux(band, wave_aa, light) * (nebular.L_SUN_ERG_S / _AREA_10PC_CM2)
    return flux / filters.flux_from_ab(band, SUN_V_AB)


def _digest(arrays: Mapping[str, Any], band_list: tuple[Filter, ...]) -> str:
    digest = hashlib.sha256(str(VERSION).encode())
    for key in sorted(arrays):
        digest.update(key.encode() + np.ascontiguousarray(arrays[key]).tobytes())
    for band in band_list:
        digest.update(f"{band.name} {band.camera}".encode() + band.wave_aa.tobytes() + band.throughput.tobytes())
    return digest.hexdigest()


def save(templates: Templates, path: Path) -> None:
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
        temporary.unlink(missing_ok=True)
        raise ComputeError(f"{path}: templates not written ({error.strerror}); free some disk space") from error


def load(path: Path) -> Templates:
    """Read templates written by `save`.

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
        arrays = {key: (int(value) if value.ndim == 0 else value) for key, value in content.items()}
        templates = Templates(**arrays, filters=band_list, provenance=provenance, sha256=sha256)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise SfhInputError(f"{path}: not a templates file of this version ({error}); delete it") from error
    if _digest(arrays, band_list) != sha256:
        raise SfhInputError(f"{path}: content does not match its sha256; the file is damaged, delete it")
    return templates


def basis(templates: Templates, log_u: float = -3.0) -> TemplateBasis:
    """The compact basis of the viewer: constant star formation inside each of the 16 age bins.

    Parameters
    ----------
    templates : Templates
    log_u : float
        Ionisation parameter of its nebulae, interpolated in the grid. Gas has the metallicity of the young
        stars, a velocity dispersion that ends at 150 km/s, and lets no ionising photon escape. The weak
        nebulae of stars of 10-28 Myr are left out.
    """
    share = mass_share(templates)
    young = share[0, : templates.n_young]
    older = share.copy()
    older[0, : templates.n_young] = 0.0
    lines, continuum, continuum_sed = nebula_at(templates, log_u)
    to_gas = agegrid.interpolation_matrix(templates.mh_gas, templates.mh)
    young_lines = to_gas @ np.einsum("i,gil->gl", young, lines[:, : templates.n_young])
    line_spectrum = young_lines @ line_profiles(templates.line_wave_aa, templates.wave_aa)
    line_sed = young_lines @ line_bins(templates.line_wave_aa)
    glow = [to_gas @ np.einsum("i,gin->gn", young, c[:, : templates.n_young]) for c in (continuum, continuum_sed)]
    return TemplateBasis(
        mh=templates.mh,
        wave_aa=templates.wave_aa,
        spectrum=_sum(older, templates.muse),
        young=_sum(young[None], templates.muse[:, : templates.n_young])[0],
        young_nebular=(glow[0] + line_spectrum).astype(np.float32),
        sed_wave_aa=templates.sed_wave_aa,
        sed=_sum(older, templates.sed),
        young_sed=_sum(young[None], templates.sed[:, : templates.n_young])[0],
        young_nebular_sed=(glow[1] + line_sed).astype(np.float32),
        light_v=np.asarray(share @ templates.light_v.T, dtype=np.float32),
        log_u=np.array(log_u),
        filters=templates.filters[: len(BANDS)],
    )


def _sum(share: Array, light: F32) -> F32:
    """Sums (A, Z, n) of sub-bins' light (Z, S, n) with shares (A, S)."""
    return np.einsum("as,zsn->azn", share, light, optimize=True).astype(np.float32)


def mass_share(templates: Templates) -> Array:
    """Share (A, S) of an age bin's mass in each sub-bin when stars form at a constant rate in it."""
    width = np.diff(templates.sub_edges_gyr)
    share = np.zeros((N_AGE, templates.n_sub))
    share[templates.bin_of_sub, np.arange(templates.n_sub)] = width
    return share / share.sum(1, keepdims=True)


def nebula_at(templates: Templates, log_u: float) -> tuple[Array, Array, Array]:
    """Lines (G, I, L), continuum (G, I, W) and its SED (G, I, K) at an ionisation parameter."""
    weights = agegrid.interpolation_matrix(templates.log_u, np.array([log_u]))[0]
    lines, muse, sed = (
        np.einsum("u,guin->gin", weights, a, optimize=True)
        for a in (templates.line_lum, templates.cont_muse, templates.cont_sed)
    )
    return lines, muse, sed


def line_profiles(line_wave_aa: Array, wave_aa: Array, sigma_kms: float = 150.0) -> Array:
    """Gaussian profiles (L, W) per AA of lines seen by MUSE with a velocity dispersion; area 1."""
    sigma = lsf.total_sigma_aa(line_wave_aa, sigma_kms)[:, None]
    return np.exp(-0.5 * ((wave_aa - line_wave_aa[:, None]) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)


def line_bins(line_wave_aa: Array) -> Array:
    """Contribution (L, K) per AA of lines to the SED's bins: all of a line in the bin that holds it."""
    number = np.searchsorted(SED_EDGES_AA, line_wave_aa) - 1
    inside = (number >= 0) & (number < SED_EDGES_AA.size - 1)
    matrix = np.zeros((line_wave_aa.size, SED_EDGES_AA.size - 1))
    rows = np.flatnonzero(inside)
    matrix[rows, number[rows]] = 1.0 / np.diff(SED_EDGES_AA)[number[rows]]
    return matrix
