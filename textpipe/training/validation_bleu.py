"""BLEU on the validation rows during training: greedy answers, detokenized, against the raw references.

Shapes: B batch, T source, U answer.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorflow as tf

from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.data.columns import Column
from textpipe.errors import DataError
from textpipe.metrics import bleu_tokenizers
from textpipe.training import precision
from textpipe.training.batching.batches import Batch
from textpipe.training.batching.rows import Rows
from textpipe.training.steps import batch_spec, tensors

log = logging.getLogger(__name__)

# Rows decoded at once: enough for the matrix products, few enough that rows of similar length stay together.
ROWS = 256

# An untrained model does not end its answers: they are cut at RATIO * source length + EXTRA tokens.
RATIO, EXTRA = 1.5, 10


class ValidationBleu:
    """Corpus BLEU (sacrebleu, cased) of greedy answers, 0 to 100, with the tokenizer that fits the references' script.

    codec: the target's.
    inputs: {field: column} of the validation rows.
    references: their texts as ingest wrote them, in the same order.
    max_length: maximum number of tokens of an answer.
    limit: number of rows to translate, evenly spread; all if None.

    A model in mixed precision answers in float32, like the served one. The graph is traced once, for any width; rows are
    sorted by length, and each batch is as wide as its longest row.
    """

    name = "valid_bleu"

    def __init__(
        self,
        codec: Any,
        inputs: Mapping[str, Column],
        references: Sequence[str],
        *,
        max_length: int,
        limit: int | None = None,
    ):

        count = len(references)
        assert all(len(column) == count for column in inputs.values()), "expected a reference for each row"
        self.codec, self.inputs, self.references = codec, inputs, references
        rows = np.arange(count) if limit is None else np.unique(np.linspace(0, count - 1, limit).astype(int))
        padded = [column.lengths[rows] for column in inputs.values() if column.lengths is not None]
        self.rows = rows[np.argsort(np.sum(padded, axis=0), kind="stable")] if padded else rows
        self.config = Plugin.check(
            "decoding", {"kind": "greedy", "max_length": max_length, "max_ratio": RATIO, "max_extra": EXTRA}
        )
        self.tokenize = bleu_tokenizers.choose(references)
        self.decode: Any = None

    def __call__(self, model) -> float:
        from sacrebleu.metrics import BLEU

        return (
            BLEU(tokenize=self.tokenize)
            .corpus_score(self.answers(model), [[self.references[row] for row in self.rows]])
            .score
        )

    def answers(self, model) -> list[str]:
        """The answers to self.rows, in this order."""
        if self.decode is None:
            with precision.float32_layers(model):
                specs = {name: batch_spec(part, fixed=False) for name, part in self.batch(self.rows[:1]).items()}
                self.decode = cast(Any, self.traced(model)).get_concrete_function(specs)
        answers = []
        for start in range(0, len(self.rows), ROWS):
            batch = self.rows[start : start + ROWS]
            texts = self.decode(self.batch(batch)).numpy()
            answers += [text.decode("utf-8", errors="replace") for text in texts]
        return answers

    def batch(self, rows: np.ndarray) -> dict[str, Any]:
        """{field: feature} of these rows, padded to the longest."""
        widths = {
            name: int(column.lengths[rows].max()) for name, column in self.inputs.items() if column.lengths is not None
        }
        return {name: tensors(column, Batch(rows, widths), name) for name, column in self.inputs.items()}

    def traced(self, model: Any) -> Callable:
        """{field: feature} -> texts [B], as one graph."""
        from textpipe.decoding import greedy

        @tf.function(autograph=False)
        def decode(inputs):
            ids = greedy.decode(model, inputs, self.config)["ids"][:, 0]  # [B, U]
            return self.codec.decode(ids)

        return decode

    def described(self) -> dict[str, Any]:
        """For train.json: the scorer's signature, the number of rows and the decoder's settings."""
        from sacrebleu.metrics import BLEU

        bleu = BLEU(tokenize=self.tokenize)
        bleu.corpus_score([""], [[""]])  # a scorer has a signature only once it has scored
        decode = self.config.model_dump(mode="json")
        return {"signature": str(bleu.get_signature()), "rows": len(self.rows), "decode": decode}


def from_artifacts(inputs: dict[str, Path], sizes: Sizes, valid: Rows, limit: int | None) -> ValidationBleu:
    """ValidationBleu from the artifacts of ingest, tokenize and vectorize.

    Raises DataError if the references of the validation rows are not in ingest's output.
    """
    from textpipe.data import shards
    from textpipe.text import vectorizer

    name = sizes.target_name
    raw: dict[int, str] = {}
    for batch in shards.read(inputs["ingest"], "valid", ("row", name)):
        raw.update(zip(batch.column("row").to_pylist(), batch.column(name).to_pylist(), strict=True))
    rows = []
    for batch in shards.read(inputs["vectorize"], "valid", ("row",)):
        rows += batch.column("row").to_pylist()
    if len(rows) != len(valid) or not raw.keys() >= set(rows):
        raise DataError(f"[train] valid_bleu: {len(rows)} validation rows, but {len(raw)} raw ones; run ingest again")
    codec, references = vectorizer.load_codec(inputs["tokenize"], name), [raw[row] for row in rows]
    return ValidationBleu(codec, valid.inputs, references, max_length=sizes.target["max_length"], limit=limit)
