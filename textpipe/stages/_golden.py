"""Rows with what training-side code makes of them: they go with an exported model, and whoever loads it can compare.

Data rows of all splits, and texts that are awkward.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe import savedmodel
from textpipe.errors import DataError

if TYPE_CHECKING:
    from textpipe.servable import Servable

BATCH_ROWS = 128

# What people send beside sentences: nothing, blanks, marks, other scripts, joined emoji, markup, broken bytes.
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


def rows(count: int, inputs: dict[str, Path], servable: "Servable") -> list[dict[str, Any]]:
    """Rows with what training-side code makes of them, similar lengths together.

    The features of data rows are those vectorize wrote; the answers come from the model and the decoder called op by
    op, not through the function that is exported, so that a replay can find a difference.
    """
    found = [{"text": text, "origin": "awkward"} for text in AWKWARD]
    found += data_rows(count, inputs, servable.source)
    if len(found) == len(AWKWARD):
        raise DataError("[export] there are no rows to replay; give ingest some rows")
    found.sort(key=lambda row: (len(row["text"]), row["text"]))
    for start in range(0, len(found), BATCH_ROWS):
        batch = found[start : start + BATCH_ROWS]
        fill_features(servable, batch)
        fill_answers(servable, batch)
    return found


def data_rows(count: int, inputs: dict[str, Path], field: str) -> Iterator[dict[str, Any]]:
    """About `count` rows spread over the splits, each with the features that vectorize wrote for it.

    They come from the first 10,000 of a split, so that a long one need not be read.
    """
    from textpipe.tables import shards

    for number, split in enumerate(("test", "valid", "train")):
        share = count // (3 - number)
        raw = next(shards.read(inputs["ingest"], split, ("row", field)), None)
        if raw is None:
            continue
        chosen = sorted({at * raw.num_rows // share for at in range(share)}) if share else []
        count -= len(chosen)
        wanted = {raw["row"][at].as_py(): raw[field][at].as_py() for at in chosen}
        for batch in shards.read(inputs["vectorize"], split):
            for at, row in enumerate(batch["row"].to_pylist()):
                if row in wanted:
                    yield {"text": wanted.pop(row), "origin": f"{split} row {row}", **vectorized(batch, at, field)}
            if not wanted:
                break
        assert not wanted, f"vectorize has no rows {sorted(wanted)} of {split}"


def vectorized(batch: Any, at: int, field: str) -> dict[str, Any]:
    """A source feature as vectorize wrote it: {"ids": [...]}, or {"indices": [...], "values": [...]}."""
    if field in batch.schema.names:
        return {"ids": batch[field][at].as_py()}
    return {name: batch[f"{field}.{name}"][at].as_py() for name in ("indices", "values")}


def fill_features(servable: "Servable", rows: Sequence[dict[str, Any]]) -> None:
    """Features, op by op, for the rows that vectorize never saw."""
    import tensorflow as tf

    for row in rows:
        if "ids" in row or "indices" in row:
            continue
        found = servable.encode(servable.source, tf.constant([savedmodel.encode(row["text"])]))
        if isinstance(found, tf.SparseTensor):
            row |= {"indices": found.indices[:, 1].numpy().tolist(), "values": found.values.numpy().tolist()}
        else:
            row["ids"] = [token for token in found[0].numpy().tolist() if token]


def fill_answers(servable: "Servable", rows: Sequence[dict[str, Any]]) -> None:
    """texts and scores of each row, best first, and probabilities for a classifier, from the features in the rows.

    log_prob is what the best of the texts scores when it is given back as an answer.
    """
    servable.output.golden(model_input(servable, rows), rows)


def model_input(servable: "Servable", rows: Sequence[dict[str, Any]]) -> Any:
    """The features of rows as one batch: ids [B, T] padded with 0, or a sparse [B, D]."""
    import numpy as np
    import tensorflow as tf

    if "ids" in rows[0]:
        batch = np.zeros((len(rows), max(len(row["ids"]) for row in rows)), np.int32)
        for at, row in enumerate(rows):
            batch[at, : len(row["ids"])] = row["ids"]
        return tf.constant(batch)
    pairs = [(at, index) for at, row in enumerate(rows) for index in row["indices"]]
    values = [value for row in rows for value in row["values"]]
    width = servable.features[servable.source].size["dim"]
    return tf.SparseTensor(np.array(pairs, np.int64).reshape(-1, 2), np.array(values, np.float32), (len(rows), width))
