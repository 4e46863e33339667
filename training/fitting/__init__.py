"""From a recipe to a weights bundle: point network, posterior, calibration, release."""
