"""Table question answering: answer a question with cells of a table, or with a number computed from it."""

from collections.abc import Mapping, Sequence
from types import ModuleType
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
RANGES = dict.fromkeys(METRICS, (0, 1))
TEMPLATE = "table_qa"  # what `textpipe new` writes: `template` below


def template(size: Any, task: ModuleType, *, mail: bool) -> str:
    """The tables that `textpipe new table_qa` writes after [ingest]; size: pipeline.templates.Size."""
    few = size.rows < 5000
    epochs = max(10, min(40, 200_000 // max(size.rows, 1)))
    return f"""\
[normalize]
steps = ["unicode", "whitespace"]

[tokenize]
codec = "none"                      # words are hashed in the graph

[vectorize]
features = {{ kind = "question", min_count = {5 if few else 10} }}   # rarer words are looked for in the cells

[model]
kind = "neural_programmer"
units = {64 if few else 128}
passes = 4

[train]
epochs = {epochs}
batch_rows = 32
optimizer = {{ kind = "adam", learning_rate = {0.003 if few else 0.001} }}
clip_norm = 1.0
metric = "valid_accuracy"

[evaluate.require]
# accuracy = 0.3                    # below this nothing is exported
"""


def metrics(
    outputs: Mapping[str, Any], references: Sequence[str], *, resamples: int = 1000, seed: int = 1
) -> dict[str, Any]:
    """Score the outputs `program_answer` and `answer` [N] of the signature serving_default; see metrics.denotation.score."""
    from textpipe.metrics import denotation

    return denotation.score(outputs["program_answer"], outputs["answered"], references, resamples=resamples, seed=seed)
