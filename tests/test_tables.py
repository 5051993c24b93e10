"""Shards, readers, hashes and profiles."""

import bz2
import csv
import gzip
import hashlib
import json
import re
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from textpipe.config.sections import Plugin
from textpipe.data import hashes, shards, sources
from textpipe.data.profile import TextProfile
from textpipe.data.rows import Repairs
from textpipe.errors import ArtifactError, DataError

SCHEMA = pa.schema([("row", pa.int64()), ("text", pa.string())])


def rows(start, stop):
    return pa.table({"row": list(range(start, stop)), "text": [f"zeile {n}" for n in range(start, stop)]}, SCHEMA)


def digests(folder):
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in shards.paths(folder, "train")]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_shards_are_cut_at_100_000_rows_and_read_back_in_order(tmp_path, kind):
    with shards.Writer(tmp_path, "train", SCHEMA, kind) as writer:
        writer.write(rows(0, 123_456))
        writer.write(rows(123_456, 230_000))
    assert [path.name for path in shards.paths(tmp_path, "train")] == [f"0000{n}.{kind}" for n in range(3)]
    batches = list(shards.read(tmp_path, "train"))
    assert max(batch.num_rows for batch in batches) <= 10_000
    assert pa.Table.from_batches(batches).equals(rows(0, 230_000))
    assert shards.count_rows(tmp_path, "train") == 230_000
    assert shards.schema(tmp_path, "train").equals(SCHEMA)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_shard_bytes_do_not_depend_on_batch_sizes(tmp_path, kind):
    with shards.Writer(tmp_path / "once", "train", SCHEMA, kind) as writer:
        writer.write(rows(0, 25_000))
    with shards.Writer(tmp_path / "in_pieces", "train", SCHEMA, kind) as writer:
        for start in range(0, 25_000, 777):
            writer.write(rows(start, min(start + 777, 25_000)))
    assert digests(tmp_path / "once") == digests(tmp_path / "in_pieces")


def test_list_columns_are_kept_and_columns_come_in_the_requested_order(tmp_path):
    schema = pa.schema([("row", pa.int64()), ("ids", pa.list_(pa.int32())), ("label", pa.int32())])
    table = pa.table({"row": [0, 1, 2], "ids": [[4, 5], [], [6]], "label": [1, 0, 1]}, schema)
    with shards.Writer(tmp_path, "valid", schema, "arrow") as writer:
        writer.write(table)
    (batch,) = shards.read(tmp_path, "valid", ["label", "ids"])
    assert batch.schema.names == ["label", "ids"]
    assert batch.to_pydict() == {"label": [1, 0, 1], "ids": [[4, 5], [], [6]]}


def test_a_split_without_rows_keeps_its_schema_and_a_missing_split_is_empty(tmp_path):
    with shards.Writer(tmp_path, "test", SCHEMA):
        pass
    assert shards.count_rows(tmp_path, "test") == 0
    assert shards.schema(tmp_path, "test").equals(SCHEMA)
    assert list(shards.read(tmp_path, "test")) == []
    assert list(shards.read(tmp_path, "valid")) == []
    with pytest.raises(ArtifactError, match="valid: no shards"):
        shards.schema(tmp_path, "valid")


def test_a_writer_removes_its_shards_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), shards.Writer(tmp_path, "train", SCHEMA) as writer:
        writer.write(rows(0, 120_000))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_errors_name_a_damaged_shard_or_an_unknown_column(tmp_path, kind):
    with shards.Writer(tmp_path, "train", SCHEMA, kind) as writer:
        writer.write(rows(0, 10))
    with pytest.raises(ArtifactError, match="no column 'texts'; did you mean 'text'"):
        list(shards.read(tmp_path, "train", ["texts"]))
    (path,) = shards.paths(tmp_path, "train")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=f"00000.{kind}: damaged"):
        list(shards.read(tmp_path, "train"))


def read(source, format=None, columns=("text", "label"), split="train", **repairs):
    """Return (rows as tuples, positions, counts) as ingest gets them."""
    config = Plugin.check("data.formats", format or sources.infer_format(source))
    policy = Repairs(**repairs)
    rows, positions = [], []
    for batch in sources.read(source, config, policy, list(columns), split):
        batch = policy.repair(batch)
        assert len(batch) <= 10_000
        rows += list(zip(*batch.columns, strict=True))
        positions += batch.positions
    return rows, positions, +policy.counts


ROWS = [(f"Satz {n} mit Ümlaut", "ja" if n % 3 else "nein") for n in range(25_000)]


def written(folder, name, data):
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def tsv_of(rows):
    return "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)


def as_tsv(folder):
    return written(folder, "a.tsv", tsv_of(ROWS)), None


def as_tsv_gz(folder):
    return written(folder, "a.tsv.gz", gzip.compress(tsv_of(ROWS).encode())), None


def as_tsv_bz2(folder):
    return written(folder, "a.tsv.bz2", bz2.compress(tsv_of(ROWS).encode())), None


def as_tsv_in_zip(folder):
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("about.txt", "nothing")
        archive.writestr("a.tsv", tsv_of(ROWS))
    return folder / "a.zip", {"kind": "tsv", "member": "a.tsv"}


