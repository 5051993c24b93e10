"""A text gets one of a closed set of labels."""

from collections.abc import Mapping, Sequence
from typing import Any

from textpipe.fields import Field

FIELDS = (Field("text", "source", "text"), Field("label", "target", "label"))
OBJECTIVE = "softmax"
METRICS = (
    *("accuracy", "f1_macro", "precision_macro", "recall_macro", "f1", "precision", "recall"),
    *("roc_auc", "log_loss", "calibration_error"),
)
LESS_IS_BETTER = ("log_loss", "calibration_error")


def metrics(
    outputs: Mapping[str, Any], references: Sequence[str], *, resamples: int = 1000, seed: int = 1
) -> dict[str, Any]:
    """Scores of what the signature serving_default gave for N rows; see scores.classification.score.

    outputs: answer [N], labels [N, C] and probabilities [N, C]; of no rows, an empty report.
    """
    from textpipe.scores import classification

    labels = [str(label) for label in outputs["labels"][0]] if len(references) else []
    return classification.score(
        labels, outputs["probabilities"], references, outputs["answer"], resamples=resamples, seed=seed
    )
