"""From files to BinData: bins, rest-frame spectra, matched photometry."""
