"""MUSE cubes: PHANGS (ESO and MPDAF dress), plain MPDAF cubes, and any cube with a flux and perhaps a variance image.

Wavelengths are returned in air (`physics.wavelength`): ``AWAV`` axes as they are, vacuum (``WAVE``) converted with
Ciddor (1996), both linear or logarithmic (``-LOG``, Greisen et al. 2006, A&A 446, 747). The spectral axis and its unit
are spectral-cube's reading of the header. Data stay on disk and are read in wavelength blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs.utils import proj_plane_pixel_area

from napari_sfh.arguments.checked_calls import check_arguments
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.line_spread import find_line_spread
from napari_sfh.io import fits_access
from napari_sfh.io.cleaning.cards import (
    HeaderCards,
    describe_duplicate_cards,
    describe_velocity_frame,
    find_coordinate_header,
)
from napari_sfh.io.cleaning.celestial import clean_celestial_wcs
from napari_sfh.io.cleaning.companions import add_companion_images
from napari_sfh.io.cleaning.containers import is_compressed_stream
from napari_sfh.io.cleaning.cube_images import CubeImages, find_cube_images
from napari_sfh.io.cleaning.cube_probe import find_error_power, make_slab_reader, measure_typical_flux
from napari_sfh.io.cleaning.missing import ABSURD_FLAM, FAINT_FLAM
from napari_sfh.io.cleaning.units import FLAM, FNU, unit_conversion_factor
from napari_sfh.io.cleaning.wavelength_lists import compare_with_list, read_listed_wavelengths
from napari_sfh.io.cleaning.wavelengths import (
    WavelengthAxis,
    find_wavelength_axis,
    has_wavelength_axis,
    has_wavelength_step,
    read_wavelength_axis,
)
from napari_sfh.io.cube_psf import find_muse_psf_fwhm, fsf_beta
from napari_sfh.physics.wavelength import C_AA_S, air_to_vacuum
from napari_sfh.types import F64, Cube

#: Cards by which headers tell a galaxy's velocity, in km/s or m/s, of one definition or another.
_VELOCITY_CARDS = ("VHELIO", "VSYS", "VRAD", "VLSR", "CZ")
#: Numbers under REDSHIFT that are velocities, km/s.
_VELOCITIES_KMS = (20.0, 9000.0)
_POWERS = {"variance": 2, "sigma": 1, "inverse": -2}
#: Cards that hold the unit of the flux where BUNIT does not.
_UNIT_CARDS = ("FLUXUNIT", "FLUX_UNIT", "FLUX UNIT", "FUNIT", "FUNITS", "BUNITS", "UNITS", "UNIT", "PIPE UNITS",
               "CUNIT4")  # fmt: skip
_FLUX_UNITS = (FLAM, FLAM / u.sr, FNU, FNU / u.sr)
#: Cards that hold a factor of the flux beside its unit.
_FACTOR_CARDS = ("FSCALE", "FLUXSCAL", "FLXSCALE", "FLUXFAC", "SCALEFAC", "FLUX SCALE", "FLUX_SCALE", "PIPE FLUX SCALE")
#: Redshifts of two cards that differ by more are not the same: 30 km/s.
_SAME_REDSHIFT = 1e-4


@check_arguments
@fits_access.keep_fits_open()
def read_cube(path: str | Path, hdu: str | int | None = None) -> Cube:
    """Open an integral-field cube.

    Parameters
    ----------
    path : path
        FITS file: plain, gzipped or tile-compressed.
    hdu : str or int, optional
        Which flux, of a file that holds several: its EXTNAME, ``EXTNAME,EXTVER`` or number from 0, as CFITSIO and
        astropy count. Default the first by the names that pipelines give.

    Returns
    -------
    types.Cube
        Axes in memory, data on disk. ``notes`` says what was assumed.

    Raises
    ------
    SfhInputError
        The file is no cube, is damaged, or has no usable flux unit, celestial WCS or wavelength axis.

    Examples
    --------
    >>> from pathlib import Path
    >>> cube = read_cube(next(Path("NGC0628").glob("*DATACUBE*")))
    >>> flux, variance, good = cube.read(0, 10)  # channels
    >>> flux.shape == (10, *cube.shape[1:])
    True
    """
    path, hdu = Path(path), None if hdu is None else str(hdu)
    with fits_access.open_fits(path) as hdus:
        images = add_companion_images(find_cube_images(hdus, path, hdu), path)
        header, inherited = find_coordinate_header(hdus, images.data)
        merged = fits_access.merge_headers(hdus[0].header, header)
        axis = _wavelengths(hdus, images, header, path)
        wcs, sky_notes = clean_celestial_wcs(header, path, hdus)
        area = proj_plane_pixel_area(wcs) * np.radians(1.0) ** 2
        unit = _find_flux_unit((header, hdus[0].header), path, area, axis.wave_aa)
        names = [hdu.name for hdu in hdus]
        images, unit_note = _follow_error_unit(images, path)
        images, unit_note = (images, unit_note) if unit_note else _judge_flux_unit(images, path)
        factor, factor_note = _error_factor(hdus, images, unit, area)
        unit, factor = _apply_factor_card(unit, factor, images, merged, path)
        notes = [*_redshift_notes(merged), *_compare_redshift_cards(header, hdus[0].header), inherited, *axis.notes]
        notes += [*sky_notes, unit.note, unit_note, factor_note]
        notes += [*describe_duplicate_cards(header), *map(_unused_note, images.unused), *images.notes]
        notes += [*_compare_error_axes(hdus, images), *describe_velocity_frame(merged)]
        integer = int(hdus[images.data].header.get("BITPIX", -32)) > 0
    fwhm, _ = find_muse_psf_fwhm(merged, path)
    reader, more = make_slab_reader(path, images, unit.scale, factor, merged, names, axis, integer, unit.channel_factor)
    z = fits_access.get_number_card(merged, "REDSHIFT", "Z")
    return Cube(
        path=path,
        wave_aa=axis.wave_aa,
        shape=images.shape,
        wcs=wcs,
        flux_scale=unit.scale / reader.flux_factor,
        read=reader,
        has_variance=reader.variance is not None,
        name=fits_access.find_galaxy_name(merged, path),
        redshift=z if z is not None and z != 0 and -0.01 < z < 2 else None,
        psf_fwhm_arcsec=fwhm,
        psf_beta=fsf_beta(merged),
        lsf=find_line_spread(str(merged.get("INSTRUME", ""))),
        header=merged,
        notes=tuple(note for note in (*notes, *more, *fits_access.check_data_sums(path)) if note),
        describe_missing=reader.describe_missing,
        is_streamed=is_compressed_stream(path),
        columns=reader if reader.reads_columns else None,
        hdu=hdu,
    )


def _redshift_notes(header: Mapping[str, Any]) -> list[str]:
    """What is not believed: no galaxy has exactly 0, which template headers hold."""
    z = fits_access.get_number_card(header, "REDSHIFT", "Z")
    if z is not None:
        usable = z != 0 and -0.01 < z < 2
        what = "a velocity" if _VELOCITIES_KMS[0] < z < _VELOCITIES_KMS[1] else "a placeholder"
        return [] if usable else [f"redshift {z:g} of the header is {what} and is not used; give `redshift`"]
    text = fits_access.get_text_card(header, "REDSHIFT")
    if text is not None:
        return [f"REDSHIFT {text!r} of the header is no number and is not used; give `redshift`"]
    velocity = next((key for key in _VELOCITY_CARDS if fits_access.get_number_card(header, key)), None)
    if velocity is None:
        return []
    number = fits_access.get_number_card(header, velocity)
    return [f"{velocity} = {number:g} of the header is a velocity and is not used as a redshift; give `redshift`"]


def _compare_redshift_cards(*headers: fits.Header) -> list[str]:
    """What is said of redshifts of a cube's headers, the one that is used first, where they are not the same."""
    found = {
        f"{key} of HDU {HeaderCards(header, Path()).hdu}": z
        for key in ("REDSHIFT", "Z")
        for header in headers
        if (z := fits_access.get_number_card(header, key))
    }
    if not found:
        return []
    (used, own), *others = found.items()
    differing = [f"{name} has {z:g}" for name, z in others if abs(z - own) > _SAME_REDSHIFT]
    told = f"redshift {own:g} of {used} is used, but {', '.join(differing)}: check which is right"
    return [told] if differing else []


