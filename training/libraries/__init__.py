"""Template libraries: fetched, read, completed and resampled for the forward model."""
