"""The response set: learned, filtered, kept as a table, and never the words of one person."""

import json
import random
from pathlib import Path

import pytest

from textpipe.answers import _response_set
from textpipe.answers._response_set import Response
from textpipe.errors import ConfigError, DataError, TextpipeError
from textpipe.stages import ingest, normalize, responses
from textpipe.stages._private_words import Names, is_private, words
from textpipe.stages._response_learning import Learner, num_words, person
from textpipe.text.canonical import canonical

EASY = {"max_size": 100, "min_count": 1, "min_senders": 1, "max_words": 15, "blocked": ()}
# Mails in which ordinary words occur in lower case, and names with capitals.
MAILS = ("we will see, thanks, sure, ok, great, please call", "I saw Anna, and Anna saw Will", "Ask Anna or Bob")


def learned(*replies, **settings) -> list[str]:
    """The texts of the response set of replies: texts, or (text, sender)."""
    learner = Learner()
    learner.observe(MAILS)
    learner.add((reply, None) if isinstance(reply, str) else reply for reply in replies)
    return [one.text for one in learner.chosen(**{**EASY, **settings})[0]]


# ---------------------------------------------------------------- one person


@pytest.mark.parametrize("seed", range(30))
def test_a_reply_of_a_single_sender_never_gets_in(seed):
    """Whatever a person writes, however often and in whatever wordings, is not in the table, unless somebody else wrote it."""
    rng = random.Random(seed)
    vocabulary = ["sure", "ok", "thanks", "great", "please", "call", "we", "will", "see"]
    marks = ["", ".", "!", "?", "...", " :)"]
    rows = []
    for _ in range(300):
        text = " ".join(rng.choices(vocabulary, k=rng.randint(1, 3)))
        text = rng.choice([text, text.capitalize(), text.upper(), text.replace(" ", "  ")]) + rng.choice(marks)
        sender = f"p{rng.randint(1, 8)}@example.org"
        rows.append((text, rng.choice([sender, sender.upper(), f"Person {rng.random()} <{sender}>", ""])))
    rows += [(f"{rng.choice(vocabulary)} {rng.choice(vocabulary)} alone", "alone@example.org")] * 50
    least = rng.randint(2, 5)
    learner = Learner()
    learner.add(rows)
    chosen, _ = learner.chosen(**{**EASY, "min_senders": least})
    assert chosen
    for response in chosen:
        writers = {person(sender) for text, sender in rows if canonical(text) == canonical(response.text)} - {""}
        assert len(writers) >= least
        for wording in (response.text, *response.variants):
            assert len({person(sender) for text, sender in rows if " ".join(text.split()) == wording} - {""}) >= 2, (
                wording
            )


def test_one_person_with_many_rows_is_one_person_and_unknown_senders_are_one_in_all():
    assert learned(*[("sure thing", "a@x")] * 9, min_senders=2) == []
    assert learned(*[("sure thing", "")] * 9, min_senders=2) == []
    assert learned(*[("sure thing", "a@x")] * 9, ("sure thing", ""), min_senders=2) == []  # who may be the first
    assert learned(*[("sure thing", "a@x")] * 2, ("sure thing", "b@x"), min_senders=2) == ["sure thing"]
    assert learned("sure thing", "sure thing", min_senders=2) == ["sure thing"]  # rows without senders: a person each


def test_the_wording_is_that_of_most_people_and_not_of_most_rows():
    rows = [*[("SURE THING!!", "a@x")] * 9, ("sure thing", "b@x"), ("sure thing", "c@x")]
    assert learned(*rows, min_senders=3) == ["sure thing"]


@pytest.mark.parametrize(
    "sender", ["bob@example.org", "BOB@Example.org ", "Bob Smith <bob@example.org>", '"Smith, Bob" <Bob@example.org>']
)
def test_an_address_is_a_person_whatever_stands_beside_it(sender):
    assert person(sender) == "bob@example.org"


# ---------------------------------------------------------------- what belongs to somebody


@pytest.mark.parametrize(
    "text",
    [
        "call 555", "call ٥٥٥", "call ५५", "room Ⅻ", "it is ½", "no ①", "write to bob@example.org", "write to bob @ example", "ask @bob",
        "write to bob＠example", "see https://x", "see www.example", "look at example.org", "mailto bob", "Hi <name>", "Hi [first name]", "Hi {name}",
        "ok\nBob", "o\u200bk", "ok \u202eneht", "ok\x00", "ok \x1b[31m", "ok \ue000",
    ],
)  # fmt: skip
def test_numbers_addresses_templates_and_hidden_characters_are_private(text):
    assert is_private(text)
    assert learned(text, "sure thing") == ["sure thing"]


