"""What `estimate` does with rows of catalogues and with single spectra."""
