"""Captioning: answer a picture with a sentence about it."""

from collections.abc import Mapping, Sequence
from typing import Any

from textpipe.config.fields import Field

FIELDS = (Field("image", "source", "image"), Field("caption", "target", "text"))
OBJECTIVE = "sequence"
ANSWER = "text"
METRICS = {
    **dict.fromkeys(("cider", "bleu", "bleu_lowercased", "chrf", "exact_match", "length_ratio"), "max"),
    "distinct_answers": "max",
    **dict.fromkeys(("ter", "empty_answers", "perplexity", "unknown_in_answers"), "min"),
}
TEMPLATE = "generate"  # what `textpipe new` writes


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
    grouped = [[one] if isinstance(one, str) else list(one) for one in references]
    table["metrics"] = {"cider": cider.score(outputs["answer"], grouped), **table["metrics"]}
    return table
