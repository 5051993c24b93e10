"""Hyperparameter search over a pipeline file: `textpipe tune`."""
