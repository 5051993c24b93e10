"""Remove the header block of a forwarded mail and keep its body."""

from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.steps import _mail_words as words

# A separator alone does not prove a forwarded mail, so two headers must follow it; without a separator, one of them
# must be a subject.
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

    A block is a separator ("---- Forwarded message ----", "Begin forwarded message:", a line of underscores; in the
    languages of `mail_quotation`) with the header lines below it, or header lines from From: to Subject:. A quoted mail
    below an answer is left to `mail_quotation`; the two steps work in either order. Needs line breaks: put it before
    `whitespace`.

    "FYI\\n---- Forwarded message ----\\nFrom: a@b.org\\nSubject: Tea\\n\\nTea at five." -> "FYI\\nTea at five."
    """
    import tensorflow as tf

    text = tf.strings.regex_replace(text, "\r\n", "\n")
    marked, indices = words.mark_headers(text)
    body = tf.strings.regex_replace(tf.strings.regex_replace(marked, BLOCK, ""), BARE, "")
    body = tf.where(words.split_answered_mail(marked)[1], marked, body)
    return tf.tensor_scatter_nd_update(text, indices, words.remove_markers(body))
