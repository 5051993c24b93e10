"""Kinds of column values: text, label, labels, number."""
