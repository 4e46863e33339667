"""Other people's conventions: the same data as other surveys, programs and typists write them.

Each must be read to the same maps, or be refused with its cause; none of them is damaged.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from inputs import BINS, CUBE, MAPS, MOSAIC, WEIGHT
from mutations import Case, change_bytes, change_hdus, find_tile_shape

from napari_sfh.physics.wavelength import air_to_vacuum

FIRST_AA, STEP_AA = 4749.88, 1.25
Act = Callable[[fits.HDUList], Any]


def _case(kind: str, file: str, name: str, act: Act) -> Case:
    return Case(kind, name, partial(change_hdus, file, act))


def _cards(change: dict[str, Any], primary: dict[str, Any] | None = None) -> Act:
    """Set cards (None: remove) of every image, and of the primary HDU."""

    def act(hdus: fits.HDUList) -> None:
        for hdu in hdus:
            cards = dict(primary or {}) if hdu.data is None else change
            for key, value in cards.items():
                if value is None:
                    hdu.header.remove(key, ignore_missing=True)
                else:
                    hdu.header[key] = value

    return act


def _images(change: Callable[[np.ndarray, int], Any]) -> Act:
    """Replace the data of each image."""

    def act(hdus: fits.HDUList) -> None:
        for k, hdu in enumerate(h for h in hdus if h.data is not None):
            made = change(np.array(hdu.data), k)
            if made is not None:
                hdu.data = made

    return act


def _both(*acts: Act) -> Act:
    def act(hdus: fits.HDUList) -> None:
        for one in acts:
            one(hdus)

    return act


# ---------------------------------------------------------------------------------------------------- wavelength axes
def _resample(hdus: fits.HDUList, air: np.ndarray, **cards: Any) -> None:
    """Put DATA and STAT on other wavelengths (air, Angstrom)."""
    own = FIRST_AA + STEP_AA * np.arange(hdus[1].data.shape[0])
    k = np.clip(np.searchsorted(own, air) - 1, 0, own.size - 2)
    f = ((air - own[k]) / STEP_AA)[:, None, None]
    for hdu in hdus[1:]:
        hdu.data = (hdu.data[k] * (1 - f) + hdu.data[k + 1] * f).astype(np.float32)
        for key in ("CTYPE3", "CUNIT3", "CRPIX3", "CRVAL3", "CD3_3"):
            hdu.header.remove(key, ignore_missing=True)
        hdu.header.update(cards)


def _axis_cases() -> Iterator[Case]:
    n = 1881
    last = FIRST_AA + STEP_AA * (n - 1)
    grid = np.arange(n)
    vacuum = np.linspace(*air_to_vacuum(np.array([FIRST_AA + 2, last - 2])), n)
    from napari_sfh.physics.wavelength import vacuum_to_air

    air = vacuum_to_air(vacuum)
    step = float(vacuum[1] - vacuum[0])
    linear = {"CRPIX3": 1.0, "CRVAL3": float(vacuum[0]), "CD3_3": step, "CUNIT3": "Angstrom"}
    log_vacuum = np.geomspace(vacuum[0], vacuum[-1], n)
    log_air = vacuum_to_air(log_vacuum)
    ratio = float(np.log(log_vacuum[1] / log_vacuum[0]))
    made: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "WAVE": (air, {"CTYPE3": "WAVE", **linear}),
        "wave, lower case": (air, {"CTYPE3": "wave", **linear}),
        "VAC-WAVE words": (air, {"CTYPE3": "LINEAR", "AIRORVAC": "vac", **linear}),
        "WAVE in nm": (
            air,
            {
                "CTYPE3": "WAVE",
                "CRPIX3": 1.0,
                "CRVAL3": float(vacuum[0]) / 10,
                "CD3_3": step / 10,
                "CUNIT3": "nanometers",
            },
        ),
        "WAVE in m without unit": (
            air,
            {"CTYPE3": "WAVE", "CRPIX3": 1.0, "CRVAL3": float(vacuum[0]) * 1e-10, "CD3_3": step * 1e-10},
        ),
        "WAVE-LOG": (
            log_air,
            {
                "CTYPE3": "WAVE-LOG",
                "CRPIX3": 1.0,
                "CRVAL3": float(log_vacuum[0]),
                "CD3_3": float(log_vacuum[0]) * ratio,
                "CUNIT3": "Angstrom",
            },
        ),
        "log10, DC-FLAG": (
            log_air,
            {
                "CTYPE3": "LINEAR",
                "DC-FLAG": 1,
                "CRPIX3": 1.0,
                "CRVAL3": float(np.log10(log_vacuum[0])),
                "CD3_3": ratio / np.log(10),
                "VACUUM": "vacuum",
            },
        ),
        "ln, LOGLAM": (
            log_air,
            {
                "CTYPE3": "LOGLAM",
                "CRPIX3": 1.0,
                "CRVAL3": float(np.log(log_vacuum[0])),
                "CDELT3": ratio,
                "VACUUM": "vac",
            },
        ),
        "log(Angstrom) as unit": (
            log_air,
            {
                "CTYPE3": "WAVE",
                "CUNIT3": "log(Angstrom)",
                "CRPIX3": 1.0,
                "CRVAL3": float(np.log10(log_vacuum[0])),
                "CD3_3": ratio / np.log(10),
            },
        ),
        "CALIFA's log axis in a linear CTYPE": (
            log_air,
            {"CTYPE3": "WAVE", "CRPIX3": 1.0, "CRVAL3": float(np.log(log_vacuum[0])), "CD3_3": ratio},
        ),
        "reference channel in the middle": (
            air,
            {"CTYPE3": "WAVE", "CRPIX3": 941.0, "CRVAL3": float(vacuum[940]), "CD3_3": step, "CUNIT3": "Angstrom"},
        ),
        "half the channels": (air[::2], {"CTYPE3": "WAVE", **linear, "CD3_3": 2 * step}),
        "two thirds of a channel": (
            vacuum_to_air(np.linspace(vacuum[0], vacuum[-1], 3 * n // 2)),
            {"CTYPE3": "WAVE", **linear, "CD3_3": float(vacuum[-1] - vacuum[0]) / (3 * n // 2 - 1)},
        ),
        "step as CDELT3 and PC3_3": (air, {"CTYPE3": "WAVE", **linear, "CD3_3": None} | {"CDELT3": step, "PC3_3": 1.0}),
    }
    c = 299792.458
    zero = 5500.0
    velocities: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "VOPT": lambda wave: c * (wave / zero - 1),
        "VRAD": lambda wave: c * (1 - zero / wave),
        "VELO": lambda wave: c * ((wave / zero) ** 2 - 1) / ((wave / zero) ** 2 + 1),
    }
    for kind, convert in velocities.items():
        limits = convert(np.array([vacuum[0], vacuum[-1]]))
        fine = np.linspace(vacuum[0], vacuum[-1], 20 * n)
        placed = np.interp(np.linspace(*limits, n), convert(fine), fine)
        made[f"{kind} with RESTWAV"] = (
            vacuum_to_air(placed),
            {
                "CTYPE3": kind,
                "CUNIT3": "km/s",
                "CRPIX3": 1.0,
                "CRVAL3": float(limits[0]),
                "CD3_3": float((limits[1] - limits[0]) / (n - 1)),
                "RESTWAV": zero * 1e-10,
            },
        )
    frequency = np.linspace(c * 1e13 / vacuum[-1], c * 1e13 / vacuum[0], n)
    made["VOPT-F2W with RESTFRQ"] = (
        vacuum_to_air(c * 1e13 / frequency[::-1]),
        {
            "CTYPE3": "VOPT-F2W",
            "CUNIT3": "m/s",
            "CRPIX3": 1.0,
            "CRVAL3": float(1e3 * c * (vacuum[0] / zero - 1)),
            # Velocity per channel at the reference channel.
            "CD3_3": float(1e3 * vacuum[0] ** 2 / zero * (frequency[1] - frequency[0]) * 1e-13),
            "RESTFRQ": c * 1e13 / zero,
        },
    )
    made["FREQ, rising"] = (
        vacuum_to_air(c * 1e13 / frequency),
        {
            "CTYPE3": "FREQ",
            "CUNIT3": "Hz",
            "CRPIX3": 1.0,
            "CRVAL3": float(frequency[0]),
            "CD3_3": float(frequency[1] - frequency[0]),
        },
    )
    made["FREQ, falling"] = (
        vacuum_to_air(c * 1e13 / frequency[::-1]),
        {
            "CTYPE3": "FREQ",
            "CUNIT3": "THz",
            "CRPIX3": 1.0,
            "CRVAL3": float(frequency[-1]) / 1e12,
            "CD3_3": float(frequency[0] - frequency[1]) / 1e12,
        },
    )
    made["wavelengths falling"] = (
        air[::-1],
        {"CTYPE3": "WAVE", "CUNIT3": "Angstrom", "CRPIX3": 1.0, "CRVAL3": float(vacuum[-1]), "CD3_3": -step},
    )
    made["WAVN"] = (
        vacuum_to_air(1e8 / np.linspace(1e8 / vacuum[0], 1e8 / vacuum[-1], n)),
        {
            "CTYPE3": "WAVN",
            "CUNIT3": "1/cm",
            "CRPIX3": 1.0,
            "CRVAL3": float(1e8 / vacuum[0]),
            "CD3_3": float((1e8 / vacuum[-1] - 1e8 / vacuum[0]) / (n - 1)),
        },
    )
    made["AWAV-W2A as of WAVE"] = (air, {"CTYPE3": "WAVE-A2W", **linear})
    for name, (wave, cards) in made.items():
        inner = np.clip(wave, FIRST_AA, last)
        present = {key: value for key, value in cards.items() if value is not None}
        yield _case("cube", CUBE, f"axis: {name}", partial(_resample, air=inner, **present))
    for shape in ("row", "column", "wrong length", "absent"):

        def table(hdus: fits.HDUList, shape: str = shape) -> None:
            own = FIRST_AA + STEP_AA * grid
            for hdu in hdus[1:]:
                hdu.header.update(
                    {"CTYPE3": "AWAV-TAB", "PS3_0": "WCS-TAB", "PS3_1": "wave", "CRVAL3": 1.0, "CD3_3": 1.0}
                )
            if shape == "absent":
                return
            own = own[:-5] if shape == "wrong length" else own
            column = (
                fits.Column("wave", f"{own.size}D", "Angstrom", array=own[None])
                if shape != "column"
                else fits.Column("wave", "D", "Angstrom", array=own)
            )
            hdus.append(fits.BinTableHDU.from_columns([column], name="WCS-TAB"))

        yield _case("cube", CUBE, f"axis: AWAV-TAB, {shape}", table)
    for name, count in {"MaNGA's WAVE image and no axis": n, "WAVE image of another length": n - 3}.items():

        def image(hdus: fits.HDUList, count: int = count) -> None:
            for key in ("CTYPE3", "CRVAL3", "CD3_3", "CRPIX3", "CUNIT3"):
                hdus[1].header.remove(key)
            hdus.append(fits.ImageHDU(FIRST_AA + STEP_AA * np.arange(count), name="WAVE"))

        yield _case("cube", CUBE, f"axis: {name}", image)
    for shift in (-20, -5, -2, -1, 1, 2, 3, 5, 20):
        yield _case("cube", CUBE, f"axis: off by {shift} channels", _cards({"CRPIX3": 1.0 + shift}))
    for z in (0.0, 0.01, 0.05, -0.002, 0.004):
        factor = (1 + z) / 1.0025
        yield _case(
            "cube", CUBE, f"axis: as of redshift {z}", _cards({"CRVAL3": FIRST_AA * factor, "CD3_3": STEP_AA * factor})
        )
    for text in ("'4749,88'", "'4749.88'", "4.74988D3", "4749.88D+00", "'4749.88 Angstrom'", "4 749.88", ".474988E4"):

        def write(raw: bytes, text: str = text) -> bytes:
            at = raw.find(b"CRVAL3  =")
            return raw[:at] + f"CRVAL3  = {text}".encode().ljust(80) + raw[at + 80 :]

        yield Case("cube", f"axis: CRVAL3 written {text}", partial(change_bytes, CUBE, write))
    for unit in (
        "angstrom",
        "ANGSTROMS",
        "Ang",
        "Ang.",
        "AA",
        "0.1 nm",
        "0.1nm",
        "10**-10 m",
        "1e-10 m",
        "10^-10m",
        "Angstrom ",
        "[Angstrom]",
        "(Angstrom)",
        "lambda",
        "pixel",
        "Hz",
        "Angstrom/pixel",
    ):
        yield _case("cube", CUBE, f"axis: CUNIT3 {unit!r}", _cards({"CUNIT3": unit}))


# --------------------------------------------------------------------------------------------------------- numbers
def _number_cases() -> Iterator[Case]:
    for bits in (16, 32):
        for target in (1, 2):
            for blank in (False, True):
                change = partial(_scale_integers, bits=bits, target=target, blank=blank)
                yield Case("cube", f"{bits} bits with BSCALE in HDU {target}, BLANK {blank}", change)
    for kind in (np.uint8, np.uint16, np.uint32, np.int64):
        yield _case("cube", CUBE, f"DATA as {kind.__name__}", _images(lambda a, k, t=kind: a.clip(0).astype(t)))

    def swap(raw: bytes) -> bytes:
        with fits.open(io.BytesIO(raw)) as hdus:
            at, size = hdus[1].fileinfo()["datLoc"], hdus[1].data.size
        return raw[:at] + np.frombuffer(raw, ">f4", size, at).astype("<f4").tobytes() + raw[at + 4 * size :]

    yield Case("cube", "DATA in the other byte order", partial(change_bytes, CUBE, swap))
    rng = np.random.default_rng(3)
    spots = rng.random((1881, 4, 4)) < 0.001
    for factor in (-100.0, 30.0, 1e4):

        def strike(data: np.ndarray, k: int, factor: float = factor) -> np.ndarray:
            return np.where(spots & (k == 0), data * factor, data).astype(np.float32)

        yield _case("cube", CUBE, f"cosmic rays x {factor:g}", _images(strike))
    for width in (2, 3, 5, 10, 40):
        for factor in (0.0, 0.5, 2.0, -1.0, 10.0):

            def block(data: np.ndarray, k: int, width: int = width, factor: float = factor) -> np.ndarray:
                if k == 0:
                    data[700 : 700 + width] *= factor
                return data

            yield _case("cube", CUBE, f"{width} channels x {factor:g}", _images(block))
    for channel in (650, 1500):

        def level(data: np.ndarray, k: int, channel: int = channel) -> np.ndarray:
            if k == 0:
                data[channel:] *= 1.3
            return data

        yield _case("cube", CUBE, f"detector's step of 30 % at {channel}", _images(level))
    spaxels: dict[str, Callable[[np.ndarray], Any]] = {
        "one spaxel NaN": lambda a: a.__setitem__((slice(None), 1, 1), np.nan),
        "one spaxel zero": lambda a: a.__setitem__((slice(None), 1, 1), 0),
        "one spaxel constant": lambda a: a.__setitem__((slice(None), 1, 1), 7.0),
        "one spaxel negative": lambda a: a.__setitem__((slice(None), 1, 1), -a[:, 1, 1]),
        "one row NaN": lambda a: a.__setitem__((slice(None), 2), np.nan),
        "every second spaxel NaN": lambda a: a.__setitem__((slice(None), slice(None, None, 2)), np.nan),
        "first half of the channels NaN": lambda a: a.__setitem__((slice(None, 900),), np.nan),
        "channels at random NaN": lambda a: a.__setitem__(rng.random(1881) < 0.3, np.nan),
        "sky not subtracted": lambda a: a.__iadd__(np.float32(30 * np.nanmedian(a))),
        "sky subtracted too much": lambda a: a.__isub__(np.float32(0.6 * np.nanmedian(a))),
        "flux slope": lambda a: a.__imul__(np.linspace(0.5, 1.5, 1881, dtype=np.float32)[:, None, None]),
        "spectrum reversed": lambda a: a.__setitem__(Ellipsis, a[::-1].copy()),
        "spectra shuffled": lambda a: rng.shuffle(a),
        "noise alone": lambda a: a.__setitem__(Ellipsis, rng.normal(size=a.shape)),
        "a flat spectrum": lambda a: a.__setitem__(Ellipsis, 100 + rng.normal(size=a.shape)),
    }
    for name, change in spaxels.items():

        def put(data: np.ndarray, k: int, change: Callable[[np.ndarray], Any] = change) -> np.ndarray:
            if k == 0:
                change(data)
            return data

        yield _case("cube", CUBE, name, _images(put))
    errors: dict[str, Callable[[np.ndarray, np.ndarray], Any]] = {
        "is 1 sigma": lambda d, s: np.sqrt(s),
        "is a relative error": lambda d, s: np.sqrt(s) / np.abs(d),
        "is S/N": lambda d, s: d / np.sqrt(s),
        "is inverse variance": lambda d, s: 1 / s,
        "1000 times too large": lambda d, s: s * 1000,
        "1000 times too small": lambda d, s: s / 1000,
        "one number": lambda d, s: np.full_like(s, np.nanmedian(s)),
        "a copy of the data": lambda d, s: d.copy(),
        "zero in half of the channels": lambda d, s: np.where(np.arange(1881)[:, None, None] % 2, s, 0),
        "NaN in half of the channels": lambda d, s: np.where(np.arange(1881)[:, None, None] % 2, s, np.nan),
        "negative": lambda d, s: -s,
        "reversed": lambda d, s: s[::-1],
    }
    for name, make in errors.items():

        def vary(hdus: fits.HDUList, make: Callable[[np.ndarray, np.ndarray], Any] = make) -> None:
            with np.errstate(all="ignore"):
                hdus[2].data = np.asarray(make(hdus[1].data, hdus[2].data), np.float32)

        yield _case("cube", CUBE, f"STAT {name}", vary)


def _scale_integers(folder: Path, bits: int, target: int, blank: bool) -> None:
    """Store an image as scaled integers, byte by byte: astropy would turn them into floats again."""
    with fits.open(folder / CUBE) as hdus:
        data, header = np.array(hdus[target].data, np.float64), hdus[target].header.copy()
        place = hdus[target].fileinfo()
    low, high = np.nanmin(data), np.nanmax(data)
    step = (high - low) / (2.0 ** (bits - 1) - 10)
    stored = np.round((data - low) / step).astype(f">i{bits // 8}")
    header.update({"BITPIX": bits, "BSCALE": step, "BZERO": low})
    if blank:
        stored[:, 0, 0] = -5
        header["BLANK"] = -5
    content = stored.tobytes()
    made = header.tostring().encode() + content + bytes(-len(content) % 2880)
    raw = (folder / CUBE).read_bytes()
    (folder / CUBE).write_bytes(raw[: place["hdrLoc"]] + made + raw[place["datLoc"] + place["datSpan"] :])


# ------------------------------------------------------------------------------------------------------------ layouts
def _layout_cases() -> Iterator[Case]:
    """Names and orders of other instruments' files."""

    def image(data: np.ndarray, like: Any, name: str, **cards: Any) -> fits.ImageHDU:
        header = like.header.copy()
        header.remove("BUNIT", ignore_missing=True)
        header.update(cards)
        return fits.ImageHDU(np.asarray(data), header, name=name)

    def primary(h: fits.HDUList) -> fits.PrimaryHDU:
        header = h[1].header.copy()
        for key in ("XTENSION", "EXTNAME", "PCOUNT", "GCOUNT"):
            header.remove(key, ignore_missing=True)
        header["REDSHIFT"] = 0.0025
        return fits.PrimaryHDU(h[1].data, header)

    none = np.zeros((1881, 4, 4), np.int16)
    u = {"BUNIT": "10**(-20)*erg/s/cm**2/Angstrom"}
    acts: dict[str, Act] = {
        "primary alone": lambda h: [primary(h)],
        "CALIFA": lambda h: [
            primary(h),
            image(np.sqrt(h[2].data), h[1], "ERROR"),
            image(np.ones_like(h[1].data), h[1], "ERRWEIGHT"),
            image(none.astype(np.uint8), h[1], "BADPIX"),
            fits.ImageHDU(np.ones((4, 4), np.float32), name="FIBCOVER"),
        ],
        "SAMI": lambda h: [
            primary(h),
            image(h[2].data, h[1], "VARIANCE"),
            image(np.ones_like(h[1].data), h[1], "WEIGHT"),
            fits.ImageHDU(np.ones((20, 3, 3, 4, 4), np.float32), name="COVAR"),
            fits.ImageHDU(np.ones(1881, np.float32), name="DUST"),
        ],
        "KCWI": lambda h: [
            primary(h),
            image(np.sqrt(h[2].data), h[1], "UNCERT"),
            image(none.astype(np.uint8), h[1], "MASK"),
            image(none.astype(np.uint8), h[1], "FLAGS"),
        ],
        "Gemini": lambda h: [
            h[0],
            image(h[1].data, h[1], "SCI", **u),
            image(h[2].data, h[1], "VAR"),
            image(none, h[1], "DQ"),
        ],
        "JWST": lambda h: [
            h[0],
            image(h[1].data, h[1], "SCI", **u),
            image(np.sqrt(h[2].data), h[1], "ERR", **u),
            image(none.astype(np.int32), h[1], "DQ"),
            image(np.ones_like(h[1].data), h[1], "WMAP"),
        ],
        "PyWiFeS": lambda h: [primary(h), image(h[2].data, h[1], "VAR"), image(none, h[1], "DQ")],
        "KMOS": lambda h: [
            h[0],
            image(h[1].data, h[1], "IFU.12.DATA", **u),
            image(np.sqrt(h[2].data), h[1], "IFU.12.NOISE", **u),
        ],
        "CCDData": lambda h: [
            primary(h),
            image(none.astype(np.uint8), h[1], "MASK"),
            image(np.sqrt(h[2].data), h[1], "UNCERT", UTYPE="StdDevUncertainty"),
        ],
        "CCDData, variance": lambda h: [primary(h), image(h[2].data, h[1], "UNCERT", UTYPE="VarianceUncertainty")],
        "ESO classes, variance": lambda h: [
            h[0],
            image(h[1].data, h[1], "SPEC", HDUCLASS="ESO", HDUCLAS1="IMAGE", HDUCLAS2="DATA", ERRDATA="SPECERR", **u),
            image(h[2].data, h[1], "SPECERR", HDUCLASS="ESO", HDUCLAS2="ERROR", HDUCLAS3="MSE", SCIDATA="SPEC"),
        ],
        "ESO classes, 1 sigma": lambda h: [
            h[0],
            image(h[1].data, h[1], "SPEC", HDUCLASS="ESO", HDUCLAS1="IMAGE", HDUCLAS2="DATA", ERRDATA="SPECERR", **u),
            image(
                np.sqrt(h[2].data), h[1], "SPECERR", HDUCLASS="ESO", HDUCLAS2="ERROR", HDUCLAS3="RMSE", SCIDATA="SPEC"
            ),
        ],
        "ESO classes and no names": lambda h: [
            h[0],
            image(h[2].data, h[1], "A", HDUCLASS="ESO", HDUCLAS2="ERROR", HDUCLAS3="MSE"),
            image(h[1].data, h[1], "B", HDUCLASS="ESO", HDUCLAS2="DATA", **u),
        ],
        "lower case": lambda h: [h[0], image(h[1].data, h[1], "data", **u), image(h[2].data, h[1], "stat")],
        "two of each name": lambda h: [h[0], h[1], h[2], *(image(x.data * 3, x, x.name) for x in h[1:3])],
        "errors first": lambda h: [h[0], h[2], h[1]],
        "a white image called DATA first": lambda h: [
            h[0],
            fits.ImageHDU(np.ones((4, 4), np.float32), name="DATA"),
            h[1],
            h[2],
        ],
        "a little cube first": lambda h: [h[0], fits.ImageHDU(np.ones((5, 4, 4), np.float32), name="PSF"), h[1], h[2]],
        "a little cube first without a name": lambda h: [
            h[0],
            fits.ImageHDU(np.ones((5, 4, 4), np.float32)),
            *_nameless(h),
        ],
        "tables and strings behind": lambda h: [
            *h,
            fits.BinTableHDU.from_columns(
                [
                    fits.Column("name", "12A", array=np.array(["a", "b"])),
                    fits.Column("n", "K", array=np.arange(2)),
                    fits.Column("list", "PD()", array=np.array([np.ones(3), np.ones(5)], dtype=object)),
                ],
                name="OBS",
            ),
            fits.TableHDU.from_columns([fits.Column("t", "A10", array=np.array(["x"]))], name="ASCII"),
        ],
        "model cubes beside": lambda h: [
            *h,
            image(h[1].data * 2, h[1], "BESTFIT", **u),
            image(h[1].data * 0, h[1], "RESIDUALS", **u),
        ],
        "first extension is the fit": lambda h: [h[0], image(h[1].data * 0 + 5, h[1], "MODEL", **u), *h[1:]],
        "errors of another shape": lambda h: [h[0], h[1], image(h[2].data[:, :3], h[1], "STAT")],
        "two-dimensional errors": lambda h: [h[0], h[1], image(h[2].data[0], h[1], "STAT")],
        "errors of the spectrum alone": lambda h: [h[0], h[1], fits.ImageHDU(np.ones(1881, np.float32), name="STAT")],
        "DATA without errors": lambda h: [h[0], h[1]],
        "data and errors in one image": lambda h: [h[0], image(np.stack([h[1].data, h[2].data]), h[1], "DATA", **u)],
        "spaxels in rows": lambda h: [h[0], image(h[1].data.reshape(1881, 16).T.copy(), h[1], "DATA", **u)],
        "one spaxel": lambda h: [
            h[0],
            *(image(x.data[:, :1, :1], x, x.name, **u) for x in h[1:2]),
            image(h[2].data[:, :1, :1], h[2], "STAT"),
        ],
        "a long slit": lambda h: [
            h[0],
            image(h[1].data[:, :1], h[1], "DATA", **u),
            image(h[2].data[:, :1], h[2], "STAT"),
        ],
    }
    for name, act in acts.items():
        yield _case("cube", CUBE, f"layout: {name}", act)


