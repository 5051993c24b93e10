"""Answers that a program over a table gives: cells, or a number, with the program itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.answers._denotation_settings import Config
from textpipe.answers.label import (
    answer_metrics,
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
    from textpipe.answers._denotation import Output
    from textpipe.servable.tracing import Graph

VIEW = "programs"
DECODES = False  # [decode] has no effect
SCORES: tuple[str, ...] = ()
WORD_NOTES: tuple[str, ...] = ()
PROGRAM = ("operations", "columns", "rows")  # outputs [B, T] that tell what ran, pass by pass


def check(task: str, *, decode: Section, bounds: Mapping[str, float] | None = None, join_sources: bool = False) -> None:
    """Raise ValueError for settings of generators: bounds of options, and several references."""
    if bounds:
        raise ValueError(f"bounds: {task} answers with a program and has no options; leave bounds out")
    if join_sources:
        raise ValueError(f"join_sources: {task} answers with a program; leave join_sources out")


def check_ensemble(model: str) -> None:
    """Raise ConfigError: programs are not ensembled."""
    raise ConfigError(
        f"ensemble: {model} answers with a program; only models that generate text or answer with a label can be ensembled"
    )


def output(
    graph: "Graph", *, decode: Section, lexicon: Mapping[str, str] | None, bounds: Mapping[str, float] | None, attends: bool,
    artifacts: Mapping[str, Path], settings: Config,
) -> "Output":  # fmt: skip
    """The outputs of a graph."""
    from textpipe.answers._denotation import Output

    return Output(graph, settings, artifacts.get("ingest"))


def stored_prediction(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of an answer that predictions.jsonl stores."""
    stored_keys = ("answer", "score", "answered", "program_answer", "program")
    return {name: answer[name] for name in stored_keys}


def extra_metrics(
    graph: "Graph", raw: Mapping[str, Sequence[Any]], references: Sequence[str], answers: Sequence[str], batch_rows: int
) -> tuple[dict[str, float], list[str]]:
    """Nothing in addition to the task's metrics."""
    return {}, ["accuracy is of what the programs gave, whether or not the score reached the threshold of [answer]."]


__all__ = [
    "DECODES",
    "PROGRAM",
    "SCORES",
    "VIEW",
    "WORD_NOTES",
    "Config",
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
