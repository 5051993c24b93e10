"""Smart reply: rank the replies of a response set for a message, best first.

Its sources may be other fields, chosen in the pipeline file:
task = { kind = "suggest", fields = { subject = "text", body = "text" }, target = "reply" }
"""

import math
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from textpipe.config import chosen_fields
from textpipe.config.fields import Field

FIELDS = (Field("message", "source", "text"), Field("reply", "target", "text"))
STAGES = ("ingest", "normalize", "tokenize", "vectorize", "responses", "train", "evaluate", "export")
OBJECTIVE = {"vectors": "in_batch", "tokens": "sequence"}  # by what the model gives
ANSWER = "ranking"
METRICS = {"perplexity": "min"} | dict.fromkeys(
    (
        "suggested",
        "fires",
        "mrr",
        "p_at_1",
        "p_at_3",
        "p_at_10",
        "p_at_20",
        "one_of_100",
        "coverage",
        "mrr_by_frequency",
    ),
    "max",
)
RANGES = {**dict.fromkeys(METRICS, (0, 1)), "perplexity": (1, math.inf)}
VIEW = "replies"  # the page shows replies as buttons
TEMPLATE = "suggest"  # what `textpipe new` writes


def choose_fields(line: str) -> ModuleType:
    """This task with the fields of a line: "suggest(subject: text, body: text) -> reply"."""
    return chosen_fields.with_fields(sys.modules[__name__], line)


def metrics(
    outputs: Mapping[str, Any], references: Sequence[str], *, resamples: int = 1000, seed: int = 1
) -> dict[str, Any]:
    """Scores of what the signature serving_default gave for N rows; how replies rank is measured by answers/ranking.py.

    outputs: replies [N, 3], and with a trigger fires [N]. suggested: the share of rows whose own reply, but for case and punctuation,
    is one of the three; fires: the share that the trigger chooses.
    """
    import numpy as np

    from textpipe.metrics import bootstrap
    from textpipe.text.canonical import canonical

    is_suggested = np.array(
        [
            canonical(reference) in {canonical(str(reply)) for reply in replies}
            for replies, reference in zip(outputs.get("replies", ()), references, strict=True)
        ],
        np.float64,
    )
    if not len(is_suggested):
        return {"metrics": {"suggested": None}, "intervals": {}}
    report: dict[str, Any] = {"metrics": {"suggested": float(is_suggested.mean())}, "intervals": {}}
    if "fires" in outputs:
        report["metrics"]["fires"] = float(np.mean(outputs["fires"]))
    if resamples:
        sums = bootstrap.confidence_interval(
            is_suggested[:, None], lambda total: total[0], resamples=resamples, seed=seed
        )
        report["intervals"]["suggested"] = [bound / len(is_suggested) for bound in sums]
    return report
