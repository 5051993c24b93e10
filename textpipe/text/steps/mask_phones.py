"""Replace telephone numbers with a token."""

from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.patterns import escape_replacement

GAP = r"[ \x{a0}./\-]{0,2}"
# A number is distinguished from a date, price or version by its format: international, with its area code in
# parentheses, in three groups of 3-3-4, or with a leading zero and at least seven digits.
INTERNATIONAL = rf"(?:\+|\b00)[1-9][0-9]{{0,2}}(?:{GAP}\(0\))?(?:{GAP}\(?[0-9]{{1,5}}\)?){{2,6}}"
BRACKETED = rf"\([0-9]{{2,5}}\){GAP}[0-9]{{3,4}}(?:{GAP}[0-9]{{2,5}}){{1,2}}"
THREE_GROUPS = r"\b(?:1[ .\-])?[2-9][0-9]{2}([ .\-])[0-9]{3}[ .\-][0-9]{4}"
LEADING_ZERO = r"\b0[1-9][0-9]{1,4}[ \x{a0}/\-]{1,2}[0-9]{3,4}(?:[ \-]?[0-9]{2,5}){0,3}"
PHONE = rf"(?:{INTERNATIONAL}|{BRACKETED}|{THREE_GROUPS}|{LEADING_ZERO})\b"


class Config(Section):
    kind: Literal["mask_phones"] = "mask_phones"
    token: str = "<phone>"  # replacement for each telephone number


def apply(text, config):
    """[N] string -> [N] string; a number without separators and + counts as a plain number and stays. Idempotent.

    "Call (030) 1234-567 or +1 415 555 0100" -> "Call <phone> or <phone>"
    """
    import tensorflow as tf

    return tf.strings.regex_replace(text, PHONE, escape_replacement(config.token))
