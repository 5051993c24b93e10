"""A mailbox becomes messages and their answers: threads, own mail, mail of machines, places in large files, errors."""

import gzip
import io
import json
import random
import re
import tomllib

import pytest
from click.testing import CliRunner

from textpipe.commands import new
from textpipe.config import plugins
from textpipe.data import sources, statistics
from textpipe.data.formats import threads
from textpipe.data.mail import addresses, automatic, headers, mailbox, mbox, quotation, subjects, threading
from textpipe.data.rows import Repairs
from textpipe.errors import DataError, TextpipeError

ANN, BEN, EVE = "ann@example.org", "ben@example.org", "eve@example.com"


def mail(id, sender, to, subject="Lunch", text="Text.", *, minute=0, answers="", head=()):
    """A raw mail; answers: the id that In-Reply-To names; head: further header lines."""
    lines = [
        f"From: {sender}",
        f"To: {to}",
        f"Subject: {subject}",
        f"Date: Mon, 1 Jan 2024 {minute // 60:02d}:{minute % 60:02d}:00 +0000",
    ]
    lines += [f"Message-ID: <{id}@x>"] * bool(id) + [f"In-Reply-To: <{answers}@x>"] * bool(answers)
    return ("\n".join([*lines, *head]) + f"\n\n{text}\n").encode()


def box(*mails):
    return b"".join(b"From x@example.org Mon Jan  1 00:00:00 2024\n" + raw + b"\n" for raw in mails)


def read(source, columns="body reply answered", repairs=None, **options):
    """Rows as tuples, stripped, and the counts."""
    repairs = repairs or Repairs()
    batches = list(threads.read(source, threads.Config(**options), repairs, columns.split()))
    rows = [tuple(cell.strip() for cell in row) for rows in batches for row in zip(*rows.columns, strict=True)]
    assert [position for rows in batches for position in rows.positions] == list(range(len(rows)))
    return rows, {name: count for name, count in repairs.counts.items() if count}


@pytest.fixture
def read_box(tmp_path):
    def read_mails(*mails, columns="body reply answered", **options):
        (tmp_path / "all.mbox").write_bytes(box(*mails))
        return read(tmp_path / "all.mbox", columns, **options)

    return read_mails


QUESTION = mail("q", ANN, BEN, text="Lunch at noon?")
ANSWER = mail("a", BEN, ANN, "Re: Lunch", "Yes, gladly.", minute=5, answers="q")


def test_a_mail_and_its_answer_are_a_row(read_box):
    columns = "subject body reply answered recipients is_reply from_list known_sender sender date message_id"
    rows, counts = read_box(QUESTION, ANSWER, columns=columns)
    assert rows == [
        ("Lunch", "Lunch at noon?", "Yes, gladly.", "yes", "1", "0", "0", "0", BEN, "Mon, 1 Jan 2024 00:00:00 +0000", "<q@x>"),
        ("Re: Lunch", "Yes, gladly.", "", "no", "1", "1", "0", "0", "", "Mon, 1 Jan 2024 00:05:00 +0000", "<a@x>"),
    ]  # fmt: skip
    assert counts == {}


def random_thread_mails(rng, size):
    """Mails with ids 0 ..., each by one of five people; some answer an earlier one. Returns (raw mails, parents)."""
    mails, parents = [], []
    for at in range(size):
        parent = rng.randrange(at) if at and rng.random() < 0.7 else None
        parents.append(parent)
        head, answers = [], ""
        if parent is not None and rng.random() < 0.5:
            answers = str(parent)
        elif parent is not None:
            grandparent = parents[parent]
            head = ["References: " + "\n ".join(f"<{one}@x>" for one in (grandparent, parent) if one is not None)]
        sender = f"p{rng.randrange(5)}@example.org"
        subject = f"{'Re: ' if parent is not None else ''}Subject {at}"
        mails.append(
            mail(str(at), sender, "all@example.org", subject, f"Text {at}.", minute=at, answers=answers, head=head)
        )
    return mails, parents


