"""Remove the salutation of a mail."""

from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.steps import _mail_words as words
from textpipe.text.steps._search import contains

GREETING = (
    r"(?i:hi|hello|hey|howdy|dear|greetings|good (?:morning|afternoon|evening|day)"
    r"|hallo|guten (?:tag|morgen|abend)|moin|servus|liebe[rs]?|sehr geehrte[rs]?|bonjour|bonsoir|salut|chère?s?"
    r"|hola|buenos días|buenas tardes|estimad[oa]s?|ciao|buongiorno|gentile|olá|bom dia|prezad[oa]s?|beste|geachte|hej|dzień dobry|witam)"
)
# In running text, only names may come between the greeting and its comma: "Hello can you come, ..." stays.
NAME = (
    r"(?:\p{Lu}[\p{L}\p{M}.'’\-]*"
    r"|(?i:there|all|both|team|everyone|everybody|folks|guys|sir|madam|or|und|and|frau|herr|zusammen))"
)
ON_ITS_OWN_LINE = rf"{GREETING}(?:[ \t,]+[\p{{L}}\p{{M}}.'’\-]+){{0,5}}[ \t]*[,!:.;\-–—]*[ \t]*(?:\n|\z)"
BEFORE_A_COMMA = rf"{GREETING}(?:[ \t]+{NAME}){{0,4}}[ \t]*[,!:][ \t]*"
OPENING = rf"\A(?:\s*(?:{ON_ITS_OWN_LINE}|{BEFORE_A_COMMA}))+\s*"
# Names alone, with a comma, colon or dash behind them: "Frank & Hector,".
CAPITALIZED = r"\p{Lu}[\p{L}\p{M}.'’\-]*"
NAMES = rf"{CAPITALIZED}(?:(?:[ \t]*[,/&+][ \t]*|[ \t]+(?:(?:and|und|et|y|e|en)[ \t]+)?){CAPITALIZED})*"
NAMED = rf"{NAMES}(?:[ \t]+(?:all|et al))?[ \t]*(?:,|:|!|[ \t]--?|–|—)[ \t]*\n"
OPENING_OR_NAMES = rf"\A(?:\s*(?:{ON_ITS_OWN_LINE}|{BEFORE_A_COMMA}|{NAMED}))+\s*"
NO_NAMES = rf"(?m)^[ \t]*{words.NO_NAME}"


class Config(Section):
    kind: Literal["mail_salutation"] = "mail_salutation"


def apply(text, config):
    """[N] string -> [N] string without the greeting line, or without the greeting before the first comma.

    Names alone on the first line count with a comma, a colon or a dash behind them ("Frank & Hector,"). Recognizes the
    languages of western Europe and Polish. A text that is only a greeting stays. Names are recognized by their capital:
    put it before `casefold`. Needs line breaks for names alone. Idempotent.

    "Dear Ms Lee,\\n\\nplease call." -> "please call.";  "Hi Bob, are you in?" -> "are you in?"
    """
    import tensorflow as tf

    rest = tf.strings.regex_replace(text, OPENING_OR_NAMES, "", replace_global=False)
    size = tf.strings.length(text) - tf.strings.length(rest)
    removed = tf.strings.substr(text, tf.zeros_like(size), size)
    without_names = tf.strings.regex_replace(text, OPENING, "", replace_global=False)
    rest = tf.where(contains(removed, NO_NAMES), without_names, rest)
    return tf.where(tf.strings.length(rest) > 0, rest, text)
