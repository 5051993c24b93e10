"""Quoted text as evidence of which mail another one answers."""

import re
import zlib

QUOTE_LINE = re.compile(r"[ \t]*(?:[A-Za-z]{0,3}[>|][ \t>|]*)(.*)")
SEPARATOR = re.compile(
    r"[ \t>]*(?:-{2,}[^-\n]{3,60}-{2,}|_{10,}|\*?(?:From|Von|De|Da|Van|Fra|Från|Od|От|发件人|差出人)\*?[ \t]*[:：].{3,})[ \t]*"
)
WORD = re.compile(r"\w+")
SHINGLE = 3  # words
MAX_CHARACTERS = 20_000  # of a text that are compared


def split_quotation(text: str) -> tuple[str, str]:
    """Return (what the writer wrote, what is quoted): lines marked with ">", and all behind "--- Original Message ---".

    "> Are you in?\\nYes." -> ("Yes.", "Are you in?")
    """
    own_lines: list[str] = []
    quoted: list[str] = []
    behind = False
    for line in text[:MAX_CHARACTERS].split("\n"):
        match = QUOTE_LINE.fullmatch(line.rstrip("\r"))
        behind = behind or bool(SEPARATOR.fullmatch(line.rstrip("\r")))
        (quoted if match or behind else own_lines).append(match[1] if match else line)
    return "\n".join(own_lines), "\n".join(quoted)


def shingles(text: str) -> frozenset[int]:
    """Return hashes of all runs of three words, so that quoted text is found however its lines were wrapped."""
    words = WORD.findall(text.casefold())
    if len(words) < SHINGLE:
        return frozenset([zlib.crc32(" ".join(words).encode(errors="replace"))] if words else [])
    return frozenset(
        zlib.crc32(" ".join(words[at : at + SHINGLE]).encode(errors="replace"))
        for at in range(len(words) - SHINGLE + 1)
    )


def overlap(quoted: frozenset[int], written: frozenset[int]) -> float:
    """Return the share of the quoted runs of words that were written in a mail: 0 to 1."""
    return len(quoted & written) / len(quoted) if quoted else 0.0
