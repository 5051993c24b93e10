"""Words as ids, and unknown words letter by letter in the same row of ids.   Luong & Manning (2016), section 4.

    "a man xylophoning ."  ->  a man <unk> x y l o p h o n i n g </unk> .

Ids lie in the order marks, words, </unk>, letters: whoever knows where </unk> is can tell them apart by comparing.
Because a spelled word is a stretch of an ordinary row, rows, batches, decoders and the SavedModel need not know of it.

Shapes: N texts, T tokens, V vocabulary.
"""

from collections.abc import Sequence

import tensorflow as tf

from textpipe.text import words
from textpipe.text.codec import REPLACEMENT, UNK_ID, Codec, attach_punctuation, content_ids
from textpipe.text.special_tokens import MARKS

CLOSE_TOKEN = "</unk>"


class HybridCodec(Codec):
    """vocabulary: the words known; letters: the code points unknown words are spelled with, others becoming U+FFFD."""

    def __init__(self, vocabulary: Sequence[str], letters: Sequence[int]):
        super().__init__(name="spelling")
        letters = [REPLACEMENT, *(code for code in letters if code != REPLACEMENT)]
        self.num_words = self.close_id = len(MARKS) + len(vocabulary)
        self.vocab_size = self.num_words + 1 + len(letters)
        spelled = [chr(code) for code in letters]
        self.names = tf.constant([*MARKS, *vocabulary, CLOSE_TOKEN, *spelled])  # [V]
        self.written = tf.constant(["", "", "", "", *(f" {word}" for word in vocabulary), "", *spelled])  # [V]
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(list(vocabulary), tf.range(len(MARKS), self.num_words)), UNK_ID
        )
        self.last = max(letters) + 1
        table = [self.num_words + 1] * (self.last + 1)
        for place, code in enumerate(letters):
            table[code] = self.num_words + 1 + place
        self.letters = tf.constant(table, tf.int32)  # [largest code point + 2]

    @property
    def size(self) -> dict:
        """What features.json says of these ids beside their number: ids below num_words are marks and words."""
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
        """A spelled word is written as it is spelled; one without a letter is <unk>."""
        kept = content_ids(ids)
        flat = kept.flat_values
        rows = kept.value_rowids()
        letter = flat > self.close_id
        spelling = letter | (flat == UNK_ID)
        same = rows[1:] == rows[:-1]
        after = tf.concat([letter[1:] & same, [False]], axis=0)[: tf.size(flat)]  # a letter of the same row follows
        before = tf.concat([[False], spelling[:-1] & same], axis=0)[: tf.size(flat)]
        written = tf.gather(self.written, flat)
        written = tf.where(letter & ~before, tf.strings.join([" ", written]), written)
        opened = flat == UNK_ID
        written = tf.where(opened, tf.where(after, " ", " <unk>"), written)
        text = tf.strings.reduce_join(kept.with_flat_values(written), axis=-1)
        return attach_punctuation(tf.strings.regex_replace(text, "^ ", ""))

    def pieces(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.names, ids)
