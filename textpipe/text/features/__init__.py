"""What a model reads of a text: token ids, hashed n-gram counts, TF-IDF."""
