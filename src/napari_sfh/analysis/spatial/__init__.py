"""What neighbouring bins say of each other."""
