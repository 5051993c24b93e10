"""Translation: answer a sentence with its translation into another language."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from textpipe.config.fields import Field

FIELDS = (Field("source", "source", "text"), Field("target", "target", "text"))
OBJECTIVE = "sequence"
ANSWER = "text"
METRICS = {
    **dict.fromkeys(("bleu", "bleu_lowercased", "chrf", "exact_match", "length_ratio", "distinct_answers"), "max"),
    **dict.fromkeys(("ter", "empty_answers", "perplexity", "unknown_in_answers"), "min"),
}
RANGES = {
    **dict.fromkeys(METRICS, (0, math.inf)),
    **dict.fromkeys(("bleu", "bleu_lowercased", "chrf"), (0, 100)), "exact_match": (0, 1), "perplexity": (1, math.inf),
}  # fmt: skip
TEMPLATE = "generate"  # what `textpipe new` writes


def metrics(
    outputs: Mapping[str, Any],
    references: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 1,
    bleu_tokenizer: str = "auto",
) -> dict[str, Any]:
    """Score the output `answer` [N] of the signature serving_default; see metrics.generation.score."""
    from textpipe.metrics import generation

    return generation.score(
        outputs["answer"], references, resamples=resamples, seed=seed, bleu_tokenizer=bleu_tokenizer
    )
