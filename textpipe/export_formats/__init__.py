"""Forms of a model for other engines, one a module; the SavedModel is written by stages/export.py."""
