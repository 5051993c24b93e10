"""Answers that are texts, generated token by token by a decoder."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.config import plugins
from textpipe.config.sections import Section
from textpipe.decoding import _bounds

if TYPE_CHECKING:
    from textpipe.answers._text import Output
    from textpipe.servable.tracing import Graph

VIEW = "texts"
SCORES = ("log_prob", "tokens", "log_probs", "target_tokens", "cut")
TARGET_WORDS_NOTE = (
    "target_words: F1, precision and recall of words that occur `least` to `most` times in the training targets, over all "
    "rows; words are runs of letters, digits and marks, case folded; repeated words match at most as often as they occur "
    "in the reference."
)
WORD_NOTES = (TARGET_WORDS_NOTE,)


def check(task: str, *, decode: Section, bounds: Mapping[str, float] | None = None, join_sources: bool = False) -> None:
    """Raise ValueError for bounds that the decoder's options cannot have."""
    if bounds is not None:
        _bounds.bounds(plugins.find("decoding", decode.kind), decode, bounds)


def check_ensemble(model: str) -> None:
    """Models that generate text can be ensembled."""


def join(models: Sequence[Any], mean: str) -> Any:
    """The ensemble of models; mean: how to average their probabilities of each token."""
    from textpipe.nets.ensemble import Ensemble

    return Ensemble(models, mean=mean)


def output(
    graph: "Graph", *, decode: Section, lexicon: Mapping[str, str] | None, bounds: Mapping[str, float] | None, attends: bool,
    artifacts: Mapping[str, Path],
) -> "Output":  # fmt: skip
    """The outputs of a graph."""
    from textpipe.answers._text import Output

    return Output(graph, decode, lexicon=lexicon, bounds=bounds, attends=attends)


def stored_prediction(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of an answer that predictions.jsonl stores."""
    return {"answer": answer["answer"], "score": answer["score"]}


def extra_metrics(
    graph: "Graph", raw: Mapping[str, Sequence[Any]], references: Sequence[str], answers: Sequence[str], batch_rows: int
) -> tuple[dict[str, float], list[str]]:
    """The perplexity of the references, and the number of answers with an unknown word."""
    metrics, note = reference_perplexity(graph, raw[graph.source], references, batch_rows)
    return metrics | answer_metrics(graph, answers), [note]


def answer_metrics(graph: "Graph", answers: Sequence[str]) -> dict[str, float]:
    """The number of answers that contain the unknown token."""
    import tensorflow as tf

    codec = graph.features[graph.target].codec
    unknown = codec.decode(tf.constant([[codec.unk_id]]))[0].numpy().decode().strip()
    return {"unknown_in_answers": sum(unknown in answer for answer in answers) if unknown else 0}


def word_metrics(
    answers: Sequence[str],
    references: Sequence[str],
    training_counts: Callable[[], Mapping[str, int]],
    least: int,
    most: int,
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """F1 of words that occur `least` to `most` times in the training targets."""
    from textpipe.metrics import words

    return {
        "target_words": words.f1(answers, references, training_counts(), least, most, resamples=resamples, seed=seed)
    }


def reference_perplexity(
    graph: "Graph", sources: Sequence[str], references: Sequence[str], batch_rows: int
) -> tuple[dict[str, float], str]:
    """Perplexity of the references under teacher forcing, exp(nats per token), and a note on the tokens it counts."""
    import tensorflow as tf

    from textpipe.objectives import sequence

    feature = graph.features[graph.target]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)] * 2, autograph=False)
    def forced(source: tf.Tensor, target: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs, ids = graph.inputs({graph.source: source}), graph.encode(graph.target, target)
        full_lengths = feature.codec.encode(graph.clean(graph.target, target)).row_lengths()
        num_truncated = tf.math.count_nonzero(full_lengths >= feature.max_length)
        return sequence.sums(graph.model, inputs, ids) | {"cut": num_truncated}

    order = sorted(range(len(sources)), key=lambda at: len(references[at]))
    nats, tokens, num_truncated = 0.0, 0.0, 0
    for start in range(0, len(order), batch_rows):
        batch = order[start : start + batch_rows]
        columns = {graph.source: sources, graph.target: references}
        sums = forced(*(graph.raw_tensor(name, [cells[at] for at in batch]) for name, cells in columns.items()))
        nats, tokens, num_truncated = (
            nats + float(sums["loss"]),
            tokens + float(sums["weight"]),
            num_truncated + int(sums["cut"]),
        )
    note = (
        f"perplexity: over {tokens:.0f} tokens of this model's vocabulary, end tokens included, of the normalized "
        "references; not comparable between models with different vocabularies."
    )
    if num_truncated:
        note += f" {num_truncated:,} references exceed [vectorize] max_length of {feature.max_length} tokens; only their beginnings count."
    return {"perplexity": math.exp(min(nats / tokens, 700.0))}, note


def score_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of a pair without padding, and its perplexity."""
    tokens = row["tokens"]
    return {
        "log_prob": row["log_prob"],
        "tokens": tokens,
        "perplexity": perplexity(row["log_prob"], tokens),
        "cut": row["cut"],
        "target_tokens": row["target_tokens"][:tokens],
        "log_probs": row["log_probs"][:tokens],
    }


def perplexity(log_prob: float, count: int) -> float:
    """exp of the mean negative log-probability, limited to avoid overflow."""
    return math.exp(min(-log_prob / count, 700.0))


def score_totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Sums over scored pairs: pairs, log_prob, tokens, perplexity (per token) and the number cut."""
    log_prob = math.fsum(row["log_prob"] for row in rows)
    tokens, num_truncated = sum(row["tokens"] for row in rows), sum(row["cut"] for row in rows)
    return {
        "pairs": len(rows), "log_prob": log_prob, "tokens": tokens, "perplexity": perplexity(log_prob, tokens), "cut": num_truncated,
    }  # fmt: skip


def score_line(row: Mapping[str, Any]) -> str:
    """A scored pair as tab-separated figures."""
    return f"{row['log_prob']:.6g}\t{row['tokens']}\t{row['perplexity']:.6g}"


def score_summary(totals: Mapping[str, float]) -> str:
    """1,000 pairs, 16,877 tokens: log-probability -28,709.1, -28.71 a pair, -1.701 a token, perplexity 5.482"""
    pairs, log_prob, num_truncated = totals["pairs"], totals["log_prob"], totals["cut"]
    text = (
        f"{pairs:,} pairs, {totals['tokens']:,} tokens: log-probability {log_prob:,.1f}, "
        f"{log_prob / pairs:.4g} a pair, {log_prob / totals['tokens']:.4g} a token, "
        f"perplexity {totals['perplexity']:.4g}"
    )
    return text + (
        f"; {num_truncated:,} answers exceed the model's max_length: only their beginnings were scored"
        if num_truncated
        else ""
    )
