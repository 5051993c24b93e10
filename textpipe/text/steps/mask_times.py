"""Replace times of day with a token."""

from typing import Literal

from pydantic import field_validator

from textpipe.config.sections import Section
from textpipe.text.steps import _typed_tokens
from textpipe.text.steps._typed_tokens import BEFORE, GAP

HOUR, HOUR_12, MINUTE = r"(?:[01]?[0-9]|2[0-4])", r"(?:0?[1-9]|1[0-2])", r"[0-5][0-9]"
HALF_DAY = r"(?i:[ap]m|[ap]\. ?m\.?)"
TO = rf"{GAP}?(?:[\-–]|\bto\b|\bbis\b){GAP}?"
CLOCK = rf"{HOUR}:{MINUTE}(?::{MINUTE})?"
HOUR_WORD = r"(?i:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
GERMAN_HOUR = r"(?i:eins|ein|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf)"
PATTERN = (
    rf"(?:(?:{CLOCK}|{HOUR_12}(?:\.{MINUTE})?){TO})?{HOUR_12}(?:[.:]{MINUTE})?{GAP}?{HALF_DAY}"
    rf"|(?:{HOUR}(?:[.:]{MINUTE})?{TO})?{HOUR}(?:[.:]{MINUTE})?{GAP}?Uhr(?:{GAP}{MINUTE})?|{GERMAN_HOUR}{GAP}Uhr"
    rf"|{CLOCK}(?:{TO}{CLOCK})?"
    rf"|(?:{HOUR_12}|{HOUR_WORD}){GAP}(?i:o['’]clock)"
    rf"|(?i:half|(?:a{GAP})?quarter){GAP}(?i:past|to|after){GAP}(?:{HOUR_12}|{HOUR_WORD})"
    rf"|(?i:halb|(?:drei)?viertel(?:{GAP}(?:nach|vor))?){GAP}(?:{HOUR_12}|{GERMAN_HOUR})"
)
# A number alone is a time only between a word of CUES and one of AFTER_ALONE: "at 3 works", but not "at 3 sites".
CUES = rf"(?:{BEFORE})(?i:at|um|gegen){GAP}"
AFTER_ALONE = (
    rf"\z|[.,;:!?)]\B|{GAP}(?i:on|and|or|if|then|is|was|works|work|would|suits|sharp|tomorrow|today|tonight|please|in{GAP}the"
    rf"|instead|for|und|oder|wenn|ist|wäre|geht|passt|am|bei)\b"
)
# "die 3 am Montag": German "am", not a.m.
GERMAN_AM = (
    r"(?i: am (?:(?:mon|diens|donners|frei|sams|sonn)tag|mittwoch|sonnabend|abend|morgen|vormittag|nachmittag|mittag|wochenende|tag|ende"
    r"|anfang|besten|meisten|ehesten|liebsten|tisch|stück|telefon|[0-9]))"
)


class Config(Section):
    kind: Literal["mask_times"] = "mask_times"
    token: str = "<time>"  # replacement for each time; must not contain digits

    check_token = field_validator("token")(_typed_tokens.check_token)


def apply(text, config):
    """[N] string -> [N] string; replaces English and German times of day, and ranges of them. Idempotent.

    A number alone is a time after "at", "um" or "gegen" unless a noun follows. "noon", durations, ratios, scores and decimals are kept.
    Put it after `mask_dates` and before `mask_numbers`.

    "at 4:15, 3 pm or um 15.30 Uhr" -> "at <time>, <time> or um <time>";  "3.5 hours at 3 sites" stays
    """
    text = _typed_tokens.protect(text, GERMAN_AM, before="[0-9]")
    text = _typed_tokens.unprotect(_typed_tokens.replace(text, PATTERN, config.token))
    return _typed_tokens.replace(text, HOUR_12, config.token, before=CUES, after=AFTER_ALONE)
