"""The settings of a classifier that `textpipe new` writes and that `textpipe.Classifier` has by default, by the size of the data."""

from typing import Any

STEPS = ["unicode", "casefold", "whitespace"]
MAX_CHARACTERS = 200_000_000  # in all training texts; with more, character n-grams take hours and too much memory
SHORT = 150  # characters of a text of a sentence or two, where pairs of words near each other help
MIN_VALID = 30  # validation rows; fewer cannot choose l2
# With more classes, L-BFGS would need many gigabytes: it keeps some twenty arrays of classes times n-grams.
MANY_CLASSES = 500

# Logistic regression, with the best of these l2 on valid or, with few validation rows, one that suits most data.
L2 = [3, 1, 0.3, 0.1, 0.03, 0.01]
FEW_ROWS_L2 = 0.1
FEED_FORWARD = {"kind": "feed_forward", "units": [256], "dropout": 0.5}


def features(num_characters: float, num_texts: float, num_classes: int = 0) -> dict[str, Any]:
    """[vectorize] features of texts with this many characters in all of train; docs/classification.md has the accuracies.

    num_classes: 0 if unknown. With many, n-grams that occur in one text alone and pairs are left out.
    """
    table: dict[str, Any] = {"kind": "tfidf", "words": [1, 2]}
    many = num_classes > MANY_CLASSES
    weights: dict[str, float] = {}
    if num_characters <= MAX_CHARACTERS:
        table["characters"] = [2, 5]
        weights["characters"] = 0.7
    if not many and 0 < num_characters <= min(SHORT * num_texts, MAX_CHARACTERS):
        table["pairs"] = 8
        weights["pairs"] = 0.7
    table |= {"frequency": "log", "idf_power": 0.5, "norm": "family"}
    if weights:
        table["weights"] = weights
    if many:
        table["min_df"] = 2
    return {**table, "marks": True}


def model(num_valid: float, *, several_labels: bool, num_classes: int = 0) -> dict[str, Any]:
    """[model], for this many validation rows and classes (0 if unknown)."""
    if several_labels:
        return FEED_FORWARD
    if num_classes > MANY_CLASSES:
        return {"kind": "logistic_regression", "loss": "squared_hinge", "l2": FEW_ROWS_L2}
    return {"kind": "logistic_regression", "l2": L2 if num_valid >= MIN_VALID else FEW_ROWS_L2}


def train(model: dict[str, Any], *, several_labels: bool, num_valid: float = 0, num_classes: int = 0) -> dict[str, Any]:
    """[train] for a [model]; with many classes its probabilities are calibrated, if there are enough validation rows."""
    if model["kind"] == "feed_forward" and several_labels:
        return {
            "epochs": 30, "batch_rows": 64, "optimizer": {"kind": "adam", "learning_rate": 0.002}, "schedule": "cosine",
            "early_stopping": {"metric": "valid_loss", "patience": 5},
        }  # fmt: skip
    if model["kind"] != "logistic_regression" or several_labels:
        return {}
    if model.get("loss", "logistic") == "logistic":
        return {"optimizer": "lbfgs"}
    calibrated = num_classes > MANY_CLASSES and num_valid >= MIN_VALID
    return {"optimizer": "liblinear", **({"calibration": "temperature"} if calibrated else {})}
