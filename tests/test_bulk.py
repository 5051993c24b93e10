"""Files of any size: in order, taken up where they were broken off, and nothing overwritten."""

import csv
import errno
import io
import json
import os
import re
from pathlib import Path

import pytest

from textpipe.errors import ArtifactError, ConfigError, DataError, ResourceError
from textpipe.inference import bulk, records


def rows(count):
    return ({"text": f"row {number}"} for number in range(count))


def answer(batch):
    return [{"answer": row["text"].upper()} for row in batch]


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


QUESTION = {"model": "m", "bytes": 3}


def test_answers_stand_in_the_order_of_the_rows(tmp_path):
    out = tmp_path / "new" / "out.jsonl"
    assert bulk.bulk(answer, rows(2500), out, question=QUESTION) == 2500
    assert lines(out) == [{"answer": f"ROW {number}"} for number in range(2500)]
    assert [path.name for path in out.parent.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_a_run_that_was_broken_off_goes_on_and_asks_nothing_twice(tmp_path, cut):
    asked = []

    def broken(batch):
        asked.extend(row["text"] for row in batch)
        if len(asked) > 30:
            raise KeyboardInterrupt
        return answer(batch)

    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        bulk.bulk(broken, rows(100), out, question=QUESTION, piece=10)
    assert not out.exists()
    part = tmp_path / "out.jsonl.part"
    part.write_bytes(part.read_bytes()[: part.stat().st_size - cut])  # as a power cut may leave it
    whole = 30 if not cut else 29
    again, told = [], []

    def on(batch):
        again.extend(row["text"] for row in batch)
        return answer(batch)

    bulk.bulk(on, rows(100), out, question=QUESTION, piece=10, told=lambda done, resumed: told.append((done, resumed)))
    assert again == [f"row {number}" for number in range(whole, 100)]
    assert told[0] == (whole, whole) and told[-1] == (100, whole)
    assert lines(out) == [{"answer": f"ROW {number}"} for number in range(100)]


def test_a_part_of_another_question_is_not_gone_on_with(tmp_path):
    out = tmp_path / "out.jsonl"
    with pytest.raises(ZeroDivisionError):
        bulk.bulk(lambda batch: 1 / 0, rows(3), out, question=QUESTION)
    with pytest.raises(ArtifactError, match="bytes differ"):
        bulk.bulk(answer, rows(3), out, question={**QUESTION, "bytes": 4})


def test_an_output_is_not_overwritten_unless_that_is_wanted(tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("mine\n")
    with pytest.raises(ArtifactError, match="is there already"):
        bulk.bulk(answer, rows(3), out, question=QUESTION)
    assert out.read_text() == "mine\n" and list(tmp_path.iterdir()) == [out]
    bulk.bulk(answer, rows(3), out, question=QUESTION, force=True)
    assert len(lines(out)) == 3


def test_a_second_run_does_not_write_into_the_first_ones_part(tmp_path):
    out = tmp_path / "out.jsonl"

    def while_another(batch):
        with pytest.raises(ArtifactError, match="another run is writing it"):
            bulk.bulk(answer, rows(3), out, question=QUESTION)
        return answer(batch)

    assert bulk.bulk(while_another, rows(3), out, question=QUESTION) == 3
    assert len(lines(out)) == 3


def test_rows_are_read_as_ingest_reads_them(tmp_path):
    plain = tmp_path / "texts.txt"
    plain.write_text("one\n\nthree \u2028 more\n", encoding="utf-8")
    assert list(bulk.read(plain, ("text",), {})) == [{"text": text} for text in ("one", "", "three \u2028 more")]
    table = tmp_path / "mails.tsv"
    table.write_text("id\tbody\n1\tfirst\n2\tsecond\n")
    assert [row["text"] for row in bulk.read(table, ("text",), {"text": "body"})] == ["first", "second"]
    with pytest.raises(ConfigError, match="did you mean 'text'"):
        next(bulk.read(table, ("text",), {"txt": "body"}))
    with pytest.raises(DataError, match="no column"):
        next(bulk.read(table, ("text",), {}))
    with pytest.raises(DataError, match="--format"):
        next(bulk.read(table, ("text",), {}, "nonsense"))
    with pytest.raises(DataError):
        next(bulk.read(plain, ("story", "question"), {}))
    with pytest.raises(DataError):
        next(bulk.read(tmp_path / "nothing.txt", ("text",), {}))


def about(out):
    return json.loads(out.with_name(out.name + ".part.json").read_text())


def broken_off(out, rows_done, question=QUESTION, **options):
    """A run that stops after some rows, ten a piece."""

    def some(batch):
        if int(batch[0]["text"].split()[1]) >= rows_done:
            raise KeyboardInterrupt
        return answer(batch)

    with pytest.raises(KeyboardInterrupt):
        bulk.bulk(some, rows(60), out, question=question, piece=10, **options)


def of_version(number):
    return {**QUESTION, "version": number}


def test_another_version_goes_on_only_when_it_is_asked_for_and_is_noted(tmp_path):
    out = tmp_path / "out.jsonl"
    broken_off(out, 30, of_version("1"))
    with pytest.raises(ArtifactError, match="begun with version 1 of the model; give --model-version 2 to go on"):
        bulk.bulk(answer, rows(60), out, question=of_version("2"), piece=10)
    asked = []

    def second(batch):
        asked.extend(batch)
        if len(asked) > 10:
            assert about(out) == {**of_version("2"), "earlier": {"1": 30}}
        return answer(batch)

    assert bulk.bulk(second, rows(60), out, question=of_version("2"), piece=10, new_version=True) == 60
    assert len(asked) == 30 and lines(out) == [{"answer": f"ROW {number}"} for number in range(60)]


def test_a_part_of_an_earlier_release_tells_its_version_by_its_model(tmp_path):
    out = tmp_path / "out.jsonl"
    broken_off(out, 10, {"model": "http://h:1/v1/models/m/versions/7"})
    assert bulk.begun(out) == {"model": "http://h:1/v1/models/m", "version": "7"}
    out = tmp_path / "other.jsonl"
    broken_off(out, 10, {"model": "saved_models/m/2"})
    assert bulk.begun(out) == {"model": "saved_models/m", "version": "2"}
    assert bulk.begun(tmp_path / "none.jsonl") is None


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_ends_with_its_cure_and_the_same_command_goes_on(tmp_path, monkeypatch, call, number):
    out = tmp_path / "out.jsonl"
    genuine, left = getattr(os, call), [2]

    def full(*given):
        left[0] -= 1
        if left[0] < 0 or call == "replace":
            raise OSError(number, os.strerror(number))
        return genuine(*given)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(ResourceError, match="disk is full.*free some space, and the same command goes on"):
            bulk.bulk(answer, rows(60), out, question=QUESTION, piece=10)
    assert not out.exists()
    assert bulk.bulk(answer, rows(60), out, question=QUESTION, piece=10) == 60
    assert lines(out) == [{"answer": f"ROW {at}"} for at in range(60)]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\0" * 40])
def test_a_damaged_note_stands_in_nobodys_way_where_nothing_is_answered(tmp_path, text):
    out = tmp_path / "out.jsonl"
    (tmp_path / "out.jsonl.part").write_text("")
    (tmp_path / "out.jsonl.part.json").write_text(text)
    assert bulk.bulk(answer, rows(5), out, question=QUESTION) == 5
    broken_off(tmp_path / "two.jsonl", 10)
    (tmp_path / "two.jsonl.part.json").write_text(text)
    with pytest.raises(ArtifactError, match="two.jsonl.part.json: is damaged"):
        bulk.bulk(answer, rows(60), tmp_path / "two.jsonl", question=QUESTION)
    assert (tmp_path / "two.jsonl.part").stat().st_size


AWKWARD = [
    "plain",
    "a,b",
    'say "no"',
    "two\nlines",
    "cr\rlf\r\n",
    "tab\there",
    "back\\slash",
    "",
    " blank ",
    "ü€😀",
    '"\n"',
    "a\\nb",
]


def awkward(batch):
    return [
        {"answer": AWKWARD[int(row["text"].split()[1]) % len(AWKWARD)], "score": 0.5, "labels": ["x", "y"]}
        for row in batch
    ]


def test_a_csv_is_what_csv_readers_read_wherever_it_was_cut(tmp_path):
    whole = tmp_path / "whole.csv"
    bulk.bulk(awkward, rows(60), whole, question=QUESTION, kind="csv", piece=10)
    with whole.open(encoding="utf-8", newline="") as file:
        read = list(csv.reader(file))
    assert read[0] == ["answer", "score", "labels"]
    assert [cells[0] for cells in read[1:]] == [AWKWARD[at % len(AWKWARD)] for at in range(60)]
    assert read[1][1:] == ["0.5", '["x", "y"]']
    wanted = whole.read_bytes()
    for end in range(0, len(wanted), 97):
        out = tmp_path / f"cut{end}.csv"
        out.with_name(out.name + ".part").write_bytes(wanted[:end])
        out.with_name(out.name + ".part.json").write_text(json.dumps(QUESTION))
        assert bulk.bulk(awkward, rows(60), out, question=QUESTION, kind="csv", piece=10) == 60
        assert out.read_bytes() == wanted, end


def test_a_tsv_has_a_row_a_line_and_the_columns_of_its_header(tmp_path):
    out = tmp_path / "out.tsv"
    bulk.bulk(awkward, rows(12), out, question=QUESTION, kind="tsv")
    read = [line.split("\t") for line in out.read_text(encoding="utf-8").split("\n")[:-1]]
    assert read[0] == ["answer", "score", "labels"] and {len(cells) for cells in read} == {3} and len(read) == 13
    unescape = {"\\n": "\n", "\\t": "\t", "\\r": "\r", "\\\\": "\\"}
    assert [re.sub(r"\\[ntr\\]", lambda found: unescape[found[0]], cells[0]) for cells in read[1:]] == AWKWARD


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "csv"), ("a.CSV", "csv"), ("b.tsv", "tsv"), ("b.tab", "tsv"), ("c.jsonl", "jsonl"), ("d", "jsonl")],
)
def test_the_ending_of_a_name_tells_the_kind_of_file(name, kind):
    assert records.kind_of(Path(name)) == kind