@pytest.mark.parametrize(
    "text",
    [
        "Sure, thanks!",
        "e.g. this",
        "at 'home' (now)",
        "一起去吧",
        "می\u200cخواهم",
        "हाँ, ठीक है",
        "ok 👩\u200d👧 ❤️",
        "ok...",
    ],
)
def test_ordinary_texts_of_any_script_are_not(text):
    assert not is_private(text)


@pytest.mark.parametrize(
    "text",
    [
        "thanks, Anna", "Anna will see", "Great! Anna", "Sure. Bob", "thanks anna", "Zoltan, thanks", "thanks Zoltan", "see you. Zoltan",
        "Thanks Renée", "Ask O’Brien", "Спасибо, Иван", "Ευχαριστώ Γιώργο",
    ],
)  # fmt: skip
def test_names_are_found_wherever_they_stand(text):
    names = Names()
    for mail in (*MAILS, "we saw Anna", "please see you ask", "спасибо", "ευχαριστώ"):
        names.observe(mail)
    names.observe(text)
    assert names.occur_in(text)


@pytest.mark.parametrize(
    "text",
    ["Looks good to me.", "Sounds good, see you.", "Works for me.", "Done.", "Received, thanks.", "Unfortunately not."],
)
def test_words_that_only_begin_replies_are_no_names(text):
    names = Names()
    for mail in ("good to see you for me", "thanks, not to me", text, text):
        names.observe(mail)
    assert not names.occur_in(text)


@pytest.mark.parametrize(
    "text", ["Will see", "we will see, I'm sure", "Sure, I’ll call", "thanks", "Great! Sure, thanks"]
)
def test_words_that_are_also_names_and_capitals_of_sentences_are_not(text):
    names = Names()
    for mail in (*MAILS, "and we will ask"):
        names.observe(mail)
    assert not names.occur_in(text)


def test_words_begin_sentences_after_an_end_or_a_line_break():
    text = 'Yes. Ask Bob: "Now" or\nLater - Please'
    expected = [
        ("Yes", True),
        ("Ask", True),
        ("Bob", False),
        ("Now", True),
        ("or", False),
        ("Later", True),
        ("Please", False),
    ]
    assert list(words(text)) == expected


def test_a_text_of_a_million_characters_takes_no_quadratic_time():
    learner = Learner()
    learner.add([("ab. " * 250_000, None), ("a" * 1_000_000, None), ("[" * 1_000_000, None)])
    assert learner.chosen(**EASY) == ([], {"rows": 3, "canonical": 0, "long": 3})


# ---------------------------------------------------------------- what nobody shall be offered


@pytest.mark.parametrize(
    "phrase, text, is_blocked",
    [
        ("damn", "Damn, sure", True), ("damn", "DAMN!", True), ("damn", "sure, ｄａｍｎ", True), ("damn", "damned sure", False), ("love you", "love, you", True),
        ("love you", "love your call", False), ("坏", "他是坏人", True), ("ไม่ดี", "มันไม่ดีเลย", True), ("🖕", "sure 🖕", True), ("🖕", "sure 👍", False),
        ("Straße", "sure strasse", True), ("कम", "sure काम", False), ("don't", "sure don’t", True),
    ],
)  # fmt: skip
def test_blocked_phrases_are_whole_words_in_any_wording(phrase, text, is_blocked):
    learner = Learner()
    learner.names.lower.update(damn=1, sure=1, strasse=1)
    learner.add([(text, None)])
    chosen, counts = learner.chosen(**{**EASY, "blocked": [phrase]})
    assert (not chosen) is is_blocked and counts.get("blocked", 0) == is_blocked


@pytest.mark.parametrize("text, count", [("one two, three", 3), ("我很好", 3), ("ok 好的", 3), ("ไม่", 3), ("", 0)])
def test_characters_count_as_words_in_writing_without_spaces(text, count):
    assert num_words(text) == count


def test_filters_are_counted_and_the_most_frequent_come_first():
    learner = Learner()
    learner.observe(MAILS)
    texts = (
        ["sure"] * 4
        + ["Thanks!", "thanks", "thanks"]
        + ["great"] * 2
        + ["call 5"] * 2
        + ["see see see"] * 2
        + ["ok"] * 2
        + ["please"]
    )
    learner.add((text, None) for text in [*texts, "!!!"])
    settings = {"max_size": 2, "min_count": 2, "min_senders": 2, "max_words": 2, "blocked": ["ok"]}
    chosen, counts = learner.chosen(**settings)
    assert [(one.text, one.count) for one in chosen] == [("sure", 4), ("thanks", 3)]
    dropped = {"rare": 1, "long": 1, "private": 1, "blocked": 1, "beyond_max_size": 1}
    assert counts == {"rows": 17, "canonical": 7, **dropped}


