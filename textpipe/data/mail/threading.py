"""Threads of a mailbox: which mail answers which, by Message-ID, In-Reply-To and References (RFC 5322, 3.6.4).

A mail that names no other is matched by its subject, and by what it quotes or whom it is addressed to. A first pass keeps
of each mail what `Mail` has, about half a kilobyte; texts are read again by place where they are needed.
"""

import email.message
import email.utils
import hashlib
import re
from bisect import bisect_left
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from textpipe.data.mail import addresses, automatic, headers, quotation, structure, subjects
from textpipe.data.mail.mailbox import Mailbox, Place

DROPPED = {"bounce": "bounces", "auto_reply": "auto_replies", "invitation": "invitations", "digest": "digests"}
MESSAGE_ID = re.compile(r"<\s*([^<>\s]+)\s*>")
MAIL_HEADERS = frozenset("from to date subject message-id received return-path sender reply-to delivered-to".split())
MAX_RECIPIENTS_KEPT = 50  # addresses of a mail that subjects are compared with
MAX_IDS = 1_000  # of a References header, the last ones
MAX_CANDIDATES = 30  # mails of one subject, the latest ones, of which one may be what a mail answers
MAX_COMPARED = 500  # mails of one subject that are looked at for candidates
MIN_OVERLAP = 0.5  # share of the quoted runs of words that must be in the mail that is answered
SECONDS_PER_DAY = 86_400
LATEST = 4_102_444_800.0  # 2100: a later date is a mailer's mistake


class Mail(NamedTuple):
    """What is kept of a mail; ids and topics are hashes, people indices of Index.people.

    id: 0 if it has none. parents: the ids that In-Reply-To names, then the last one of References. mark: "reply", "forward"
    or "". time: seconds since 1970. kind: "automatic" if a machine wrote it, else "".
    """

    place: Place
    id: int
    parents: tuple[int, ...]
    topic: int
    mark: str
    time: float
    sender: int
    recipients: tuple[int, ...]
    num_recipients: int
    from_list: bool
    kind: str

    @property
    def is_reply(self) -> bool:
        """Whether the mail says that it answers one."""
        return self.mark != "forward" and (bool(self.parents) or self.mark == "reply")


class Index(NamedTuple):
    """The mails of a mailbox in order, the people in them, and what was left out: {name of a count: mails}."""

    mails: list[Mail]
    people: list[str]
    counts: Counter[str]


def read_index(mailbox: Mailbox) -> Index:
    """Read the headers of all mails; leaves out bounces, automatic answers, invitations, digests and second copies."""
    numbers: dict[str, int] = {}
    index = Index([], [], Counter())
    seen_ids: set[int] = set()
    time = 0.0

    def number(person: str) -> int:
        if person not in numbers:
            numbers[person] = len(index.people)
            index.people.append(person)
        return numbers[person]

    for place, raw, cut in mailbox.mails():
        message, head_length = parse_head(raw)
        if len({name.lower() for name in message.keys()} & MAIL_HEADERS) < 2:  # noqa: SIM118  a Message is no dict
            index.counts["not_mails"] += 1
            continue
        index.counts["cut_mails"] += cut
        id = next(iter(message_ids(message, "Message-ID")), 0)
        if id in seen_ids:
            index.counts["duplicate_mails"] += 1
            continue
        subject = headers.header_text(message, "Subject")[: subjects.MAX_SUBJECT]
        kind = automatic.automatic_kind(message, subject, raw, head_length)
        if kind in DROPPED:
            index.counts[DROPPED[kind]] += 1
            continue
        seen_ids.update([id] if id else [])
        mark, topic = subjects.split_subject(subject)
        time = date_seconds(message, time)
        parents = message_ids(message, "In-Reply-To") + message_ids(message, "References")[-1:]
        recipients = addresses.recipients(message)
        index.mails.append(
            Mail(
                place, id, tuple(dict.fromkeys(parent for parent in parents if parent != id)), hash_of(topic) if topic else 0,
                mark, time, number(addresses.sender(message)), tuple(map(number, recipients[:MAX_RECIPIENTS_KEPT])),
                len(recipients), automatic.is_from_list(message), kind,
            )
        )  # fmt: skip
    return index


def parse_head(raw: bytes) -> tuple[email.message.Message, int]:
    """Parse a mail's headers only; also returns how many bytes they are."""
    block = headers.HEADER_BLOCK.match(raw)
    length = block.end() if block else 0
    return headers.parse(raw[:length], Counter()), length


def message_ids(message: email.message.Message, name: str) -> list[int]:
    """Return hashes of the ids in a header, in order; at most the last MAX_IDS of them."""
    value = headers.header_text(message, name)
    return [hash_of(id) for id in MESSAGE_ID.findall(value)[-MAX_IDS:]]


def hash_of(text: str) -> int:
    """Return 64 bits that identify a text, never 0."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest(), "big") | 1


def date_seconds(message: email.message.Message, default: float) -> float:
    """Return a mail's date in seconds since 1970; `default` if it has none or an impossible one."""
    try:
        date = email.utils.parsedate_tz(headers.header_text(message, "Date"))
        seconds = float(email.utils.mktime_tz(date)) if date else default
    except (ValueError, OverflowError, IndexError, TypeError):
        return default
    return seconds if 0 < seconds < LATEST else default


