"""Studies of the method: families left out, training size, retraining bound, camera substitution, narrow bands."""
