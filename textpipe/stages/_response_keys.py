"""Keys by which replies are merged: replies with equal keys count as one. A key is the wording, or the lemmas of the words.

Keys are computed from texts with typed tokens (text/steps/mask_*.py), so replies that differ only in a date, a time, an amount, a number
or a name have the same key.
"""

import functools
import re
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from textpipe.text.canonical import canonical

# Typed tokens: what replaces the parts that differ between replies. They are words that canonical() does not change.
MASKS = {
    "mask_urls": "_url_", "mask_addresses": "_address_", "mask_phones": "_phone_", "mask_dates": "_date_", "mask_times": "_time_",
    "mask_amounts": "_amount_", "mask_numbers": "_number_", "mask_names": "_name_",
}  # fmt: skip
TOKENS = frozenset(MASKS.values())
CONTRACTIONS = {
    "can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not", "let's": "let us", "i'm": "i am", "it's": "it is",
    "that's": "that is", "there's": "there is", "here's": "here is", "what's": "what is", "where's": "where is", "who's": "who is",
    "he's": "he is", "she's": "she is", "everything's": "everything is", "cant": "can not", "dont": "do not", "thats": "that is",
    "gonna": "going to", "wanna": "want to", "thx": "thanks", "ok": "okay", "yeah": "yes", "yep": "yes", "yup": "yes", "nope": "no", "u": "you",
}  # fmt: skip
ENDINGS = (
    ("n't", " not"),
    ("'ll", " will"),
    ("'re", " are"),
    ("'ve", " have"),
    ("'d", " would"),
    ("'m", " am"),
    ("'s", ""),
)
POLITE = frozenset(
    "please kindly thank thanks you very so much many again a lot sorry apologies my hi hello hey dear cheers regards sir madam _name_ mr mrs ms dr"
    " mx for all your the help bitte danke vielen dank".split()
)
COURTESY = frozenset(
    "thank thanks sorry apologies hi hello hey dear cheers regards danke dank _name_".split()
)  # one makes a clause polite
PLEASE = frozenset(("please", "kindly", "bitte"))
PREPOSITIONS = frozenset("on at by in for from until till before after since around to of am um bis vom".split())
BETWEEN_TOKENS = PREPOSITIONS | {"and", "or", "next", "this", "last", "the", "und", "oder"}
CLAUSE = re.compile(r"[.!?;:,\u2026\n]+|\s[\-\u2013\u2014]+\s")
KEEP_ENDING = frozenset(
    "this is was has does yes his us its as less always perhaps news thing morning evening during need red bed indeed".split()
)


def lemma(text: str) -> str:
    """The lemmas of a text: contractions are expanded, courtesies dropped if other words remain, plural and verb endings removed.

    A typed token is dropped together with the preposition before it; without a preposition it becomes "that". Written for English;
    most words of other languages are left unchanged.

    "Thanks, I'll check!" and "I will check." -> "i will check";  "_date_ at _time_ works for me." and "That works for me" -> "that work
    for me";  "See you on _date_, _name_" -> "see you"
    """
    clauses = [words for part in CLAUSE.split(text) if (words := expanded(canonical(part)))]
    substance = [words for words in clauses if not is_polite(words)]
    if not substance:  # "Thanks, _name_!"
        substance = [[word for word in words if word != "_name_"] for words in clauses]
    words = [word for part in substance for word in without_tokens(part)]
    return " ".join(stem(word) for word in words if word not in PLEASE or len(words) == 1) or canonical(text)


def expanded(text: str) -> list[str]:
    """Words with contractions in full: "i'll" -> [i, will]"""
    words: list[str] = []
    for word in text.split():
        expansion = CONTRACTIONS.get(word)
        if expansion is None and "'" in word:
            expansion = next((word.removesuffix(end) + full for end, full in ENDINGS if word.endswith(end)), word)
        words += (expansion or word).split()
    return words


def is_polite(words: Sequence[str]) -> bool:
    """Whether a clause is only a courtesy: "thank you very much", "hi _name_" """
    return POLITE.issuperset(words) and not COURTESY.isdisjoint(words)


def without_tokens(words: Sequence[str]) -> list[str]:
    """A clause without its typed tokens: [see, you, on, _date_] -> [see, you];  [_date_, at, _time_, works] -> [that, works]"""
    remaining: list[str] = []
    position = 0
    while position < len(words):
        if words[position] not in TOKENS:
            remaining.append(words[position])
            position += 1
            continue
        while position < len(words) and (words[position] in TOKENS or words[position] in BETWEEN_TOKENS):
            position += 1
        while words[position - 1] not in TOKENS:  # words after the last token belong to what follows
            position -= 1
        while remaining and remaining[-1] in ("next", "this", "last", "the"):
            remaining.pop()
        if remaining and remaining[-1] in PREPOSITIONS:
            remaining.pop()
        else:
            remaining.append("that")
    return remaining


@functools.lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """A word without its plural or verb ending: "replies" -> "reply", "works", "worked", "working" -> "work" """
    if word in KEEP_ENDING or len(word) < 4 or not word.isascii():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and len(root) >= 3 and any(vowel in root for vowel in "aeiouy") and not root.endswith("e"):
            doubled = root[-1] == root[-2] and root[-1] not in "lsz"
            return root[:-1] if doubled else root
    return word.removesuffix("e") if len(word) > 4 else word


KEYS: dict[str, Callable[[str], str]] = {"wording": canonical, "lemma": lemma}


def masks() -> list[tuple[ModuleType, Any]]:
    """The normalization steps that insert typed tokens, with their settings, in order."""
    from textpipe.config import plugins

    modules = [(plugins.find("text.steps", name), token) for name, token in MASKS.items()]
    return [(module, module.Config(token=token)) for module, token in modules]


def type_tokens(text: Any) -> Any:
    """[N] string -> [N] string with typed tokens. "Tuesday at 3 works, Ann" -> "_date_ at _time_ works, Ann" """
    for module, config in masks():
        text = module.apply(text, config)
    return text


__all__ = ["KEYS", "TOKENS", "lemma", "type_tokens"]
