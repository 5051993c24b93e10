"""Start from the weights of another run."""
