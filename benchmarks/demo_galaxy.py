"""The bundled mock galaxy, prepared for measurements of single steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_sfh import demo
from napari_sfh.io.cubes import read_cube
from napari_sfh.io.identify import find_galaxy_files
from napari_sfh.model.bundle import load_bundle
from napari_sfh.pipeline import run_pipeline
from napari_sfh.prep import binning, spectra
from napari_sfh.types import Observation


class DemoGalaxy:
    """Cube, bins, spectra and bands of the bundled mock galaxy."""

    def __init__(self) -> None:
        self.files = find_galaxy_files(demo.find_demo_folder())
        self.cube = read_cube(self.files.cube)
        self.redshift = float(self.cube.redshift or 0.0)
        self.bundle = load_bundle()
        self.grid = self.bundle.instrument.grid
        self.spaxels = binning.measure_signal_noise(self.cube, self.redshift, self.grid.norm_window_aa)
        self.bins = binning.bin_spaxels(self.spaxels, 35.0)
        channels = spectra.find_channel_range(self.cube, self.redshift, self.grid)
        self.spectra = spectra.extract_bin_spectra(self.cube, self.bins, channels, self.spaxels.signal)
        self.result = run_pipeline(demo.make_demo_config("cpu"))

    def some_spectra(self, n: int) -> spectra.BinSpectra:
        """The first n bins, or all of them again and again."""
        rows = np.arange(n) % self.spectra.n_bins
        s = self.spectra
        return replace(s, flux=s.flux[rows], variance=s.variance[rows], good=s.good[rows])

    def some_bins(self, n: int) -> Observation:
        """As `some_spectra`, as the network takes them."""
        return self.result.data.select(np.arange(n) % self.result.bins.n_bins)
