"""Many galaxies: Dask workers, reruns, reports."""
