"""Every figure of Galceran et al. (2026) for any weights that predict histories."""