@pytest.mark.parametrize("form", ["mbox", "gzip", "folder", "maildir", "two files"])
def test_answers_agree_with_a_walk_through_the_true_parents_in_every_form_of_mailbox(form, tmp_path):
    rng = random.Random(form)
    mails, parents = random_thread_mails(rng, 60)
    senders = [raw.split(b"\n")[0] for raw in mails]
    true_pairs = {
        (f"Text {parent}.", f"Text {at}.")
        for at, parent in enumerate(parents)
        if parent is not None and senders[at] != senders[parent]
    }
    order = list(range(len(mails)))
    rng.shuffle(order)  # an answer may come before its message in the file
    shuffled = [mails[at] for at in order]
    source = tmp_path / "box"
    if form == "mbox":
        source.write_bytes(box(*shuffled))
    elif form == "gzip":
        source.write_bytes(gzip.compress(box(*shuffled)))
    elif form == "two files":
        (tmp_path / "a").write_bytes(box(*shuffled[:30]))
        (tmp_path / "b").write_bytes(gzip.compress(box(*shuffled[30:])))
        source = {"0": tmp_path / "a", "1": tmp_path / "b"}
    else:
        for number, raw in enumerate(shuffled):
            folder = source / ("new" if number % 3 else "cur") if form == "maildir" else source
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number:03d}.eml").write_bytes(raw)
    if form == "maildir":
        (source / "tmp").mkdir()
        (source / "tmp" / "1").write_bytes(mail("half", ANN, BEN, text="Not delivered yet."))
        (source / "dovecot-uidlist").write_text("3 V1\n")
    rows, counts = read(source, answers="all")
    assert {(body, reply) for body, reply, answered in rows if answered == "yes"} == true_pairs
    assert sorted({body for body, _, _ in rows}) == sorted(f"Text {at}." for at in range(60))
    assert counts.keys() <= {"follow_ups"}


def test_the_first_answer_is_the_earliest_and_the_others_are_counted(read_box):
    late = mail("late", EVE, ANN, "Re: Lunch", "Me too.", minute=90, answers="q")
    rows, counts = read_box(QUESTION, late, ANSWER)
    assert rows[0] == ("Lunch at noon?", "Yes, gladly.", "yes")
    assert counts == {"further_answers": 1}
    rows, counts = read_box(QUESTION, late, ANSWER, answers="all")
    assert [row[1] for row in rows[:2]] == ["Yes, gladly.", "Me too."]
    assert counts == {}


def test_mails_without_an_answer_can_be_dropped(read_box):
    rows, counts = read_box(QUESTION, ANSWER, unanswered="drop")
    assert rows == [("Lunch at noon?", "Yes, gladly.", "yes")]
    assert counts == {"unanswered_mails": 1}


@pytest.mark.parametrize("me", ["Ben@Example.org", "@example.org"])
def test_with_me_rows_are_the_mails_of_others_and_only_own_answers_count(read_box, me):
    mails = [
        mail("1", EVE, BEN, text="For Ben."),
        mail("2", BEN, EVE, "Re: Lunch", "By Ben.", minute=2, answers="1"),
        mail("3", EVE, "dan@example.com", text="For Dan.", minute=3),
        mail("4", "dan@example.com", EVE, "Re: Lunch", "By Dan.", minute=4, answers="3"),
        mail("5", BEN, EVE, text="Of Ben's own accord.", minute=5),
    ]
    rows, counts = read_box(*mails, me=[me])
    assert rows == [("For Ben.", "By Ben.", "yes"), ("For Dan.", "", "no"), ("By Dan.", "", "no")]
    assert counts == {"own_mails": 1}


def test_an_answer_to_ones_own_mail_is_none(read_box):
    again = mail("2", ANN, BEN, "Re: Lunch", "Or at one?", minute=3, answers="q")
    rows, counts = read_box(QUESTION, again, ANSWER)
    assert rows[0] == ("Lunch at noon?", "Yes, gladly.", "yes")
    assert counts == {"follow_ups": 1}


