"""What belongs to one person: names, numbers and addresses in a text.

Names are told by their capitals, so that writing without capitals hides them, and languages that capitalize more than names (German
nouns) lose replies that hold none. What is missed here is caught by the number of people who must have written a reply.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
PRIVATE = re.compile(
    r"\d|@|://|\bwww\b|\bmailto\b|\w\.\w\w|\n"  # numbers, addresses, pages, more than one line
    r"|[<\[{][^<\[{]{0,80}[>\]}]"  # <name>, [first name]: what a mask or a template put in
)
ENDS_SENTENCE = re.compile(
    r"(?:[.!?\u2026:\u3002\uff01\uff1f]|\n)[^\w.!?\u2026:\u3002\uff01\uff1f\n]*\Z"
)  # what stands before the next
QUOTES = " \t\n\"'(\u201c\u2018-"
NAME_SHARE = (
    0.5  # of a word's uses inside sentences that are capitalized, from which on it is a name where it is capitalized
)
SURE_SHARE, SURE_USES = 0.75, 3  # from which on it is one in lower case as well
NAMES_ALIKE = frozenset(("i", "i'm", "i'll", "i've", "i'd"))  # capitalized wherever they stand
# Words that begin replies and may never be seen elsewhere, in few rows.
OPENERS = frozenset(
    "yes no sure thanks thank ok okay sorry please great good fine welcome perfect maybe alright noted approved understood agreed"
    " looks sounds works done received confirmed correct exactly absolutely definitely certainly happy glad excellent awesome"
    " congratulations congrats apologies unfortunately"
    " ja nein danke gerne bitte leider klar oui non merci désolé bien sí gracias claro vale sim não obrigado obrigada sì grazie".split()
)


def is_private(text: str) -> bool:
    """Whether a text holds a number, an address or a template, in any script, or characters that are not seen.

    "call 555", "call \u0665\u0665\u0665", "it is \u00bd", "write to me \uff20 example", "see example.org", "Hi <name>" -> True
    """
    plain = unicodedata.normalize("NFKC", text)
    return bool(PRIVATE.search(plain)) or any(map(hidden_or_number, {*text, *plain}))


def hidden_or_number(character: str) -> bool:
    """Whether a character is a number (also Roman, circled, a fraction), or changes a text without being seen.

    Joiners are not: Persian and Indic writing and emoji have them; nor are ideographs that are numbers, which ordinary words hold.
    """
    category = unicodedata.category(character)
    return category in ("Nd", "Nl", "No", "Cc", "Co", "Cs", "Cn") or (
        category == "Cf" and character not in "\u200c\u200d"
    )


def words(text: str) -> Iterator[tuple[str, bool]]:
    """The words of a text, and whether each begins a sentence: "Yes. Ask Bob" -> (Yes, True), (Ask, True), (Bob, False)"""
    end = 0
    for match in WORD.finditer(text):
        gap = text[end : match.start()]
        begins = not gap.strip(QUOTES) if end == 0 else gap != " " and bool(ENDS_SENTENCE.search(gap))
        yield match.group(), begins
        end = match.end()


class Names:
    """Which words are names, counted over many texts."""

    def __init__(self) -> None:
        self.inside: Counter[str] = Counter()  # uses that do not begin a sentence, case folded
        self.capitalized: Counter[str] = Counter()  # of these, capitalized
        self.lower: Counter[str] = Counter()  # uses in lower case, anywhere

    def observe(self, text: str) -> None:
        """Count the words of a text; one in capitals alone says nothing."""
        if text.isupper():
            return
        for word, begins in words(text):
            key = fold(word)
            capital = word[0].isupper()
            self.lower[key] += not capital
            if not begins:
                self.inside[key] += 1
                self.capitalized[key] += capital

    def occur_in(self, text: str) -> bool:
        """Whether a word of a text is a name.

        A capitalized word is one if it is capitalized in half of its uses inside sentences, or if it begins a sentence here and was never
        seen in lower case; a word in lower case if it nearly always has a capital elsewhere.
        """
        for word, begins in words(text):
            key = fold(word)
            if key in NAMES_ALIKE or (begins and key in OPENERS):
                continue
            uses, capitals = self.inside[key], self.capitalized[key]
            if word[0].isupper():
                if (capitals >= NAME_SHARE * uses) if uses else (begins and not self.lower[key]):
                    return True
            elif uses >= SURE_USES and capitals >= SURE_SHARE * uses:
                return True
        return False


def fold(word: str) -> str:
    """A word in lower case, with a plain apostrophe."""
    return word.lower() if word.isascii() else word.casefold().replace("\u2019", "'")


__all__ = ["Names", "is_private", "words"]
