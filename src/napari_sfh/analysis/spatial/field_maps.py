"""The fields behind a result's maps as a FITS file, beside the raw maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from astropy.io import fits

from napari_sfh.analysis.maps import paint_bins
from napari_sfh.analysis.spatial.gaussian_field import SmoothedValues
from napari_sfh.io.atomic import write_atomically
from napari_sfh.physics.quantities import QUANTITIES, format_fits_unit
from napari_sfh.types import Result, measure_pixel_arcsec


def write_field_maps(result: Result, smoothed: Mapping[str, SmoothedValues], path: str | Path) -> Path:
    """Write three images a quantity: the raw map, the field (``_FIELD``) and its error (``_FIELD_ERR``).

    The field's header says its length in arcsec (``FLENGTH``), amplitude (``FAMPL``), the factor on the bins' own
    errors (``FERRFAC``) and whether there is one at all (``FLAT``).

    Parameters
    ----------
    result : Result
    smoothed : mapping
        Of `gaussian_field.smooth_result_maps`.
    path : path
        ``.fits``; a file that is there is replaced.
    """
    path = Path(path)
    pixel_arcsec = measure_pixel_arcsec(result.wcs)
    sky, bin_id = result.wcs.to_header(), result.bins.bin_id
    hdus: list[fits.ImageHDU | fits.PrimaryHDU] = [fits.PrimaryHDU()]
    hdus[0].header["CREATOR"] = ("napari-sfh", "this program wrote the file")
    hdus[0].header["OBJECT"] = result.name.encode("ascii", "replace").decode()
    for quantity, made in smoothed.items():
        name = QUANTITIES[quantity].map_name or quantity.upper()
        raw = result.prediction.median(quantity).astype(np.float32)
        unit, error_unit = (format_fits_unit(u) for u in (QUANTITIES[quantity].unit, QUANTITIES[quantity].error_unit))
        images = (("", raw, unit), ("_FIELD", made.value, unit), ("_FIELD_ERR", made.error, error_unit))
        for suffix, values, words in images:
            hdus.append(fits.ImageHDU(paint_bins(bin_id, values), header=sky, name=f"{name}{suffix}"))
            hdus[-1].header["BUNIT"] = words
        header = hdus[-2].header
        header["FLAT"] = (made.field.is_flat, "no field: the raw map")
        header["FLENGTH"] = (made.field.length * pixel_arcsec, "arcsec, of the covariance")
        header["FAMPL"] = (made.field.amplitude, "amplitude of the field")
        header["FERRFAC"] = (made.field.error_factor, "factor on the errors of the bins")
    with write_atomically(path) as part:
        fits.HDUList(hdus).writeto(part, overwrite=True, checksum=True)
    return path
