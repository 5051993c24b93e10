"""Which replies of a training split are worth suggesting.

Kannan et al. (2016), section 5: the frequent replies, one wording for each meaning, and nothing that belongs to one person: what fewer
than k different people wrote is left out, and so is what holds a name, a number, an address or a word that nobody shall be offered.
"""

import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parseaddr

from textpipe.answers._response_set import BETWEEN, Response
from textpipe.stages._private_words import Names, is_private
from textpipe.stages._response_keys import KEYS, TOKENS
from textpipe.text.canonical import canonical

LONGEST = 500  # characters of a response
VARIANTS = 5  # variants that differ from a response in case and punctuation only
PARAPHRASES = 20  # variants with other wordings that were merged with it
QUOTED = (">", "|", "\uff1e")
# Writing without spaces between words: Thai, Lao, Myanmar, Khmer, kana and ideographs. A character counts as a word.
UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
UNSPACED_CHARACTER = re.compile(f"[{UNSPACED}]")

Reply = tuple[
    str, str | None
]  # (text, who wrote it: "" where that is not known, None where rows say nothing of senders)


@dataclass
class Wording:
    """Replies that differ only in case and punctuation: how often each text was written, and by whom."""

    counts: Counter[str] = field(default_factory=Counter)
    senders: defaultdict[str, set[str | int]] = field(default_factory=lambda: defaultdict(set))
    typed: bool = False  # contains a date, a time, an amount, a number, an address or a name

    def num_senders(self) -> int:
        """The number of different people who wrote it."""
        return num_people(set().union(*self.senders.values()))

    def texts(self, least: int) -> list[str]:
        """Texts that at least `least` people wrote, by descending number of people, then of rows, then by code points."""
        shared = [text for text, senders in self.senders.items() if num_people(senders) >= least]
        return sorted(shared, key=lambda text: (-num_people(self.senders[text]), -self.counts[text], text))


class Group(defaultdict[str, Wording]):
    """The wordings of one reply, by their canonical form."""

    def __init__(self) -> None:
        super().__init__(Wording)

    def count(self) -> int:
        """Rows that hold the reply in any wording."""
        return sum(wording.counts.total() for wording in self.values())

    def num_senders(self) -> int:
        """The number of different people who wrote it in any wording."""
        return num_people(set().union(*(senders for wording in self.values() for senders in wording.senders.values())))

    def shared(self, least: int) -> list[tuple[str, Wording]]:
        """Wordings without typed tokens that at least `least` people wrote, by descending number of people, then of rows, then by canonical
        form."""
        order = [
            (-people, -wording.counts.total(), key)
            for key, wording in self.items()
            if not wording.typed and (people := wording.num_senders()) >= least
        ]
        return [(key, self[key]) for *_, key in sorted(order)]