def test_who_was_answered_before_is_known_only_from_then_on(read_box):
    mails = [
        mail("1", EVE, BEN, text="First."),
        mail("2", BEN, EVE, "Re: Lunch", "Answer.", minute=30, answers="1"),
        mail("3", EVE, BEN, text="Before the answer.", minute=20),
        mail("4", EVE, BEN, text="After the answer.", minute=40),
    ]
    rows, _ = read_box(*mails, columns="body known_sender", me=[BEN])
    assert rows == [("First.", "0"), ("Before the answer.", "0"), ("After the answer.", "1")]


WITHOUT_IDS = {"minute": 60, "text": "Yes."}
OTHER = mail("o", EVE, BEN, text="Shall we play chess on Friday evening at my place?", minute=10)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (mail("a", BEN, ANN, "AW: lunch", "Yes.", minute=60), "Lunch at noon?"),
        (mail("a", BEN, EVE, "Antw: RE: LUNCH", "Yes.", minute=60), "Shall we play"),
        # What is quoted tells more than to whom it goes.
        (mail("a", BEN, "all@example.org", "Re: Lunch", "> Shall we play chess\n> on Friday evening at\n> my place?\nYes.", minute=60), "Shall we play"),
        (mail("a", BEN, ANN, "Re: Lunch", "Yes.\n-----Original Message-----\nShall we play chess on Friday evening at my place?", minute=60), "Shall we play"),
        # Quotes something else, is to somebody else, has another subject, is earlier, is no answer.
        (mail("a", BEN, ANN, "Re: Lunch", "> This sentence is from a mail that was lost.\nYes.", minute=60), None),
        (mail("a", BEN, "dan@example.org", "Re: Lunch", "Yes.", minute=60), None),
        (mail("a", BEN, ANN, "Re: Dinner", "Yes.", minute=60), None),
        (mail("a", BEN, ANN, "Re: ", "Yes.", minute=60), None),
        (mail("a", BEN, ANN, "Lunch", "Yes.", minute=60), None),
        (mail("a", BEN, ANN, "Fwd: Lunch", "Yes.", minute=60), None),
    ],
)  # fmt: skip
def test_an_answer_that_names_no_mail_is_matched_by_subject_and_quotation(read_box, answer, message):
    pair = [mail("x", ANN, BEN, "Other", "Else."), mail("y", BEN, ANN, "Re: Other", "Right.", minute=1, answers="x")]
    rows, counts = read_box(*pair, QUESTION, OTHER, answer)
    answered = [body for body, _, state in rows if state == "yes" and body != "Else."]
    assert answered == [] if message is None else [body.startswith(message) for body in answered] == [True]
    assert counts.get("threaded_by_subject", 0) == (message is not None)


def test_a_match_by_subject_has_a_longest_time(read_box):
    late = mail("a", BEN, ANN, "Re: Lunch", "Yes.").replace(b"1 Jan", b"11 Jan")
    pair = [mail("x", ANN, BEN, "Other", "Else."), mail("y", BEN, ANN, "Re: Other", "Right.", answers="x")]
    for days, answered in ((10, 2), (9, 1), (0, 1)):
        rows, _ = read_box(*pair, QUESTION, late, subject_days=days)
        assert sum(row[2] == "yes" for row in rows) == answered, days


def test_an_answer_whose_message_is_missing_is_counted_and_matched_with_nothing_else(read_box):
    lost = mail("l", BEN, ANN, "Re: Lunch", "> Lunch at noon?\nNo.", minute=9, answers="lost")
    rows, counts = read_box(QUESTION, ANSWER, lost)
    assert [row[1] for row in rows] == ["Yes, gladly.", "", ""]
    assert counts == {"missing_starts": 1}


