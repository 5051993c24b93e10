"""The next token of a text from those before it: language modelling (Bengio et al. 2003), as the objective `sequence` without a source."""

from textpipe.objectives.sequence import COUNTS, R_DROP, draws, figures, gradients, sums, weight

NEEDS = "next"
TOKEN = "predicts the next token of the text"
METRICS = {"valid_loss": "min", "valid_accuracy": "max", "valid_perplexity": "min"}
# Settings of [train] without effect, and why.
UNUSED = {
    **dict.fromkeys(("valid_bleu_rows", "class_weight", "calibration"), TOKEN),
    "word_dropout": "reads the tokens that it predicts; the encoder's word_dropout drops their vectors",
}

__all__ = ["COUNTS", "METRICS", "NEEDS", "R_DROP", "UNUSED", "draws", "figures", "gradients", "sums", "weight"]
