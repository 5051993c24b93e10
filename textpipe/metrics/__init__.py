"""Evaluation metrics, their confidence intervals, significance tests, and sacrebleu signatures."""
