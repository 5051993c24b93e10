"""What wordings of one reply have in common."""

import re
import unicodedata

NOT_WORDS = re.compile(r"[^\w']+")


def canonical(text: str) -> str:
    """The words of a text alone: compatibility form (NFKC), case folded, without punctuation.

    "Thanks, I'll check!" and "thanks  I\u2019ll check" -> "thanks i'll check"
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    if folded.isascii():
        return NOT_WORDS.sub(" ", folded).strip()
    # Marks are part of words: the vowel signs of Indic and Thai writing, for example, which \w leaves out.
    words = "".join(map(word_character, folded)).split()
    return " ".join(word for word in words if any(character.isalnum() or character in "_'" for character in word))


def word_character(character: str) -> str:
    """The character where it is one of words, else a space."""
    return character if character.isalnum() or character in "_'" or unicodedata.category(character)[0] == "M" else " "
