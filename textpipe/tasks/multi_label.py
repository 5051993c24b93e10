"""A text gets any number of a closed set of labels.

Its sources may be other fields, chosen in the pipeline file:
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
TEMPLATE = "multi_label"  # what `textpipe new` writes
ANSWER = "labels"
OBJECTIVE = "sigmoid"


def choose_fields(line: str) -> ModuleType:
    """This task with the fields of a line: "multi_label(subject: text, body: text) -> tags"."""
    return chosen_fields.with_fields(sys.modules[__name__], line)


def metrics(
    outputs: Mapping[str, Any], references: Sequence[str | Sequence[str]], *, resamples: int = 1000, seed: int = 1
) -> dict[str, Any]:
    """Scores of what the signature serving_default gave for N rows; see scores.multi_label.score.

    outputs: answer [N], the names that apply, parted by "|"; labels [N, C] and probabilities [N, C]. references: the
    names of each row, so parted or a sequence. Of no rows, an empty report.
    """
    from textpipe.kinds.labels import parse
    from textpipe.metrics import multi_label

    labels = [str(label) for label in outputs["labels"][0]] if len(references) else []
    references = [parse(names) if isinstance(names, str) else names for names in references]
    answers = [parse(str(answer)) for answer in outputs["answer"]]
    return multi_label.score(labels, outputs["probabilities"], references, answers, resamples=resamples, seed=seed)
