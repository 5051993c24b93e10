"""Pre-training: learn an encoder from texts without labels, for [train] init of a task with few labels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from textpipe.config.fields import Field

FIELDS = (Field("text", "source", "text"), Field("filled", "target", "text", column_of="text"))
OBJECTIVE = {"masked": "masked_tokens", "next": "next_token"}  # by what the model gives
ANSWER = "fill"
VIEW = "texts"  # how the page shows filled texts
METRICS = {"unchanged": "max", "token_accuracy": "max", "perplexity": "min"}
RANGES = {**dict.fromkeys(METRICS, (0, 1)), "perplexity": (1, math.inf)}
TEMPLATE = "pretrain"  # what `textpipe new` writes


def metrics(
    outputs: Mapping[str, Any], references: Sequence[str], *, resamples: int = 1000, seed: int = 1
) -> dict[str, Any]:
    """unchanged: the share of texts without masks that come back as they are, but for normalization; it falls with unknown and cut tokens.

    outputs: answer [N]. Accuracy and perplexity of predicted tokens come from answers/fill.py.
    """
    if not len(references):
        return {"metrics": {"unchanged": None}, "intervals": {}}
    same = [
        simple(str(answer)) == simple(reference)
        for answer, reference in zip(outputs["answer"], references, strict=True)
    ]
    return {"metrics": {"unchanged": sum(same) / len(same)}, "intervals": {}}


def simple(text: str) -> str:
    """Case-folded letters and digits only, as normalization and detokenization change the rest."""
    from textpipe.text.canonical import canonical

    return canonical(text)
