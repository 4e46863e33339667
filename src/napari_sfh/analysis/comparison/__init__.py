"""Other results for the same galaxy: another run, pPXF, GIST/nGIST, DAP MAPS, a mock's truth."""
