"""All bands of a galaxy: checked against the cube where it covers them, measured in the bins, dereddened.

The check is printed in full, because an offset, a flux scale or a pedestal that nobody sees would bias ages silently;
what exceeds `MAX_OFFSET_ARCSEC`, `MAX_SCALE` or `MAX_PEDESTAL` is said to be too much.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.jobs import ReportProgress, report_progress, run_in_background
from napari_sfh.physics import extinction
from napari_sfh.physics.filters import Filter
from napari_sfh.prep.mosaics import alignment, background, photometry
from napari_sfh.prep.mosaics.psf import Psf
from napari_sfh.types import F64, BinMap, Cube, Mosaic, Progress

#: Offset in arcsec, deviation of the flux scale from 1, and pedestal over the median flux that a person must look at.
MAX_OFFSET_ARCSEC: float = 0.2
MAX_SCALE: float = 0.05
MAX_PEDESTAL: float = 0.05
#: Correlation of mosaic and cube below which their comparison means nothing.
MIN_CORRELATION: float = 0.5
#: Structure of the cube's image beyond noise, over its median, below which a low correlation says nothing.
MIN_CONTRAST: float = 0.02


class BandPhotometry(NamedTuple):
    """Photometry of the bins by band, and what a person should know of it, one line each."""

    flux: dict[str, photometry.BandFlux]
    notes: tuple[str, ...]
    slopes: Mapping[str, F64] | None = None  # (N, 2), see `photometry.measure_bin_slopes`


def measure_bands(
    mosaics: Mapping[str, Mosaic],
    cube: Cube,
    bins: BinMap,
    psf: Psf,
    filters: Sequence[Filter],
    ebv_mw: float = 0.0,
    align: bool = False,
    subtract_sky: bool = False,
    redshift: float | None = None,
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> BandPhotometry:
    """Measure every mosaic in the bins.

    Parameters
    ----------
    mosaics : mapping band -> Mosaic
    cube, bins, psf
        The cube, its bins and its PSF.
    filters : sequence of Filter
        Curves by which the cube is compared with the mosaics (of the weights bundle).
    ebv_mw : float
        Milky Way E(B-V), mag.
    align : bool
        Shift each mosaic by the offset found, unless the two show another sky; those that the cube does not cover by
        the first offset of another one.
    subtract_sky : bool
        Measure the sky of each mosaic outside the cube (`background`) and subtract it.
    redshift : float, optional
        Of the galaxy: where the gas lines are.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    BandPhotometry
    """
    found, matched, notes = _compare_bands(mosaics, cube, psf, filters, align, redshift, progress, cancel)
    trusted = {name: one for name, one in found.items() if one.correlation >= MIN_CORRELATION}
    first = next(iter(trusted.values()), None)
    if align and mosaics and first is None:
        why = "none shows the cube's sky" if found else "none could be compared with the cube"
        notes.append(f"WARNING: `align` shifted no mosaic: {why}")
    notes += _describe_broad_mosaics(mosaics, psf)
    flux, slopes = {}, {}
    for k, (name, mosaic) in enumerate(mosaics.items()):
        report_progress(Progress("photometry", k, len(mosaics)), progress, cancel)
        level = 0.0
        if subtract_sky:
            level, note = _measure_band_sky(name, mosaic, cube, progress, cancel)
            notes.append(note)
        near = trusted.get(name, None if name in found else first) if align else None
        offset = (near.dx_arcsec, near.dy_arcsec) if near else (0.0, 0.0)
        same = matched.get(name) if level == 0.0 and offset == (0.0, 0.0) else None
        one, slopes[name] = run_in_background(
            partial(_measure_band, mosaic, cube, bins, psf, level, offset, same, cancel), "photometry", progress, cancel
        )
        passed = float(extinction.milky_way_transmission(mosaic.photplam_aa, ebv_mw))
        flux[name] = photometry.BandFlux(one.flux_cgs / passed, one.error_cgs / passed)
    return BandPhotometry(flux, tuple(notes), slopes)


def _measure_band(
    mosaic: Mosaic,
    cube: Cube,
    bins: BinMap,
    psf: Psf,
    level: float,
    offset: tuple[float, float],
    matched: photometry.MatchedMosaic | None,
    cancel: threading.Event | None,
) -> tuple[photometry.BandFlux, F64]:
    """Flux of the bins, and the slopes of the image in them."""
    sky = matched or photometry.match_mosaic_to_cube(mosaic, cube, bins.bin_id > 0, psf, level, offset, cancel)
    flux = photometry.measure_bin_photometry(mosaic, cube, bins, psf, level, offset, sky, cancel)
    return flux, photometry.measure_bin_slopes(sky, bins, cube.pixel_arcsec)


def _describe_broad_mosaics(mosaics: Mapping[str, Mosaic], psf: Psf) -> list[str]:
    """What is said of mosaics whose PSF is broader than the cube's, to which none can be matched."""
    width = psf.fwhm_at()
    return [
        f"{name}: its PSF ({mosaic.psf_fwhm_arcsec:.2f} arcsec) is broader than the cube's ({width:.2f}): its light is "
        "spread over neighbouring bins; bring the cube to its PSF, or make bins several times as wide"
        for name, mosaic in mosaics.items()
        if mosaic.psf_fwhm_arcsec > 1.1 * width
    ]


