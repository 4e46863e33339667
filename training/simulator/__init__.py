"""The forward model: from drawn parameters to noisy spectra and photometry, on disk or on the fly."""
