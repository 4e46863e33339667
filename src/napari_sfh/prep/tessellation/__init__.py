"""Steps of the tessellation that the libraries do slowly."""
