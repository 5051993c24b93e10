"""Multi-label classification: assign any number of a closed set of labels to a text.

A pipeline file may choose other fields:
task = { kind = "multi_label", fields = { subject = "text", body = "text" }, target = "tags" }
"""

import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from textpipe.config import chosen_fields
from textpipe.config.fields import Field

FIELDS = (Field("text", "source", "text"), Field("labels", "target", "labels"))
METRICS = {
    **dict.fromkeys(("f1_micro", "f1_macro", "precision_micro", "recall_micro"), "max"),
    **dict.fromkeys(("subset_accuracy", "average_precision"), "max"),
    "hamming_loss": "min",
}
RANGES = dict.fromkeys(METRICS, (0, 1))
TEMPLATE = "multi_label"  # what `textpipe new` writes
ANSWER = "labels"
OBJECTIVE = "sigmoid"


def choose_fields(line: str) -> ModuleType:
    """Return this task with the fields of a signature: "multi_label(subject: text, body: text) -> tags"."""
    return chosen_fields.with_fields(sys.modules[__name__], line)


def metrics(
    outputs: Mapping[str, Any], references: Sequence[str | Sequence[str]], *, resamples: int = 1000, seed: int = 1
) -> dict[str, Any]:
    """Score the outputs of the signature serving_default for N rows; see metrics.multi_label.score.

    outputs: answer [N], the assigned labels separated by "|"; labels [N, C] and probabilities [N, C]. references: the
    labels of each row, separated by "|" or as a sequence. All metrics are None if there are no rows.
    """
    from textpipe.kinds.labels import parse
    from textpipe.metrics import multi_label

    labels = [str(label) for label in outputs["labels"][0]] if len(references) else []
    references = [parse(names) if isinstance(names, str) else names for names in references]
    answers = [parse(str(answer)) for answer in outputs["answer"]]
    return multi_label.score(labels, outputs["probabilities"], references, answers, resamples=resamples, seed=seed)
