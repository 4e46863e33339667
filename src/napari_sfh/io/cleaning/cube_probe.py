"""A look into a cube on opening: fill values, errors and masks that can or cannot be used, the laser's notch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.cube_images import BAD_NAMES, CubeImages, MaskPlace
from napari_sfh.io.cleaning.cube_reader import ErrorImage, MaskImage, SlabReader
from napari_sfh.io.cleaning.missing import (
    ABSURD_FLAM,
    FAINT_FLAM,
    MAX_MASKED,
    find_fill_values,
    find_forbidding_bits,
)
from napari_sfh.io.cleaning.wavelengths import WavelengthAxis
from napari_sfh.io.fits_access import (
    find_rounding,
    get_number_card,
    holds_rounded_floats,
    image_shape,
    open_fits,
    read_rounding_step,
)
from napari_sfh.io.image_reader import ImageReader
from napari_sfh.physics.robust import SIGMA_PER_MAD
from napari_sfh.physics.wavelength import vacuum_to_air
from napari_sfh.types import F64

#: Fluxes are held in this unit, erg/s/cm2/AA, where the file's own would leave the range of single precision.
_UNIT = 1e-20
#: Rounding errors over the noise from which lossy compression is told: it then adds a tenth to the error.
_ROUNDING_SHARE = 0.45
_OWN_UNITS = (1e-23, 1e-12)
#: Share of the light that a mask leaves out from which on this is told.
_MUCH_LIGHT = 0.3
#: Share of the spaxels that a mask of a star does not reach, and of pairs whose forbidden spaxel is the brighter one.
_FAIR_PART, _BRIGHTER = 0.05, 0.9
_RENAME = "name the extension GOODPIX where 1 = usable"
#: Channels that are looked at.
_PROBED = 12
#: Observed wavelengths (AA) that the notch filter of MUSE's laser blocks, by instrument mode (MUSE User Manual).
LASER_NOTCH_AA: Mapping[str, tuple[float, float]] = {
    "WFM-AO-N": (5800.0, 5970.0),
    "WFM-AO-E": (5750.0, 6010.0),
    "NFM-AO-N": (5780.0, 6050.0),
}


def make_slab_reader(
    path: Path,
    images: CubeImages,
    flux_scale: float,
    error_factor: float,
    header: Mapping[str, Any],
    names: Sequence[str],
    axis: WavelengthAxis,
    integer: bool,
    channel_factor: F64 | None = None,
) -> tuple[SlabReader, list[str]]:
    """The reader of a cube's blocks, and notes on what it leaves out.

    Parameters
    ----------
    path : Path
    images : CubeImages
    flux_scale : float
        erg/s/cm2/AA per stored unit of the flux.
    error_factor : float
        From the stored errors to erg/s/cm2/AA, in the power of their kind.
    header : mapping
        Cards of the primary HDU and the flux.
    names : sequence of str
        Of all HDUs.
    axis : WavelengthAxis
        Of the channels.
    integer : bool
        The flux is stored as integers, where a zero may be a number like any other.

    channel_factor : array (n,), optional
        From blue to red, times ``flux_scale``: for fluxes per frequency.

    Raises
    ------
    SfhInputError
        A mask forbids nearly everything.
    """
    unit = flux_scale if _OWN_UNITS[0] <= flux_scale <= _OWN_UNITS[1] else _UNIT
    flux = ImageReader(path, images.data, 3)
    sample = _read_sample(flux, images.shape)
    reader = SlabReader(
        images.shape,
        flux,
        1.0 if unit == flux_scale else flux_scale / unit,
        None,
        fills=find_fill_values(sample),
        limit=ABSURD_FLAM / unit,
        zero_is_missing=not integer and _is_zero_missing(path, images.data, sample),
        bad_channels=(*_find_laser_notch(header, axis), *_find_bad_ends(header, axis)),
        falling=axis.falling,
        channel_factor=None if channel_factor is None else _order_as_stored(channel_factor, axis).astype(np.float32),
    )
    notes = [f"{why}: masked" for why in dict.fromkeys(why for _, _, why in reader.bad_channels)]
    notes += _describe_rounding(path, images.data, sample)
    error, note = _open_errors(path, images, error_factor, unit)
    masks = tuple(_open_mask(path, mask, images.shape, header, names) for mask in images.masks)
    observed = np.isfinite(sample) & (sample != 0)
    notes += _describe_absurd_values(sample[observed], reader)
    masks, more = _check_masks(masks, images.shape, sample, path)
    return replace(reader, variance=error, masks=masks), [*notes, note, *more]


def find_error_power(path: Path, images: CubeImages) -> int:
    """Whether the flux scatters as the errors (1) or as their square root (2): pairs of neighbouring channels tell.

    Parameters
    ----------
    path : Path
    images : CubeImages
        With errors in the flux's own unit.
    """
    assert images.error is not None
    flux, errors = ImageReader(path, images.data, 3), ImageReader(images.error_path or path, images.error, 3)
    ratios = []
    for k in _probed_channels(images.shape):
        if k + 1 >= images.shape[0]:
            continue
        pair, error = flux[k : k + 2].astype(np.float64), errors[k : k + 1][0].astype(np.float64)
        step = np.abs(pair[1] - pair[0]) * SIGMA_PER_MAD / np.sqrt(2.0)
        usable = np.isfinite(step) & np.isfinite(error) & (error > 0) & (step > 0)
        ratios.append(np.column_stack([step[usable] / error[usable], step[usable] / np.sqrt(error[usable])]))
    found = np.concatenate(ratios) if ratios else np.empty((0, 2))
    if len(found) < 20:
        return 2
    as_sigma, as_variance = np.abs(np.log(np.median(found, axis=0)))
    return 1 if as_sigma < as_variance else 2


def measure_typical_flux(path: Path, images: CubeImages) -> float:
    """Median of the flux's absolute values in some channels, in the stored unit; 0 where nothing was observed.

    Parameters
    ----------
    path : Path
    images : CubeImages
        Where the flux is.
    """
    sample = _read_sample(ImageReader(path, images.data, 3), images.shape)
    observed = sample[np.isfinite(sample) & (sample != 0)].astype(np.float64)
    return float(np.median(np.abs(observed))) if observed.size else 0.0


def _describe_rounding(path: Path, index: int, sample: NDArray[Any]) -> list[str]:
    """What is said of lossy compression, where rounding (step / sqrt(12)) adds more than a share of the noise."""
    rounding = find_rounding(path, index)
    if not rounding:
        return []
    step = read_rounding_step(path, index)
    # Neighbouring spaxels differ by their noise: the mean of the smaller 95 % is 0.99 of a normal one's deviation.
    differences = np.abs(np.diff(sample, axis=-1))
    differences = np.sort(differences[np.isfinite(differences)])
    noise = float(differences[: max(1, int(0.95 * differences.size))].mean()) if differences.size else 0.0
    if step / np.sqrt(12) <= _ROUNDING_SHARE * noise:
        return []
    return [
        f"the flux was compressed with loss (ZQUANTIZ {rounding}): rounded to steps of {step:.3g}, noise {noise:.3g}"
    ]


def _describe_absurd_values(values: NDArray[Any], reader: SlabReader) -> list[str]:
    """What is said of a flux whose numbers are not those of its unit: the unit is another one."""
    if values.size == 0:
        return ["every value of the flux that was looked at is missing (NaN or 0)"]
    own = float(np.median(np.abs(values.astype(np.float64)))) * reader.flux_factor
    usual = own / reader.limit * ABSURD_FLAM
    if own >= reader.limit:
        why = "more than galaxies have: no pixel can be used"
    elif usual < FAINT_FLAM:
        why = "less than any telescope sees: fluxes and masses are not to be believed, ages may be"
    else:
        return []
    return [f"the flux is {usual:.2g} erg/s/cm2/A (median), {why}; check BUNIT"]


def _order_as_stored(values: F64, axis: WavelengthAxis) -> F64:
    """Numbers (n,) of channels from blue to red, in the file's order."""
    return values[::-1] if axis.falling else values


