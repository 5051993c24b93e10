"""Lower case letters and leave all else as it is."""

from typing import Literal

from textpipe.config import Section


class Config(Section):
    kind: Literal["lowercase"] = "lowercase"


def apply(text, config):
    """[N] string -> [N] string, each character mapped by Unicode's lower-case rules. Idempotent.

    "Die STRASSE, die Straße" -> "die strasse, die straße"
    """
    import tensorflow as tf

    return tf.strings.lower(text, encoding="utf-8")
