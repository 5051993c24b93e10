"""The document frequencies of hashed n-grams."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from textpipe.errors import DataError


def learn(config: Any, texts: Callable[[], Iterable[Any]], codec: Any) -> tuple[Any, Any, int]:
    """The buckets of at least config.min_df texts, ascending [D] int32, their frequencies [D], and the number of texts.

    texts() yields string tensors [N]. Memory is bounded by config.total_buckets. Raises DataError without buckets.
    """
    import numpy as np
    import tensorflow as tf

    from textpipe.text import ngrams

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def present(text):
        return ngrams.count_columns(ngrams.buckets(text, config, codec), config.total_buckets, binary=True).indices[
            :, 1
        ]

    present = present.get_concrete_function()
    frequency = np.zeros(config.total_buckets, np.int32)
    num_texts = 0
    for text in texts():
        batch_buckets, counts = np.unique(present(text).numpy(), return_counts=True)
        frequency[batch_buckets] += counts.astype(np.int32)
        num_texts += int(text.shape[0])
    buckets = np.flatnonzero(frequency >= config.min_df).astype(np.int32)
    if not len(buckets):
        raise DataError(
            f"[vectorize] features {config.kind!r}: no n-gram is in {config.min_df} or more of the {num_texts} training "
            "texts; lower min_df, or check that the texts are not empty after normalization"
        )
    return buckets, frequency[buckets], num_texts


def save(folder: Path, name: str, array: Any) -> None:
    """Write folder/name.npy, whose bytes depend only on the array."""
    import numpy as np

    np.save(Path(folder) / f"{name}.npy", array)
