"""The way of a row as one graph, and the SavedModel written from it."""
