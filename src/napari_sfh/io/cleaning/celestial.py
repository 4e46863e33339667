"""Celestial coordinates, cleaned once on reading.

The result is a two-dimensional WCS in ICRS (or FK5 J2000, which differs by 0.02 arcsec) without distortions, so that
every reader, footprint and reprojection may use wcslib's core transformation. CD, PC and CDELT are taken axis by axis
as each card says. Coefficients of a SIP polynomial count only where CTYPE declares them with ``-SIP`` (Shupe et al.
2005, ASP Conf. 347, 491). Declared distortions, lookup tables and other frames are fitted by a tangent plane; where
that leaves more than `MAX_RESIDUAL_PIX`, the image is refused.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.coordinates import ICRS, BarycentricMeanEcliptic, SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales, wcs_to_celestial_frame

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.cards import HeaderCards
from napari_sfh.io.cleaning.units import unit_conversion_factor
from napari_sfh.types import F64

#: Largest deviation from a tangent plane that is accepted, pixels.
MAX_RESIDUAL_PIX: float = 0.2
#: Pixels that MUSE, HST and other instruments of resolved galaxies have, arcsec.
PIXEL_RANGE_ARCSEC: tuple[float, float] = (0.002, 10.0)
_LONGITUDE = re.compile(r"^(RA|.{1,2}LON|.LN)(-|$)")
#: Names of axes that are no sky, as simulations have them.
_PLANE = re.compile(r"^[XY][-_ ]?(AXIS|OFFSET|POS|COORD)?$", re.IGNORECASE)
_LATITUDE = re.compile(r"^(DEC|.{1,2}LAT|.LT)(-|$)")
_FRAMES = {"J2000": "FK5", "J2000.0": "FK5", "B1950": "FK4", "B1950.0": "FK4", "ICRF": "ICRS", "FK5-J2000": "FK5"}


class CelestialAxes(NamedTuple):
    """Numbers of the FITS axes that hold the sky, in the order of the pixels."""

    first: int
    second: int


def find_celestial_axes(cards: HeaderCards) -> CelestialAxes:
    """Axes of longitude and latitude.

    Raises
    ------
    SfhInputError
        There are none; names the CTYPE cards.
    """
    types = {i: cards.text(f"CTYPE{i}").upper() for i in range(1, 6)}
    found = [i for i, t in types.items() if _LONGITUDE.match(t) or _LATITUDE.match(t)]
    kinds = {bool(_LATITUDE.match(types[i])) for i in found}
    if len(found) != 2 or len(kinds) != 2:
        shown = ", ".join(f"CTYPE{i} = {t!r}" for i, t in types.items() if t) or "no CTYPE1, CTYPE2"
        raise SfhInputError(
            f"{cards.path}: no celestial WCS in HDU {cards.hdu} ({shown}); add the coordinates of the image, "
            "CTYPE1 'RA---TAN' and CTYPE2 'DEC--TAN' with CRVAL, CRPIX and CD"
        )
    return CelestialAxes(*sorted(found))


def clean_celestial_wcs(
    header: fits.Header, path: Path, hdus: fits.HDUList | None = None
) -> tuple[WCS, tuple[str, ...]]:
    """Read the celestial WCS of an image or a cube.

    Parameters
    ----------
    header : Header
    path : Path
        For messages.
    hdus : HDUList, optional
        Open file with the tables of CPDIS and D2IM, if the header names some.

    Returns
    -------
    WCS
        Two-dimensional, celestial, in ICRS or FK5 J2000, longitude first, without distortions; sky in degrees.
    tuple of str
        What was left out or converted, for the user.

    Raises
    ------
    SfhInputError
        Names the card that failed.
    """
    header, told = _name_plane_axes(header, path)
    cards = HeaderCards(header, path)
    axes = find_celestial_axes(cards)
    plain, notes = _two_axis_header(cards, axes)
    notes += told
    lookup = [k for i in axes for k in (f"CPDIS{i}", f"D2IMDIS{i}") if cards.has(k)]
    wcs = _build_wcs(cards, plain, axes, hdus if lookup else None, lookup)
    _check_scale(cards, wcs, axes)
    distorted = wcs.sip is not None or bool(lookup)
    if distorted or not _is_equatorial_2000(wcs) or wcs.wcs.lng == 1:
        shape = tuple(int(cards.number(f"NAXIS{i}", 100.0) or 100) for i in axes)
        wcs, residual = _fit_tangent_plane(cards, wcs, (shape[0], shape[1]), lookup)
        what = "distortions" if distorted else f"coordinates {', '.join(cards.text(f'CTYPE{i}') for i in axes)}"
        notes.append(f"{what} converted to a tangent plane in ICRS, to {max(residual, 0.001):.3f} pixels")
    return wcs, tuple(notes)


def _name_plane_axes(header: fits.Header, path: Path) -> tuple[fits.Header, list[str]]:
    """A header whose first two axes are angles without a sky, as simulations write them, with a tangent plane instead.

    Their names must say that they are a plane: a sky whose CTYPE got lost is refused.
    """
    cards = HeaderCards(header, path)
    names, units = ([cards.text(f"{key}{i}") for i in (1, 2)] for key in ("CTYPE", "CUNIT"))
    angles = [unit_conversion_factor(unit, u.deg) is not None if unit else False for unit in units]
    if all(map(_PLANE.match, names)) and all(unit and unit_conversion_factor(unit, u.pc) is not None for unit in units):
        raise SfhInputError(
            f"{path}: CTYPE1 {names[0]!r} and CTYPE2 {names[1]!r} in HDU {cards.hdu} are lengths ({units[0]}), no "
            f"angles: write CDELT in arcsec, 206265 times the length by the distance in {units[0]}, and CUNIT 'arcsec'"
        )
    if not all(map(_PLANE.match, names)) or not all(angles):
        return header, []
    header = header.copy()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    if "CDELT1" in header and not any(key in header for key in ("CD1_1", "PC1_1")):
        header["CDELT1"] = -abs(cards.require_number("CDELT1", "add the size of a pixel"))  # x to the right is west
    return header, [
        f"CTYPE1 {names[0]!r} and CTYPE2 {names[1]!r} are no sky: a plane of the header's scale is taken, around "
        "RA and Dec as CRVAL has them"
    ]


def _two_axis_header(cards: HeaderCards, axes: CelestialAxes) -> tuple[fits.Header, list[str]]:
    """A header of the celestial cards alone, with a CD matrix."""
    plain, notes = fits.Header(), []
    matrix = _pixel_matrix(cards, axes)
    for n, i in enumerate(axes, start=1):
        ctype = cards.text(f"CTYPE{i}").upper()
        plain[f"CTYPE{n}"] = ctype
        plain[f"CUNIT{n}"] = _angle_unit(cards, i)
        plain[f"CRVAL{n}"] = cards.require_number(f"CRVAL{i}", "add the sky coordinate of the reference pixel")
        plain[f"CRPIX{n}"] = cards.require_number(f"CRPIX{i}", "add the reference pixel")
        degrees = u.Unit(plain[f"CUNIT{n}"]).to(u.deg, plain[f"CRVAL{n}"])
        if _LATITUDE.match(ctype) and not abs(degrees) <= 90:
            raise cards.error(f"CRVAL{i}", "is no latitude", "correct it, in degrees")
        for m, value in enumerate(matrix[n - 1], start=1):
            plain[f"CD{n}_{m}"] = float(value)
        for key in list(cards.header):
            if re.fullmatch(rf"PV{i}_\d+", key):
                plain[f"PV{n}_{key.split('_')[1]}"] = cards.number(key)
        if ctype.endswith("-TPV") and f"PV{n}_1" not in plain:
            plain[f"PV{n}_1"] = 1.0  # the convention's default: without it wcslib puts all pixels on one point
    for key in ("LONPOLE", "LATPOLE"):
        if cards.number(key) is not None:
            plain[key] = cards.number(key)
    _copy_frame(cards, plain)
    coefficients = [k for k in list(cards.header) if re.fullmatch(r"[AB]P?_(ORDER|DMAX|\d+_\d+)", k)]
    if coefficients and all(plain[f"CTYPE{n}"].endswith("-SIP") for n in (1, 2)):
        for key in coefficients:
            plain[key] = int(cards.number(key) or 0) if key.endswith("ORDER") else cards.number(key)
    elif coefficients:
        for n in (1, 2):
            plain[f"CTYPE{n}"] = plain[f"CTYPE{n}"].removesuffix("-SIP")
        notes.append(
            f"SIP coefficients ({', '.join(k for k in coefficients if 'ORDER' in k) or coefficients[0]}) are ignored: "
            f"CTYPE{axes.first} = {cards.text(f'CTYPE{axes.first}')!r} does not declare them with -SIP"
        )
    else:
        for n in (1, 2):
            plain[f"CTYPE{n}"] = plain[f"CTYPE{n}"].removesuffix("-SIP")
    return plain, notes


def _pixel_matrix(cards: HeaderCards, axes: CelestialAxes) -> F64:
    """Degrees (or the axes' unit) per pixel, (2, 2): each row from CD where it has some, else from CDELT, PC, CROTA."""
    matrix = np.zeros((2, 2))
    rotation = np.radians(cards.number(f"CROTA{axes.second}") or 0.0)
    has_pc = any(cards.has(key) for i in axes for j in axes for key in (f"PC{i}_{j}", f"PC{i:03d}{j:03d}"))
    steps = [cards.number(f"CDELT{i}") for i in axes]
    for n, i in enumerate(axes):
        if any(cards.has(f"CD{i}_{j}") for j in axes):
            matrix[n] = [cards.number(f"CD{i}_{j}", 0.0) or 0.0 for j in axes]
            continue
        step = steps[n]
        if step is None:
            raise SfhInputError(
                f"{cards.path}: neither CD{i}_{i} nor CDELT{i} is in HDU {cards.hdu}, the size of a pixel is unknown; "
                f"add CD{i}_{i} in degrees"
            )
        if has_pc:
            for m, j in enumerate(axes):
                old = cards.number(f"PC{i:03d}{j:03d}", float(i == j))
                matrix[n, m] = step * float(cards.number(f"PC{i}_{j}", old) or 0.0)
        else:
            sign = -1.0 if n == 0 else 1.0
            matrix[n, n] = step * np.cos(rotation)
            matrix[n, 1 - n] = sign * (steps[1 - n] or step) * np.sin(rotation)
    if not abs(np.linalg.det(matrix)) > 0:
        kind = "CD" if cards.has(f"CD{axes.first}_{axes.first}") else "CDELT"
        keys = [f"CD{i}_{j}" for i in axes for j in axes] if kind == "CD" else [f"CDELT{i}" for i in axes]
        shown = ", ".join(f"{k} = {cards.raw(k)!r}" for k in keys if cards.has(k))
        raise SfhInputError(
            f"{cards.path}: {shown or f'no {kind} card'} in HDU {cards.hdu} give pixels without area; correct them, in "
            "degrees per pixel"
        )
    return matrix


def _angle_unit(cards: HeaderCards, axis: int) -> str:
    text = cards.text(f"CUNIT{axis}")
    if not text:
        return "deg"
    for name in ("deg", "arcsec", "arcmin", "rad", "mas"):
        factor = unit_conversion_factor(text, u.deg)
        if factor is not None and np.isclose(factor, u.Unit(name).to(u.deg), rtol=1e-9):
            return name
    raise cards.error(f"CUNIT{axis}", "is no unit of an angle", "write 'deg'")


def _copy_frame(cards: HeaderCards, plain: fits.Header) -> None:
    frame = (cards.text("RADESYS") or cards.text("RADECSYS")).upper()
    equinox = cards.number("EQUINOX") if isinstance(cards.raw("EQUINOX"), (int, float)) else None
    if frame:
        plain["RADESYS"] = _FRAMES.get(frame, frame)
    if equinox is not None:
        plain["EQUINOX"] = equinox


def _build_wcs(
    cards: HeaderCards, plain: fits.Header, axes: CelestialAxes, hdus: fits.HDUList | None, lookup: list[str]
) -> WCS:
    if hdus is not None:
        # The lookup tables are found through record-valued cards that only the whole header has.
        plain = cards.header.copy()
        if not all(cards.text(f"CTYPE{i}").upper().endswith("-SIP") for i in axes):
            for key in [k for k in plain if re.fullmatch(r"[AB]P?_(ORDER|DMAX|\d+_\d+)", k)]:
                del plain[key]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wcs = WCS(plain, hdus) if hdus is not None else WCS(plain)
            wcs = wcs.celestial if wcs.has_celestial else wcs
            wcs.wcs.set()
            wcs.wcs_pix2world([[0.0, 0.0]], 0)
            reference = wcs.wcs_world2pix([wcs.wcs.crval], 1)
            if not np.abs(reference - wcs.wcs.crpix).max() < 0.01:
                raise ValueError("CRVAL does not lie at CRPIX" + _list_projection_cards(plain))
        except Exception as e:  # wcslib raises many classes for one fault: a broken header
            line = (str(e).strip().splitlines() or [type(e).__name__])[-1][:120]
            shown = ", ".join(f"CTYPE{i} = {cards.text(f'CTYPE{i}')!r}" for i in axes)
            named = f", {lookup[0]} = {cards.text(lookup[0])!r}" if lookup else ""
            raise SfhInputError(
                f"{cards.path}: the celestial WCS of HDU {cards.hdu} cannot be read ({shown}{named}: {line}); "
                + ("give a drizzled image" if lookup else "correct these cards")
            ) from e
    return wcs


def _list_projection_cards(header: fits.Header) -> str:
    shown = [f"{key} = {header[key]!r}" for key in header if re.fullmatch(r"PV\d_\d+|LONPOLE|LATPOLE", key)]
    return f" with {', '.join(shown[:6])}" if shown else ""


def _check_scale(cards: HeaderCards, wcs: WCS, axes: CelestialAxes) -> None:
    scale = proj_plane_pixel_scales(wcs) * 3600.0
    low, high = PIXEL_RANGE_ARCSEC
    if not np.all((scale > low) & (scale < high)):
        keys = [f"CD{i}_{i}" if cards.has(f"CD{i}_{i}") else f"CDELT{i}" for i in axes]
        shown = ", ".join(f"{k} = {cards.raw(k)!r}" for k in keys)
        raise SfhInputError(
            f"{cards.path}: {shown} in HDU {cards.hdu} give pixels of {scale[0]:.4g} x {scale[1]:.4g} arcsec, "
            f"not possible here ({low:g}-{high:g}); correct them, in degrees per pixel"
        )


def _is_equatorial_2000(wcs: WCS) -> bool:
    if not str(wcs.wcs.ctype[wcs.wcs.lng]).startswith("RA"):
        return False
    frame = str(wcs.wcs.radesys).strip().upper()
    equinox = wcs.wcs.equinox
    if frame in ("", "ICRS"):
        return not (frame == "" and np.isfinite(equinox) and equinox < 1984)
    return frame == "FK5" and (not np.isfinite(equinox) or abs(equinox - 2000.0) < 0.01)


def _find_frame(wcs: WCS) -> Any:
    """The frame of the coordinates; astropy takes ecliptic ones for equatorial, whatever CTYPE says."""
    kind = str(wcs.wcs.ctype[wcs.wcs.lng])[:4]
    if kind == "ELON":
        equinox = wcs.wcs.equinox
        return BarycentricMeanEcliptic(equinox=f"J{equinox if np.isfinite(equinox) else 2000.0:g}")
    if kind in ("HLON", "SLON"):
        raise ValueError(f"{kind} is neither equatorial, galactic nor ecliptic")
    return wcs_to_celestial_frame(wcs)


def _fit_tangent_plane(cards: HeaderCards, wcs: WCS, shape: tuple[int, int], lookup: list[str]) -> tuple[WCS, float]:
    """An undistorted TAN WCS in ICRS, and its largest deviation in pixels."""
    x, y = (v.ravel() for v in np.meshgrid(*(np.linspace(0.0, max(n - 1.0, 1.0), 21) for n in shape)))
    middle = SkyCoord(0 * u.deg, 0 * u.deg)
    try:
        frame = _find_frame(wcs)
        lon, lat = wcs.all_pix2world(x, y, 0)
        if wcs.wcs.lng == 1:
            lon, lat = lat, lon
        sky = SkyCoord(lon * u.deg, lat * u.deg, frame=frame).transform_to(ICRS())
        middle = sky[sky.size // 2]
    except Exception as e:  # frames, wcslib and coordinates raise many classes
        line = (str(e).strip().splitlines() or [type(e).__name__])[0][:120]
        raise SfhInputError(
            f"{cards.path}: the frame of HDU {cards.hdu} (RADESYS = {cards.text('RADESYS')!r}) cannot be converted to "
            f"ICRS ({line}); correct RADESYS and EQUINOX"
        ) from e
    plane = WCS(naxis=2)
    plane.wcs.ctype, plane.wcs.crval = ["RA---TAN", "DEC--TAN"], [middle.ra.deg, middle.dec.deg]
    plane.wcs.crpix, plane.wcs.cdelt, plane.wcs.radesys = [1.0, 1.0], [1.0, 1.0], "ICRS"
    there = np.column_stack(plane.wcs_world2pix(sky.ra.deg, sky.dec.deg, 0))
    design = np.column_stack([x, y, np.ones_like(x)])
    fit, *_ = np.linalg.lstsq(design, there, rcond=None)
    matrix, offset = fit[:2].T, fit[2]
    pixels = np.linalg.solve(matrix, (there - design @ fit).T)
    residual = float(np.max(np.hypot(*pixels)))
    if not residual <= MAX_RESIDUAL_PIX:
        names = ", ".join([*(f"CTYPE{i} = {cards.text(f'CTYPE{i}')!r}" for i in (1, 2)), *lookup[:1]])
        raise SfhInputError(
            f"{cards.path}: the image of HDU {cards.hdu} is distorted ({names}) by up to {residual:.1f} pixels; "
            "give an image that is drizzled or resampled onto a plain grid"
        )
    out = WCS(naxis=2)
    out.wcs.ctype, out.wcs.crval = ["RA---TAN", "DEC--TAN"], plane.wcs.crval
    out.wcs.cd = matrix
    out.wcs.crpix = -np.linalg.solve(matrix, offset) + 1.0
    out.wcs.radesys = "ICRS"
    out.wcs.set()
    return out, residual


def cut_header(header: fits.Header, window: tuple[slice, slice]) -> fits.Header:
    """A copy of an image's header, its reference pixel moved as data cut to a window of rows and columns need it.

    Parameters
    ----------
    header : fits.Header
        Of the whole image; not changed.
    window : tuple of two slices
        Rows and columns that are kept, counted from 0.

    Returns
    -------
    fits.Header
    """
    out = header.copy()
    out["CRPIX1"] -= window[1].start
    out["CRPIX2"] -= window[0].start
    return out
