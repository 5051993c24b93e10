"""A synchronous grammar that derives an English sentence and its German translation from one tree."""
