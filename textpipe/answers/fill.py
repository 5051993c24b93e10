"""The answer is the text itself, with its masks filled, and a vector of the text."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.answers.label import join, names, score_line, score_row, score_summary, score_totals, word_metrics
from textpipe.config.sections import Section
from textpipe.errors import ConfigError

if TYPE_CHECKING:
    from textpipe.answers._fill import Output
    from textpipe.servable.tracing import Graph

VIEW = "fills"
DECODES = False  # [decode] has no effect
SCORES: tuple[str, ...] = ()
WORD_NOTES: tuple[str, ...] = ()


def check(task: str, *, decode: Section, bounds: Mapping[str, float] | None = None, join_sources: bool = False) -> None:
    """Raise ValueError for settings of generators: bounds of options, and several references."""
    if bounds:
        raise ValueError(f"bounds: {task} fills masks and has no options; leave bounds out")
    if join_sources:
        raise ValueError(f"join_sources: {task} has no references; leave join_sources out")


def check_ensemble(model: str) -> None:
    """Raise ConfigError: pre-trained models are not ensembled."""
    raise ConfigError(
        f"ensemble: {model} fills masks; only models that generate text or answer with a label can be ensembled"
    )


def output(
    graph: "Graph", *, decode: Section, lexicon: Mapping[str, str] | None, bounds: Mapping[str, float] | None, attends: bool,
    artifacts: Mapping[str, Path],
) -> "Output":  # fmt: skip
    """The outputs of a graph."""
    from textpipe.answers._fill import Output

    return Output(graph)


def stored_prediction(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of an answer that predictions.jsonl stores."""
    return {"answer": answer["answer"], "score": answer["score"]}


def extra_metrics(
    graph: "Graph", raw: Mapping[str, Sequence[Any]], references: Sequence[str], answers: Sequence[str], batch_rows: int
) -> tuple[dict[str, float], list[str]]:
    """token_accuracy and perplexity of the predicted tokens: the masked ones, or all but the first for a causal model."""
    import tensorflow as tf

    from textpipe.config import plugins
    from textpipe.savedmodel.model_rows import encode

    objective = plugins.find("objectives", "next_token" if graph.model.causal else "masked_tokens")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def predicted(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        return objective.sums(graph.model, {}, graph.encode(graph.source, texts))

    texts = sorted(raw[graph.source], key=len)
    totals = dict.fromkeys(("loss", "correct", "weight"), 0.0)
    for start in range(0, len(texts), batch_rows):
        for name, value in predicted(tf.constant([encode(text) for text in texts[start : start + batch_rows]])).items():
            totals[name] += float(value)
    if not totals["weight"]:
        return {}, ["no tokens to predict."]
    which = "next" if graph.model.causal else "masked"
    note = (
        f"perplexity and token_accuracy: over {totals['weight']:.0f} {which} tokens of this model's vocabulary; not comparable between models "
        "with different vocabularies."
    )
    perplexity = math.exp(min(totals["loss"] / totals["weight"], 700.0))
    return {"token_accuracy": totals["correct"] / totals["weight"], "perplexity": perplexity}, [note]


def answer_metrics(graph: "Graph", answers: Sequence[str]) -> dict[str, float]:
    """Nothing in addition."""
    return {}


__all__ = [
    "DECODES",
    "SCORES",
    "VIEW",
    "WORD_NOTES",
    "answer_metrics",
    "check",
    "check_ensemble",
    "extra_metrics",
    "join",
    "names",
    "output",
    "score_line",
    "score_row",
    "score_summary",
    "score_totals",
    "stored_prediction",
    "word_metrics",
]
