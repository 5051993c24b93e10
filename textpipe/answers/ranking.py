"""The answer is the best reply of a response set, followed by alternatives, best first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.answers._ranking_settings import Config
from textpipe.answers.label import (
    SCORES,
    answer_metrics,
    check,
    join,
    names,
    score_line,
    score_row,
    score_summary,
    score_totals,
    word_metrics,
)
from textpipe.config.sections import Section
from textpipe.errors import ConfigError

if TYPE_CHECKING:
    from textpipe.answers._ranking import Output
    from textpipe.servable.tracing import Graph

VIEW = "rankings"
STORED = ("answer", "score", "replies", "scores", "intents", "fires", "probability")  # in predictions.jsonl
BATCH_ROWS = 512  # replies normalized together
SAMPLE = 64  # training messages from which the marginal probability of a response is estimated
DECODES = False  # [decode] has no effect
READS = ("responses",)  # stages beside the usual ones whose results the outputs are made of
WORD_NOTES: tuple[str, ...] = ()


def check_ensemble(model: str) -> None:
    """Raise ConfigError: rankers are not joined."""
    raise ConfigError(
        f"ensemble: {model} ranks replies; only models that generate text or answer with a label can be ensembled"
    )


def output(
    graph: "Graph", *, decode: Section, lexicon: Mapping[str, str] | None, bounds: Mapping[str, float] | None, attends: bool,
    artifacts: Mapping[str, Path], settings: Config,
) -> "Output":  # fmt: skip
    """The part of a graph that answers, with the response set that the stage `responses` left."""
    from textpipe.answers import _response_set
    from textpipe.answers._ranking import Output

    responses = _response_set.read(artifacts["responses"] / _response_set.FILE)
    return Output(graph, responses, settings, lambda: sampled_messages(graph, artifacts["ingest"]))


def sampled_messages(graph: "Graph", folder: Path) -> dict[str, Any]:
    """The features of at most SAMPLE training messages, evenly spaced among the first rows: {field: feature}."""
    from textpipe.data import shards

    cells = shards.sample(folder, "train", graph.sources, SAMPLE)
    return graph.inputs({name: graph.raw_tensor(name, column) for name, column in cells.items()})


def choices(output: "Output") -> list[str]:
    """The replies that the `places` of `from_features` refer to."""
    return [response.text for response in output.responses()]


def from_features(output: "Output", inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The answer as numbers, without text ops: {field: feature} -> places [B, 3] int32 in `choices`, -1 for none, and scores [B, 3].

    Neither the trigger nor `rerank` is applied, because they read the message as text. Raises ConfigError for a ranker with an index.
    """
    import tensorflow as tf

    from textpipe.answers._ranking import REPLIES

    if getattr(output.ranker, "index", None) is not None:
        raise ConfigError(
            f"[answer] index: a LiteRT model compares the message with all of its {len(output.responses()):,} responses; lower [responses] "
            'max_size and set index = "none", or export it as a SavedModel'
        )
    candidates = output.first(inputs)
    positions = output.chosen(candidates, tf.constant(REPLIES), tf.constant(True))
    scores = tf.gather(tf.nn.softmax(candidates.scores), tf.maximum(positions, 0), batch_dims=1)
    return {"places": positions, "scores": tf.where(positions >= 0, scores, 0.0)}


def references(graph: "Graph", cells: Sequence[str]) -> list[str]:
    """The replies that were given, normalized, as the response set holds them."""
    import tensorflow as tf

    from textpipe.savedmodel.model_rows import encode

    cleaned: list[str] = []
    for start in range(0, len(cells), BATCH_ROWS):
        texts = tf.constant([encode(cell) for cell in cells[start : start + BATCH_ROWS]])
        cleaned += [text.decode(errors="replace") for text in graph.clean(graph.target, texts).numpy()]
    return cleaned


def stored_prediction(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of an answer that predictions.jsonl stores: replies, their probabilities and intents, and the trigger's decision."""
    return {name: answer[name] for name in STORED if name in answer}


def extra_metrics(
    graph: "Graph", raw: Mapping[str, Sequence[Any]], references: Sequence[str], answers: Sequence[str], batch_rows: int
) -> tuple[dict[str, float], list[str]]:
    """How the references rank: among the response set, and each among 100 rows' references; see metrics/ranking.py."""
    from textpipe.answers import _ranking_measures

    return _ranking_measures.measure(graph, raw, references, batch_rows)


__all__ = [
    "DECODES",
    "READS",
    "SCORES",
    "VIEW",
    "WORD_NOTES",
    "Config",
    "answer_metrics",
    "check",
    "check_ensemble",
    "choices",
    "extra_metrics",
    "from_features",
    "join",
    "names",
    "output",
    "references",
    "score_line",
    "score_row",
    "score_summary",
    "score_totals",
    "stored_prediction",
    "word_metrics",
]