CALENDAR = 'Content-Type: multipart/mixed; boundary="b"'
MACHINES = {
    "bounces": [
        mail("b", "MAILER-DAEMON@example.org", ANN, "Undelivered Mail Returned to Sender", answers="q"),
        mail("b", BEN, ANN, "Delivery", head=['Content-Type: multipart/report; report-type=delivery-status; boundary="b"'], answers="q"),
        mail("b", "postmaster@example.org", ANN, "Undeliverable: Lunch", answers="q"),
    ],
    "auto_replies": [
        mail("b", BEN, ANN, "Re: Lunch", head=["Auto-Submitted: auto-replied (vacation)"], answers="q"),
        mail("b", BEN, ANN, "Re: Lunch", head=["X-Autoreply: yes"], answers="q"),
        mail("b", BEN, ANN, "Re: Lunch", head=["Precedence: junk"], answers="q"),
        mail("b", BEN, ANN, "Re: Lunch", head=["Precedence: auto_reply"], answers="q"),
        mail("b", BEN, ANN, "Abwesenheitsnotiz: Lunch", answers="q"),
        mail("b", BEN, ANN, "Automatic reply: Lunch", answers="q"),
    ],
    "invitations": [
        mail("b", BEN, ANN, "Accepted: Lunch", head=["Content-Type: text/calendar; method=REPLY"], answers="q"),
        mail("b", BEN, ANN, "Re: Lunch", "--b\nContent-Type: text/calendar;\n charset=utf-8; method=REQUEST\n\nBEGIN\n--b--", head=[CALENDAR], answers="q"),
    ],
    "digests": [
        mail("b", "l@example.org", ANN, "Users Digest, Vol 12, Issue 3", head=["List-Id: <l.example.org>"], answers="q"),
        mail("b", "l@example.org", ANN, "Lunch", head=['Content-Type: multipart/digest; boundary="b"'], answers="q"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "raw"), [(kind, raw) for kind, mails in MACHINES.items() for raw in mails])
def test_mail_of_machines_is_no_answer_and_is_counted(read_box, kind, raw):
    assert statistics.MAIL_REPAIRS[kind]
    rows, counts = read_box(QUESTION, raw.replace(b"00:00:00 +", b"00:01:00 +"), ANSWER)
    assert [row[1] for row in rows] == ["Yes, gladly.", ""]
    assert counts == {kind: 1}


def test_mail_that_people_write_over_lists_or_about_machines_is_not_dropped(read_box):
    mails = [
        mail("1", BEN, ANN, "Re: Lunch", "A.", minute=1, answers="q", head=["Precedence: bulk"]),
        mail("2", BEN, ANN, "Re: Users Digest, Vol 12, Issue 3", "B.", head=["List-Id: <l.example.org>"]),
        mail("3", "postmaster@example.org", ANN, "Lunch", "C."),
        mail("4", BEN, ANN, "Lunch", "D.", head=["Auto-Submitted: no"]),
        mail("5", BEN, ANN, "Lunch", "E.", head=["Auto-Submitted: auto-generated"]),  # a message, but never an answer
        mail("6", BEN, ANN, "Re: Lunch", "F.", answers="q", head=["Auto-Submitted: auto-generated"]),
    ]
    rows, _ = read_box(QUESTION, *mails, columns="body from_list reply", subject_days=0)
    assert rows[0] == ("Lunch at noon?", "0", "A.")
    assert [row[:2] for row in rows[1:]] == [
        ("A.", "1"),
        ("B.", "1"),
        ("C.", "0"),
        ("D.", "0"),
        ("E.", "0"),
        ("F.", "0"),
    ]


def test_further_copies_of_a_mail_are_dropped(read_box):
    rows, counts = read_box(QUESTION, QUESTION, ANSWER, ANSWER)
    assert len(rows) == 2
    assert counts == {"duplicate_mails": 2}


@pytest.mark.parametrize(
    ("subject", "mark", "topic"),
    [
        ("Lunch", "", "lunch"),
        ("Re: Lunch", "reply", "lunch"),
        ("RE: AW:  Re:The   Budget", "reply", "the budget"),
        ("Re[2]: Lunch", "reply", "lunch"),
        ("Re (3) : Lunch", "reply", "lunch"),
        ("[users] Re: [users] Lunch", "reply", "lunch"),
        ("Fwd: Re: Lunch", "forward", "lunch"),
        ("Lunch (fwd)", "forward", "lunch"),
        ("Re: Dinner (was: Lunch)", "reply", "dinner"),
        ("WG: Mittag", "forward", "mittag"),
        ("SV: Lunsj", "reply", "lunsj"),
        ("回复：午饭", "reply", "午饭"),
        ("Отв: Обед", "reply", "обед"),
        ("RE : Repas", "reply", "repas"),
        ("Recall: Lunch", "", "recall: lunch"),
        ("Reality check", "", "reality check"),
        ("[2] Lunch", "", "[2] lunch"),
        ("Re:", "reply", ""),
        ("", "", ""),
        ("Re: " * 30 + "x", "reply", "x"),
    ],
)
def test_subjects_lose_the_marks_of_answers_in_many_languages(subject, mark, topic):
    assert subjects.split_subject(subject) == (mark, topic)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("ann@Example.ORG", ["ann@example.org"]),
        ('"Lind, A" <ann@example.org>, ben@example.com (Ben, at work)', ["ann@example.org", "ben@example.com"]),
        ("ann@example.org <ann@example.org>", ["ann@example.org"]),
        ("a group: ann@example.org, Ben <ben@example.com>;", ["ben@example.com", "ann@example.org"]),
        ("<mailto:ann@example.org>", ["ann@example.org"]),
        ('"ann@example.org"', ["ann@example.org"]),
        ("undisclosed-recipients:;", []),
        ("", []),
    ],
)
def test_addresses_of_a_header(header, expected):
    assert addresses.addresses(header) == expected


