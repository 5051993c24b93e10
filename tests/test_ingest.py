"""The ingest stage: from files to splits."""

import hashlib
import json
import logging
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from textpipe.cache import fingerprint
from textpipe.data import profile, shards
from textpipe.errors import ConfigError, DataError
from textpipe.pipeline import runner
from textpipe.stages import ingest

SENTENCES = [(f"Please send report {n}.", ("yes", "no", "later")[n % 3]) for n in range(3_000)]


def write_tsv(path, rows, header="text\tlabel"):
    path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


def run(folder, task="classify", **options):
    """Return ({split: rows as tuples}, stats)."""
    output = folder / f"out{len(list(folder.glob('out*')))}"
    output.mkdir()
    ingest.run(ingest.Config(task=task, **options), {}, output)
    splits = {}
    for split in shards.SPLITS:
        if shards.paths(output, split):
            table = pa.Table.from_batches(list(shards.read(output, split)))
            splits[split] = list(zip(*table.to_pydict().values(), strict=True))
    return splits, json.loads((output / "stats.json").read_text(encoding="utf-8"))


def test_one_file_is_split_by_source_without_losing_rows(tmp_path):
    path = write_tsv(tmp_path / "a.tsv", SENTENCES)
    splits, stats = run(tmp_path, files=path, split={"valid": 0.2, "test": 0.1})
    everything = sorted(row for rows in splits.values() for row in rows)
    assert everything == [(n, *sentence) for n, sentence in enumerate(SENTENCES)]
    assert {split: stats["splits"][split]["rows"] for split in splits} == {
        split: len(rows) for split, rows in splits.items()
    }
    assert 500 < len(splits["valid"]) < 700
    assert 240 < len(splits["test"]) < 360
    assert all(list(rows) == sorted(rows) for rows in splits.values())


