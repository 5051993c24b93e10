"""Threads: a mailbox as messages and their answers, one row per message.

A mailbox is an mbox file, a Maildir, a folder of raw mails (.eml), or a list of these, such as the inbox and the sent mail.
data/mail/threading.py says how an answer is found. Bounces, automatic answers, invitations and digests are left out and counted.

Columns: subject and body of the message; reply, the body of the answer, "" if there is none; answered, "yes" or "no";
recipients, the number of addresses in To and Cc; is_reply, from_list and known_sender, 1 if the message is itself an answer,
came over a mailing list, or is from somebody who was answered before it was sent, else 0; sender, the address of who
wrote the answer; date and message_id of the message.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field as Limits
from pydantic import field_validator

from textpipe.config.sections import Section
from textpipe.data import text_file
from textpipe.data.mail import addresses, headers, structure, threading
from textpipe.data.mail.mailbox import Mailbox
from textpipe.data.rows import Repairs, Rows
from textpipe.errors import DataError, join_names

SUFFIXES: tuple[str, ...] = ()  # to be named: the files are those of format "mail"
ONE_SOURCE = True  # a list of files is one mailbox: an answer may be in another file than its message
COLUMNS = (
    "subject", "body", "reply", "answered", "recipients", "is_reply", "from_list", "known_sender", "sender", "date", "message_id",
)  # fmt: skip
OF_TEXT = frozenset(["subject", "body", "date", "message_id"])  # columns for which the message is read again
BATCH_MAILS = 500
MOST_FREQUENT = 5  # addresses that an error lists

log = logging.getLogger(__name__)


class Config(Section):
    """format = { kind = "threads", me = ["ann@example.org"] }

    me: your addresses, or "@example.org" for a whole domain. Rows are then the mails of others, and a mail is answered if one of these
    addresses answered it; if empty, every mail is a row, and is answered if anybody but its writer answered it.
    answers: only the first answer to a mail, or one row for each answer.
    unanswered: keep or drop mails without an answer.
    subject_days: an answer that does not refer to a mail is matched with mails of the same subject, at most this many days older; 0
    disables this.
    pattern: glob pattern of the files to read in a folder that is not a Maildir, including subfolders.
    """

    kind: Literal["threads"] = "threads"
    me: list[str] = []
    answers: Literal["first", "all"] = "first"
    unanswered: Literal["keep", "drop"] = "keep"
    subject_days: int = Limits(default=30, ge=0, le=36_500)
    pattern: str = "*"

    @field_validator("me")
    @classmethod
    def check_addresses(cls, me: list[str]) -> list[str]:
        """Bring addresses to lower case; a word without "@" is none."""
        for address in me:
            if "@" not in address:
                raise ValueError(f'expected an address, or "@example.org" for a domain; found {address!r}')
        return [addresses.clean(address) for address in me]


def read(
    source: Path | Mapping[str, Path], config: Config, repairs: Repairs, columns: Sequence[str | int]
) -> Iterator[Rows]:
    """Yield the requested columns, one row per message and answer, in the order of the messages. Raises DataError."""
    paths = list(source.values()) if isinstance(source, Mapping) else [source]
    with Mailbox(paths, config.pattern) as mailbox:
        names = [COLUMNS[index] for index in text_file.column_indices(mailbox.name, COLUMNS, columns)]
        index = threading.read_index(mailbox)
        if not index.mails:
            raise no_mailbox(mailbox, index)
        owners = mailbox_owners(mailbox, index, config.me)
        parents = threading.find_parents(index, mailbox, subject_days=config.subject_days)
        log.info("%s: %d mails, %d threads", mailbox.name, len(index.mails), threading.num_threads(parents))
        answers = find_answers(index, parents, owners)
        if not answers:
            raise nobody_answers(mailbox, index, config.me)
        pairs = list(choose_pairs(index, answers, owners, config))
        repairs.counts.update(index.counts)
        known = earliest_answers(index, answers)
        rows = Rows(mailbox.name, [], [], [[] for _ in columns], "mail")
        for position, (at, answer) in enumerate(pairs):
            cells = message_cells(mailbox, index, at, names, repairs.counts)
            cells |= answer_cells(mailbox, index, answer, names, repairs.counts)
            cells["known_sender"] = str(int(known.get(index.mails[at].sender, float("inf")) < index.mails[at].time))
            for column, name in zip(rows.columns, names, strict=True):
                column.append(cells[name])
            rows.positions.append(position)
            rows.lines.append(index.mails[at].place.number)
            if len(rows) == BATCH_MAILS:
                yield rows
                rows = Rows(mailbox.name, [], [], [[] for _ in columns], "mail")
        yield rows


def find_answers(index: threading.Index, parents: Sequence[int], owners: frozenset[int] | None) -> dict[int, list[int]]:
    """Return {position of a message: positions of its answers, by time}; counts mails that answer the writer's own.

    owners: the people whose answers count, and whose mails are no messages; None: everybody.
    """
    answers: defaultdict[int, list[int]] = defaultdict(list)
    for at, parent in enumerate(parents):
        if parent < 0:
            continue
        mail, message = index.mails[at], index.mails[parent]
        if mail.sender == message.sender or (owners is not None and {mail.sender, message.sender} <= owners):
            index.counts["follow_ups"] += 1
        elif owners is None or mail.sender in owners:
            answers[parent].append(at)
    for replies in answers.values():
        replies.sort(key=lambda at: (index.mails[at].time, at))
    return dict(answers)


def choose_pairs(
    index: threading.Index, answers: Mapping[int, Sequence[int]], owners: frozenset[int] | None, config: Config
) -> Iterator[tuple[int, int | None]]:
    """Yield (message, answer or None) as positions, by position of the message; counts mails that make no row."""
    used = {at for replies in answers.values() for at in replies}
    for at, mail in enumerate(index.mails):
        if owners is not None and mail.sender in owners:
            index.counts["own_mails"] += at not in used
            continue
        replies = answers.get(at, ())
        if not replies:
            if config.unanswered == "keep":
                yield at, None
            else:
                index.counts["unanswered_mails"] += 1
        elif config.answers == "all":
            yield from ((at, reply) for reply in replies)
        else:
            index.counts["further_answers"] += len(replies) - 1
            yield at, replies[0]


def earliest_answers(index: threading.Index, answers: Mapping[int, Sequence[int]]) -> dict[int, float]:
    """Return {person: when one of their mails was first answered, in seconds since 1970}."""
    earliest: dict[int, float] = {}
    for at, replies in answers.items():
        person, time = index.mails[at].sender, index.mails[replies[0]].time
        earliest[person] = min(time, earliest.get(person, time))
    return earliest


def message_cells(
    mailbox: Mailbox, index: threading.Index, at: int, names: Sequence[str], counts: Counter[str]
) -> dict[str, str]:
    """Return the columns of a message; its text is read only for the columns that need it."""
    mail = index.mails[at]
    cells = {
        "recipients": str(mail.num_recipients),
        "is_reply": str(int(mail.is_reply)),
        "from_list": str(int(mail.from_list)),
    }
    if OF_TEXT.intersection(names):
        message = headers.parse(mailbox.read(mail.place), counts)
        cells["subject"] = headers.header_text(message, "Subject")
        cells["date"] = headers.header_text(message, "Date")
        cells["message_id"] = headers.header_text(message, "Message-ID")
        if "body" in names:
            cells["body"] = structure.body(message, counts)
    return cells


def answer_cells(
    mailbox: Mailbox, index: threading.Index, at: int | None, names: Sequence[str], counts: Counter[str]
) -> dict[str, str]:
    """Return the columns of an answer; at: its position, None if there is none."""
    if at is None:
        return {"answered": "no", "reply": "", "sender": ""}
    mail = index.mails[at]
    cells = {"answered": "yes", "sender": index.people[mail.sender]}
    if "reply" in names:
        cells["reply"] = structure.body(headers.parse(mailbox.read(mail.place), counts), counts)
    return cells


def mailbox_owners(mailbox: Mailbox, index: threading.Index, me: Sequence[str]) -> frozenset[int] | None:
    """Return the people that are `me`, None if nobody is given. Raises DataError for an address that wrote no mail."""
    if not me:
        return None
    writers = Counter(mail.sender for mail in index.mails)
    for address in me:
        if any(addresses.matches(index.people[person], [address]) for person in writers):
            continue
        if any(addresses.matches(person, [address]) for person in index.people):
            raise DataError(
                f"{mailbox.name}: {address} receives mail here but wrote none; add the folder or file of sent mail: "
                'files = ["inbox", "sent"]'
            )
        frequent = join_names(
            f"{index.people[person] or 'nobody'} ({count:,})" for person, count in writers.most_common(MOST_FREQUENT)
        )
        raise DataError(
            f"{mailbox.name}: me: no mail is from or to {address}; give the addresses you write from. Most mails are from {frequent}"
        )
    return frozenset(person for person in writers if addresses.matches(index.people[person], me))


def no_mailbox(mailbox: Mailbox, index: threading.Index) -> DataError:
    """Return the error for files without a single mail, or with none that a person wrote."""
    left_out = sum(index.counts[name] for name in threading.DROPPED.values())
    if left_out:
        return DataError(
            f"{mailbox.name}: all {left_out:,} mails are bounces, automatic answers, invitations or digests; give a mailbox with answers"
        )
    return DataError(
        f"{mailbox.name}: not a mailbox: no mail headers (From:, Date:, Subject: ...) were found; expected an mbox file, a Maildir or a "
        "folder of .eml files; export the mailbox as one of these"
    )


def nobody_answers(mailbox: Mailbox, index: threading.Index, me: Sequence[str]) -> DataError:
    """Return the error for a mailbox without a message and its answer."""
    replies = sum(mail.is_reply for mail in index.mails)
    who = join_names(me) if me else "anybody"
    return DataError(
        f"{mailbox.name}: found no answer by {who} to another mail of this mailbox: {len(index.mails):,} mails, {replies:,} of them answers to "
        f"missing mails ({index.counts['missing_starts']:,}) or by other people; give received and sent mail together: "
        'files = ["inbox", "sent"]'
    )
