"""Keep only the newest message of a mail: what its sender wrote."""

from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.steps import _mail_words as words
from textpipe.text.steps import mail_quotation, mail_salutation, mail_signature
from textpipe.text.steps._search import contains

Zone = Literal["quotation", "salutation", "closing", "attachments"]

# Lotus Notes writes the sender, a date and the recipients, without a word before the first two:
# "Ann Lee\n06/28/2000 07:26 PM\nTo: ...". White space may be quoted-printable that nobody decoded.
SPACE = r"(?:[ \t]|=09|=20)"
STAMP = rf"[0-9]{{1,4}}[/.\-][0-9]{{1,2}}[/.\-][0-9]{{2,4}},?(?:{SPACE}+|{SPACE}*\n)[0-9]{{1,2}}:[0-9]{{2}}"
SENT_BY = rf"(?:{SPACE}*Sent by:[^\n]*\n)?"
NOTES = (
    rf"(?:{SPACE}*[^\s=0-9{words.MARKERS}][^\n{words.MARKERS}]{{0,80}}\n{SENT_BY}{SPACE}*{STAMP}"
    rf"|[^\n]{{2,120}}{SPACE}{STAMP})[^\n]{{0,24}}\n{SENT_BY}"
    rf"(?:{SPACE}*=?\n|{SPACE}*Please respond to[^\n]*\n){{0,4}}[{words.OF_OTHER}]"
)
# The same on one line: "Ann Lee 05/30/01 09:20 AM   To: Bob  cc:  Subject: Tea".
NOTES_LINE = rf"[^\n]{{2,80}}{SPACE}{STAMP}[^\n]{{0,24}}[ \t]To:"
LATER_HEADER = rf"\n(?:[ \t]*\n){{0,3}}{words.HEADER}"
SEPARATOR = rf"(?:{words.RULE}\n(?:[ \t]*\n)*)?[{words.OF_ORIGINAL}{words.OF_FORWARD}]"
BLOCK = (
    rf"(?:{words.RULE}\n(?:[ \t]*\n)*)?"
    rf"(?:{words.header_line(words.OF_FROM)}{LATER_HEADER}{LATER_HEADER}"
    rf"|{words.HEADER}(?:{words.NEXT_LINE}{words.HEADER}){{3}})"
)
QUOTED_MAIL = rf"^(?:{SEPARATOR}|{NOTES}|{NOTES_LINE}|{BLOCK})"
BELOW = rf"(?m){QUOTED_MAIL}(?s:.*)"
# Nothing but headers above a mail: it was forwarded without a word, and its text is the message.
WRAPPED = r"(?:\n[ \t]*(?:[0-9]{1,2}:[0-9]{2}[ \t]*)?(?:[AP]M[ \t]*)?-{3,}[ \t=]*)?"
ABOVE = rf"(?m)\A(?:\s*{QUOTED_MAIL}[^\n]*{WRAPPED}{words.CONTINUATION}(?:{LATER_HEADER})*\s*?(?:\n|\z))+"
# Below an attribution line no line is quoted: all of it is the mail that is answered.
UNQUOTED = rf"{mail_quotation.ATTRIBUTION}(?:[ \t]*(?:[^\s>][^\n]*)?\n)*[ \t]*(?:[^\s>][^\n]*)?\z"
FILE = r"[^\n<>/@]{1,80}\.(?i:docx?|xlsx?|pptx?|pdf|te?xt|rtf|csv|zip|html?|jpe?g|gif|png|tiff?|bmp|wpd|eml|ics|vcf|mpg|avi)"
ATTACHMENTS = rf"(?m)^[ \t]*(?:- {FILE}|(?:<<{FILE}>>[ \t]*)+|\(See attached file: [^\n()]*\))[ \t]*(?:\n|\z)"


class Config(Section):
    kind: Literal["mail_zones"] = "mail_zones"
    cut: tuple[Zone, ...] = ("quotation", "salutation", "closing", "attachments")  # what is removed


def apply(text, config):
    """[N] string -> [N] string without quoted and forwarded mails, salutation, closing, signature and attachments' names.

    Goes further than `mail_quotation` and `mail_forwarded`, which it replaces: a forwarded mail below any text is cut
    with its headers, and so is what Lotus Notes quotes without a sign, and all below an attribution line ("Ann wrote:")
    after which no line begins with ">". Answers between quoted lines stay. A mail that is forwarded without a word of
    the sender's own is its own message: its headers are cut and its text stays. The closing and the salutation are cut
    as by `mail_signature` and `mail_salutation`. A zone that would leave nothing stays. Needs line breaks and capitals:
    put it before `whitespace` and `casefold`.

    "Hi Bob,\\n\\nyes.\\n\\nAnn\\n\\nBob Roe\\n06/28/2000 07:26 PM\\nTo: Ann\\nSubject: Tea\\n\\nTea?" -> "yes."
    """
    import tensorflow as tf

    text = tf.strings.strip(tf.strings.regex_replace(text, "\r\n", "\n"))
    if "quotation" in config.cut:
        text = unless_blank(newest_message(text), text)
    if "attachments" in config.cut:
        text = unless_blank(tf.strings.regex_replace(text, ATTACHMENTS, ""), text)
    if "closing" in config.cut:
        text = unless_blank(mail_signature.apply(text, mail_signature.Config()), text)
    if "salutation" in config.cut:
        text = mail_salutation.apply(text, mail_salutation.Config())
    return tf.strings.strip(text)


def unless_blank(text, otherwise):
    """The texts, and where they are white space alone the others: [N], [N] string -> [N] string."""
    import tensorflow as tf

    return tf.where(tf.strings.regex_full_match(text, r"\s*"), otherwise, text)


def newest_message(text):
    """The texts without the mails they quote or forward: [N] string -> [N] string."""
    import tensorflow as tf

    marked, indices = words.mark_lines(text)
    message = tf.strings.regex_replace(marked, ABOVE, "", replace_global=False)
    message = tf.strings.regex_replace(message, BELOW, "", replace_global=False)
    text = tf.tensor_scatter_nd_update(text, indices, words.remove_markers(message))
    indices = tf.where(contains(text, mail_quotation.COLONS[0]) | contains(text, mail_quotation.COLONS[1]))  # [M, 1]
    answer = tf.gather_nd(text, indices)
    message = tf.strings.regex_replace(answer, UNQUOTED, "", replace_global=False)
    message = unless_blank(message, answer)
    message = tf.strings.regex_replace(message, mail_quotation.ATTRIBUTION, "")
    text = tf.tensor_scatter_nd_update(text, indices, message)
    return tf.strings.regex_replace(text, mail_quotation.QUOTED_LINE, "")
