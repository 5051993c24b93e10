"""Which replies of a training split are worth suggesting.

Kannan et al. (2016), section 5: the frequent replies, one wording for each meaning, and nothing that belongs to one person: what fewer
than k different people wrote is left out, and so is what holds a name, a number, an address or a word that nobody shall be offered.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from email.utils import parseaddr

from textpipe.answers._response_set import BETWEEN, Response
from textpipe.stages._private_words import Names, is_private
from textpipe.text.canonical import canonical

LONGEST = 500  # characters of a response
VARIANTS = 5  # wordings listed beside the one that is suggested
# Writing without spaces between words: Thai, Lao, Myanmar, Khmer, kana and ideographs. A character counts as a word.
UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
UNSPACED_CHARACTER = re.compile(f"[{UNSPACED}]")

Reply = tuple[
    str, str | None
]  # (text, who wrote it: "" where that is not known, None where rows say nothing of senders)


@dataclass
class Group:
    """The wordings of one reply: how often each was written, and by whom."""

    counts: Counter[str] = field(default_factory=Counter)
    senders: defaultdict[str, set[str | int]] = field(default_factory=lambda: defaultdict(set))

    @property
    def count(self) -> int:
        """Rows that hold the reply in any wording."""
        return self.counts.total()

    @property
    def num_senders(self) -> int:
        """Different people who wrote it in any wording."""
        return num_people(set().union(*self.senders.values()))

    def wordings(self, least: int) -> list[str]:
        """Wordings that at least so many people wrote; most people first, then most rows, then by code points."""
        shared = [text for text, senders in self.senders.items() if num_people(senders) >= least]
        return sorted(shared, key=lambda text: (-num_people(self.senders[text]), -self.counts[text], text))


class Learner:
    """Collects replies and chooses the response set.

    Where rows say nothing of senders, each row counts as a person; a row whose sender is not known may be
    anybody's, so that it adds no person to those who are known.
    """

    def __init__(self) -> None:
        self.groups: defaultdict[str, Group] = defaultdict(Group)
        self.names = Names()
        self.rows = 0
        self.long = 0  # rows too long for any setting

    def add(self, replies: Iterable[Reply]) -> None:
        """Count rows."""
        for text, sender in replies:
            self.rows += 1
            text = text.strip()
            self.names.observe(text)
            if len(text) > LONGEST:
                self.long += 1
                continue
            text = text if "\n" in text else " ".join(text.split())
            key = canonical(text)
            if key:
                group = self.groups[key]
                group.counts[text] += 1
                group.senders[text].add(self.rows if sender is None else person(sender))

    def observe(self, texts: Iterable[str]) -> None:
        """Learn from other texts, such as the messages, which words are names."""
        for text in texts:
            self.names.observe(text)

    def chosen(
        self, *, max_size: int, min_count: int, min_senders: int, max_words: int, blocked: Collection[str]
    ) -> tuple[list[Response], dict[str, int]]:
        """The response set, most frequent first, and how many canonical replies each filter left out.

        The wording of a response, and each of its variants, is one that two people wrote, unless min_senders is 1.
        """
        is_blocked = [blocks(phrase) for phrase in blocked]
        dropped: Counter[str] = Counter()
        responses: list[Response] = []
        order = sorted(self.groups.items(), key=lambda item: (-item[1].count, item[0]))
        for key, group in order:
            shared = group.wordings(min(2, min_senders))
            open_wordings = [text for text in shared if not is_private(text) and not self.names.occur_in(text)]
            if group.count < min_count:
                dropped["rare"] += 1
            elif group.num_senders < min_senders or not shared:
                dropped["few_senders"] += 1
            elif num_words(shared[0]) > max_words:
                dropped["long"] += 1
            elif not open_wordings or open_wordings[0] != shared[0]:
                dropped["private"] += 1
            elif any(blocks_text(key, shared[0]) for blocks_text in is_blocked):
                dropped["blocked"] += 1
            elif len(responses) >= max_size:
                dropped["beyond_max_size"] += 1
            else:
                variants = tuple(text for text in open_wordings[1:] if BETWEEN.strip() not in text)[:VARIANTS]
                responses.append(Response(shared[0], count=group.count, variants=variants))
        if self.long:
            dropped["long"] += self.long
        return responses, {"rows": self.rows, "canonical": len(order), **dropped}


def num_people(senders: set[str | int]) -> int:
    """How many different people there are at least: an unknown one may be one of the others."""
    return max(1, len(senders - {""}))


def person(sender: str) -> str:
    """What tells people apart: the address alone where there is one. "Bob <Bob@Example.org>" -> "bob@example.org" """
    plain = unicodedata.normalize("NFKC", sender)
    address = parseaddr(plain)[1]
    return " ".join((address if "@" in address else plain).casefold().split())


def num_words(text: str) -> int:
    """Words between spaces; in writing without spaces each character is one."""
    spaced, characters = UNSPACED_CHARACTER.subn(" ", text)
    return characters + len(spaced.split())


def blocks(phrase: str) -> Callable[[str, str], bool]:
    """A function of (canonical reply, its text): whether a phrase occurs in it, as whole words where writing has spaces.

    A phrase without letters, such as an emoji, is looked for as it is.
    """
    words = canonical(phrase)
    if not any(map(str.isalnum, words)):
        literal = phrase.strip()
        return lambda key, text: literal in text
    before = "" if UNSPACED_CHARACTER.match(words[0]) else rf"(?:(?<=[{UNSPACED}])|(?<!\w))"
    after = "" if UNSPACED_CHARACTER.match(words[-1]) else rf"(?:(?=[{UNSPACED}])|(?!\w))"
    pattern = re.compile(before + re.escape(words) + after)
    return lambda key, text: bool(pattern.search(key))


__all__ = ["Learner", "Reply", "person"]
