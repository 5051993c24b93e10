"""Features that models read: token ids, hashed n-gram counts, TF-IDF, class indices, standardized numbers."""
