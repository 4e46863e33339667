"""What files say, brought to one meaning on reading: units, coordinates, wavelengths, and what counts as missing."""
