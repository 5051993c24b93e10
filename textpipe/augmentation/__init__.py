"""Synthetic rows: texts translated by a trained model, as further training rows."""
