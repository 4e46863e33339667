"""Numbers of other types, at other scales, and numbers that no telescope took."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from inputs import CUBE
from mutations import Case, change_bytes

from conventions.changes import change_images, make_case


def list_number_cases() -> Iterator[Case]:
    for bits in (16, 32):
        for target in (1, 2):
            for blank in (False, True):
                change = partial(_scale_integers, bits=bits, target=target, blank=blank)
                yield Case("cube", f"{bits} bits with BSCALE in HDU {target}, BLANK {blank}", change)
    for kind in (np.uint8, np.uint16, np.uint32, np.int64):
        yield make_case(
            "cube", CUBE, f"DATA as {kind.__name__}", change_images(lambda a, k, t=kind: a.clip(0).astype(t))
        )

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

        yield make_case("cube", CUBE, f"cosmic rays x {factor:g}", change_images(strike))
    for width in (2, 3, 5, 10, 40):
        for factor in (0.0, 0.5, 2.0, -1.0, 10.0):

            def block(data: np.ndarray, k: int, width: int = width, factor: float = factor) -> np.ndarray:
                if k == 0:
                    data[700 : 700 + width] *= factor
                return data

            yield make_case("cube", CUBE, f"{width} channels x {factor:g}", change_images(block))
    for channel in (650, 1500):

        def level(data: np.ndarray, k: int, channel: int = channel) -> np.ndarray:
            if k == 0:
                data[channel:] *= 1.3
            return data

        yield make_case("cube", CUBE, f"detector's step of 30 % at {channel}", change_images(level))
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

        yield make_case("cube", CUBE, name, change_images(put))
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

        yield make_case("cube", CUBE, f"STAT {name}", vary)


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
