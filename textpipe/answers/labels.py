"""Answers that are any subset of a closed set of labels, with an independent probability for each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.answers.label import (
    SCORES,
    WORD_NOTES,
    answer_metrics,
    choices,
    from_features,
    join,
    score_line,
    score_row,
    score_summary,
    score_totals,
    word_metrics,
)
from textpipe.answers.label import check as check_label
from textpipe.config.sections import Section
from textpipe.errors import ConfigError
from textpipe.kinds.labels import parse

if TYPE_CHECKING:
    from textpipe.answers._labels import Output
    from textpipe.servable.tracing import Graph

VIEW = "label_sets"
NUM_LISTED = 5  # labels listed in predictions.jsonl
DEFAULT_THRESHOLD = 0.5  # when validation chose none


def check(task: str, *, decode: Section, bounds: Mapping[str, float] | None = None, join_sources: bool = False) -> None:
    """Raise ValueError for settings of generators: bounds of options, and several references."""
    check_label(task, decode=decode, bounds=bounds, join_sources=join_sources)


def check_ensemble(model: str) -> None:
    """Raise ConfigError: the threshold of a multi-label classifier is that of one model."""
    raise ConfigError(
        f"ensemble: {model} answers with several labels, by a threshold that was chosen for it alone; only models that generate text or "
        "answer with one label can be ensembled"
    )


def output(
    graph: "Graph", *, decode: Section, lexicon: Mapping[str, str] | None, bounds: Mapping[str, float] | None, attends: bool,
    artifacts: Mapping[str, Path],
) -> "Output":  # fmt: skip
    """The outputs of a graph, with the threshold chosen by validation."""
    from textpipe.answers._labels import Output

    return Output(graph, kept_threshold(graph.trained))


def extra_metrics(
    graph: "Graph", raw: Mapping[str, Sequence[Any]], references: Sequence[str], answers: Sequence[str], batch_rows: int
) -> tuple[dict[str, float], list[str]]:
    """Nothing in addition to the task's metrics."""
    return {}, []


def kept_threshold(trained: Mapping[str, Any]) -> float:
    """The threshold of the kept weights, from train.json, on the scale of calibrated probabilities."""
    selected = trained.get("average") or trained.get("best") or {}
    threshold = float(selected.get("valid_threshold", DEFAULT_THRESHOLD))
    temperature = trained.get("calibration", {}).get("temperature", 1.0)
    if temperature == 1:
        return threshold
    return 1 / (1 + (1 / threshold - 1) ** (1 / temperature))


def stored_prediction(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of an answer that predictions.jsonl stores; of many labels only the five most probable."""
    ranked = sorted(zip(answer["labels"], answer["probabilities"], strict=True), key=lambda pair: -pair[1])
    return {"answer": answer["answer"], "score": answer["score"], "probabilities": dict(ranked[:NUM_LISTED])}


def names(answer: str) -> Sequence[str]:
    """The labels in an answer: "billing|urgent" -> ("billing", "urgent")."""
    return parse(answer)


__all__ = [
    "DEFAULT_THRESHOLD",
    "SCORES",
    "VIEW",
    "WORD_NOTES",
    "answer_metrics",
    "check",
    "check_ensemble",
    "choices",
    "extra_metrics",
    "from_features",
    "join",
    "kept_threshold",
    "names",
    "output",
    "score_line",
    "score_row",
    "score_summary",
    "score_totals",
    "stored_prediction",
    "word_metrics",
]  # fmt: skip
