"""Results of nGIST and GIST, for comparison.

Either the tables of a run (``*_table.fits``, ``*_sfh.fits``) or the maps that nGIST distributes
(``*_SPATIAL_BINNING_maps.fits``, ``*_SFH_maps.fits``), each with ``*_sfh-weights.fits`` if it is there.

Spaxels with a negative bin number lie outside every bin and carry minus the number of the nearest one (so that bin 0
has no such spaxels); they are none here. ``AGE`` is a linear mean in Gyr; from the template weights the means of log
age are computed, light- or mass-weighted as that run's templates were normalised. Bittner et al. (2019, A&A 628,
A117).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.io import fits_access
from napari_sfh.physics.means import weighted_mean
from napari_sfh.types import F32, F64, I32, measure_pixel_arcsec


@dataclass(frozen=True)
class NgistResult:
    """Bins and mean stellar populations of a GIST/nGIST run. Bins are in the run's own order, numbered 1..N here."""

    path: Path
    bin_id: I32  # (ny, nx), 1.., 0 = none; x to the right as the table's X grows
    x_arcsec: F64  # (nx,) positions of the columns as the run stored them
    y_arcsec: F64  # (ny,)
    snr: F32  # (N,)
    lg_age_yr: F32  # (N,) log10 of the run's linear mean age
    mh: F32  # (N,) mean metallicity, dex
    lg_age_weighted_yr: F32 | None  # (N,) mean of log age from the template weights, if they are there
    mh_weighted: F32 | None  # (N,)
    weights: F32 | None  # (N, T) of the templates, as the run normalised these: light or mass
    templates: F32 | None  # (T, 2) log10 age in yr and [M/H] of the templates
    errors: Mapping[str, F32]  # (N,) Monte-Carlo errors of "lg_age_yr" and "mh", dex, where the run made some
    wcs: WCS | None  # celestial; tables have none
    notes: tuple[str, ...] = ()  # on how the ages were read


#: No age is larger, Gyr; and numbers that may be log10 yr as well as Gyr.
_OLDEST_GYR, _LG_YR = 20.0, (6.5, 10.3)


def is_ngist_file(hdus: fits.HDUList) -> bool:
    """Whether an open file is a table or a maps file of a run's bins or star-formation histories."""
    flat = {h.name.upper() for h in hdus if len(fits_access.image_shape(h)) == 2}
    if "BINID" in flat or {"AGE", "METAL"} <= flat:  # BINID of MaNGA has planes
        return True
    for hdu in hdus[1:]:
        names = {n.upper() for n in hdu.columns.names} if isinstance(hdu, fits.BinTableHDU) else set()
        if {"BIN_ID", "X", "Y", "XBIN"} <= names or (hdu.name.upper() == "SFH" and {"AGE", "METAL"} <= names):
            return True
    return False


def find_run_companion(path: Path, ending: str) -> Path | None:
    """A file of the same run: ``<run>_<ending>.fits`` beside ``path``.

    Parameters
    ----------
    path : Path
        Any file of the run.
    ending : str
        What the other's name ends with: ``kin``, ``sfh``, ``table``.

    Returns
    -------
    Path or None
        None where there is none.
    """
    run = _run_name(path).lower()
    wanted = f"{run}_{ending}".lower()
    return next(
        (
            p
            for p in sorted(path.parent.iterdir())
            if fits_access.strip_fits_suffix(p).lower() == wanted and fits_access.is_fits_name(p)
        ),
        None,
    )


