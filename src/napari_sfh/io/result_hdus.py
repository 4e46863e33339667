"""The HDUs of a result file, made one after the other from a `types.Result`. See `io.results` for the layout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from napari_sfh.instruments.files import instrument_from_json, load_instrument
from napari_sfh.instruments.instrument import Instrument, SpectrumGrid
from napari_sfh.physics.ages import AGE_EDGES_GYR, compute_age_centres
from napari_sfh.physics.columns import describe_column, find_column_unit
from napari_sfh.physics.formation import FORMATION_PERCENTS, FORMED_FRACTIONS, compute_formation_times
from napari_sfh.physics.quantities import QUANTITIES, format_fits_unit
from napari_sfh.types import F32, FLAG_MEANING, QUANTILES, Prediction, Result

#: Version of the file format; readers refuse newer ones.
FORMAT_VERSION: int = 2
#: Names in the file of the four means, with their names in `types.Prediction`. Images have units such as ``dex(yr)``,
#: which astropy understands; in columns, where FITS has no unit for logarithms and dex, comments say them.
MEAN_KEYS: Mapping[str, str] = {
    "AGE_LW": "lg_age_lw",
    "AGE_MW": "lg_age_mw",
    "MH_LW": "mh_lw",
    "MH_MW": "mh_mw",
}
#: Columns of BINS that restore the photometry exactly: flux, error, mask, each (N, bands).
BAND_VECTORS: tuple[str, str, str] = ("PHOT", "PHOT_ERR", "PHOT_MASK")
_OOD_TEXT = "OOD score; above 1 (the bundle's threshold) a bin is out of depth"
_HALF_WIDTH = "half of the 16-84 % width"
#: Ends of an interval: suffix of the name, words, place among `types.QUANTILES`.
_ENDS: Mapping[str, tuple[str, int]] = {"_P16": ("16 % quantile", 1), "_P84": ("84 % quantile", 3)}
_RESULT_FIELDS = ("name", "redshift", "model_name", "model_sha256")


def build_result_hdus(result: Result) -> Iterator[Any]:
    """All HDUs of the file in order; each is made when asked for and holds big-endian data."""
    yield _primary_hdu(result)
    sky = _sky_header(result)
    yield _image_hdu("BIN_ID", result.bins.bin_id, sky, "bin of each spaxel, 1.., 0 = none", dtype=">i4")
    yield from _map_hdus(result, sky)
    yield _bins_table(result)
    if result.prediction.age_edges_gyr is not None:
        yield _age_table(result.prediction.age_edges_gyr)
    yield from _spectrum_hdus(result)
    for name, values in result.prediction.quantiles.items():
        levels = ", ".join(f"{100 * q:g}" for q in QUANTILES)
        yield _image_hdu(f"Q_{name.upper()}", values, None, f"posterior quantiles {levels} % of {name}")
    yield _image_hdu("LATENT", result.prediction.latent, None, "latent vectors, one row a bin")
    yield _image_hdu(
        "WHITE", result.white, sky, "light of the spaxels in the normalisation window, rest frame, cube units"
    )
    if result.prior:
        yield _prior_table(result.prior)
    yield _settings_table(result)


def _prior_table(prior: Mapping[str, F32]) -> fits.BinTableHDU:
    """Quantiles of what the weights believe without data: a row a scalar, and a row an age bin of each vector."""
    rows = [(k, age, q) for k, v in prior.items() for age, q in enumerate(np.reshape(v, (-1, len(QUANTILES))))]
    names, ages, values = zip(*rows, strict=True)
    whole = [np.ndim(prior[name]) == 1 for name in names]
    columns = [
        fits.Column("QUANTITY", "24A", array=np.array(names)),
        fits.Column("AGE_BIN", "J", array=np.where(whole, -1, ages)),
        fits.Column("QUANTILES", f"{len(QUANTILES)}E", array=np.stack(values)),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name="PRIOR")
    levels = ", ".join(f"{100 * q:g}" for q in QUANTILES)
    hdu.header["COMMENT"] = f"quantiles {levels} % of the prior of the weights; AGE_BIN from 0, -1 for scalars"
    return hdu


def _primary_hdu(result: Result) -> fits.PrimaryHDU:
    """Provenance: software, model, redshift, every setting, the meaning of the flags."""
    hdu = fits.PrimaryHDU()
    h = hdu.header
    h["SFHFORM"] = (FORMAT_VERSION, "format of this result file")
    h["CREATOR"] = ("napari-sfh", "software")
    h["VERSION"] = (get_package_version(), "of the software")
    h["DATE"] = (datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "UTC, written")
    h["OBJECT"] = escape_to_ascii(result.name)
    h["REDSHIFT"] = float(result.redshift)
    h["MODEL"] = (escape_to_ascii(result.model_name), "weights bundle")
    h["MODELSHA"] = escape_to_ascii(result.model_sha256)
    h["DEVICE"] = escape_to_ascii(str(result.settings.get("device_used") or result.settings.get("device") or "unknown"))
    h["NBINS"] = (result.bins.n_bins, "number of bins")
    _flag_cards(h, result.judges_misfit)
    for key, value in result.settings.items():
        card = value if isinstance(value, (bool, int)) or _is_finite_float(value) else escape_to_ascii(str(value))
        h[f"HIERARCH SFH {escape_to_ascii(key).upper()}"] = card
    h["COMMENT"] = "Extensions are described in docs/ and in the header of each."
    return hdu


def get_package_version() -> str:
    """Version of the installed package."""
    try:
        return version("napari-sfh")
    except PackageNotFoundError:
        return "unknown"


def escape_to_ascii(text: str) -> str:
    """Printable ASCII, as FITS cards need: anything else as a backslash escape."""
    escaped = text.encode("ascii", "backslashreplace").decode()
    return "".join(c if c.isprintable() else " " for c in escaped)


def _is_finite_float(value: object) -> bool:
    return isinstance(value, float) and bool(np.isfinite(value))


def _flag_cards(header: fits.Header, judges_misfit: bool) -> None:
    if not judges_misfit:
        header["MISFIT"] = (False, "FLAG262144 not judged: OOD score alone warns")
    for bit, meaning in FLAG_MEANING.items():
        key = f"FLAG{bit.value}"
        header[key if len(key) <= 8 else f"HIERARCH {key}"] = (meaning, "meaning of this bit of FLAG")


def _sky_header(result: Result) -> fits.Header:
    """Celestial WCS with every digit of its numbers."""
    header = result.wcs.to_header(relax=True)
    wcs = result.wcs.wcs
    for i in range(2):
        header[f"CRVAL{i + 1}"], header[f"CRPIX{i + 1}"] = float(wcs.crval[i]), float(wcs.crpix[i])
    matrix = result.wcs.pixel_scale_matrix
    for key in [k for k in header if k.startswith(("PC", "CDELT"))]:
        del header[key]
    for i in range(2):
        for j in range(2):
            header[f"CD{i + 1}_{j + 1}"] = float(matrix[i, j])
    return header


def _image_hdu(
    name: str,
    data: NDArray[Any],
    header: fits.Header | None,
    comment: str,
    unit: str = "",
    dtype: str = ">f4",
) -> fits.ImageHDU:
    """An image extension of a fresh big-endian copy."""
    hdu = fits.ImageHDU(np.array(data, dtype=dtype, order="C"), header=header, name=name)
    if unit:
        hdu.header["BUNIT"] = unit
    hdu.header["COMMENT"] = comment
    return hdu


def paint_bin_values(values: NDArray[Any], bin_id: NDArray[np.int32]) -> NDArray[Any]:
    """Image of a value per bin.

    Parameters
    ----------
    values : array (N,)
    bin_id : int array (ny, nx)
        1 to N; 0 outside all bins.

    Returns
    -------
    array (ny, nx)
        Of the type of ``values``; NaN (integers: 0) outside all bins.
    """
    outside = np.zeros(1, dtype=values.dtype) if values.dtype.kind in "iu" else np.full(1, np.nan, values.dtype)
    return np.concatenate([outside, values])[bin_id]


def _map_hdus(result: Result, sky: fits.Header) -> Iterator[fits.ImageHDU]:
    """The maps of the predicted scalars with errors, S/N, OOD score, flag."""
    bin_id, prediction = result.bins.bin_id, result.prediction
    for name, key in find_mean_columns(prediction).items():
        text, about = _describe_scalar(name)[0], QUANTITIES.get(key)
        unit, error_unit = (
            ("", "") if about is None else (format_fits_unit(about.unit), format_fits_unit(about.error_unit))
        )
        yield _image_hdu(name, paint_bin_values(prediction.median(key), bin_id), sky, f"{text}; posterior median", unit)
        error = paint_bin_values(prediction.half_width(key), bin_id)
        yield _image_hdu(f"{name}_ERR", error, sky, _HALF_WIDTH, error_unit)
        if about is not None and about.unit == "Gyr":
            for suffix, (words, quantile) in _ENDS.items():
                end = paint_bin_values(prediction.quantiles[key][:, quantile], bin_id)
                yield _image_hdu(f"{name}{suffix}", end, sky, words, unit)
    for name, values in compute_formation_columns(prediction).items():
        yield _image_hdu(name, paint_bin_values(values, bin_id), sky, _describe_time(name), "Gyr")
    yield _image_hdu("SNR", paint_bin_values(result.data.snr, bin_id), sky, f"S/N {result.instrument.snr_text}")
    yield _image_hdu(
        "OOD",
        paint_bin_values(prediction.ood, bin_id),
        sky,
        _OOD_TEXT,
    )
    flag = _image_hdu("FLAG", paint_bin_values(result.flag, bin_id), sky, "bit mask, see the FLAGn cards", dtype=">i4")
    _flag_cards(flag.header, result.judges_misfit)
    yield flag


def _bins_table(result: Result) -> fits.BinTableHDU:
    """One row a bin. Each entry: name, values, unit, comment."""
    bins, data, p = result.bins, result.data, result.prediction
    instrument = data.instrument
    ra, dec = result.wcs.wcs_pix2world(bins.x, bins.y, 0)
    rows: list[tuple[str, NDArray[Any], str, str]] = [
        ("BIN_ID", np.arange(1, bins.n_bins + 1, dtype=np.int32), "", "number in the BIN_ID image"),
        ("X", bins.x, "pixel", "light-weighted centre, 0-based"),
        ("Y", bins.y, "pixel", "light-weighted centre, 0-based"),
        ("RA", np.asarray(ra, dtype=np.float64), "deg", "of the centre"),
        ("DEC", np.asarray(dec, dtype=np.float64), "deg", "of the centre"),
        ("NSPAX", bins.nspax, "", "number of spaxels"),
        ("SNR", data.snr, "", f"{instrument.snr_text}, from the data"),
        ("BIN_SNR", bins.snr, "", "per pixel, as the binning estimated it"),
        ("V", data.v_kms, "km/s", "stellar, relative to REDSHIFT"),
        ("SIGMA", data.sigma_kms, "km/s", "stellar, before broadening"),
    ]
    if data.added_kms is not None:
        rows.append(("SIGMA_ADD", data.added_kms, "km/s", "added by the broadening, LSF included"))
    for name, key in {**find_mean_columns(p), **find_table_columns(p)}.items():
        text, unit = _describe_scalar(name)
        rows.append((name, p.median(key), unit, text))
        rows.append((f"{name}_ERR", p.half_width(key), unit, _HALF_WIDTH))
        for suffix, (words, quantile) in _ENDS.items():
            rows.append((f"{name}{suffix}", p.quantiles[key][:, quantile], unit, words))
    for name, values in compute_formation_columns(p).items():
        rows.append((name, values, "Gyr", _describe_time(name)))
    for name, value in (("LIGHT_FRAC", p.light_frac), ("MASS_FRAC", p.mass_frac), ("MH", p.mh)):
        if value is None:
            continue
        text = "[M/H] in dex, per age bin of AGE_BINS" if name == "MH" else "per age bin of AGE_BINS"
        quantiles = p.quantiles[name.lower()]
        rows.append((name, value, "", text))
        for suffix, (words, quantile) in _ENDS.items():
            rows.append((f"{name}{suffix}", quantiles[..., quantile], "", words))
    rows += _band_columns(result)
    rows += [
        ("NORM", data.norm_cgs, "erg s-1 cm-2 Angstrom-1", f"{instrument.norm_text}, unit of the spectra"),
        *_chi2_column(result),
        ("OOD", p.ood, "", _OOD_TEXT),
        ("FLAG", result.flag, "", "bit mask, see the FLAGn cards"),
        ("DATA_FLAG", data.flag, "", "bits of FLAG set before inference"),
    ]
    table = _table_hdu("BINS", rows)
    _flag_cards(table.header, result.judges_misfit)
    return table


def find_mean_columns(prediction: Prediction) -> dict[str, str]:
    """Names in the file of the predicted scalars that have maps, with their keys in `types.Prediction`."""
    if prediction.has_histories:
        return dict(MEAN_KEYS)
    known = {key: name for name, key in MEAN_KEYS.items()}
    return {known.get(key, key.upper()): key for key in prediction.scalars}


def find_table_columns(prediction: Prediction) -> dict[str, str]:
    """Names of the scalars that are columns of BINS and no maps."""
    return {"EBV": "ebv"} if prediction.has_histories else {}


def compute_formation_columns(prediction: Prediction) -> dict[str, F32]:
    """T10 ... T90 in Gyr with errors, 16 and 84 % (N,) of predicted histories; nothing where the scalars hold them."""
    curves = prediction.quantiles.get("cum_mass")
    if not prediction.has_histories or curves is None:
        return {}
    none = np.zeros((len(curves), 1))
    edges = AGE_EDGES_GYR if prediction.age_edges_gyr is None else prediction.age_edges_gyr
    low, middle, high = (
        compute_formation_times(np.hstack([curves[..., k].astype(np.float64), none]), FORMED_FRACTIONS, edges)
        for k in (1, 2, 3)
    )
    out = {}
    for k, percent in enumerate(FORMATION_PERCENTS):
        out[f"T{percent}"] = middle[:, k].astype(np.float32)
        out[f"T{percent}_ERR"] = (0.5 * np.abs(high - low))[:, k].astype(np.float32)
        # Skewed: what a ± says may reach beyond the age of the Universe.
        for suffix, end in (("_P16", np.fmin(low, high)), ("_P84", np.fmax(low, high))):
            out[f"T{percent}{suffix}"] = end[:, k].astype(np.float32)
    return out


def _describe_scalar(name: str) -> tuple[str, str]:
    """Comment and unit of a scalar's column."""
    return describe_column(name) or name.lower(), find_column_unit(name)