def as_tsv_with_bom_and_crlf(folder):
    return written(folder, "a.tsv", b"\xef\xbb\xbf" + tsv_of(ROWS).replace("\n", "\r\n").encode()), None


def as_csv(folder):
    path = folder / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("label", "text"), *((label, text) for text, label in ROWS)])
    return path, None


def as_jsonl(folder):
    lines = (json.dumps({"label": label, "n": 3, "text": text}) for text, label in ROWS)
    return written(folder, "a.jsonl", "\n".join(lines)), None


def as_json(folder):
    document = {"a": [], "b": [list(row) for row in ROWS]}
    format = {"kind": "json", "columns": ["text", "label"], "keys": {"train": "b", "valid": "a"}}
    return written(folder, "a.json", json.dumps(document)), format


def as_parquet(folder):
    table = pa.table({"label": [label for _, label in ROWS], "text": [text for text, _ in ROWS]})
    table = table.set_column(0, "label", table["label"].dictionary_encode())
    pq.write_table(table, folder / "a.parquet", row_group_size=7_001)
    return folder / "a.parquet", None


def as_line_files(folder):
    texts = written(folder, "a.text", "".join(text + "\n" for text, _ in ROWS))
    labels = written(folder, "a.label.gz", gzip.compress("\n".join(label for _, label in ROWS).encode()))
    return {"text": texts, "label": labels}, None


