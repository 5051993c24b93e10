"""Lower case letters and leave all else as it is."""

from typing import Literal

from textpipe.config.sections import Section

# The capitals that SpecialCasing.txt of Unicode maps by language; I is followed by nothing that matters once it is small.
BY_LOCALE = {"I": "i", "J": "j", "Į": "į", "Ì": "ì", "Í": "í", "Ĩ": "ĩ", "İ": "i\u0307"}

# Each of them alone, and before a mark above, which Lithuanian heeds.
PROBE = [capital + mark for capital in BY_LOCALE for mark in ("", "\u0300", "\u0307")]


class Config(Section):
    kind: Literal["lowercase"] = "lowercase"


def apply(text, config):
    """[N] string -> [N] string, each character mapped by Unicode's lower-case rules. Idempotent.

    The same in every environment: ICU, which tf.strings.lower asks, maps the letters below by the locale of the process
    where that is Turkish, Azerbaijani or Lithuanian. They are mapped first, by the rules that hold for all languages.

    "Die STRASSE, die Straße" -> "die strasse, die straße"
    """
    import tensorflow as tf

    # Asked where the graph runs, not where it is made.
    asked = tf.strings.lower(tf.constant(PROBE), encoding="utf-8")
    usual = tf.reduce_all(tf.equal(asked, tf.constant([lowercase_in_root_locale(text) for text in PROBE])))
    return tf.cond(usual, lambda: tf.strings.lower(text, encoding="utf-8"), lambda: lower_in_any_locale(text))


def lower_in_any_locale(text):
    """[N] string -> [N] string: what the locale would map by rules of its own is mapped first."""
    import tensorflow as tf

    for capital, small in BY_LOCALE.items():
        text = tf.strings.regex_replace(text, capital, small)
    return tf.strings.lower(text, encoding="utf-8")


def lowercase_in_root_locale(text):
    """What a probe becomes by the rules that hold for all languages."""
    return "".join(BY_LOCALE.get(character, character) for character in text)
