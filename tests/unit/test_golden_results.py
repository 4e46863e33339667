"""What whole runs with every bundle that ships came to when it shipped: files in, numbers of the result out.

Bundles of cubes run on twelve spaxels of the mock galaxy (with its mosaics), those of catalogues and single spectra
on objects painted in closed form. `test_golden_bundles` holds the networks alone: where that passes and this fails, the
preparation of the data has changed.

After new weights: ``python tests/unit/test_golden_results.py NAME...`` writes their numbers anew.
"""

import atexit
import functools
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

import napari_sfh
from napari_sfh import demo
from napari_sfh.estimate import EstimateConfig, estimate_objects
from napari_sfh.instruments.files import make_band_filters
from napari_sfh.model.bundle import load_bundle, weights_folder

GOLDEN = Path(__file__).parents[1] / "toys" / "golden_results.npz"
SHIPPED = sorted(path.stem for path in weights_folder().glob("*.safetensors"))
#: Rows and columns of the mock galaxy: an arm and what lies between the arms.
WINDOW = (slice(24, 27), slice(26, 30))
#: Weights for bands that are cut from a cube: the others take a catalogue of theirs.
CUT_FROM_CUBES = ("narrowband-muse",)
DRAWS, OBJECTS = 200, 12


def paint_light(wave_aa):
    """Spectra (12, W) from blue to red, in 1e-17 erg/s/cm2/AA: a slope, a break at 4000 AA, four absorption lines."""
    age = np.linspace(0, 1, OBJECTS)[:, None]
    light = (wave_aa / 5400) ** (2.4 * age - 1.2) * (1 - 0.45 * age / (1 + np.exp((wave_aa - 4000) / 60)))
    for line, depth in ((4102, 0.5 - 0.4 * age), (4861, 0.5 - 0.4 * age), (5175, 0.05 + 0.25 * age), (5893, 0.1 * age)):
        light = light * (1 - depth * np.exp(-0.5 * ((wave_aa - line) / 9) ** 2))
    return 10 * light


def write_spectra(folder):
    """One file a spectrum, S/N 40 a pixel, redshift 0."""
    wave_aa = np.arange(3450.0, 7500.0, 1.5)
    for k, flux in enumerate(paint_light(wave_aa)):
        table = Table({"wavelength": wave_aa, "flux": flux, "error": flux / 40})
        table["wavelength"].unit = "AA"
        table["flux"].unit = table["error"].unit = "1e-17 erg / (s cm2 AA)"
        table.write(folder / f"spectrum{k:02d}.fits")
    return tuple(sorted(folder.glob("spectrum*.fits")))


def write_catalogue(folder, instrument):
    """Bands of the painted light, S/N 30, one missing in every third object."""
    wave_aa = np.arange(3000.0, 10_500.0, 1.0)
    light, table = paint_light(wave_aa), Table({"ID": np.arange(OBJECTS)})
    for k, band in enumerate(make_band_filters(instrument)):
        weight = np.interp(wave_aa, band.wave_aa, band.throughput, left=0, right=0) * wave_aa
        flux = 1e-17 * (light * weight).sum(1) / weight.sum()
        if k == 3:
            flux[::3] = np.nan
        table[band.name], table[f"{band.name}_ERR"] = flux, np.abs(flux) / 30
        table[band.name].unit = table[f"{band.name}_ERR"].unit = "erg / (s cm2 AA)"
    table.write(folder / "catalogue.fits")
    return (folder / "catalogue.fits",)


@functools.cache
def write_piece():
    """The piece of the mock galaxy that every bundle for cubes sees, in a folder that ends with the process."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return demo.write_demo_cutout(Path(folder.name) / "galaxy", WINDOW)


def run_on_cube(name):
    """Numbers of a result: bins, what the network was shown, what it said, what follows from it."""
    galaxy = write_piece()
    config = napari_sfh.configure_run(
        galaxy, model=name, ebv_mw=0.02, binning="vorbin", target_snr=60.0, device="cpu", draws=DRAWS
    )
    result = napari_sfh.run(config)
    data, prediction = result.data, result.prediction
    held = {k: v for k, v in prediction.quantiles.items() if v.ndim == 2}
    held |= {"bin_id": result.bins.bin_id, "flag": result.flag, "ood": prediction.ood}
    held |= {"flux": data.flux[:, ::40], "phot": data.phot, "phot_error": data.phot_error, "snr": data.snr}
    held |= {"mass_frac": prediction.mass_frac, "mh": prediction.mh, "chi2": result.chi2}
    if result.model_flux is not None:
        held |= {"model_flux": result.model_flux[:, ::40], "model_phot": result.model_phot}
    return {k: v for k, v in held.items() if v is not None}


def run_on_objects(name, instrument, folder):
    """The columns that an estimate adds."""
    inputs = write_catalogue(folder, instrument) if instrument.spectrum is None else write_spectra(folder)
    out = folder / "out.fits"
    estimate_objects(EstimateConfig(inputs, out, model=name, redshift=0.0, device="cpu", draws=DRAWS))
    made, given = Table.read(out), set() if instrument.spectrum is not None else set(Table.read(inputs[0]).colnames)
    return {k: np.asarray(made[k]) for k in made.colnames if k not in given and made[k].dtype.kind in "if"}


def compute_result(name):
    """Numbers of one bundle's run, by bundle and quantity."""
    instrument = load_bundle(name).instrument
    has_cubes = name in CUT_FROM_CUBES or (instrument.spectrum is not None and instrument.n_bands)
    with tempfile.TemporaryDirectory() as folder:
        made = run_on_cube(name) if has_cubes else run_on_objects(name, instrument, Path(folder))
    return {f"{name} {k}": v.astype(v.dtype.newbyteorder("=")) for k, v in made.items()}


def test_every_bundle_has_its_result():
    with np.load(GOLDEN) as kept:
        assert {key.split()[0] for key in kept.files} == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_run_comes_to_what_it_came_to(name):
    found = compute_result(name)
    with np.load(GOLDEN) as kept:
        assert {key for key in kept.files if key.split()[0] == name} == found.keys()
        for key, values in found.items():
            rtol = 1e-3 if key.lower().endswith(" ood") else 1e-4  # scores far outside are steep
            np.testing.assert_allclose(values, kept[key], rtol=rtol, atol=1e-4, err_msg=key)


if __name__ == "__main__":
    held = dict(np.load(GOLDEN)) if GOLDEN.exists() else {}
    for asked in sys.argv[1:] or SHIPPED:
        held = {k: v for k, v in held.items() if k.split()[0] != asked} | compute_result(asked)
    np.savez_compressed(GOLDEN, **held)
