"""Drop the header block of a forwarded mail, and keep its body."""

from typing import Literal

from textpipe.config import Section

SEPARATOR = (
    r"(?:-{2,}[ \t]*(?:forwarded message|forwarded by [^\n]*|weitergeleitete nachricht|message transféré)[ \t]*-*"
    r"|begin forwarded message:|anfang der weitergeleiteten nachricht:|_{10,})"
)
HEADER = (
    r"[ \t*]*(?:from|to|cc|bcc|date|sent|subject|reply-to|importance|attachments"
    r"|von|an|kopie|datum|gesendet|betreff|antwort an|de|à|envoyé|objet)[ \t]?:[^\n]*"
)
# A header may continue on indented lines. A separator alone is no forwarded mail, so two headers are asked for; two
# headers alone are one, when a subject is among them.
HEADERS = rf"{HEADER}(?:\n[ \t]+[^\n]+)*(?:\n{HEADER}(?:\n[ \t]+[^\n]+)*)+"
BLOCK = rf"(?im)^[ \t]*{SEPARATOR}[ \t]*\n(?:[ \t]*\n)*{HEADERS}(?:\n|\z)(?:[ \t]*\n)*"
BARE = (
    rf"(?im)^[ \t*]*(?:from|von|de)[ \t]?:[^\n]*\n(?:{HEADER}\n){{0,5}}"
    rf"[ \t*]*(?:subject|betreff|objet)[ \t]?:[^\n]*(?:\n|\z)(?:{HEADER}(?:\n|\z))*(?:[ \t]*\n)*"
)


class Config(Section):
    kind: Literal["mail_forwarded"] = "mail_forwarded"


def apply(text, config):
    """[N] string -> [N] string without forwarded header blocks; the forwarded text itself stays.

    A block is a separator ("---- Forwarded message ----", "Begin forwarded message:", a rule of underscores; English,
    German, French) and the header lines below it, or header lines from From: to Subject:. Reads lines: put it before
    `whitespace`.

    "FYI\\n---- Forwarded message ----\\nFrom: a@b.org\\nSubject: Tea\\n\\nTea at five." -> "FYI\\nTea at five."
    """
    import tensorflow as tf

    text = tf.strings.regex_replace(text, "\r\n", "\n")
    return tf.strings.regex_replace(tf.strings.regex_replace(text, BLOCK, ""), BARE, "")