def _describe_time(name: str) -> str:
    """Comment of a formation time, of its error or of an end of its interval."""
    end = next((words for suffix, (words, _) in _ENDS.items() if name.endswith(suffix)), "")
    return _HALF_WIDTH if name.endswith("_ERR") else end or _describe_scalar(name)[0]


def _chi2_column(result: Result) -> list[tuple[str, NDArray[Any], str, str]]:
    """How far the models are from the spectra; nothing where there are no models."""
    chi2 = [] if result.chi2 is None else [("CHI2", result.chi2, "", "reduced, of the spectrum")]
    missed = [(name, values, find_column_unit(name), describe_column(name)) for name, values in result.misfit.items()]
    return [*chi2, *missed]


def _band_columns(result: Result) -> list[tuple[str, NDArray[Any], str, str]]:
    """Band fluxes for people (erg/s/cm2/AA), and relative to NORM for an exact reload."""
    data = result.data
    if not data.bands:
        return []
    unit = "erg s-1 cm-2 Angstrom-1"
    rows: list[tuple[str, NDArray[Any], str, str]] = []
    for b, band in enumerate(data.bands):
        used = data.phot_mask[:, b]
        for suffix, values, text in (("", data.phot, "mean f_lambda"), ("_ERR", data.phot_error, "1 sigma")):
            physical: NDArray[Any] = np.where(used, values[:, b] * data.norm_cgs, np.nan)
            rows.append((f"FLUX_{band}{suffix}", physical, unit, f"{text}; NaN = not used"))
    vectors: tuple[NDArray[Any], ...] = (data.phot, data.phot_error, data.phot_mask)
    for name, vector in zip(BAND_VECTORS, vectors):
        rows.append((name, vector, "", f"per band ({' '.join(data.bands)}), relative to NORM"))
    if result.model_phot is not None:
        rows.append(("MODEL_PHOT", result.model_phot, "", "model per band, relative to NORM"))
    return rows


