"""Drop what a mail quotes of the mail it answers."""

from typing import Literal

from textpipe.config import Section

QUOTED_LINE = r"(?m)^[ \t]*(?:>|&gt;).*(?:\n|\z)"
# "On Mon, 3 May 2021 at 10:00, Ann <a@b.org> wrote:", often broken over two or three lines by the mail program.
# Each needs a digit (the date), so that a sentence such as "On this my boss wrote:" stays.
ATTRIBUTION = (
    r"(?m)^[ \t]*(?:"
    r"On [^\n]*[0-9][^\n]*(?:\n[^\n]+){0,2}?[ \n]wrote"
    r"|Am [^\n]*[0-9][^\n]*(?:\n[^\n]+){0,2}?[ \n]schrieb[^\n:]*(?:\n[^\n:]*)?"
    r"|Le [^\n]*[0-9][^\n]*(?:\n[^\n]+){0,2}?[ \n]a écrit"
    r")[ \t\x{a0}]*:[ \t]*(?:\n|\z)"
)
# Outlook quotes the whole mail below this line, unmarked.
ORIGINAL = (
    r"(?ims)^[ \t]*-{2,}[ \t]*(?:original message|original-nachricht|ursprüngliche nachricht|message d'origine)"
    r"[ \t]*-{2,}[ \t]*(?:\r?\n|\z).*"
)


class Config(Section):
    kind: Literal["mail_quotation"] = "mail_quotation"


def apply(text, config):
    """[N] string -> [N] string without quoted lines (>), their attribution line, and all below "-----Original
    Message-----".

    Attribution lines are known in English, German and French, with the colon at the end of a line. Reads lines: put it
    before `whitespace`. Idempotent.

    "Yes.\\nOn 3 May 2021, Ann wrote:\\n> Coming?\\n" -> "Yes.\\n"
    """
    import tensorflow as tf

    text = tf.strings.regex_replace(text, "\r\n", "\n")
    text = tf.strings.regex_replace(text, ORIGINAL, "")
    text = tf.strings.regex_replace(text, QUOTED_LINE, "")
    return tf.strings.regex_replace(text, ATTRIBUTION, "")
