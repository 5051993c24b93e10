"""Addresses of a mail: who wrote it, and to whom."""

import email.message
import re
from collections.abc import Iterable

from textpipe.data.mail import headers

QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
COMMENT = re.compile(r"\([^()]*\)")
BRACKETED = re.compile(r"<\s*(?:mailto:)?([^<>\s@]+@[^<>\s@]+)\s*>", re.IGNORECASE)
# Only from the start of a word, so that a long word without "@" is read once.
ADDRESS = re.compile(r"(?<![^\s<>,;:\"()\[\]'])[^\s<>,;:\"()\[\]']+@[^\s<>,;:\"()\[\]']+")
MAX_HEADER = 1 << 18  # characters of a header that are read for addresses
MAX_RECIPIENTS = 5_000


def addresses(header: str) -> list[str]:
    """Return the distinct addresses of a header in lower case, in order.

    '"Lind, A" <A.Lind@example.org>, ben@example.com (Ben)' -> ["a.lind@example.org", "ben@example.com"]
    """
    text = COMMENT.sub(" ", QUOTED.sub(" ", header[:MAX_HEADER]))
    names = BRACKETED.findall(text) + ADDRESS.findall(BRACKETED.sub(" ", text))
    if not names and "@" in header:  # '"ben@example.com"' alone
        names = ADDRESS.findall(header[:MAX_HEADER])
    return list(dict.fromkeys(clean(name) for name in names))[:MAX_RECIPIENTS]


def clean(address: str) -> str:
    """Return an address as it is compared: in lower case, without a stray full stop at the end."""
    return address.strip().rstrip(".").lower()


def sender(message: email.message.Message) -> str:
    """Return the address of who wrote a mail, or "".

    A mailing list that writes its own address into From ("Ann via users <users@lists.example.org>") keeps the writer's in
    X-Original-From or Reply-To.
    """
    header = headers.header_text(message, "From")
    names = addresses(header)
    if re.search(r"\bvia\b", header.rpartition("<")[0], re.IGNORECASE):
        for name in ("X-Original-From", "Reply-To"):
            writer = [address for address in addresses(headers.header_text(message, name)) if address not in names]
            if writer:
                return writer[0]
    if names:
        return names[0]
    return next(iter(addresses(headers.header_text(message, "Sender"))), "")


def recipients(message: email.message.Message) -> list[str]:
    """Return the distinct addresses of all To and Cc headers."""
    texts = [re.sub(r"\r?\n|\r", "", value) for name, value in message.raw_items() if name.lower() in ("to", "cc")]
    return addresses(", ".join(texts))


def matches(address: str, patterns: Iterable[str]) -> bool:
    """Whether an address is one of the patterns, where "@example.org" stands for every address of that domain."""
    return any(address.endswith(pattern) if pattern.startswith("@") else address == pattern for pattern in patterns)
