"""Question answering: answer a question about a story, a list of sentences, with one of the answers of train.

{"story": ["Mary took the milk.", "Mary went to the garden."], "question": "Where is the milk?", "answer": "garden"}
"""

import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from textpipe.config import chosen_fields
from textpipe.config.fields import Field
from textpipe.tasks import classify

FIELDS = (
    Field("story", "source", "sentences"),
    Field("question", "source", "text"),
    Field("answer", "target", "answer"),
)
OBJECTIVE = "softmax"
ANSWER = "label"
METRICS = {"accuracy": "max", "error": "min", "unseen_answers": "min"} | {
    name: direction for name, direction in classify.METRICS.items() if "scope" not in name
}
RANGES = {**dict.fromkeys(METRICS, (0, 1)), "log_loss": classify.RANGES["log_loss"]}
TEMPLATE = "qa"  # what `textpipe new` writes: `template` below


def choose_fields(line: str) -> ModuleType:
    """This task with the fields of a line: "qa(dialogue: sentences, question: text) -> answer"."""
    return chosen_fields.with_fields(sys.modules[__name__], line)


def template(size: Any, task: ModuleType, *, mail: bool) -> str:
    """The tables that `textpipe new qa` writes after [ingest]; size: pipeline.templates.Size."""
    batches = max(1, size.rows // 32)
    epochs = max(5, min(100, 4000 // batches))  # some thousand updates
    return f"""\
[normalize]
# Of each sentence by itself, both in training and in the exported graph.
steps = ["unicode", "casefold", "punctuation", "whitespace"]

[tokenize]
codec = "words"

[vectorize]
features = {{ kind = "sentence_ids", max_sentences = 50 }}   # of a longer story the newest sentences

[model]
kind = "query_reduction"            # or "memory_network", "entity_network"
size = 50
layers = 2
l2 = {max(0.01, round(size.rows / 1000, 2)):<30} # over all rows of train; larger is smoother

[train]
epochs = {epochs}
batch_rows = 32
optimizer = {{ kind = "adam", learning_rate = 0.005 }}
schedule = {{ kind = "cosine", warmup_steps = 50, lowest = 0.05 }}
clip_norm = 5.0
metric = "valid_accuracy"

[evaluate.require]
# accuracy = 0.9                    # below this nothing is exported
"""


def metrics(
    outputs: Mapping[str, Any], references: Sequence[str], *, resamples: int = 1000, seed: int = 1
) -> dict[str, Any]:
    """Scores of the signature serving_default for N rows: those of classification, `error` = 1 - accuracy, and `unseen_answers`.

    outputs: answer [N], labels [N, C] and probabilities [N, C]. A reference that is not among the labels is an answer that train does not
    have: its row counts as wrong, with probability 0. unseen_answers: the share of such rows. All metrics are None if there are no rows.
    """
    import numpy as np

    from textpipe.metrics import classification

    known = [str(label) for label in outputs["labels"][0]] if len(references) else []
    unseen = sorted(set(references) - set(known))
    probabilities = np.asarray(outputs["probabilities"], np.float64).reshape(len(references), len(known))
    if unseen:
        probabilities = np.concatenate([probabilities, np.zeros((len(references), len(unseen)))], axis=1)
    report = classification.score(
        [*known, *unseen], probabilities, references, outputs["answer"], resamples=resamples, seed=seed
    )
    accuracy = report["metrics"]["accuracy"]
    shares: dict[str, float | None] = {"error": None, "unseen_answers": None}
    if accuracy is not None:
        shares = {
            "error": 1 - accuracy,
            "unseen_answers": float(np.mean([name in unseen for name in references])),
        }
    report["metrics"] = {"accuracy": accuracy, **shares, **report["metrics"]}
    if "accuracy" in report["intervals"]:
        low, high = report["intervals"]["accuracy"]
        report["intervals"]["error"] = [1 - high, 1 - low]
    return report
