"""Stellar velocity and dispersion of the bins: constants, MAPS, pPXF, or the fast fit on the template basis."""
