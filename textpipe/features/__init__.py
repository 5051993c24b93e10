"""What a model reads of a field: token ids, hashed n-gram counts, TF-IDF, class numbers."""
