"""Structured mutations of every kind of file: a name, and what is done to the untouched inputs."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from inputs import BINS, CUBE, MAPS, MOSAIC, WEIGHT, workspace_document


class Case(NamedTuple):
    """One mutation."""

    kind: str  # cube, mosaic, maps, bins: a run; result, weights, workspace, regions, table: read back
    name: str
    change: Callable[[Path], None]  # of the folder with the inputs


def _set_card(folder: Path, file: str, extension: int, key: str, value: Any) -> None:
    with fits.open(folder / file, mode="update", output_verify="silentfix") as hdus:
        header = hdus[extension].header
        if value is None:
            header.remove(key, ignore_missing=True)
        else:
            header[key] = value


def _raw_card(folder: Path, file: str, key: str, text: bytes, last: bool = False) -> None:
    raw = (folder / file).read_bytes()
    at = (raw.rfind if last else raw.find)(f"{key:8s}=".encode())
    if at >= 0:
        (folder / file).write_bytes(raw[:at] + (f"{key:8s}= ".encode() + text).ljust(80)[:80] + raw[at + 80 :])


def _values(file: str, extension: int, change: Callable[[np.ndarray], np.ndarray | None], folder: Path) -> None:
    with fits.open(folder / file) as hdus:
        data = np.array(hdus[extension].data)
        made = change(data)
        hdus[extension].data = data if made is None else made
        hdus.writeto(folder / file, overwrite=True)


def change_hdus(file: str, change: Callable[[fits.HDUList], Any], folder: Path) -> None:
    with fits.open(folder / file) as hdus:
        made = fits.HDUList([h.copy() for h in hdus])
    out = change(made)
    (made if out is None else fits.HDUList(out)).writeto(folder / file, overwrite=True, output_verify="silentfix")


def change_bytes(file: str, change: Callable[[bytes], bytes], folder: Path) -> None:
    path = folder / file
    path.write_bytes(change(path.read_bytes()))


_RAW = (
    b"NaN",
    b"Infinity",
    b"'abc'",
    b"''",
    b"1.5.2",
    b"\xff\xfe\x80",
    b"T",
    b"(1,2)",
    b"1E400",
    b"-99999999999999999999",
    b"/",
)
_STRUCTURE = ("NAXIS", "NAXIS1", "NAXIS2", "BITPIX", "XTENSION", "PCOUNT", "GCOUNT", "EXTNAME", "BSCALE", "BZERO")


def _card_cases(kind: str, file: str, extension: int, keys: tuple[str, ...]) -> Iterator[Case]:
    for key in keys:
        for value in (None, "", "abc", 0, -1, 1e30, True, "x" * 60):
            yield Case(
                kind, f"{key}={value!r}"[:40], partial(_set_card, file=file, extension=extension, key=key, value=value)
            )
        for text in _RAW:
            yield Case(
                kind, f"{key} raw {text!r}", partial(_raw_card, file=file, key=key, text=text, last=extension > 1)
            )
    for key in _STRUCTURE:
        for text in (*_RAW, b"-5", b"0", b"1000000000", b"7", b"3.5"):
            yield Case(
                kind, f"{key} raw {text!r}", partial(_raw_card, file=file, key=key, text=text, last=extension > 0)
            )


def _byte_cases(kind: str, file: str, flips: int) -> Iterator[Case]:
    for share in (0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999):
        yield Case(kind, f"cut at {share}", partial(change_bytes, file, lambda b, s=share: b[: int(len(b) * s)]))
    for seed in range(flips):
        yield Case(kind, f"flipped bytes {seed}", partial(change_bytes, file, partial(_flip, seed=seed)))
    packers = {
        "gzip": gzip.compress,
        "bzip2": bz2.compress,
        "xz": lzma.compress,
        "twice": lambda b: gzip.compress(gzip.compress(b)),
    }
    for name, pack in packers.items():
        yield Case(kind, name, partial(change_bytes, file, pack))
    for seed in range(6):
        yield Case(
            kind,
            f"damaged gzip {seed}",
            partial(change_bytes, file, lambda b, s=seed: _flip(gzip.compress(b), s, True)),
        )
        yield Case(
            kind, f"cut gzip {seed}", partial(change_bytes, file, lambda b, s=seed: gzip.compress(b)[: 1000 * 4**s])
        )
    for name, head in {
        "zip": b"PK\x03\x04",
        "Z": b"\x1f\x9d",
        "html": b"<html>",
        "zeros": bytes(5760),
        "text": b"SIMPLE? no ",
    }.items():
        yield Case(kind, name, partial(change_bytes, file, lambda b, h=head: h + b))
    yield Case(kind, "bomb", partial(change_bytes, file, _bomb))
    yield Case(kind, "junk behind", partial(change_bytes, file, lambda b: b + b"junk" * 1000))


def _flip(raw: bytes, seed: int, anywhere: bool = False) -> bytes:
    rng = np.random.default_rng(seed)
    out = bytearray(raw)
    limit = len(out) if anywhere or seed % 3 == 0 else min(len(out), 2880 * 3)
    for at in rng.integers(0, max(limit, 1), 1 + seed % 5):
        if out:
            out[at % len(out)] = int(rng.integers(0, 256))
    return bytes(out)


def _bomb(raw: bytes) -> bytes:
    """A header that claims 40 000 x 40 000 x 3681 numbers, all zero, gzipped."""
    header = raw[:5760]
    for key in (b"NAXIS1  =", b"NAXIS2  ="):
        at = header.find(key)
        if at >= 0:
            header = header[:at] + key + b" " + b"40000".rjust(20) + header[at + 30 :]
    return gzip.compress(header + bytes(50 * 2**20), 9)


def _fill_cases(kind: str, file: str, extensions: tuple[int, ...]) -> Iterator[Case]:
    fills = (np.nan, np.inf, -np.inf, 0.0, 1e20, -999.0, -9999.0, 1e30, -32768.0, 3e38)
    places: dict[str, Callable[[np.ndarray], Any]] = {
        "edge": lambda a: (..., 0),
        "stripe": lambda a: (slice(len(a) // 3, len(a) // 3 + max(1, len(a) // 40)),),
        "all": lambda a: (...,),
        "some": lambda a: np.random.default_rng(1).random(a.shape) < 0.02,
    }
    for fill in fills:
        for place, where in places.items():

            def put(a: np.ndarray, fill: float = fill, where: Callable[[np.ndarray], Any] = where) -> None:
                with np.errstate(all="ignore"):
                    a[where(a)] = fill

            for extension in extensions:
                yield Case(kind, f"{fill:g} in {place} of HDU {extension}", partial(_values, file, extension, put))


def _cube_cases() -> Iterator[Case]:
    keys = (
        "CTYPE1",
        "CTYPE2",
        "CTYPE3",
        "CUNIT1",
        "CUNIT3",
        "CRVAL1",
        "CRVAL2",
        "CRVAL3",
        "CRPIX1",
        "CRPIX2",
        "CRPIX3",
    )
    yield from _card_cases("cube", CUBE, 1, (*keys, "CD1_1", "CD2_2", "CD3_3", "BUNIT"))
    yield from _card_cases("cube", CUBE, 2, ("BUNIT",))
    yield from _byte_cases("cube", CUBE, 120)
    yield from _fill_cases("cube", CUBE, (1, 2))
    for channel in (300, 640, 661, 1001, 1333):
        for factor in (0.0, 2.0, 10.0, -1.0, 0.5):

            def scale(a: np.ndarray, c: int = channel, f: float = factor) -> None:
                a[c] *= f

            yield Case("cube", f"channel {channel} x {factor}", partial(_values, CUBE, 1, scale))
    names = (
        "STAT",
        "VAR",
        "VARIANCE",
        "ERR",
        "ERROR",
        "UNCERT",
        "SIGMA",
        "IVAR",
        "RMS",
        "NOISE",
        "WEIGHT",
        "OTHER",
        "MASK",
        "DQ",
    )
    for name in names:
        for power in (1, 0.5, -1):

            def rename(hdus: fits.HDUList, name: str = name, power: float = power) -> None:
                hdus[2].name = name
                hdus[2].data = (hdus[2].data ** np.float32(power)).astype(np.float32)
                hdus[2].header.remove("BUNIT")

            yield Case("cube", f"variance ** {power} called {name}", partial(change_hdus, CUBE, rename))
    for name in ("MASK", "DQ", "FLAGS", "BADPIX"):
        for value in (1, 1024, 2, -1):
            for share in (0.02, 0.5, 1.0):

                def mask(hdus: fits.HDUList, name: str = name, value: int = value, share: float = share) -> None:
                    bad = np.random.default_rng(2).random(hdus[1].shape) < share
                    hdus.append(fits.ImageHDU((bad * value).astype(np.int16), name=name))

                yield Case("cube", f"{name} {value} in {share}", partial(change_hdus, CUBE, mask))
    units = {
        "erg/s/cm2/Angstrom": 1e-20,
        "1E-17 erg/s/cm^2/Ang/spaxel": 1e-3,
        "1e-16 ergs/s/cm^2/A": 1e-4,
        "W/m2/um": 1e-19,
    }
    units |= {
        "10^-18 erg s^-1 cm^-2 A^-1": 1e-2,
        "FLAM": 1e-20,
        "1D-20 ERG/S/CM2/ANGSTROM": 1.0,
        "counts": 1.0,
        "Jy": 1.0,
    }
    for unit, factor in units.items():
        for dtype in (np.float32, np.float64):

            def convert(hdus: fits.HDUList, u: str = unit, f: float = factor, dtype: Any = dtype) -> None:
                hdus[1].data = (hdus[1].data.astype(np.float64) * f).astype(dtype)
                hdus[1].header["BUNIT"] = u

            yield Case("cube", f"DATA in {unit} {dtype.__name__}", partial(change_hdus, CUBE, convert))
    for unit, step in {
        "nm": 0.1,
        "um": 1e-4,
        "m": 1e-10,
        "ANGSTROM": 1,
        "Angstroms": 1,
        "A": 1,
        "micron": 1e-4,
        "furlong": 1,
    }.items():

        def axis(hdus: fits.HDUList, u: str = unit, f: float = step) -> None:
            for h in hdus[1:]:
                h.header["CUNIT3"] = u
                h.header["CRVAL3"] *= f
                h.header["CD3_3"] *= f

        yield Case("cube", f"wavelengths in {unit}", partial(change_hdus, CUBE, axis))
    yield from _structures("cube", CUBE)


def find_tile_shape(data: np.ndarray) -> tuple[int, ...]:
    """Tiles of some channels, or of some rows: those of one row each take minutes to write."""
    return (min(64, len(data)), *data.shape[1:])


def _structures(kind: str, file: str) -> Iterator[Case]:
    acts: dict[str, Callable[[fits.HDUList], Any]] = {
        "no extensions": lambda h: [h[0]],
        "reversed order": lambda h: [h[0], *h[:0:-1]],
        "no names": lambda h: [x.header.remove("EXTNAME", ignore_missing=True) for x in h] and None,
        "many copies": lambda h: [h[0], *[x.copy() for _ in range(40) for x in h[1:]]],
        "SIP left over": lambda h: [x.header.update({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-5}) for x in h] and None,
        "degenerate axis": lambda h: [setattr(x, "data", x.data[None]) for x in h if x.data is not None] and None,
        "transposed": lambda h: [setattr(x, "data", x.data.T.copy()) for x in h if x.data is not None] and None,
        "float64": lambda h: [setattr(x, "data", x.data.astype(np.float64)) for x in h if x.data is not None] and None,
        "int16": lambda h: (
            [setattr(x, "data", np.nan_to_num(x.data).astype(np.int16)) for x in h if x.data is not None] and None
        ),
        "one row": lambda h: [setattr(x, "data", x.data[..., :1, :].copy()) for x in h if x.data is not None] and None,
        "empty axis": lambda h: [setattr(x, "data", x.data[..., :0].copy()) for x in h if x.data is not None] and None,
        "a table": lambda h: h.append(fits.table_to_hdu(__import__("astropy.table").table.Table({"a": [1]}))),
        "galactic": lambda h: [x.header.update({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}) for x in h] and None,
        "FK4": lambda h: [x.header.update({"RADESYS": "FK4", "EQUINOX": 1950.0}) for x in h] and None,
        "frame of nowhere": lambda h: [x.header.update({"RADESYS": "MARS"}) for x in h] and None,
        "lookup": lambda h: [x.header.update({"CPDIS1": "LOOKUP"}) for x in h] and None,
    }
    yield from (Case(kind, name, partial(change_hdus, file, act)) for name, act in acts.items())
    for packing in ("GZIP_1", "GZIP_2", "RICE_1"):

        def pack(hdus: fits.HDUList, packing: str = packing) -> Any:
            quantize = {} if packing == "RICE_1" else {"quantize_level": 0}
            rest = [h for h in hdus if h.data is not None]
            return [fits.PrimaryHDU(header=hdus[0].header if len(rest) < len(hdus) else None)] + [
                fits.CompImageHDU(
                    h.data,
                    h.header,
                    name=h.name,
                    compression_type=packing,
                    tile_shape=find_tile_shape(h.data),
                    **quantize,
                )
                for h in rest
            ]

        yield Case(kind, f"tiles {packing}", partial(change_hdus, file, pack))


def _mosaic_cases() -> Iterator[Case]:
    keys = (
        "CTYPE1",
        "CRVAL1",
        "CRVAL2",
        "CRPIX1",
        "CD1_1",
        "CD2_2",
        "PHOTFLAM",
        "PHOTPLAM",
        "BUNIT",
        "FILTER",
        "INSTRUME",
        "EXPTIME",
    )
    yield from _card_cases("mosaic", MOSAIC, 0, keys)
    yield from _byte_cases("mosaic", MOSAIC, 30)
    yield from _fill_cases("mosaic", MOSAIC, (0,))
    yield from _fill_cases("mosaic", WEIGHT, (0,))
    yield from _structures("mosaic", MOSAIC)


def _map_cases() -> Iterator[Case]:
    yield from _card_cases("maps", MAPS, 1, ("CTYPE1", "CRVAL1", "CD1_1", "CRPIX2"))
    yield from _byte_cases("maps", MAPS, 30)
    yield from _fill_cases("maps", MAPS, (1, 2, 3))
    yield from _structures("maps", MAPS)
    yield from _byte_cases("bins", BINS, 12)
    yield from _structures("bins", BINS)
    shifts = (-1, 0, 1, 7, 2**31 - 2, 0.5, 1e12)
    yield from (
        Case("bins", f"numbers + {s}", partial(_values, BINS, 0, lambda a, s=s: a.astype(np.float64) + s))
        for s in shifts
    )


def _json_cases() -> Iterator[Case]:
    """Workspaces: every member replaced by values of other types."""
    bad: tuple[Any, ...] = (None, 0, -1, 1.5, "x", "", [], [1], {}, {"a": 1}, True, [[[]]], "\x00", 10**30)

    def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        yield at
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in items:
            yield from paths(child, (*at, key))

    def write(folder: Path, at: tuple[Any, ...], value: Any) -> None:
        document: Any = workspace_document()
        if not at:
            document = value
        else:
            place = document
            for key in at[:-1]:
                place = place[key]
            place[at[-1]] = value
        (folder / "w.json").write_text(json.dumps(document))

    for at in paths(workspace_document()):
        for value in bad:
            yield Case("workspace", f"{'.'.join(map(str, at))} = {str(value)[:12]}", partial(write, at=at, value=value))
    texts = {
        "deep": "[" * 100000,
        "deep object": '{"a":' * 5000,
        "cut": '{"kind": "napari-sfh workspace",',
        "nan": "NaN",
        "empty": "",
    }
    for name, text in texts.items():
        yield Case("workspace", name, lambda folder, text=text: (folder / "w.json").write_text(text) and None)


def _text_cases() -> Iterator[Case]:
    good = "circle(2,2,1.5)"
    lines = (
        "annulus(2,2,1,2,3)",
        "panda(1,1,0,360,4,1,2,1)",
        "circle()",
        "circle(a,b,c)",
        "circle(1e400,1,1)",
        "polygon(1,1)",
        "ellipse(1,1,2,1,0",
        "box(2,2,1,1,30) # text={a;b#c}",
        "-circle(2,2,9)",
        "circle(2,2,-3)",
        "circle(nan,nan,nan)",
        "vector(1,1,2,3)",
        "global color=green",
        "composite(1,1,0)||",
        "\x00\x01",
        "polygon(" + "1," * 5000 + "1)",
        "(" * 3000,
        "circle(2,2,1') || circle(3,3,1)",
        "région",
    )
    for frame in ("image", "physical", "fk5", "galactic", "linear", "nowhere", ""):
        for line in lines:
            text = f"# Region file format: DS9\n{frame}\n{good}\n{line}\n"
            for encoding in ("utf-8", "utf-16"):

                def put(folder: Path, text: str = text, encoding: str = encoding) -> None:
                    (folder / "r.reg").write_bytes(text.encode(encoding))

                yield Case("regions", f"{frame} {line[:20]!r} {encoding}", put)
    tables = (
        "name,redshift\n0628,0.002\n0628,0.003\n",
        'name,redshift\n"0628,0.002\n',
        "name,name\na,b\n",
        "\ufeffname,redshift\nx,0.1\n",
        "name;redshift\nx;0.1\n",
        "redshift\n0.1\n",
        "name,redshift\nx,abc\n",
        "name\n" + "x" * 100000,
        "",
        "\x00" * 50,
        "name,ebv_mw\nx\n",
        "name,foo\nx,1\n",
        "name,redshift\nx,0.1,5\n",
        "# %ECSV 1.0\n# ---\n",
        "name,redshift\nx,NaN\n",
        "name,redshift\nx,1e999\n",
    )
    for text in tables:
        for suffix in (".csv", ".ecsv"):

            def write(folder: Path, text: str = text, suffix: str = suffix) -> None:
                (folder / f"t{suffix}").write_text(text)

            yield Case("table", f"{text[:20]!r} {suffix}", write)


def _kept_cases() -> Iterator[Case]:
    """Result files: bytes, cards and numbers, with checksums that fit."""
    file = "result.fits"
    yield from _byte_cases("result", file, 40)

    def alter(folder: Path, name: str, change: Callable[[np.ndarray], Any]) -> None:
        with fits.open(folder / file) as hdus:
            change(hdus[name].data)
            hdus.writeto(folder / file, overwrite=True, checksum=True)

    def drop(folder: Path, name: str) -> None:
        with fits.open(folder / file) as hdus:
            fits.HDUList([h for h in hdus if h.name != name]).writeto(folder / file, overwrite=True, checksum=True)

    def shorten(folder: Path, name: str) -> None:
        with fits.open(folder / file) as hdus:
            hdus[name].data = hdus[name].data[:-1]
            hdus.writeto(folder / file, overwrite=True, checksum=True)

    names = (
        "BIN_ID",
        "BINS",
        "SPECTRUM",
        "MODEL",
        "SPECTRUM_ERR",
        "LATENT",
        "WHITE",
        "Q_LG_AGE_LW",
        "Q_MH_MW",
        "Q_MASS_FRAC",
        "SETTINGS",
    )
    for name in names:
        yield Case("result", f"without {name}", partial(drop, name=name))
        yield Case("result", f"{name} one row less", partial(shorten, name=name))
    numbers = {
        "x 100": lambda a: a.__imul__(100),
        "negative": lambda a: a.__imul__(-1),
        "+ 50": lambda a: a.__iadd__(50),
    }
    for name in (
        "BIN_ID",
        "Q_LG_AGE_LW",
        "Q_LG_AGE_MW",
        "Q_MH_MW",
        "Q_MH_LW",
        "Q_MASS_FRAC",
        "Q_LIGHT_FRAC",
        "Q_CUM_MASS",
    ):
        for what, change in numbers.items():
            yield Case("result", f"{name} {what}", partial(alter, name=name, change=change))
    for column in ("X", "Y", "NSPAX", "LIGHT_FRAC", "MASS_FRAC", "MH", "FLAG"):
        for what, number in {"1e6": 1e6, "-1e6": -1e6}.items():

            def put(table: np.ndarray, column: str = column, number: float = number) -> None:
                table[column][...] = number

            yield Case("result", f"{column} = {what}", partial(alter, name="BINS", change=put))


def _weight_cases() -> Iterator[Case]:
    for share in (0, 0.0001, 0.01, 0.5, 0.99):
        yield Case(
            "weights",
            f"cut at {share}",
            partial(change_bytes, "w.safetensors", lambda b, s=share: b[: int(len(b) * s)]),
        )
    for seed in range(30):
        yield Case("weights", f"flipped {seed}", partial(change_bytes, "w.safetensors", partial(_flip, seed=seed)))
    for name, head in {"length": b"\xff" * 8, "json": b"\x10" + bytes(7) + b"{" * 16, "zip": b"PK\x03\x04"}.items():
        yield Case("weights", name, partial(change_bytes, "w.safetensors", lambda b, h=head: h + b[len(h) :]))


def list_cases() -> list[Case]:
    """Every case, always in the same order."""
    makers = (_cube_cases, _mosaic_cases, _map_cases, _kept_cases, _json_cases, _text_cases, _weight_cases)
    return [case for maker in makers for case in maker()]
