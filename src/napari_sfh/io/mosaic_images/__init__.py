"""Images of mosaics: what their headers say, cutouts of them, their noise, their weight maps."""
