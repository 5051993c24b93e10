"""Fold case, so that texts that differ only in case become equal."""

from typing import Literal

from textpipe.config.sections import Section


class Config(Section):
    kind: Literal["casefold"] = "casefold"


def apply(text, config):
    """[N] string -> [N] string. Idempotent.

    Unicode's NFKC_Casefold: also applies NFKC and removes invisible characters such as the zero width joiner. For text
    that people read (a German target), use the step `lowercase`.

    "Straße ﬁx" -> "strasse fix"
    """
    import tensorflow_text

    return tensorflow_text.case_fold_utf8(text)