def test_the_split_of_a_row_never_changes(tmp_path):
    """Compared with BLAKE2b of "please send report 7", computed independently; test has the lowest share."""
    path = write_tsv(tmp_path / "a.tsv", SENTENCES)
    splits, _ = run(tmp_path, files=path)
    split_of = {row[1]: split for split, rows in splits.items() for row in rows}
    for number in range(0, 3000, 7):
        digest = hashlib.blake2b(f"please send report {number}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "little") / 2**64
        expected = "test" if place < 0.1 else "valid" if place < 0.2 else "train"
        assert split_of[f"Please send report {number}."] == expected


def test_a_row_appended_tomorrow_does_not_move_the_old_ones(tmp_path):
    before, _ = run(tmp_path, files=write_tsv(tmp_path / "a.tsv", SENTENCES[:2000]))
    after, _ = run(tmp_path, files=write_tsv(tmp_path / "b.tsv", SENTENCES))
    for split in shards.SPLITS:
        assert after[split][: len(before[split])] == before[split]


def test_equal_sources_are_always_in_the_same_split(tmp_path):
    rows = [(form, str(n % 5)) for n in range(400) for form in (f"Mail {n}", f"mail  {n}!", f"MAIL\u00a0{n}")]
    splits, stats = run(tmp_path, files=write_tsv(tmp_path / "a.tsv", rows))
    numbers = {split: {int(text.split()[-1].strip("!")) for _, text, _ in rows} for split, rows in splits.items()}
    assert sum(map(len, numbers.values())) == 400
    assert {split: table["rows"] for split, table in stats["leakage"].items()} == {"valid": 0, "test": 0}


def place(text):
    """Position of the hash of a normalized text in the unit interval, computed independently."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") / 2**64


def by_hash(text, valid=0.1, test=0.1):
    return "test" if place(text) < test else "valid" if place(text) < test + valid else "train"


def splits_of(splits):
    return {row[1]: split for split, rows in splits.items() for row in rows}


def test_labels_too_rare_for_a_split_stay_in_train_and_are_all_listed(tmp_path):
    rare = [(f"odd matter {n}", f"odd {n}") for n in range(40)]
    held_out = [text for text, _ in rare if by_hash(text) != "train"]
    assert held_out
    path = write_tsv(tmp_path / "a.tsv", SENTENCES[:300] + rare + SENTENCES[300:600])
    splits, stats = run(tmp_path, files=path)
    split_of = splits_of(splits)
    assert all(split_of[text] == "train" for text, _ in rare)
    assert sorted(row for rows in splits.values() for row in rows)[300] == (300, "odd matter 0", "odd 0")
    # Nothing else moved, and rows keep their order.
    assert all(split_of[text] == by_hash(f"please send report {n}") for n, (text, _) in enumerate(SENTENCES[:600]))
    assert all(list(rows) == sorted(rows) for rows in splits.values())
    assert stats["labels_in_train_only"] == {
        split: {label: 1 for _, label in sorted(rare)} for split in ("valid", "test")
    }
    assert stats["rows_read"] == {"train": 640}
    assert sum(table["rows"] for table in stats["splits"].values()) == 640
    assert stats["leakage"]["valid"]["rows"] == stats["leakage"]["test"]["rows"] == 0
    output = max(tmp_path.glob("out*"))
    assert "40 labels too rare for test, only in train: odd 0 (1), odd 1 (1)" in ingest.summary(output)


def test_a_label_is_in_every_split_for_which_it_has_enough_rows(tmp_path):
    rows = [(f"note {n} of {label}", f"class {label}") for n in range(12) for label in range(150)]
    assert any(
        all(by_hash(f"note {n} of {label}") != split for n in range(12))
        for label in range(150)
        for split in ("valid", "test")
    )
    splits, stats = run(tmp_path, files=write_tsv(tmp_path / "a.tsv", rows))
    labels = {split: {row[2] for row in rows} for split, rows in splits.items()}
    assert all(len(names) == 150 for names in labels.values())
    assert stats["labels_in_train_only"] == {}
    moved = {text for text, split in splits_of(splits).items() if split != by_hash(text)}
    missing = sum(
        all(by_hash(f"note {n} of {label}") != split for n in range(12))
        for label in range(150)
        for split in shards.SPLITS
    )
    assert len(moved) == missing
    assert sorted(row for rows in splits.values() for row in rows) == [(n, *row) for n, row in enumerate(rows)]


def test_equal_texts_of_rare_labels_stay_together_and_appended_rows_move_none(tmp_path):
    rows = [(form, f"l{n % 180}") for n in range(200) for form in (f"Case {n}", f"case, {n}!")]
    rows += [(f"CASE {n}", f"again {n}") for n in range(0, 200, 3)]  # and with a separate label
    splits, stats = run(tmp_path, files=write_tsv(tmp_path / "a.tsv", rows))
    homes = {}
    for text, split in splits_of(splits).items():
        homes.setdefault(text.lower().replace(",", "").strip("!"), set()).add(split)
    assert all(len(names) == 1 for names in homes.values())
    assert stats["leakage"]["valid"]["rows"] == stats["leakage"]["test"]["rows"] == 0
    assert {row[2] for row in splits["train"]} == {label for _, label in rows}
    more, _ = run(
        tmp_path, files=write_tsv(tmp_path / "b.tsv", rows + [(f"new {n}", f"fresh {n}") for n in range(100)])
    )
    assert splits_of(more).items() >= splits_of(splits).items()


def test_a_small_table_has_a_row_in_each_requested_split(tmp_path):
    for count in (10, 14, 23):
        pairs = [(f"word {count} {n}", f"Wort {n}") for n in range(count)]
        path = write_tsv(tmp_path / f"{count}.tsv", pairs, "source\ttarget")
        splits, _ = run(tmp_path, "translate", files=path)
        assert all(splits[split] for split in shards.SPLITS)
        assert sorted(row[1:] for rows in splits.values() for row in rows) == sorted(pairs)
    equal = write_tsv(tmp_path / "equal.tsv", [("the same", f"Wort {n}") for n in range(50)], "source\ttarget")
    with pytest.raises(DataError, match=r"of the 50 rows read, of which 1 differ; equal ones stay together\)"):
        run(tmp_path, "translate", files=equal)
    with pytest.raises(DataError, match=r"no rows fell into it \(a share of 0.1 of the 3 rows read\); give more rows"):
        run(
            tmp_path,
            "translate",
            files=write_tsv(tmp_path / "s.tsv", [("a", "b"), ("c", "d"), ("e", "f")], "source\ttarget"),
        )


def test_labels_of_one_row_each_are_named_as_the_cause_of_an_empty_split(tmp_path):
    unique = [(f"text {n}", f"ID {n}") for n in range(300)]
    with pytest.raises(
        DataError,
        match=r"^valid: no rows left: every label .*, and 300 of its 300 labels occur in one row only; choose",
    ):
        run(tmp_path, files=write_tsv(tmp_path / "a.tsv", unique))
    mixed = [(f"text {n}", f"ID {n}" if n % 40 else "usual") for n in range(300)]
    with pytest.raises(DataError, match=r"29\d of its 29\d labels occur in one row only; .*min_count = 2"):
        run(tmp_path, files=write_tsv(tmp_path / "b.tsv", mixed), split={"test": 0.01})
    first = [(f"text {n}", f"ID {n}") for n in range(300)]
    with pytest.raises(DataError, match="20 of its 20 labels occur in one row only"):
        run(tmp_path, files=write_tsv(tmp_path / "c.tsv", first), max_rows=20)


@pytest.mark.parametrize(
    ("task", "columns"),
    [("classify", {"text": "a", "label": "a"}), ("classify", {"label": "text"}), ("multi_label", {"text": "labels"})],
)
def test_one_column_as_source_and_as_label_is_refused(task, columns):
    with pytest.raises(
        ValueError, match="is the column of the source 'text' and of the target 'labels?'.*choose another column"
    ):
        ingest.Config(task=task, files="a.tsv", columns=columns)


def test_a_text_may_be_copied_to_itself():
    ingest.Config(task="translate", files="a.tsv", columns={"source": "a", "target": "a"})


def test_labels_that_max_rows_excludes_from_train_are_excluded_from_the_other_splits(tmp_path):
    rows = [(f"text {n}", f"label {n // 20}") for n in range(2_000)]
    splits, stats = run(tmp_path, files=write_tsv(tmp_path / "a.tsv", rows), max_rows=100)
    labels = {split: {row[2] for row in rows} for split, rows in splits.items()}
    assert len(splits["train"]) == 100
    assert labels["valid"] <= labels["train"]
    assert labels["test"] <= labels["train"]
    assert stats["repairs"]["unlearned_rows"] > 0


def test_labels_rarer_than_min_count_are_dropped_or_merged_and_listed(tmp_path):
    rare = [("seldom asked", "seldom"), ("seldom again", "seldom "), ("asked once", "once")]
    train = write_tsv(tmp_path / "train.tsv", [*SENTENCES[:30], *rare, *SENTENCES[30:60]])
    test = write_tsv(tmp_path / "test.tsv", [("please send more", "no"), ("unheard of", "never seen")])
    files = {"train": train, "test": test}
    splits, stats = run(tmp_path, files=files, split={}, min_count=3)
    assert {row[2] for row in splits["train"]} == {"yes", "no", "later"}
    assert [row[1] for row in splits["test"]] == ["please send more"]
    assert stats["rare_labels"] == {
        "min_count": 3,
        "merged_into": None,
        "labels": {"seldom": 2, "once": 1, "never seen": 0},
    }
    assert stats["repairs"]["rare_label_rows"] == 4
    assert stats["rows_read"] == {"train": 63, "test": 2}
    splits, stats = run(tmp_path, files=files, split={}, min_count=3, rare_label="other")
    assert [row[1:] for row in splits["train"] if row[2] == "other"] == [(text, "other") for text, _ in rare]
    assert [row[2] for row in splits["test"]] == ["no", "other"]
    output = max(tmp_path.glob("out*"))
    assert (
        "3 labels with fewer rows than 3 merged into 'other': seldom (2), once (1), never seen (0)"
        in ingest.summary(output)
    )
    splits, _ = run(tmp_path, files=files, split={}, min_count=2)
    assert {row[2] for row in splits["train"]} == {"yes", "no", "later", "seldom"}


def test_two_thousand_classes_are_accepted(tmp_path):
    rows = [(f"row {n}", f"c{n % 2_000}") for n in range(8_000)]
    splits, stats = run(tmp_path, files=write_tsv(tmp_path / "a.tsv", rows))
    assert len({row[2] for row in splits["train"]}) == 2_000
    assert stats["splits"]["train"]["fields"]["label"]["num_classes"] == 2_000
    assert sum(map(len, splits.values())) == 8_000


def test_given_splits_are_kept_and_missing_ones_are_cut_from_train(tmp_path):
    train = write_tsv(tmp_path / "train.tsv", SENTENCES[:2500])
    test = write_tsv(tmp_path / "test.tsv", SENTENCES[2500:])
    splits, stats = run(tmp_path, files={"train": train, "test": test})
    assert splits["test"] == [(n, *row) for n, row in enumerate(SENTENCES[2500:])]
    assert 190 < len(splits["valid"]) < 310
    assert sorted(splits["train"] + splits["valid"]) == [(n, *row) for n, row in enumerate(SENTENCES[:2500])]
    assert stats["rows_read"] == {"train": 2500, "test": 500}
    splits, _ = run(tmp_path, files={"train": train, "test": test}, split={})
    assert set(splits) == {"train", "test"}
    assert len(splits["train"]) == 2500


def test_several_files_are_one_source_with_consecutive_row_numbers(tmp_path):
    files = [write_tsv(tmp_path / f"{n}.tsv", SENTENCES[n * 1000 : (n + 1) * 1000]) for n in range(3)]
    splits, _ = run(tmp_path, files=files)
    assert sorted(row for rows in splits.values() for row in rows) == [(n, *row) for n, row in enumerate(SENTENCES)]


def test_line_files_are_given_as_a_table_or_a_list(tmp_path):
    for split, count in (("train", 900), ("valid", 20), ("test", 30)):
        (tmp_path / f"{split}.en").write_text("".join(f"{split} sentence {n}\n" for n in range(count)))
        (tmp_path / f"{split}.de").write_text("".join(f"{split} Satz {n}\n" for n in range(count)))
    tables = {split: {"en": tmp_path / f"{split}.en", "de": tmp_path / f"{split}.de"} for split in shards.SPLITS}
    lists = {split: [tmp_path / f"{split}.en", tmp_path / f"{split}.de"] for split in shards.SPLITS}
    columns = {"source": "de", "target": "en"}
    splits, _ = run(tmp_path, "translate", files=tables, columns=columns)
    assert splits["valid"][3] == (3, "valid Satz 3", "valid sentence 3")
    assert run(tmp_path, "translate", files=lists, columns=columns)[0] == splits
    only = run(tmp_path, "translate", files=tables["train"], columns=columns)[0]
    assert sum(map(len, only.values())) == 900


def test_counts_agree_with_counting_by_hand(tmp_path):
    train = [
        ("Come today?", "yes"),
        ("Come today?", "yes"),
        ("come TODAY", "no"),
        ("Thanks.", "no"),
        ("Привет мир", "no"),
    ]
    test = [("Thanks!", "no"), ("thanks", "no"), ("New one", "yes")]
    raw = tmp_path / "train.tsv"
    data = write_tsv(raw, train).read_bytes()
    raw.write_bytes(b"\xef\xbb\xbf" + data + b"caf\xe9 au\0 lait\tyes\n\tno\n  \t \n")
    splits, stats = run(tmp_path, files={"train": raw, "test": write_tsv(tmp_path / "test.tsv", test)}, split={})
    assert len(splits["train"]) == 6
    assert splits["train"][-1] == (5, "caf\ufffd au lait", "yes")
    assert stats["repairs"] == {
        "empty_rows": 2, "bad_rows": 0, "filtered_rows": 0, "too_long_rows": 0, "cut_rows": 0,
        "invalid_utf8_rows": 1, "invalid_utf8_bytes": 1, "nul_characters": 1, "not_finite_numbers": 0,
        "rare_label_rows": 0, "unlearned_rows": 0,
    }  # fmt: skip
    table = stats["splits"]["train"]
    assert (table["rows"], table["duplicates"], table["conflicts"], table["distinct_sources"]) == (6, 1, 1, 4)
    assert table["fields"]["label"] == {
        "kind": "label",
        "num_classes": 2,
        "complete": True,
        "classes": {"no": 3, "yes": 3},
    }
    assert table["fields"]["text"]["words"]["max"] == 3
    assert table["fields"]["text"]["longest"] == {"characters": 12, "row": 5}
    latin, cyrillic = 3 * len("Cometoday") + len("Thanks") + len("cafaulait"), len("Приветмир")
    assert table["fields"]["text"]["scripts"]["Cyrillic"] == pytest.approx(cyrillic / (latin + cyrillic), abs=1e-6)
    assert stats["leakage"] == {"test": {"rows": 2, "share": 0.666667}}


def test_one_question_about_many_tables(tmp_path):
    """Rows with the same question stay together, unless the table identifies them too."""
    tables = [json.dumps([["City", "Inhabitants"], ["Graz", str(number)]]) for number in range(60)]
    rows = [(table, "How many inhabitants?", str(number)) for number, table in enumerate(tables)]
    path = write_tsv(tmp_path / "rows.tsv", rows, header="table\tquestion\tdenotation")
    with pytest.raises(
        DataError,
        match=r'of which 1 differ in question; equal ones stay together, unless \[ingest\] identify_by = \["table", "question"\]',
    ):
        run(tmp_path, "table_qa", files=path)
    splits, stats = run(tmp_path, "table_qa", files=path, identify_by=["table", "question"])
    assert min(map(len, splits.values())) > 0
    assert stats["splits"]["train"]["duplicates"] == 0


def test_rows_are_compared_by_the_fields_of_identify_by(tmp_path):
    task = {"kind": "classify", "fields": {"text": "text", "headers": "text"}, "target": "label"}
    rows = [(text, f"Message-ID: {number}", label) for text, label in SENTENCES[:40] for number in range(3)]
    path = write_tsv(tmp_path / "mails.tsv", rows, header="text\theaders\tlabel")
    _, stats = run(tmp_path, task, files=path)
    assert sum(split["duplicates"] for split in stats["splits"].values()) == 0
    splits, stats = run(tmp_path, task, files=path, identify_by=["text"])
    assert sum(split["duplicates"] for split in stats["splits"].values()) == 80
    of_texts = [{row[1] for row in rows} for rows in splits.values()]
    assert sum(map(len, of_texts)) == 40 and not stats["leakage"].get("test", {"rows": 0})["rows"]
    splits, _ = run(tmp_path, task, files=path, identify_by=["text"], drop_duplicates=True)
    assert sum(map(len, splits.values())) == 40
    with pytest.raises(ValueError, match="identify_by: expected fields of the source, text, headers, found 'label'"):
        ingest.Config(task=task, files=path, identify_by=["label"])


def test_duplicates_and_leaks_are_dropped_if_configured(tmp_path):
    train = write_tsv(
        tmp_path / "train.tsv", [*SENTENCES[:50], *SENTENCES[:10], ("Leaks here", "yes"), ("LEAKS: here", "no")]
    )
    test = write_tsv(tmp_path / "test.tsv", [("leaks here", "yes"), ("other", "no")])
    files = {"train": train, "test": test}
    splits, stats = run(tmp_path, files=files, split={})
    assert (len(splits["train"]), stats["splits"]["train"]["duplicates"], stats["leakage"]["test"]["rows"]) == (
        62,
        10,
        1,
    )
    splits, stats = run(tmp_path, files=files, split={}, drop_duplicates=True, on_leak="drop")
    assert [row[1:] for row in splits["train"]] == SENTENCES[:50]
    assert stats["splits"]["train"]["duplicates"] == 10
    assert stats["splits"]["train"]["leaks_dropped"] == 2
    assert stats["leakage"]["test"]["rows"] == 1
    assert len(splits["test"]) == 2


def test_filter_and_max_rows_select_rows(tmp_path):
    rows = [(text, label, ("en", "de")[n % 2]) for n, (text, label) in enumerate(SENTENCES)]
    path = write_tsv(tmp_path / "a.tsv", rows, "text\tlabel\tlanguage")
    splits, stats = run(tmp_path, files=path, filter={"language": "de", "label": ["yes", "no"]}, split={})
    assert [row[1:] for row in splits["train"]] == [row[:2] for row in rows if row[2] == "de" and row[1] != "later"]
    assert stats["repairs"]["filtered_rows"] == 2000
    every, _ = run(tmp_path, files=path)
    splits, _ = run(tmp_path, files=path, max_rows=70)
    assert splits == {split: every[split][:70] for split in shards.SPLITS}
    splits, _ = run(tmp_path, files=path, max_rows=70, drop_duplicates=True)
    assert splits == {split: every[split][:70] for split in shards.SPLITS}


def test_a_filter_compares_stripped_cells(tmp_path):
    rows = [
        (text, f" {label}" if n % 2 else f"{label} ", ("de ", " de", "en")[n % 3])
        for n, (text, label) in enumerate(SENTENCES[:60])
    ]
    path = write_tsv(tmp_path / "a.tsv", rows, "text\tlabel\tlanguage")
    splits, _stats = run(tmp_path, files=path, filter={"label": [" yes", "no"], "language": "de"}, split={})
    assert [row[1:] for row in splits["train"]] == [
        (a, b.strip()) for a, b, c in rows if c != "en" and b.strip() != "later"
    ]
    numbers = write_tsv(
        tmp_path / "b.tsv", [("good", "yes", "5"), ("bad", "no", "1"), ("fine", "no", "5")], "text\tlabel\tstars"
    )
    splits, _ = run(tmp_path, files=numbers, filter={"stars": 5}, split={})
    assert [row[1] for row in splits["train"]] == ["good", "fine"]


def test_filter_columns_are_neither_profiled_nor_repaired(tmp_path):
    path = tmp_path / "a.tsv"
    long = "x" * 500
    path.write_bytes(
        b"text\tlabel\tsource\nZ\xc3\xbcrich\tyes\t" + long.encode() + b"\nplain\tno\t" + long.encode()
        + b"\nother\tno\tcaf\xe9\nodd\xff\tno\tcaf\xe9\n"
    )  # fmt: skip
    splits, stats = run(tmp_path, files=path, filter={"source": long}, max_characters=100, on_invalid="error", split={})
    assert [row[1] for row in splits["train"]] == ["Zürich", "plain"]
    assert {name: count for name, count in stats["repairs"].items() if count} == {"filtered_rows": 2}


def test_leaks_of_valid_and_test_into_each_other_are_counted_and_dropped(tmp_path):
    names = ("train", "valid", "test")
    files = {
        name: write_tsv(tmp_path / f"{name}.tsv", [(f"{name} {n}", "yes" if n % 2 else "no") for n in range(20)])
        for name in names
    }
    with files["valid"].open("a") as file:
        file.write("Test 3!\tno\ntest 4\tyes\n")
    splits, stats = run(tmp_path, files=files)
    assert (len(splits["valid"]), stats["leakage"]["valid"]["held_out"]) == (22, 2)
    output = max(tmp_path.glob("out*"))
    assert "valid rows whose source text is in test: 2" in ingest.summary(output)
    splits, stats = run(tmp_path, files=files, on_leak="drop")
    assert (len(splits["valid"]), len(splits["test"]), stats["splits"]["valid"]["leaks_dropped"]) == (20, 20, 2)
    assert "held_out" not in stats["leakage"]["valid"]
    # Also if test is cut from train and valid is a file.
    del files["test"]
    cut, _ = run(tmp_path, files=files, split={"test": 0.3})
    again = write_tsv(
        tmp_path / "again.tsv", [(text.upper(), label) for _, text, label in cut["test"]] + [("only here", "no")]
    )
    splits, stats = run(tmp_path, files={**files, "valid": again}, split={"test": 0.3}, on_leak="drop")
    assert splits.get("valid") is not None
    assert not {text for _, text, _ in splits["test"]} & {text for _, text, _ in cut["test"]}


def test_text_lengths_are_limited_and_a_column_of_texts_is_not_a_label(tmp_path):
    rows = [*SENTENCES[:40], ("y" * 1_000_001, "yes"), ("z" * 1_000_000, "no")]
    path = write_tsv(tmp_path / "a.tsv", rows)
    splits, stats = run(tmp_path, files=path, split={})
    assert (len(splits["train"]), stats["repairs"]["too_long_rows"]) == (41, 1)
    splits, stats = run(tmp_path, files=path, split={}, max_characters=10, on_too_long="cut")
    assert {len(row[1]) for row in splits["train"]} == {10}
    assert stats["repairs"]["cut_rows"] == 42
    path = write_tsv(tmp_path / "b.tsv", [*SENTENCES[:40], ("text", "l" * 1_001)])
    with pytest.raises(
        DataError, match="b.tsv, line 42: a label of 1,001 characters, .* 'label' is the column of the labels"
    ):
        run(tmp_path, files=path)
    assert len(run(tmp_path, files=path, split={}, on_bad_rows="drop")[0]["train"]) == 40


def test_encodings_are_declared_for_all_files_or_guessed_and_reported(tmp_path, caplog):
    rows = [("Schöne Grüße", "no"), ("Kommst du?", "yes")]
    path = tmp_path / "a.tsv"
    path.write_bytes(b"text\tlabel\n" + "".join(f"{a}\t{b}\n" for a, b in rows).encode("cp1252"))
    splits, stats = run(tmp_path, files=path, split={})
    assert [row[1:] for row in splits["train"]] == rows
    assert stats["encodings"] == {str(path): {"encoding": "cp1252", "guessed": True}}
    assert "a.tsv, line 2: not UTF-8; the file is read as cp1252" in caplog.text
    assert "a.tsv: read as cp1252 (guessed)" in ingest.summary(max(tmp_path.glob("out*")))
    caplog.clear()
    declared, stats = run(tmp_path, files=path, split={}, encoding="windows-1252")
    assert declared == splits
    assert not stats["encodings"][str(path)]["guessed"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_one_json_document_provides_every_split_named_by_its_keys(tmp_path):
    tables = {
        name: [{"text": f"{name} {n}", "label": ("a", "b")[n % 2]} for n in range(6)] for name in ("tr", "dev", "te")
    }
    (tmp_path / "a.json").write_text(json.dumps(tables))
    format = {"kind": "json", "keys": {"train": "tr", "valid": "dev", "test": "te"}}
    splits, _stats = run(tmp_path, files=tmp_path / "a.json", format=format)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 6, "valid": 6, "test": 6}
    assert splits["valid"][0][1] == "dev 0"


def test_several_pairs_of_line_files_are_one_table(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text("".join(f"{name} {n}\n" for n in range(30)))
        (tmp_path / f"{name}.out.txt").write_text("".join(f"{name.upper()} {n}\n" for n in range(30)))
    files = {
        "source": [tmp_path / "one.txt", tmp_path / "two.txt"],
        "target": [tmp_path / "one.out.txt", tmp_path / "two.out.txt"],
    }
    splits, _ = run(tmp_path, "translate", files=files, split={})
    assert splits["train"][29:31] == [(29, "one 29", "ONE 29"), (30, "two 0", "TWO 0")]
    assert run(tmp_path, "translate", files={"train": files}, split={})[0] == splits
    with pytest.raises(
        DataError, match="source has 1, target has 2; give each column equally many files, in the same order"
    ):
        run(tmp_path, "translate", files={**files, "source": tmp_path / "one.txt"})
    with pytest.raises(DataError, match="2 files have the suffix .txt, which names a column"):
        run(tmp_path, "translate", files=[tmp_path / "one.txt", tmp_path / "two.txt"], format="lines")


def test_labels_are_stripped_and_texts_are_not(tmp_path):
    path = write_tsv(tmp_path / "a.tsv", [("  Fine. ", " no"), ("Come!", "yes "), ("Oh", "no")])
    splits, _ = run(tmp_path, files=path, split={})
    assert splits["train"] == [(0, "  Fine. ", "no"), (1, "Come!", "yes"), (2, "Oh", "no")]


def test_files_are_byte_equal_across_processes(tmp_path):
    """Python's string hashes differ between processes; no output may depend on them."""
    write_tsv(tmp_path / "a.tsv", SENTENCES * 2)
    code = (
        "import sys; from pathlib import Path; from textpipe.stages import ingest;"
        "out = Path(sys.argv[1]); out.mkdir();"
        "ingest.run(ingest.Config(task='classify', files='a.tsv', drop_duplicates=True), {}, out)"
    )
    digests = []
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-c", code, name], cwd=tmp_path, check=True)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert len(digests[0]) == 5
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([("a", "yes"), ("b", "yes")], {"split": {}}, "label has only one class, 'yes', in all 2 rows"),
        ([(" ", "yes"), ("b", "")], {"split": {}}, "train: no rows left"),
        ([("a", "yes"), ("b", "no")], {"split": {"valid": 0.0001}}, "valid: no rows fell into it"),
        (SENTENCES, {"columns": {"text": "txt"}}, "no column 'txt'; did you mean 'text'"),
        (SENTENCES, {"filter": {"lable": "yes"}}, "no column 'lable'; did you mean 'label'"),
        ([*SENTENCES, ("a", "b", "c")], {}, "line 3002: 3 columns where the header has 2"),
    ],
)
def test_an_error_names_its_cause_and_leaves_no_files(tmp_path, rows, options, message):
    path = write_tsv(tmp_path / "a.tsv", rows)
    with pytest.raises(DataError, match=message):
        run(tmp_path, files=path, **options)
    assert list((tmp_path / "out0").iterdir()) == []


