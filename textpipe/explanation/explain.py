"""Explain one row: exactly for a linear model, by leaving words out for any other."""

from typing import Any

from textpipe.errors import ConfigError, ModelError, suggest
from textpipe.explanation import linear, occlusion
from textpipe.explanation.result import Explanation
from textpipe.explanation.subject import Subject
from textpipe.inference.cells import kinds_of


def explain(subject: Subject, row: Any, *, label: str | None = None) -> Explanation:
    """Each word's contribution to the answer for a row, a text or a dict by field.

    label: the class to explain; by default the answer, and the most probable label where a row has any number of them.
    Raises ConfigError for an unknown class, DataError for an invalid row, ModelError for a model that cannot be explained.
    """
    if picture := next((name for name, kind in kinds_of(subject).items() if hasattr(kind, "parser")), None):
        raise ModelError(
            f"{subject.name}: reads pictures ({picture!r}), and explain leaves out words of texts; `textpipe attention` draws where a "
            "model looks"
        )
    cells = subject.row(row)
    outputs = subject.answer(cells)
    labels = list(outputs.get("labels") or ()) if "probabilities" in outputs else []
    if label is not None and label not in labels:
        if not labels:
            raise ConfigError(f"--label {label}: {subject.name} does not answer with classes; leave it out")
        raise ConfigError(f"--label {label}: {subject.name} has no such class{suggest(label, labels)}")
    if not labels:
        return occlusion.explain(subject, cells, outputs, None)
    probabilities = outputs["probabilities"]
    chosen = labels.index(label) if label is not None else max(range(len(labels)), key=probabilities.__getitem__)
    weights = linear.Linear.of(subject)
    exact = linear.explain(subject, weights, cells, outputs, chosen) if weights else None
    return exact or occlusion.explain(subject, cells, outputs, labels[chosen])
