"""Regularization: scheduled sampling, subword sampling, and moving averages of the weights."""