def _compare_bands(
    mosaics: Mapping[str, Mosaic],
    cube: Cube,
    psf: Psf,
    filters: Sequence[Filter],
    align: bool,
    redshift: float | None,
    progress: ReportProgress | None,
    cancel: threading.Event | None,
) -> tuple[dict[str, alignment.Alignment], dict[str, photometry.MatchedMosaic], list[str]]:
    """How the mosaics differ from the cube, those mosaics on all of its spaxels, and a sentence on each."""
    found: dict[str, alignment.Alignment] = {}
    matched: dict[str, photometry.MatchedMosaic] = {}
    notes: list[str] = []
    for band in filters:
        if band.name in mosaics and alignment.compute_filter_share(cube, band) >= alignment.MIN_FILTER_SHARE:
            mosaic = mosaics[band.name]
            try:
                sky = _match_all_spaxels(mosaic, cube, psf, progress, cancel)
                compared = alignment.compare_mosaic_with_cube(mosaic, cube, band, psf, sky, redshift, progress, cancel)
            except SfhInputError as error:  # a small field, or no overlap: the photometry will say so
                notes.append(f"{band.name} could not be compared with the cube: {error}")
                continue
            found[band.name], matched[band.name] = compared, sky
            notes.append(_alignment_note(band.name, compared, align))
    return found, matched, notes


def _match_all_spaxels(
    mosaic: Mosaic, cube: Cube, psf: Psf, progress: ReportProgress | None, cancel: threading.Event | None
) -> photometry.MatchedMosaic:
    """The mosaic on the whole cube: to be compared with it, and for the photometry."""
    everywhere = np.ones(cube.shape[1:], dtype=bool)
    return run_in_background(
        partial(photometry.match_mosaic_to_cube, mosaic, cube, everywhere, psf, cancel=cancel),
        f"{mosaic.band}: the mosaic on the cube's spaxels",
        progress,
        cancel,
    )


def _measure_band_sky(
    name: str, mosaic: Mosaic, cube: Cube, progress: ReportProgress | None, cancel: threading.Event | None
) -> tuple[float, str]:
    """Level to subtract and the sentence about it."""
    try:
        sky = run_in_background(
            lambda: background.measure_sky_level(mosaic, cube, cancel), f"sky of the mosaic {name}", progress, cancel
        )
    except SfhInputError as error:
        return 0.0, f"{name}: sky not subtracted: {error}"
    return sky.level, (
        f"{name}: sky {sky.level:+.4f} +- {sky.error:.4f} e-/s per pixel subtracted, from {sky.n_boxes} boxes outside "
        "the cube"
    )


def _alignment_note(name: str, found: alignment.Alignment, applied: bool) -> str:
    done = "shifted back" if applied else "not applied (`align` does)"
    if applied and found.correlation < MIN_CORRELATION:
        done = "not applied"
    return (
        f"{name} beside the cube: {found.dx_arcsec:+.2f}, {found.dy_arcsec:+.2f} arcsec, {done}; "
        f"flux scale mosaic/cube {found.scale:.3f} +- {found.scale_error:.3f}; pedestal {found.pedestal:+.1%} of the "
        f"median flux; "
        f"correlation {found.correlation:.3f}{_alignment_warning(found, applied)}"
    )


def _alignment_warning(found: alignment.Alignment, applied: bool) -> str:
    """What a person must look at, appended to the sentence; empty where all is well."""
    if found.turned:
        return (
            f". WARNING: {found.turned} it would be like the cube: pixels were turned without the WCS; turn them back"
        )
    if found.correlation < MIN_CORRELATION and found.contrast < MIN_CONTRAST:
        return ". WARNING: the cube shows too little structure there to tell whether both show the same sky"
    if found.correlation < MIN_CORRELATION:
        return ". WARNING: they do not show the same sky: check the WCS of both"
    wrong = []
    if max(abs(found.dx_arcsec), abs(found.dy_arcsec)) > MAX_OFFSET_ARCSEC and not applied:
        wrong.append("the offset (use `align`)")
    if abs(found.scale - 1) > max(MAX_SCALE, 3 * found.scale_error):
        wrong.append("the flux scale (check PHOTFLAM and BUNIT of both)")
    if abs(found.pedestal) > max(MAX_PEDESTAL, 3 * found.pedestal_error):
        wrong.append("the pedestal (use `subtract_sky`)")
    return f". WARNING: too large for unbiased ages: {', '.join(wrong)}" if wrong else ""