def _unused_note(name: str) -> str:
    return (
        f"{name} has the cube's shape and is not used: it is no flux, error or mask by its name; if it is the galaxy, "
        "choose it with `hdu`; if it holds the errors, name it STAT (variance) or ERR (1 sigma), "
        "if it is a mask, DQ (0 = usable)"
    )


def _compare_error_axes(hdus: fits.HDUList, images: CubeImages) -> list[str]:
    """What is said of errors whose own header puts their first pixel elsewhere than that of the flux."""
    if images.error_header is None:
        return []
    flux, error = hdus[images.data].header, images.error_header
    for k in (1, 2, 3):
        if flux.get(f"CUNIT{k}") != error.get(f"CUNIT{k}") or flux.get(f"CTYPE{k}") != error.get(f"CTYPE{k}"):
            continue
        keys = ((f"CRVAL{k}",), (f"CRPIX{k}",), (f"CD{k}_{k}", f"CDELT{k}"))
        numbers = [[fits_access.get_number_card(header, *key) for key in keys] for header in (flux, error)]
        (own, step), (theirs, _) = (_find_first_coordinate(*one) for one in numbers)
        if own is None or theirs is None or abs(theirs - own) <= 0.5 * abs(step):
            continue
        return [
            f"axis {k} of {images.error_name} begins at {theirs:.9g} by its header, that of the flux at {own:.9g}: the "
            "errors are taken pixel by pixel; check them"
        ]
    return []


