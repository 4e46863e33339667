"""Work of the tool 'Cube', as functions for `latest.LatestJob` and `workers.BackgroundJob`: no Qt."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable

from napari_sfh._qt.canvas.layer_data import KEY, LayerLink, LayerTuple
from napari_sfh.analysis.drawing.map_limits import robust_limits
from napari_sfh.analysis.drawing.units import choose_flux_unit, format_exponent
from napari_sfh.analysis.exploration.cube_spectra import CubeSpectra, Statistic, find_disc_spaxels, find_polygon_spaxels
from napari_sfh.analysis.exploration.range_images import Range, RangeImage, RangeImages
from napari_sfh.analysis.sky_coordinates import SkyGrid
from napari_sfh.analysis.tables import write_tables
from napari_sfh.io.atomic import write_atomically
from napari_sfh.io.cubes import read_cube
from napari_sfh.jobs import ReportProgress, report_progress
from napari_sfh.types import F64, Cube, Progress

#: Role of a layer that shows a range of wavelength.
ROLE = "channels"
#: Unit, erg/s/cm2, in which limits are sought: numbers near 1 survive single precision.
_STORED = 1e-20


class OpenedCube:
    """A cube with what explores it: spectra and images."""

    def __init__(self, cube: Cube) -> None:
        self.cube = cube
        self.spectra = CubeSpectra(cube)
        self.images = RangeImages(cube)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of spaxels."""
        return self.cube.shape[1:]

    @property
    def unit_exponent(self) -> int:
        """Power of ten, in erg/s/cm2/AA, of the unit in which spectra are drawn."""
        return round(float(np.log10(self.cube.flux_scale)))

    @property
    def flux_factor(self) -> float:
        """From the cube's unit to that of the drawn spectra."""
        return float(self.cube.flux_scale / 10.0**self.unit_exponent)

    def format_label(self, statistic: Statistic) -> str:
        """Label of the axis of flux."""
        return f"{statistic}, 10{format_exponent(self.unit_exponent)} erg/s/cm²/Å"


def open_cube(progress: ReportProgress, cancel: threading.Event, path: Path, hdu: str | None = None) -> OpenedCube:
    """Open a cube, ready for its spectra.

    Parameters
    ----------
    path : Path
    hdu : str or None
        Which cube of a file that holds several.
    """
    report_progress(Progress("opening the cube", 0, 0), progress, cancel)
    return OpenedCube(read_cube(path, hdu))


def prepare_cube(progress: ReportProgress, cancel: threading.Event, opened: OpenedCube) -> OpenedCube:
    """Unpack a cube whose file gives no single spectra."""
    opened.spectra.unpack(progress, cancel)
    opened.images = RangeImages(opened.spectra.get_fast_cube())
    return opened


def read_cursor_spectrum(
    progress: ReportProgress, cancel: threading.Event, opened: OpenedCube, place_yx: tuple[float, float], radius: float
) -> F64 | None:
    """The mean spectrum (n,) around a place, in the drawn unit; None outside the cube. Place and radius in spaxels.

    Parameters
    ----------
    opened : OpenedCube
    place_yx : tuple of float
        Centre (y, x), spaxels.
    radius : float
        Spaxels.
    """
    spaxels = find_disc_spaxels(opened.shape, place_yx, radius)
    return opened.spectra.read_aperture(spaxels) * opened.flux_factor if spaxels.size else None


def read_aperture_spectra(
    progress: ReportProgress,
    cancel: threading.Event,
    opened: OpenedCube,
    polygons: Sequence[F64],
    statistic: Statistic,
) -> list[tuple[int, F64]]:
    """Number of spaxels and spectrum (n,) of each aperture, in the drawn unit; NaN where none lies inside.

    Parameters
    ----------
    opened : OpenedCube
    polygons : Sequence of float arrays (n, 2)
        Corners (y, x) of each aperture, spaxels.
    statistic : Statistic
        How the spaxels of an aperture are joined.
    """
    found = []
    for polygon in polygons:
        spaxels = find_polygon_spaxels(opened.shape, polygon)
        flux = np.full(opened.cube.shape[0], np.nan)
        if spaxels.size:
            flux = opened.spectra.read_aperture(spaxels, statistic, cancel) * opened.flux_factor
        found.append((int(spaxels.size), flux))
    return found