def test_what_is_kept_stands_before_the_answer(tmp_path):
    table = tmp_path / "mails.tsv"
    table.write_text("id\tbody\tfrom\n7\tfirst\tAnn\n8\tsecond\tBob\n")
    read = lambda *keep: list(bulk.read_kept(table, ("text",), {"text": "body"}, None, keep))
    assert read("id", "inputs") == [
        ({"text": "first"}, {"id": "7", "text": "first"}),
        ({"text": "second"}, {"id": "8", "text": "second"}),
    ]
    assert [kept for _, kept in read("text", "from")] == [
        {"text": "first", "from": "Ann"},
        {"text": "second", "from": "Bob"},
    ]
    assert [kept for _, kept in read(0)] == [{"0": "7"}, {"0": "8"}]
    assert bulk.answered(answer, read("id")) == [{"id": "7", "answer": "FIRST"}, {"id": "8", "answer": "SECOND"}]
    with pytest.raises(DataError, match="did you mean 'from'"):
        read("form")
    table.write_text("answer\ttext\nx\ty\n")
    with pytest.raises(ConfigError, match="--keep answer: the model's answers have"):
        bulk.answered(answer, list(bulk.read_kept(table, ("text",), {}, None, ("answer",))))


def test_rows_are_answered_as_they_come_to_an_open_file():
    sink = io.BytesIO()
    source = io.BytesIO(b"\xef\xbb\xbfone\r\ncaf\xe9\n\nlast")
    read = bulk.lines(source, "text", "standard input")
    assert bulk.stream(answer, read, sink, kind="csv", piece=2) == 4
    assert sink.getvalue().decode() == "answer\nONE\nCAF\ufffd\n\nLAST\n"


def test_what_was_repaired_of_rows_is_told(tmp_path, caplog):
    place = tmp_path / "mixed.tsv"
    place.write_bytes(b"body\n" + "Grüße\n".encode() * 3 + "Grüße\n".encode("cp1252") * 2)
    rows = list(bulk.read(place, ("text",), {"text": "body"}))
    assert len(rows) == 5
    assert f"{place}: rows with bytes that are not UTF-8: 2" in caplog.text
