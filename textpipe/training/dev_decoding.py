"""BLEU of the validation rows while training: greedy answers, detokenized, against the untouched references.

Shapes: B batch, T source, U answer.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.columns import Ids
from textpipe.errors import DataError
from textpipe.fields import Sizes
from textpipe.scores import bleu_tokenizers
from textpipe.training import precision
from textpipe.training.rows import Rows

log = logging.getLogger(__name__)

# Rows decoded at once: enough for the matrix products, few enough that rows of like length stay together.
ROWS = 256

# An untrained model does not know where to end: an answer is cut at RATIO * source length + EXTRA tokens.
RATIO, EXTRA = 1.5, 10


class DevBleu:
    """Corpus BLEU (sacrebleu, cased) of greedy answers, 0 to 100, in the tokens that the references' script asks for.

    codec: the target's. source: the validation rows' ids. references: their texts as ingest wrote them, in the same
    order. max_length: tokens of an answer at most. limit: so many rows, evenly spread; all when None.

    A model in mixed precision answers in float32, as the one that is served. The graph is traced once, for any width: rows are put in order of their length and cut into batches that are each as
    wide as their longest row.
    """

    name = "valid_bleu"

    def __init__(self, codec, source: Ids, references: Sequence[str], *, max_length: int, limit: int | None = None):
        from textpipe.decoding import greedy

        assert len(source) == len(references), "a reference for each row"
        self.codec, self.source, self.references = codec, source, references
        count = len(source)
        rows = np.arange(count) if limit is None else np.unique(np.linspace(0, count - 1, limit).astype(int))
        self.rows = rows[np.argsort(source.lengths[rows], kind="stable")]
        self.config = greedy.Config(max_length=max_length, max_ratio=RATIO, max_extra=EXTRA)
        self.tokenize = bleu_tokenizers.choose(references)
        self.decode = None

    def __call__(self, model) -> float:
        from sacrebleu.metrics import BLEU

        return (
            BLEU(tokenize=self.tokenize)
            .corpus_score(self.answers(model), [[self.references[row] for row in self.rows]])
            .score
        )

    def answers(self, model) -> list[str]:
        """The answer to each of self.rows, in their order."""
        if self.decode is None:
            with precision.in_full(model):
                self.decode = self.traced(model).get_concrete_function()
        found = []
        for start in range(0, len(self.rows), ROWS):
            batch = self.rows[start : start + ROWS]
            width = int(self.source.lengths[batch].max())
            texts = self.decode(tf.constant(self.source.gather(batch, width))).numpy()
            found += [text.decode("utf-8", errors="replace") for text in texts]
        return found

    def traced(self, model):
        """source ids [B, T] -> texts [B], as one graph."""
        from textpipe.decoding import greedy

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
        def decode(source):
            ids = greedy.decode(model, source, self.config)["ids"][:, 0]  # [B, U]
            return self.codec.decode(ids)

        return decode

    def described(self) -> dict[str, Any]:
        """For train.json: the scorer's signature, and how many rows were decoded how."""
        from sacrebleu.metrics import BLEU

        bleu = BLEU(tokenize=self.tokenize)
        bleu.corpus_score([""], [[""]])  # only a scorer that has seen references tells its signature
        decode = self.config.model_dump(mode="json")
        return {"signature": str(bleu.get_signature()), "rows": len(self.rows), "decode": decode}


def of_stage(inputs: dict[str, Path], sizes: Sizes, valid: Rows, limit: int | None) -> DevBleu:
    """From the artifacts of ingest, tokenize and vectorize.

    Raises DataError when the references of the validation rows are not in ingest's output.
    """
    from textpipe.tables import shards
    from textpipe.text import vectorizer

    name = sizes.target_name
    raw: dict[int, str] = {}
    for batch in shards.read(inputs["ingest"], "valid", ("row", name)):
        raw.update(zip(batch.column("row").to_pylist(), batch.column(name).to_pylist(), strict=True))
    rows = []
    for batch in shards.read(inputs["vectorize"], "valid", ("row",)):
        rows += batch.column("row").to_pylist()
    if len(rows) != len(valid) or not raw.keys() >= set(rows):
        raise DataError(f"[train] valid_bleu: {len(rows)} validation rows, {len(raw)} raw ones; run ingest again")
    codec, references = vectorizer.load_codec(inputs["tokenize"], name), [raw[row] for row in rows]
    return DevBleu(codec, valid.source, references, max_length=sizes.target["max_length"], limit=limit)
