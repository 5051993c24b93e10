"""Answers that are one of a closed set of labels, with a probability for each."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from textpipe.answers._label_settings import Config
from textpipe.config.sections import Section
from textpipe.errors import ConfigError

if TYPE_CHECKING:
    from textpipe.answers._label import Output
    from textpipe.servable.tracing import Graph

VIEW = "bars"
SCORES = ("log_prob", "probability")
WORD_NOTES: tuple[str, ...] = ()
NUM_LISTED = 5  # classes listed in predictions.jsonl


def check(task: str, *, decode: Section, bounds: Mapping[str, float] | None = None, join_sources: bool = False) -> None:
    """Raise ValueError for settings of generators: bounds of options, and several references."""
    if bounds:
        raise ValueError(f"bounds: {task} answers with a label and has no options; leave bounds out")
    if join_sources:
        raise ValueError(f"join_sources: {task} answers with a label; leave join_sources out")


def check_ensemble(model: str) -> None:
    """Classifiers can be ensembled."""


def check_members(folders: Sequence[Path], task: ModuleType, settings: Config | None = None) -> None:
    """Raise ConfigError for a member of an ensemble that is no exported classifier over the fields of the task.

    settings: [answer], which is checked, too.
    """
    from textpipe.answers._member_settings import check_answer, check_member

    if settings is not None:
        check_answer(settings)
    for folder in folders:
        check_member(folder, task)


def join(models: Sequence[Any], mean: str) -> Any:
    """Never called: classifiers have `embed`, and check_ensemble of the kinds of answers that import this raises."""
    raise AssertionError("embed joins classifiers")


def embed(
    base_model: Any, folders: Sequence[Path], mean: str, *, task: ModuleType, target: Mapping[str, Any], trained: Mapping[str, Any]
) -> tuple[Any, Any]:  # fmt: skip
    """The ensemble of a pipeline's own model and exported ones, and these.

    target: the size table of the labels; trained: train.json of the own model, whose temperature applies to it alone.
    """
    from textpipe.answers._members import Members
    from textpipe.nets.classifier_ensemble import ClassifierEnsemble
    from textpipe.training import calibration

    model = ClassifierEnsemble(base_model, temperature=calibration.temperature_of(trained), mean=mean)
    return model, Members(folders, task, target["classes"])


def output(
    graph: "Graph", *, decode: Section, lexicon: Mapping[str, str] | None, bounds: Mapping[str, float] | None, attends: bool,
    artifacts: Mapping[str, Path], settings: Config,
) -> "Output":  # fmt: skip
    """The outputs of a graph."""
    from textpipe.answers import _label, _scope

    left_out = getattr(graph.features[graph.target], "out_of_scope", None)
    if left_out is not None and settings.out_of_scope is None:
        raise ConfigError(
            f"[answer] out_of_scope: training excludes the rows with {graph.target} {left_out!r}, so the model can never answer with this label; set "
            f"out_of_scope = {left_out!r}"
        )
    if settings.out_of_scope is None:
        return _label.Output(graph)
    return _scope.Output(graph, settings, artifacts.get("ingest"))


def about(labels: Sequence[str], answered: Callable[[str], Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """{"coverage": thresholds of the second class's probability, measured on valid}; {} unless there are two classes and valid has rows.

    savedmodel/thresholds.py describes the format.
    """
    from textpipe.savedmodel import thresholds

    rows = answered("valid") if len(labels) == 2 else []
    if not rows:
        return {}
    values = thresholds.thresholds([row["probabilities"][1] for row in rows])
    return {thresholds.KEY: {"label": labels[1], "rows": len(rows), "thresholds": values}}


def choices(output: "Output") -> list[str]:
    """The class names, in the order of the columns of `from_features`."""
    return list(output.labels or ())


def from_features(output: "Output", inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The answer as numbers, without text ops: {field: feature} -> probabilities [B, C], with [answer] out_of_scope also scope [B]."""
    scope = {"scope": output.scope(inputs)} if hasattr(output, "scope") else {}
    return {"probabilities": output.probabilities(inputs), **scope}


def stored_prediction(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of an answer that predictions.jsonl stores; of many classes only the five most probable."""
    ranked = sorted(zip(answer["labels"], answer["probabilities"], strict=True), key=lambda pair: -pair[1])
    scope = {"scope": answer["scope"]} if "scope" in answer else {}
    return {"answer": answer["answer"], "score": answer["score"], **scope, "probabilities": dict(ranked[:NUM_LISTED])}


def extra_metrics(
    graph: Any, raw: Mapping[str, Sequence[Any]], references: Sequence[str], answers: Sequence[str], batch_rows: int
) -> tuple[dict[str, float], list[str]]:
    """After calibration, `uncalibrated_error`: the calibration error without it, of the same rows: those with a class."""
    output = graph.output
    outside = getattr(output, "out_of_scope", None)
    if output.temperature == 1:
        return {}, []
    import numpy as np

    from textpipe.metrics.classification import calibration_error
    from textpipe.savedmodel import batching, model_rows

    rows = batching.run_in_batches(output.uncalibrated, model_rows.encode_columns(raw), batch_rows=batch_rows)
    pairs = [(row, reference) for row, reference in zip(rows, references, strict=True) if reference != outside]
    if not pairs:
        return {}, []
    confidences = np.array([row["score"] for row, _ in pairs])
    correct = np.array([row["answer"] == reference for row, reference in pairs])
    return {"uncalibrated_error": calibration_error(confidences, correct)}, []


def answer_metrics(graph: "Graph", answers: Sequence[str]) -> dict[str, float]:
    """Nothing: labels are not texts."""
    return {}


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
    """Nothing: labels are not texts."""
    return {}


def names(answer: str) -> Sequence[str]:
    """The labels in an answer."""
    return (answer,)


def score_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """log_prob and probability of the label."""
    return dict(row)


def score_totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Sums over scored rows: pairs, log_prob, and log_loss (nats per row)."""
    log_prob = math.fsum(row["log_prob"] for row in rows)
    return {"pairs": len(rows), "log_prob": log_prob, "log_loss": -log_prob / len(rows)}


def score_line(row: Mapping[str, Any]) -> str:
    """A scored row as tab-separated figures."""
    return f"{row['log_prob']:.6g}\t{row['probability']:.6g}"


def score_summary(totals: Mapping[str, float]) -> str:
    """120 rows: log-probability -30.1, log loss 0.2508"""
    return f"{totals['pairs']:,} rows: log-probability {totals['log_prob']:,.1f}, log loss {totals['log_loss']:.4g}"
