"""Rows: read from files, mended, split, and written as shards; data sets and their downloads."""
