"""The state of a training run: checkpoints, the best weights, early stopping."""
