"""Explanations of answers: the words that pushed a decision, and the strongest features of a linear model."""
