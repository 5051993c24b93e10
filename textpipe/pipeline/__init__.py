"""Pipeline files: written by `textpipe new`, loaded, planned and run."""
