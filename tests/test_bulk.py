"""Bulk answers: in row order, resumed after an interruption, never overwritten."""

import csv
import errno
import io
import json
import os
import re
from pathlib import Path

import pytest

from textpipe.commands import _tables
from textpipe.errors import ArtifactError, ConfigError, DataError, ResourceError
from textpipe.inference import bulk, records


def rows(count):
    return ({"text": f"row {number}"} for number in range(count))


def answer(batch):
    return [{"answer": row["text"].upper()} for row in batch]


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


REQUEST = {"model": "m", "bytes": 3}


def test_answers_are_in_row_order(tmp_path):
    out = tmp_path / "new" / "out.jsonl"
    assert bulk.answer_file(answer, rows(2500), out, request=REQUEST) == 2500
    assert lines(out) == [{"answer": f"ROW {number}"} for number in range(2500)]
    assert [path.name for path in out.parent.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize("cut", [0, 1, 7])
def test_an_interrupted_run_resumes_without_answering_a_row_twice(tmp_path, cut):
    answered = []

    def broken(batch):
        answered.extend(row["text"] for row in batch)
        if len(answered) > 30:
            raise KeyboardInterrupt
        return answer(batch)

    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        bulk.answer_file(broken, rows(100), out, request=REQUEST, chunk_rows=10)
    assert not out.exists()
    part = tmp_path / "out.jsonl.part"
    part.write_bytes(part.read_bytes()[: part.stat().st_size - cut])  # like after a power failure
    whole = 30 if not cut else 29
    again, progress = [], []

    def resume(batch):
        again.extend(row["text"] for row in batch)
        return answer(batch)

    bulk.answer_file(
        resume,
        rows(100),
        out,
        request=REQUEST,
        chunk_rows=10,
        on_progress=lambda done, resumed: progress.append((done, resumed)),
    )
    assert again == [f"row {number}" for number in range(whole, 100)]
    assert progress[0] == (whole, whole) and progress[-1] == (100, whole)
    assert lines(out) == [{"answer": f"ROW {number}"} for number in range(100)]


@pytest.mark.parametrize("file_format", records.FORMATS)
def test_whole_chunks_are_those_of_an_unbroken_run(tmp_path, file_format):
    """With whole_chunks a run resumes at the start of a chunk, and what makes the output of OUT.part may leave rows out."""
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        stop_at(30, out, file_format=file_format)
    part, about = bulk.part_paths(out)
    lines_done = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join(lines_done[:-3]))  # 27 rows and a header, or 27 rows
    sizes = []

    def by_chunk(batch):
        sizes.append((batch[0]["text"], len(batch)))
        return answer(batch)

    def half(part, output):
        output.write_bytes(b"".join(part.read_bytes().splitlines(keepends=True)[::2]))
        part.unlink()

    bulk.answer_file(
        by_chunk, rows(45), out, request=REQUEST, chunk_rows=10, file_format=file_format, whole_chunks=True, finish=half
    )
    assert sizes == [("row 20", 10), ("row 30", 10), ("row 40", 5)]
    assert len(out.read_bytes().splitlines()) == 23 and not about.exists() and not part.exists()


def stop_at(count, out, **options):
    """A run that is interrupted after `count` rows, in chunks of ten."""

    def some(batch):
        if batch[0]["text"] == f"row {count}":
            raise KeyboardInterrupt
        return answer(batch)

    bulk.answer_file(some, rows(45), out, request=REQUEST, chunk_rows=10, **options)


def test_an_unfinished_output_of_another_request_is_refused(tmp_path):
    out = tmp_path / "out.jsonl"
    interrupted(out, 10, REQUEST)
    with pytest.raises(ArtifactError, match="bytes changed"):
        bulk.answer_file(answer, rows(3), out, request={**REQUEST, "bytes": 4})


def test_an_output_without_answers_is_started_again_for_another_request(tmp_path):
    out = tmp_path / "out.jsonl"
    with pytest.raises(ZeroDivisionError):
        bulk.answer_file(lambda batch: 1 / 0, rows(3), out, request=REQUEST)
    assert bulk.answer_file(answer, rows(3), out, request={**REQUEST, "bytes": 4}) == 3
    assert len(lines(out)) == 3


def test_a_request_tells_what_changed_in_its_file(tmp_path):
    file = tmp_path / "in.txt"
    file.write_text("a")
    assert bulk.fingerprint(file) == {"file": str(file.resolve()), "bytes": 1, "mtime_ns": file.stat().st_mtime_ns}


