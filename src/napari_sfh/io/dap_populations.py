"""Stellar-population maps in a ``MAPS`` file: ages and metallicities, where a release has them.

The collaboration's PHANGS-MUSE files hold ``AGE_LW`` and ``AGE_MW`` (Emsellem et al. 2022, A&A 659, A191), and
metallicities under names that differ between versions. What a map's numbers mean is read from BUNIT; where that is
absent it follows from their range, and a note says what was taken. Pipe3D's maps are read by `io.survey_maps`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.io import fits_access
from napari_sfh.io.cleaning.bin_maps import renumber_bins
from napari_sfh.io.image_reader import to_native_float32
from napari_sfh.io.survey_maps import SurveyMaps, is_survey_maps, read_survey_maps
from napari_sfh.physics.ages import Z_SUN
from napari_sfh.types import F32, I32

#: Names of the extensions of each mean (`physics.means.MEAN_NAMES`), best first.
MAP_EXTENSIONS: dict[str, tuple[str, ...]] = {
    "lg_age_lw": ("AGE_LW",),
    "lg_age_mw": ("AGE_MW",),
    "mh_lw": ("Z_LW", "MH_LW", "METAL_LW"),
    "mh_mw": ("Z_MW", "MH_MW", "METAL_MW"),
}


#: log10 yr and dex that a median over a galaxy may have.
_POSSIBLE = {"lg_age": (6.0, 10.5), "mh": (-4.0, 1.0)}
#: [M/H] that no library of stars reaches, dex.
_RICHEST = 0.7


@dataclass(frozen=True)
class PopulationMaps:
    """Mean ages and metallicities of a MAPS file, one number a bin."""

    path: Path
    bin_id: I32  # (ny, nx), 1..N, 0 = none
    wcs: WCS
    means: dict[str, F32]  # (N,) by names of physics.means.MEAN_NAMES: log10 yr, dex
    errors: dict[str, F32]  # (N,) 1 sigma, dex
    notes: tuple[str, ...]  # what was assumed, for the user


def read_populations(path: str | Path) -> PopulationMaps:
    """Read the ages and metallicities of a MAPS file.

    Raises
    ------
    SfhInputError
        No BIN_ID, no age or metallicity among the extensions, a shape that differs, or numbers that are no ages.
    """
    path = Path(path)
    with fits_access.open_fits(path) as hdus:
        if is_survey_maps(hdus):
            return _bin_survey_maps(read_survey_maps(hdus, path), path)
        images = {h.name.upper(): h for h in hdus if len(fits_access.image_shape(h)) == 2}
        if "BIN_ID" not in images:
            raise SfhInputError(
                f"{path}: no image BIN_ID among [{fits_access.describe_hdus(hdus)}]; give a DAP MAPS file"
            )
        bin_image = images["BIN_ID"].data.reshape(fits_access.image_shape(images["BIN_ID"]))
        bins, _ = renumber_bins(bin_image, f"{path}: BIN_ID", zero_is_bin=True)
        wcs = fits_access.read_celestial_wcs(images["BIN_ID"].header, path)
        found = {key: next((n for n in names if n in images), None) for key, names in MAP_EXTENSIONS.items()}
        present = {key: name for key, name in found.items() if name is not None}
        if not present:
            raise SfhInputError(
                f"{path}: no ages or metallicities ({', '.join(n[0] for n in MAP_EXTENSIONS.values())}); "
                "public MAPS have none: give the collaboration's file or a result of napari-sfh"
            )
        means, errors, notes = {}, {}, []
        for key, name in present.items():
            values = _value_of_each_bin(images[name], bins, path)
            means[key], factor, note = _convert_mean(
                key, values, str(images[name].header.get("BUNIT", "")), f"{path}: {name}"
            )
            notes += [f"{name}: {note}"] if note else []
            error = next((n for n in (f"{name}_ERR", f"FORM_ERR_{name}", f"ERR_{name}") if n in images), None)
            if error is not None:
                errors[key] = (_value_of_each_bin(images[error], bins, path) * factor).astype(np.float32)
    return PopulationMaps(path, bins, wcs, means, errors, tuple(notes))


def _bin_survey_maps(maps: SurveyMaps, path: Path) -> PopulationMaps:
    if not maps.populations:
        raise SfhInputError(
            f"{path}: {maps.maker} maps hold no ages or metallicities; give Pipe3D's file, or a result of napari-sfh"
        )
    bins, _ = renumber_bins(maps.bins, f"{path}: bins of {maps.maker}", zero_is_bin=True)
    wcs = fits_access.read_celestial_wcs(maps.header, path)
    means, notes = {}, [f"{maps.maker}: means are of log age and log Z, relative to the Sun of its templates"]
    for key, (image, unit) in maps.populations.items():
        means[key], _, note = _convert_mean(
            key, _first_of_each_bin(image, bins), unit, f"{path}: {key} of {maps.maker}"
        )
        notes += [f"{key}: {note}"] if note else []
    return PopulationMaps(path, bins, wcs, means, {}, tuple(notes))


def _value_of_each_bin(hdu: fits.ImageHDU, bins: I32, path: Path) -> F32:
    """The value (N,) of each bin of a DAP image."""
    if hdu.shape != bins.shape:
        raise SfhInputError(f"{path}: {hdu.name} is {hdu.shape} but BIN_ID {bins.shape}; the file is damaged")
    return _first_of_each_bin(to_native_float32(hdu.data), bins)


def _first_of_each_bin(image: F32, bins: I32) -> F32:
    """The value (N,) of each bin: that of its first spaxel with a number, as all of a bin's carry the same."""
    out = np.full(int(bins.max(initial=0)), np.nan, dtype=np.float32)
    good = (bins > 0) & np.isfinite(image)
    number, first = np.unique(bins[good], return_index=True)
    out[number - 1] = image[good][first]
    return out


