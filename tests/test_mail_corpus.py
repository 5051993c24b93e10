"""The bundled mail corpus: its generator and the claims of its dataset card."""

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "data" / "mail"
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("mail_generator", FOLDER / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def grammar(generator):
    return generator.read_grammar()


@pytest.fixture(scope="module")
def rows():
    """The committed rows: split -> list of dicts."""
    return {split: [json.loads(line) for line in lines_of(split)] for split in SPLITS}


@pytest.fixture(scope="module")
def mails(rows):
    return [row for split in SPLITS for row in rows[split]]


def lines_of(split):
    return (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()


def test_the_committed_files_match_the_generator(generator, tmp_path):
    generator.main(["--out", str(tmp_path)])
    names = [*(f"{split}.jsonl" for split in SPLITS), "intents.tsv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for name in names:
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name


def test_the_examples_of_intents_are_replies_of_train_of_that_intent(rows):
    intents = {row["reply"]: row["intent"] for row in rows["train"]}
    lines = [line.split("\t") for line in (FOLDER / "intents.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    assert all(intents[reply] == intent for reply, intent in lines) and len(lines) > 40
    assert max(Counter(intent for _, intent in lines).values()) == 3


def test_another_seed_writes_another_corpus(generator, tmp_path):
    generator.main(["--seed", str(generator.SEED + 1), "--out", str(tmp_path)])
    assert (tmp_path / "test.jsonl").read_bytes() != (FOLDER / "test.jsonl").read_bytes()


def test_every_row_has_the_columns_of_the_card_in_their_order(mails):
    assert {tuple(row) for row in mails} == {
        (
            *("id", "intent", "subject", "message"),
            *("recipients", "is_reply", "from_list", "known_sender", "wants_reply", "reply"),
        )
    }
    assert len({row["id"] for row in mails}) == len(mails)


def test_the_card_states_the_number_of_mails_in_each_split(rows):
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for split in SPLITS:
        assert f"| {split} | {len(rows[split]):,} |" in card


def test_there_are_at_least_eight_thousand_mails_without_duplicate_messages(mails):
    assert len(mails) >= 8000
    assert [text for text, count in Counter(row["message"] for row in mails).items() if count > 1] == []


def test_there_are_at_least_thirty_intents_with_twelve_phrasings_each(grammar):
    keys = [intent["key"] for intent in grammar["intent"]]
    assert len(set(keys)) == len(keys) >= 30
    assert {
        intent["key"]: len(set(intent["phrasings"]))
        for intent in grammar["intent"]
        if len(set(intent["phrasings"])) < 12
    } == {}


def test_no_phrasing_is_in_two_intents_or_in_two_splits(generator, grammar, rows):
    splits = generator.phrasing_splits(grammar)
    texts = [phrasing for _, phrasing in splits]
    assert len(set(texts)) == len(texts)
    assert set(splits.values()) == set(SPLITS)

    # Independent of the generator: each committed message contains a phrasing of its own split and of no other.
    patterns = {split: {} for split in SPLITS}
    for (key, phrasing), split in splits.items():
        words = [r".+?" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{\w+\})", phrasing)]
        patterns[split].setdefault(key, []).append(re.compile("".join(words), re.IGNORECASE))
    for split, mails in rows.items():
        for row in mails[::7]:
            text = " ".join(row["message"].split())
            found = [other for other in SPLITS if any(p.search(text) for p in patterns[other][row["intent"]])]
            assert found == [split], row["id"]


def test_every_intent_is_in_every_split(grammar, rows):
    for split in SPLITS:
        assert {row["intent"] for row in rows[split]} == {intent["key"] for intent in grammar["intent"]}


def test_both_labels_are_common_in_every_split(rows):
    for split in SPLITS:
        labels = Counter(row["wants_reply"] for row in rows[split])
        assert set(labels) == {"yes", "no"}
        assert 0.4 <= labels["yes"] / len(rows[split]) <= 0.6


def test_every_scene_has_as_many_intents_with_a_reply_as_without(grammar):
    # Salutation, signature and quotation are drawn per scene: balanced scenes keep them from revealing the label.
    counts = Counter((intent["scene"], intent["wants_reply"]) for intent in grammar["intent"])
    for scene in grammar["scenes"]:
        assert counts[scene, "yes"] == counts[scene, "no"] > 0


@pytest.mark.parametrize(
    "mark", ["Sent from my phone", "\n-- \n", " wrote:\n> ", "Forwarded message", "Original Message"]
)
def test_salutations_signatures_and_quotations_do_not_reveal_the_label(mails, mark):
    labels = Counter(row["wants_reply"] for row in mails if mark in row["message"])
    assert labels.total() >= 50
    assert 0.4 <= labels["yes"] / labels.total() <= 0.6


def test_a_question_mark_does_not_reveal_the_label(rows):
    for split in SPLITS:
        hits = sum(("?" in row["message"]) == (row["wants_reply"] == "yes") for row in rows[split])
        assert hits / len(rows[split]) < 0.85


def test_a_mail_is_labeled_yes_exactly_if_it_has_a_reply(mails):
    for row in mails:
        assert (row["wants_reply"] == "yes") == bool(row["reply"]), row["id"]


def test_replies_are_short_and_their_days_and_numbers_occur_in_the_message(mails):
    copied = re.compile(r"\b(?:\w*\d[\w:,-]*|(?:Mon|Tues|Wednes|Thurs|Fri)day)\b")
    for row in mails:
        if row["reply"]:
            assert 2 <= len(row["reply"].split()) <= 14, row["id"]
            missing = [word for word in copied.findall(row["reply"]) if word not in row["message"]]
            assert missing == [], row["id"]


@pytest.mark.parametrize(
    ("fault", "pattern"),
    [
        ("an unfilled slot", r"[{}]"),
        ("a digit not drawn", r"[#^]"),
        ("a double blank", r"  "),
        ("a blank before a full stop", r" [.,?!;:](\s|$)"),
        ("a double full stop", r"\.\.|\?\?|,,"),
        ("a sentence that starts small", r"(^|[.?!]\s+|\n\n)[a-z]"),
        ("a doubled word", r"\b([a-z]+) \1\b"),
        ("a wrong article", r"\b(a [aeioAEIO]\w+|an [bcdfgjklmnpqrstvwxz]\w+)"),
        ("more than two line ends", r"\n\n\n"),
        ("an address outside the reserved domains", r"@(?!example\.(org|com)\b)"),
        ("a page outside the reserved domains", r"://(?!(www|intranet)\.example\.(org|com)\b)"),
        ("a stray end", r"\A\s|\s\Z"),
    ],
)
def test_no_message_or_reply_has(mails, fault, pattern):
    faults = [row["id"] for row in mails for text in (row["message"], row["reply"]) if re.search(pattern, text)]
    assert faults == [], fault
