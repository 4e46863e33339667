"""Templates, simulation, training, evaluation and release: everything that makes a weights bundle."""
