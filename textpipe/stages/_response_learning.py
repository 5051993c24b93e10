"""Which replies of a training split are worth suggesting.

Kannan et al. (2016), section 5: the frequent replies, one wording for each meaning, and nothing that belongs to one person: what fewer
than k different people wrote is left out, and so is what holds a name, a number, an address or a word that nobody shall be offered.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from textpipe.answers._response_set import Response
from textpipe.text.canonical import canonical

WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
PRIVATE = re.compile(r"\d|\S@\S|://|www\.|<\w+>|\n")
SENTENCE_START = re.compile(r"(?:^|[.!?…:]\s+)[\"'(]*$")
NAME_SHARE = 0.5  # of a word's uses inside sentences that are capitalized, from which on it counts as a name
NAMES_ALIKE = frozenset(("I", "I'm", "I'll", "I've", "I'd"))  # capitalized wherever they stand

Reply = tuple[str, str]  # (text, who wrote it; "" where that is not known)


@dataclass
class Group:
    """The wordings of one reply, and the people who wrote it."""

    wordings: Counter[str] = field(default_factory=Counter)
    senders: set[str] = field(default_factory=set)

    @property
    def count(self) -> int:
        return self.wordings.total()

    @property
    def text(self) -> str:
        """The most frequent wording; of equally frequent ones the first by code points."""
        return min(self.wordings, key=lambda wording: (-self.wordings[wording], wording))


class Learner:
    """Collects replies and chooses the response set. Rows without a sender count as one person each."""

    def __init__(self) -> None:
        self.groups: defaultdict[str, Group] = defaultdict(Group)
        self.inside: Counter[str] = Counter()  # uses of words that do not begin a sentence, case folded
        self.capitalized: Counter[str] = Counter()  # of these, capitalized
        self.rows = 0

    def add(self, replies: Iterable[Reply]) -> None:
        """Count rows."""
        for text, sender in replies:
            self.rows += 1
            text = " ".join(text.split()) if "\n" not in text.strip() else text.strip()
            key = canonical(text)
            if not key:
                continue
            group = self.groups[key]
            group.wordings[text] += 1
            group.senders.add(sender or f"row {self.rows}")
            for match in WORD.finditer(text):
                if not SENTENCE_START.search(text[: match.start()]):
                    word = match.group()
                    self.inside[word.casefold()] += 1
                    self.capitalized[word.casefold()] += word[0].isupper() and word not in NAMES_ALIKE

    def names_in(self, text: str) -> bool:
        """Whether a word of a text is a name: inside of sentences it is capitalized as often as not, here as well."""
        for match in WORD.finditer(text):
            word = match.group()
            if not word[0].isupper() or word in NAMES_ALIKE or SENTENCE_START.search(text[: match.start()]):
                continue
            if self.capitalized[word.casefold()] >= NAME_SHARE * self.inside[word.casefold()]:
                return True
        return False

    def chosen(
        self, *, max_size: int, min_count: int, min_senders: int, max_words: int, blocked: Collection[str]
    ) -> tuple[list[Response], dict[str, int]]:
        """The response set, most frequent first, and how many canonical replies each filter left out."""
        phrases = [re.compile(rf"(?<!\w){re.escape(canonical(phrase))}(?!\w)") for phrase in blocked]
        dropped: Counter[str] = Counter()
        found: list[Response] = []
        order = sorted(self.groups.items(), key=lambda item: (-item[1].count, item[0]))
        for key, group in order:
            text = group.text
            if group.count < min_count:
                dropped["rare"] += 1
            elif len(group.senders) < min_senders:
                dropped["few_senders"] += 1
            elif len(text.split()) > max_words:
                dropped["long"] += 1
            elif PRIVATE.search(text) or self.names_in(text):
                dropped["private"] += 1
            elif any(phrase.search(key) for phrase in phrases):
                dropped["blocked"] += 1
            elif len(found) >= max_size:
                dropped["beyond_max_size"] += 1
            else:
                found.append(Response(text, count=group.count, variants=wordings(group)))
        return found, {"rows": self.rows, "canonical": len(order), **dropped}


def wordings(group: Group, most: int = 5) -> tuple[str, ...]:
    """The most frequent wordings beside the one that is suggested."""
    others: Sequence[str] = [text for text, _ in sorted(group.wordings.items(), key=lambda item: (-item[1], item[0]))]
    return tuple(text for text in others if text != group.text and "|" not in text)[:most]
