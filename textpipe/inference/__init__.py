"""Answers from an exported model: row by row, in bulk, from Python, from a server."""
