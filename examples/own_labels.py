"""Train weights on labels of your own, and apply them: a table in, a table out.

    python own_labels.py TABLE.fits OUTPUT_FOLDER

The table has a row for each object: bands named as in the instrument, with ``_ERR``, units, and the labels. Here they
are a light-weighted log age and [M/H]; the bands are those of `BANDS`. A column ``GALAXY`` keeps galaxies together.
"""

from __future__ import annotations

import sys
from pathlib import Path

from astropy.table import Table

from napari_sfh.estimate import EstimateConfig, estimate_objects
from napari_sfh.training.fitting.recipe import load_recipe
from napari_sfh.training.fitting.training_run import TrainingOptions, train_bundle

#: Centres and widths of the bands, Angstrom.
BANDS = {"B1": (4950, 150), "B2": (5400, 150), "B3": (6050, 150), "B4": (6750, 150)}
#: For a real training: more objects, width 128, hidden 256, 30 epochs and more.
RECIPE = """
name = "own-labels"
summary = "light-weighted age and [M/H] from four bands"
prior = "tiny"
instrument = "{instrument}"
n = 1000
architecture = "stem"
loss = "gaussian"

[targets]
kind = "scalars"
names = ["lg_age_lw", "mh_lw"]

[network]
width = 32
hidden = 48
photometry = 16
latent = 6
decoder = 16

[fit]
batch = 64
learning_rate = 3e-3
schedule = "cosine"
epochs = {epochs}

[posterior]
passes = 1
epochs = 3
batch = 128
transforms = 2
hidden = [24]
calibration_draws = 60
"""


def main(table: Path, folder: Path, epochs: int = 15) -> Table:
    """Train on a table, then estimate the same rows: a check that the columns are understood, no test."""
    folder.mkdir(parents=True, exist_ok=True)
    text = 'name = "own-bands"\nsummary = "four bands"\n\n[photometry]\nnorm = "median"\n'
    for name, (centre, width) in BANDS.items():
        text += f'\n[[band]]\nname = "{name}"\ncentre_aa = {centre}.0\nfwhm_aa = {width}.0\n'
    instrument, recipe = folder / "own-bands.toml", folder / "own-labels.toml"
    instrument.write_text(text, encoding="utf-8")
    recipe.write_text(RECIPE.format(instrument=instrument.resolve(), epochs=epochs), encoding="utf-8")
    options = TrainingOptions(folder / "run", data=table, device="cpu", threads=1, quiet=True)
    weights = train_bundle(load_recipe(recipe), options)
    done = estimate_objects(EstimateConfig((table,), folder / "estimates.fits", model=str(weights)))
    print(f"{done.n_estimated} of {done.n_rows} rows: {done.path}")
    return Table.read(done.path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
