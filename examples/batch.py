"""Run many galaxies one after the other, skip what is done, and put the results into one table.

    python batch.py FOLDER_OF_GALAXIES RESULTS

Every folder in FOLDER_OF_GALAXIES is one galaxy. A galaxy that fails stops no other. On several cores or a cluster use
`napari-sfh run FOLDERS... --output RESULTS --workers N`, which also runs again what was made by other settings.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from astropy.table import Table

import napari_sfh

#: Milky Way E(B-V) by the name of the folder; 0 where none is named.
EBV_MW = {"NGC0628": 0.062, "NGC1087": 0.030}


def run_once(folder: Path, output: Path) -> napari_sfh.Result:
    """The result of a galaxy: read where it is there, else computed and written."""
    if output.is_file():
        return napari_sfh.read_result(output)
    config = napari_sfh.configure_run(folder, ebv_mw=EBV_MW.get(folder.name, 0.0), target_snr=50.0)
    result = napari_sfh.run(config)
    napari_sfh.write_result(result, output)
    return result


def main(galaxies: Path, results: Path) -> Table:
    """Run all galaxies; a row for each that is done."""
    results.mkdir(parents=True, exist_ok=True)
    rows = []
    for folder in sorted(path for path in galaxies.iterdir() if path.is_dir()):
        try:
            result = run_once(folder, results / f"{folder.name}_sfh.fits")
        except (napari_sfh.SfhInputError, napari_sfh.ComputeError) as error:
            print(f"{folder.name}: failed: {error}")
            continue
        known = result.prediction.ood < 1  # leave out what the network does not know
        age = result.prediction.median("lg_age_lw")[known]
        rows.append({"name": folder.name, "bins": result.bins.n_bins, "known": known.sum(), "lg_age_lw": np.mean(age)})
        print(f"{folder.name}: {result.bins.n_bins} bins")
    table = Table(rows)
    table.write(results / "galaxies.ecsv", overwrite=True)
    return table


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])))
