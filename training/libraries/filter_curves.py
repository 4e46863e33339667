"""Filter curves for training, in air: the bands of an instrument and Johnson V.

A band is a known filter, given as "NAME CAMERA" (``F555W UVIS``), rows of its own, or a trapezoid
(`napari_sfh.instruments`). Known curves come from files that other packages ship and must be the *total* throughput
(telescope, camera, filter, detector). pyphot 2.1.1's ``HST_ACS_WFC_*`` curves are; its ``HST_WFC3_*`` curves are the
filter glass alone (they peak at 0.95, and their F814W has a pivot of 8307 AA where the camera has 8039), so WFC3,
NIRCam and MIRI come from the collection ``FILTER.RES`` of EAZY (Brammer, van Dokkum & Coppi 2008), which the ppxf 8.2.6
sdist ships.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.files import make_band_filters
from napari_sfh.instruments.instrument import Instrument
from napari_sfh.physics.filters import Filter
from napari_sfh.physics.wavelength import vacuum_to_air
from napari_sfh.training.libraries import fetch
from napari_sfh.types import F64

Curve = tuple[F64, F64]

_FILTER_RES = "ppxf-8.2.6/ppxf/examples/FILTER.RES.txt"
#: Wavelength in Angstrom below which no conversion from vacuum to air is known: curves there stay as they are.
_AIR_FROM_AA = 2000.0


def _res(pattern: str) -> Callable[[str], Curve]:
    return lambda name: read_filter_res([pattern.format(name.lower(), name)])[0]


def _pyphot(pattern: str) -> Callable[[str], Curve]:
    return lambda name: _read_pyphot_curve(pattern.format(name))


def _read_miri(name: str) -> Curve:
    return read_filter_res([f"jwst_miri_f{int(name[1:-1]):04d}{name[-1].lower()}"])[0]


#: Cameras whose filters are known, and where their curves are read.
CAMERAS: dict[str, Callable[[str], Curve]] = {
    "UVIS": _res("hst/wfc3/UVIS/{0}.dat"),
    "IR": _res("hst/wfc3/IR/{0}.dat"),
    "ACS": _pyphot("HST_ACS_WFC_{0}"),
    "NIRCAM": _res("jwst_nircam_{0}"),
    "NIRISS": _res("jwst_niriss_{0}"),
    "MIRI": _read_miri,
    "SDSS": _pyphot("SDSS_{0}"),
    "PS1": _pyphot("PS1_{0}"),
    "GALEX": _pyphot("GALEX_{0}"),
    "2MASS": _pyphot("2MASS_{0}"),
    "WISE": _pyphot("WISE_RSR_{0}"),
}


def load_instrument_filters(instrument: Instrument) -> tuple[tuple[Filter, ...], tuple[Filter, ...]]:
    """Curves of the bands of an instrument, and of what observers may use in their place.

    Returns
    -------
    filters : tuple of Filter
        In the instrument's order.
    substitutes : tuple of Filter
        As many: the other camera's curve where the instrument names one, else the band's own.

    Raises
    ------
    SfhInputError
        Where a curve is not known or not in its package.
    """
    known = {b.curve: load_known_filter(b.name, b.curve) for b in instrument.bands if b.curve and not b.table}
    filters = make_band_filters(instrument, known)
    substitutes = tuple(
        load_known_filter(band.name, band.substitute) if band.substitute else own
        for band, own in zip(instrument.bands, filters, strict=True)
    )
    return filters, substitutes


def load_known_filter(band: str, curve: str) -> Filter:
    """A filter of `CAMERAS` by "NAME CAMERA", standing for a band.

    Parameters
    ----------
    band : str
        Name that the filter gets.
    curve : str
        ``NAME CAMERA``, such as ``F555W UVIS``.

    Returns
    -------
    Filter
        Total throughput in photons, in air.

    Raises
    ------
    SfhInputError
        Where the camera is not known, or its package has no such filter.
    """
    name, _, camera = curve.partition(" ")
    if camera not in CAMERAS:
        raise SfhInputError(
            f"[[band]] {band}: curve = {curve!r} is no known filter; give NAME CAMERA with a camera of "
            f"{', '.join(CAMERAS)}, or a file of two columns"
        )
    try:
        return make_air_filter(band, camera, *CAMERAS[camera](name))
    except ValueError as error:
        raise SfhInputError(f"[[band]] {band}: curve = {curve!r}: {error}") from error


def load_johnson_v_filter() -> Filter:
    """Johnson V (Bessell's curve of FILTER.RES), which defines V-band light."""
    (curve,) = read_filter_res(["REST_FRAME/Bessel_V.dat"])
    return make_air_filter("V", "Johnson", *curve)


def make_air_filter(name: str, camera: str, wave_aa: F64, throughput: F64) -> Filter:
    """A filter from a curve in vacuum.

    Parameters
    ----------
    name, camera : str
    wave_aa : array (n,)
        Vacuum wavelengths, Angstrom.
    throughput : array (n,)
        Total, in photons, of any scale.

    Returns
    -------
    Filter
    """
    wave = np.asarray(wave_aa, dtype=np.float64)
    air = np.where(wave > _AIR_FROM_AA, vacuum_to_air(np.maximum(wave, _AIR_FROM_AA)), wave)
    return Filter.from_curve(name, camera, air, throughput)


def read_filter_res(titles: list[str]) -> list[Curve]:
    """Curves by title: each starts with a line "count title ...", then count lines "index wave throughput"."""
    text = fetch.read_archive_members("ppxf", lambda member: member == _FILTER_RES)[_FILTER_RES].decode("latin-1")
    lines = text.splitlines()
    found: dict[str, Curve] = {}
    for number, line in enumerate(lines):
        words = line.split()
        title = words[1] if len(words) > 1 else ""
        if title in titles:
            rows = np.array([row.split()[1:3] for row in lines[number + 1 : number + 1 + int(words[0])]], float)
            found[title] = (rows[:, 0], np.maximum(rows[:, 1], 0.0))
    missing = [title for title in titles if title not in found]
    if missing:
        raise SfhInputError(f"{_FILTER_RES}: no curve {', '.join(missing)}; is this the ppxf 8.2.6 sdist?")
    return [found[title] for title in titles]


def _read_pyphot_curve(name: str) -> Curve:
    """Wavelength (AA) and photon throughput of a curve in pyphot's library."""
    import pyphot

    try:
        curve = pyphot.get_library().load_filters([name])[0]
    except KeyError as error:
        raise SfhInputError(f"pyphot has no filter {name}; install pyphot 2.1.1") from error
    wave = np.asarray(curve.wavelength.to("AA").value, dtype=np.float64)
    throughput = np.asarray(curve.transmit, dtype=np.float64)
    return wave, np.maximum(throughput / wave if curve.dtype == "energy" else throughput, 0.0)
