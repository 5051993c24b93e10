"""The graph from raw rows to answers, and the SavedModel written from it."""
