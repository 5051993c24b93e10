"""The beginning of a text, for messages and reports."""


def excerpt(text: str, longest: int) -> str:
    """A text in one line, without control characters, cut to `longest` characters: ("a\\nbcd", 3) -> "a b..."."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= longest else text[:longest] + "..."
