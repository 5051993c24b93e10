"""Encoders, found by file name: a vector for each token of a text."""
