"""What stands in an answer for a word its vocabulary lacks: the source word the attention looked at most.

Jean et al. (2015), section 3.3; Luong et al. (2015), Addressing the Rare Word Problem.   Shapes: B rows, N hypotheses,
T source tokens, U target tokens.
"""

from collections.abc import Mapping

import tensorflow as tf


class Replacement(tf.Module):
    """lexicon: {source word: its translation}; a source word it lacks is taken as it stands (names, numbers)."""

    def __init__(self, lexicon: Mapping[str, str] | None = None):
        super().__init__(name="unknown")
        self.lexicon = None
        if lexicon:
            words, translations = list(lexicon), list(lexicon.values())
            self.lexicon = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(words, translations), "")

    def __call__(self, tokens: tf.RaggedTensor, attention: tf.Tensor) -> tf.Tensor:
        """The word for each target place: tokens [B, None] string, attention [B, N, U, T] -> [B, N, U] string.

        The end of the source is no word and does not count. "" where the model attended to no word at all, as a model
        without attention does.
        """
        rows, places = tf.shape(attention)[0], tf.shape(attention)[3]
        tokens = tokens[:, :places].to_tensor("", shape=[None, None])
        tokens = tf.pad(tokens, [[0, 0], [0, places - tf.shape(tokens)[1]]])  # [B, T]
        weights = tf.where((tokens != "")[:, None, None, :], attention, 0)
        place = tf.argmax(weights, axis=-1, output_type=tf.int32)  # [B, N, U]
        best = tf.reduce_max(weights, axis=-1)
        flat = tf.reshape(place, [rows, -1])
        words = tf.reshape(tf.gather(tokens, flat, batch_dims=1), tf.shape(place))
        if self.lexicon is not None:
            translated = self.lexicon.lookup(words)
            words = tf.where(translated != "", translated, words)
        return tf.where(best > 0, words, "")
