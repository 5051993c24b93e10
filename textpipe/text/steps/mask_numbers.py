"""Replace numbers with a token."""

from typing import Literal

from pydantic import field_validator

from textpipe.config.sections import Section
from textpipe.text.patterns import escape_replacement

# Digits inside a word (mp3, B2B) are part of its name and stay.
NUMBER = r"\b[0-9]+(?:[.,:'’][0-9]+)*\b|[^\P{Nd}0-9]+"


class Config(Section):
    kind: Literal["mask_numbers"] = "mask_numbers"
    token: str = "<number>"  # replacement for each number; must not contain digits

    @field_validator("token")
    @classmethod
    def check_no_digits(cls, token: str) -> str:
        if any(character.isdecimal() for character in token):
            raise ValueError(f"{token!r} contains a digit, which would itself be masked; choose a token without digits")
        return token


def apply(text, config):
    """[N] string -> [N] string; signs, currencies and units stay. Put it after `mask_phones`. Idempotent.

    "at 10:30 for $1,200.50, mp3" -> "at <number> for $<number>, mp3"
    """
    import tensorflow as tf

    return tf.strings.regex_replace(text, NUMBER, escape_replacement(config.token))