def test_an_output_is_overwritten_only_with_force(tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("mine\n")
    with pytest.raises(ArtifactError, match="already exists"):
        bulk.answer_file(answer, rows(3), out, request=REQUEST)
    assert out.read_text() == "mine\n" and list(tmp_path.iterdir()) == [out]
    bulk.answer_file(answer, rows(3), out, request=REQUEST, force=True)
    assert len(lines(out)) == 3


def test_a_second_run_cannot_write_to_the_same_unfinished_output(tmp_path):
    out = tmp_path / "out.jsonl"

    def while_another(batch):
        with pytest.raises(ArtifactError, match="another run is writing this file"):
            bulk.answer_file(answer, rows(3), out, request=REQUEST)
        return answer(batch)

    assert bulk.answer_file(while_another, rows(3), out, request=REQUEST) == 3
    assert len(lines(out)) == 3


def test_rows_are_read_as_ingest_reads_them(tmp_path):
    plain = tmp_path / "texts.txt"
    plain.write_text("one\n\nthree \u2028 more\n", encoding="utf-8")
    assert list(bulk.read_rows(plain, ("text",), {})) == [{"text": text} for text in ("one", "", "three \u2028 more")]
    table = tmp_path / "mails.tsv"
    table.write_text("id\tbody\n1\tfirst\n2\tsecond\n")
    assert [row["text"] for row in bulk.read_rows(table, ("text",), {"text": "body"})] == ["first", "second"]
    with pytest.raises(ConfigError, match="did you mean 'text'"):
        next(bulk.read_rows(table, ("text",), {"txt": "body"}))
    with pytest.raises(DataError, match="no column"):
        next(bulk.read_rows(table, ("text",), {}))
    with pytest.raises(DataError, match="--format"):
        next(bulk.read_rows(table, ("text",), {}, "nonsense"))
    with pytest.raises(DataError):
        next(bulk.read_rows(plain, ("story", "question"), {}))
    with pytest.raises(DataError):
        next(bulk.read_rows(tmp_path / "nothing.txt", ("text",), {}))


def about(out):
    return json.loads(out.with_name(out.name + ".part.json").read_text())


def interrupted(out, rows_done, request=REQUEST, **options):
    """A run that stops after some rows, in chunks of ten."""

    def some(batch):
        if int(batch[0]["text"].split()[1]) >= rows_done:
            raise KeyboardInterrupt
        return answer(batch)

    with pytest.raises(KeyboardInterrupt):
        bulk.answer_file(some, rows(60), out, request=request, chunk_rows=10, **options)


def of_version(number):
    return {**REQUEST, "version": number}


def test_another_version_resumes_only_on_request_and_is_recorded(tmp_path):
    out = tmp_path / "out.jsonl"
    interrupted(out, 30, of_version("1"))
    with pytest.raises(ArtifactError, match="started with version 1 of the model; give --model-version 2 to continue"):
        bulk.answer_file(answer, rows(60), out, request=of_version("2"), chunk_rows=10)
    asked = []

    def second(batch):
        asked.extend(batch)
        if len(asked) > 10:
            assert about(out) == {**of_version("2"), "earlier": {"1": 30}}
        return answer(batch)

    assert bulk.answer_file(second, rows(60), out, request=of_version("2"), chunk_rows=10, new_version=True) == 60
    assert len(asked) == 30 and lines(out) == [{"answer": f"ROW {number}"} for number in range(60)]


def test_the_version_is_read_from_the_model_in_a_request_of_an_earlier_release(tmp_path):
    out = tmp_path / "out.jsonl"
    interrupted(out, 10, {"model": "http://h:1/v1/models/m/versions/7"})
    assert bulk.read_request(out) == {"model": "http://h:1/v1/models/m", "version": "7"}
    out = tmp_path / "other.jsonl"
    interrupted(out, 10, {"model": "saved_models/m/2"})
    assert bulk.read_request(out) == {"model": "saved_models/m", "version": "2"}
    assert bulk.read_request(tmp_path / "none.jsonl") is None


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_explained_and_the_same_command_resumes(tmp_path, monkeypatch, call, number):
    out = tmp_path / "out.jsonl"
    genuine, left = getattr(os, call), [2]

    def full(*given):
        left[0] -= 1
        if left[0] < 0 or call == "replace":
            raise OSError(number, os.strerror(number))
        return genuine(*given)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(ResourceError, match="disk is full.*free some space and run the same command again"):
            bulk.answer_file(answer, rows(60), out, request=REQUEST, chunk_rows=10)
    assert not out.exists()
    assert bulk.answer_file(answer, rows(60), out, request=REQUEST, chunk_rows=10) == 60
    assert lines(out) == [{"answer": f"ROW {at}"} for at in range(60)]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\0" * 40])
def test_a_damaged_request_file_matters_only_if_rows_were_answered(tmp_path, text):
    out = tmp_path / "out.jsonl"
    (tmp_path / "out.jsonl.part").write_text("")
    (tmp_path / "out.jsonl.part.json").write_text(text)
    assert bulk.answer_file(answer, rows(5), out, request=REQUEST) == 5
    interrupted(tmp_path / "two.jsonl", 10)
    (tmp_path / "two.jsonl.part.json").write_text(text)
    with pytest.raises(ArtifactError, match="two.jsonl.part.json: is damaged"):
        bulk.answer_file(answer, rows(60), tmp_path / "two.jsonl", request=REQUEST)
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


def test_a_csv_is_readable_and_resumes_from_any_truncation(tmp_path):
    whole = tmp_path / "whole.csv"
    bulk.answer_file(awkward, rows(60), whole, request=REQUEST, file_format="csv", chunk_rows=10)
    with whole.open(encoding="utf-8", newline="") as file:
        read = list(csv.reader(file))
    assert read[0] == ["answer", "score", "labels"]
    assert [cells[0] for cells in read[1:]] == [AWKWARD[at % len(AWKWARD)] for at in range(60)]
    assert read[1][1:] == ["0.5", '["x", "y"]']
    expected = whole.read_bytes()
    for end in range(0, len(expected), 97):
        out = tmp_path / f"cut{end}.csv"
        out.with_name(out.name + ".part").write_bytes(expected[:end])
        out.with_name(out.name + ".part.json").write_text(json.dumps(REQUEST))
        assert bulk.answer_file(awkward, rows(60), out, request=REQUEST, file_format="csv", chunk_rows=10) == 60
        assert out.read_bytes() == expected, end


def test_a_tsv_has_one_line_per_row_and_escapes_separators(tmp_path):
    out = tmp_path / "out.tsv"
    bulk.answer_file(awkward, rows(12), out, request=REQUEST, file_format="tsv")
    read = [line.split("\t") for line in out.read_text(encoding="utf-8").split("\n")[:-1]]
    assert read[0] == ["answer", "score", "labels"] and {len(cells) for cells in read} == {3} and len(read) == 13
    unescape = {"\\n": "\n", "\\t": "\t", "\\r": "\r", "\\\\": "\\"}
    assert [re.sub(r"\\[ntr\\]", lambda match: unescape[match[0]], cells[0]) for cells in read[1:]] == AWKWARD


@pytest.mark.parametrize(
    ("name", "file_format"),
    [("a.csv", "csv"), ("a.CSV", "csv"), ("b.tsv", "tsv"), ("b.tab", "tsv"), ("c.jsonl", "jsonl"), ("d", "jsonl")],
)
def test_the_format_follows_from_the_file_suffix(name, file_format):
    assert records.format_of(Path(name)) == file_format


def test_kept_columns_come_before_the_answer(tmp_path):
    table = tmp_path / "mails.tsv"
    table.write_text("id\tbody\tfrom\n7\tfirst\tAnn\n8\tsecond\tBob\n")
    read = lambda *keep: list(bulk.read_rows_and_kept(table, ("text",), {"text": "body"}, None, keep))
    assert read("id", "inputs") == [
        ({"text": "first"}, {"id": "7", "text": "first"}),
        ({"text": "second"}, {"id": "8", "text": "second"}),
    ]
    assert [kept for _, kept in read("text", "from")] == [
        {"text": "first", "from": "Ann"},
        {"text": "second", "from": "Bob"},
    ]
    assert [kept for _, kept in read(0)] == [{"0": "7"}, {"0": "8"}]
    assert bulk.answer_chunk(answer, read("id")) == [{"id": "7", "answer": "FIRST"}, {"id": "8", "answer": "SECOND"}]
    with pytest.raises(DataError, match="did you mean 'from'"):
        read("form")
    table.write_text("answer\ttext\nx\ty\n")
    with pytest.raises(ConfigError, match="--keep answer: the model's answers also have"):
        bulk.answer_chunk(answer, list(bulk.read_rows_and_kept(table, ("text",), {}, None, ("answer",))))


def test_lines_are_answered_as_a_stream():
    sink = io.BytesIO()
    source = io.BytesIO(b"\xef\xbb\xbfone\r\ncaf\xe9\n\nlast")
    read = bulk.read_lines(source, "text", "standard input")
    assert bulk.answer_stream(answer, read, sink, file_format="csv", chunk_rows=2) == 4
    assert sink.getvalue().decode() == "answer\nONE\nCAF\ufffd\n\nLAST\n"


def test_repairs_are_logged(tmp_path, caplog):
    place = tmp_path / "mixed.tsv"
    place.write_bytes(b"body\n" + "Grüße\n".encode() * 3 + "Grüße\n".encode("cp1252") * 2)
    rows = list(bulk.read_rows(place, ("text",), {"text": "body"}))
    assert len(rows) == 5
    assert f"{place}: rows with bytes that are not UTF-8: 2" in caplog.text


def test_only_plain_digits_are_the_number_of_a_column():
    names = {"2": 2, "en": "en", "\N{SUPERSCRIPT TWO}": "\N{SUPERSCRIPT TWO}", "1" * 5000: "1" * 5000}
    assert {name: _tables.column_of(name) for name in names} == names
