"""Encoders, found by file name: from the tokens of a text to a vector for each of them."""
