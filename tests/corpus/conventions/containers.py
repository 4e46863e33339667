"""Files that are cut, packed, padded, or compressed in tiles."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from functools import partial
from typing import Any

from astropy.io import fits
from inputs import CUBE, MOSAIC
from mutations import Case, change_bytes, find_tile_shape

from conventions.changes import make_case


def list_file_cases() -> Iterator[Case]:
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
                yield make_case(
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