def test_errors_name_unreadable_files(tmp_path):
    path = write_tsv(tmp_path / "train.tsv", SENTENCES)
    odd = write_tsv(tmp_path / "train.data", SENTENCES)
    for files, message in [
        ({"train": path, "test": tmp_path / "tets.tsv"}, "tets.tsv: no such file"),
        ({"train": path, "tset": path}, "files.tset: no such split; did you mean 'test'"),
        ({"test": path}, "no train split, only test"),
        (
            odd,
            "train.data: the format cannot be inferred from the name; set format to one of babi, captions, csv, drawings, json",
        ),
        (tmp_path / "nowhere" / "a.tsv", "there is no folder"),
    ]:
        with pytest.raises(DataError, match=message):
            run(tmp_path, files=files)
    assert len(run(tmp_path, files=odd, format="tsv", split={})[0]["train"]) == 3000
    with pytest.raises(DataError, match='but only format = "lines" reads'):
        run(tmp_path, "translate", files={"source": path, "target": path}, format="tsv")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ('', "give either dataset (a card's name) or files"),
        ('files = "a.tsv"\ndataset = "mail"', "not both"),
        ('dataset = "mial"', "unknown dataset 'mial'; did you mean 'mail'"),
        ('files = "a.tsv"\ncolumns = { txt = "a" }', "task 'classify' has no such field; did you mean 'text'"),
        ('files = "a.tsv"\nsplit = { valid = 0.5, test = 0.5 }', "leave nothing for train"),
        ('files = "a.tsv"\nsplit = { valid = -1 }', "expected a share from 0 to below 1, found -1"),
        ('files = "a.tsv"\nsplit = { dev = 0.1 }', "'valid' or 'test'"),
        ('files = "a.tsv"\nformat = "tvs"', "unknown format 'tvs'; did you mean 'tsv'"),
        ('files = "a.tsv"\nformat = { kind = "tsv", delimter = ";" }', "unknown key; did you mean 'delimiter'"),
        ('files = "a.tsv"\non_leak = "dorp"', "on_leak"),
        ('files = "a.tsv"\nfiels = "b.tsv"', "fiels: unknown key; did you mean 'files'"),
        ('files = 3', "files"),
        ('files = []', "files: is empty"),
        ('files = ["a.tsv", "b.csv"]', "b.csv has another format than the first"),
        ('files = { train = "a.jsonl", test = "b.tsv" }', "b.tsv has another format than the first"),
        ('files = "a.tsv"\nencoding = "cp125"', "unknown encoding 'cp125'; did you mean 'cp1252'"),
        ('files = "a.tsv"\nencoding = "hex"', "unknown encoding 'hex'"),
        ('files = "a.tsv"\nencoding = "unicode_escape"', "unknown encoding 'unicode_escape'"),
        ('files = "a.parquet"\nencoding = "cp1252"', "files of format 'parquet' declare their own"),
        ('files = "a.mbox"\nencoding = "cp1252"', "files of format 'mail' declare their own"),
        ('files = "a.tsv"\nrare_label = "other"', "set min_count to 2 or more"),
        ('files = "a.tsv"\nmax_characters = 2_000_000', "max_characters"),
        ('files = "a.tsv"\nmin_count = 0', "min_count"),
        ('files = "a.tsv"\nformat = { kind = "csv", delimiter = "" }', "delimiter: expected a character"),
    ],
)  # fmt: skip
def test_an_invalid_section_is_rejected_with_the_name_of_its_key(tmp_path, section, message):
    path = tmp_path / "x.toml"
    path.write_text(f'task = "classify"\n[ingest]\n{section}\n')
    with pytest.raises(ConfigError) as error:
        runner.Pipeline.load(path)
    assert message in str(error.value)
    assert f"{path} [ingest]" in str(error.value)


