"""What files are that no run on a galaxy reads: catalogues and single spectra, weights, instruments."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_sfh.analysis.objects.estimate_table import holds_estimates
from napari_sfh.errors import SfhInputError
from napari_sfh.instruments.bundle_header import list_bundles, read_bundle_header
from napari_sfh.instruments.files import load_instrument
from napari_sfh.io.objects.blocks import Catalogue, open_catalogue
from napari_sfh.io.objects.spectra_1d import SingleSpectrum, read_single_spectra
from napari_sfh.io.objects.vector_columns import match_catalogue_columns
from napari_sfh.io.objects.writing import UNCLEAR_SUFFIXES

#: Columns that are named, of a catalogue whose bands are not known.
_NAMED = 8


def describe_other_file(path: Path) -> list[str]:
    """Lines about a file of another kind than those of a galaxy's folder.

    Parameters
    ----------
    path : Path
        What `io.identify.identify_file` does not recognise.

    Returns
    -------
    list of str
        What it is, a fact a line, and the command that takes it; empty if it is none of these.
    """
    for describe in (_describe_weights, _describe_instrument, _describe_objects):
        try:
            if lines := describe(path):
                return [f"{path.name}: {lines[0]}", *(f"  {line}" for line in lines[1:])]
        except SfhInputError:
            continue
    return []


def _describe_weights(path: Path) -> list[str]:
    if path.suffix != ".safetensors":
        return []
    header = read_bundle_header(path)
    return [f"weights {header.name}", f"instrument: {header.instrument.name}", f"napari-sfh models {path} tells more"]


def _describe_instrument(path: Path) -> list[str]:
    if path.suffix != ".toml":
        return []
    instrument = load_instrument(path)
    return [f"instrument {instrument.name}", instrument.summary, f"napari-sfh instruments {path} tells more"]


def _describe_objects(path: Path) -> list[str]:
    """A catalogue whose bands some weights know, spectra, or a table of anything else."""
    try:
        catalogue = open_catalogue(path)
    except SfhInputError:
        return _describe_spectra(read_single_spectra(path))
    rows = "" if catalogue.n_rows is None else f"{catalogue.n_rows} rows, "
    size = f"size: {rows}{len(catalogue.names)} columns"
    if holds_estimates(path):
        return ["estimates of the rows of a catalogue or of spectra, for the window", size]
    if bands := _find_bands(catalogue):
        return ["catalogue, for napari-sfh estimate", size, *bands]
    try:
        return _describe_spectra(read_single_spectra(path))
    except SfhInputError:
        if path.suffix.lower() in UNCLEAR_SUFFIXES:  # text, in which any line may be columns
            return []
        names = ", ".join(catalogue.names[:_NAMED]) + (", ..." if len(catalogue.names) > _NAMED else "")
        unknown = "no bands of the shipped weights; estimate can be told which columns they are"
        return ["catalogue, for napari-sfh estimate", size, f"columns: {names}", f"! {unknown}"]


def _find_bands(catalogue: Catalogue) -> list[str]:
    """A line for each of the shipped weights for bands that finds some in the catalogue."""
    lines = []
    for name in list_bundles():
        instrument = read_bundle_header(name).instrument
        if instrument.spectrum is not None:
            continue
        try:
            found, _ = match_catalogue_columns(catalogue, instrument.band_names)
        except SfhInputError:
            continue
        lines.append(f"bands: {len(found)} of {len(instrument.band_names)} of the weights {name}")
    return lines


def _describe_spectra(spectra: list[SingleSpectrum]) -> list[str]:
    first = spectra[0]
    many = "a spectrum" if len(spectra) == 1 else f"{len(spectra)} spectra"
    redshift = "not in the file: give `redshift`" if first.redshift is None else f"{first.redshift:.5f}"
    good = first.wave_aa[first.good]
    range_aa = f"{good.min():.1f}-{good.max():.1f} AA in air" if good.size else "none"
    errors = np.sqrt(first.variance[first.good])
    snr = float(np.median(np.abs(first.flux[first.good]) / errors)) if good.size else 0.0
    facts = [f"wavelengths: {range_aa}, {first.wave_aa.size} pixels", f"S/N: {snr:.3g} per pixel, median"]
    # What concerns the redshift stands in its line.
    notes = [f"! {note}" for note in first.notes if note != first.no_redshift]
    return [f"{many}, for napari-sfh estimate", *facts, f"redshift: {redshift}", *notes]
