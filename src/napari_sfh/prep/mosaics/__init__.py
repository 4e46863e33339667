"""HST mosaics on the pixels of the cube: sky level, point-spread function, alignment, fluxes of bins."""