def _convert_mean(key: str, values: F32, unit: str, what: str) -> tuple[F32, NDArray[np.floating] | float, str]:
    """The mean in log10 yr or dex, the factor that makes an error one of it, and what was assumed."""
    if not np.isfinite(values).any():
        raise SfhInputError(f"{what} has no finite value in a bin; give another file")
    is_age = key.startswith("lg_age")
    logarithmic, scale, note = (_age_unit if is_age else _metal_unit)(values, unit.lower(), what)
    positive = np.where(values > 0, values, np.nan)
    mean = values + np.float32(np.log10(scale)) if logarithmic else np.log10(positive * scale)
    low, high = _POSSIBLE["lg_age" if is_age else "mh"]
    middle = float(np.nanmedian(mean))
    if not low < middle < high:
        meant = f"an age of 10^{middle:.4g} yr" if is_age else f"a metallicity of {middle:.4g} dex"
        raise SfhInputError(
            f"{what}: with BUNIT {unit!r} the median {np.nanmedian(values):.4g} is {meant}; correct BUNIT"
        )
    return mean.astype(np.float32), 1.0 if logarithmic else 1 / (positive * np.log(10)), note


def _age_unit(values: F32, unit: str, what: str) -> tuple[bool, float, str]:
    """Whether ages are logarithms, and years per unit."""
    logarithmic = "log" in unit or "dex" in unit
    for word, years in (("gyr", 1e9), ("myr", 1e6), ("yr", 1.0), ("year", 1.0)):
        if word in unit:
            return logarithmic, years, ""
    low, high = np.nanmin(values), np.nanmax(values)
    if low > 1e4:
        return False, 1.0, "BUNIT is absent, taken as yr"
    if low > 5 and high < 10.5:
        return True, 1.0, "BUNIT is absent, taken as log10 yr"
    if low >= 0 and high < 20:
        return False, 1e9, "BUNIT is absent, taken as Gyr"
    raise SfhInputError(f"{what} runs from {low:.3g} to {high:.3g}, no ages in yr, Gyr or log10 yr; set its BUNIT")


def _metal_unit(values: F32, unit: str, what: str) -> tuple[bool, float, str]:
    """Whether metallicities are logarithms, and solar metallicities per unit."""
    if "dex" in unit or "log" in unit or np.nanmin(values) < 0:
        return True, 1.0, ""
    if "sun" in unit or "solar" in unit:
        return False, 1.0, ""
    if np.nanmax(values) > _RICHEST:
        return False, 1.0, "taken as Z/Z_sun: no stars have so much as dex"
    if np.nanmax(values) < 0.1:
        return False, 1 / Z_SUN, f"taken as mass fraction of metals, Z_sun = {Z_SUN}"
    return True, 1.0, "BUNIT is absent, taken as [M/H] in dex"
