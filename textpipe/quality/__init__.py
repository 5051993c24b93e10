"""What a data set is made of, and what is wrong with it: duplicates, leaks, contradictions, languages, personal data."""