def _find_first_coordinate(value: float | None, pixel: float | None, step: float | None) -> tuple[float | None, float]:
    """Coordinate of the first pixel, None where a card is missing, and the step."""
    if value is None or pixel is None or not step:
        return None, 0.0
    return value + (1.0 - pixel) * step, step


def _wavelengths(hdus: fits.HDUList, images: CubeImages, header: fits.Header, path: Path) -> WavelengthAxis:
    """The air wavelengths of the channels, on whichever axis of the file they are."""
    hdu, n = hdus[images.data], images.shape[0]
    lengths = dict(enumerate(reversed([int(length) for length in hdu.shape]), start=1))
    cards = HeaderCards(header, path)
    named = has_wavelength_axis(cards, lengths)
    axis = find_wavelength_axis(cards, lengths) if named else 3
    if not named or not has_wavelength_step(cards, axis):
        listed = read_listed_wavelengths(hdus, n, path, cards.text(f"CTYPE{axis}") if named else "")
        if listed is not None:
            return listed
    found = read_wavelength_axis(header, path, n, find_wavelength_axis(cards, lengths), hdus)
    return compare_with_list(found, hdus, path)


class _FluxUnit(NamedTuple):
    """What brings the stored flux to erg/s/cm2/AA in a spaxel."""

    scale: float
    channel_factor: F64 | None  # (n,) times ``scale``, of a flux per frequency
    note: str


def _find_unit_text(headers: tuple[fits.Header, fits.Header], path: Path) -> tuple[str, str]:
    """The unit of the flux as written in its own header, else in the primary one, and a note where it is not BUNIT."""
    cards = [HeaderCards(header, path) for header in headers]
    for key, own in ((key, own) for key in ("BUNIT", *_UNIT_CARDS) for own in cards):
        text = own.text(key)
        if not text or (key != "BUNIT" and all(unit_conversion_factor(text, kind) is None for kind in _FLUX_UNITS)):
            continue
        usual = key == "BUNIT" and own is cards[0]
        return text, "" if usual else f"DATA has no BUNIT: {key} {text!r} of HDU {own.hdu} is taken"
    comment = str(headers[0].comments["BUNIT"]).strip() if "BUNIT" in headers[0] else ""
    said = f"; its comment says '{comment[:60]}'" if comment else ""
    raise SfhInputError(
        f"{path}: DATA has no BUNIT (HDU {cards[0].hdu}{said}); add it, for MUSE '10**(-20)*erg/s/cm**2/Angstrom'"
    )


def _apply_factor_card(
    unit: _FluxUnit, error_factor: float, images: CubeImages, header: Mapping[str, Any], path: Path
) -> tuple[_FluxUnit, float]:
    """Unit and error factor times the factor of a card, where the flux is none of a galaxy without it; else it is told.

    A factor by which the flux was multiplied (GMOS: ``FLUXSCAL``) divides it. One that stands in BUNIT, too, says the
    same twice.
    """
    key = next((k for k in _FACTOR_CARDS if fits_access.get_number_card(header, k)), None)
    factor = fits_access.get_number_card(header, key) if key else None
    if not factor or factor < 0 or abs(factor / unit.scale - 1) < 1e-6 or factor == 1.0:
        return unit, error_factor
    flux = unit.scale * measure_typical_flux(path, images)
    fitting = [power for power in (1, -1) if FAINT_FLAM < flux * factor**power < ABSURD_FLAM]
    if not FAINT_FLAM < flux < ABSURD_FLAM and fitting:
        verb = "multiplies" if fitting[0] == 1 else "divides"
        told = f"{key} = {factor:g} {verb} the flux: without it, it is {flux:.2g} erg/s/cm2/A"
        factor **= fitting[0]
        error_factor *= factor ** (0 if images.error is None else _POWERS[images.error_kind])
        return unit._replace(scale=unit.scale * factor, note="; ".join(filter(None, (unit.note, told)))), error_factor
    told = f"{key} = {factor:g} is not used: if the flux is to be multiplied by it, write it into BUNIT"
    return unit._replace(note="; ".join(filter(None, (unit.note, told)))), error_factor


