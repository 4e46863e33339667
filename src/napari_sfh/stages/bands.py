"""Runs of weights that take bands alone: a stack of band images, or a cube from which the bands are cut.

Bands of a cube are cut at rest wavelengths, so that the redshift needs no correction. Those of images are as they were
observed: beyond the instrument's largest redshift nothing is estimated. Bins reach a target S/N of a band, the median
over the bands.
"""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_sfh import __version__, decisions
from napari_sfh.analysis.credibility.prediction_flags import derive_credibility_flags, describe_frequent_flags
from napari_sfh.config import SETTINGS, RunConfig
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import make_band_filters
from napari_sfh.io.cleaning.bin_maps import read_bin_map
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.dap import check_maps_on_cube, read_maps
from napari_sfh.io.objects.band_images import BandImages, read_band_images
from napari_sfh.jobs import ReportProgress, report_progress, run_in_background
from napari_sfh.model import inference
from napari_sfh.model.bundle import Bundle, load_bundle
from napari_sfh.model.prior_summary import load_prior_quantiles
from napari_sfh.physics.filters import Filter
from napari_sfh.prep import binning
from napari_sfh.prep.band_fluxes.band_rows import make_band_observation
from napari_sfh.prep.band_fluxes.narrowband import (
    find_covered_filters,
    make_narrowband_images,
    measure_band_signal_noise,
)
from napari_sfh.prep.observation import LOW_SNR_SHARE
from napari_sfh.types import F32, BinMap, BinnedMaps, Bool, Flag, GivenBins, Observation, Progress, Result

#: Share of a bin's light that a band may lack.
_MAX_LOST_LIGHT = 0.2


#: Settings that bands have no use for: they are of spectra, or of mosaics beside a spectrum.
_UNUSED = ("psf_fwhm_arcsec", "lsf", "kinematics", "align", "subtract_sky", "mask_lines", "hst_psf_fwhm_arcsec")


def run_on_bands(
    config: RunConfig, progress: ReportProgress | None = None, cancel: threading.Event | None = None
) -> Result:
    """Run weights that take bands alone.

    Parameters
    ----------
    config : RunConfig
        With a cube from which the bands are cut, or with images as ``photometry`` and no cube.
    progress, cancel : optional
        See `jobs.report_progress`.

    Returns
    -------
    Result

    Raises
    ------
    SfhInputError
        Input that cannot be used, or both a cube and images.
    Cancelled
        ``cancel`` was set.
    """
    bundle = load_bundle(config.model)
    if config.cube is not None and config.photometry:
        raise SfhInputError(
            f"weights {bundle.name} cut their bands from the cube: leave out `photometry`, or give images of "
            f"{', '.join(bundle.instrument.band_names[:3])}, ... and no `cube`"
        )
    filters = bundle.basis.filters if bundle.basis is not None else make_band_filters(bundle.instrument)
    images, redshift, given = _open_images(config, filters, progress, cancel)
    spaxels = measure_band_signal_noise(images.flux, images.error, images.wcs, images.path)
    method = config.binning if given is None else "auto"
    bins = run_in_background(
        lambda: binning.bin_spaxels(spaxels, config.target_snr, method, given, cancel),
        decisions.describe_bin_source(config) + (" a band" if given is None else ""),
        progress,
        cancel,
    )
    data = _observe_bins(images, bins, bundle, filters, config, redshift)
    prediction = inference.predict_histories(
        data, bundle, device=config.device, draws=config.draws, progress=progress, cancel=cancel
    )
    model_flux, model_phot = inference.reconstruct_observations(data, prediction, bundle)
    prior = load_prior_quantiles(bundle)
    flag = data.flag | derive_credibility_flags(data, prediction, prior)
    told = describe_frequent_flags(flag, prediction.ood)
    return Result(
        bins=bins,
        data=data,
        prediction=prediction,
        model_flux=model_flux,
        model_phot=model_phot,
        chi2=None,
        flag=flag,
        white=spaxels.signal,
        wcs=images.wcs,
        name=images.name,
        redshift=redshift,
        model_name=bundle.name,
        model_sha256=bundle.sha256,
        settings={
            **config.settings(),
            "version": __version__,
            "device_used": str(inference.choose_device(config.device)),
            "notes": " | ".join([*images.notes, *_describe_unused_settings(config), *told]),
        },
        prior=prior,
    )


