"""Which n-grams training texts hold, and in how many texts each."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from textpipe.errors import DataError


def learn(config: Any, texts: Callable[[], Iterable[Any]], codec: Any) -> tuple[Any, Any, int]:
    """Buckets in config.min_df texts or more, ascending [D] int32, the number of texts each is in [D], and the number
    of texts.

    texts() gives string tensors [N]. Memory is bounded by config.total_buckets. Raises DataError when no bucket is left.
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
    rows = 0
    for text in texts():
        found, number = np.unique(present(text).numpy(), return_counts=True)
        frequency[found] += number.astype(np.int32)
        rows += int(text.shape[0])
    seen = np.flatnonzero(frequency >= config.min_df).astype(np.int32)
    if not len(seen):
        raise DataError(
            f"[vectorize] features {config.kind!r}: no n-gram is in {config.min_df} or more of the {rows} training "
            "texts; lower min_df, or check that normalization left text in them"
        )
    return seen, frequency[seen], rows


def save(folder: Path, name: str, array: Any) -> None:
    """folder/name.npy, whose bytes depend on the array alone."""
    import numpy as np

    np.save(Path(folder) / f"{name}.npy", array)
