"""How good answers are: figures, their confidence intervals, and the signatures that make them comparable."""