def _is_zero_missing(path: Path, index: int, sample: NDArray[Any]) -> bool:
    """Whether a zero of floating-point data says that nothing was observed.

    Noise is never exactly zero, except where tile compression rounded it to a lattice: there only a spaxel without
    another number shows that zeros stand for missing values.
    """
    if not holds_rounded_floats(path, index):
        return True
    zero = sample == 0
    return bool(np.any(np.all(zero | ~np.isfinite(sample), axis=0) & zero.any(axis=0)))


def _probed_channels(shape: tuple[int, int, int]) -> list[int]:
    return sorted({int(k) for k in np.linspace(0, shape[0] - 1, _PROBED + 2)[1:-1]})


def _read_sample(reader: ImageReader, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Some channels (k, ny, nx), and where the pixels can be reached singly a spectrum laid over the first of them."""
    sample = np.stack([reader[k : k + 1][0] for k in _probed_channels(shape)])
    if reader.is_plain:
        middle = shape[1] // 2 * shape[2] + shape[2] // 2
        spectrum = reader.read_columns(shape[0], middle, 1)[:, 0].astype(sample.dtype)
        extra = np.full((-(-spectrum.size // sample[0].size), *sample.shape[1:]), np.nan, dtype=sample.dtype)
        extra.ravel()[: spectrum.size] = spectrum
        return np.concatenate([sample, extra])
    return sample


def _open_errors(path: Path, images: CubeImages, factor: float, unit: float) -> tuple[ErrorImage | None, str]:
    """The errors; some without one positive number count as absent."""
    if images.error is None:
        return None, "no STAT: errors are estimated from the spectra themselves"
    reader = ImageReader(images.error_path or path, images.error, 3)
    sample = _read_sample(reader, images.shape)
    with np.errstate(invalid="ignore"):
        usable = (sample > 0) & (sample < np.inf)
    fills = find_fill_values(sample)
    for fill in fills:
        usable &= sample != fill
    if not usable.any():
        note = f"{images.error_name} is nowhere positive and ignored: errors are estimated from the spectra themselves"
        return None, note
    power = {"variance": 2, "sigma": 1, "inverse": -2}[images.error_kind]
    own = factor / unit**power
    if abs(own - 1.0) < 1e-9:
        own = 1.0
    kind = {"variance": "", "sigma": " read as 1 sigma", "inverse": " read as inverse variance"}[images.error_kind]
    return ErrorImage(
        reader, images.error_name, images.error_kind, own, fills
    ), images.error_name + kind if kind else ""


def _open_mask(
    path: Path, mask: MaskPlace, shape: tuple[int, int, int], header: Mapping[str, Any], names: Sequence[str]
) -> MaskImage:
    """A mask of the cube's shape, or of its channels or spaxels alone."""
    index, name, path = mask.hdu, mask.name, mask.path or path
    bits, survey = find_forbidding_bits(header, names) if name in ("MASK", "DQ") else (None, "")
    with open_fits(path) as hdus:
        axes = image_shape(hdus[index])
        flat = None if len(axes) == 3 else np.array(hdus[index].data).reshape(axes)
    if flat is None:
        return MaskImage(ImageReader(path, index, 3), name, bits, survey, mask.marks_usable)
    spread = flat[:, None, None] if flat.ndim == 1 else flat[None]
    return MaskImage(np.broadcast_to(spread, shape), name, bits, survey, mask.marks_usable)


def _check_masks(
    masks: tuple[MaskImage, ...], shape: tuple[int, int, int], sample: NDArray[Any], path: Path
) -> tuple[tuple[MaskImage, ...], list[str]]:
    """Refuse a mask that forbids nearly all observed pixels, or the bright ones: its meaning may be another one."""
    channels = _probed_channels(shape)
    flux = np.where(np.isfinite(sample[: len(channels)]), sample[: len(channels)], 0)
    seen = flux != 0
    notes = []
    for mask in masks:
        forbidden = np.concatenate([mask.mark_forbidden(k, k + 1) for k in channels])
        share = float(forbidden[seen].mean()) if seen.any() else 0.0
        if share > MAX_MASKED:
            raise SfhInputError(
                f"{path}: {mask.name} forbids {100 * share:.3g} % of the observed pixels; usable ones must be 0: "
                f"invert it, {_RENAME}, or remove the extension {mask.name}"
            )
        meaning = f"bits of {mask.survey}" if mask.survey else "0 = usable"
        meaning = "other than 0 = usable" if mask.marks_usable else meaning
        left = _find_share_of_light(flux, forbidden)
        says_itself = mask.marks_usable or mask.survey or mask.name in BAD_NAMES or "badpix" in mask.name
        if left > _MUCH_LIGHT and not says_itself and _are_bright(flux, forbidden):
            raise SfhInputError(
                f"{path}: {mask.name} forbids the bright spaxels ({left:.0%} of the light) and leaves the faint ones: "
                f"does it mark the galaxy? If so, invert it, or {_RENAME}; if the galaxy is to be left out, "
                "name it BADPIX"
            )
        if left > _MUCH_LIGHT:
            meaning += f"; it leaves out {left:.0%} of the light: if that is the galaxy, invert it"
        notes.append(f"{mask.name} is used ({meaning})" if left > _MUCH_LIGHT or mask.name != "DQ" else "")
    return masks, notes


def _are_bright(flux: NDArray[Any], forbidden: NDArray[np.bool_]) -> bool:
    """Whether the spaxels that are forbidden are a fair part of the field, and nearly all brighter than the others.

    A mask of a star or a nucleus is smaller, one of the sky or of the field's edge holds the faint spaxels.
    """
    light, masked = flux.astype(np.float64).mean(axis=0).ravel(), forbidden.mean(axis=0).ravel() > 0.5
    light, masked = light[(flux != 0).any(axis=0).ravel()], masked[(flux != 0).any(axis=0).ravel()]
    if not _FAIR_PART < masked.mean() < 1 - _FAIR_PART:
        return False
    ranks = np.argsort(np.argsort(light)) + 1.0
    n, m = int(masked.sum()), int((~masked).sum())
    return float((ranks[masked].sum() - n * (n + 1) / 2) / (n * m)) > _BRIGHTER


def _find_share_of_light(flux: NDArray[Any], chosen: NDArray[np.bool_]) -> float:
    """Share, 0 to 1, of the light of the pixels that are chosen."""
    light = np.clip(flux.astype(np.float64), 0.0, None)
    return float(light[chosen].sum() / max(light.sum(), 1e-300))


def _find_laser_notch(header: Mapping[str, Any], axis: WavelengthAxis) -> tuple[tuple[int, int, str], ...]:
    """Channels of the laser's notch, whatever fills them, where the header says that the laser was on."""
    words = " ".join(str(header.get(k, "")) for k in ("ESO INS MODE", "INSMODE", "HIERARCH ESO INS MODE")).upper()
    mode = re.search(r"(WFM-AO-[NE]|NFM-AO-N|NFM)", words)
    if mode is None:
        return ()
    low, high = LASER_NOTCH_AA.get(mode.group(1), LASER_NOTCH_AA["NFM-AO-N"])
    return _find_stored_channels(axis, (low, high), f"laser notch {low:.0f}-{high:.0f} AA of {mode.group(1)}")


def _find_stored_channels(
    axis: WavelengthAxis, limits_aa: tuple[float, float], why: str
) -> tuple[tuple[int, int, str], ...]:
    """Channels of the file, first and last + 1, whose wavelengths lie between two limits."""
    first, last = (int(k) for k in np.searchsorted(axis.wave_aa, limits_aa))
    if axis.falling:
        first, last = axis.wave_aa.size - last, axis.wave_aa.size - first
    return ((first, last, why),) if last > first else ()


def _find_bad_ends(header: Mapping[str, Any], axis: WavelengthAxis) -> tuple[tuple[int, int, str], ...]:
    """Channels outside of KCWI's WAVGOOD0 and WAVGOOD1 (Angstrom): there, some slices have no light."""
    low, high = (get_number_card(header, key) for key in ("WAVGOOD0", "WAVGOOD1"))
    if low is None or high is None or not low < high:
        return ()
    if axis.vacuum:
        low, high = (float(wave) for wave in vacuum_to_air(np.array([low, high])))
    if min(high, axis.wave_aa[-1]) - max(low, axis.wave_aa[0]) <= 0:
        return ()  # in another unit, or of another cube
    why = f"outside of WAVGOOD0-WAVGOOD1 {low:.0f}-{high:.0f} AA"
    below, above = (0.0, low), (np.nextafter(high, np.inf), np.inf)
    return (*_find_stored_channels(axis, below, why), *_find_stored_channels(axis, above, why))
