"""Data of the tutorials, from the training simulator: ``python docs/make_tutorial_data.py``.

Writes into docs/tutorials/data three files with the layout of SDSS spectra and a catalogue of J-PAS bands, both with
the truth. The templates of the priors `percentiles` and `jpas` must be prepared.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table

from napari_sfh.instruments.files import load_instrument
from napari_sfh.physics.wavelength import air_to_vacuum
from napari_sfh.training.prior.distributions import constant_distribution
from napari_sfh.training.prior.prior_config import load_prior
from napari_sfh.training.simulator.simulation import draw_noiseless_objects, prepare_prior, simulate_objects
from napari_sfh.training.studies.narrow_bands.catalogue_measure import convert_magnitude_to_snr

FOLDER = Path(__file__).parent / "tutorials" / "data"
REDSHIFT, SNR = 0.03, 30.0
LG_STEP = 1e-4
#: Dispersion of SDSS pixels in pixels: 2.51 AA at 5500 AA.
FWHM_AA = 2.51


def write_spectra(rng: np.random.Generator) -> None:
    """Three galaxies, an old, a middle and a young one, on the grid of SDSS, vacuum, S/N 30."""
    config = load_prior("percentiles")
    instrument = load_instrument("optical")
    source = prepare_prior(config, instrument)
    clean, _ = draw_noiseless_objects(config, source.models[0], rng, 400)
    labels = clean.labels
    order = np.argsort(labels.quantity("t50"))
    for number, row in enumerate(order[[320, 200, 60]], 1):
        rest = air_to_vacuum(instrument.wave_aa) * (1 + REDSHIFT)
        loglam = np.arange(np.ceil(np.log10(rest[0]) / LG_STEP), np.log10(rest[-1]) / LG_STEP) * LG_STEP
        flux = 10.0 * np.interp(10**loglam, rest, np.asarray(clean.flux)[row])
        error = np.full(loglam.size, 10.0 / SNR)
        columns = {
            "flux": (flux + error * rng.standard_normal(flux.size)).astype(np.float32),
            "loglam": loglam.astype(np.float32),
            "ivar": (1 / error**2).astype(np.float32),
            "and_mask": np.zeros(loglam.size, np.int32),
            "wdisp": (FWHM_AA / 2.3548 / (10**loglam * np.log(10) * LG_STEP)).astype(np.float32),
        }
        primary = fits.PrimaryHDU()
        for name in ("t10", "t50", "t90", "mh_mw"):
            primary.header[name.upper()] = (round(float(labels.quantity(name)[row]), 3), "truth, Gyr or dex")
        spectrum = fits.BinTableHDU(Table(columns), name="COADD")
        about = fits.BinTableHDU(Table({"Z": np.array([REDSHIFT], np.float32)}), name="SPECOBJ")
        fits.HDUList([primary, spectrum, about]).writeto(FOLDER / f"spec-mock-{number}.fits.gz", overwrite=True)


def write_catalogue(rng: np.random.Generator) -> None:
    """Sixty single populations of i = 16, 18 and 20 mag, in microjansky, some bands missing."""
    config = load_prior("jpas")
    instrument = load_instrument("jpas")
    source = prepare_prior(config, instrument)
    tables = []
    for magnitude in (16.0, 18.0, 20.0):
        noise = replace(config.noise, snr=constant_distribution(convert_magnitude_to_snr(magnitude)))
        data, labels, _ = simulate_objects(replace(source, config=replace(config, noise=noise)), rng, 20)
        to_ujy = np.array([band.pivot_aa**2 for band in source.models[0].templates.filters])
        scale = 3631e6 * 10 ** (-0.4 * magnitude) / np.median(data.phot * to_ujy, axis=1, keepdims=True)
        flux, error = (np.where(data.phot_mask, x * to_ujy * scale, np.nan) for x in (data.phot, data.phot_error))
        columns = {"MAG": np.full(20, magnitude, np.float32)}
        columns |= {f"TRUE_{n.upper()}": labels.quantity(n).astype(np.float32) for n in ("lg_age", "mh_mw", "ebv")}
        for k, band in enumerate(instrument.band_names):
            columns[f"FLUX_{band}"] = flux[:, k].astype(np.float32)
            columns[f"FLUX_{band}_ERR"] = error[:, k].astype(np.float32)
        tables.append(Table(columns))
    table = Table(np.concatenate([one.as_array() for one in tables]))
    table.add_column([f"mock{k:02d}" for k in range(len(table))], 0, "ID")
    for name in table.colnames:
        if name.startswith("FLUX"):
            table[name].unit = "uJy"
    table.write(FOLDER / "jpas_catalogue.fits", overwrite=True)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_spectra(np.random.default_rng(5))
    write_catalogue(np.random.default_rng(6))
