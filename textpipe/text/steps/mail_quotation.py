"""Remove the quoted text of the mail that is answered."""

from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.steps import _mail_words as words
from textpipe.text.steps._search import contains

# A list or a mail program that breaks long quoted lines leaves their rest without a sign: a line between two quoted ones
# of which the first is long and no complete sentence.
SIGN = r"[ \t]*(?:>|&gt;)"
REST = r"[^\s>&][^\n]*\n"
QUOTED_LINE = rf"(?m)^(?:{SIGN}[^\n]{{40,}}[^\s.?!:]\s*\n(?:{REST}){{1,6}}|{SIGN}[^\n]*\n)*{SIGN}[^\n]*(?:\n|\z)"
# "On Mon, 3 May 2021 at 10:00, Ann <a@b.org> wrote:", which mail programs often wrap to two or three lines.
# Each needs a digit (the date), so that a sentence like "On this my boss wrote:" stays.
FIRST = r"[^\n]*[0-9][^\n]*(?:\n[^\n]+){0,2}?"
END = r"[ \t\x{a0}]*[:：][ \t]*(?:\n|\z)"
PREFIXED = (
    rf"On {FIRST}[ \n]wrote"
    rf"|Am {FIRST}[ \n]schrieb[^\n:]*(?:\n[^\n:]*)?"
    rf"|Le {FIRST}[ \n]a écrit"
    rf"|El {FIRST}[ \n](?:escribió|ha escrito|va escriure)"
    rf"|Il (?:giorno )?{FIRST}[ \n]ha scritto"
    rf"|(?:Em|A|No dia) {FIRST}[ \n]escreveu[^\n:]*(?:\n[^\n:]*)?"
    rf"|Op {FIRST}[ \n](?:schreef[^\n:]*(?:\n[^\n:]*)?|(?:het volgende )?geschreven)"
    rf"|(?:W dniu|Dnia) {FIRST}[ \n](?:(?:na)?pisał(?:\(a\)|a)?|pisze)"
    rf"|Den {FIRST}[ \n]skrev[^\n:]*(?:\n[^\n:]*)?"
    rf"|(?:Dne|Dňa) {FIRST}[ \n]napísal(?:\(a\)|a)?"
    rf"|(?:Dne|Dňa) {FIRST}[ \n]napsal(?:\(a\)|a)?"
    rf"|(?:Pe|În) {FIRST}[ \n]a scris"
    rf"|Στις {FIRST}[ \n](?:έγραψε|ο χρήστης[^\n]*έγραψε)"
    rf"|Pada {FIRST}[ \n]menulis|Vào {FIRST}[ \n]đã viết"
    rf"|在[^\n]*[0-9][^\n]*(?:\n[^\n]+){{0,2}}?(?:写道|寫道)"
)
# Languages that begin with the date or the writer: a time of day, a full date or an address is required.
DATED = r"[^\n]*(?:[0-9]{1,2}[:.h][0-9]{2}|[0-9]{4}|[0-9] ?[年년])[^\n]*"
BARE = (
    rf"{DATED}(?:\n[^\n]+)?[ \n>](?:skrev[^\n:]*(?:\n[^\n:]*)?|kirjoitti[^\n:]*|(?:на)?писал(?:\(а\)|а)?|пишет|пише"
    r"|(?:напи|пи)са(?:в|ла)(?:\(ла\))?|(?:na)?pisał(?:\(a\)|a)?|napsal(?:\(a\)|a)?|napísal(?:\(a\)|a)?|yazdı"
    r"|şun(?:u|ları) yazdı|ezt írta[^\n:]*|írta|tarihinde şunları yazdı)"
    rf"|{DATED}(?:\n[^\n]+)?(?:写道|寫道|님이 작성|이\(가\) 작성|작성|님이 쓴 글|のメール|のメッセージ|は書きました|さんが書きました|が書いた)"
    r"|[^\n]*[^\s<@]@[^\s>@]+>?\)?[ \n]wrote"
    r"|[^\n]*[0-9][^\n]*[0-9]{1,2}[:.h][0-9]{2}[^\n]*<[^\n<>@]+@[^\n<>@]+>"
    r"|Wiadomość napisana przez[^\n]*[0-9][^\n]*"
    r"|[^\n]*[^\n<][ \n](?:schrieb|a écrit|wrote)[ \n]+(?:am|le|on)[ \n]+[^\n]*[0-9][^\n]*?"
    r"|Am [^\n]*[0-9][^\n]*[ \n]hat[ \n][^\n]*[ \n]geschrieben"
)
ATTRIBUTION = rf"(?m)^[ \t]*(?:{PREFIXED}|{BARE}){END}"
# Outlook and others quote the whole mail below this line, without ">".
ORIGINAL = rf"{words.ORIGINAL_LINE}(?s:.*)"
COLONS = (r":[ \t]*(?:\n|\z)", r"：[ \t]*(?:\n|\z)")  # each begins with a literal, for a fast search


class Config(Section):
    kind: Literal["mail_quotation"] = "mail_quotation"


def apply(text, config):
    """[N] string -> [N] string without quoted lines (>), their attribution line, and the quoted mail below
    "-----Original Message-----" or below the headers that Outlook copies (From:, Sent:, To:, Subject:).

    If only "FYI" or the like, or the line "---- Forwarded message ----", is above such headers, the mail is forwarded
    and is left to `mail_forwarded`. Recognizes the languages of Europe, Turkish, Japanese, Chinese and Korean. Needs
    line breaks: put it before `whitespace`. Idempotent.

    "Yes.\\nOn 3 May 2021, Ann wrote:\\n> Coming?\\n" -> "Yes.\\n"
    "Yes.\\n\\nFrom: Ann\\nSent: Monday\\nSubject: Tea\\n\\nComing?" -> "Yes.\\n\\n"
    """
    import tensorflow as tf

    text = tf.strings.regex_replace(text, "\r\n", "\n")
    answer = tf.strings.regex_replace(text, ORIGINAL, "", replace_global=False)
    text = tf.where(tf.strings.regex_full_match(answer, r"\s*"), text, answer)
    marked, indices = words.mark_headers(text)
    answer, is_answer = words.split_answered_mail(marked)
    answer = tf.where(is_answer, answer, marked)
    text = tf.tensor_scatter_nd_update(text, indices, words.remove_markers(answer))
    text = tf.strings.regex_replace(text, QUOTED_LINE, "")
    indices = tf.where(contains(text, COLONS[0]) | contains(text, COLONS[1]))  # [M, 1]
    answer = tf.strings.regex_replace(tf.gather_nd(text, indices), ATTRIBUTION, "")
    return tf.tensor_scatter_nd_update(text, indices, answer)