def find_parents(index: Index, mailbox: Mailbox, *, subject_days: int) -> list[int]:
    """Return for each mail the position of the mail that it answers, or -1; counts mails whose answered mail is missing.

    subject_days: the longest time between a mail and an answer that names none; 0: none is looked for by subject.
    """
    position = {mail.id: at for at, mail in enumerate(index.mails) if mail.id}
    parents = [-1] * len(index.mails)
    unnamed: list[int] = []
    for at, mail in enumerate(index.mails):
        if not mail.is_reply or mail.kind:
            continue
        parents[at] = next((position[parent] for parent in mail.parents if parent in position), -1)
        if not mail.parents and subject_days and mail.topic:
            unnamed.append(at)
        elif parents[at] < 0:
            index.counts["missing_starts"] += 1
    topics: dict[int, list[tuple[float, int]]] = {index.mails[at].topic: [] for at in unnamed}
    for at, mail in enumerate(index.mails):
        if mail.topic in topics:
            topics[mail.topic].append((mail.time, at))
    for members in topics.values():
        members.sort()
    texts = QuotedTexts(index, mailbox)
    for at in sorted(unnamed, key=lambda at: (index.mails[at].topic, index.mails[at].time, at)):
        parents[at] = parent_by_subject(index, texts, at, topics[index.mails[at].topic], subject_days * SECONDS_PER_DAY)
        index.counts["threaded_by_subject" if parents[at] >= 0 else "missing_starts"] += 1
    break_cycles(index, parents)
    return parents


def break_cycles(index: Index, parents: list[int]) -> None:
    """Break cycles of mails that answer each other: the earliest mail of a cycle loses its parent. Counts them as "cycles".

    Such cycles come from message ids that a mailer reuses and from forged headers.
    """
    walk = [-1] * len(parents)  # the mail at which the walk that first visited a mail began; -1: not visited
    for start in range(len(parents)):
        at = start
        while at >= 0 and walk[at] < 0:
            walk[at] = start
            at = parents[at]
        if at < 0 or walk[at] != start:  # the start of a thread, or a mail that an earlier walk visited
            continue
        cycle = [at]
        while parents[cycle[-1]] != at:
            cycle.append(parents[cycle[-1]])
        earliest = min(cycle, key=lambda one: (index.mails[one].time, one))
        parents[earliest] = -1
        index.counts["cycles"] += 1


def parent_by_subject(
    index: Index, texts: "QuotedTexts", at: int, members: list[tuple[float, int]], seconds: float
) -> int:
    """Return the position of the mail of the same subject that a mail answers, or -1.

    members: (time, position) of the mails of that subject, sorted. Only mails by others, at most `seconds` earlier, count. If the mail quotes, the one most of the quoted text is from,
    where that is at least half; otherwise the latest by somebody to whom the mail is addressed.
    """
    mail = index.mails[at]
    latest = bisect_left(members, (mail.time, at))
    candidates: list[int] = []
    for time, other in reversed(members[max(0, latest - MAX_COMPARED) : latest]):
        if mail.time - time > seconds or len(candidates) == MAX_CANDIDATES:
            break
        if index.mails[other].sender != mail.sender:
            candidates.append(other)
    if not candidates:
        return -1
    quoted = texts.quoted_shingles(at)
    if quoted:
        overlaps = [(quotation.overlap(quoted, texts.own_shingles(other)), other) for other in candidates]
        best, parent = max(overlaps, key=lambda pair: pair[0])  # of equals the latest, which is the first
        return parent if best >= MIN_OVERLAP else -1
    return next((other for other in candidates if index.mails[other].sender in mail.recipients), -1)


class QuotedTexts:
    """What mails write and quote, as runs of words; reads a mail when it is first asked for, and keeps the last few."""

    def __init__(self, index: Index, mailbox: Mailbox):
        def read(at: int) -> tuple[frozenset[int], frozenset[int]]:
            raw = mailbox.read(index.mails[at].place)
            text = structure.body(headers.parse(raw, Counter()), Counter())
            written, quoted = quotation.split_quotation(text)
            return quotation.shingles(written), quotation.shingles(quoted)

        self._read = lru_cache(maxsize=4 * MAX_CANDIDATES)(read)

    def own_shingles(self, at: int) -> frozenset[int]:
        """Runs of words that the writer of a mail wrote."""
        return self._read(at)[0]

    def quoted_shingles(self, at: int) -> frozenset[int]:
        """Runs of words that a mail quotes."""
        return self._read(at)[1]


def num_threads(parents: list[int]) -> int:
    """Return the number of threads of at least two mails."""
    roots = list(range(len(parents)))

    def root(at: int) -> int:
        while roots[at] != at:
            roots[at] = roots[roots[at]]
            at = roots[at]
        return at

    for at, parent in enumerate(parents):
        if parent >= 0:
            roots[root(at)] = root(parent)
    sizes = Counter(root(at) for at in range(len(parents)))
    return sum(size > 1 for size in sizes.values())
