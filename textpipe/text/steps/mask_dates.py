"""Replace dates with a token."""

from typing import Literal

from pydantic import field_validator

from textpipe.config.sections import Section
from textpipe.text.steps import _typed_tokens
from textpipe.text.steps._typed_tokens import BEFORE, GAP

WEEKDAY = (
    r"(?i:(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
    r"|(?:mon|diens|donners|frei|sams|sonn)tag(?:vormittag|nachmittag|mittag|abend|morgen)?s?|mittwoch(?:vormittag|nachmittag|mittag|abend|morgen)?s?|sonnabends?)"
)
# Only before a date: "Sun" and "So" are words.
SHORT_WEEKDAY = r"(?:Mon|Tues?|Wed|Thu(?:rs?)?|Fri|Sat|Sun|Mo|Di|Mi|Do|Fr|Sa|So)\.?"
# "May" alone is a verb, too, and counts with a capital only.
MONTH = (
    r"(?:(?i:january|february|march|april|june|july|august|september|october|november|december"
    r"|januar|jänner|februar|märz|juni|juli|oktober|dezember|jan|feb|mar|mrz|apr|jun|jul|aug|sept?|oct|okt|nov|dec|dez)\.?|May|Mai|MAY|MAI)"
)
NAMED_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Januar|Jänner|Februar|März|Mai|Juni|Juli|Oktober|Dezember)"
)
NUMBER = r"(?:0?[1-9]|[12][0-9]|3[01])"
ORDINAL = rf"{NUMBER}(?i:st|nd|rd|th)"
DAY = rf"{NUMBER}(?i:st|nd|rd|th|\.)?"
DAYS = rf"{DAY}(?:{GAP}?(?:[\-–/]|\bto\b|\band\b|\bund\b|\bbis\b){GAP}?{DAY})?"
IN_YEAR = r"(?:19|20)[0-9]{2}"
YEAR = rf"(?:,?{GAP}{IN_YEAR}|,?{GAP}['’][0-9]{{2}})"
MONTH_NUMBER = r"(?:0?[1-9]|1[0-2])"
CLOCK = r"(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+\-][0-9]{2}:?[0-9]{2})?)?"
NUMERIC = (
    rf"{IN_YEAR}-{MONTH_NUMBER}-{NUMBER}{CLOCK}|{NUMBER}\.{GAP}?{MONTH_NUMBER}\.{GAP}?{IN_YEAR}|{NUMBER}/{NUMBER}/(?:{IN_YEAR}|[0-9]{{2}})"
    rf"|{NUMBER}-{MONTH}-(?:{IN_YEAR}|[0-9]{{2}})"
)
# "May 5" also begins questions ("May 5 of us come?"): see CUED.
MONTH_FIRST = (
    r"(?:" + MONTH.replace("|May|Mai|MAY|MAI", "") + rf"{GAP}{DAYS}{YEAR}?|May{GAP}(?:{ORDINAL}{YEAR}?|{NUMBER}{YEAR}))"
)
DATE = rf"{NUMERIC}|{DAYS}{GAP}(?:of{GAP})?{MONTH}{YEAR}?|{MONTH_FIRST}|{MONTH},?{GAP}{IN_YEAR}"
SHORT = rf"{NUMBER}\.{GAP}?{MONTH_NUMBER}\.(?:[0-9]{{2}})?"  # 14.3. and 14.3.24 may be versions: matched only after a weekday or a cue
CONNECTED = rf",?{GAP}(?i:(?:the|den|dem|der){GAP})?"
PATTERN = (
    rf"{WEEKDAY}{CONNECTED}(?:{DATE}|{SHORT}|{ORDINAL})|{SHORT_WEEKDAY}{CONNECTED}(?:{DATE}|{SHORT})"
    rf"|{DATE}|{WEEKDAY}(?:{GAP}?(?:[\-–]|\bto\b|\bbis\b){GAP}?{WEEKDAY})?"
)
CUES = rf"(?:{BEFORE})(?i:on|by|from|to|until|till|before|after|since|for|am|vom|bis|zum|den|dem|der|ab|seit){GAP}"
CUED = rf"{SHORT}|May{GAP}{NUMBER}"
MONTH_CUES = rf"(?:{BEFORE})(?i:in|since|until|till|by|before|after|early|late|mid|next|last|end{GAP}of|beginning{GAP}of|im|seit|bis|ab|ende|anfang|mitte){GAP}"
DAY_CUES = rf"(?:{BEFORE})(?i:on|by|until|till|before|after|from|since){GAP}the{GAP}"
AFTER_DAY = rf"\z|[.,;:!?)]\B|{GAP}(?i:at|from|until|and|or|if|works|would)\b"


class Config(Section):
    kind: Literal["mask_dates"] = "mask_dates"
    token: str = "<date>"  # replacement for each date; must not contain digits

    check_token = field_validator("token")(_typed_tokens.check_token)


def apply(text, config):
    """[N] string -> [N] string; replaces English and German dates that contain a month or a weekday. Idempotent.

    Relative days (tomorrow, next week), years alone, fractions, versions and IP addresses are kept, and so are ambiguous cases: "14.3."
    without a cue such as "am", and "May" without a day, a year or "in". Put it after `mask_phones`, before `mask_times` and
    `mask_numbers`, and before `casefold`.

    "Tuesday, 14 March at 3 or am 2.4.?" -> "<date> at 3 or am <date>?";  "May I use version 1.2.24?" stays
    """
    text = _typed_tokens.replace(text, PATTERN, config.token)
    text = _typed_tokens.replace(text, CUED, config.token, before=CUES)
    text = _typed_tokens.replace(text, NAMED_MONTH, config.token, before=MONTH_CUES)
    return _typed_tokens.replace(text, ORDINAL, config.token, before=DAY_CUES, after=AFTER_DAY)
