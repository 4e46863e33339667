"""Runs of weights that take bands alone: a stack of band images, or a cube from which the bands are cut.

Bands of a cube are cut at rest wavelengths, so that the redshift needs no correction. Those of images are as they were
observed: beyond the instrument's largest redshift nothing is estimated. Bins reach a target S/N of a band, the median
over the bands.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sfh import __version__
from napari_sfh.analysis.credibility.prediction_flags import derive_credibility_flags
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import make_band_filters
from napari_sfh.io.cleaning.bin_maps import read_bin_map
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.objects.band_images import BandImages, read_band_images
from napari_sfh.jobs import ReportProgress, report_progress, run_in_background
from napari_sfh.model import inference
from napari_sfh.model.bundle import Bundle, load_bundle
from napari_sfh.model.prior_summary import load_prior_quantiles
from napari_sfh.physics.filters import Filter
from napari_sfh.prep import binning
from napari_sfh.prep.band_fluxes.band_rows import make_band_observation
from napari_sfh.prep.band_fluxes.narrowband import make_narrowband_images
from napari_sfh.prep.observation import LOW_SNR_SHARE
from napari_sfh.types import F32, BinMap, Bool, Cube, Flag, Observation, Progress, Result

#: Share of a bin's light that a band may lack.
_MAX_LOST_LIGHT = 0.2


@dataclass(frozen=True)
class BandRunConfig:
    """What `run_band_pipeline` needs: a cube or images."""

    cube: Path | None = None
    images: Mapping[str, Path] = field(default_factory=dict)
    model: str = "narrowband"
    redshift: float | None = None
    ebv_mw: float = 0.0  # Milky Way E(B-V), mag
    target_snr: float = 35.0  # of a band
    binning: str = "auto"
    device: str = "auto"
    draws: int = inference.DRAWS

    def __post_init__(self) -> None:
        if (self.cube is None) == (not self.images):
            raise SfhInputError("give a cube or --images BAND=FILE ..., not both")
        if not self.target_snr > 0:
            raise SfhInputError(f"--target-snr {self.target_snr}: must be above 0")

    def settings(self) -> dict[str, str | float | int | bool | None]:
        """The settings as plain values, for the result file."""
        plain: dict[str, str | float | int | bool | None] = {
            key: getattr(self, key)
            for key in ("model", "redshift", "ebv_mw", "target_snr", "binning", "device", "draws")
        }
        plain["cube"] = None if self.cube is None else self.cube.name
        return plain | {f"image_{band}": path.name for band, path in self.images.items()}


def run_band_pipeline(
    config: BandRunConfig, progress: ReportProgress | None = None, cancel: threading.Event | None = None
) -> Result:
    """Run a field.

    Parameters
    ----------
    config : BandRunConfig
    progress, cancel : optional
        See `jobs.report_progress`.

    Raises
    ------
    SfhInputError
        Input that cannot be used, or weights that need spectra.
    Cancelled
        ``cancel`` was set.
    """
    bundle = load_bundle(config.model)
    if bundle.instrument.spectrum is not None:
        raise SfhInputError(f"--model {config.model}: needs spectra; choose weights for bands (napari-sfh models)")
    filters = bundle.basis.filters if bundle.basis is not None else make_band_filters(bundle.instrument)
    images, redshift = _open_images(config, filters, progress, cancel)
    spaxels = _measure_band_signal_noise(images)
    given = None if config.binning in binning.BINNING_METHODS else read_bin_map(config.binning)
    method = config.binning if given is None else "auto"
    bins = run_in_background(
        lambda: binning.bin_spaxels(spaxels, config.target_snr, method, given, cancel),
        f"binning to S/N {config.target_snr:g} a band",
        progress,
        cancel,
    )
    data = _observe_bins(images, bins, bundle, filters, config, 0.0 if config.cube else redshift)
    prediction = inference.predict_histories(
        data, bundle, device=config.device, draws=config.draws, progress=progress, cancel=cancel
    )
    model_flux, model_phot = inference.reconstruct_observations(data, prediction, bundle)
    prior = load_prior_quantiles(bundle)
    return Result(
        bins=bins,
        data=data,
        prediction=prediction,
        model_flux=model_flux,
        model_phot=model_phot,
        chi2=None,
        flag=data.flag | derive_credibility_flags(data, prediction, prior),
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
            "notes": " | ".join(images.notes),
        },
        prior=prior,
    )


def _open_images(
    config: BandRunConfig,
    filters: tuple[Filter, ...],
    progress: ReportProgress | None,
    cancel: threading.Event | None,
) -> tuple[BandImages, float]:
    if config.cube is None:
        report_progress(Progress("reading the images", 0, len(config.images)), progress, cancel)
        pivots = {f.name: f.pivot_aa for f in filters}
        return read_band_images({b: Path(p) for b, p in config.images.items()}, pivots), config.redshift or 0.0
    cube = read_cube(config.cube)
    redshift = config.redshift if config.redshift is not None else cube.redshift
    if redshift is None:
        raise SfhInputError(f"{cube.path}: no redshift; give --redshift")
    covered = _covered_filters(cube, filters, redshift)
    made = make_narrowband_images(cube, covered, redshift, progress, cancel)
    error, notes = made.error, cube.notes
    if not np.isfinite(error).any():
        # Without variances the errors are those of the calibration alone.
        error, notes = np.abs(0.01 * made.flux), (*notes, "no variances in the cube: band errors taken for 1 %")
    names = tuple(f.name for f in covered)
    return BandImages(names, made.flux, error, cube.wcs, cube.name, cube.path, notes), float(redshift)


def _covered_filters(cube: Cube, filters: tuple[Filter, ...], redshift: float) -> tuple[Filter, ...]:
    """The bands that the cube holds whole at rest; the others are missing.

    Raises
    ------
    SfhInputError
        Fewer than half of them.
    """
    first, last = cube.wave_aa[0] / (1 + redshift), cube.wave_aa[-1] / (1 + redshift)
    covered = tuple(f for f in filters if first <= f.wave_aa[0] and f.wave_aa[-1] <= last)
    if 2 * len(covered) < len(filters):
        raise SfhInputError(
            f"{cube.path}: covers rest {first:.0f}-{last:.0f} AA, {len(covered)} of the {len(filters)} bands of "
            f"{filters[0].wave_aa[0]:.0f}-{filters[-1].wave_aa[-1]:.0f} AA; choose weights for its range"
        )
    return covered


def _measure_band_signal_noise(images: BandImages) -> binning.SpaxelSN:
    """Median over the bands of signal and noise of every pixel."""
    known = np.isfinite(images.flux) & np.isfinite(images.error)
    enough = known.sum(0) >= 0.5 * len(images.bands)
    signal, noise = (np.full(enough.shape, np.nan) for _ in range(2))
    for out, values in ((signal, images.flux), (noise, images.error)):
        out[enough] = np.nanmedian(np.where(known, values, np.nan)[:, enough], axis=0)
    good = (
        enough & (np.nan_to_num(signal) > 0) & (np.nan_to_num(signal) >= binning.MIN_SPAXEL_SNR * np.nan_to_num(noise))
    )
    if not good.any():
        raise SfhInputError(f"{images.path}: no pixel reaches S/N {binning.MIN_SPAXEL_SNR:g} in half of the bands")
    return binning.SpaxelSN(
        np.asarray(signal, np.float32), np.asarray(noise, np.float32), good, images.wcs, images.path, True
    )


def _observe_bins(
    images: BandImages,
    bins: BinMap,
    bundle: Bundle,
    filters: tuple[Filter, ...],
    config: BandRunConfig,
    redshift: float,
) -> Observation:
    """Sums over the bins' pixels, per band."""
    instrument = bundle.instrument
    shape = (bins.n_bins, instrument.n_bands)
    flux, error, mask = np.zeros(shape), np.zeros(shape), np.zeros(shape, bool)
    for k, band in enumerate(images.bands):
        column = instrument.band_names.index(band)
        flux[:, column], error[:, column], mask[:, column] = _sum_bins(images.flux[k], images.error[k], bins)
    flag = np.zeros(bins.n_bins, np.int32)
    flag[bins.nspax == 1] |= int(Flag.SINGLE_SPAXEL)
    flag[bins.snr < LOW_SNR_SHARE * bins.target_snr] |= int(Flag.LOW_SNR)
    pivot = np.array([f.pivot_aa for f in filters])
    return make_band_observation(
        instrument,
        flux,
        error,
        mask,
        flag=flag,
        redshift=redshift,
        ebv_mw=config.ebv_mw,
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
