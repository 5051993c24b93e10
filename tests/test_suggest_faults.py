"""Smart reply from a mailbox by the command line: what is wrong is said in one line, and nothing of a mail gets out."""

import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from textpipe.cli import main

SECRETS = {"subject": "xylophonsub", "body": "xylophonbod", "reply": "xylophonrep", "name": "Xylophonnam"}
REPLIES = ("Sure, that works.", "Sorry, I am away.", "Please ask the others.", "I will look into it.")


def call(*words):
    """(exit code, stdout, stderr) of a command; an internal error is raised."""
    done = CliRunner().invoke(main, list(map(str, words)), catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def mail(id, sender, to, text, *, subject="Lunch", answers="", minute=0):
    head = [
        f"From: {sender}",
        f"To: {to}",
        f"Subject: {subject}",
        f"Date: Mon, 1 Jan 2024 {minute // 60:02d}:{minute % 60:02d}:00 +0000",
    ]
    head += [f"Message-ID: <{id}@x>", *([f"In-Reply-To: <{answers}@x>"] if answers else [])]
    return ("From x@example.org Mon Jan  1 00:00:00 2024\n" + "\n".join(head) + f"\n\n{text}\n\n").encode()


def mailbox(replies=REPLIES, count=160, secret=False, people=8) -> bytes:
    """Threads of a question and an answer by one of eight people; secret: one of them writes and quotes what nobody else does."""
    mails = []
    for number in range(count):
        question = f"Can we meet, or is number {number} too late for the plan of team {number % 9}?"
        reply, name, subject = replies[number % len(replies)], "Ann", f"Plan {number}"
        writer = number // len(replies) % people  # everybody writes each reply
        if secret and number % 10 == 3:
            reply, writer = f"The word is {SECRETS['reply']}{'!' * (number % 3)}", 0
        elif secret and number % 10 == 6:
            reply = f"> The word is {SECRETS['reply']}"  # quoted by others
        if secret and number % 40 == 5:
            question, subject, name = (
                f"{question} {SECRETS['body']} {number}",
                f"{SECRETS['subject']} {number}",
                SECRETS["name"],
            )
        mails.append(
            mail(
                f"q{number}",
                f"{name} <q{number}@example.com>",
                "w@example.org",
                question,
                subject=subject,
                minute=2 * number,
            )
        )
        sender = f"{name} <w{writer}@example.org>" if number % 2 else f"W{writer}+x@Example.org".replace("+x", "")
        mails.append(
            mail(
                f"a{number}",
                sender,
                f"q{number}@example.com",
                reply,
                subject=f"Re: {subject}",
                answers=f"q{number}",
                minute=2 * number + 1,
            )
        )
    return b"".join(mails)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "data, options, words",
    [
        (b"hello\n", [], "box: not a mailbox: .* expected an mbox file, a Maildir or a folder of .eml files; export the mailbox"),
        (b"", [], "box: not a mailbox"),
        (b"\xff\xfe" * 500, [], "box: not a mailbox"),
        (mailbox(count=1)[:250], [], "box: found no answer by anybody .*; give received and sent mail together"),
        (mailbox(count=9), ["--me", "me@nowhere.org"], "me: no mail is from or to me@nowhere.org; give the addresses you write from"),
        (mailbox(count=9), ["--me", "nobody"], "me: expected an address"),
        (None, [], "box: no such file"),
        ("folder", [], "box: no mails; expected an mbox file, a Maildir"),
    ],
)  # fmt: skip
def test_what_is_no_mailbox_with_answers_is_one_line(here, data, options, words):
    if data == "folder":
        (here / "box" / "cur").mkdir(parents=True)
    elif data is not None:
        (here / "box").write_bytes(data)
    code, out, err = call("new", "suggest", "--mbox", "box", *options)
    assert (code, out) == (2, "") and "Traceback" not in err
    assert re.search(words, err.splitlines()[-1]), err


def pipeline(here, data: bytes, *options) -> Path:
    (here / "box.mbox").write_bytes(data)
    code, out, err = call("new", "suggest", "--mbox", "box.mbox", *options)
    assert code == 0, err
    path = Path(out.split()[-1])  # behind that of the trigger
    text = path.read_text().split("[answer]")[0]  # without the trigger, which is not trained here
    # Without the mail steps, which take seconds to trace: fewer steps, less that could hide a word.
    path.write_text(re.sub(r'(?m)^(steps|subject|body) = \["unicode".*', r'\1 = ["whitespace"]', text))
    return path


