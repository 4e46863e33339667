"""A cube before any run: spectra of spaxels and apertures, images over ranges of wavelength."""
