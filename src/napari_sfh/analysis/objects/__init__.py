"""Tables of estimates: catalogues' rows and single spectra, which lie on no map."""