class Learner:
    """Collects replies and chooses the response set.

    Where rows say nothing of senders, each row counts as a person; a row whose sender is not known may be
    anybody's, so that it adds no person to those who are known.

    merge: how replies are grouped, one of _response_keys.KEYS. It does not affect what may be suggested: each wording needs enough people
    who wrote it.
    """

    def __init__(self, merge: str = "wording") -> None:
        self.groups: defaultdict[str, Group] = defaultdict(Group)
        self.key = KEYS[merge]
        self.names = Names()
        self.rows = 0
        self.long = 0  # rows too long for any setting
        self.quoted = 0  # rows that begin with quoted text

    def add(self, replies: Iterable[Reply], typed: Iterable[str] | None = None) -> None:
        """Count rows. typed: the replies with typed tokens."""
        for (text, sender), tokens in zip(
            replies, itertools.repeat("") if typed is None else typed, strict=typed is not None
        ):
            self.rows += 1
            text = text.strip()
            self.names.observe(text)
            if len(text) > LONGEST:
                self.long += 1
            elif text.startswith(QUOTED):
                self.quoted += 1
            elif plain := canonical(text):
                wording = self.groups[self.key(tokens or text)][plain]
                text = text if "\n" in text else " ".join(text.split())
                wording.counts[text] += 1
                wording.senders[text].add(self.rows if sender is None else person(sender))
                wording.typed |= "_" in tokens and not TOKENS.isdisjoint(canonical(tokens).split())

    def observe(self, texts: Iterable[str]) -> None:
        """Learn from other texts, such as the messages, which words are names."""
        for text in texts:
            self.names.observe(text)

    def chosen(
        self, *, max_size: int, min_count: int, min_senders: int, max_words: int, blocked: Collection[str]
    ) -> tuple[list[Response], dict[str, int]]:
        """The response set, most frequent first, and how many replies each filter left out.

        A response, and each of its variants, was written by at least min_senders people, apart from case and punctuation, and by at least
        two of them verbatim (unless min_senders is 1).
        """
        is_blocked = [blocks(phrase) for phrase in blocked]
        dropped: Counter[str] = Counter()
        responses: list[Response] = []
        order = sorted((-group.count(), key) for key, group in self.groups.items())
        for negative, key in order:
            best: Response | str = "rare"
            if -negative >= min_count:
                best = self.best_wording(self.groups[key], min_senders, max_words, is_blocked)
            if isinstance(best, Response) and len(responses) == max_size:
                best = "beyond_max_size"
            if isinstance(best, Response):
                responses.append(replace(best, count=-negative))
            else:
                dropped[best] += 1
        if self.long:
            dropped["long"] += self.long
        if self.quoted:
            dropped["quoted"] = self.quoted
        merged = sum(map(len, self.groups.values())) - len(order)
        counts = {"rows": self.rows, "canonical": len(order), **({"merged": merged} if merged else {})}
        return responses, counts | dropped

    def best_wording(
        self, group: Group, min_senders: int, max_words: int, is_blocked: Sequence[Callable[[str, str], bool]]
    ) -> Response | str:
        """The response that represents a group, with its variants, or the filter that rejects it; a group in which every wording has typed
        tokens is private."""
        if group.num_senders() < min_senders:
            return "few_senders"
        shared = group.shared(min_senders)
        reasons = [] if shared else ["private" if all(wording.typed for wording in group.values()) else "few_senders"]
        for position, (key, wording) in enumerate(shared):
            texts = wording.texts(min(2, min_senders))
            if not texts:
                reasons.append("few_senders")
            elif num_words(texts[0]) > max_words:
                reasons.append("long")
            elif not self.is_public(texts[0]):
                reasons.append("private")
            elif any(blocks_text(key, texts[0]) for blocks_text in is_blocked):
                reasons.append("blocked")
            else:
                other_wordings = [
                    wording.texts(min(2, min_senders))[:1] for _, wording in shared[position + 1 :][:PARAPHRASES]
                ]
                variants = filter(
                    self.is_public,
                    [text for group_texts in (*other_wordings, texts[1 : VARIANTS + 1]) for text in group_texts],
                )
                return Response(texts[0], variants=tuple(text for text in variants if BETWEEN.strip() not in text))
        return reasons[0]

    def is_public(self, text: str) -> bool:
        """Whether a text contains nothing private."""
        return not is_private(text) and not self.names.occur_in(text)


def num_people(senders: set[str | int]) -> int:
    """How many different people there are at least: an unknown one may be one of the others."""
    return max(1, len(senders - {""}))


def person(sender: str) -> str:
    """The identity of a sender: the address without its +tag if there is one, else the words of the name, sorted.

    "Bob <Bob+news@Example.org>" -> "bob@example.org";  "Smith, Bob" and "bob smith" -> "bob smith"
    """
    plain = unicodedata.normalize("NFKC", sender)
    address = parseaddr(plain)[1] or plain
    if "@" not in address:
        return " ".join(sorted(canonical(plain).split()))
    user, _, domain = "".join(address.casefold().split()).rpartition("@")
    return f"{user.partition('+')[0] or user}@{domain.rstrip('.')}"


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
