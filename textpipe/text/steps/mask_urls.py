"""Replace URLs with a token."""

from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.patterns import LINE_BREAK, SPACE, escape_replacement

# A period or closing bracket after a URL belongs to the sentence.
URL = rf"(?i)(?:\b(?:https?|ftps?|file)://|\bwww\.)[^<>\"{SPACE}{LINE_BREAK}]*[^<>\"{SPACE}{LINE_BREAK}.,;:!?'’”»)\]}}]"


class Config(Section):
    kind: Literal["mask_urls"] = "mask_urls"
    token: str = "<url>"  # replacement for each URL


def apply(text, config):
    """[N] string -> [N] string; a URL begins with http://, https://, ftp://, file:// or "www.". Idempotent.

    "See https://a.org/x?y=1." -> "See <url>."
    """
    import tensorflow as tf

    return tf.strings.regex_replace(text, URL, escape_replacement(config.token))