def test_who_writes_through_a_list_that_replaces_the_sender_is_found():
    raw = b"From: Ann via users <users@lists.example.org>\nReply-To: Ann <ann@example.org>\n\nx"
    assert addresses.sender(threading.parse_head(raw)[0]) == ANN
    assert addresses.sender(threading.parse_head(b"Sender: ben@example.org\n\nx")[0]) == BEN


def test_hostile_headers_take_linear_time():
    long = "a" * 200_000
    assert addresses.addresses(long) == []
    assert addresses.addresses("<" * 200_000) == addresses.addresses("(" * 200_000) == []
    assert subjects.split_subject("Re: " * 100_000)[0] == "reply"
    message, _ = threading.parse_head(
        f"From: {'via ' * 50_000}\nSubject: {'digest ' * 50_000}\nList-Id: x\n\n".encode()
    )
    assert addresses.sender(message) == ""
    assert automatic.automatic_kind(message, headers.header_text(message, "Subject")[:1000], b"", 0) == ""


def test_quoted_text_is_found_however_its_lines_were_wrapped():
    written, quoted = quotation.split_quotation("> Shall we\n> play chess\nYes.\n>> on Friday")
    assert written == "Yes."
    assert quoted.split() == ["Shall", "we", "play", "chess", "on", "Friday"]
    original = quotation.shingles("Shall we play chess on\nFriday evening?")
    assert quotation.overlap(quotation.shingles(quoted), original) == 1
    assert quotation.overlap(quotation.shingles("something else entirely"), original) == 0


def random_mailbox(rng):
    """An mbox with lines that look like separators, empty mails, and long lines."""
    lines = [b"text\n", b"\n", b"From me to you\n", b">From me\n", b"From x@example.org Mon Jan  1 00:00:00 2024\n",
             b"Subject: x\n", b"y" * 50 + b"\n", b"z" * 300 + b"\n", b"From x@example.org\n", b"\r\n", b"no end"]  # fmt: skip
    return b"From x@example.org Mon Jan  1 00:00:00 2024\n" + b"".join(rng.choices(lines, k=rng.randrange(1, 60)))


@pytest.mark.parametrize("seed", range(40))
def test_every_mail_is_read_again_by_its_place(tmp_path, seed, monkeypatch):
    rng = random.Random(seed)
    monkeypatch.setattr(mailbox, "MAX_LINE", rng.choice([60, 1 << 16]))
    data = random_mailbox(rng)
    (tmp_path / "a").write_bytes(data)
    with mailbox.Mailbox([tmp_path / "a"]) as box_:
        mails = list(box_.mails())
        assert [raw for _, raw, _ in mails] == list(mbox.messages(io.BytesIO(data)))
        rng.shuffle(mails)
        for place, raw, cut in mails:
            assert box_.read(place) == raw
            assert not cut


