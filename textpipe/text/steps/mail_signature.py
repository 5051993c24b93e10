"""Drop the closing words and the signature that end a mail."""

from typing import Literal

from textpipe.config import Section

# RFC 3676, section 4.3: two dashes and a blank on a line of their own; many programs lose the blank.
SEPARATED = r"(?s)(?:\A|\n)-- ?\r?(?:\n.*|\z)"
SENT_FROM = (
    r"(?im)^[ \t]*(?:sent from my|sent from mail for|sent from yahoo|get outlook for"
    r"|von meinem|gesendet von|envoyé de mon)"
    r"[^\n]{0,60}(?:\n|\z)"
)
CLOSING = (
    r"(?i:(?:with )?(?:best|kind|kindest|warm|warmest|many)? ?regards|(?:all the )?best(?: wishes)?"
    r"|(?:many )?thanks(?: again| in advance| so much)?|thank you(?: very much| so much| in advance)?|thx"
    r"|cheers|cordially|respectfully|take care|(?:yours )?(?:sincerely|truly|faithfully)(?: yours)?"
    r"|mit (?:freundlichen|besten|herzlichen) grüßen|(?:viele|liebe|beste|herzliche|schöne) grüße"
    r"|(?:lieben |besten )?(?:gruß|dank)|mfg|lg|vg"
    r"|cordialement|bien à vous|merci)"
)
# The name, title, telephone number and so on: short lines, and few, else it is text.
CLOSED = rf"(?:\s*\n[ \t]*{CLOSING}[ \t]*[,.!;]*[ \t]*\r?(?:\n[^\n]{{0,60}}){{0,6}})+\s*\z"


class Config(Section):
    kind: Literal["mail_signature"] = "mail_signature"


def apply(text, config):
    """[N] string -> [N] string, cut at the line "-- " or at a closing line ("Best regards," ...) with few short lines
    after it.

    "Sent from my ..." lines go too. Closings are known in English, German and French, must stand on a line of their
    own, and are kept when nothing stands above them. Reads lines: put it before `whitespace`. Idempotent.

    "See you.\\n\\nBest regards,\\nAnn\\n+49 30 1234" -> "See you."
    """
    import tensorflow as tf

    text = tf.strings.regex_replace(text, SENT_FROM, "")
    text = tf.strings.regex_replace(text, SEPARATED, "", replace_global=False)
    return tf.strings.regex_replace(text, CLOSED, "", replace_global=False)
