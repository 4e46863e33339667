"""Spectra in NumPy's own files, as scripts around pPXF save them: arrays of one length that have names.

``np.savez("fit.npz", lam=..., galaxy=..., noise=...)`` names its arrays, and so does a structured array in ``.npy``; a
plain array does not say what its rows are, and is refused. Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from napari_sfh.errors import SfhInputError
from napari_sfh.io.cleaning.containers import check_claimed_size
from napari_sfh.io.objects.spectrum_columns import holds_spectrum

#: Arrays without axes that may be a redshift.
_REDSHIFTS = ("z", "redshift")


def read_numpy_table(path: Path) -> Table:
    """The named arrays of a file, as columns; a redshift beside them is in ``meta``.

    Parameters
    ----------
    path : Path
        ``.npz``, or ``.npy`` with fields.

    Returns
    -------
    Table

    Raises
    ------
    SfhInputError
        Damaged, objects of Python in it, or no wavelength and flux of one length by their names.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                claimed = sum(member.file_size for member in archive.infolist())
            check_claimed_size(path, claimed, True, "its arrays")
        loaded: Any = np.load(path, allow_pickle=False)
        arrays = {name: loaded[name] for name in getattr(loaded, "files", None) or loaded.dtype.names or ()}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, KeyError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise SfhInputError(f"{path}: not readable as arrays of NumPy ({line}); save plain arrays anew") from error
    lines = {name: array for name, array in arrays.items() if array.ndim == 1 and array.dtype.kind in "biuf"}
    length = Counter(array.size for array in lines.values()).most_common(1)[0][0] if lines else 0
    table = Table({name: array for name, array in lines.items() if array.size == length})
    if not holds_spectrum(table.colnames):
        raise SfhInputError(
            f"{path}: holds no arrays of NumPy of one length that are named as wavelength and flux "
            f"({', '.join(arrays) or 'no names'}); save them so: np.savez(NAME, wave=..., flux=..., err=...)"
        )
    for name, array in arrays.items():
        if name.lower() in _REDSHIFTS and array.size == 1 and array.dtype.kind in "iuf":
            table.meta["REDSHIFT"] = float(array.ravel()[0])
    return table
