"""Objects that are no cube: catalogues of photometry, single spectra, band images."""
