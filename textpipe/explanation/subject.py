"""The model that is explained: an exported one, a server, or the graph of an estimator, behind one interface."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from textpipe.errors import DataError, ModelError
from textpipe.explanation import normalized_text
from textpipe.savedmodel import description, model_rows
from textpipe.savedmodel.signatures import FEATURES, Signature, find_giving

VOCABULARY = "assets.extra/vocabulary.json"

Row = dict[str, Any]  # a cell for each field: texts as str, numbers as float
Call = Callable[[Sequence[Row], str], list[dict[str, Any]]]  # (rows, signature) -> outputs of each row


@dataclass(frozen=True)
class Subject:
    """A model with what an explanation reads of it.

    name: for people; dtypes: {source field: "string" or "float32"}, in the task's order; described: its signatures; call: runs
    a signature; weights: the variables of the model, [] of a server; vocabulary: vocabulary.json, {} without one;
    normalize: {field: its normalization as a function of one text}, {} where it cannot be reached.
    """

    name: str
    dtypes: dict[str, str]
    described: Mapping[str, Signature]
    call: Call
    about: Mapping[str, Any] = field(default_factory=dict)
    weights: Sequence[Any] = ()
    vocabulary: Mapping[str, Any] = field(default_factory=dict)
    normalize: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    path: Path | None = None
    score: Callable[[Sequence[Row], str], list[float]] | None = None  # the log-probability of an answer to each row

    @classmethod
    def of(cls, model: Any) -> "Subject":
        """The subject of a savedmodel.loader.Model or a client.Client."""
        fields = [name for name in model.about.get("inputs") or model.fields if name in model.dtypes]
        dtypes = {name: model.dtypes[name] for name in fields}

        def call(rows: Sequence[Row], signature: str) -> list[dict[str, Any]]:
            return model.predict(rows, signature=signature)

        if hasattr(model, "url"):
            return cls(model.url, dtypes, model.described, call, model.about)
        path = model.path / VOCABULARY
        vocabulary = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        features = find_giving(model.described.values(), FEATURES)
        normalize = normalized_text.functions(model.signatures[features.name], dtypes) if features else {}
        weights = list(getattr(model.loaded, "weights", ()))

        def score(rows: Sequence[Row], answer: str) -> list[float]:
            from textpipe.inference.scoring import Scorer

            scorer = Scorer.from_model(model)
            return [float(row["log_prob"]) for row in scorer.score([{**row, scorer.target: answer} for row in rows])]

        return cls(
            str(model.path), dtypes, model.described, call, model.about, weights, vocabulary, normalize, model.path, score
        )  # fmt: skip

    @classmethod
    def of_graph(cls, name: str, servable: Any, vocabulary: Mapping[str, Any]) -> "Subject":
        """The subject of a servable.graph.Servable that has not been exported; vocabulary: the content of train's vocabulary.json."""
        import tensorflow as tf

        from textpipe.savedmodel import batching

        kinds = {field: spec.dtype for field, spec in servable.row_inputs.items()}
        labels = servable.output.labels

        def call(rows: Sequence[Row], signature: str) -> list[dict[str, Any]]:
            columns = {key: [model_rows.encode_cell(row[key]) for row in rows] for key in rows[0]}
            return batching.run_in_batches(servable.signature(signature), columns)

        def normalizer(field: str) -> Callable[[str], str]:
            def normalize(text: str) -> str:
                cleaned = servable.clean(field, tf.constant([model_rows.encode(text)]))
                return cleaned.numpy()[0].decode("utf-8", errors="replace")

            return normalize

        return cls(
            name, kinds, {signature.name: signature for signature in servable.definitions}, call,
            {"labels": labels, "training": servable.trained}, servable.weights, vocabulary,
            {field: normalizer(field) for field, dtype in kinds.items() if dtype == "string"},
        )  # fmt: skip

    @cached_property
    def answering(self) -> str:
        """The signature of a whole answer."""
        return str((self.about.get("view") or {}).get("signature") or description.DEFAULT)

    def row(self, row: Any) -> Row:
        """A text or a dict by field as a row, its cells read as by predict; raises DataError for a missing field or an unfit cell."""
        from textpipe.inference import cells

        if not isinstance(row, str | Mapping):
            raise DataError(
                f"explain: expected one text or a dict by field, found {type(row).__name__}; explain rows one by one"
            )
        row = cells.reader_of(self).read_row(row, "explain")
        try:
            return {name: model_rows.parse_row(self.dtypes, row, 1)[name] for name in self.dtypes}
        except ModelError as error:
            raise DataError(f"explain: {str(error).removeprefix('row 1: ')}") from None

    def answer(self, row: Row) -> dict[str, Any]:
        """The outputs for a row."""
        return self.call([row], self.answering)[0]

    def features(self, row: Row) -> dict[str, dict[str, Any]] | None:
        """{field: its features by name, as arrays}, or None without a signature that gives them."""
        import numpy as np

        signature = find_giving(self.described.values(), FEATURES)
        if signature is None:
            return None
        outputs = {name: np.asarray(value) for name, value in self.call([row], signature.name)[0].items()}
        if len(self.dtypes) == 1:
            return dict.fromkeys(self.dtypes, outputs)
        return {
            name: {key.removeprefix(f"{name}."): value for key, value in outputs.items() if key.startswith(f"{name}.")}
            for name in self.dtypes
        }
