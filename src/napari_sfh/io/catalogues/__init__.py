"""Catalogues of photometry: FITS, ECSV, CSV and VOTable, read and written in blocks of rows."""
