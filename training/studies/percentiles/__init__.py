"""The published posterior of mass percentiles, measured on its own terms."""