@pytest.mark.parametrize("text, same", [("कम", "काम"), ("की", "के"), ("นา", "นี"), ("", "❤️")][:3])
def test_vowel_signs_are_part_of_words(text, same):
    assert canonical(text) != canonical(same)


def test_wordings_differ_in_case_and_punctuation_alone():
    assert canonical("Thanks, I'll check!") == canonical("thanks  I’ll check ❤️") == "thanks i'll check"
    assert canonical("!!! ❤️") == ""


# ---------------------------------------------------------------- the table


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "a\\b",
        "¯\\_(ツ)_/¯",
        "C:\\new",
        "\\\\t",
        'say "hi"',
        "it\u2028is",
        "it\x85is",
        "a\tb",
        "a\nb",
        "a\rb",
        "a\x0bb",
        "#x",
    ],
)
def test_the_table_keeps_every_text(tmp_path, text):
    path = tmp_path / "responses.tsv"
    given = [Response(text, text, -1, 3, (f"{text}!", "other")), Response("last", polarity=1)]
    _response_set.write(path, given)
    assert _response_set.read(path) == given


def test_a_table_can_be_edited_by_hand(tmp_path):
    path = tmp_path / "responses.tsv"
    path.write_bytes("\ufeffintent\tresponse\r\nyes\tSure ¯\\_(ツ)_/¯\r\n\r\n\tOk.\r\n".encode())
    assert _response_set.read(path) == [Response("Sure ¯\\_(ツ)_/¯", "yes"), Response("Ok.")]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "line 1: expected the columns response, intent, polarity, count, variants"),
        ("response\tresponse\na\tb\n", "line 1: expected the columns .* each once"),
        ("reply\na\n", "line 1: expected the columns"),
        ("response\tintent\na\n", "line 2: 1 columns where the header has 2; give each column a cell"),
        ("response\na\n\na\n", "line 4: the response 'a' is on two lines"),
        ("response\tcount\na\tmany\n", "line 2: expected a whole number in the column count, found 'many'"),
        (f"response\tcount\na\t{'9' * 5000}\n", "line 2: expected a whole number in the column count"),
        ("response\tpolarity\na\tgood\n", "line 2: expected a polarity"),
        ("response\tintent\n\tyes\n", "line 2: expected a response, found an empty cell"),
        ("response\n", "contains no response"),
    ],
)
def test_a_fault_of_a_table_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "responses.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        _response_set.read(path)


def test_a_table_that_is_none_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        _response_set.read(tmp_path)
    path = tmp_path / "responses.tsv"
    path.write_bytes(b"response\n\xff\n")
    with pytest.raises(DataError, match="expected UTF-8, found byte 0xff at 9"):
        _response_set.read(path)
    path.write_text("response\na\nb\n", encoding="utf-8")
    monkeypatch.setattr(_response_set, "MAX_RESPONSES", 1)
    with pytest.raises(DataError, match="line 3: expected 1 responses at most"):
        _response_set.read(path)
    monkeypatch.setattr(_response_set, "MAX_BYTES", 5)
    with pytest.raises(DataError, match="expected 5 bytes at most, found 13"):
        _response_set.read(path)


# ---------------------------------------------------------------- the stage


def mailbox(folder: Path) -> Path:
    """Rows of who wrote what: "sure thing" by five people, "no way" by five, "call me maybe" five times by one, in all splits alike."""
    replies = [("sure thing", f"p{number}@x") for number in range(5)] + [
        ("no way", f"p{number}@x") for number in range(5)
    ]
    replies += [("call me maybe", "p1@x")] * 5
    rows = [
        {"message": f"mail {number}", "reply": text, "sender": sender} for number, (text, sender) in enumerate(replies)
    ]
    path = folder / "mail.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def stage(folder: Path, *, keep=("sender",), columns=None, **settings) -> list[Response]:
    """The response set of the mailbox."""
    rows, output = folder / "rows", folder / "responses"
    if not rows.exists():
        rows.mkdir()
        config = ingest.Config(
            task="suggest", files=mailbox(folder), keep=list(keep), columns=columns or {}, split={"valid": 0, "test": 0}
        )
        ingest.run(config, {}, rows)
        (folder / "normalize.json").write_text('{"message": [], "reply": [{"kind": "whitespace"}]}')
    output.mkdir()
    responses.run(responses.Config(task="suggest", **settings), {"ingest": rows, "normalize": folder}, output)
    return _response_set.read(output / _response_set.FILE)


def test_a_kept_column_says_who_wrote_a_reply(tmp_path):
    assert [one.text for one in stage(tmp_path, sender="sender")] == ["no way", "sure thing"]
    counts = json.loads((tmp_path / "responses" / "stats.json").read_text())
    assert counts["few_senders"] == 1 and "call me maybe" not in json.dumps(counts)
    (tmp_path / "responses").rename(tmp_path / "before")
    assert len(stage(tmp_path)) == 3  # each row counts as a person


