"""Replace amounts of money with a token."""

from typing import Literal

from pydantic import field_validator

from textpipe.config.sections import Section
from textpipe.text.steps import _typed_tokens

SPACE = r"[ \x{a0}\x{202f}]?"
NUMBER = r"(?:[0-9]{1,3}(?:[.,'’\x{a0}\x{202f}][0-9]{3}){1,5}|[0-9]{1,15})(?:[.,](?:[0-9]{1,4}|--?|–))?"
SCALE = rf"(?:{SPACE}(?:(?i:k|m|bn|thousand|million|billion|millionen?|milliarden?)\b|(?i:tsd|mio|mrd)\b\.?))?"
SYMBOL = r"(?:(?:US|CA|AU|NZ|HK|A|C|S)?[$]|[€£¥₹₩₽])"
CODE = r"(?:EUR|USD|GBP|CHF|JPY|CNY|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|INR|BRL|TRY|ZAR|SGD|HKD|Fr\.)"
NOUN = r"(?i:dollars?|euros?|pounds?|cents?|pence|bucks|francs?|yen|franken|pfund|rappen)"
PATTERN = rf"{SYMBOL}{SPACE}{NUMBER}(?:[\-–]{NUMBER})?{SCALE}|{CODE}{SPACE}{NUMBER}{SCALE}|{NUMBER}{SCALE}{SPACE}(?:{SYMBOL}|{CODE}|{NOUN})"
RANGE = rf"(?:(?:{SYMBOL}{SPACE})?{NUMBER}{SPACE}[\-–]{SPACE})?(?:{PATTERN})"
AFTER = r"\z|[^\p{L}\p{M}\p{N}_.,:@$€£]|[.,:]\B"


class Config(Section):
    kind: Literal["mask_amounts"] = "mask_amounts"
    token: str = "<amount>"  # replacement for each amount; must not contain digits

    check_token = field_validator("token")(_typed_tokens.check_token)


def apply(text, config):
    """[N] string -> [N] string; replaces numbers with a currency before or after them. Idempotent.

    Plus and minus signs, numbers with other units, percentages, and variables such as $HOME are kept. Put it after `mask_dates` and
    before `mask_numbers`.

    "€1,200.50, 250 EUR, 5 % of $2k" -> "<amount>, <amount>, 5 % of <amount>"
    """
    return _typed_tokens.replace(text, RANGE, config.token, before=r"\A|[^\p{L}\p{M}\p{N}_.,$€£@/]", after=AFTER)
