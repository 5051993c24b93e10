"""Gradient checks: the gradients of the training step against central differences in float64."""
