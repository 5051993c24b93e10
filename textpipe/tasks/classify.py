"""Classification: assign one of a closed set of labels to a text.

A pipeline file may choose other fields:
task = { kind = "classify", fields = { subject = "text", body = "text", recipients = "number" }, target = "answered" }
"""

import math
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
    **dict.fromkeys(("log_loss", "calibration_error", "uncalibrated_error"), "min"),
    # With [answer] out_of_scope:
    **dict.fromkeys(("in_scope_accuracy", "class_accuracy", "out_of_scope_auroc"), "max"),
    "out_of_scope_fpr95": "min",
    **dict.fromkeys(("out_of_scope_f1", "out_of_scope_precision", "out_of_scope_recall"), "max"),
}
RANGES = {**dict.fromkeys(METRICS, (0, 1)), "log_loss": (0, math.inf)}
TEMPLATE = "classify"  # what `textpipe new` writes


def choose_fields(line: str) -> ModuleType:
    """Return this task with the fields of a signature: "classify(subject: text, body: text) -> answered"."""
    return chosen_fields.with_fields(sys.modules[__name__], line)


def metrics(
    outputs: Mapping[str, Any],
    references: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 1,
    out_of_scope: str | None = None,
) -> dict[str, Any]:
    """Score the outputs of the signature serving_default for N rows; see metrics.classification.score.

    outputs: answer [N], labels [N, C] and probabilities [N, C]. All metrics are None if there are no rows. out_of_scope: the label of rows
    without a class; outputs then have scope [N], and metrics.classification.score_with_scope tells what is scored.
    """
    from textpipe.metrics import classification

    labels = [str(label) for label in outputs["labels"][0]] if len(references) else []
    if out_of_scope is not None:
        return classification.score_with_scope(
            labels, outputs, references, out_of_scope, resamples=resamples, seed=seed
        )
    return classification.score(
        labels, outputs["probabilities"], references, outputs["answer"], resamples=resamples, seed=seed
    )
