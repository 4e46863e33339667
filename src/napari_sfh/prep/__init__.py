"""From files to what the network may see: bins, spectra at rest, photometry per bin."""
