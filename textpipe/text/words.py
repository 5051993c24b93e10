"""Split text into words, for the words codec, n-grams and statistics."""

import tensorflow as tf

from textpipe.text.patterns import WORD_CHARACTER

# White space outside ASCII, at which tf.strings.split does not split.
NON_ASCII_SPACE = (
    r"[\x{1c}-\x{1f}\x{85}\x{a0}\x{1680}\x{2000}-\x{200b}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}]"
)
# No capturing groups, and no leading alternation of single characters, so that RE2 uses its DFA.
TOKEN = rf"[{WORD_CHARACTER}]+(?:['’][{WORD_CHARACTER}]+)*|[^{WORD_CHARACTER}\s]"
NON_WORD = rf"[^{WORD_CHARACTER}'’]+"
# In words separated by single spaces: apostrophes that are not single ones between letters.
LOOSE_APOSTROPHE = r"(?:^| )['’]+|['’]+(?: ['’]*|$)|['’]{2,}"


def split(text: tf.Tensor, *, punctuation: bool = True) -> tf.RaggedTensor:
    """Split text into words, with punctuation marks and symbols as separate words: [N] string -> [N, None] string.

    A word is a sequence of letters, marks, digits and underscores, with apostrophes inside it.

    ["Don't panic!"] -> [["Don't", "panic", "!"]], or without punctuation [["Don't", "panic"]]
    """
    text = tf.strings.regex_replace(text, NON_ASCII_SPACE, " ")
    if punctuation:
        return tf.strings.split(tf.strings.regex_replace(text, TOKEN, r" \0 "))
    text = tf.strings.regex_replace(text, NON_WORD, " ")
    return tf.strings.split(tf.strings.regex_replace(text, LOOSE_APOSTROPHE, " "))


def split_whitespace(text: tf.Tensor) -> tf.RaggedTensor:
    """Split text at white space of any kind: [N] string -> [N, None] string.

    ["Don't panic!"] -> [["Don't", "panic!"]]
    """
    return tf.strings.split(tf.strings.regex_replace(text, NON_ASCII_SPACE, " "))