def test_a_mail_of_fifty_megabytes_is_read_from_its_start_only(tmp_path):
    line = b"A" * 76 + b"\n"
    large = mail("big", ANN, BEN, text="Lunch at noon?", answers="").rstrip(b"\n") + b"\n\n" + line * (50_000_000 // 77)
    answer = mail("a", BEN, ANN, "Re: Lunch", "Yes.", minute=5, answers="big")
    (tmp_path / "a").write_bytes(box(large, answer))
    rows, counts = read(tmp_path / "a", "subject answered reply")
    assert rows == [("Lunch", "yes", "Yes."), ("Re: Lunch", "no", "")]
    assert counts == {"cut_mails": 1}
    with mailbox.Mailbox([tmp_path / "a"]) as box_:
        assert [len(raw) < mailbox.MAX_MAIL + 2 * mailbox.MAX_LINE for _, raw, _ in box_.mails()] == [True, True]


@pytest.mark.parametrize("seed", range(20))
def test_long_mails_are_separated_where_short_ones_would_be(tmp_path, seed, monkeypatch):
    data = random_mailbox(random.Random(seed))
    (tmp_path / "a").write_bytes(data)
    with mailbox.Mailbox([tmp_path / "a"]) as box_:
        whole = [place for place, _, _ in box_.mails()]
        monkeypatch.setattr(mailbox, "MAX_MAIL", 100)
        assert [place for place, _, _ in box_.mails()] == whole


@pytest.mark.parametrize(
    ("mails", "options", "words"),
    [
        ([QUESTION, ANSWER], {"me": ["carl@example.org"]}, "no mail is from or to carl@example.org; .* ann@example.org .1., ben@example.org"),
        ([QUESTION, mail("2", ANN, BEN)], {"me": [BEN]}, "ben@example.org receives mail here but wrote none; add .* sent mail"),
        ([QUESTION, OTHER], {}, "found no answer by anybody .* 2 mails, 0 of them answers"),
        ([QUESTION, ANSWER], {"me": [ANN]}, "found no answer by ann@example.org"),
        ([MACHINES["bounces"][0]], {}, "all 1 mails are bounces"),
    ],
)  # fmt: skip
def test_mailboxes_without_pairs_are_explained(read_box, mails, options, words):
    with pytest.raises(DataError, match=words):
        read_box(*mails, **options)


@pytest.mark.parametrize(
    "data", [b"", b"text\tlabel\nLunch?\tyes\n", b"\x00\x01\x02" * 1000, b"!BDN" + b"\xff" * 99, b"From "]
)
def test_what_is_no_mailbox_is_refused(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(DataError, match=r"a: not a mailbox: .* expected an mbox file, a Maildir"):
        read(tmp_path / "a")


def test_missing_empty_and_damaged_places_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no mails; expected"):
        read(tmp_path / "empty")
    (tmp_path / "a.gz").write_bytes(gzip.compress(box(QUESTION, ANSWER))[:-20])
    with pytest.raises(DataError, match="damaged or truncated"):
        read(tmp_path / "a.gz")
    with pytest.raises(ValueError, match="expected an address"):
        threads.Config(me=["ann"])


def test_files_that_are_no_mails_are_counted_and_a_pattern_leaves_them_out(tmp_path):
    for name, raw in (("1.eml", QUESTION), ("2.eml", ANSWER), ("index.dat", b"\x01\x02")):
        (tmp_path / name).write_bytes(raw)
    assert read(tmp_path)[1] == {"not_mails": 1}
    assert read(tmp_path, pattern="*.eml")[1] == {}


def test_a_list_of_files_is_one_mailbox():
    files = sources.split_sources(["inbox", "sent"], threads.Config())
    assert files == [{"0": "inbox", "1": "sent"}]


def test_new_writes_a_pipeline_for_a_mailbox_and_ingest_says_what_was_dropped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mails = []
    for number in range(30):
        mails.append(mail(f"q{number}", EVE, BEN, f"Question {number}", f"Is it {number}?", minute=number))
        mails.append(
            mail(
                f"a{number}",
                BEN,
                EVE,
                f"Re: Question {number}",
                f"It is {number}.",
                minute=number + 1,
                answers=f"q{number}",
            )
        )
    (tmp_path / "inbox").write_bytes(box(*mails[::2], MACHINES["digests"][0]))
    (tmp_path / "sent").write_bytes(box(*mails[1::2]))
    result = CliRunner().invoke(
        new.command, ["reply", "--mbox", "inbox", "--mbox", "sent", "--me", BEN], catch_exceptions=False
    )
    assert result.stdout == "pipelines/inbox.toml\n"
    text = (tmp_path / "pipelines/inbox.toml").read_text()
    assert f'format = {{ kind = "threads", me = ["{BEN}"], unanswered = "drop" }}' in text
    assert 'columns = { message = "body" }' in text
    assert "mail_zones" in text
    stage = plugins.find("stages", "ingest")
    form = {"kind": "threads", "me": [BEN], "unanswered": "drop"}
    config = stage.Config(task="reply", files=["inbox", "sent"], format=form, columns={"message": "body"})
    output = tmp_path / "out"
    output.mkdir()
    stage.run(config, {}, output)
    assert json.loads((output / "stats.json").read_text())["rows_read"] == {"train": 30}
    assert "digests of mailing lists dropped: 1" in stage.summary(output)


@pytest.mark.parametrize(("me", "kept"), [(BEN, None), (BEN.replace("ben", ""), ["sender"])])
def test_new_suggest_writes_a_trigger_beside_it(tmp_path, monkeypatch, me, kept):
    monkeypatch.chdir(tmp_path)
    mails = []
    for at in range(30):
        mails.append(mail(f"q{at}", EVE, BEN, f"Question {at}", f"Is it {at}?", minute=at))
        if at % 2:
            mails.append(mail(f"a{at}", BEN, EVE, f"Re: Question {at}", "Yes.", minute=at + 1, answers=f"q{at}"))
    (tmp_path / "inbox").write_bytes(box(*mails))
    result = CliRunner().invoke(new.command, ["suggest", "--mbox", "inbox", "--me", me], catch_exceptions=False)
    assert result.stdout == "pipelines/inbox_trigger.toml\npipelines/inbox.toml\n"
    trigger, ranker = (
        tomllib.loads((tmp_path / f"pipelines/{name}.toml").read_text()) for name in ("inbox_trigger", "inbox")
    )
    assert trigger["task"]["target"] == "answered"
    assert ranker["task"]["target"] == "reply"
    assert trigger["task"]["fields"] == ranker["task"]["fields"]
    assert list(ranker["task"]["fields"]) == ["subject", "body", "recipients", "is_reply", "from_list", "known_sender"]
    assert ranker["answer"] == {"trigger": "saved_models/inbox_trigger", "coverage": 0.2}
    assert ranker["ingest"].get("keep") == kept
    assert ranker["responses"].get("sender") == (kept and "sender")
    assert ranker["ingest"]["format"]["unanswered"] == "drop"
    assert "unanswered" not in trigger["ingest"]["format"]
    (tmp_path / "pipelines/inbox_trigger.toml").unlink()
    again = CliRunner().invoke(new.command, ["suggest", "--mbox", "inbox", "--me", me])
    assert isinstance(again.exception, TextpipeError) and "inbox.toml: exists already" in str(again.exception)
    assert not (tmp_path / "pipelines/inbox_trigger.toml").exists()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--me", BEN], "--me: belongs to --mbox"),
        (["--mbox", "a", "--data", "b"], "--mbox: --data, --train or --format was given as well"),
    ],
)
def test_new_refuses_other_data_beside_a_mailbox(words, error):
    with pytest.raises(TextpipeError, match=re.escape(error)):
        CliRunner().invoke(new.command, ["reply", *words], catch_exceptions=False, standalone_mode=False)
