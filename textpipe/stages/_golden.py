"""Golden rows: inputs with the features and answers of training-side code, exported with a model so that any loader can compare.

They are data rows of all splits, and awkward texts.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.errors import DataError
from textpipe.savedmodel import model_rows

if TYPE_CHECKING:
    from textpipe.servable.graph import Servable

BATCH_ROWS = 128

# Inputs other than sentences: nothing, blanks, punctuation, other scripts, joined emoji, markup, broken bytes.
AWKWARD = (
    "",
    " ",
    "\n\t\r\n",
    ".",
    "?!?!",
    "a",
    "0",
    "1 000,00 € – 12.5 %",
    "👩‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️",
    "naïve café, Zürich, Łódź, cafe\u0301 ﬁne",
    "שלום עולם مرحبا بالعالم",
    "你好，世界。こんにちは、안녕하세요",
    "\u200b\u200d\u202etxet\u202c\ufeff",
    "▁ ▁under ⁇ <unk> <s> </s> <pad>",
    "<b>bold</b> &amp; &lt;tag&gt; &#128512;",
    "http://example.org/?q=1&r=2 mail@example.org +1 (555) 010-9999",
    "tab\tnew\nline\r\nNUL\x00bell\x07",
    "\ud800 not UTF-8 \udfff",  # lone surrogates: sent as bytes that are not UTF-8
    "\ufffd \uffff \U0010ffff",
    "SHOUTING WITHOUT END!!!!!!!!!!",
    "supercalifragilisticexpialidocious" * 30,
    "word " * 3000,
    "é" * 2000,
)


def build_rows(count: int, inputs: dict[str, Path], servable: "Servable") -> list[dict[str, Any]]:
    """Golden rows sorted by length: {"raw": {field: cell}, "features": {field: as vectorize wrote it}, "origin", and the
    answer's keys from answers/}. Rows that the answer calls ambiguous, because rounding decides their answer, are left out.

    Features of data rows are those vectorize wrote. Answers come from the model and decoder called op by op, not from
    the exported function, so that a replay can find a difference.
    """
    rows = [*data_rows(count, inputs, servable.sources)]
    if not rows:
        raise DataError("[export] there are no rows to replay; check the rows of [ingest]")
    if any(map(servable.has_text, servable.sources)):
        rows += awkward_rows(servable, rows[0]["raw"])
    rows.sort(key=lambda row: (text_length(row), list(map(str, row["raw"].values()))))
    for start in range(0, len(rows), BATCH_ROWS):
        batch = rows[start : start + BATCH_ROWS]
        fill_features(servable, batch)
        fill_answers(servable, batch)
    return [row for row in rows if not row.pop("ambiguous", False)]


def text_length(row: dict[str, Any]) -> int:
    """The number of characters in a row's texts."""
    return sum(len(cell) for cell in row["raw"].values() if isinstance(cell, str))


def awkward_rows(servable: "Servable", like: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each awkward text, which fills all text fields; other fields take the cells of the data row `like`."""
    return [
        {
            "raw": {name: text if servable.has_text(name) else cell for name, cell in like.items()},
            "features": {},
            "origin": "awkward",
        }
        for text in AWKWARD
    ]


def data_rows(count: int, inputs: dict[str, Path], fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    """About `count` rows spread over the splits, each with the features that vectorize wrote for it.

    They come from the first 10,000 rows of a split, so that a long one is not read whole.
    """
    from textpipe.data import shards

    for number, split in enumerate(("test", "valid", "train")):
        share = count // (3 - number)
        raw = next(shards.read(inputs["ingest"], split, ("row", *fields)), None)
        if raw is None:
            continue
        chosen = sorted({at * raw.num_rows // share for at in range(share)}) if share else []
        count -= len(chosen)
        selected = {raw["row"][at].as_py(): {name: raw[name][at].as_py() for name in fields} for at in chosen}
        for batch in shards.read(inputs["vectorize"], split):
            for at, row in enumerate(batch["row"].to_pylist()):
                if row in selected:
                    features = {name: read_feature(batch, at, name) for name in fields}
                    yield {"raw": selected.pop(row), "features": features, "origin": f"{split} row {row + 1}"}
            if not selected:
                break
        assert not selected, f"vectorize has no rows {sorted(selected)} of {split}"


def read_feature(batch: Any, at: int, field: str) -> dict[str, Any]:
    """A feature as vectorize wrote it: {"ids": [...]}, {"indices": [...], "values": [...]}, {"values": number} or {"bytes": bytes}."""
    if field not in batch.schema.names:
        return {name: batch[f"{field}.{name}"][at].as_py() for name in ("indices", "values")}
    cell = batch[field][at].as_py()
    return {"ids": cell} if isinstance(cell, list) else {"bytes" if isinstance(cell, bytes) else "values": cell}


def to_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the bytes among its cells and features as {"b64": ...}."""
    features = {
        name: {key: model_rows.to_json(value) for key, value in table.items()}
        for name, table in row["features"].items()
    }
    return {**row, "raw": {name: model_rows.to_json(cell) for name, cell in row["raw"].items()}, "features": features}


def from_json(row: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `to_json`."""
    features = {
        name: {key: model_rows.from_json(value) for key, value in table.items()}
        for name, table in row["features"].items()
    }
    raw = {name: model_rows.from_json(cell) for name, cell in row["raw"].items()}
    return {**row, "raw": raw, "features": features}


def raw_tensors(servable: "Servable", rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The cells of rows as a caller sends them: {field: [B, ...]}."""
    return {name: servable.raw_tensor(name, [row["raw"][name] for row in rows]) for name in servable.sources}


def fill_features(servable: "Servable", rows: Sequence[dict[str, Any]]) -> None:
    """Compute features, op by op, for rows that are not in vectorize's output."""
    import tensorflow as tf

    for row in rows:
        if row["features"]:
            continue
        for name, feature in servable.inputs(raw_tensors(servable, [row])).items():
            if isinstance(feature, tf.SparseTensor):
                table = {"indices": feature.indices[:, 1].numpy().tolist(), "values": feature.values.numpy().tolist()}
            elif feature.dtype == tf.uint8:
                table = {"bytes": feature[0].numpy().tobytes()}
            elif feature.dtype.is_integer:
                table = {"ids": [token for token in feature[0].numpy().tolist() if token]}
            else:
                table = {"values": feature[0].numpy().tolist()}
            row["features"][name] = table


def fill_answers(servable: "Servable", rows: Sequence[dict[str, Any]]) -> None:
    """Add texts and scores to each row, best first, and probabilities for a classifier, from the features in the rows.

    log_prob is the score of the best text when it is passed back as an answer.
    """
    servable.output.add_golden_answers(raw_tensors(servable, rows), model_inputs(servable, rows), rows)


def model_inputs(servable: "Servable", rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The features of rows as one batch, by field: ids [B, T] padded with 0, a sparse [B, D], or numbers [B, ...]."""
    return {name: to_batch(servable, name, [row["features"][name] for row in rows]) for name in servable.sources}


def to_batch(servable: "Servable", field: str, features: Sequence[dict[str, Any]]) -> Any:
    """One field's features as a batch: see model_inputs."""
    import numpy as np
    import tensorflow as tf

    if "ids" in features[0]:
        batch = np.zeros((len(features), max(len(row["ids"]) for row in features)), np.int32)
        for at, row in enumerate(features):
            batch[at, : len(row["ids"])] = row["ids"]
        return tf.constant(batch)
    if "bytes" in features[0]:
        size = servable.features[field].size
        shape = (-1, *(size[axis] for axis in ("height", "width", "channels")))
        return tf.constant(np.frombuffer(b"".join(row["bytes"] for row in features), np.uint8).reshape(shape))
    if "indices" not in features[0]:
        return tf.constant([row["values"] for row in features], tf.float32)
    pairs = [(at, index) for at, row in enumerate(features) for index in row["indices"]]
    values = [value for row in features for value in row["values"]]
    shape = (len(features), servable.features[field].size["dim"])
    return tf.SparseTensor(np.array(pairs, np.int64).reshape(-1, 2), np.array(values, np.float32), shape)
