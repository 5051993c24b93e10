"""The process textpipe runs in: threads, oneDNN, the garbage collector, stderr, folders and memory."""