def _nameless(hdus: fits.HDUList) -> list[Any]:
    for hdu in hdus[1:]:
        hdu.header.remove("EXTNAME")
    return list(hdus[1:])


# ---------------------------------------------------------------------------------------------------------- sky
_CD = {"CD1_1": None, "CD1_2": None, "CD2_1": None, "CD2_2": None}
_PIXEL = 0.2 / 3600


def _sky_cases(kind: str, file: str) -> Iterator[Case]:
    pixel = _PIXEL if kind == "cube" else 0.0396 / 3600
    plain: dict[str, dict[str, Any]] = {
        "CDELT alone": {**_CD, "CDELT1": -pixel, "CDELT2": pixel},
        "CDELT and CROTA2": {**_CD, "CDELT1": -pixel, "CDELT2": pixel, "CROTA2": 0.0},
        "CDELT and PC": {**_CD, "CDELT1": -pixel, "CDELT2": pixel, "PC1_1": 1.0, "PC2_2": 1.0},
        "CDELT and old PC": {**_CD, "CDELT1": -pixel, "CDELT2": pixel, "PC001001": 1.0, "PC002002": 1.0},
        "CDELT of 1 and PC": {**_CD, "CDELT1": 1.0, "CDELT2": 1.0, "PC1_1": -pixel, "PC2_2": pixel},
        "CD and PC together": {"CDELT1": 5.0, "CDELT2": 5.0, "PC1_1": 1.0, "PC2_2": 1.0},
        "CD and CDELT that differ": {"CDELT1": -3 * pixel, "CDELT2": 3 * pixel},
        "in arcsec": {
            "CUNIT1": "arcsec",
            "CUNIT2": "arcsec",
            **_CD,
            "CDELT1": -pixel * 3600,
            "CDELT2": pixel * 3600,
            "CRVAL1": 540000.0,
            "CRVAL2": -72000.0,
        },
        "in degrees, spelled": {"CUNIT1": "degrees", "CUNIT2": "DEGREE"},
        "no units": {"CUNIT1": None, "CUNIT2": None},
        "no frame": {"RADESYS": None},
        "fk5 in lower case": {"RADESYS": "fk5", "EQUINOX": 2000.0},
        "EQUINOX as text": {"RADESYS": "FK5", "EQUINOX": "J2000"},
        "EPOCH": {"RADESYS": None, "EPOCH": 2000.0},
        "RADECSYS": {"RADESYS": None, "RADECSYS": "FK5"},
        "GAPPT": {"RADESYS": "GAPPT"},
        "SIN": {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"},
        "ARC": {"CTYPE1": "RA---ARC", "CTYPE2": "DEC--ARC"},
        "CAR": {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR"},
        "TPV": {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.0, "PV2_1": 1.0},
        "TNX": {
            "CTYPE1": "RA---TNX",
            "CTYPE2": "DEC--TNX",
            "WAT1_001": "wtype=tnx axtype=ra",
            "WAT2_001": "wtype=tnx axtype=dec",
        },
        "ZPN": {"CTYPE1": "RA---ZPN", "CTYPE2": "DEC--ZPN", "PV2_1": 1.0},
        "XXX": {"CTYPE1": "RA---XXX", "CTYPE2": "DEC--XXX"},
        "lower case": {"CTYPE1": "ra---tan", "CTYPE2": "dec--tan"},
        "no projection": {"CTYPE1": "RA", "CTYPE2": "DEC"},
        "LINEAR": {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"},
        "PIXEL": {"CTYPE1": "PIXEL", "CTYPE2": "PIXEL", "CUNIT1": "pixel", "CUNIT2": "pixel"},
        "other longitude": {"CRVAL1": -210.0},
        "LONPOLE 0": {"LONPOLE": 0.0},
        "PV of TAN": {"PV1_1": 0.0, "PV1_2": 0.0},
        "an alternative WCS": {"CTYPE1A": "PIXEL", "CTYPE2A": "PIXEL", "CRPIX1A": 1.0, "CRVAL1A": 1.0, "CD1_1A": 1.0},
        "WCSAXES 2": {"WCSAXES": 2},
        "WCSAXES 5": {"WCSAXES": 5},
        "WCSDIM and LTV": {"WCSDIM": 3, "LTV1": 5.0, "LTM1_1": 1.0, "WAT0_001": "system=image"},
        "galactic and equatorial mixed": {"CTYPE1": "GLON-TAN"},
        "pixel size of 0.2 degrees": {"CD1_1": -0.2, "CD2_2": 0.2},
    }
    for name, change in plain.items():
        yield _case(kind, file, f"sky: {name}", _cards(change))
    if kind == "cube":

        def swap(hdus: fits.HDUList) -> None:
            for hdu in hdus[1:]:
                h = hdu.header
                for key in ("CTYPE", "CRVAL", "CRPIX", "CUNIT"):
                    h[f"{key}1"], h[f"{key}2"] = h[f"{key}2"], h[f"{key}1"]
                h["CD1_1"], h["CD2_2"], h["CD1_2"], h["CD2_1"] = 0.0, 0.0, h["CD2_2"], h["CD1_1"]
                hdu.data = np.swapaxes(hdu.data, 1, 2).copy()

        yield _case(kind, file, "sky: declination first", swap)
    for key in ("CRVAL1", "CRVAL3", "BUNIT", "CTYPE3", "CD3_3") if kind == "cube" else ("CRVAL1", "PHOTFLAM", "FILTER"):

        def repeat(raw: bytes, key: str = key) -> bytes:
            """A second card of the same name with another value, in place of a card that nobody needs."""
            text = "= 'JUNK    '" if key in ("BUNIT", "CTYPE3", "FILTER") else "=             7.25E+03"
            for spare in (b"CUNIT2  =", b"RADESYS =", b"CUNIT1  ="):
                at, own = raw.rfind(spare), raw.find(f"{key:8s}=".encode())
                if at > own >= 0:
                    return raw[:at] + f"{key:8s}{text}".encode().ljust(80) + raw[at + 80 :]
            return raw

        yield Case(kind, f"sky: two cards {key}", partial(change_bytes, file, repeat))


# ------------------------------------------------------------------------------------------------------- units, files
def _unit_cases() -> Iterator[Case]:
    units = {
        "10**(-20) erg s-1 cm-2 Angstrom-1": 1.0, "1e-20 erg/s/cm**2/Angstrom": 1.0, "1E-20erg/s/cm2/A": 1.0,
        "10^(-20)*erg/s/cm^2/Angstrom": 1.0, "10**-20 erg/(s cm**2 Angstrom)": 1.0, "1.e-20 erg cm-2 s-1 AA-1": 1.0,
        "10-20 erg/s/cm2/Ang": 1.0, "erg s^-1 cm^-2 angstrom^-1": 1e-20, "ergs s-1 cm-2 A-1": 1e-20,
        "erg/cm^2/s/A": 1e-20, "erg/cm**2/s/Ang": 1e-20, "Erg/S/Cm2/Angstrom": 1e-20, "[erg/s/cm2/Angstrom]": 1e-20,
        "1e-17 erg/s/cm2/Angstrom/pixel": 1e-3, "1E-16 erg s-1 cm-2 A-1 spaxel-1": 1e-4, "W m-2 um-1": 1e-19,
        "W/m^2/nm": 1e-22, "W m**-2 Angstrom**-1": 1e-23, "mW/m2/nm": 1e-19, "kW/m2/um": 1e-22,
        "erg/s/cm2/nm": 1e-19, "erg/s/cm2/um": 1e-16, "erg / (Angstrom arcsec2 cm2 s)": 25e-20,
        "1e-16 erg/s/cm^2/A/arcsec^2": 25e-4, "erg/s/cm2/A/sr": 1e-20, "Jy": 1.0, "mJy": 1.0, "uJy/spaxel": 1.0,
        "MJy/sr": 1.0, "erg/s/cm2/Hz": 1.0, "count": 1.0, "electron/s": 1.0, "DN": 1.0, "ADU/s": 1.0, "": 1.0, "1": 1.0,
        "none": 1.0, "unknown": 1.0, "photon/s/cm2/A": 1.0, "Lsun/A": 1.0, "mag/arcsec2": 1.0, "erg/s/cm2": 1.0,
        "10**(-20)*erg/s/cm**2/Angstrom**2": 1.0, "erg/s/cm2/A 1e-20": 1.0, "x1e-20 erg/s/cm2/A": 1.0,
    }  # fmt: skip
    for unit, factor in units.items():

        def convert(hdus: fits.HDUList, unit: str = unit, factor: float = factor) -> None:
            for power, hdu in ((1, hdus[1]), (2, hdus[2])):
                hdu.data = hdu.data.astype(np.float64) * factor**power
                hdu.header["BUNIT"] = unit if power == 1 else f"({unit})**2"

        yield _case("cube", CUBE, f"unit: {unit!r}", convert)


def _file_cases() -> Iterator[Case]:
    for file, kind in ((CUBE, "cube"), (MOSAIC, "mosaic")):

        def ends_of_hdus(raw: bytes) -> list[int]:
            with fits.open(io.BytesIO(raw)) as hdus:
                return [h.fileinfo()["datLoc"] + h.fileinfo()["datSpan"] for h in hdus]

        for k in (0, 1):

            def cut(raw: bytes, k: int = k) -> bytes:
                ends = ends_of_hdus(raw)
                return raw[: ends[min(k, len(ends) - 1)]]

            yield Case(kind, f"cut after HDU {k}", partial(change_bytes, file, cut))
            yield Case(
                kind,
                f"gzipped and cut after HDU {k}",
                partial(change_bytes, file, lambda b, c=cut: gzip.compress(c(b))),
            )
        for share in (0.3, 0.9, 0.999):
            yield Case(
                kind, f"gzip cut at {share}", partial(change_bytes, file, lambda b, s=share: _cut(gzip.compress(b), s))
            )
        yield Case(
            kind,
            "two gzip members",
            partial(change_bytes, file, lambda b: gzip.compress(b[:50000]) + gzip.compress(b[50000:])),
        )
        yield Case(kind, "gzip with junk behind", partial(change_bytes, file, lambda b: gzip.compress(b) + b"\0" * 100))
        yield Case(kind, "padding missing", partial(change_bytes, file, lambda b: b.rstrip(b"\0") + b"\0" * 5))
        yield Case(kind, "DOS line ends", partial(change_bytes, file, lambda b: b.replace(b"\n", b"\r\n")))
        yield Case(kind, "a line end first", partial(change_bytes, file, lambda b: b"\n" + b))
        yield Case(
            kind,
            "SIMPLE = F",
            partial(
                change_bytes,
                file,
                lambda b: b.replace(b"SIMPLE  =                    T", b"SIMPLE  =                    F", 1),
            ),
        )
        yield Case(kind, "twice behind each other", partial(change_bytes, file, lambda b: b + b))
        yield Case(
            kind, "header without END", partial(change_bytes, file, lambda b: b.replace(b"END" + b" " * 77, b" " * 80))
        )
        yield Case(kind, "header of a million blanks", partial(change_bytes, file, lambda b: _widen(b, 80 * 36000)))
        for level in (1.0, 16.0):
            for dither in (-1, 1, 2):
                yield _case(
                    kind,
                    file,
                    f"tiles RICE, level {level:g}, dither {dither}",
                    partial(_tiles, level=level, dither=dither),
                )


def _cut(raw: bytes, share: float) -> bytes:
    return raw[: int(len(raw) * share)]


def _widen(raw: bytes, size: int) -> bytes:
    """Blank cards before the first END."""
    at = raw.find(b"END" + b" " * 77)
    return raw[:at] + b" " * (2880 * (size // 2880)) + raw[at:]


def _tiles(hdus: fits.HDUList, level: float, dither: int) -> Any:
    rest = [h for h in hdus if h.data is not None]
    first = fits.PrimaryHDU(header=hdus[0].header if len(rest) < len(hdus) else None)
    options = {"compression_type": "RICE_1", "quantize_level": level, "quantize_method": dither, "dither_seed": 7}
    return [
        first,
        *(
            fits.CompImageHDU(h.data, h.header, name=h.name, tile_shape=find_tile_shape(h.data), **options)
            for h in rest
        ),
    ]


# ------------------------------------------------------------------------------------------------- mosaics, MAPS, bins
def _mosaic_cases() -> Iterator[Case]:
    area = (0.0396 / 3600 * np.pi / 180) ** 2
    fnu = 1.85e-19 * 5306.92**2 / 2.99792458e18 * 1e23  # Jy per e-/s
    units: dict[str, float] = {
        "ELECTRONS/S": 1.0, "electron/s": 1.0, "e-/s": 1.0, "E/S": 1.0, "counts/s": 1.0, "COUNTS/S": 1.0, "cps": 1.0,
        "DN/S": 1.0, "electron s-1": 1.0, "ELECTRONS": 670.0, "COUNTS": 670.0, "electrons": 670.0, "DN": 670.0,
        "MJy/sr": fnu / area / 1e6, "erg/s/cm2/A": 1.85e-19, "erg/cm2/s/Angstrom": 1.85e-19, "1e-20 erg/s/cm2/A": 18.5,
        "Jy": fnu, "uJy": fnu * 1e6, "nJy": fnu * 1e9, "mJy/pixel": fnu * 1e3, "10.0*nanoJansky": fnu * 1e8,
        "UNITLESS": 1.0, "furlong": 1.0, "mag": 1.0, "1": 1.0,
    }  # fmt: skip
    for unit, factor in units.items():
        for weighted in (True, False):

            def convert(folder: Path, unit: str = unit, factor: float = factor, weighted: bool = weighted) -> None:
                change_hdus(
                    MOSAIC,
                    _both(
                        _images(lambda a, k: (a.astype(np.float64) * factor).astype(np.float32)),
                        _cards({"BUNIT": unit}),
                    ),
                    folder,
                )
                if weighted:
                    change_hdus(WEIGHT, _images(lambda a, k: a.astype(np.float64) / factor**2), folder)
                else:
                    (folder / WEIGHT).unlink()

            yield Case("mosaic", f"unit {unit!r}, {'weights' if weighted else 'no weights'}", convert)
    cards: dict[str, dict[str, Any]] = {
        "filter in lower case": {"FILTER": "f555w"},
        "filter with its element": {"FILTER": "F555W;CLEAR"},
        "filter in FILTER2": {"FILTER": None, "FILTER1": "CLEAR1L", "FILTER2": "F555W"},
        "filter in FILTNAM1": {"FILTER": None, "FILTNAM1": "F555W"},
        "PHOTMODE": {"FILTER": None, "PHOTMODE": "WFC3 UVIS2 F555W MJD#55000"},
        "another filter": {"FILTER": "F606W"},
        "two filters": {"FILTER": "F814W", "FILTER2": "F555W"},
        "no filter": {"FILTER": None},
        "WFC3 IR": {"DETECTOR": "IR"},
        "no camera": {"INSTRUME": None, "DETECTOR": None},
        "WFPC2 gain": {"INSTRUME": "WFPC2", "DETECTOR": 3, "ATODGAIN": 7.0},
        "STIS": {"INSTRUME": "STIS", "DETECTOR": "CCD"},
        "NIRCam": {"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "FILTER": "F200W"},
        "PHOTFLAM of another filter": {"PHOTFLAM": 1.5e-18},
        "PHOTPLAM in nm": {"PHOTPLAM": 530.692},
        "PHOTFLAM 0 and PHOTFNU": {"PHOTFLAM": 0.0, "PHOTFNU": fnu},
        "no PHOTPLAM": {"PHOTPLAM": None},
        "no EXPTIME": {"EXPTIME": None},
        "EXPTIME 0": {"EXPTIME": 0.0},
    }
    for name, change in cards.items():
        yield _case("mosaic", MOSAIC, f"card: {name}", _cards(change))

    def multi(names: tuple[str, ...], kinds: tuple[str, ...]) -> Callable[[Path], None]:
        def change(folder: Path) -> None:
            with fits.open(folder / MOSAIC) as s, fits.open(folder / WEIGHT) as w:
                sci, wht, header = np.array(s[0].data), np.array(w[0].data), s[0].header.copy()
            with np.errstate(all="ignore"):
                sigma = np.where(wht > 0, 1 / np.sqrt(wht), 0).astype(np.float32)
            data = {
                "sci": sci,
                "wht": wht,
                "err": sigma,
                "var": sigma**2,
                "ctx": np.ones(sci.shape, np.int32),
                "dq": np.zeros(sci.shape, np.int16),
                "exp": np.full(sci.shape, 670, np.float32),
            }
            images = [fits.ImageHDU(data[kind], header, name=name) for name, kind in zip(names, kinds, strict=True)]
            fits.HDUList([fits.PrimaryHDU(header=header), *images]).writeto(folder / MOSAIC, overwrite=True)
            (folder / WEIGHT).unlink()

        return change

    layouts = {
        "drz": (("SCI", "WHT", "CTX"), ("sci", "wht", "ctx")),
        "drc with exposure times": (("SCI", "WHT", "CTX"), ("sci", "exp", "ctx")),
        "errors": (("SCI", "ERR", "DQ"), ("sci", "err", "dq")),
        "variance": (("SCI", "VAR"), ("sci", "var")),
        "JWST": (("SCI", "ERR", "CON", "WHT", "VAR_POISSON"), ("sci", "err", "ctx", "wht", "var")),
        "weight first": (("WHT", "SCI"), ("wht", "sci")),
        "RMS": (("SCI", "RMS"), ("sci", "err")),
        "IVM": (("SCI", "IVM"), ("sci", "wht")),
        "no names": (("", ""), ("sci", "wht")),
        "alone": (("SCI",), ("sci",)),
    }
    for name, (names, kinds) in layouts.items():
        yield Case("mosaic", f"layout: {name}", multi(names, kinds))
    empty: dict[str, Callable[[np.ndarray], Any]] = {
        "a gap of zeros": lambda a: a.__setitem__((slice(55, 75), slice(55, 60)), 0),
        "a border of zeros": lambda a: a.__setitem__((slice(None), slice(None, 30)), 0),
        "half zero": lambda a: a.__setitem__((slice(None), slice(None, 64)), 0),
        "a gap of NaN": lambda a: a.__setitem__((slice(55, 75), slice(55, 60)), np.nan),
        "single zeros": lambda a: a.__setitem__(np.random.default_rng(1).random(a.shape) < 0.02, 0),
        "negative zeros in a gap": lambda a: a.__setitem__((slice(55, 75), slice(55, 60)), -0.0),
        "clipped at zero": lambda a: np.clip(a, 0, None, out=a),
        "integers": lambda a: np.round(a * 3, out=a),
        "hot pixels": lambda a: a.__setitem__(np.random.default_rng(1).random(a.shape) < 0.01, 1e4),
        "a satellite": lambda a: a.__setitem__((slice(60, 63),), 50.0),
        "not sky-subtracted": lambda a: a.__iadd__(np.float32(2 * np.median(a))),
        "shifted by 15 pixels": lambda a: a.__setitem__(Ellipsis, np.roll(a, 15, 1)),
        "flipped": lambda a: a.__setitem__(Ellipsis, a[::-1].copy()),
        "twice as bright": lambda a: a.__imul__(2),
    }
    for name, make in empty.items():
        for weighted in (True, False):

            def spoil(folder: Path, make: Callable[[np.ndarray], Any] = make, weighted: bool = weighted) -> None:
                change_hdus(MOSAIC, _images(lambda a, k: make(a)), folder)
                if not weighted:
                    (folder / WEIGHT).unlink()

            yield Case("mosaic", f"image: {name}, {'weights' if weighted else 'no weights'}", spoil)
    weights: dict[str, Callable[[np.ndarray], Any]] = {
        "ones": lambda a: np.ones_like(a), "zeros": lambda a: a * 0,
        "exposure time": lambda a: np.where(a > 0, 670.0, 0),
        "1 sigma": lambda a: 1 / np.sqrt(np.maximum(a, 1e-9)), "variance": lambda a: 1 / np.maximum(a, 1e-9),
        "another shape": lambda a: a[:-2], "1e6 times": lambda a: a * 1e6, "integers": lambda a: a.astype(np.int32),
        "NaN where bad": lambda a: np.where(a > np.median(a), a, np.nan), "negative": lambda a: -a,
        "boolean": lambda a: (a > 0).astype(np.uint8),
    }  # fmt: skip
    for name, make in weights.items():
        yield _case("mosaic", WEIGHT, f"weight: {name}", _images(lambda a, k, make=make: make(a)))


def _map_cases() -> Iterator[Case]:
    def image(hdus: fits.HDUList, name: str, change: Callable[[np.ndarray], Any]) -> None:
        hdus[name].data = np.asarray(change(np.array(hdus[name].data)))

    changes: dict[str, tuple[str, Callable[[np.ndarray], Any]]] = {
        "V in m/s": ("V_STARS", lambda a: a * 1000 + 40000.0),
        "V absolute": ("V_STARS", lambda a: a + 749.0),
        "V off by 200": ("V_STARS", lambda a: a + 200.0),
        "sigma in m/s": ("SIGMA_STARS", lambda a: a * 1000),
        "sigma zero": ("SIGMA_STARS", lambda a: a * 0),
        "sigma squared": ("SIGMA_STARS", lambda a: a**2),
        "bins from 1": ("BIN_ID", lambda a: a + 1),
        "bins as int64": ("BIN_ID", lambda a: a.astype(np.int64)),
        "bins as uint16": ("BIN_ID", lambda a: a.astype(np.uint16)),
        "bins with gaps": ("BIN_ID", lambda a: a * 7),
        "bins -1 and 0": ("BIN_ID", lambda a: np.where(a == 3, -1, a)),
        "one bin": ("BIN_ID", lambda a: a * 0 + 1),
        "every spaxel": ("BIN_ID", lambda a: np.arange(16.0).reshape(4, 4)),
        "bins transposed": ("BIN_ID", lambda a: a.T.copy()),
        "V in another shape": ("V_STARS", lambda a: a[:3]),
    }
    for name, (hdu, change) in changes.items():
        yield _case("maps", MAPS, f"maps: {name}", partial(image, name=hdu, change=change))
    acts: dict[str, Act] = {
        "redshift of another galaxy": _cards({}, {"REDSHIFT": 0.03}),
        "redshift absent": _cards({}, {"REDSHIFT": None}),
        "redshift as velocity": _cards({}, {"REDSHIFT": 749.0}),
        "redshift as text": _cards({}, {"REDSHIFT": "0.0025"}),
        "no WCS": _cards({"CTYPE1": None, "CTYPE2": None}),
        "shifted by a spaxel": _cards({"CRPIX1": 4.5}),
        "shifted by an arcminute": _cards({"CRVAL2": -20.0167}),
        "names of MaNGA": lambda h: (
            [setattr(h[k], "name", n) for k, n in ((1, "BINID"), (2, "STELLAR_VEL"), (3, "STELLAR_SIGMA"))] and None
        ),
        "no SIGMA_STARS": lambda h: [x for x in h if x.name != "SIGMA_STARS"],
        "a table": lambda h: [
            h[0],
            fits.BinTableHDU.from_columns([fits.Column("BIN_ID", "J", array=np.arange(16))], name="BIN_ID"),
        ],
    }
    for name, act in acts.items():
        yield _case("maps", MAPS, f"maps: {name}", act)
    forms: dict[str, Act] = {
        "a table": lambda h: [fits.PrimaryHDU(), fits.BinTableHDU.from_columns([
            fits.Column("ID", "J", array=np.arange(16)), fits.Column("BIN_ID", "J", array=np.arange(16) // 4)])],
        "a cube of planes": lambda h: [fits.PrimaryHDU(np.stack([h[0].data] * 3).astype(np.float32), h[0].header)],
        "one plane": lambda h: [fits.PrimaryHDU(h[0].data[None].astype(np.float32), h[0].header)],
        "larger": lambda h: [fits.PrimaryHDU(np.pad(h[0].data, 3), h[0].header)],
        "transposed": lambda h: [fits.PrimaryHDU(h[0].data.T.copy(), h[0].header)],
        "without sky": lambda h: [fits.PrimaryHDU(h[0].data)],
        "bytes": lambda h: [fits.PrimaryHDU(h[0].data.astype(np.uint8), h[0].header)],
        "unsigned": lambda h: [fits.PrimaryHDU(h[0].data.astype(np.uint32), h[0].header)],
    }  # fmt: skip
    for name, act in forms.items():
        yield _case("bins", BINS, f"bins: {name}", act)


def list_convention_cases() -> list[Case]:
    """Every case of this module."""
    makers = (
        _axis_cases(), _number_cases(), _layout_cases(), _sky_cases("cube", CUBE), _sky_cases("mosaic", MOSAIC),
        _unit_cases(), _file_cases(), _mosaic_cases(), _map_cases(),
    )  # fmt: skip
    return [case for maker in makers for case in maker]
