"""Describe a spectrograph of your own, and look at what a network would be shown of it.

    python own_instrument.py OUTPUT_FOLDER

The TOML file is all that `napari-sfh-train templates --instrument FILE` and `train --instrument FILE` need.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from napari_sfh.instruments.files import load_instrument, make_band_filters
from napari_sfh.instruments.instrument import Instrument

INSTRUMENT = """
name = "my-ifu"
summary = "an IFU of R = 1800 in the blue, with two bands beside it"

[spectrum]
first_aa = 3800.0
last_aa = 7000.0
step_aa = 1.5
medium = "air"
sigma_kms = 150.0
norm_window_aa = [5300.0, 5500.0]

[spectrum.lsf]
kind = "constant_r"
r = 1800.0

[[band]]
name = "U"
centre_aa = 3600.0
fwhm_aa = 500.0
edge_aa = 60.0

[[band]]
name = "Z"
centre_aa = 9000.0
fwhm_aa = 900.0
edge_aa = 80.0
"""


def main(folder: Path) -> Instrument:
    """Write the instrument, read it back, draw it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "my-ifu.toml"
    path.write_text(INSTRUMENT, encoding="utf-8")
    instrument = load_instrument(path)  # an unknown key or an impossible grid is refused here
    print("\n".join(instrument.describe()))
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    axes.axvspan(instrument.wave_aa[0], instrument.wave_aa[-1], alpha=0.2, label="spectrum")
    for band in make_band_filters(instrument):
        axes.plot(band.wave_aa, band.throughput / np.max(band.throughput), label=band.name)
    axes.set(xlabel="wavelength (Å)", ylabel="response")
    axes.legend()
    figure.savefig(folder / "my-ifu.png", dpi=120)
    return instrument


if __name__ == "__main__":
    main(Path(sys.argv[1]))
