"""Replace e-mail addresses with a token."""

from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.patterns import escape_replacement

ADDRESS = r"[\p{L}\p{N}._%+'\-]*[\p{L}\p{N}_]@[\p{L}\p{N}\-]+(?:\.[\p{L}\p{N}\-]+)+"


class Config(Section):
    kind: Literal["mask_addresses"] = "mask_addresses"
    token: str = "<address>"  # replacement for each address


def apply(text, config):
    """[N] string -> [N] string. Recognizes internationalized names, but not quoted local parts ("a b"@c.org).
    Idempotent.

    "Ask ann.lee@example.org." -> "Ask <address>."
    """
    import tensorflow as tf

    return tf.strings.regex_replace(text, ADDRESS, escape_replacement(config.token))