def _find_flux_unit(headers: tuple[fits.Header, fits.Header], path: Path, area_sr: float, wave_aa: F64) -> _FluxUnit:
    """The unit of the flux: per wavelength or per frequency, in a spaxel of ``area_sr`` or as a brightness."""
    text, taken = _find_unit_text(headers, path)
    for target, area, per_frequency in ((FLAM, 1.0, False), (FLAM / u.sr, area_sr, False), (FNU, 1.0, True),
                                        (FNU / u.sr, area_sr, True)):  # fmt: skip
        scale = unit_conversion_factor(text, target)
        if scale is None or not 0 < scale < np.inf:
            continue
        notes = [taken] if taken else []
        notes += [f"BUNIT {text!r} is a surface brightness: times the area of a spaxel"] if area != 1.0 else []
        if not per_frequency:
            return _FluxUnit(scale * area, None, "; ".join(notes))
        factor = C_AA_S / air_to_vacuum(wave_aa) ** 2
        middle = float(np.median(factor))
        notes.append(f"BUNIT {text!r} is a flux per frequency: converted to one per wavelength")
        return _FluxUnit(scale * area * middle, factor / middle, "; ".join(notes))
    if unit_conversion_factor(text, FLAM**2) is not None:
        raise SfhInputError(
            f"{path}: BUNIT of DATA is '{text}', a flux density squared; are DATA and STAT swapped? Rename them; "
            "errors in a file of their own are found beside the cube by their name: NAME_var.fits beside NAME.fits"
        )
    if unit_conversion_factor(text, FLAM * u.AA) is not None:
        raise SfhInputError(
            f"{path}: BUNIT '{text}' of DATA is a flux, no flux density: if it is that of a channel (SimSpin), "
            "divide by the channels' width in Angstrom; then, or if /Angstrom was left out, write '.../Angstrom'"
        )
    raise SfhInputError(
        f"{path}: BUNIT '{text}' of DATA is no flux density; write one such as '1e-20 erg/s/cm2/Angstrom'"
    )


def _follow_error_unit(images: CubeImages, path: Path) -> tuple[CubeImages, str]:
    """Errors of another kind than their name says, where their unit has the power of that kind and the scatter agrees.

    The flux's own unit tells nothing: it is what many programs leave in STAT.
    """
    if images.error_header is None:
        return images, ""
    text = str(images.error_header.get("BUNIT") or "").strip()
    for kind, power in _POWERS.items():
        for target in (FLAM, FLAM / u.sr):
            if kind not in ("sigma", images.error_kind) and unit_conversion_factor(text, target**power) is not None:
                what = {"variance": "a variance", "inverse": "an inverse variance"}[kind]
                told = f"BUNIT {text!r} of {images.error_name} is that of {what}"
                meant = replace(images, error_kind=kind)
                if kind == "variance" and images.error_kind == "sigma" and find_error_power(path, meant) == 1:
                    return images, f"{told}: read as 1 sigma by its name, which the scatter of the flux is nearer to"
                return meant, told
    return images, ""


def _judge_flux_unit(images: CubeImages, path: Path) -> tuple[CubeImages, str]:
    """Variances in the flux's own unit: whether they are such, or 1 sigma, by the scatter of the flux."""
    if images.error_header is None or images.error_kind != "variance":
        return images, ""
    text = str(images.error_header.get("BUNIT") or "").strip()
    if not text or all(unit_conversion_factor(text, target) is None for target in (FLAM, FLAM / u.sr)):
        return images, ""
    is_sigma = find_error_power(path, images) == 1
    what = "1 sigma" if is_sigma else "a variance"
    note = (
        f"BUNIT {text!r} of {images.error_name} is that of the flux, not its square: read as {what}, which the scatter "
        "of the flux is nearer to"
    )
    return replace(images, error_kind="sigma" if is_sigma else "variance"), note


def _error_factor(hdus: fits.HDUList, images: CubeImages, flux: _FluxUnit, area_sr: float) -> tuple[float, str]:
    """What brings stored errors to erg/s/cm2/AA, in the power that their kind has, and a note.

    Old pipelines write units of STAT that are no squares (``.../Angstrom**2``): such text cannot be trusted, and every
    pipeline seen stores the square of the unit of DATA.
    """
    if images.error_header is None:
        return 1.0, ""
    power = _POWERS[images.error_kind]
    text = str(images.error_header.get("BUNIT") or "").strip()
    if text and flux.channel_factor is None:
        for target, area in ((FLAM, 1.0), (FLAM / u.sr, area_sr)):
            scale = unit_conversion_factor(text, target**power)
            if scale is not None and 0 < scale < np.inf:
                return scale * area**power, ""
    data_unit = str(hdus[images.data].header.get("BUNIT") or "").strip()
    understood = not text or (flux.channel_factor is not None and (power == 2 or text == data_unit))
    understood |= power == 2 and unit_conversion_factor(text, FLAM) is not None  # `_judge_flux_unit` has told of it
    note = "" if understood else f"BUNIT {text!r} of {images.error_name} is not understood: taken in the unit of DATA"
    return float(flux.scale**power), note
