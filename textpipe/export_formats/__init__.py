"""Export formats for other inference engines, one module each; stages/export.py writes the SavedModel."""
