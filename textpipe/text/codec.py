"""Text to token ids and back, as TensorFlow ops.

Every codec has vocab_size, pad_id = 0, unk_id = 1, start_id = 2, end_id = 3 and the methods

    encode(text [N]) -> RaggedTensor [N, None] int32, without start, end and padding
    decode(ids [N, T]) -> [N] string; drops padding and starts, stops at the first end
    pieces(ids [N, T]) -> [N, T] string, the tokens as text

Shapes: N texts, T tokens, V vocabulary.
"""

import hashlib
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_text

from textpipe.text import words
from textpipe.text.special_tokens import END_ID, PAD_ID, SPACE_SYMBOL, SPECIAL_TOKENS, START_ID, UNK_ID

# sentencepiece represents a space as U+2581 and would decode a U+2581 of the text to a space, so U+2581 is escaped with
# a noncharacter, which is itself escaped. Every text survives the round trip.
ESCAPE = "\ufdd0"
REPLACEMENT = 0xFFFD


def content_ids(ids: tf.Tensor) -> tf.RaggedTensor:
    """The ids before the first end, without padding and starts: [N, T] int32 -> [N, None] int32.

    [[2, 7, 8, 3, 9], [7, 0, 0, 0, 0]] -> [[7, 8], [7]]
    """
    return tf.ragged.boolean_mask(ids, content_mask(ids))


def content_mask(ids: tf.Tensor) -> tf.Tensor:
    """True for ids before the first end that are neither padding nor starts: [N, T] -> [N, T] bool."""
    before_end = tf.cumsum(tf.cast(ids == END_ID, tf.int32), axis=1) == 0
    return before_end & (ids != PAD_ID) & (ids != START_ID)


def attach_punctuation(text: tf.Tensor) -> tf.Tensor:
    """Remove the space before closing and after opening punctuation marks: [N] string -> [N] string.

    ["a dog ( black ) ."] -> ["a dog (black)."]
    """
    text = tf.strings.regex_replace(text, r" ([.,;:!?%)\]}…”»])", r"\1")
    return tf.strings.regex_replace(text, r"([(\[{„“«¿¡]) ", r"\1")


class Codec(tf.Module):
    """Base class of codecs, with the ids of the special tokens."""

    pad_id, unk_id, start_id, end_id = PAD_ID, UNK_ID, START_ID, END_ID
    vocab_size: int

    def unknown(self, ids: tf.Tensor) -> tf.Tensor:
        """True for ids of text outside the vocabulary: [...] -> [...] bool."""
        return ids == UNK_ID


class SubwordCodec(Codec):
    """A sentencepiece model, unigram or BPE. model: the bytes of a .model file.

    decode(encode(text)) is the text itself for any UTF-8 text, except for leading spaces.
    """

    def __init__(self, model: bytes):
        super().__init__(name="subwords")
        # A SavedModel identifies resources by the name of their op: without names, two models become one when it is
        # loaded (tensorflow/text#1304), and translations use the wrong vocabulary.
        name = f"sentencepiece_{hashlib.sha256(model).hexdigest()[:16]}"
        self.tokenizer = tensorflow_text.SentencepieceTokenizer(model, name=name)
        self.vocab_size = int(self.tokenizer.vocab_size())
        self.first_byte = int(self.tokenizer.string_to_id("<0x00>"))  # after the special tokens and the reserved ones

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        text = tf.strings.regex_replace(text, ESCAPE, ESCAPE + "a")
        return self.tokenizer.tokenize(tf.strings.regex_replace(text, SPACE_SYMBOL, ESCAPE + "b"))

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        content = content_ids(ids)
        if self.first_byte > len(
            SPECIAL_TOKENS
        ):  # no answer has a reserved token, which a shared vocabulary could give it
            content = tf.ragged.boolean_mask(content, (content < len(SPECIAL_TOKENS)) | (content >= self.first_byte))
        text = self.tokenizer.detokenize(content)
        text = tf.strings.regex_replace(text, ESCAPE + "b", SPACE_SYMBOL)
        return tf.strings.regex_replace(text, ESCAPE + "a", ESCAPE)

    def pieces(self, ids: tf.Tensor) -> tf.Tensor:
        return self.tokenizer.id_to_string(ids)

    def unknown(self, ids: tf.Tensor) -> tf.Tensor:
        """Characters without a piece are encoded as bytes, which have 256 ids."""
        return (ids == UNK_ID) | ((ids >= self.first_byte) & (ids < self.first_byte + 256))


