"""Remove the salutation of a mail."""

from typing import Literal

from textpipe.config.sections import Section

GREETING = (
    r"(?i:hi|hello|hey|dear|greetings|good (?:morning|afternoon|evening|day)"
    r"|hallo|guten (?:tag|morgen|abend)|moin|liebe[rs]?|sehr geehrte[rs]?|bonjour|cher|chère)"
)
# In running text, only names may come between the greeting and its comma: "Hello can you come, ..." stays.
NAME = (
    r"(?:\p{Lu}[\p{L}\p{M}.'’\-]*"
    r"|(?i:there|all|both|team|everyone|everybody|folks|guys|sir|madam|or|und|and|frau|herr|zusammen))"
)
ON_ITS_OWN_LINE = rf"{GREETING}(?:[ \t,]+[\p{{L}}\p{{M}}.'’\-]+){{0,5}}[ \t]*[,!:.;]*[ \t]*(?:\n|\z)"
BEFORE_A_COMMA = rf"{GREETING}(?:[ \t]+{NAME}){{0,4}}[ \t]*[,!:][ \t]*"
OPENING = rf"\A(?:\s*(?:{ON_ITS_OWN_LINE}|{BEFORE_A_COMMA}))+\s*"


class Config(Section):
    kind: Literal["mail_salutation"] = "mail_salutation"


def apply(text, config):
    """[N] string -> [N] string without the greeting line, or without the greeting before the first comma.

    Recognizes English, German and French. A text that is only a greeting stays. Names are recognized by their capital:
    put it before `casefold`. Idempotent.

    "Dear Ms Lee,\\n\\nplease call." -> "please call.";  "Hi Bob, are you in?" -> "are you in?"
    """
    import tensorflow as tf

    rest = tf.strings.regex_replace(text, OPENING, "", replace_global=False)
    return tf.where(tf.strings.length(rest) > 0, rest, text)