def _table_hdu(name: str, rows: list[tuple[str, NDArray[Any], str, str]]) -> fits.BinTableHDU:
    """A binary table with units and comments."""
    codes = {"float32": "E", "float64": "D", "int32": "J", "bool": "L"}
    columns = []
    for key, values, unit, _ in rows:
        code = codes[values.dtype.name] if values.dtype.kind != "S" else f"{values.dtype.itemsize}A"
        width = str(values.shape[1]) if values.ndim == 2 else ""
        columns.append(fits.Column(name=key, format=width + code, unit=unit or None, array=values))
    table = fits.BinTableHDU.from_columns(columns, name=name)
    for i, (_, _, _, comment) in enumerate(rows, start=1):
        if comment:
            table.header[f"TCOMM{i}"] = comment
    return table


def _age_table(edges_gyr: NDArray[np.float64]) -> fits.BinTableHDU:
    return _table_hdu(
        "AGE_BINS",
        [
            ("AGE_LO", edges_gyr[:-1], "Gyr", "younger edge, lookback time"),
            ("AGE_HI", edges_gyr[1:], "Gyr", "older edge"),
            ("AGE", compute_age_centres(edges_gyr), "Gyr", "arithmetic centre"),
        ],
    )


def _spectrum_hdus(result: Result) -> Iterator[fits.ImageHDU]:
    """Spectrum (NaN where masked), error and model, bins x wavelength."""
    grid = result.instrument.spectrum
    if grid is None:
        return
    text = f"rest frame, {grid.sigma_kms:g} km/s, relative to column NORM of BINS (erg/s/cm2/AA)"
    header = _spectral_header(grid)
    spectrum = _image_hdu("SPECTRUM", result.data.flux, header, f"{text}; NaN = masked")
    spectrum.data[~result.data.mask] = np.nan
    yield spectrum
    yield _image_hdu("SPECTRUM_ERR", result.data.error, header, f"1 sigma of SPECTRUM, {text}")
    if result.model_flux is not None:
        yield _image_hdu("MODEL", result.model_flux, header, f"reconstruction from the prediction, {text}")


