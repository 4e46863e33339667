"""Forms: the files and settings of a run, the preflight, the preferences."""