@pytest.mark.parametrize(
    "options, settings",
    [
        ([], {"min_senders": 5, "sender": "sender"}), (["--me", "@example.org"], {"min_senders": 5, "sender": "sender"}),
        (["--me", "w0@example.org"], {"min_senders": 1}),
    ],
)  # fmt: skip
def test_a_new_pipeline_knows_who_wrote_the_replies(here, options, settings):
    tables = tomllib.loads(pipeline(here, mailbox(count=40), *options).read_text())
    assert {name: tables["responses"].get(name) for name in settings} == settings
    assert tables["ingest"].get("keep", []) == (["sender"] if "sender" in settings else [])


@pytest.mark.parametrize(
    "data, intents, words",
    [
        (mailbox(("Sure, that works.",)), None, r"\[responses\] .* found 1 .*; nearly all replies are the same; use more mail"),
        (mailbox(people=4), None, r"found 0 \(.* few senders 4\); lower min_senders$"),
        (mailbox(("Call 555 now.", "At 10:30 then.")), None, "found 0 .* private .*; replies with a name, a number or an address are never"),
        (mailbox(), "Sure, that works.\tyes\nNever said so.\tno\n", "intents.tsv, line 2: 'Never said so.' is not in the response set"),
        (mailbox(), "Sure, that works.\tyes\nsure that works\tno\n", "intents.tsv, line 2: .* has the intent 'no' here and 'yes' in line 1; keep one"),
        (mailbox(), "S\udcff\tyes\n", "intents.tsv: expected UTF-8, found byte 0xff at 1"),
        (mailbox(), "", "intents.tsv: contains no line with a response and its intent"),
    ],
)  # fmt: skip
def test_what_leaves_no_response_set_is_one_line(here, data, intents, words):
    file = pipeline(here, data)
    if intents is not None:
        (here / "intents.tsv").write_bytes(intents.encode(errors="surrogateescape"))
        file.write_text(file.read_text().replace('# intents = "intents.tsv"', 'intents = "intents.tsv"'))
    code, _, err = call("run", file, "--until", "responses")
    assert code == 2 and "Traceback" not in err
    assert re.search(words, err.splitlines()[-1]), err


def test_one_intent_is_enough_and_a_cut_mailbox_is_read_to_its_end(here):
    file = pipeline(here, mailbox(count=200)[:-150])
    (here / "intents.tsv").write_text("Sure, that works.\tyes\tpositive\n")
    file.write_text(file.read_text().replace('# intents = "intents.tsv"', 'intents = "intents.tsv"'))
    code, out, err = call("run", file, "--until", "responses")
    assert code == 0, err
    lines = (Path(out.strip()) / "responses.tsv").read_text().splitlines()[1:]
    assert sorted(line.split("\t")[0] for line in lines) == sorted(REPLIES)
    assert [line.split("\t")[1:3] for line in lines if line.startswith("Sure")] == [["yes", "positive"]]


# Where rows, or what is made of each row, are kept; everything else may be shown or passed on.
DATA = re.compile(
    r"artifacts/(ingest|normalize|tokenize|vectorize)/.*\.(parquet|arrow)$|artifacts/evaluate/.*predictions\.jsonl$|^box\.mbox$|^reports/|assets\.extra/golden"
)


def test_no_secret_of_a_mailbox_is_said_or_exported(here):
    file = pipeline(here, mailbox(secret=True))
    text = (
        file.read_text().replace("embedding_size = 256", "embedding_size = 8").replace("units = [256]", "units = [8]")
    )
    text = text.replace("max_size = 2000", 'max_size = 2000\nmerge = "lemma"').replace("epochs = 8", "epochs = 1")
    file.write_text(text)
    code, out, err = call("run", file)
    assert code == 0, err
    secrets = [secret.lower() for secret in SECRETS.values()]
    assert not any(secret in (out + err).lower() for secret in secrets)
    leaks = []
    for path in here.rglob("*"):
        if path.is_file():
            data = path.read_bytes().decode("latin-1").lower()
            leaks += [(path.relative_to(here).as_posix(), secret) for secret in secrets if secret in data]
    assert any(secret == SECRETS["reply"] for _, secret in leaks)  # they are in the rows
    assert [leak for leak in leaks if not DATA.search(leak[0])] == []
