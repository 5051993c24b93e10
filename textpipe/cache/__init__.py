"""Content-addressed results: their keys, where they are stored, and whether they are intact."""
