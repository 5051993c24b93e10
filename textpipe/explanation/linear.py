"""The exact contributions in a linear model: weight times value of each feature, on the characters that the feature is made of.

logit = bias + sum over features of weight * value.   Shapes: L characters, K columns of a row, C logits, D columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from textpipe.explanation import alignment, ngram_spans, token_spans
from textpipe.explanation.contributions import EXACT, Feature, Part
from textpipe.explanation.result import Explanation
from textpipe.explanation.subject import Row, Subject
from textpipe.training import calibration

TOLERANCE = 1e-3  # between probabilities of the model and of the weights read from it
MAX_FEATURES = 1000


@dataclass(frozen=True)
class Linear:
    """The weights of a linear model: kernels {field: [D, C]} and bias [C], divided by the temperature of calibration."""

    kernels: Mapping[str, np.ndarray]
    bias: np.ndarray

    @classmethod
    def of(cls, subject: Subject) -> "Linear | None":
        """The weights of a model that has just a bias and a matrix for each field, as wide as its vocabulary; None for others."""
        labels, weights = subject.about.get("labels"), list(subject.weights)
        if not labels or len(weights) != len(subject.dtypes) + 1 or not {*subject.dtypes} <= {*subject.vocabulary}:
            return None
        vectors = [weight for weight in weights if len(weight.shape) == 1]
        matrices = [weight for weight in weights if len(weight.shape) == 2]
        dims = [num_columns(subject.vocabulary[name]) for name in subject.dtypes]
        if len(vectors) != 1 or [int(matrix.shape[0]) for matrix in matrices] != dims:
            return None
        width = int(vectors[0].shape[0])
        if width not in (len(labels), 1) or any(int(matrix.shape[1]) != width for matrix in matrices):
            return None
        temperature = calibration.temperature_of(subject.about.get("training") or {})
        kernels = {
            name: np.asarray(matrix, np.float64) / temperature
            for name, matrix in zip(subject.dtypes, matrices, strict=True)
        }
        return cls(kernels, np.asarray(vectors[0], np.float64) / temperature)

    def logits(self, rows: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """The logits [C] of a row: {field: (columns [K], values [K])}."""
        parts = [values @ self.kernels[name][columns] for name, (columns, values) in rows.items()]
        return self.bias + np.sum(parts, axis=0)

    def column(self, label: int) -> tuple[int, float]:
        """The logit of a class, and its sign: a single logit is the log-odds of the second of two classes."""
        return (label, 1.0) if len(self.bias) > 1 else (0, 1.0 if label == 1 else -1.0)


def num_columns(table: Mapping[str, Any]) -> int:
    """The number of columns of a field's vocabulary; a number has one."""
    return len(table["names"]) or 1


def reproduces(logits: np.ndarray, probabilities: Sequence[float]) -> bool:
    """Whether probabilities follow from logits [C], as a softmax, as independent sigmoids or as the odds of the second of two classes."""
    with np.errstate(over="ignore"):
        sigmoid = 1 / (1 + np.exp(-logits))
    softmax = np.exp(logits - logits.max())
    single = len(logits) == 1
    candidates = [np.concatenate([1 - sigmoid, sigmoid])] if single else [softmax / softmax.sum(), sigmoid]
    expected = np.asarray(probabilities)
    return any(
        len(candidate) == len(expected) and np.allclose(candidate, expected, atol=TOLERANCE) for candidate in candidates
    )


def explain(subject: Subject, linear: Linear, row: Row, outputs: Mapping[str, Any], label: int) -> Explanation | None:
    """The explanation of the logit of class number `label`; None if the model's graph is not the linear map of its weights."""
    features = subject.features(row)
    if features is None:
        return None
    rows = {name: columns_of(features[name], row[name]) for name in subject.dtypes}
    if not reproduces(linear.logits(rows), outputs["probabilities"]):
        return None
    at, sign = linear.column(label)
    parts: list[Part] = []
    strongest: list[Feature] = []
    rest = 0.0
    for name, (columns, values) in rows.items():
        weights = sign * linear.kernels[name][columns, at]
        explained = explain_field(subject, name, row[name], columns, values, weights)
        if explained is None:
            return None
        parts += explained[0]
        rest += explained[1]
        strongest += explained[2]
    logit = sign * float(linear.logits(rows)[at])
    labels = list(subject.about["labels"])
    strongest.sort(key=lambda feature: -abs(feature.contribution))
    return Explanation(
        subject.name, EXACT, row, outputs["answer"], labels[label], float(outputs["probabilities"][label]), logit, parts,
        bias=sign * float(linear.bias[at]), rest=rest, features=strongest[:MAX_FEATURES], labels=labels,
    )  # fmt: skip


