"""Words as ids, and unknown words spelled in characters in the same row.   Luong & Manning (2016), section 4.

    "a man xylophoning ."  ->  a man <unk> x y l o p h o n i n g </unk> .

Ids are in the order special tokens, words, </unk>, letters, so comparing with the id of </unk> tells them apart. A
spelled word is part of an ordinary row, so batches, decoders and the SavedModel need no special case.

Shapes: N texts, T tokens, V vocabulary.
"""

from collections.abc import Sequence

import tensorflow as tf

from textpipe.text import words
from textpipe.text.codec import REPLACEMENT, UNK_ID, Codec, attach_punctuation, content_ids
from textpipe.text.special_tokens import SPECIAL_TOKENS

CLOSE_TOKEN = "</unk>"


class HybridCodec(Codec):
    """vocabulary: the known words; letters: the code points for spelling unknown words, others become U+FFFD."""

    def __init__(self, vocabulary: Sequence[str], letters: Sequence[int]):
        super().__init__(name="spelling")
        letters = [REPLACEMENT, *(code for code in letters if code != REPLACEMENT)]
        self.num_words = self.close_id = len(SPECIAL_TOKENS) + len(vocabulary)
        self.vocab_size = self.num_words + 1 + len(letters)
        characters = [chr(code) for code in letters]
        self.names = tf.constant([*SPECIAL_TOKENS, *vocabulary, CLOSE_TOKEN, *characters])  # [V]
        self.texts = tf.constant(["", "", "", "", *(f" {word}" for word in vocabulary), "", *characters])  # [V]
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(list(vocabulary), tf.range(len(SPECIAL_TOKENS), self.num_words)), UNK_ID
        )
        self.last = max(letters) + 1
        table = [self.num_words + 1] * (self.last + 1)
        for index, code in enumerate(letters):
            table[code] = self.num_words + 1 + index
        self.letters = tf.constant(table, tf.int32)  # [largest code point + 2]

    @property
    def size(self) -> dict:
        """Extra entries of the size table in features.json: ids below num_words are special tokens and words."""
        return {"num_words": self.num_words}

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        tokens = words.split(text)
        ids = self.table.lookup(tokens.flat_values)  # [M]
        unknown = ids == UNK_ID
        codes = tf.strings.unicode_decode(tf.where(unknown, tokens.flat_values, ""), "UTF-8")
        letters = codes.with_flat_values(tf.gather(self.letters, tf.minimum(codes.flat_values, self.last)))
        closes = tf.RaggedTensor.from_row_lengths(
            tf.fill([tf.math.count_nonzero(unknown)], self.close_id), tf.cast(unknown, tf.int64), validate=False
        )
        return tokens.with_flat_values(tf.concat([ids[:, None], letters, closes], axis=1)).merge_dims(1, 2)

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Spelled words are joined from their letters; one without letters becomes <unk>."""
        content = content_ids(ids)
        flat = content.flat_values
        rows = content.value_rowids()
        letter = flat > self.close_id
        spelling = letter | (flat == UNK_ID)
        same_row = rows[1:] == rows[:-1]
        letter_follows = tf.concat([letter[1:] & same_row, [False]], axis=0)[: tf.size(flat)]
        inside_word = tf.concat([[False], spelling[:-1] & same_row], axis=0)[: tf.size(flat)]
        texts = tf.gather(self.texts, flat)
        texts = tf.where(letter & ~inside_word, tf.strings.join([" ", texts]), texts)
        texts = tf.where(flat == UNK_ID, tf.where(letter_follows, " ", " <unk>"), texts)
        text = tf.strings.reduce_join(content.with_flat_values(texts), axis=-1)
        return attach_punctuation(tf.strings.regex_replace(text, "^ ", ""))

    def pieces(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.names, ids)
