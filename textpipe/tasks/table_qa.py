"""Questions about a table: answer with cells of the table, or with a number computed from it."""

from collections.abc import Mapping, Sequence
from typing import Any

from textpipe.config.fields import Field

FIELDS = (
    Field("table", "source", "table"),
    Field("question", "source", "text"),
    Field("denotation", "target", "denotation"),
)
OBJECTIVE = "denotation"
ANSWER = "denotation"
METRICS = {"accuracy": "max", "answered": "max", "answered_accuracy": "max"}


def metrics(
    outputs: Mapping[str, Any], references: Sequence[str], *, resamples: int = 1000, seed: int = 1
) -> dict[str, Any]:
    """Score the outputs `program_answer` and `answer` [N] of the signature serving_default; see metrics.denotation.score."""
    from textpipe.metrics import denotation

    return denotation.score(outputs["program_answer"], outputs["answered"], references, resamples=resamples, seed=seed)