def columns_of(feature: Mapping[str, np.ndarray], cell: Any) -> tuple[np.ndarray, np.ndarray]:
    """The columns and the values of a field in a row [K]: n-grams, token ids (each 1 / sqrt of their number), or a number."""
    if "indices" in feature:
        indices, values = feature["indices"].astype(np.int64), feature["values"].astype(np.float64)
        return indices[indices >= 0], values[indices >= 0]
    if "ids" in feature:
        ids = feature["ids"][feature["ids"] != 0].astype(np.int64)
        return ids, np.full(len(ids), 1 / np.sqrt(max(len(ids), 1)))
    return np.zeros(1, np.int64), np.asarray(feature["values"], np.float64).reshape(1)


Found = tuple[list[Part], float, list[Feature]]


def explain_field(
    subject: Subject, name: str, cell: Any, columns: np.ndarray, values: np.ndarray, weights: np.ndarray
) -> Found | None:
    """The parts of a field, the rest, and its features; None if its text cannot be found in the graph."""
    table = subject.vocabulary[name]
    contributions = values * weights
    if subject.dtypes[name] != "string":
        shown = "missing" if np.isnan(cell) else f"{cell:g}"
        part = Part(name, shown, None, None, float(contributions.sum()))
        return [part], 0.0, [Feature(name, name, float(values[0]), float(weights[0]))]
    if name not in subject.normalize:
        return None
    text = subject.normalize[name](cell)
    if table["kind"] == "ids":
        pieces = [table["names"][column] for column in columns]
        per_character, rest, unplaced = token_spans.spread(text, pieces, contributions)
        features = [Feature(name, *item) for item in zip(pieces, values.tolist(), weights.tolist(), strict=True)]
        return parts_of(name, cell, text, per_character) + [
            Part(name, piece, None, None, value) for piece, value in unplaced
        ], rest, features  # fmt: skip
    config = ngram_spans.options(table["features"])
    if config.pieces:
        return None
    if config.casefold:
        import tensorflow as tf

        from textpipe.text.steps import casefold

        text = casefold.apply(tf.constant([text]), None).numpy()[0].decode("utf-8")
    buckets = np.asarray(table["names"])[columns]
    grams = ngram_spans.of_text(text, config)
    counts = ngram_spans.count(grams, buckets)
    if (counts == 0).any():
        return None
    per_character, rest = ngram_spans.spread(grams, buckets, contributions / np.maximum(counts, 1), len(text))
    names = ngram_names(grams, buckets, np.argsort(-abs(contributions))[:MAX_FEATURES])
    features = [Feature(name, gram, float(values[k]), float(weights[k])) for k, gram in names.items()]
    return parts_of(name, cell, text, per_character), rest, features


def ngram_names(grams: Sequence[ngram_spans.Grams], buckets: np.ndarray, chosen: np.ndarray) -> dict[int, str]:
    """{column: its n-grams in the text}; those that share a bucket are joined by " / "."""
    order = np.argsort(buckets[chosen])
    names: dict[int, dict[str, None]] = {int(k): {} for k in chosen}
    for gram, at in ngram_spans.with_shares(grams, buckets[chosen][order], chosen[order]):
        for number in range(len(at)):
            known = names[int(at[number])]
            if len(known) < 3:
                known[gram.name(number)] = None
    return {k: " / ".join(known) for k, known in names.items()}


def parts_of(name: str, original: str, text: str, per_character: np.ndarray) -> list[Part]:
    """Contributions of characters of the normalized text as those of words of the given one."""
    sums = np.concatenate([[0.0], np.cumsum(per_character)])
    parts = []
    spans = alignment.align(original, text)
    # What stands between two words (a joining mark, for example) goes to the first of them.
    edges = [0, *(span.first for span in spans[1:]), len(text)]
    for number, span in enumerate(spans):
        value = float(sums[edges[number + 1]] - sums[edges[number]])
        shown = text[span.first : span.last] if span.start is None else original[span.start : span.end]
        parts.append(Part(name, shown, span.start, span.end, value))
    if not spans and len(text):
        parts.append(Part(name, text, None, None, float(sums[-1])))
    return parts
