"""Inference with exported models: row by row, in bulk, from Python, from a server."""
