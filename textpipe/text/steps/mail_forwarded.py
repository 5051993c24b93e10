"""Drop the header block of a forwarded mail, and keep its body."""

from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.steps import _mail_words as words

# A separator alone is no forwarded mail, so two headers are asked for; two headers alone are one, when a subject is
# among them.
BLOCK = (
    rf"(?m)(?:\A\s*{words.OF_ORIGINAL}[^\n]*|^{words.OF_FORWARD}[^\n]*|^{words.RULE})\n(?:[ \t]*\n)*"
    rf"{words.HEADER}(?:{words.NEXT_LINE}{words.HEADER})+(?:\n|\z)(?:[ \t]*\n)*"
)
BARE = (
    rf"(?m)^{words.header_line(words.OF_FROM)}{words.NEXT_LINE}(?:{words.HEADER}{words.NEXT_LINE}){{0,5}}?{words.header_line(words.OF_SUBJECT)}"
    rf"(?:{words.NEXT_LINE}{words.HEADER})*(?:\n|\z)(?:[ \t]*\n)*"
)


class Config(Section):
    kind: Literal["mail_forwarded"] = "mail_forwarded"


def apply(text, config):
    """[N] string -> [N] string without forwarded header blocks; the forwarded text itself stays.

    A block is a separator ("---- Forwarded message ----", "Begin forwarded message:", a rule of underscores; in the
    languages that `mail_quotation` knows) and the header lines below it, or header lines from From: to Subject:. A
    mail that is answered, whose headers stand below words of one's own, stays whole for `mail_quotation`; the two steps
    may come in either order. Reads lines: put it before `whitespace`.

    "FYI\\n---- Forwarded message ----\\nFrom: a@b.org\\nSubject: Tea\\n\\nTea at five." -> "FYI\\nTea at five."
    """
    import tensorflow as tf

    text = tf.strings.regex_replace(text, "\r\n", "\n")
    marked, places = words.mark_headers(text)
    rest = tf.strings.regex_replace(tf.strings.regex_replace(marked, BLOCK, ""), BARE, "")
    rest = tf.where(words.split_answered_mail(marked)[1], marked, rest)
    return tf.tensor_scatter_nd_update(text, places, words.remove_markers(rest))
