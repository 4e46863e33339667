"""What a run would do with a galaxy's files, before it is run: `napari-sfh info` and the viewer's panel Data.

A mosaic's coverage is the share of the cube's observed spaxels whose centres fall on its good pixels. Time and memory
are those of `cost`, for the bins that the spaxels' S/N can fill.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_sfh import decisions
from napari_sfh.config import SETTINGS, RunConfig
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import BundleHeader, read_bundle_header
from napari_sfh.instruments.coverage import check_rest_range, describe_missing_range
from napari_sfh.instruments.files import make_band_filters
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.io.cleaning.bin_maps import read_bin_map
from napari_sfh.io.cube_psf import find_muse_psf_fwhm
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.dap import check_maps_on_cube, read_maps
from napari_sfh.io.identify import FileInfo, list_missing_files
from napari_sfh.io.mosaics import read_mosaic
from napari_sfh.io.objects.band_images import read_band_images
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.preflight import cost, footprints
from napari_sfh.prep.band_fluxes.narrowband import find_covered_filters, measure_band_signal_noise
from napari_sfh.prep.binning import MAX_VORBIN_SPAXELS, MIN_SPAXEL_SNR, choose_binning_method
from napari_sfh.prep.grids import place_given_bins
from napari_sfh.prep.kinematics.stellar_kinematics import describe_ppxf_time
from napari_sfh.prep.mosaics.psf import choose_cube_psf
from napari_sfh.prep.spectra import find_channel_range
from napari_sfh.types import F64, BinnedMaps, Cube, Mosaic, Progress, measure_pixel_arcsec

_Opened = Cube | Mosaic | BinnedMaps

#: Colours of bands in pictures, from the ultraviolet to the red; they differ in lightness, too.
BAND_PALETTE: tuple[str, ...] = ("#8b6fe8", "#3f8fe0", "#35b8a6", "#a8c64a", "#e0703f")
#: Less than this share of the cube on a mosaic is worth a warning.
_FULL_COVERAGE = 0.99


@dataclass(frozen=True)
class BandCheck:
    """One mosaic held against the cube."""

    band: str
    path: Path
    taken_with: str  # camera, and filter where that is another
    coverage: float  # 0 to 1, of the cube's observed field
    outlines: tuple[F64, ...] = ()  # (n, 2) each: arcsec east and north of the middle of the cube
    used: bool = True
    color: str = BAND_PALETTE[0]  # in pictures


@dataclass(frozen=True)
class Preflight:
    """What a run would work with, and what it would do about the rest."""

    name: str
    cube: Path  # or the first of the images that stand in its place
    outlines: tuple[F64, ...]  # of the cube's observed field, as in `BandCheck`
    bands: tuple[BandCheck, ...]
    facts: Mapping[str, str]  # for a person, in this order; empty: says nothing for these weights
    problems: tuple[str, ...]  # what is missing or was assumed, and what is done about it, one line each
    estimate: cost.CostEstimate
    n_bins: int  # expected
    refusals: tuple[str, ...] = ()  # those of the problems at which a run would stop


def examine_inputs(
    config: RunConfig,
    problems: Sequence[str] = (),
    opened: Sequence[FileInfo] = (),
    progress: ReportProgress | None = None,
    cancel: threading.Event | None = None,
) -> Preflight:
    """Look at the files of a run.

    Parameters
    ----------
    config : RunConfig
    problems : sequence of str
        What was found before, by `io.identify.find_galaxy_files`.
    opened : sequence of FileInfo
        Files of the run that were identified for these weights: what they opened is not read again.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    Preflight

    Raises
    ------
    SfhInputError
        The cube cannot be used. What is wrong with other files stands in ``problems``.
    """
    report_progress(Progress("looking at the cube", 0, 0), progress, cancel)
    header = read_bundle_header(config.model)
    if config.cube is None:
        return _examine_band_images(config, header, problems)
    at_hand = {info.path: info.opened for info in opened if info.opened is not None}
    known = at_hand.get(config.cube)
    cube = known if isinstance(known, Cube) and known.hdu == config.hdu else read_cube(config.cube, config.hdu)
    instrument = header.instrument
    given = [k for k, s in SETTINGS.items() if s.default is None and not s.is_file and getattr(config, k) is not None]
    said = decisions.drop_answered_problems(problems, given)
    said += list_missing_files(config.photometry, config.maps, instrument)
    maps = _read_maps(config, cube, said, at_hand)
    redshift, redshift_text, refusals = _describe_redshift(config, cube, maps, header, said)
    seen = _find_observed_field(cube, header, redshift or 0.0)
    plane = footprints.make_tangent_plane(cube)
    said += [f"{cube.path.name}: {note}" for note in cube.notes]
    look = _BandLook(cube, instrument, seen, plane, at_hand)
    checks, pixels = _check_bands(config, look, said, progress, cancel)
    if note := decisions.choose_used_bands(config.photometry, redshift, instrument.redshift_max).note:
        said.append(note)
        checks, pixels = [replace(c, used=False) for c in checks], 0.0
    said += [decisions.NO_FOREGROUND] if config.ebv_mw is None else []
    bins = _count_bins(config, cube, maps, seen, said)
    work = _estimate_workload(config, cube, instrument, maps, seen, bins, pixels, redshift or 0.0)
    if work.kinematics == "ppxf" and (warning := describe_ppxf_time(bins)):
        said.append(warning)
    return Preflight(
        name=cube.name,
        cube=cube.path,
        outlines=footprints.trace_cube_outline(cube, seen.observed, plane),
        bands=tuple(checks),
        facts={
            "field": _field_text(cube.shape[1:], cube.pixel_arcsec, seen, instrument),
            "psf": _psf_text(config, cube, header, bool(checks), said) if instrument.spectrum else "",
            "redshift": redshift_text,
            "binning": _binning_text(config, work.binning, bins, instrument),
            "kinematics": _kinematics_text(config) if instrument.spectrum else "",
        },
        problems=tuple(dict.fromkeys(said)),
        estimate=cost.estimate_cost(work),
        n_bins=bins,
        refusals=refusals,
    )


def choose_band_color(band: str, bands: Sequence[str]) -> str:
    """Colour of a band among those of an instrument, from the bluest to the reddest.

    Parameters
    ----------
    band : str
        One of ``bands``.
    bands : sequence of str
        Of the instrument, from the bluest on.

    Returns
    -------
    str
        Of `BAND_PALETTE`.
    """
    place = bands.index(band) / max(len(bands) - 1, 1)
    return BAND_PALETTE[round(place * (len(BAND_PALETTE) - 1))]


def _find_observed_field(cube: Cube, header: BundleHeader, redshift: float) -> footprints.ObservedField:
    seen = footprints.measure_observed_field(cube, header.window_aa, redshift)
    if header.instrument.spectrum is None:
        seen = replace(seen, snr=seen.snr * np.float32(_sum_of_band(cube, header.instrument)))
    if not seen.observed.any():
        raise SfhInputError(
            f"{cube.path}: no spaxel has a finite flux and variance in the normalisation window; check DATA and STAT"
        )
    return seen


def _read_maps(config: RunConfig, cube: Cube, said: list[str], at_hand: Mapping[Path, _Opened]) -> BinnedMaps | None:
    if config.maps is None:
        return None
    try:
        known = at_hand.get(config.maps)
        maps = known if isinstance(known, BinnedMaps) else read_maps(config.maps)
        check_maps_on_cube(maps, cube)
    except SfhInputError as error:
        said.append(str(error))
        return None
    return maps


def _describe_redshift(
    config: RunConfig, cube: Cube, maps: BinnedMaps | None, header: BundleHeader, said: list[str]
) -> tuple[float | None, str, tuple[str, ...]]:
    """The redshift a run would take, None where it would measure it; where it is from; why a run would refuse it."""
    known = decisions.choose_redshift(config, cube, maps)
    if known.value is None:
        return None, "unknown: measured from the spectra, or give `redshift`", ()
    grid = header.instrument.spectrum
    where = f"{known.value:.5f} ({known.source})"
    try:
        if grid is None:
            find_covered_filters(cube, make_band_filters(header.instrument), known.value)
        else:
            check_rest_range(cube.wave_aa, known.value, grid, header.min_coverage, cube.path)
            said += filter(None, [describe_missing_range(cube.wave_aa, known.value, grid)])
    except SfhInputError as error:
        said.append(str(error))
        return known.value, where, (str(error),)
    return known.value, where, ()


class _BandLook(NamedTuple):
    """What mosaics are held against."""

    cube: Cube
    instrument: Instrument
    seen: footprints.ObservedField
    plane: Any
    at_hand: Mapping[Path, _Opened]


def _check_bands(
    config: RunConfig,
    look: _BandLook,
    said: list[str],
    progress: ReportProgress | None,
    cancel: threading.Event | None,
) -> tuple[list[BandCheck], float]:
    """All mosaics, and their pixels under the cube."""
    checks, pixels, bands = [], 0.0, look.instrument.band_names
    for k, band in enumerate(b for b in bands if b in config.photometry):
        report_progress(Progress(f"looking at {band}", k, len(config.photometry)), progress, cancel)
        check, under = _check_band(band, config.photometry[band], look, said)
        checks.append(replace(check, color=choose_band_color(band, bands)))
        pixels += under
    return checks, pixels


def _check_band(band: str, path: Path, look: _BandLook, said: list[str]) -> tuple[BandCheck, float]:
    """One mosaic, and its pixels under the cube."""
    try:
        known = look.at_hand.get(path)
        mosaic = known if isinstance(known, Mosaic) and known.band == band else None
        mosaic = mosaic or read_mosaic(path, band, look.instrument)
        share, pixels = footprints.measure_mosaic_coverage(mosaic, look.cube, look.seen.observed)
        outlines = footprints.trace_mosaic_outline(mosaic, look.plane) if share > 0 else ()
    except SfhInputError as error:
        said.append(str(error))
        return BandCheck(band, path, "", 0.0, used=False), 0.0
    said += [f"{path.name}: {note}" for note in mosaic.notes]
    if not np.isfinite(mosaic.psf_fwhm_arcsec):
        said.append(f"{path.name}: its PSF is not known: a run needs `hst_psf_fwhm_arcsec`, or a card PSF_FWHM")
    if share == 0:
        said.append(f"{path.name} has no good pixel on the cube: a run stops there; leave it out, or check its WCS")
    elif share < _FULL_COVERAGE:
        said.append(f"{path.name} has good pixels on {100 * share:.0f} % of the cube; bins outside run without {band}")
    taken_with = mosaic.camera if mosaic.filter_name == band else f"{mosaic.camera} {mosaic.filter_name}"
    return BandCheck(band, path, taken_with, share, outlines, share > 0), pixels


def _count_bins(
    config: RunConfig, cube: Cube, maps: BinnedMaps | None, seen: footprints.ObservedField, said: list[str]
) -> int:
    """Bins to expect."""
    source = decisions.choose_bin_source(config)
    if source == "spaxels":
        spaxels = int(np.count_nonzero(seen.snr >= MIN_SPAXEL_SNR))
        if config.binning == "vorbin" and spaxels > MAX_VORBIN_SPAXELS:
            said.append(f"binning {spaxels} spaxels with vorbin takes minutes; `binning` powerbin takes seconds")
        bins = cost.estimate_bin_count(seen.snr, config.target_snr, MIN_SPAXEL_SNR)
        if bins == 0:
            said.append(f"no bin can reach S/N {config.target_snr:g}; lower `target_snr`")
        return bins
    if source == "maps":
        if maps is None:
            said.append("bins of the MAPS file were asked for, and there is none that fits: give one, or bin anew")
        return 0 if maps is None else int(maps.bin_id.max())
    try:
        given, _ = place_given_bins(read_bin_map(config.binning), cube.wcs, cube.shape[1:], cube.path)
    except SfhInputError as error:
        said.append(str(error))
        return 0
    return int(np.unique(given[given > 0]).size)


def _estimate_workload(
    config: RunConfig,
    cube: Cube,
    instrument: Instrument,
    maps: BinnedMaps | None,
    seen: footprints.ObservedField,
    bins: int,
    pixels: float,
    redshift: float,
) -> cost.Workload:
    plain = bool(getattr(getattr(cube.read, "flux", None), "is_plain", True))
    try:
        channels = find_channel_range(cube, redshift, instrument.grid)
        share = (channels.stop - channels.start) / cube.shape[0]
    except SfhInputError:
        share = 1.0
    read = float(np.prod(cube.shape)) * (8 if cube.has_variance else 4) * share
    spaxels = int(np.count_nonzero(seen.snr >= MIN_SPAXEL_SNR))
    source = decisions.choose_bin_source(config)
    return cost.Workload(
        spaxels=spaxels,
        bins=bins,
        cube_bytes=read,
        packed=not plain,
        mosaic_pixels=pixels,
        binning="maps" if maps is not None and source == "maps" else choose_binning_method(config.binning, spaxels),
        kinematics=decisions.choose_kinematics(config) if instrument.spectrum is not None else "",
    )


def _sum_of_band(cube: Cube, instrument: Instrument) -> float:
    """S/N of a band over that of a channel: the root of the channels in it."""
    curves = make_band_filters(instrument)
    widths = [np.trapezoid(f.throughput, f.wave_aa) / np.max(f.throughput) for f in curves]
    return float(np.sqrt(np.median(widths) / np.median(np.diff(cube.wave_aa))))


def _examine_band_images(config: RunConfig, header: BundleHeader, problems: Sequence[str]) -> Preflight:
    """Images in place of a cube, for weights that take bands alone."""
    instrument = header.instrument
    if instrument.spectrum is not None:
        raise SfhInputError(f"weights {header.name} need spectra: give `cube` FILE")
    paths = decisions.match_band_names(config.photometry, instrument.band_names)
    pivots = {f.name: f.pivot_aa for f in make_band_filters(instrument)}
    images = read_band_images(paths, pivots)
    spaxels = measure_band_signal_noise(images.flux, images.error, images.wcs, images.path)
    snr = np.where(spaxels.good, spaxels.signal / spaxels.noise, np.nan).astype(np.float32)
    seen = footprints.ObservedField(np.isfinite(spaxels.signal), snr)
    scale = measure_pixel_arcsec(images.wcs)
    said = [*problems, *images.notes, *([decisions.NO_FOREGROUND] if config.ebv_mw is None else [])]
    if missing := [band for band in instrument.band_names if band not in paths]:
        said.append(f"no image of {', '.join(missing)}: the network runs without, and flags it")
    own = decisions.choose_bin_source(config) == "spaxels"
    bins = cost.estimate_bin_count(snr, config.target_snr, MIN_SPAXEL_SNR) if own else 0
    method = choose_binning_method(config.binning, int(spaxels.good.sum())) if own else "given"
    return Preflight(
        name=images.name,
        cube=images.path,
        outlines=(),
        bands=(),
        facts={
            "images": f"{len(paths)} of {instrument.n_bands} bands: {', '.join(paths)}",
            "field": _field_text(snr.shape, scale, seen, instrument),
            "redshift": "0 (not given)" if config.redshift is None else f"{config.redshift:.5f} (given)",
            "binning": _binning_text(config, method, bins, instrument),
        },
        problems=tuple(dict.fromkeys(said)),
        estimate=cost.estimate_cost(
            cost.Workload(int(spaxels.good.sum()), bins, float(images.flux.nbytes * 2), binning=method)
        ),
        n_bins=bins,
    )


def _binning_text(config: RunConfig, method: str, bins: int, instrument: Instrument) -> str:
    source = decisions.choose_bin_source(config)
    if source == "spaxels":
        return f"{method} to S/N {config.target_snr:g}{'' if instrument.spectrum else ' a band'}, about {bins} bins"
    name = "MAPS" if source == "maps" else Path(config.binning).name
    return f"{bins} bins of {name}" if bins else f"bins of {name}"


def _field_text(
    shape: Sequence[int], pixel_arcsec: float, seen: footprints.ObservedField, instrument: Instrument
) -> str:
    ny, nx = shape
    per = "pixel" if instrument.spectrum else "band"
    n = int(seen.observed.sum())
    bright = float(np.nanmax(seen.snr)) if np.isfinite(seen.snr).any() else float("nan")
    return f"{n} of {nx} x {ny} spaxels of {pixel_arcsec:.2f} arcsec observed, S/N up to {bright:.0f} per {per}"


def _psf_text(config: RunConfig, cube: Cube, header: BundleHeader, bands: bool, said: list[str]) -> str:
    psf = choose_cube_psf(cube, header.window_aa, config.psf_fwhm_arcsec)
    if not psf.assumed:
        source = "given" if config.psf_fwhm_arcsec is not None else find_muse_psf_fwhm(cube.header, cube.path)[1]
        return f"{psf.fwhm_arcsec:.2f} arcsec ({source})"
    if bands:
        said.append(decisions.describe_assumed_psf(psf))
    return f"unknown: {psf.fwhm_arcsec:g} arcsec assumed"


def _kinematics_text(config: RunConfig) -> str:
    source = decisions.choose_kinematics(config)
    words = {"maps": "V and sigma from MAPS", "fast": "fitted in every bin", "ppxf": "fitted with pPXF in every bin"}
    return words.get(source, f"V, sigma = {source} km/s for all bins")


def format_preflight_text(found: Preflight) -> list[str]:
    """The preflight as text, one fact a line, for the command line."""
    text = [f"{key}: {value}" for key, value in found.facts.items() if value]
    text += [format_band_check(check) for check in found.bands]
    text.append(f"a run takes {found.estimate.text()}")
    return [*text, *(f"! {problem}" for problem in found.problems)]


def format_band_check(check: BandCheck) -> str:
    """A mosaic in a line."""
    used = "" if check.used else ", not used"
    return f"{check.band} ({check.taken_with or 'unreadable'}): {100 * check.coverage:.0f} % of the cube{used}"
