"""Text to words, the same for the words codec, the n-grams and the statistics."""

import tensorflow as tf

from textpipe.text.patterns import WORD_CHARACTER

# White space outside ASCII, which tf.strings.split does not know.
NON_ASCII_SPACE = (
    r"[\x{1c}-\x{1f}\x{85}\x{a0}\x{1680}\x{2000}-\x{200b}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}]"
)
# No capturing group and no alternation over single characters first: RE2 then stays in its fast automaton.
TOKEN = rf"[{WORD_CHARACTER}]+(?:['’][{WORD_CHARACTER}]+)*|[^{WORD_CHARACTER}\s]"
NON_WORD = rf"[^{WORD_CHARACTER}'’]+"
# Once single blanks part the words: apostrophes that do not stand singly between letters.
LOOSE_APOSTROPHE = r"(?:^| )['’]+|['’]+(?: ['’]*|$)|['’]{2,}"


def split(text: tf.Tensor, *, punctuation: bool = True) -> tf.RaggedTensor:
    """Words, and punctuation marks and symbols as words of their own: [N] string -> [N, None] string.

    A word is a run of letters, marks, digits and underscores; an apostrophe inside it belongs to it.

    ["Don't panic!"] -> [["Don't", "panic", "!"]], or without punctuation [["Don't", "panic"]]
    """
    text = tf.strings.regex_replace(text, NON_ASCII_SPACE, " ")
    if punctuation:
        return tf.strings.split(tf.strings.regex_replace(text, TOKEN, r" \0 "))
    text = tf.strings.regex_replace(text, NON_WORD, " ")
    return tf.strings.split(tf.strings.regex_replace(text, LOOSE_APOSTROPHE, " "))


def blank_separated(text: tf.Tensor) -> tf.RaggedTensor:
    """What stands between white space of any kind: [N] string -> [N, None] string.

    ["Don't panic!"] -> [["Don't", "panic!"]]
    """
    return tf.strings.split(tf.strings.regex_replace(text, NON_ASCII_SPACE, " "))