class CharacterCodec(Codec):
    """One id per character. codes: the known code points, whose ids follow the special tokens."""

    def __init__(self, codes: Sequence[int]):
        super().__init__(name="characters")
        self.vocab_size = len(SPECIAL_TOKENS) + len(codes)
        self.codes = tf.constant([REPLACEMENT] * len(SPECIAL_TOKENS) + list(codes), tf.int32)  # [V]
        self.last = max(codes, default=0) + 1
        table = [UNK_ID] * (self.last + 1)
        for index, code in enumerate(codes):
            table[code] = len(SPECIAL_TOKENS) + index
        self.table = tf.constant(table, tf.int32)  # [largest code point + 2]
        self.names = tf.constant([*SPECIAL_TOKENS, *(chr(code) for code in codes)])  # [V]

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        codes = tf.strings.unicode_decode(text, "UTF-8")
        return codes.with_flat_values(tf.gather(self.table, tf.minimum(codes.flat_values, self.last)))

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Unknown characters become U+FFFD."""
        content = content_ids(ids)
        return tf.strings.unicode_encode(content.with_flat_values(tf.gather(self.codes, content.flat_values)), "UTF-8")

    def pieces(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.names, ids)


class ByteCodec(Codec):
    """One id per byte of UTF-8: 256 ids after the special tokens; nothing to learn, nothing unknown."""

    vocab_size = len(SPECIAL_TOKENS) + 256

    def __init__(self):
        super().__init__(name="bytes")
        self.bytes = tf.constant(
            [b"\xef\xbf\xbd"] * len(SPECIAL_TOKENS) + [bytes([value]) for value in range(256)]
        )  # [V]
        self.names = tf.constant([*SPECIAL_TOKENS, *(f"<0x{value:02X}>" for value in range(256))])  # [V]

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        joined = tf.io.decode_raw(tf.strings.reduce_join(text), tf.uint8)
        return tf.RaggedTensor.from_row_lengths(
            tf.cast(joined, tf.int32) + len(SPECIAL_TOKENS), tf.cast(tf.strings.length(text), tf.int64), validate=False
        )

    def decode(self, ids: tf.Tensor) -> tf.Tensor:
        """Invalid UTF-8, which a model may produce, becomes U+FFFD."""
        content = content_ids(ids)
        text = tf.strings.reduce_join(content.with_flat_values(tf.gather(self.bytes, content.flat_values)), axis=-1)
        return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")

    def pieces(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.names, ids)


class WordCodec(Codec):
    """One id per word, as split by words.split. vocabulary: the known words, whose ids follow the special tokens.

    decode joins words with spaces, without one before closing and after opening punctuation marks. The original white
    space and the spacing of straight quotation marks are lost.
    """

    def __init__(self, vocabulary: Sequence[str]):
        super().__init__(name="words")
        self.vocab_size = len(SPECIAL_TOKENS) + len(vocabulary)
        self.names = tf.constant([*SPECIAL_TOKENS, *vocabulary])  # [V]
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                self.names[len(SPECIAL_TOKENS) :], tf.range(len(SPECIAL_TOKENS), self.vocab_size)
            ),
            UNK_ID,
        )

    def encode(self, text: tf.Tensor) -> tf.RaggedTensor:
        tokens = self.tokens(text)
        return tokens.with_flat_values(self.table.lookup(tokens.flat_values))

    def tokens(self, text: tf.Tensor) -> tf.RaggedTensor:
        """The words of a text, one for each id of `encode`: [N] -> [N, None] string."""
        return words.split(text)

    def decode(self, ids: tf.Tensor, unknown: tf.Tensor | None = None) -> tf.Tensor:
        """Unknown words are replaced by the words of `unknown` [N, T] string; where that is empty, by <unk>."""
        names = tf.gather(self.names, ids)
        if unknown is not None:
            names = tf.where((ids == UNK_ID) & (unknown != ""), unknown, names)
        return attach_punctuation(
            tf.strings.reduce_join(tf.ragged.boolean_mask(names, content_mask(ids)), axis=-1, separator=" ")
        )

    def pieces(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.gather(self.names, ids)
