"""Band fluxes without a mosaic: rows of catalogues, and bands cut from cubes and spectra."""
