"""Maps of stars as MaNGA's data-analysis pipeline and Pipe3D write them: bins, stellar kinematics, ages, metallicities.

MaNGA (Westfall et al. 2019, AJ 158, 231): ``BINID`` has five planes, of which the second numbers the bins whose
stellar continuum was fitted; ``STELLAR_VEL`` is relative to ``SCINPVEL`` (c z, km/s); ``STELLAR_SIGMACORR`` is taken
off ``STELLAR_SIGMA`` in quadrature. Pipe3D (Sánchez et al. 2016, RMxAA 52, 171; MaNGA, CALIFA): the planes of ``SSP``
are named by ``DESC_n``; velocities are c z, ages and metallicities logarithms, 0 is no number; the sky is in
``ORG_HDR``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.io import fits_access
from napari_sfh.io.image_reader import to_native_float32
from napari_sfh.physics.wavelength import C_KMS
from napari_sfh.types import F32, F64

_MANGA_IMAGES = {"BINID", "STELLAR_VEL", "STELLAR_SIGMA"}
#: What the planes of Pipe3D's SSP are called in DESC_n.
_PLANES: Mapping[str, re.Pattern[str]] = {
    "bins": re.compile(r"^continuum.*segm|^segmentation|^cs map"),
    "velocity": re.compile(r"^velocity (of|map)"),
    "dispersion": re.compile(r"^velocity disp|^vel\w* disp|^dispersion"),
    "lg_age_lw": re.compile(r"^(luminosity|light)[- ]weighted (log.)?age"),
    "lg_age_mw": re.compile(r"^mass[- ]weighted (log.)?age"),
    "mh_lw": re.compile(r"^(luminosity|light)[- ]weighted (log.)?metal"),
    "mh_mw": re.compile(r"^mass[- ]weighted (log.)?metal"),
}
#: More planes than SSP has are channels of a spectrum.
_MOST_PLANES = 100
#: log10 of ages in yr and in Gyr that stars have.
_LG_YR, _LG_GYR = (5.5, 10.4), (-3.5, 1.4)
#: c z of galaxies, and velocities that are no c z of a galaxy of these surveys, but about 0.
_CZ_KMS, _RELATIVE_KMS = (-3000.0, 200_000.0), 150.0


@dataclass(frozen=True)
class SurveyMaps:
    """What a survey's file says of the stars, spaxel by spaxel; NaN where it says nothing."""

    maker: str  # for messages
    bins: NDArray[np.floating]  # (ny, nx) as numbered there, -1 = none
    v_kms: F32  # (ny, nx) relative to ``redshift``, c times the difference of ln(1 + z)
    sigma_kms: F32  # (ny, nx) of the stars
    redshift: float | None
    header: fits.Header  # with the celestial coordinates
    populations: Mapping[str, tuple[F32, str]]  # (ny, nx) by names of physics.means.MEAN_NAMES, and the unit as written


def is_survey_maps(hdus: fits.HDUList) -> bool:
    """Whether an open file is MaNGA's MAPS or a cube of Pipe3D's maps.

    Parameters
    ----------
    hdus : HDUList
        Open.
    """
    return _is_manga(hdus) or _find_pipe3d_stars(hdus) is not None


def is_binned_cube(hdus: fits.HDUList) -> bool:
    """Whether an open file is the cube of MaNGA's DAP: in each spaxel the spectrum of its bin, with its model.

    Parameters
    ----------
    hdus : HDUList
        Open.
    """
    return {h.name.upper() for h in hdus} >= {"FLUX", "MODEL", "BINID"}


def read_survey_maps(hdus: fits.HDUList, path: Path) -> SurveyMaps:
    """Read the maps of a file of which `is_survey_maps` says that it has some.

    Parameters
    ----------
    hdus : HDUList
        Open.
    path : Path
        For messages.

    Returns
    -------
    SurveyMaps

    Raises
    ------
    SfhInputError
        An image or plane is absent, of another shape, or holds no such quantity.
    """
    return _read_manga(hdus, path) if _is_manga(hdus) else _read_pipe3d(hdus, path)


def _is_manga(hdus: fits.HDUList) -> bool:
    return {h.name.upper() for h in hdus} >= _MANGA_IMAGES


def _find_pipe3d_stars(hdus: fits.HDUList) -> Any:
    """The HDU of Pipe3D's stellar planes, SSP or, in CALIFA's files of them alone, the primary one; else None."""
    cubes = [h for h in hdus if len(shape := fits_access.image_shape(h)) == 3 and shape[0] < _MOST_PLANES]
    return next((h for h in cubes if len(_name_planes(h)) >= (1 if h.name.upper() == "SSP" else 3)), None)


def _name_planes(hdu: Any) -> dict[str, int]:
    """The planes of `_PLANES` that DESC_n names, and n."""
    told = {n: str(hdu.header.get(f"DESC_{n}", "")).strip().lower() for n in range(fits_access.image_shape(hdu)[0])}
    named = {key: [n for n, text in told.items() if pattern.match(text)] for key, pattern in _PLANES.items()}
    return {key: found[0] for key, found in named.items() if found}


