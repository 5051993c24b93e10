"""Files of any size: in order, taken up where they were broken off, and nothing overwritten."""

import json

import pytest

from textpipe import bulk
from textpipe.errors import ArtifactError, ConfigError, DataError


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