@pytest.mark.parametrize(
    "make",
    [
        *(as_tsv, as_tsv_gz, as_tsv_bz2, as_tsv_in_zip, as_tsv_with_bom_and_crlf),
        *(as_csv, as_jsonl, as_json, as_parquet, as_line_files),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path, make):
    source, format = make(tmp_path)
    rows, positions, counts = read(source, format)
    assert rows == ROWS
    assert positions == list(range(25_000))
    assert not counts


def test_quotation_marks_are_literal_in_tsv_and_quote_fields_in_csv(tmp_path):
    tsv = written(tmp_path, "a.tsv", 'text\tlabel\n"Stop", he said, "now\tx\n')
    assert read(tsv)[0] == [('"Stop", he said, "now', "x")]
    text = 'text,label\r\n"a ""b"", c\r\nsecond line",x\r\n plain ,y'
    assert read(written(tmp_path, "a.csv", text))[0] == [('a "b", c\r\nsecond line', "x"), (" plain ", "y")]
    quoted = written(tmp_path, "b.tsv", 'text\tlabel\n"a\tb"\tx\n')
    assert read(quoted, {"kind": "tsv", "quoting": "csv"})[0] == [("a\tb", "x")]


def test_only_line_feeds_end_a_line(tmp_path):
    text = "a\u2028b\x0bc\x85d\x1ce"
    assert read(written(tmp_path, "a.tsv", f"text\tlabel\n{text}\tx\n"))[0] == [(text, "x")]
    assert read(written(tmp_path, "a.csv", f"text,label\n{text},x\n"))[0] == [(text, "x")]
    assert read({"text": written(tmp_path, "a.text", text + "\n")}, columns=["text"])[0] == [(text,)]


def test_files_without_header_are_read_by_number_or_by_given_names(tmp_path):
    path = written(tmp_path, "a.tsv", "yes\tCome!\nno\tFine.\n")
    expected = [("Come!", "yes"), ("Fine.", "no")]
    assert read(path, {"kind": "tsv", "header": False}, columns=[1, 0])[0] == expected
    assert read(path, {"kind": "tsv", "header": False, "columns": ["label", "text"]})[0] == expected
    with pytest.raises(DataError, match="2 columns where format.columns names 3"):
        read(path, {"kind": "tsv", "header": False, "columns": ["a", "text", "label"]})
    with pytest.raises(DataError, match="no column number 2; it has 2"):
        read(path, {"kind": "tsv", "header": False}, columns=[2])


def test_line_files_are_read_from_zip_archives(tmp_path):
    for name, text in {"en": "a car\na dog\n", "de": "ein Auto\nein Hund\n"}.items():
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr("about.txt", "nothing\n")
            archive.writestr("lines.txt", text)
    files = {name: tmp_path / f"{name}.zip" for name in ("en", "de")}
    given = {"kind": "lines", "member": "lines.txt"}
    assert read(files, given, columns=["en", "de"])[0] == [("a car", "ein Auto"), ("a dog", "ein Hund")]
    with pytest.raises(DataError, match="member"):
        read(files, {"kind": "lines"}, columns=["en", "de"])


def test_a_row_of_wrong_width_raises_with_its_line_or_is_dropped_and_counted(tmp_path):
    path = written(tmp_path, "a.tsv", "text\tlabel\n" + "a\tb\n" * 810 + "a\tb\tc\n\nd\n" + "e\tf\n" * 12_000)
    with pytest.raises(DataError) as error:
        read(path)
    assert str(error.value).startswith(
        f"{path}, line 812: 3 columns where the header has 2; quote the tab or drop the row"
    )
    rows, positions, counts = read(path, on_bad_rows="drop")
    assert rows == [("a", "b")] * 810 + [("e", "f")] * 12_000
    assert positions[809:812] == [809, 813, 814]
    assert counts == {"bad_rows": 2, "empty_rows": 1}


def test_malformed_csv_raises_with_its_line_or_is_dropped_and_counted(tmp_path):
    path = written(tmp_path, "a.csv", 'text,label\n"one\ntwo",x\n"bad" quote,y\nfine,z\nlonely\n')
    with pytest.raises(DataError, match="a.csv, line 4: not valid CSV"):
        read(path)
    rows, _, counts = read(path, on_bad_rows="drop")
    assert rows == [("one\ntwo", "x"), ("fine", "z")]
    assert counts == {"bad_rows": 2}
    with pytest.raises(DataError, match="line 2: not valid CSV: unexpected end of data"):
        read(written(tmp_path, "b.csv", 'text,label\n"never closed,x\nfine,z\n'))


def test_json_lines_keep_numbers_and_booleans_and_reject_objects(tmp_path):
    lines = [
        '{"text": "a", "label": true}',
        '{"label": 3, "text": null}',
        "",
        '{"text": ["a"], "label": "x"}',
        "[1]",
        "{",
        '{"label": "x"}',
    ]
    path = written(tmp_path, "a.jsonl", "\n".join(lines))
    rows, positions, counts = read(path, on_bad_rows="drop")
    assert rows == [("a", "true"), ("", "3")]
    assert positions == [0, 1]
    assert counts == {"bad_rows": 4, "empty_rows": 1}
    with pytest.raises(DataError, match="a.jsonl, line 4: 'text' is a list or an object"):
        read(path)


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl", "lines", "a.parquet"])
def test_bytes_that_are_not_utf8_are_replaced_dropped_or_rejected(tmp_path, name):
    texts = [b"good", b"caf\xe9 \xff", "süß".encode()]
    if name == "a.tsv" or name == "a.csv":
        source = written(tmp_path, name, b"text\n" + b"\n".join(texts))
    elif name == "a.jsonl":
        source = written(tmp_path, name, b"\n".join(b'{"text": "' + text + b'"}' for text in texts))
    elif name == "lines":
        source = {"text": written(tmp_path, "a.en", b"\n".join(texts))}
    else:
        source = tmp_path / name
        array = pa.array(texts, pa.binary()).cast(pa.binary()).view(pa.string())
        pq.write_table(pa.table({"text": array}), source)
    rows, _, counts = read(source, columns=["text"])
    assert rows == [("good",), ("caf\ufffd \ufffd",), ("süß",)]
    assert counts == {"invalid_utf8_rows": 1, "invalid_utf8_bytes": 2}
    rows, positions, counts = read(source, columns=["text"], on_invalid="drop")
    assert (rows, positions) == ([("good",), ("süß",)], [0, 2])
    assert counts["invalid_utf8_rows"] == 1
    line = 3 if name in ("a.tsv", "a.csv") else 2
    with pytest.raises(DataError, match=f"(line|row) {line}: bytes that are not UTF-8"):
        read(source, columns=["text"], on_invalid="error")


def test_nul_characters_and_lone_surrogates_are_repaired_and_counted(tmp_path):
    rows, _, counts = read(written(tmp_path, "a.tsv", "text\tlabel\na\0b\0\tx\n"))
    assert rows == [("ab", "x")]
    assert counts == {"nul_characters": 2}
    rows, _, counts = read(written(tmp_path, "a.jsonl", r'{"text": "a\u0000\ud800", "label": "x"}'))
    assert rows == [("a\ufffd", "x")]
    assert counts == {"nul_characters": 1, "invalid_utf8_rows": 1, "invalid_utf8_bytes": 1}


WESTERN = [("Die Tür ist zu", "naïve"), ("“Größe” – 5 €", "ja"), ("plain", "ja"), ("à bientôt", "naïve")]


def encoded(folder, form, rows, encoding):
    """Write rows as a file of this format and encoding; return (source, format)."""
    if form == "csv":
        text = "text,label\r\n" + "".join(f"{text},{label}\r\n" for text, label in rows)
    elif form == "jsonl":
        text = "".join(json.dumps({"text": a, "label": b}, ensure_ascii=False) + "\n" for a, b in rows)
    elif form == "json":
        text = json.dumps([{"text": a, "label": b} for a, b in rows], ensure_ascii=False, indent=1)
    elif form == "lines":
        columns = zip(*rows, strict=True)
        names = ("text", "label")
        return {
            name: written(folder, f"w.{name}", "".join(f"{cell}\n" for cell in column).encode(encoding))
            for name, column in zip(names, columns, strict=True)
        }, None
    else:
        text = tsv_of(rows)
    data = text.encode(encoding)
    if form == "tsv.gz":
        return written(folder, "w.tsv.gz", gzip.compress(data)), None
    return written(folder, f"w.{form}", data), "json" if form == "json" else None


@pytest.mark.parametrize("form", ["tsv", "tsv.gz", "csv", "jsonl", "json", "lines"])
@pytest.mark.parametrize(
    ("encoding", "guessed"),
    [
        ("cp1252", True),
        ("utf-16", False),
        ("utf-16-le", True),
        ("utf-16-be", True),
        ("utf-32", False),
        ("utf-8-sig", False),
    ],
)
def test_undeclared_encodings_are_detected(tmp_path, caplog, form, encoding, guessed):
    source, format = encoded(tmp_path, form, WESTERN, encoding)
    rows, positions, counts = read(source, format)
    assert rows == WESTERN
    assert positions == [0, 1, 2, 3]
    assert not counts
    assert ("a guess" in caplog.text) == guessed
    if guessed:
        assert f'encoding = "{encoding}"' in caplog.text
        assert "w." in caplog.text


@pytest.mark.parametrize("form", ["tsv", "csv", "jsonl", "lines"])
@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Пришлите отчёт"),
        ("shift_jis", "表示してください。ソ"),
        ("gb18030", "请寄报告"),
        ("cp1253", "Στείλτε"),
        ("utf-16-le", "请寄报告"),
        ("cp037", "mail"),
    ],
)
def test_a_declared_encoding_is_used(tmp_path, caplog, form, encoding, text):
    rows = [(text, "a"), ("abc", "b")]
    source, _ = encoded(tmp_path, form, rows, encoding)
    result, _, counts = read(source, encoding=encoding)
    assert result == rows
    assert not counts
    assert not caplog.text


