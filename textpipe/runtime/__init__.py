"""The process: threads, oneDNN, garbage collection, stderr, temporary folders, errors of the environment."""
