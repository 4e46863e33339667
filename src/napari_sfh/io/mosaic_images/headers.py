"""What the header of an image says: filter, camera, calibration, of HST and JWST; of others calibration and PSF.

Flux density: f_lambda = count rate x ``PHOTFLAM``. Images in MJy/sr are brought to the same form with
f_lambda = f_nu c / lambda^2 at the pivot wavelength, ``PHOTPLAM`` or the band's own, and the pixel's area.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from astropy import constants
from astropy import units as u
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.instrument import Band
from napari_sfh.io import fits_access
from napari_sfh.io.cleaning.units import FLAM, unit_conversion_factor
from napari_sfh.physics.filters import AB_ZERO
from napari_sfh.physics.hst_psf import compute_hst_psf_fwhm
from napari_sfh.physics.wavelength import C_AA_S

#: Filters that stand in for a trained band; every band stands for itself on any camera.
SUBSTITUTE_FILTERS: Mapping[str, str] = {"F435W": "F438W", "F439W": "F438W"}
_FILTER_CARDS = ("FILTER", "FILTER1", "FILTER2", "FILTNAM1", "FILTNAM2", "PHOTMODE")
#: What a camera is called whose PSF is not computed here.
OTHER_CAMERA = "other"
#: Cards of the PSF's FWHM in arcsec, and what is believed of them.
_PSF_CARDS, _PSF_RANGE_ARCSEC = ("PSF_FWHM", "PSFFWHM", "SEEING"), (0.02, 10.0)
#: Cards of the AB zero point of one unit of the image.
ZERO_POINT_CARDS = ("ZP_AB", "MAGZERO", "MAGZPT", "ZEROPT", "MAGZP", "ZPAB", "PHOTZP")
#: Words that name a camera.
_CAMERA_MARKS = {"UVIS": ("UVIS", "WFC3"), "ACS": ("ACS",), "WFPC2": ("WFPC2",), "NIRCAM": ("NIRCAM", "NRCA", "NRCB")}
#: erg/s/cm2/AA per e-/s of the cameras' filters (WFC3: Calamida et al. 2022, AJ 164, 32; ACS: Bohlin 2016, AJ 152, 60),
#: which change by some per cent with date and chip; and the factor beyond which a header's is another one.
_PHOTFLAM = {
    ("UVIS", "F275W"): 3.2e-18, ("UVIS", "F336W"): 1.3e-18, ("UVIS", "F438W"): 6.7e-19, ("UVIS", "F555W"): 1.85e-19,
    ("UVIS", "F814W"): 1.5e-19, ("ACS", "F435W"): 3.1e-19, ("ACS", "F555W"): 1.95e-19, ("ACS", "F814W"): 7.0e-20,
}  # fmt: skip
_PHOTFLAM_FACTOR = 1.5
#: Share by which a filter's pivot wavelength may differ from that of the band it stands for.
_PIVOT_TOLERANCE = 0.05
#: Pivot wavelengths in Angstrom that are believed.
_PIVOT_RANGE_AA = (1000.0, 60000.0)
_RATES = (u.electron / u.s, u.count / u.s)
_COUNTS = (u.electron, u.count)
#: Fluxes are held in this many erg/s/cm2/AA, so that single precision neither under- nor overflows.
FLAM_UNIT = 1e-20


class FluxCalibration(NamedTuple):
    """How stored pixels become flux density."""

    photflam: float  # erg/s/cm2/AA per unit of `Mosaic.read`
    photplam_aa: float
    factor: float  # stored unit to the unit of `Mosaic.read`: a count rate, where the image is one
    photons: float | None  # photons detected per unit of rate; None where the image is no count rate
    note: str


def find_filter_words(header: Mapping[str, Any]) -> list[str]:
    """All filter names in a header, in upper case, e.g. ``["F435W"]``; empty where it is no HST image."""
    return [w.upper() for k in _FILTER_CARDS for w in re.findall(r"[Ff]\d{3}[A-Za-z]+", str(header.get(k, "")))]


def is_seen_by_other_cameras(band: Band) -> bool:
    """Whether a band's curve is the user's own or a survey's: then its images need be none of HST or JWST.

    Parameters
    ----------
    band : Band
        Of an instrument.
    """
    return bool(band.table) or band.curve.rpartition(" ")[2] not in _CAMERA_MARKS


def find_filter_name(
    header: Mapping[str, Any], path: Path, band: str | None, bands: Sequence[str], any_camera: bool = False
) -> str:
    """Filter name from the header, else from ``band``; ``bands`` are those of the network.

    Parameters
    ----------
    header : mapping
        Cards of the mosaic.
    path : Path
        For the message.
    band : str or None
        The band for which the mosaic was given.
    bands : sequence of str
        Those of the network.
    any_camera : bool
        The band's images need be none of HST or JWST: what their headers call the filter does not matter.
    """
    known = (*bands, *(name for name, stands_for in SUBSTITUTE_FILTERS.items() if stands_for in bands))
    words = find_filter_words(header)
    for word in words:
        if word in known:
            return word
    if words and not (any_camera and band is not None):
        raise SfhInputError(f"{path}: the filter {words[0]} is unknown to the network; usable are {', '.join(known)}")
    if band is not None:
        return band
    raise SfhInputError(
        f"{path}: no filter in FILTER, FILTER1, FILTER2 or FILTNAM1; say it with `photometry` BAND={path.name}, "
        f"BAND one of {', '.join(bands)}"
    )


def find_camera_name(header: Mapping[str, Any], path: Path, any_camera: bool = False) -> str:
    """UVIS, ACS, WFPC2 or NIRCAM from INSTRUME and DETECTOR, else from the file's name, else `OTHER_CAMERA`.

    Parameters
    ----------
    header : mapping
        Cards INSTRUME, DETECTOR and PHOTMODE.
    path : Path
        For its name, and for messages.
    any_camera : bool
        Others than these may be.

    Returns
    -------
    str

    Raises
    ------
    SfhInputError
        The detector is WFC3's IR, or no camera is named.
    """
    words = " ".join(str(header.get(k, "")) for k in ("INSTRUME", "DETECTOR", "PHOTMODE")).upper()
    if any_camera and not any(mark in words for marks in _CAMERA_MARKS.values() for mark in marks):
        return OTHER_CAMERA
    if "IR" in str(header.get("DETECTOR", "")).upper():
        raise SfhInputError(f"{path}: DETECTOR is IR, no band of the network; give UVIS, ACS or WFPC2 images")
    for text in (words, path.name.upper()):
        for camera, marks in _CAMERA_MARKS.items():
            if any(mark in text for mark in marks):
                return camera
    raise SfhInputError(f"{path}: no camera in INSTRUME or the file's name; add INSTRUME (WFC3, ACS, WFPC2 or NIRCAM)")


def read_flux_calibration(
    header: Mapping[str, Any], wcs: WCS, camera: str, path: Path, pivot_aa: float = float("nan")
) -> FluxCalibration:
    """Calibration from BUNIT, PHOTFLAM, PHOTPLAM (else the band's ``pivot_aa``: JWST images state none), EXPTIME.

    Parameters
    ----------
    header : mapping
        Cards of the mosaic.
    wcs : WCS
        Its pixels' area turns surface brightness into flux.
    camera : str
        See `find_camera_name`.
    path : Path
        For the message.
    pivot_aa : float
        Of the band, Angstrom.

    Raises
    ------
    SfhInputError
        One that is needed is absent or no such quantity.
    """
    photplam = fits_access.get_number_card(header, "PHOTPLAM")
    if camera == OTHER_CAMERA or (photplam is None and camera == "NIRCAM"):
        photplam = pivot_aa
    if photplam is None or not _PIVOT_RANGE_AA[0] < photplam < _PIVOT_RANGE_AA[1]:
        raise SfhInputError(
            f"{path}: PHOTPLAM (pivot wavelength in Angstrom) is {_show_card(header, 'PHOTPLAM')} (FILTER "
            f"{_show_card(header, 'FILTER')}); give an HST or JWST image, or copy the card from the original file"
        )
    text = fits_access.get_text_card(header, "BUNIT", "D001OUUN")
    flux = _flux_density_factor(text, wcs, photplam)
    if flux is not None:
        return FluxCalibration(FLAM_UNIT, photplam, flux / FLAM_UNIT, None, f"unit {text}: PHOTFLAM is not needed")
    if camera == OTHER_CAMERA:
        return _read_zero_point(header, text, photplam, path)
    photflam = fits_access.get_number_card(header, "PHOTFLAM")
    if photflam is None or not photflam > 0:
        raise SfhInputError(
            f"{path}: no PHOTFLAM (it is {_show_card(header, 'PHOTFLAM')}), the image cannot be calibrated; copy "
            "PHOTFLAM (erg/s/cm2/AA per e-/s) from the original drizzled file into the header"
        )
    factor, note = _count_rate_factor(text, header, path)
    return FluxCalibration(photflam, photplam, factor, _photons_per_rate(header, camera), note)


def _read_zero_point(header: Mapping[str, Any], unit: str | None, pivot_aa: float, path: Path) -> FluxCalibration:
    """The calibration of an image of another camera that is in no unit of flux."""
    zero = fits_access.get_number_card(header, *ZERO_POINT_CARDS)
    if zero is None:
        raise SfhInputError(
            f"{path}: BUNIT = {unit!r} is no flux density and there is no AB zero point; set BUNIT (nanomaggy, uJy, "
            "MJy/sr, erg/s/cm2/Angstrom) or MAGZERO"
        )
    f_lambda = float(10 ** (-0.4 * (zero - AB_ZERO))) * C_AA_S / pivot_aa**2
    return FluxCalibration(f_lambda, pivot_aa, 1.0, None, f"calibrated by its AB zero point {zero:g}")


def find_mosaic_psf(header: Mapping[str, Any], camera: str, pivot_aa: float, pixel_arcsec: float) -> tuple[float, str]:
    """FWHM of a mosaic's PSF in arcsec, NaN where nobody says it, and a note.

    Parameters
    ----------
    header : mapping
    camera : str
        See `find_camera_name`.
    pivot_aa : float
    pixel_arcsec : float
    """
    if camera != OTHER_CAMERA:
        return compute_hst_psf_fwhm(camera, pivot_aa, pixel_arcsec), ""
    for key in _PSF_CARDS:
        fwhm = fits_access.get_number_card(header, key)
        if fwhm is not None and _PSF_RANGE_ARCSEC[0] < fwhm < _PSF_RANGE_ARCSEC[1]:
            return fwhm, f"PSF FWHM {fwhm:g} arcsec is that of the card {key}"
    return float("nan"), ""


def _show_card(header: Mapping[str, Any], key: str) -> str:
    return repr(header[key]) if key in header else "absent"


def find_other_optics(header: Mapping[str, Any]) -> tuple[str, ...]:
    """Polarizers and grisms in the second wheel of a camera beside the filter."""
    words = " ".join(str(header.get(k, "")) for k in _FILTER_CARDS).upper()
    return tuple(dict.fromkeys(re.findall(r"\b(?:POL\w+|G\d{3}L|PR\d{3}L)\b", words)))


def describe_odd_calibration(
    scale: FluxCalibration, camera: str, name: str, pivot_aa: float, optics: Sequence[str] = ()
) -> list[str]:
    """Warnings where PHOTFLAM or PHOTPLAM are not those of a camera's filter.

    Parameters
    ----------
    scale : FluxCalibration
    camera, name : str
        See `find_camera_name` and `find_filter_name`.
    pivot_aa : float
        Of the band that the filter is, or stands for, Angstrom.
    optics : sequence of str
        See `find_other_optics`.
    """
    notes = []
    if optics:
        notes.append(
            f"{', '.join(optics)} lay in the light beside {name}. WARNING: a polarizer or grism takes a half and more "
            "of it, unless PHOTFLAM counts it in; combine the polarizers' images, or leave this one out"
        )
    if abs(scale.photplam_aa / pivot_aa - 1) > _PIVOT_TOLERANCE:
        notes.append(
            f"PHOTPLAM = {scale.photplam_aa:g} is not the pivot wavelength of {name} ({pivot_aa:.0f} Angstrom). "
            "WARNING: the calibration may be that of another filter; compare with the original file"
        )
    usual = _PHOTFLAM.get((camera, name))
    if usual and scale.photflam != FLAM_UNIT and not 1 / _PHOTFLAM_FACTOR < scale.photflam / usual < _PHOTFLAM_FACTOR:
        notes.append(
            f"PHOTFLAM = {scale.photflam:.3g} is {scale.photflam / usual:.2g} times that of {camera} {name} "
            f"({usual:.3g} per e-/s). WARNING: if the image is no rescaled one, its fluxes are off by that factor"
        )
    return notes


def _flux_density_factor(text: str | None, wcs: WCS, photplam_aa: float) -> float | None:
    """erg/s/cm2/AA in a pixel per stored unit, where the unit is a flux density or a surface brightness."""
    if text is None:
        return None
    per_wavelength = unit_conversion_factor(text, FLAM)
    if per_wavelength is not None:
        return per_wavelength
    area = proj_plane_pixel_area(wcs) * u.deg**2
    brightness, per_pixel = unit_conversion_factor(text, u.MJy / u.sr), unit_conversion_factor(text, u.Jy)
    if brightness is None and per_pixel is None:
        return None
    f_nu = brightness * u.MJy / u.sr * area if brightness is not None else per_pixel * u.Jy
    return float((f_nu * constants.c / (photplam_aa * u.AA) ** 2).to_value(FLAM))


def _count_rate_factor(text: str | None, header: Mapping[str, Any], path: Path) -> tuple[float, str]:
    """Factor from the stored unit to a count rate, and a note."""
    if text is None:
        return 1.0, "no BUNIT: taken as a count rate, as drizzled images are"
    for unit in _RATES:
        factor = unit_conversion_factor(text, unit)
        if factor is not None:
            return factor, ""
    for unit in _COUNTS:
        factor = unit_conversion_factor(text, unit)
        if factor is not None:
            exptime = fits_access.get_number_card(header, "EXPTIME", "TEXPTIME")
            if not exptime or exptime <= 0:
                what = "absent; add" if exptime is None else f"{exptime:g}; correct"
                raise SfhInputError(f"{path}: BUNIT is '{text}' but EXPTIME is {what} EXPTIME in seconds")
            return factor / exptime, "counts divided by EXPTIME"
    raise SfhInputError(
        f"{path}: BUNIT '{text}' is neither counts nor a flux; use ELECTRONS/S, ELECTRONS, MJy/sr or nJy"
    )


def _photons_per_rate(header: Mapping[str, Any], camera: str) -> float | None:
    """Photons detected per unit of rate: exposure time, times the gain for WFPC2, whose counts are no electrons."""
    exptime = fits_access.get_number_card(header, "EXPTIME", "TEXPTIME")
    gain = (fits_access.get_number_card(header, "ATODGAIN") or 1.0) if camera == "WFPC2" else 1.0
    return exptime * gain if exptime and exptime > 0 else None
