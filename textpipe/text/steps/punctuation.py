"""Remove punctuation marks."""

from typing import TYPE_CHECKING, Literal

from textpipe.config.sections import Section

if TYPE_CHECKING:
    import tensorflow as tf


class Config(Section):
    """Every punctuation mark becomes a space, except apostrophes and hyphens inside words: "Well-read, isn't he?" -> "Well-read  isn't he "."""

    kind: Literal["punctuation"] = "punctuation"


def apply(text: "tf.Tensor", config: Config) -> "tf.Tensor":
    """Replace marks of Unicode's category P by spaces: [N] string -> [N] string."""
    import tensorflow as tf

    # RE2 has no look-around: joining marks are protected by noncharacters of Unicode. Twice, since matches do not overlap: rock'n'roll.
    text = tf.strings.regex_replace(text, "[\ufdd1\ufdd2]", " ")
    for _ in range(2):
        text = tf.strings.regex_replace(text, r"(\pL)['\x{2019}](\pL)", "\\1\ufdd1\\2")
        text = tf.strings.regex_replace(text, r"([\pL\pN])-([\pL\pN])", "\\1\ufdd2\\2")
    text = tf.strings.regex_replace(text, r"\pP", " ")
    return tf.strings.regex_replace(tf.strings.regex_replace(text, "\ufdd1", "'"), "\ufdd2", "-")