def _describe_unused_settings(config: RunConfig) -> list[str]:
    """What was asked for and has no meaning for bands."""
    asked = [name for name in _UNUSED if getattr(config, name) != SETTINGS[name].default]
    return [f"not used by weights for bands: {', '.join(f'`{name}`' for name in asked)}"] if asked else []


def _open_images(
    config: RunConfig,
    filters: tuple[Filter, ...],
    progress: ReportProgress | None,
    cancel: threading.Event | None,
) -> tuple[BandImages, float, BinnedMaps | GivenBins | None]:
    """Images, redshift, and the bins of somebody else."""
    source = decisions.choose_bin_source(config)
    given: BinnedMaps | GivenBins | None = read_bin_map(config.binning) if source == "file" else None
    if config.cube is None:
        if config.maps is not None:
            raise SfhInputError(f"{config.maps}: bins of MAPS are those of a cube; give `binning` FILE with images")
        report_progress(Progress("reading the images", 0, len(config.photometry)), progress, cancel)
        pivots = {f.name: f.pivot_aa for f in filters}
        images = read_band_images(decisions.match_band_names(config.photometry, pivots), pivots)
        if config.redshift is None:
            images = replace(images, notes=(*images.notes, "no redshift was given: taken at rest; give `redshift`"))
        return images, config.redshift or 0.0, given
    cube = read_cube(config.cube, config.hdu)
    maps = None if config.maps is None else read_maps(config.maps)
    if maps is not None:
        check_maps_on_cube(maps, cube)
    redshift = decisions.choose_redshift(config, cube, maps).value
    if redshift is None:
        raise SfhInputError(f"{cube.path}: no redshift is known, and bands cannot find it; give `redshift`")
    covered = find_covered_filters(cube, filters, redshift)
    made = make_narrowband_images(cube, covered, redshift, progress, cancel)
    error, notes = made.error, cube.notes
    if not np.isfinite(error).any():
        # Without variances the errors are those of the calibration alone.
        error, notes = np.abs(0.01 * made.flux), (*notes, "no variances in the cube: band errors taken for 1 %")
    names = tuple(f.name for f in covered)
    images = BandImages(names, made.flux, error, cube.wcs, cube.name, cube.path, notes)
    return images, float(redshift), maps if source == "maps" else given


def _observe_bins(
    images: BandImages,
    bins: BinMap,
    bundle: Bundle,
    filters: tuple[Filter, ...],
    config: RunConfig,
    redshift: float,
) -> Observation:
    """Sums over the bins' pixels, per band.

    Bands that were cut from a cube lie at rest: the dust of the Milky Way dimmed them at (1 + z) times their pivots.
    """
    instrument = bundle.instrument
    cut = config.cube is not None
    shape = (bins.n_bins, instrument.n_bands)
    flux, error, mask = np.zeros(shape), np.zeros(shape), np.zeros(shape, bool)
    for k, band in enumerate(images.bands):
        column = instrument.band_names.index(band)
        flux[:, column], error[:, column], mask[:, column] = _sum_bins(images.flux[k], images.error[k], bins)
    flag = np.zeros(bins.n_bins, np.int32)
    flag[bins.nspax == 1] |= int(Flag.SINGLE_SPAXEL)
    flag[bins.snr < LOW_SNR_SHARE * bins.target_snr] |= int(Flag.LOW_SNR)
    pivot = np.array([f.pivot_aa for f in filters]) * (1 + redshift if cut else 1.0)
    return make_band_observation(
        instrument,
        flux,
        error,
        mask,
        flag=flag,
        redshift=0.0 if cut else redshift,
        ebv_mw=config.ebv_mw or 0.0,
        pivot_aa=pivot,
        keep_negative=bundle.features.band_scale == "asinh",
    )


def _sum_bins(image: F32, error: F32, bins: BinMap) -> tuple[NDArray[np.float64], NDArray[np.float64], Bool]:
    """Flux, error and usability of the bins; bad pixels are made up for where they are few."""
    label = bins.bin_id.ravel()
    good = (label > 0) & np.isfinite(image.ravel()) & np.isfinite(error.ravel())
    n = bins.n_bins + 1
    held = np.bincount(label[good], minlength=n)[1:] / np.maximum(bins.nspax, 1)
    flux = np.bincount(label[good], image.ravel()[good].astype(np.float64), minlength=n)[1:]
    variance = np.bincount(label[good], error.ravel()[good].astype(np.float64) ** 2, minlength=n)[1:]
    share = np.maximum(held, 1e-6)
    return flux / share, np.sqrt(variance) / share, held >= 1 - _MAX_LOST_LIGHT
