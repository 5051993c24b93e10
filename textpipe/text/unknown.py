"""Replace unknown words of an answer by the source word with the largest attention weight.

Jean et al. (2015), section 3.3; Luong et al. (2015), Addressing the Rare Word Problem.   Shapes: B rows, N hypotheses,
T source tokens, U target tokens.
"""

from collections.abc import Mapping

import tensorflow as tf


class UnknownWordReplacer(tf.Module):
    """lexicon: {source word: its translation}; source words outside it are copied (names, numbers)."""

    def __init__(self, lexicon: Mapping[str, str] | None = None):
        super().__init__(name="unknown")
        self.lexicon = None
        if lexicon:
            words, translations = list(lexicon), list(lexicon.values())
            self.lexicon = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(words, translations), "")

    def __call__(self, tokens: tf.RaggedTensor, attention: tf.Tensor) -> tf.Tensor:
        """The replacement for each target position: tokens [B, None] string, attention [B, N, U, T] -> [B, N, U]
        string.

        Attention to the end of the source is ignored. "" where no source word has attention, as in models without it.
        """
        num_rows, length = tf.shape(attention)[0], tf.shape(attention)[3]
        tokens = tokens[:, :length].to_tensor("", shape=[None, None])
        tokens = tf.pad(tokens, [[0, 0], [0, length - tf.shape(tokens)[1]]])  # [B, T]
        weights = tf.where((tokens != "")[:, None, None, :], attention, 0)
        position = tf.argmax(weights, axis=-1, output_type=tf.int32)  # [B, N, U]
        weight = tf.reduce_max(weights, axis=-1)
        flat = tf.reshape(position, [num_rows, -1])
        words = tf.reshape(tf.gather(tokens, flat, batch_dims=1), tf.shape(position))
        if self.lexicon is not None:
            translated = self.lexicon.lookup(words)
            words = tf.where(translated != "", translated, words)
        return tf.where(weight > 0, words, "")
