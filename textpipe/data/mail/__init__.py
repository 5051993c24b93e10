"""Reading mail: charsets, headers, MIME's structure, and where a mail begins in an mbox."""