def test_encoding_names_mean_the_supersets_that_programs_write(tmp_path):
    path = written(tmp_path, "a.tsv", b"text\tlabel\n\x93quoted\x94 \x80 5\tx\n")
    for name in ("latin-1", "ISO-8859-1", "windows-1252"):
        assert read(path, encoding=name)[0] == [("“quoted” € 5", "x")]
    assert read(written(tmp_path, "b.tsv", "text\tlabel\n鎔\tx\n".encode("gbk")), encoding="gb2312")[0] == [("鎔", "x")]


def test_bytes_invalid_in_a_declared_encoding_are_counted_and_likely_mistakes_logged(tmp_path, caplog):
    rows, _, counts = read(written(tmp_path, "a.tsv", b"text\tlabel\na\x81b\tx\n"), encoding="cp1252")
    assert rows == [("a\ufffdb", "x")]
    assert counts == {"invalid_utf8_rows": 1, "invalid_utf8_bytes": 1}
    odd = written(tmp_path, "b.tsv", "text\tlabel\nok\tx\n".encode("utf-16-le") + b"\x00\xd8\x0a\x00")
    rows, _, counts = read(odd, encoding="utf-16", columns=["text"], on_bad_rows="drop")
    assert rows == [("ok",)]
    with pytest.raises(DataError, match="line 2: bytes that are not cp1252"):
        read(tmp_path / "a.tsv", encoding="cp1252", on_invalid="error")
    assert "looks like UTF-8" not in caplog.text
    read(written(tmp_path, "c.tsv", "text\tlabel\nZürich\tx\n"), encoding="cp1252")
    assert "c.tsv" in caplog.text
    assert "looks like UTF-8" in caplog.text
    with pytest.raises(DataError, match='byte order mark of utf-16-le, but encoding = "utf-8" is declared'):
        read(written(tmp_path, "d.tsv", "text\tlabel\n".encode("utf-16")), encoding="utf-8")


def test_the_encoding_is_guessed_at_the_first_invalid_byte_and_logged_with_its_line(tmp_path, caplog):
    plain = "nothing special here\tx\n" * 60_000  # more than a block
    path = written(tmp_path, "a.tsv", f"text\tlabel\n{plain}".encode() + "Grüße\ty\nSüß\tz\n".encode("cp1252"))
    rows, _, counts = read(path)
    assert rows[-2:] == [("Grüße", "y"), ("Süß", "z")]
    assert not counts
    assert "a.tsv, line 60002: not UTF-8; the file is read as cp1252" in caplog.text
    # Later lines that are UTF-8 are read as UTF-8, with a warning.
    path.write_bytes(path.read_bytes() + plain.encode() + "Weiß\tw\n".encode())
    rows, _, counts = read(path)
    assert rows[-1] == ("Weiß", "w")
    assert ("Grüße", "y") in rows
    assert "line 120004: is UTF-8, but line 60002 is not" in caplog.text


def test_damaged_utf8_is_not_mistaken_for_another_encoding(tmp_path, caplog):
    path = written(tmp_path, "a.tsv", "text\tlabel\nZürich\tx\nLuzern\ty\n".encode() + b"Gen\xe8ve\tz\n")
    assert read(path)[0][-1] == ("Gen\ufffdve", "z")
    assert read(path, on_invalid="cp1252")[0] == [("Zürich", "x"), ("Luzern", "y"), ("Genève", "z")]
    assert not caplog.text
    ascii_else = written(tmp_path, "b.tsv", b"text\tlabel\nplain\tx\nGen\xe8ve\tz\n")
    assert read(ascii_else, on_invalid="drop")[0] == [("plain", "x")]
    assert read(ascii_else, encoding="utf-8")[0][-1] == ("Gen\ufffdve", "z")
    assert not caplog.text


@pytest.mark.parametrize(
    ("encoding", "text"), [("cp1251", "Пришлите отчёт"), ("shift_jis", "表示してください"), ("gbk", "请寄报告")]
)
def test_text_in_an_unrecognized_encoding_is_rejected_until_it_is_declared(tmp_path, encoding, text):
    path = written(tmp_path, "a.tsv", f"text\tlabel\nok\tx\n{text}\ty\n".encode(encoding))
    with pytest.raises(
        DataError, match="a.tsv, line 3: the text is not UTF-8, nor does it look like Windows-1252; declare"
    ):
        read(path)
    assert read(path, encoding=encoding)[0][1] == (text, "y")


