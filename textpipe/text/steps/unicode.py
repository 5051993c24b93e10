"""Convert text to a Unicode normalization form."""

from typing import Literal

from textpipe.config.sections import Section


class Config(Section):
    """form: NFC composes, NFD decomposes; NFKC and NFKD also replace compatibility characters (ligatures, widths)."""

    kind: Literal["unicode"] = "unicode"
    form: Literal["NFC", "NFD", "NFKC", "NFKD"] = "NFC"


def apply(text, config):
    """[N] string -> [N] string. Idempotent (Unicode Standard Annex 15).

    NFC:  "e" + U+0301 -> "é";  NFKC:  "ﬁne ①" -> "fine 1"
    """
    import tensorflow_text

    return tensorflow_text.normalize_utf8(text, config.form)