@pytest.mark.parametrize("key", ["min_count", "rare_label"])
def test_label_settings_are_rejected_for_tasks_without_labels(key):
    value = {"min_count": 3, "rare_label": "other"}
    with pytest.raises(ValueError, match="task 'translate' has no labels; leave it out"):
        ingest.Config(task="translate", files="a.tsv", **{key: value[key]})


def test_every_file_named_in_a_section_is_part_of_the_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.en", "a.de", "b.tsv"):
        (tmp_path / name).write_text("x\n")
    one = ingest.Config(task="translate", files={"train": {"en": "a.en", "de": "a.de"}})
    assert sorted(map(str, fingerprint.iter_paths(one))) == ["a.de", "a.en"]
    two = ingest.Config(task="classify", files={"train": ["b.tsv", "a.en"], "test": "a.de"})
    assert sorted(map(str, fingerprint.iter_paths(two))) == ["a.de", "a.en", "b.tsv"]
    parts = fingerprint.compute("ingest", "textpipe.stages.ingest", two, {}, [])
    assert {"textpipe.data.formats.tsv", "textpipe.data.delimited", "textpipe.data.hashes"} <= set(parts["code"])
    assert set(parts["files"]) == {"a.de", "a.en", "b.tsv"}


def test_the_key_of_a_dataset_depends_on_its_card_and_bundled_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/cards").mkdir(parents=True)
    write_tsv(tmp_path / "data/own.tsv", SENTENCES)
    (tmp_path / "data/cards/own.toml").write_text(
        'title = "Own"\ndescription = ""\nlicence = ""\nhomepage = ""\nkind = "bundled"\n'
        '[columns]\n[splits]\ntrain = "own.tsv"\n[[files]]\npath = "own.tsv"\n'
    )
    config = ingest.Config(task="classify", dataset="own")
    assert list(map(str, config.extra_files())) == ["data/cards/own.toml", "data/own.tsv"]
    assert config.format.kind == "tsv"
    splits, stats = run(tmp_path, dataset="own")
    assert sum(map(len, splits.values())) == 3000
    assert "origin" not in stats
    origin = json.loads((tmp_path / "out0/logs/origin.json").read_text(encoding="utf-8"))
    assert origin == {"origin": {"dataset": "own"}, "columns": {"text": "text", "label": "label"}}
    assert ingest.Config(task="classify", dataset="multi30k").extra_files()[0].name == "multi30k.toml"


