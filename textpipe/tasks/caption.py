"""Captioning: answer a picture with a sentence about it."""

import math
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from textpipe.config.fields import Field
from textpipe.tasks import translate

FIELDS = (Field("image", "source", "image"), Field("caption", "target", "text"))
OBJECTIVE = "sequence"
ANSWER = "text"
METRICS = {
    **dict.fromkeys(("cider", "bleu", "bleu_lowercased", "chrf", "exact_match", "length_ratio"), "max"),
    "distinct_answers": "max",
    **dict.fromkeys(("ter", "empty_answers", "perplexity", "unknown_in_answers"), "min"),
}
RANGES = {**translate.RANGES, "cider": (0, math.inf)}
TEMPLATE = "caption"  # what `textpipe new` writes: `template` below


def template(size: Any, task: ModuleType, *, mail: bool) -> str:
    """The tables that `textpipe new caption` writes after [ingest]; size: pipeline.templates.Size."""
    epochs = max(5, min(60, 300_000 // max(size.rows, 1)))
    return f"""\
[normalize]
steps = ["unicode", "whitespace"]

[tokenize]
codec = {{ kind = "unigram", vocab_size = {1000 if size.rows < 5000 else 4000} }}

[vectorize]
features = {{ kind = "pixels", height = 64, width = 64 }}   # all pictures are stretched to one size
target = {{ max_length = 48 }}

[model]
kind = "captioner"
encoder = {{ kind = "image", patch = 4, filters = [64, 128], blocks = 1 }}
decoder = {{ kind = "recurrent", units = 128, embedding_size = 128, attention_size = 64, dropout = 0.3 }}

[train]
epochs = {epochs}
batch_rows = 32
optimizer = {{ kind = "adam", learning_rate = 0.002 }}
schedule = {{ kind = "cosine", warmup_steps = 100, lowest = 0.02 }}
clip_norm = 1.0

[decode]
kind = "beam"
beam_size = 4
max_length = 48
"""


def metrics(
    outputs: Mapping[str, Any],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    resamples: int = 1000,
    seed: int = 1,
    bleu_tokenizer: str = "auto",
) -> dict[str, Any]:
    """Score the output `answer` [N] of the signature serving_default; see metrics.generation.score and metrics.cider.

    references: a caption per picture, or a list of captions.
    """
    from textpipe.metrics import cider, generation

    table = generation.score(
        outputs["answer"], references, resamples=resamples, seed=seed, bleu_tokenizer=bleu_tokenizer
    )
    grouped = [[captions] if isinstance(captions, str) else list(captions) for captions in references]
    table["metrics"] = {"cider": cider.score(outputs["answer"], grouped), **table["metrics"]}
    return table
