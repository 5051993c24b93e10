"""Convert letters to lower case."""

from typing import Literal

from textpipe.config.sections import Section

# The capitals whose lower case depends on the language in Unicode's SpecialCasing.txt, with their default lower case.
BY_LOCALE = {"I": "i", "J": "j", "Į": "į", "Ì": "ì", "Í": "í", "Ĩ": "ĩ", "İ": "i\u0307"}

# Each alone and before a combining mark above, which matters in Lithuanian.
PROBE = [capital + mark for capital in BY_LOCALE for mark in ("", "\u0300", "\u0307")]


class Config(Section):
    kind: Literal["lowercase"] = "lowercase"


def apply(text, config):
    """[N] string -> [N] string, with each character mapped by Unicode's default lower-case rules. Idempotent.

    Independent of the environment: tf.strings.lower uses ICU, which maps the letters of BY_LOCALE differently in a
    Turkish, Azerbaijani or Lithuanian locale. In these locales they are first mapped by the default rules.

    "Die STRASSE, die Straße" -> "die strasse, die straße"
    """
    import tensorflow as tf

    # Probed where the graph runs, not where it is traced.
    probe = tf.strings.lower(tf.constant(PROBE), encoding="utf-8")
    is_default = tf.reduce_all(tf.equal(probe, tf.constant([lowercase_in_root_locale(text) for text in PROBE])))
    return tf.cond(is_default, lambda: tf.strings.lower(text, encoding="utf-8"), lambda: lower_in_any_locale(text))


def lower_in_any_locale(text):
    """[N] string -> [N] string: maps the locale-dependent letters before ICU does."""
    import tensorflow as tf

    for capital, small in BY_LOCALE.items():
        text = tf.strings.regex_replace(text, capital, small)
    return tf.strings.lower(text, encoding="utf-8")


def lowercase_in_root_locale(text):
    """The lower case of a probe by the default rules."""
    return "".join(BY_LOCALE.get(character, character) for character in text)