def _spectral_header(grid: SpectrumGrid) -> fits.Header:
    """Wavelengths of the grid, in its own medium, along axis 1; bin numbers along axis 2."""
    header = fits.Header()
    header["CTYPE1"] = "AWAV" if grid.medium == "air" else "WAVE"
    header["CUNIT1"] = "Angstrom"
    header["CRPIX1"], header["CRVAL1"], header["CDELT1"] = 1.0, grid.first_aa, grid.step_aa
    if grid.log_step > 0:
        # FITS paper III, table 5: a logarithmic axis, whose CDELT is that at the reference pixel.
        header["CTYPE1"] += "-LOG"
        header["CDELT1"] = grid.first_aa * grid.log_step
    header["CTYPE2"] = ("BIN", "number of the bin in BIN_ID")
    header["CRPIX2"], header["CRVAL2"], header["CDELT2"] = 1.0, 1.0, 1.0
    return header


def _settings_table(result: Result) -> fits.BinTableHDU:
    """Names and JSON values: exact, of any length and alphabet, as header cards are not."""
    own: dict[str, Any] = {k: getattr(result, k) for k in _RESULT_FIELDS}
    own |= {
        "target_snr": result.bins.target_snr,
        "method": result.bins.method,
        "instrument": result.instrument.to_json(),
    }
    entries = [("own", k, v) for k, v in own.items()] + [("setting", k, v) for k, v in result.settings.items()]
    texts = [(group, json.dumps(key), json.dumps(value, default=_json_default)) for group, key, value in entries]
    columns = [np.array(column, dtype=np.bytes_) for column in zip(*texts)]
    return _table_hdu(
        "SETTINGS",
        [
            ("GROUP", columns[0], "", "own = field of the result, setting = option of the run"),
            ("NAME", columns[1], "", "JSON string"),
            ("VALUE", columns[2], "", "JSON"),
        ],
    )


def _json_default(value: object) -> Any:
    """NumPy scalars as numbers, anything else (paths) as text."""
    return value.item() if isinstance(value, np.generic) else str(value)


def restore_instrument(own: Mapping[str, Any]) -> Instrument:
    """The instrument of a result; files of format 1 name bands only, which are the default instrument's."""
    if "instrument" in own:
        return instrument_from_json(own["instrument"], "instrument of the result")
    return load_instrument()


def decode_settings(table: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(settings, own fields) from the table SETTINGS."""
    groups: dict[str, dict[str, Any]] = {"own": {}, "setting": {}}
    for group, name, value in zip(table["GROUP"], table["NAME"], table["VALUE"]):
        groups[str(group)][json.loads(name)] = json.loads(value)
    return groups["setting"], groups["own"]