def test_a_column_of_another_name_can_be_kept(tmp_path):
    found = stage(tmp_path, keep=("who",), columns={"who": "sender"}, sender="who")
    assert [one.text for one in found] == ["no way", "sure thing"]


def test_a_sender_that_was_not_kept_is_an_error(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"\[responses\] sender: no column 'from' was kept; .*known: sender; add it to \[ingest\] keep",
    ):
        stage(tmp_path, sender="from")


def test_an_edited_table_is_used_as_it_is_and_gets_intents(tmp_path):
    table, intents = tmp_path / "edited.tsv", tmp_path / "intents.tsv"
    table.write_text("response\nSure thing.\nSure thing, thanks.\nNo, sorry.\nNo way, sorry.\n", encoding="utf-8")
    intents.write_text("Sure thing.\tyes\tpositive\nNo, sorry.\tno\tnegative\n", encoding="utf-8")
    found = stage(tmp_path, file=table, intents=intents)
    assert [(one.intent, one.polarity) for one in found] == [("yes", 1), ("yes", 1), ("no", -1), ("no", -1)]
    assert responses.summary(tmp_path / "responses") == "4 responses from edited.tsv, 4 of them with one of 2 intents"
    again = tmp_path / "again"
    again.mkdir()
    file = tmp_path / "responses" / _response_set.FILE
    responses.run(
        responses.Config(task="suggest", file=file), {"ingest": tmp_path / "rows", "normalize": tmp_path}, again
    )
    assert (again / _response_set.FILE).read_bytes() == file.read_bytes()


def test_intents_of_a_very_large_set_are_refused(tmp_path, monkeypatch):
    table, intents = tmp_path / "edited.tsv", tmp_path / "intents.tsv"
    table.write_text("response\na\nb\nc\n", encoding="utf-8")
    intents.write_text("a\tyes\n", encoding="utf-8")
    monkeypatch.setattr(responses, "MAX_SPREAD", 2)
    with pytest.raises(ConfigError, match="intents: spread to at most 2 responses, found 3; lower max_size"):
        stage(tmp_path, file=table, intents=intents)


def test_a_set_that_filtering_empties_is_an_error_that_says_why(tmp_path):
    with pytest.raises(DataError, match=r"found 0 \(rows 15, canonical 3, few senders 3\); lower min_senders$"):
        stage(tmp_path, sender="sender", min_senders=6)


@pytest.mark.parametrize("keep", [["message"], ["row"], ["a b"], ["sender", "sender"], [""]])
def test_only_columns_with_names_of_their_own_are_kept(keep):
    with pytest.raises(ValueError, match="keep: .* cannot be kept"):
        ingest.Config(task="suggest", files=Path("mail.jsonl"), keep=keep)


def test_an_empty_phrase_is_not_blocked():
    with pytest.raises(ValueError, match="expected words or phrases, found an empty text"):
        responses.Config(task="suggest", blocked=["damn", " "])


def test_a_kept_column_changes_neither_rows_nor_later_stages(tmp_path):
    """Rows with empty cells stay, rows that differ in it alone are duplicates, and normalize leaves it out."""
    rows = [("a", "yes sir", "p1"), ("a", "yes sir", ""), ("b", "no sir", ""), ("c", "no sir", "p2")]
    path = tmp_path / "mail.jsonl"
    path.write_text(
        "".join(json.dumps(dict(zip(("message", "reply", "who"), row, strict=True))) + "\n" for row in rows)
    )
    kept = {}
    for keep in ([], ["who"]):
        folder, after = tmp_path / f"rows{len(keep)}", tmp_path / f"normal{len(keep)}"
        folder.mkdir()
        after.mkdir()
        config = ingest.Config(
            task="suggest", files=path, keep=keep, split={"valid": 0, "test": 0}, drop_duplicates=True
        )
        ingest.run(config, {}, folder)
        normalize.run(normalize.Config(task="suggest"), {"ingest": folder}, after)
        kept[len(keep)] = {file.relative_to(after): file.read_bytes() for file in after.rglob("*.*") if file.is_file()}
    from textpipe.data import shards

    table = [batch.to_pydict() for batch in shards.read(tmp_path / "rows1", "train")]
    assert [(part["row"], part["who"]) for part in table] == [([0, 2, 3], ["p1", "", "p2"])]
    assert kept[0] == kept[1] and kept[0]
    assert issubclass(ConfigError, TextpipeError)


def test_words_that_begin_replies_are_no_names():
    names = Names()
    names.observe("Peter, that works. Sure, no problem. Merci.")
    assert [names.occur_in(text) for text in ("Sure, no problem.", "Merci.", "Peter, no problem.")] == [
        False,
        False,
        True,
    ]
