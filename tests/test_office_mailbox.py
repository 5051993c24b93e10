"""The bundled mailbox: its generator, and what its card says of it."""

import importlib
import re
from collections import Counter
from pathlib import Path

import pytest

from textpipe.data.formats import threads
from textpipe.data.rows import Repairs

FOLDER = Path(__file__).resolve().parents[1] / "data" / "mail"
BOX = FOLDER / "office.mbox"


@pytest.fixture(scope="module")
def generator():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        return importlib.import_module("generate_mailbox")


def read(columns, **options):
    repairs = Repairs()
    rows = [
        row
        for batch in threads.read(BOX, threads.Config(**options), repairs, columns.split())
        for row in zip(*batch.columns, strict=True)
    ]
    return rows, {name: count for name, count in repairs.counts.items() if count}


def test_the_committed_mailbox_matches_the_generator(generator, tmp_path):
    generator.main(["--out", str(tmp_path)])
    assert (tmp_path / "office.mbox").read_bytes() == BOX.read_bytes()
    generator.main(["--out", str(tmp_path), "--seed", "2"])
    assert (tmp_path / "office.mbox").read_bytes() != BOX.read_bytes()


def test_the_card_states_what_the_mailbox_holds():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows, counts = read("answered")
    answered = Counter(answer for (answer,) in rows)
    mails = len(re.findall(rb"(?m)^From [^\n]+ 2024$", BOX.read_bytes()))
    for number, noun in (
        (mails, "mails"),
        (answered["yes"], "of them answered"),
        (counts["threaded_by_subject"], "answers name no mail"),
        (counts["missing_starts"], "answer a mail that is missing"),
    ):
        assert f"{number:,} {noun}" in " ".join(card.split())
    for kind in ("bounces", "auto_replies", "invitations", "digests", "duplicate_mails"):
        assert counts[kind] >= 8, kind


def test_answers_stand_in_the_thread_of_the_mail_they_quote():
    # Independent of the headers: the text quoted below an answer is that of its message.
    rows, _ = read("body reply", unanswered="drop")
    quoting = [(body, reply) for body, reply in rows if "\n> " in reply and "\n-----Original" not in reply]
    assert len(quoting) > 100
    for body, reply in quoting:
        lines = [line.removeprefix("> ") for line in reply.split(" wrote:\n", 1)[1].strip().split("\n")]
        assert "\n".join(lines).split() == body.split()


def test_at_least_five_people_write_answers():
    rows, _ = read("sender", unanswered="drop")
    assert sum(count >= 10 for count in Counter(rows).values()) >= 10


def test_people_and_pages_are_of_reserved_domains():
    text = BOX.read_text(encoding="ascii").replace("=\n", "")  # soft line breaks of quoted-printable
    assert set(re.findall(r"@([A-Za-z.]+[A-Za-z])", text)) <= {"example.org", "example.com"}
