"""Fold case, so that texts equal but for case become equal bytes."""

from typing import Literal

from textpipe.config.sections import Section


class Config(Section):
    kind: Literal["casefold"] = "casefold"


def apply(text, config):
    """[N] string -> [N] string. Idempotent.

    This is Unicode's NFKC_Casefold: beside folding case it applies NFKC and drops invisible characters such as the zero
    width joiner. Where letters must stay as a reader knows them (a German target), take the step `lowercase`.

    "Straße ﬁx" -> "strasse fix"
    """
    import tensorflow_text

    return tensorflow_text.case_fold_utf8(text)
