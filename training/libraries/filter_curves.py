"""Filter curves for training, in air: HST and Johnson V, from files that other packages ship.

The curve of a filter must be the *total* throughput (telescope, camera, filter, detector). pyphot 2.1.1's
``HST_ACS_WFC_*`` curves are; its ``HST_WFC3_*`` curves are the filter glass alone (they peak at 0.95, and
their F814W has a pivot of 8307 AA where the camera has 8039), so WFC3/UVIS comes from the collection
``FILTER.RES`` of EAZY (Brammer, van Dokkum & Coppi 2008), synphot's total throughputs in arbitrary scale,
which the ppxf 8.2.6 sdist ships.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sfh.errors import SfhInputError
from napari_sfh.physics.filters import Filter
from napari_sfh.physics.wavelength import vacuum_to_air
from napari_sfh.training.libraries import fetch
from napari_sfh.types import BANDS

_FILTER_RES = "ppxf-8.2.6/ppxf/examples/FILTER.RES.txt"
#: Bands of the ACS camera that stand in for UVIS ones in PHANGS-HST.
ACS_BANDS: tuple[str, ...] = ("F435W", "F555W", "F814W")


def load_hst_filters() -> tuple[Filter, ...]:
    """The five UVIS filters in the order of `types.BANDS`, then the three ACS ones.

    Raises
    ------
    SfhInputError
        Where a curve is missing from its package.
    """
    titles = [f"hst/wfc3/UVIS/{band.lower()}.dat" for band in BANDS]
    curves = read_filter_res(titles)
    uvis = [make_air_filter(band, "UVIS", *curve) for band, curve in zip(BANDS, curves)]
    return (*uvis, *(make_air_filter(band, "ACS", *_read_pyphot_curve(f"HST_ACS_WFC_{band}")) for band in ACS_BANDS))


def load_johnson_v_filter() -> Filter:
    """Johnson V (Bessell's curve of FILTER.RES), which defines V-band light."""
    (curve,) = read_filter_res(["REST_FRAME/Bessel_V.dat"])
    return make_air_filter("V", "Johnson", *curve)


def make_air_filter(name: str, camera: str, wave_aa: NDArray[np.float64], throughput: NDArray[np.float64]) -> Filter:
    return Filter.from_curve(name, camera, vacuum_to_air(wave_aa), throughput)


def read_filter_res(titles: list[str]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Curves by title: each starts with a line "count title ...", then count lines "index wave throughput"."""
    text = fetch.read_archive_members("ppxf", lambda member: member == _FILTER_RES)[_FILTER_RES].decode("latin-1")
    lines = text.splitlines()
    found: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
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


def _read_pyphot_curve(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wavelength (AA) and photon throughput of a curve in pyphot's library."""
    import pyphot

    try:
        curve = pyphot.get_library().load_filters([name])[0]
    except KeyError as error:
        raise SfhInputError(f"pyphot has no filter {name}; install pyphot 2.1.1") from error
    wave = np.asarray(curve.wavelength.to("AA").value, dtype=np.float64)
    throughput = np.asarray(curve.transmit, dtype=np.float64)
    return wave, np.maximum(throughput / wave if curve.dtype == "energy" else throughput, 0.0)
