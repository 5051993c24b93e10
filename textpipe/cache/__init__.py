"""Content-addressed results: cache keys, storage, and integrity checks."""
