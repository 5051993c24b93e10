"""Mail parsing: charsets, headers, MIME structure and mbox files."""
