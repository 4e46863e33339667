"""The whole run without a screen: files in, `Result` out, as one generator of stages that can be cancelled.

Nothing is computed here: the stages live in `io`, `prep` and `inference`; this module is their order, and the choices
that follow from what the files hold (which redshift, which kinematics).
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_sfh import __version__
from napari_sfh.analysis.gas import gas_and_stars, line_fitting
from napari_sfh.errors import SfhInputError
from napari_sfh.io import identify
from napari_sfh.io.bin_maps import read_bin_map
from napari_sfh.io.dap import check_maps_on_cube, read_maps
from napari_sfh.io.hst import is_camera_substitute, read_mosaic
from napari_sfh.io.muse import check_rest_range, read_cube
from napari_sfh.jobs import run_in_background
from napari_sfh.model import inference
from napari_sfh.model.bundle import Bundle, load_bundle
from napari_sfh.physics import extinction
from napari_sfh.physics.lines import STELLAR_PIXELS
from napari_sfh.prep import binning, kinematics, rest_frame, sky_lines, spectra
from napari_sfh.prep.bad_channels import mask_bad_channels
from napari_sfh.prep.cross_checks import check_errors, check_redshift, compare_redshifts
from napari_sfh.prep.grids import describe_dropped_spaxels
from napari_sfh.prep.mosaics import bands
from napari_sfh.prep.mosaics.bands import BandPhotometry
from napari_sfh.prep.mosaics.psf import choose_cube_psf
from napari_sfh.prep.observation import MAX_PHOTOMETRY_REDSHIFT, make_observation, mask_gas_lines
from napari_sfh.prep.redshift import estimate_redshift
from napari_sfh.prep.rest_frame import reduced_chi2
from napari_sfh.types import (
    BANDS,
    F32,
    BinMap,
    BinnedMaps,
    Cube,
    Flag,
    GivenBins,
    Mosaic,
    Observation,
    Progress,
    Result,
)

#: V, sigma in km/s where nothing better is known and pPXF is not installed.
FALLBACK_KINEMATICS = "0,70"
_MANY_FLAGGED = 0.1  # share of bins out of depth, or with gas of another kind


@dataclass(frozen=True)
class RunConfig:
    """Everything a run needs. Paths may be text; None means: from the files, or not at all."""

    cube: Path
    photometry: Mapping[str, Path] = field(default_factory=dict)  # band -> mosaic
    maps: Path | None = None  # DAP MAPS
    redshift: float | None = None
    ebv_mw: float | None = None  # Milky Way E(B-V), mag
    psf_fwhm_arcsec: float | None = None  # of the cube at 6500 AA
    target_snr: float = 35.0  # per pixel
    binning: str = "auto"  # auto, vorbin, powerbin, maps, or a FITS file of bin numbers
    kinematics: str = "auto"  # auto, maps, ppxf, or "V,SIGMA"
    align: bool = False  # undo the offset between mosaics and cube that is found
    subtract_sky: bool = False  # measure each mosaic's sky outside the cube and subtract it
    mask_lines: bool = False  # hide gas lines from the network: gas that no young stars light up
    hst_psf_fwhm_arcsec: float | None = None  # of all mosaics; without it that of camera and filter
    model: str = "default"  # a shipped bundle or a file
    device: str = "auto"
    draws: int = inference.DRAWS

    def __post_init__(self) -> None:
        object.__setattr__(self, "cube", Path(self.cube))
        object.__setattr__(self, "photometry", {band.upper(): Path(path) for band, path in self.photometry.items()})
        if self.maps is not None:
            object.__setattr__(self, "maps", Path(self.maps))
        _validate(self)

    def settings(self) -> dict[str, str | float | int | bool | None]:
        """The settings as plain values, for the result file."""
        plain: dict[str, str | float | int | bool | None] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "photometry":
                plain |= {f"photometry_{band}": path.name for band, path in value.items()}
            else:
                plain[item.name] = value.name if isinstance(value, Path) else value
        return plain


def run_pipeline(config: RunConfig, cancel: threading.Event | None = None) -> Generator[Progress, None, Result | None]:
    """Run a galaxy.

    Parameters
    ----------
    config : RunConfig
    cancel : threading.Event, optional
        Set it to stop within about a second.

    Yields
    ------
    Progress

    Returns
    -------
    Result or None
        None if cancelled before the network was asked; cancelled later, the bins that were reached.

    Raises
    ------
    SfhInputError
        Input that cannot be used; the message names the file, the key and the remedy.
    ComputeError
        A computation failed.
    """
    opened = yield from run_in_background(
        lambda: (load_bundle(config.model), *_open_files(config)), "opening the files", cancel
    )
    if opened is None:
        return None
    bundle, cube, maps, mosaics = opened
    given = _open_given_bins(config, maps)
    redshift = yield from _find_redshift(config, cube, maps, bundle, cancel)
    if redshift is None:
        return None
    check_rest_range(cube, redshift)
    spaxels = yield from binning.measure_signal_noise(cube, redshift, cancel)
    if spaxels is None:
        return None
    bins = yield from _make_bins(config, spaxels, given, cancel)
    if bins is None:
        return None
    prepared = yield from _prepare_observation(config, cube, maps, mosaics, bins, spaxels, redshift, bundle, cancel)
    if prepared is None:
        return None
    data, notes = prepared
    prediction = yield from inference.predict_histories(
        data, bundle, device=config.device, draws=config.draws, cancel=cancel
    )
    yield Progress("models of the predictions", 0, 0)
    model_flux, model_phot = inference.reconstruct_observations(data, prediction, bundle)
    out_of_depth = np.where(prediction.ood > 1, int(Flag.OUT_OF_DEPTH), 0)
    result = Result(
        bins=bins,
        data=data,
        prediction=prediction,
        model_flux=model_flux,
        model_phot=model_phot,
        chi2=reduced_chi2(data, model_flux),
        flag=(data.flag | out_of_depth).astype(np.int32),
        white=spaxels.signal,
        wcs=cube.wcs,
        name=cube.name,
        redshift=redshift,
        model_name=bundle.name,
        model_sha256=bundle.sha256,
        settings={
            **config.settings(),
            "version": __version__,
            "device_used": str(inference.choose_device(config.device)),
            "notes": " | ".join(
                (*_file_notes(config, cube, maps, mosaics, given, bins), *notes, *_ood_notes(prediction.ood))
            ),
        },
    )
    return (yield from _flag_other_gas(result, bundle, cancel))


def _ood_notes(ood: F32) -> tuple[str, ...]:
    """A warning where many bins are out of depth."""
    known, strange = int(np.isfinite(ood).sum()), int((ood > 1).sum())
    if strange <= _MANY_FLAGGED * known:
        return ()
    return (f"{strange} of {known} bins are out of the network's depth: do not believe them before you know why",)


def _flag_other_gas(
    result: Result, bundle: Bundle, cancel: threading.Event | None
) -> Generator[Progress, None, Result]:
    """Flag the bins whose gas no young stars light up, and say what helps; nothing where the lines are hidden."""
    if not (result.data.mask & ~STELLAR_PIXELS).any():
        return result
    lines = yield from line_fitting.measure_line_fluxes(result, bundle, cancel)
    if lines is None:
        return result
    other = gas_and_stars.find_non_star_forming_gas(result, lines)
    share = other.sum() / max(int(np.isfinite(result.prediction.ood).sum()), 1)
    note = (
        f"gas of {other.sum()} of {other.size} bins is not lit by young stars alone ([N II]/Halpha, [O III]/Hbeta), "
        "but the network takes it for their light: give --mask-lines"
    )
    notes = [str(result.settings["notes"]), note if share > _MANY_FLAGGED else ""]
    settings = {**result.settings, "notes": " | ".join(filter(None, notes))}
    flag = (result.flag | np.where(other, int(Flag.OTHER_GAS), 0)).astype(np.int32)
    return replace(result, flag=flag, settings=settings)


def _file_notes(
    config: RunConfig,
    cube: Cube,
    maps: BinnedMaps | None,
    mosaics: Mapping[str, Mosaic],
    given: BinnedMaps | GivenBins | None,
    bins: BinMap,
) -> tuple[str, ...]:
    """What was assumed or left out, for the person who reads the result."""
    notes = [] if config.ebv_mw is not None else ["Milky Way E(B-V) not given: no correction; give --ebv-mw"]
    notes += [*cube.notes, *cube.describe_missing(), *(note for mosaic in mosaics.values() for note in mosaic.notes)]
    if isinstance(given, GivenBins):
        notes.append(given.note)
    elif given is not None and config.binning == "auto":
        notes.append(
            f"bins are those of {given.path.name}, so that its maps compare bin by bin; --binning vorbin makes new"
        )
    if given is not None:
        notes.append(describe_dropped_spaxels(given, bins))
    others = {"MAPS": maps.redshift if maps else None, "the cube's header": cube.redshift}
    source, value = next(
        ((k, v) for k, v in {"--redshift": config.redshift, **others}.items() if v is not None), ("", 0.0)
    )
    if source:
        notes += compare_redshifts(value, source, {k: v for k, v in others.items() if k != source})
    return tuple(filter(None, notes))


def _open_given_bins(config: RunConfig, maps: BinnedMaps | None) -> BinnedMaps | GivenBins | None:
    """Bins that somebody made: of MAPS, which are the default where there are some, or of a file; None: bin anew."""
    if config.binning == "maps" or (config.binning == "auto" and maps is not None):
        return maps
    return None if config.binning in binning.BINNING_METHODS else read_bin_map(config.binning)


def configure_run(folder: Path | None = None, **options: Any) -> RunConfig:
    """A configuration from a galaxy's folder, from given files, or from both (given files win).

    Raises
    ------
    SfhInputError
        Neither a folder nor a cube, or no cube in the folder.
    """
    given = {key: value for key, value in options.items() if value is not None and value != {}}
    if folder is not None:
        found = identify.find_galaxy_files(folder)
        bands = {**found.mosaics, **given.get("photometry", {})}
        given = {"cube": found.cube, "maps": found.maps, **given, "photometry": bands}
    if "cube" not in given:
        raise SfhInputError("no input: give a galaxy's folder, or --cube FILE")
    return RunConfig(**given)


def _validate(config: RunConfig) -> None:
    for band in config.photometry:
        if band not in BANDS:
            raise SfhInputError(f"--photometry {band}: the network knows {', '.join(BANDS)}")
    if not config.target_snr > 0:
        raise SfhInputError(f"--target-snr {config.target_snr}: must be above 0")
    if config.redshift is not None and not -0.01 < config.redshift < 1:
        raise SfhInputError(f"--redshift {config.redshift}: must lie between -0.01 and 1")
    if config.ebv_mw is not None and not 0 <= config.ebv_mw < 5:
        raise SfhInputError(f"--ebv-mw {config.ebv_mw}: E(B-V) in mag must lie between 0 and 5")
    if config.psf_fwhm_arcsec is not None and not 0 < config.psf_fwhm_arcsec < 10:
        raise SfhInputError(f"--psf-fwhm {config.psf_fwhm_arcsec}: must lie between 0 and 10 arcsec")
    if config.hst_psf_fwhm_arcsec is not None and not 0 < config.hst_psf_fwhm_arcsec < 2:
        raise SfhInputError(f"--hst-psf-fwhm {config.hst_psf_fwhm_arcsec}: must lie between 0 and 2 arcsec")
    if config.maps is None and "maps" in (config.binning, config.kinematics):
        raise SfhInputError("bins or kinematics from maps were asked for: give the file with --maps FILE")


def _open_files(config: RunConfig) -> tuple[Cube, BinnedMaps | None, dict[str, Mosaic]]:
    cube = read_cube(config.cube)
    maps = None
    if config.maps is not None:
        maps = read_maps(config.maps)
        check_maps_on_cube(maps, cube)
    mosaics = {band: read_mosaic(path, band) for band, path in config.photometry.items()}
    if config.hst_psf_fwhm_arcsec is not None:
        width = config.hst_psf_fwhm_arcsec
        mosaics = {band: replace(mosaic, psf_fwhm_arcsec=width) for band, mosaic in mosaics.items()}
    return cube, maps, mosaics


def _find_redshift(
    config: RunConfig, cube: Cube, maps: BinnedMaps | None, bundle: Bundle, cancel: threading.Event | None
) -> Generator[Progress, None, float | None]:
    """The user's redshift, else that of MAPS, else the cube's, else one measured from the brightest spaxels."""
    for value in (config.redshift, maps.redshift if maps else None, cube.redshift):
        if value is not None:
            return value
    yield Progress("no redshift given: measuring it", 0, 0)
    spaxels = yield from binning.measure_signal_noise(cube, 0.0, cancel)
    if spaxels is None:
        return None
    bright = spaxels.good & (spaxels.signal >= np.nanpercentile(spaxels.signal[spaxels.good], 80))
    bins = binning.bin_spaxels(spaxels, config.target_snr, given=bright.astype(np.int32))
    summed = yield from spectra.extract_bin_spectra(cube, bins, cancel)
    if summed is None:
        return None
    redshift, error = estimate_redshift(summed, bundle.basis, cube.path)
    yield Progress(f"redshift {redshift:.5f} +- {error:.5f} measured", 0, 0)
    return redshift


def _make_bins(
    config: RunConfig,
    spaxels: binning.SpaxelSN,
    given: BinnedMaps | GivenBins | None,
    cancel: threading.Event | None,
) -> Generator[Progress, None, BinMap | None]:
    warning = binning.describe_binning_time(spaxels, config.binning)
    stage = f"binning to S/N {config.target_snr:g}" + (f": {warning}" if warning else "")
    method = config.binning if given is None else "auto"
    return (
        yield from run_in_background(
            lambda: binning.bin_spaxels(spaxels, config.target_snr, method, given, cancel), stage, cancel
        )
    )


def _prepare_observation(
    config: RunConfig,
    cube: Cube,
    maps: BinnedMaps | None,
    mosaics: Mapping[str, Mosaic],
    bins: BinMap,
    spaxels: binning.SpaxelSN,
    redshift: float,
    bundle: Bundle,
    cancel: threading.Event | None,
) -> Generator[Progress, None, tuple[Observation, tuple[str, ...]] | None]:
    """Spectra, kinematics and photometry of the bins, corrected for the Milky Way; and notes on them."""
    summed = yield from spectra.extract_bin_spectra(cube, bins, cancel, redshift=redshift, light=spaxels.signal)
    if summed is None:
        return None
    summed, channel_notes = mask_bad_channels(summed, redshift)
    checks = (*check_errors(summed), *check_redshift(summed, bundle.basis, redshift, cube.path))
    summed, sky_notes = sky_lines.mask_sky_residuals(_deredden_spectra(summed, config.ebv_mw or 0.0), redshift)
    sky_notes = (*checks, *channel_notes, *sky_notes)
    moving = yield from _measure_kinematics(config, summed, maps, bins, redshift, bundle, cancel)
    if moving is None:
        return None
    rest = yield from run_in_background(
        lambda: rest_frame.shift_to_rest_frame(summed, redshift, moving.v_kms, moving.sigma_kms, cancel=cancel),
        "rest frame and 150 km/s",
        cancel,
    )
    if rest is None:
        return None
    seen = yield from _measure_photometry(config, cube, mosaics, bins, redshift, bundle, cancel)
    if seen is None:
        return None
    stand_ins = [band for band in seen.flux if is_camera_substitute(mosaics[band])]
    data = make_observation(
        rest, seen.flux, bins, moving.v_kms, moving.sigma_kms, redshift, ~moving.measured, other_camera=stand_ins
    )
    if config.mask_lines:
        data, sky_notes = mask_gas_lines(data), (*sky_notes, "pixels on gas lines masked")
    return data, (*sky_notes, *seen.notes)


def _deredden_spectra(summed: spectra.BinSpectra, ebv: float) -> spectra.BinSpectra:
    passed = extinction.milky_way_transmission(summed.wave_aa, ebv).astype(np.float32)
    return replace(summed, flux=summed.flux / passed, variance=summed.variance / passed**2)


def _measure_kinematics(
    config: RunConfig,
    summed: spectra.BinSpectra,
    maps: BinnedMaps | None,
    bins: BinMap,
    redshift: float,
    bundle: Bundle,
    cancel: threading.Event | None,
) -> Generator[Progress, None, kinematics.StellarKinematics | None]:
    how = config.kinematics
    if how == "auto":
        how = "maps" if maps is not None else "ppxf" if kinematics.is_ppxf_installed() else FALLBACK_KINEMATICS
    if how == "maps":
        assert maps is not None  # RunConfig refuses anything else
        return kinematics.bin_maps_kinematics(maps, bins, redshift, config.cube.name)
    if how == "ppxf":
        return (yield from kinematics.fit_ppxf_kinematics(summed, redshift, bundle.basis, cancel))
    return kinematics.parse_constant_kinematics(how, bins.n_bins)


def _measure_photometry(
    config: RunConfig,
    cube: Cube,
    mosaics: Mapping[str, Mosaic],
    bins: BinMap,
    redshift: float,
    bundle: Bundle,
    cancel: threading.Event | None,
) -> Generator[Progress, None, BandPhotometry | None]:
    if redshift > MAX_PHOTOMETRY_REDSHIFT and mosaics:
        note = f"z = {redshift:.4f} > {MAX_PHOTOMETRY_REDSHIFT}: the bands are left out (no K-correction)"
        yield Progress(note, 0, 0)
        return BandPhotometry({}, (note,))
    psf = choose_cube_psf(cube, config.psf_fwhm_arcsec)
    assumed = f"PSF unknown: FWHM {psf.fwhm_arcsec:g} arcsec assumed; give --psf-fwhm"
    measured = yield from bands.measure_bands(
        mosaics,
        cube,
        bins,
        psf,
        bundle.basis.filters,
        config.ebv_mw or 0.0,
        config.align,
        cancel,
        config.subtract_sky,
    )
    if measured is None or not (psf.assumed and mosaics):
        return measured
    return BandPhotometry(measured.flux, (assumed, *measured.notes))
