"""What wordings of one reply have in common."""

import re
import unicodedata

NOT_WORDS = re.compile(r"[^\w']+")


def canonical(text: str) -> str:
    """The words of a text alone: compatibility form (NFKC), case folded, without punctuation.

    "Thanks, I'll check!" and "thanks  I\u2019ll check" -> "thanks i'll check"
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    return NOT_WORDS.sub(" ", folded).strip()
