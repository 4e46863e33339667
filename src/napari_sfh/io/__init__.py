"""Files in, files out: cubes, mosaics, MAPS, nGIST tables and result files."""
