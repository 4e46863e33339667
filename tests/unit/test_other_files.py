"""`info` of what no run on a galaxy reads: spectra, catalogues, estimates, instruments, weights, prose."""

import numpy as np
import pytest
from astropy.table import Table
from toy_universe import write_toy_bundle

from napari_sfh.cli import main
from napari_sfh.instruments.files import load_instrument

_BANDS = load_instrument("jpas").band_names
_INSTRUMENT = 'name = "mine"\nsummary = "of my own"\n\n[photometry]\nnorm = "median"\n' + "".join(
    f'\n[[band]]\nname = "B{k}"\ncentre_aa = {5000 + 300 * k}.0\nfwhm_aa = 150.0\n' for k in range(4)
)


def _write_spectrum(path):
    wave = np.arange(4700.0, 7200.0, 1.25)
    table = Table({"wavelength": wave, "flux": np.full(wave.size, 50.0), "error": np.full(wave.size, 2.0)})
    table["wavelength"].unit, table.meta = "Angstrom", {"REDSHIFT": 0.02}
    table.write(path)


def _write_catalogue(path):
    Table({"ID": [1, 2], **{f"mag_{band}": [18.0, 19.0] for band in _BANDS}}).write(path)


def _write_estimates(path):
    Table(
        {"ID": [1, 2], "LG_AGE": [9.0, 9.5], "LG_AGE_P16": [8.9, 9.4], "LG_AGE_P84": [9.1, 9.6], "OOD": [0, 0]}
    ).write(path)


@pytest.mark.parametrize(
    ("name", "write", "told"),
    [
        ("s.fits", _write_spectrum, ["a spectrum, for napari-sfh estimate", "2000 pixels", "25 per pixel", "0.02000"]),
        ("c.fits", _write_catalogue, ["catalogue", "2 rows", f"{len(_BANDS)} of {len(_BANDS)} of the weights jpas\n"]),
        ("c.ecsv", _write_catalogue, ["catalogue", f"{len(_BANDS)} of {len(_BANDS)} of the weights jpas\n"]),
        ("o.csv", lambda path: path.write_text("a,b\n1,2\n3,4\n"), ["catalogue", "columns: a, b", "! no bands"]),
        ("e.ecsv", _write_estimates, ["estimates of the rows"]),
        ("i.toml", lambda path: path.write_text(_INSTRUMENT), ["instrument mine", "of my own"]),
        ("w.safetensors", write_toy_bundle, ["weights ", "napari-sfh models"]),
    ],
)
def test_files_for_other_commands_are_told(tmp_path, capsys, name, write, told):
    write(tmp_path / name)
    assert main(["info", str(tmp_path / name)]) == 0
    text = capsys.readouterr().out
    assert all(words in text for words in told), text


@pytest.mark.parametrize("name", ["read.me", "notes.txt", "recipe.toml"])
def test_prose_is_none_of_them(tmp_path, capsys, name):
    (tmp_path / name).write_text("A galaxy, in words.\nIt is far away.\n")
    assert main(["info", str(tmp_path / name)]) == 2
    assert "not recognised" in capsys.readouterr().out
