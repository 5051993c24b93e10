"""Lower case letters and leave all else as it is."""

from typing import Literal

from textpipe.config import Section


# The capitals that SpecialCasing.txt of Unicode maps by language; I is followed by nothing that matters once it is small.
BY_LOCALE = {"I": "i", "J": "j", "Į": "į", "Ì": "ì", "Í": "í", "Ĩ": "ĩ", "İ": "i\u0307"}


class Config(Section):
    kind: Literal["lowercase"] = "lowercase"


def apply(text, config):
    """[N] string -> [N] string, each character mapped by Unicode's lower-case rules. Idempotent.

    The same in every environment: ICU, which tf.strings.lower asks, maps the letters below by the locale of the process
    where that is Turkish, Azerbaijani or Lithuanian. They are mapped first, by the rules that hold for all languages.

    "Die STRASSE, die Straße" -> "die strasse, die straße"
    """
    import tensorflow as tf

    for capital, small in BY_LOCALE.items():
        text = tf.strings.regex_replace(text, capital, small)
    return tf.strings.lower(text, encoding="utf-8")
