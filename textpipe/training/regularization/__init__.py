"""Regularization: word dropout, mixup, R-Drop, scheduled and subword sampling, and moving averages of the weights."""
