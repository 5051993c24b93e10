"""Replace web addresses by one token."""

from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.patterns import LINE_BREAK, SPACE, escape_replacement

# A full stop or a closing bracket after an address ends the sentence, not the address.
URL = rf"(?i)(?:\b(?:https?|ftps?|file)://|\bwww\.)[^<>\"{SPACE}{LINE_BREAK}]*[^<>\"{SPACE}{LINE_BREAK}.,;:!?'’”»)\]}}]"


class Config(Section):
    kind: Literal["mask_urls"] = "mask_urls"
    token: str = "<url>"  # what stands for a web address


def apply(text, config):
    """[N] string -> [N] string; an address starts with http://, https://, ftp://, file:// or www. Idempotent.

    "See https://a.org/x?y=1." -> "See <url>."
    """
    import tensorflow as tf

    return tf.strings.regex_replace(text, URL, escape_replacement(config.token))