def test_the_summary_lists_rows_repairs_and_leaks(tmp_path):
    path = write_tsv(tmp_path / "a.tsv", [*SENTENCES, ("Twice", "yes"), ("Twice", "yes"), ("", "no")])
    output = tmp_path / "out"
    output.mkdir()
    ingest.run(ingest.Config(task="classify", files=path, split={}), {}, output)
    lines = ingest.summary(output).splitlines()
    assert lines[0].split() == ["split", "rows", "duplicates", "conflicts", "in", "train"]
    assert lines[1].split() == ["train", "3,002", "1", "0", "-"]
    assert "letters Latin 100.0%" in lines[2]
    assert "3 classes: yes 1,002, later 1,000, no 1,000" in lines[3]
    assert lines[4] == "empty rows dropped: 1"


def test_the_config_imports_no_heavy_library():
    code = (
        "import sys; from textpipe.stages import ingest; ingest.Config(task='classify', dataset='banking77');"
        "print(*{'numpy', 'pyarrow', 'pandas', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("texts", [["", "a b", "", "c", ""], ["", ""], ["a  b "], ["", "é ü\tx"]])
def test_words_are_counted_beside_empty_texts(texts):
    """Columns of `keep`, and those of synthetic rows, may be empty."""
    found = profile.TextProfile()
    found.add(np.arange(len(texts) + 1), pa.array(["x", *texts]))
    found.add(np.arange(len(texts)), pa.array(["x", *texts])[1:])
    counts = [len(text.split()) for text in ["x", *texts, *texts]]
    assert found.words == Counter(counts)