def _read_pipe3d(hdus: fits.HDUList, path: Path) -> SurveyMaps:
    hdu = _find_pipe3d_stars(hdus)
    named = _name_planes(hdu)
    missing = [key for key in ("bins", "velocity", "dispersion") if key not in named]
    if missing:
        known = "; ".join(str(hdu.header.get(f"DESC_{n}", "")) for n in range(3))
        raise SfhInputError(
            f"{path}: no plane of SSP is the stars' {' or '.join(missing)} by its DESC_n ({known} ...); give Pipe3D's "
            "own file"
        )
    with _naming_planes(path):
        planes = {key: to_native_float32(np.array(hdu.data[n])) for key, n in named.items()}
    bins = np.where(planes["bins"] > 0, planes["bins"], -1)
    used = bins > 0
    if not used.any():
        raise SfhInputError(f"{path}: the segmentation of SSP has no bin; give another file")
    v, redshift = _subtract_systemic(planes["velocity"], used, path)
    populations = {
        key: (
            np.where(used & ((plane != 0) | key.startswith("mh")), plane, np.float32(np.nan)),
            _find_unit(hdu, named[key]),
        )
        for key, plane in planes.items()
        if key.startswith(("lg_age", "mh"))
    }
    primary = next((h for h in hdus if h.name.upper() == "ORG_HDR"), hdus[0]).header
    header = hdu.header if str(hdu.header.get("CTYPE1", "")).strip() else primary
    return SurveyMaps("Pipe3D", bins, v.astype(np.float32), planes["dispersion"], redshift, header, populations)


@contextmanager
def _naming_planes(path: Path) -> Iterator[None]:
    """What a library raises on a damaged file as one sentence that names it."""
    try:
        yield
    except fits_access.READ_ERRORS as e:
        line = fits_access.format_error_line(e)
        raise SfhInputError(f"{path}: its maps cannot be read ({line}); download the file again") from e


def _subtract_systemic(cz_kms: F32, used: NDArray[np.bool_], path: Path) -> tuple[F64, float | None]:
    """Velocities about the systemic redshift, and this: of c z their median; velocities about 0 have none."""
    cz = np.where((cz_kms != 0) & used, cz_kms, np.nan).astype(np.float64)
    if not np.isfinite(cz).any():
        raise SfhInputError(f"{path}: the velocities of SSP are all 0 or no numbers; give another file")
    middle, largest = float(np.nanmedian(cz)), float(np.nanmax(np.abs(cz)))
    if not 1.0 < largest or not _CZ_KMS[0] < middle < _CZ_KMS[1]:
        raise SfhInputError(f"{path}: the velocities of SSP are about {middle:.4g}, no c z in km/s; give them in km/s")
    if abs(middle) < _RELATIVE_KMS:
        return np.where(used, cz_kms, np.nan).astype(np.float64), None
    return C_KMS * (np.log1p(cz / C_KMS) - np.log1p(middle / C_KMS)), middle / C_KMS


def _find_unit(hdu: Any, plane: int) -> str:
    """The unit of a plane as UNITS_n has it; ages, which Pipe3D writes as logarithms, by their numbers first."""
    text = str(hdu.header.get(f"UNITS_{plane}", "")).strip()
    if "age" not in str(hdu.header.get(f"DESC_{plane}", "")).lower() or "log" in text.lower():
        return text
    values = np.asarray(hdu.data[plane], dtype=np.float64)
    known = values[np.isfinite(values) & (values != 0)]
    for (low, high), unit in ((_LG_YR, "log yr"), (_LG_GYR, "log Gyr")):
        if known.size and low < known.min() <= known.max() < high:
            return unit
    return text


def _read_manga(hdus: fits.HDUList, path: Path) -> SurveyMaps:
    images = {h.name.upper(): h for h in hdus}
    with _naming_planes(path):
        bins = _get_plane(images["BINID"], 1).astype(np.float64)
        v, sigma = (_get_plane(images[name], 0) for name in ("STELLAR_VEL", "STELLAR_SIGMA"))
        for name in ("STELLAR_VEL_MASK", "STELLAR_SIGMA_MASK"):
            if name in images:
                forbidden = _get_plane(images[name], 0) != 0
                v, sigma = (np.where(forbidden, np.float32(np.nan), image) for image in (v, sigma))
        correction = _get_plane(images["STELLAR_SIGMACORR"], 0) if "STELLAR_SIGMACORR" in images else np.zeros(v.shape)
    if not bins.shape == v.shape == sigma.shape == correction.shape:
        raise SfhInputError(f"{path}: BINID is {bins.shape} but STELLAR_VEL {v.shape}; the file is damaged")
    square = sigma.astype(np.float64) ** 2 - correction.astype(np.float64) ** 2
    stars = np.sqrt(np.where(square > 0, square, np.nan)).astype(np.float32)
    cz = fits_access.get_number_card(fits_access.merge_headers(hdus[0].header), "SCINPVEL")
    redshift = None if cz is None else cz / C_KMS
    return SurveyMaps("MaNGA's DAP", bins, v, stars, redshift, images["STELLAR_VEL"].header, {})


def _get_plane(hdu: Any, number: int) -> F32:
    """A plane of an image, or the image where it has none."""
    data = np.asarray(hdu.data)
    return to_native_float32(np.array(data[min(number, len(data) - 1)] if data.ndim == 3 else data))
