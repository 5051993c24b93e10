"""Exported models: files, signatures, loading and publishing."""
