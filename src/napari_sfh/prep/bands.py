"""All bands of a galaxy: checked against the cube where it covers them, measured in the bins, dereddened."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from typing import NamedTuple

from napari_sfh.physics.filters import Filter
from napari_sfh.prep import alignment, extinction, photometry
from napari_sfh.prep.psf import Psf
from napari_sfh.progress import cancelled, in_background
from napari_sfh.types import BinMap, Cube, Mosaic, Progress


class Bands(NamedTuple):
    """Photometry of the bins by band, and what a person should know of it, one line each."""

    flux: dict[str, photometry.BandFlux]
    notes: tuple[str, ...]


def measure(
    mosaics: Mapping[str, Mosaic],
    cube: Cube,
    bins: BinMap,
    psf: Psf,
    filters: Sequence[Filter],
    ebv_mw: float = 0.0,
    align: bool = False,
    cancel: threading.Event | None = None,
) -> Generator[Progress, None, Bands | None]:
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
        Shift each mosaic by the offset found; those that the cube does not cover by the first one found.
    cancel : threading.Event, optional

    Returns
    -------
    Bands, or None on cancel.
    """
    found: dict[str, alignment.Alignment] = {}
    for band in filters:
        if band.name in mosaics and alignment.filter_share(cube, band) >= alignment.MIN_FILTER_SHARE:
            compared = yield from alignment.compare(mosaics[band.name], cube, band, psf, cancel)
            if compared is None:
                return None
            found[band.name] = compared
    first = next(iter(found.values()), None)
    flux = {}
    for k, (name, mosaic) in enumerate(mosaics.items()):
        yield Progress("photometry", k, len(mosaics))
        near = found.get(name, first) if align else None
        offset = (near.dx_arcsec, near.dy_arcsec) if near else (0.0, 0.0)
        one = yield from in_background(
            lambda mosaic=mosaic, offset=offset: photometry.bin_photometry(  # type: ignore[misc]
                mosaic, cube, bins, psf, offset_arcsec=offset, cancel=cancel
            ),
            "photometry",
            cancel,
        )
        if one is None or cancelled(cancel):
            return None
        passed = float(extinction.transmission(mosaic.photplam_aa, ebv_mw))
        flux[name] = photometry.BandFlux(one.flux_cgs / passed, one.error_cgs / passed)
    return Bands(flux, tuple(_sentence(name, a, align) for name, a in found.items()))


def _sentence(name: str, found: alignment.Alignment, applied: bool) -> str:
    done = "shifted back" if applied else "not applied (--align does)"
    return (
        f"{name} beside the cube: {found.dx_arcsec:+.2f}, {found.dy_arcsec:+.2f} arcsec, {done}; "
        f"flux scale mosaic/cube {found.scale:.3f}; correlation {found.correlation:.3f}"
    )
