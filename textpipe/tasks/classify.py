"""A text gets one of a closed set of labels.

Its sources may be other fields, chosen in the pipeline file:
task = { kind = "classify", fields = { subject = "text", body = "text", recipients = "number" }, target = "answered" }
"""

import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from textpipe.config import chosen_fields
from textpipe.config.fields import Field

FIELDS = (Field("text", "source", "text"), Field("label", "target", "label"))
OBJECTIVE = "softmax"
ANSWER = "label"
METRICS = {
    **dict.fromkeys(("accuracy", "f1_macro", "precision_macro", "recall_macro", "f1", "precision", "recall"), "max"),
    "roc_auc": "max",
    **dict.fromkeys(("log_loss", "calibration_error"), "min"),
}
TEMPLATE = "classify"  # what `textpipe new` writes


def choose_fields(line: str) -> ModuleType:
    """This task with the fields of a line: "classify(subject: text, body: text) -> answered"."""
    return chosen_fields.with_fields(sys.modules[__name__], line)


def metrics(
    outputs: Mapping[str, Any], references: Sequence[str], *, resamples: int = 1000, seed: int = 1
) -> dict[str, Any]:
    """Scores of what the signature serving_default gave for N rows; see scores.classification.score.

    outputs: answer [N], labels [N, C] and probabilities [N, C]; of no rows, an empty report.
    """
    from textpipe.metrics import classification

    labels = [str(label) for label in outputs["labels"][0]] if len(references) else []
    return classification.score(
        labels, outputs["probabilities"], references, outputs["answer"], resamples=resamples, seed=seed
    )
