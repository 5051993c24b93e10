"""Which rows make a batch, in which order, and how large it may be."""