def test_stray_nul_characters_do_not_make_a_file_utf16(tmp_path):
    rows = "text\tlabel\n" + "".join(f"row\0 {n}\tx\n" for n in range(300))
    result, _, counts = read(written(tmp_path, "a.tsv", rows))
    assert result[299] == ("row 299", "x")
    assert counts == {"nul_characters": 300}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('"NA"', "NA"), ("true", "true"), ("1.50", "1.50"), ("-7", "-7"), ("2E3", "2E3"), ("12345678901234567890", "12345678901234567890"),
        ("9" * 4_400, "9" * 4_400), ("null", ""), ("NaN", ""), ("-Infinity", ""), ("1e400", ""), ("-1E+999", ""),
    ],
)  # fmt: skip
def test_json_values_keep_their_spelling_or_become_empty(tmp_path, value, text):
    row = f'{{"text": {value}, "label": "x", "other": [NaN, {{"a": 1e999}}, {"8" * 5_000}]}}'
    for name, content, format in (("a.jsonl", row, None), ("a.json", f"[{row}]", "json")):
        rows, _, counts = read(written(tmp_path, name, content), format)
        assert rows == [(text, "x")]
        assert counts == ({"not_finite_numbers": 1} if value[-1] in "Ny09" and not text else {})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": {"a": 1}, "label": "x"}', "'text' is a list or an object"),
        ('{"text": "a", "label": "x",}', "not JSON"),
        ('{"text": "a", "label": "x", "label": "y"}', "'label' occurs twice with different values"),
        ('{"text": ' + "[" * 100_000 + "]" * 100_000 + ', "label": "x"}', "nested too deep"),
        ('"text"', "a text or a number where an object was expected"),
        ("7", "a text or a number where an object was expected"),
        ('[{"text": "a"}]', 'set format = "json"'),
        ('{"text": "a" "label": "x"}', "not JSON"),
    ],
)
def test_an_invalid_json_line_raises_with_its_number_or_is_dropped_and_counted(tmp_path, line, message):
    path = written(tmp_path, "a.jsonl", '{"text": "good", "label": "x"}\n' + line + "\n")
    with pytest.raises(DataError, match=f"a.jsonl, line 2: .*{re.escape(message)}"):
        read(path)
    rows, _, counts = read(path, on_bad_rows="drop")
    assert rows == [("good", "x")]
    assert counts == {"bad_rows": 1}


def test_duplicate_names_are_accepted_if_their_values_agree_or_are_not_read(tmp_path):
    lines = ['{"id": 1, "text": "a", "label": "x", "id": 2}', '\ufeff{"text": "b", "label": "x", "label": "x"}']
    assert read(written(tmp_path, "a.jsonl", "\n".join(lines)))[0] == [("a", "x"), ("b", "x")]


ODD_LABELS = ["NA", "null", "None", "True", "1.0", "nan", "N/A", "0012", "-", "1e5"]


@pytest.mark.parametrize("form", ["tsv", "csv", "jsonl", "json", "lines", "parquet"])
def test_labels_that_look_like_missing_values_or_numbers_remain_text(tmp_path, form):
    rows = [(f"text {n}", label) for n, label in enumerate(ODD_LABELS)]
    if form == "parquet":
        pq.write_table(
            pa.table(dict(zip(("text", "label"), zip(*rows, strict=True), strict=True))), tmp_path / "a.parquet"
        )
        source, format = tmp_path / "a.parquet", None
    else:
        source, format = encoded(tmp_path, form, rows, "utf-8")
    assert read(source, format)[0] == rows


@pytest.mark.parametrize(
    ("kind", "values", "texts"),
    [
        (pa.int64(), [1, None, -3], ["1", "", "-3"]),
        (pa.uint8(), [1, 2, 255], ["1", "2", "255"]),
        (pa.float64(), [1.0, 0.1, float("nan")], ["1.0", "0.1", ""]),
        (pa.float32(), [0.1, None, float("inf")], ["0.1", "", ""]),
        (pa.float16(), [np.float16(0.1), np.float16(2), None], ["0.1", "2.0", ""]),
        (pa.bool_(), [True, False, None], ["true", "false", ""]),
        (pa.decimal128(5, 2), ["1.50", None, "-0.10"], ["1.50", "", "-0.10"]),
        (pa.dictionary(pa.int8(), pa.int32()), [7, 8, 7], ["7", "8", "7"]),
        (pa.null(), [None, None, None], ["", "", ""]),
    ],
)
def test_parquet_numbers_become_text_in_their_shortest_spelling(tmp_path, kind, values, texts):
    if pa.types.is_decimal(kind):
        column = pa.array(values).cast(kind)
    elif pa.types.is_dictionary(kind):
        column = pa.array(values, kind.value_type).dictionary_encode()
    else:
        column = pa.array(values, kind)
    pq.write_table(pa.table({"text": ["a", "b", "c"], "label": column}), tmp_path / "a.parquet")
    rows, _, counts = read(tmp_path / "a.parquet")
    assert [label for _, label in rows] == texts
    assert counts.get("not_finite_numbers", 0) == sum(isinstance(v, float) and not np.isfinite(v) for v in values)