def make_range_image(
    progress: ReportProgress, cancel: threading.Event, opened: OpenedCube, ranges: Mapping[str, Range]
) -> RangeImage:
    """The image over ``ranges["range"]``, without the continuum of ``left`` and ``right`` where they are given.

    Parameters
    ----------
    opened : OpenedCube
    ranges : Mapping of str to (float, float)
        Observed wavelengths in air, AA: ``range``, and perhaps ``left`` and ``right``.
    """
    return opened.images.make_image(ranges["range"], ranges.get("left"), ranges.get("right"), cancel)


def format_range_name(image: RangeImage) -> str:
    """What an image shows: ``6550.0–6580.0 Å − continuum``."""
    low, high = image.range_aa
    return f"{low:.1f}–{high:.1f} Å{' − continuum' if image.is_line else ''}"


def make_range_layer(
    image: RangeImage, sky: SkyGrid, name: str = "", cube: Path | None = None, hdu: str | None = None
) -> LayerTuple:
    """An image over a range as a layer; ``name``: its key among those of its role.

    Parameters
    ----------
    image : RangeImage
    sky : SkyGrid
        Where the image lies.
    name : str
        Key of the layer among those of its role.
    cube : Path or None
        File of the cube.
    hdu : str or None
        Which cube of the file, where it holds several.
    """
    stored = image.values / np.float32(_STORED)
    low, high = robust_limits(stored, 1.0, 99.7)
    spectral = "" if image.is_line else " Å⁻¹"
    factor, flux_unit = choose_flux_unit(f"{_STORED:g} erg/s/cm2", high)
    unit = f"{flux_unit}{spectral} per spaxel"
    attributes = {
        "name": f"{format_range_name(image)} [{unit}]",
        "colormap": "magma",
        "contrast_limits": (low * factor, high * factor),
        "interpolation2d": "nearest",
        "metadata": {KEY: LayerLink(ROLE, name, cube=cube, unit=unit, hdu=hdu)},
        **sky.transform(),
    }
    return (stored * factor).astype(np.float32), attributes, "image"


def save_spectra(
    progress: ReportProgress,
    cancel: threading.Event,
    columns: Mapping[str, F64],
    notes: Mapping[str, str],
    opened: OpenedCube,
    path: Path,
) -> Path:
    """Write spectra as a table: wavelength, and a column of flux for each, with a note where it is from.

    Parameters
    ----------
    columns : Mapping of str to float array (n,)
        ``wavelength_aa`` in AA, and fluxes in 10^`unit_exponent` erg/s/cm2/AA of the cube.
    notes : Mapping of str to str
        What each column of flux holds.
    opened : OpenedCube
    path : Path
        Ends in one of `tables.TABLE_SUFFIXES`.
    """
    report_progress(Progress("writing the table", 0, 0), progress, cancel)
    unit = u.Unit(f"1e{opened.unit_exponent} erg / (s cm2 AA)")
    table = QTable({name: values * (u.AA if name == "wavelength_aa" else unit) for name, values in columns.items()})
    for name, note in {"wavelength_aa": "observed, in air", **notes}.items():
        if name in table.colnames:
            table[name].info.description = note
    table.meta["CUBE"] = opened.cube.path.name
    return write_tables({"SPECTRA": table}, path)


def save_range_image(
    progress: ReportProgress, cancel: threading.Event, image: RangeImage, opened: OpenedCube, path: Path
) -> Path:
    """Write an image over a range as FITS, in cgs, with the cube's coordinates.

    Parameters
    ----------
    image : RangeImage
    opened : OpenedCube
        The cube that it was made of.
    path : Path
        Replaced if it exists.
    """
    report_progress(Progress("writing the image", 0, 0), progress, cancel)
    header = opened.cube.wcs.to_header()
    header["BUNIT"] = ("erg/s/cm2" if image.is_line else "erg/s/cm2/Angstrom", "per spaxel")
    header["WAVEMIN"], header["WAVEMAX"] = (round(edge, 3) for edge in image.range_aa)
    header["CONTSUB"] = (image.is_line, "continuum was subtracted")
    header["CUBE"] = opened.cube.path.name[:60]
    with write_atomically(path) as part:
        fits.PrimaryHDU(image.values, header).writeto(part, overwrite=True)
    return path
