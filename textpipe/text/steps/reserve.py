"""Keep a reserved token out of texts."""

import re
from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.patterns import escape_replacement


class Config(Section):
    """Added by normalize to the steps of every text field where [ingest.synthetic] has a tag: a text that contains the token is not
    mistaken for a tagged one.
    """

    kind: Literal["reserve"] = "reserve"
    token: str = "<BT>"  # the token; wherever a text contains it, a space is put after its first character


def apply(text, config):
    """[N] string -> [N] string; idempotent.

    "a <BT> b" -> "a < BT> b"
    """
    import tensorflow as tf

    token = config.token
    broken = f"{token[0]} {token[1:]}"
    if any(
        token[:size] == token[-size:] for size in range(1, len(token))
    ):  # its end and the next characters could be another one
        broken += " "
    return tf.strings.regex_replace(text, re.escape(token), escape_replacement(broken))
