"""Word dropout: in training, a share of the input tokens is removed or becomes unknown (Iyyer et al. 2015, section 3.1).

Unlike the encoders' word_dropout, which zeroes the vector of a token, no position is left where a token is removed, and an
unknown token has the embedding of <unk>. Of rows of n-grams, entries are removed.

What is dropped is a function of the seed alone.   Shapes: B batch, T tokens.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from textpipe.config.sections import Section
from textpipe.text.special_tokens import END_ID, PAD_ID, UNK_ID


class WordDropout(Section):
    """Drops tokens of the source fields in training; the end of a text is kept.

    rate: share of the tokens, or of the n-grams of a row, that are dropped.
    by: "removal", or "unknown" to replace them by <unk>; n-grams can only be removed.
    """

    rate: float = Field(gt=0, lt=1)
    by: Literal["removal", "unknown"] = "removal"


def apply(inputs: Mapping[str, Any], options: WordDropout, seed: Any) -> dict[str, Any]:
    """{field: feature} with tokens and n-grams dropped; numbers stay. seed: int32 [2]."""
    import tensorflow as tf

    fields = enumerate(inputs.items())
    return {
        name: drop(feature, options, tf.random.experimental.stateless_fold_in(seed, at))
        for at, (name, feature) in fields
    }


def drop(feature: Any, options: WordDropout, seed: Any) -> Any:
    """Ids [B, T] or sparse rows without the dropped tokens.

    [[7, 8, 9, 3]], 8 is dropped: by removal [[7, 9, 3, 0]], by unknown [[7, 1, 9, 3]]
    """
    import tensorflow as tf

    if isinstance(feature, tf.SparseTensor):
        keep = tf.random.stateless_uniform(tf.shape(feature.values), seed) >= options.rate
        return tf.sparse.retain(feature, keep)
    if not feature.dtype.is_integer:
        return feature
    dropped = tf.random.stateless_uniform(tf.shape(feature), seed) < options.rate
    dropped &= (feature != PAD_ID) & (feature != END_ID)
    if options.by == "unknown":
        return tf.where(dropped, UNK_ID, feature)
    order = tf.argsort(tf.cast(dropped, tf.int32), axis=1, stable=True)  # the kept tokens first, in their order
    return tf.gather(tf.where(dropped, PAD_ID, feature), order, axis=1, batch_dims=1)