def _run_name(path: Path) -> str:
    name = fits_access.strip_fits_suffix(path)
    for ending in ("_table", "_sfh", "_spatial_binning_maps", "_sfh_maps"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    raise SfhInputError(f"{path}: no *_table.fits, *_sfh.fits, *_SFH_maps.fits of a GIST/nGIST run; name one of these")


def read_ngist(path: str | Path) -> NgistResult:
    """Read one GIST/nGIST run.

    Parameters
    ----------
    path : path
        One of its tables or maps; the others are found beside it.

    Returns
    -------
    NgistResult

    Raises
    ------
    SfhInputError
        A file of the pair is absent, or its columns are not those of a run.
    """
    path = Path(path)
    return _read_maps(path) if fits_access.strip_fits_suffix(path).lower().endswith("_maps") else _read_tables(path)


def _read_tables(path: Path) -> NgistResult:
    table_path, sfh_path = (_require_companion(path, ending) for ending in ("table", "sfh"))
    spaxels = _read_columns(table_path, "", "BIN_ID", "X", "Y", "SNRBIN")
    sfh = _read_columns(sfh_path, "", "AGE", "METAL")
    n = sfh["AGE"].shape[0]
    number = np.asarray(spaxels["BIN_ID"], dtype=np.int64)
    if number.max(initial=-1) + 1 != n:
        raise SfhInputError(
            f"{table_path}: {number.max(initial=-1) + 1} bins but {n} rows in {sfh_path.name}; give tables of one run"
        )
    bin_id, x, y = _spaxels_to_image(np.where(number >= 0, number + 1, 0), spaxels["X"], spaxels["Y"], table_path)
    snr = np.full(n, np.nan, dtype=np.float32)
    snr[number[number >= 0]] = spaxels["SNRBIN"][number >= 0]
    return _make_ngist_result(
        path, bin_id, (x, y), snr, (sfh["AGE"], sfh["METAL"]), _read_monte_carlo_errors(sfh_path, sfh["AGE"]), None
    )


def _read_maps(path: Path) -> NgistResult:
    """From images: every spaxel of a bin carries the bin's value."""
    binning_path, sfh_path = (_require_companion(path, ending) for ending in ("spatial_binning_maps", "sfh_maps"))
    bins, wcs = _read_map_images(binning_path, "BINID", "SNRBIN")
    sfh, _ = _read_map_images(sfh_path, "AGE", "METAL")
    number = np.nan_to_num(bins["BINID"], nan=-1).astype(np.int64)
    if sfh["AGE"].shape != number.shape or not (number >= 0).any():
        raise SfhInputError(f"{sfh_path}: maps of {sfh['AGE'].shape} for bins of {number.shape}; give maps of one run")
    if np.nanmin(sfh["AGE"]) < 0:
        # Seen in nGIST's code of 2023: the first map has its own median subtracted.
        raise SfhInputError(f"{sfh_path}: negative ages, its median was subtracted; give *_table.fits and *_sfh.fits")
    filled, first = np.unique(number, return_index=True)
    filled, first = filled[filled >= 0], first[filled >= 0]
    values = np.full((3, number.max() + 1), np.nan)
    for row, image in zip(values, (bins["SNRBIN"], sfh["AGE"], sfh["METAL"])):
        row[filled] = image.ravel()[first]
    step = measure_pixel_arcsec(wcs)
    axes = (step * np.arange(number.shape[1]), step * np.arange(number.shape[0]))
    bin_id = np.where(number >= 0, number + 1, 0).astype(np.int32)
    return _make_ngist_result(path, bin_id, axes, values[0].astype(np.float32), (values[1], values[2]), {}, wcs)


def _make_ngist_result(
    path: Path,
    bin_id: I32,
    axes: tuple[F64, F64],
    snr: F32,
    age_gyr_and_metal: tuple[NDArray[Any], NDArray[Any]],
    errors: Mapping[str, F32],
    wcs: WCS | None,
) -> NgistResult:
    age, metal = age_gyr_and_metal
    weights, templates = _read_template_weights(path, snr.size)
    lg_age = mh = None
    if weights is not None and templates is not None:
        lg_age, mh = (weighted_mean(weights, t).astype(np.float32) for t in templates.T)
    age = np.asarray(age, dtype=np.float64)
    age_gyr, notes = _convert_ages(age, lg_age, path)
    return NgistResult(
        path=path,
        bin_id=bin_id,
        x_arcsec=axes[0],
        y_arcsec=axes[1],
        snr=snr,
        lg_age_yr=(np.log10(np.where(age_gyr > 0, age_gyr, np.nan)) + 9).astype(np.float32),
        mh=metal.astype(np.float32),
        lg_age_weighted_yr=lg_age,
        mh_weighted=mh,
        weights=weights,
        templates=templates,
        errors=errors if age_gyr is age else {},  # they are in the unit of the ages
        wcs=wcs,
        notes=notes,
    )


def _convert_ages(age: F64, lg_age_weighted: F32 | None, path: Path) -> tuple[F64, tuple[str, ...]]:
    """Ages (M,) in Gyr, and what is said of them where their numbers may be logarithms.

    GIST and nGIST write Gyr; tables that people made of their results hold log10 yr, too. Where the template weights
    are there, their mean tells which.

    Raises
    ------
    SfhInputError
        Negative ages.
    """
    known = age[np.isfinite(age)]
    low, high = (float(f(known)) for f in (np.min, np.max)) if known.size else (1.0, 1.0)
    if low < 0:
        raise SfhInputError(
            f"{path}: AGE of {low:g} to {high:g} are no ages in Gyr; write 10 to their power where they are logarithms"
        )
    if high > _OLDEST_GYR:
        raise SfhInputError(f"{path}: AGE of up to {high:g} are no ages in Gyr; divide them by 1e9 if they are years")
    if not _LG_YR[0] <= low <= high <= _LG_YR[1]:
        return age, ()
    said = f"AGE of {low:.3g} to {high:.3g}"
    if lg_age_weighted is None:
        return age, (f"{said} are read as Gyr, as GIST writes them: if they are log10 yr, write Gyr",)
    misses = [np.nanmedian(np.abs(lg_age - lg_age_weighted)) for lg_age in (np.log10(age) + 9, age)]
    if misses[1] < 0.5 * misses[0]:
        return 10 ** (age - 9), (f"{said} are read as log10 yr, which the template weights agree with",)
    return age, ()


def _read_monte_carlo_errors(path: Path, age_gyr: NDArray[Any]) -> dict[str, F32]:
    """Monte-Carlo errors of a run's table, if it has some: of the linear age in Gyr, made one of its logarithm."""
    try:
        found = _read_columns(path, "", "ERR_AGE_MC", "ERR_METAL_MC")
    except SfhInputError:
        return {}
    lg_age = found["ERR_AGE_MC"] / (np.where(age_gyr > 0, age_gyr, np.nan) * np.log(10))
    return {"lg_age_yr": lg_age.astype(np.float32), "mh": found["ERR_METAL_MC"].astype(np.float32)}


def _read_map_images(path: Path, *names: str) -> tuple[dict[str, NDArray[Any]], WCS]:
    """Images of a maps file (an absent SNRBIN is NaN), and its celestial WCS."""
    with fits_access.open_fits(path) as hdus:
        present = {h.name.upper(): h for h in hdus if len(fits_access.image_shape(h)) == 2}
        if names[0] not in present:
            raise SfhInputError(
                f"{path}: no map {names[0]} among [{fits_access.describe_hdus(hdus)}]; give nGIST's maps"
            )
        wcs = fits_access.read_celestial_wcs(present[names[0]].header, path)
        first = _to_native(present[names[0]].data)
        maps = {n: _to_native(present[n].data) if n in present else np.full(first.shape, np.nan) for n in names}
    return maps, wcs


def _require_companion(path: Path, ending: str) -> Path:
    """The run's ``*_<ending>.fits``: ``path`` itself or beside it."""
    found = find_run_companion(path, ending)
    if found is None:
        raise SfhInputError(
            f"{path}: its companion {_run_name(path)}_{ending}.fits is not in the folder; copy it there"
        )
    return found


def _read_columns(path: Path, extension: str, *names: str) -> dict[str, NDArray[Any]]:
    """Native copies of columns of the first table (of the given name, if any) that has them all."""
    with fits_access.open_fits(path) as hdus:
        for hdu in hdus[1:]:
            if not isinstance(hdu, fits.BinTableHDU) or (extension and hdu.name.upper() != extension):
                continue
            present = {c.upper(): c for c in hdu.columns.names}
            if not all(n in present for n in names):
                continue
            try:
                return {n: _to_native(hdu.data[present[n]]) for n in names}
            except fits_access.READ_ERRORS as e:
                raise SfhInputError(
                    f"{path}: the table cannot be read ({fits_access.format_error_line(e)}); copy the file again"
                ) from e
    raise SfhInputError(f"{path}: no table with the columns {', '.join(names)}; give the tables of a GIST/nGIST run")


def _to_native(column: NDArray[Any]) -> NDArray[Any]:
    return np.array(column, dtype=column.dtype.newbyteorder("="))


def _spaxels_to_image(bins: NDArray[Any], x: F64, y: F64, path: Path) -> tuple[I32, F64, F64]:
    """Spaxel list to image: (ny, nx), positions of columns and rows."""
    axes, index = [], []
    for values in (x, y):
        steps = np.diff(np.unique(np.round(values, 6)))
        step = float(steps.min()) if steps.size else 1.0
        place = np.round((values - values.min()) / step).astype(int)
        if np.max(np.abs(values.min() + place * step - values)) > 0.25 * step:
            raise SfhInputError(f"{path}: X, Y lie on no regular grid; give the table of a GIST/nGIST run on one cube")
        axes.append(values.min() + step * np.arange(place.max() + 1))
        index.append(place)
    image = np.zeros((axes[1].size, axes[0].size), dtype=np.int32)
    image[index[1], index[0]] = bins
    return image, axes[0], axes[1]


def _read_template_weights(path: Path, n: int) -> tuple[F32 | None, F32 | None]:
    """Weights (n, T), and log10 age in yr and metallicity of the templates (T, 2); (None, None) without the file."""
    found = find_run_companion(path, "sfh-weights") or find_run_companion(path, "sfh_weights")
    if found is None:
        return None, None
    weights = _read_columns(found, "", "WEIGHTS")["WEIGHTS"].reshape(n, -1).astype(np.float32)
    grid = _read_columns(found, "", "LOGAGE", "METAL")
    if grid["LOGAGE"].size != weights.shape[1]:
        raise SfhInputError(
            f"{found}: {weights.shape[1]} weights a bin but {grid['LOGAGE'].size} templates in GRID; it is damaged"
        )
    # log10 Gyr in GIST's files; nothing is 1000 Gyr old.
    shift = 9 if np.nanmax(grid["LOGAGE"]) < 3 else 0
    return weights, np.stack([grid["LOGAGE"] + shift, grid["METAL"]], axis=1).astype(np.float32)