def test_parquet_columns_that_cannot_be_text_are_rejected(tmp_path):
    pq.write_table(pa.table({"text": [["a"], ["b"]], "label": ["x", "y"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="column 'text' has type list<.*> where text was expected"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("format", "message"),
    [
        ({"kind": "tsv", "delimiter": ""}, "delimiter: expected a character other than a line break, found ''"),
        ({"kind": "csv", "delimiter": "\n"}, "delimiter"),
        ({"kind": "csv", "delimiter": "||"}, 'need quoting = "none"'),
        ({"kind": "csv", "delimiter": '"'}, "other than a quotation mark"),
        ({"kind": "json", "keys": {"dev": "a"}}, "keys: dev: no such split"),
    ],
)
def test_invalid_format_options_are_rejected(format, message):
    with pytest.raises(ValueError, match=message):
        Plugin.check("data.formats", format)


def test_a_delimiter_of_several_characters_works_without_quoting(tmp_path):
    path = written(tmp_path, "a.txt", "text||label\na|b||x\n")
    assert read(path, {"kind": "csv", "delimiter": "||", "quoting": "none"})[0] == [("a|b", "x")]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_blank_lines_before_the_header_are_skipped(tmp_path, name):
    mark = "\t" if name == "a.tsv" else ","
    path = written(tmp_path, name, f"\n \ntext{mark}label\nfine{mark}x\n")
    rows, positions, counts = read(path)
    assert (rows, positions, counts) == ([("fine", "x")], [0], {})
    with pytest.raises(DataError, match="line 5: 3 columns where the header has 2"):
        read(written(tmp_path, name, f"\n \ntext{mark}label\nfine{mark}x\na{mark}b{mark}c\n"))


def test_columns_of_a_file_without_header_are_requested_by_number(tmp_path):
    path = written(tmp_path, "a.csv", "yes,Come!,en\nno,Fine.,de\n")
    format = {"kind": "csv", "header": False}
    assert read(path, format, columns=["1", 0, "column 2"])[0] == [("Come!", "yes", "en"), ("Fine.", "no", "de")]
    with pytest.raises(DataError, match="no column 'text'.*give columns by their number from 0"):
        read(path, format, columns=["text"])


def test_errors_name_damaged_and_encrypted_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.tsv", tsv_of(ROWS[:50]))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    with pytest.raises(DataError, match="b.zip: the compressed file is damaged or truncated"):
        read(written(tmp_path, "b.zip", bytes(data[:-30])), "tsv")
    data[6] |= 1  # the flag of encryption, in the local header and in the directory
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DataError, match="c.zip: a.tsv cannot be unpacked"):
        read(written(tmp_path, "c.zip", bytes(data)), "tsv")


def test_line_files_are_read_in_batches_of_bounded_size(tmp_path, monkeypatch):
    from textpipe.data.formats import lines

    monkeypatch.setattr(lines, "MAX_CHARACTERS", 50_000)
    files = {
        "en": written(tmp_path, "t.en", "a\n" * 3_000),
        "de": written(tmp_path, "t.de", "".join(f"{n} {'b' * 1_000}\n" for n in range(3_000))),
    }
    sizes, numbers = [], []
    for rows in lines.read(files, lines.Config(), Repairs(), ["en", "de"]):
        sizes.append(sum(map(len, rows.columns[1])))
        numbers += rows.positions
        assert list(rows.lines) == [position + 1 for position in rows.positions]
    assert max(sizes) <= 50_000 + 100 * 1_006
    assert numbers == list(range(3_000))


def test_errors_list_a_limited_number_of_names(tmp_path):
    header = "\t".join(f"column_{n}" for n in range(100_000)) + "\t" + "x" * 1_000_000
    with pytest.raises(DataError) as error:
        read(written(tmp_path, "a.tsv", header + "\n"))
    assert len(str(error.value)) < 5_000
    assert "and 99,971 more" in str(error.value)


def test_lines_longer_than_a_block_are_read_and_can_be_dropped(tmp_path):
    long = "lang " * 700_000
    path = written(tmp_path, "a.tsv", f"text\tlabel\nshort\tx\n{long}\ty\nshort\tz\n")
    assert [len(text) for text, _ in read(path)[0]] == [5, 3_500_000, 5]
    rows, positions, counts = read(path, max_characters=1000)
    assert (rows, positions, counts) == ([("short", "x"), ("short", "z")], [0, 2], {"too_long_rows": 1})
    rows, _, counts = read(path, max_characters=1000, on_too_long="cut")
    assert ([len(text) for text, _ in rows], counts) == ([5, 1000, 5], {"cut_rows": 1})
    with pytest.raises(DataError, match="line 3: a text of 3,500,000 characters, where max_characters is 1,000"):
        read(path, max_characters=1000, on_too_long="error")
    path = written(tmp_path, "a.csv", f"text,label\n{long},y\n{'x' * 20_000_000},z\n")
    assert [len(text) for text, _ in read(path)[0]] == [3_500_000, 20_000_000]


def test_an_unknown_column_suggests_similar_names(tmp_path):
    path = written(tmp_path, "a.tsv", "message\tlabel\na\tb\n")
    with pytest.raises(DataError, match="a.tsv: no column 'mesage'; did you mean 'message'"):
        read(path, columns=["mesage"])
    with pytest.raises(DataError, match="known: label, message; if the file has no header"):
        read(path, columns=["xyz"])
    with pytest.raises(DataError, match="line 1: no column 'text'; known: body"):
        read(written(tmp_path, "a.jsonl", '{"body": "a"}'), columns=["text"])
    with pytest.raises(DataError, match="2 columns are called 'a'"):
        read(written(tmp_path, "b.tsv", "a\ta\nx\ty\n"), columns=["a"])


def test_missing_empty_truncated_and_foreign_files_are_rejected(tmp_path):
    written(tmp_path, "train.tsv", "")
    with pytest.raises(DataError, match="tain.tsv: no such file; did you mean 'train.tsv'"):
        read(tmp_path / "tain.tsv")
    with pytest.raises(DataError, match="train.tsv: the file is empty"):
        read(tmp_path / "train.tsv")
    whole = gzip.compress(tsv_of(ROWS).encode())
    with pytest.raises(DataError, match="damaged or truncated"):
        read(written(tmp_path, "c.tsv.gz", whole[: len(whole) // 2]))
    with pytest.raises(DataError, match="not a valid Parquet file"):
        read(written(tmp_path, "d.parquet", "text"))
    with pytest.raises(DataError, match="is a folder, but a file was expected"):
        read(tmp_path, "tsv")


@pytest.mark.parametrize(("english", "german"), [(12_001, 12_000), (12_000, 12_001), (3, 25_000), (25_000, 3)])
def test_line_files_of_unequal_length_are_rejected_with_both_counts(tmp_path, english, german):
    files = {"en": written(tmp_path, "t.en", "a\n" * english), "de": written(tmp_path, "t.de", "b\n" * german)}
    with pytest.raises(DataError, match=f"t.en has {english:,} lines where .*t.de has {german:,} lines"):
        read(files, columns=["en", "de"])


def test_blank_lines_keep_line_files_aligned(tmp_path):
    files = {"en": written(tmp_path, "t.en", "\na\n\nb\n\n"), "de": written(tmp_path, "t.de", "1\n2\n3\n4\n\n")}
    assert read(files, columns=["de", "en"])[0] == [("1", ""), ("2", "a"), ("3", ""), ("4", "b"), ("", "")]


PLAIN = (
    b"From: =?iso-8859-1?q?J=FCrgen?= <j@example.org>\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\n again\r\n"
    b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Sch=F6ne Gr=FC=DFe\r\n"
)
PARTS = (
    b'Subject: parts\nContent-Type: multipart/alternative; boundary="b"\n\n--b\nContent-Type: text/html\n\n<p>no</p>\n'
    b"--b\nContent-Type: text/plain; charset=big5\n\n\xa7A\xa6n\n--b--\n"
)
BARE = b"subject: b\xe4re\n\nSome \x93quotes\x94 and\n>From the start\n"


def test_mails_are_decoded_by_their_own_charsets(tmp_path):
    box = b"".join(b"From x@example.org Mon Jan  1 00:00:00 2001\n" + raw + b"\n" for raw in (PLAIN, PARTS, BARE))
    rows, positions, _ = read(written(tmp_path, "a.mbox", box), columns=["subject", "body", "from"])
    assert rows == [
        ("Grüße again", "Schöne Grüße", "Jürgen <j@example.org>"),
        ("parts", "你好", ""),
        ("bäre", "Some “quotes” and\nFrom the start", ""),
    ]
    assert positions == [0, 1, 2]
    blocks = [row[0] for row in read(tmp_path / "a.mbox", columns=["headers"])[0]]
    assert blocks[0].startswith(
        "From: Jürgen <j@example.org>\nSubject: Grüße again\nContent-Type: text/plain; charset=iso"
    )
    assert blocks[1:] == ['Subject: parts\nContent-Type: multipart/alternative; boundary="b"', "subject: bäre"]
    with pytest.raises(DataError, match="no column 'text'; known: body"):
        read(tmp_path / "a.mbox", columns=["text"])


def test_folders_of_raw_mails_can_be_labels(tmp_path):
    for folder, name, raw in (("spam", "2", BARE), ("ham", "1", PLAIN), ("ham", "3", PARTS)):
        (tmp_path / folder).mkdir(exist_ok=True)
        written(tmp_path / folder, name, raw)
    rows, _, _ = read(tmp_path, columns=["folder", "file", "subject"])
    assert rows == [("ham", "1", "Grüße again"), ("ham", "3", "parts"), ("spam", "2", "bäre")]
    # Outside an mbox, a ">From " line is part of the text.
    assert read(tmp_path / "spam" / "2", "mail", columns=["body"])[0] == [("Some “quotes” and\n>From the start",)]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  Hello,\u00a0WORLD!", "hello world"),
        ("don't", "don t"),
        ("Straße １２", "strasse 12"),
        ("?!", "?!"),
        ("👍 👍", "👍 👍"),
        ("कि, का।", "कि का"),
        ("你好，世界！", "你好 世界"),
        ("a\nb\tc_d", "a b c d"),
    ],
)
def test_normal_form_drops_case_punctuation_and_blanks_only(text, form):
    assert hashes.normal_forms(["Für", text, "x"])[1].decode() == form
    assert hashes.normal_forms([text]) == [form.encode()]


def test_a_key_set_agrees_with_a_python_set():
    random = np.random.default_rng(5)
    keys, brute = hashes.KeySet(), set()
    for size in random.integers(1, 900, 60):
        batch = random.integers(0, 9_000, size).astype(np.uint64)
        seen = np.array([key in brute for key in batch.tolist()])
        assert (keys.contains(batch) == seen).all()
        new = keys.add(batch)
        expected = []
        for key in batch.tolist():
            expected.append(key not in brute)
            brute.add(key)
        assert new.tolist() == expected
        assert len(keys) == len(brute)


def test_profiles_agree_with_counting_in_python():
    texts = ["Hello  world", "x", "Größe\tüber 你好", " а б\nв ", "…", "a\u00a0b"] * 7
    profile = TextProfile()
    for start in range(0, len(texts), 5):
        part = texts[start : start + 5]
        profile.add(np.arange(start, start + len(part)), pa.array(["skipped", *part], pa.string())[1:])
    assert profile.characters == Counter(map(len, texts))
    assert profile.words == Counter(len(re.split("[ \t\n]+", text.strip(" \t\n"))) for text in texts)
    assert profile.longest == (13, 2)
    table = profile.table()
    letters = {"Latin": 10 + 1 + 5 + 4 + 2, "Han": 2, "Cyrillic": 3}
    total = sum(letters.values())
    assert table["letters"] == 7 * total
    assert table["scripts"] == {name: pytest.approx(count / total, abs=1e-6) for name, count in letters.items()}
    values = sorted(map(len, texts))
    for percentile in (1, 5, 25, 50, 75, 95, 99):
        rank = -(-len(values) * percentile // 100)
        assert table["characters"][f"p{percentile}"] == values[rank - 1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
@pytest.mark.parametrize("name, mark", [("a.csv", ","), ("a.tsv", "\t")])
def test_lines_that_end_in_carriage_returns_alone_are_lines(tmp_path, name, mark, encoding):
    expected = [(f"Größe {number}" * 3, "yes") for number in range(60_000)]  # more than a block
    text = "".join(f"{text}{mark}{label}\r" for text, label in [("text", "label"), *expected])
    path = written(tmp_path, name, text.encode(encoding))
    rows, positions, _ = read(path, encoding=None if encoding == "utf-8" else encoding)
    assert rows == expected and positions == list(range(len(expected)))


def test_json_lines_that_end_in_carriage_returns_alone_are_lines(tmp_path):
    path = written(tmp_path, "a.jsonl", '{"text": "a", "label": "b"}\r{"text": "c", "label": "d"}')
    assert read(path)[0] == [("a", "b"), ("c", "d")]


def test_a_single_carriage_return_among_line_feeds_is_named_with_its_cure(tmp_path):
    path = written(tmp_path, "a.csv", "text,label\na,b\nc\rd,e\n")
    with pytest.raises(
        DataError, match=r"a.csv, line 3: a carriage return \(CR\) outside of quotes.*LF or CRLF, or quote"
    ):
        read(path)
    assert read(written(tmp_path, "b.csv", 'text,label\na,b\n"c\rd",e\n'))[0] == [("a", "b"), ("c\rd", "e")]


@pytest.mark.parametrize(
    "form, files, split",
    [
        ({"kind": "csv"}, ["a.csv", "b.csv", "a.csv"], "train"),
        ({"kind": "csv"}, ["a.csv", "./a.csv"], "train"),
        ({"kind": "csv"}, {"train": "b.csv", "test": ["a.csv", "a.csv"]}, "test"),
        ({"kind": "lines"}, {"en": ["a.csv", "a.csv"], "de": ["b.csv", "b.csv"]}, "train"),
        ({"kind": "threads"}, ["a.csv", "a.csv"], "train"),
    ],
)
def test_a_file_named_twice_is_refused(tmp_path, monkeypatch, form, files, split):
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "b.csv"):
        written(tmp_path, name, "text,label\na,b\n")
    with pytest.raises(DataError, match=rf"a\.csv.*: is named twice for {split}.*name it once"):
        sources.locate(None, with_paths(files), Plugin.check(sources.PACKAGE, form), [])


def with_paths(files):
    if isinstance(files, dict):
        return {name: with_paths(value) for name, value in files.items()}
    return [Path(name) for name in files] if isinstance(files, list) else Path(files)


def test_a_file_for_train_and_another_split_is_named_in_a_warning(tmp_path, caplog):
    path = written(tmp_path, "a.csv", "text,label\na,b\n")
    document = Plugin.check(sources.PACKAGE, {"kind": "json", "keys": {"train": "x", "test": "y"}})
    sources.locate(None, {"train": path, "test": path}, document, [])
    assert not caplog.records
    for options in ("csv", {"kind": "json", "key": "x"}):
        caplog.clear()
        sources.locate(None, {"train": path, "test": path}, Plugin.check(sources.PACKAGE, options), [])
        assert (
            "a.csv: is named for train and for test, which measures the model on rows it was trained on" in caplog.text
        )


def test_one_text_with_several_translations_is_no_file_named_twice(tmp_path):
    paths = [written(tmp_path, f"{name}.txt", "a\n") for name in "abc"]
    files = {"en": [paths[0], paths[0]], "de": paths[1:]}
    assert len(sources.locate(None, files, Plugin.check(sources.PACKAGE, "lines"), [])["train"]) == 2
