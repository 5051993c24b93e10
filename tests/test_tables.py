"""Shards, readers, hashes and profiles."""

import bz2
import csv
import gzip
import hashlib
import json
import re
import zipfile
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from textpipe.config import Plugin
from textpipe.errors import ArtifactError, DataError
from textpipe.tables import hashes, shards, sources
from textpipe.tables.profile import TextProfile
from textpipe.tables.rows import Repairs

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
    assert shards.count(tmp_path, "train") == 230_000
    assert shards.schema(tmp_path, "train").equals(SCHEMA)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_bytes_do_not_depend_on_how_rows_arrive(tmp_path, kind):
    with shards.Writer(tmp_path / "once", "train", SCHEMA, kind) as writer:
        writer.write(rows(0, 25_000))
    with shards.Writer(tmp_path / "in_pieces", "train", SCHEMA, kind) as writer:
        for start in range(0, 25_000, 777):
            writer.write(rows(start, min(start + 777, 25_000)))
    assert digests(tmp_path / "once") == digests(tmp_path / "in_pieces")


def test_list_columns_survive_and_columns_come_in_the_order_asked(tmp_path):
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
    assert shards.count(tmp_path, "test") == 0
    assert shards.schema(tmp_path, "test").equals(SCHEMA)
    assert list(shards.read(tmp_path, "test")) == []
    assert list(shards.read(tmp_path, "valid")) == []
    with pytest.raises(ArtifactError, match="valid: no shards"):
        shards.schema(tmp_path, "valid")


def test_a_writer_that_raises_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), shards.Writer(tmp_path, "train", SCHEMA) as writer:
        writer.write(rows(0, 120_000))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_damaged_shard_and_an_unknown_column_are_named(tmp_path, kind):
    with shards.Writer(tmp_path, "train", SCHEMA, kind) as writer:
        writer.write(rows(0, 10))
    with pytest.raises(ArtifactError, match="no column 'texts'; did you mean 'text'"):
        list(shards.read(tmp_path, "train", ["texts"]))
    (path,) = shards.paths(tmp_path, "train")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=f"00000.{kind}: damaged"):
        list(shards.read(tmp_path, "train"))


def read(source, format=None, columns=("text", "label"), split="train", **repairs):
    """(rows as tuples, positions, counts) as ingest would get them."""
    config = Plugin.check("tables.formats", format or sources.guess(source))
    mending = Repairs(**repairs)
    found, positions = [], []
    for batch in sources.read(source, config, mending, list(columns), split):
        batch = mending.mend(batch)
        assert len(batch) <= 10_000
        found += list(zip(*batch.columns, strict=True))
        positions += batch.positions
    return found, positions, +mending.counts


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


def test_quotation_marks_are_characters_in_tsv_and_quotes_in_csv(tmp_path):
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


def test_a_row_of_wrong_width_is_named_by_its_line_or_dropped_and_counted(tmp_path):
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


def test_malformed_csv_is_named_by_its_line_or_dropped_and_counted(tmp_path):
    path = written(tmp_path, "a.csv", 'text,label\n"one\ntwo",x\n"bad" quote,y\nfine,z\nlonely\n')
    with pytest.raises(DataError, match="a.csv, line 4: not valid CSV"):
        read(path)
    rows, _, counts = read(path, on_bad_rows="drop")
    assert rows == [("one\ntwo", "x"), ("fine", "z")]
    assert counts == {"bad_rows": 2}
    with pytest.raises(DataError, match="line 2: not valid CSV: unexpected end of data"):
        read(written(tmp_path, "b.csv", 'text,label\n"never closed,x\nfine,z\n'))


def test_json_lines_keep_numbers_and_booleans_and_refuse_tables(tmp_path):
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
    with pytest.raises(DataError, match="a.jsonl, line 4: 'text' is a list or a table"):
        read(path)


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl", "lines", "a.parquet"])
def test_bytes_that_are_not_utf8_are_replaced_dropped_or_refused(tmp_path, name):
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


def test_nul_characters_and_lone_surrogates_are_mended_and_counted(tmp_path):
    rows, _, counts = read(written(tmp_path, "a.tsv", "text\tlabel\na\0b\0\tx\n"))
    assert rows == [("ab", "x")]
    assert counts == {"nul_characters": 2}
    rows, _, counts = read(written(tmp_path, "a.jsonl", r'{"text": "a\u0000\ud800", "label": "x"}'))
    assert rows == [("a\ufffd", "x")]
    assert counts == {"nul_characters": 1, "invalid_utf8_rows": 1, "invalid_utf8_bytes": 1}


def test_lines_longer_than_a_block_survive_and_can_be_dropped(tmp_path):
    long = "lang " * 700_000
    path = written(tmp_path, "a.tsv", f"text\tlabel\nshort\tx\n{long}\ty\nshort\tz\n")
    assert [len(text) for text, _ in read(path)[0]] == [5, 3_500_000, 5]
    rows, positions, counts = read(path, max_characters=1000)
    assert (rows, positions, counts) == ([("short", "x"), ("short", "z")], [0, 2], {"too_long_rows": 1})
    path = written(tmp_path, "a.csv", f"text,label\n{long},y\n")
    assert len(read(path)[0][0][0]) == 3_500_000


def test_a_wrong_column_is_answered_with_the_near_ones(tmp_path):
    path = written(tmp_path, "a.tsv", "message\tlabel\na\tb\n")
    with pytest.raises(DataError, match="a.tsv: no column 'mesage'; did you mean 'message'"):
        read(path, columns=["mesage"])
    with pytest.raises(DataError, match="known: label, message; if the file has no header"):
        read(path, columns=["xyz"])
    with pytest.raises(DataError, match="line 1: no column 'text'; known: body"):
        read(written(tmp_path, "a.jsonl", '{"body": "a"}'), columns=["text"])
    with pytest.raises(DataError, match="2 columns are called 'a'"):
        read(written(tmp_path, "b.tsv", "a\ta\nx\ty\n"), columns=["a"])


def test_missing_empty_cut_off_and_foreign_files_are_refused(tmp_path):
    written(tmp_path, "train.tsv", "")
    with pytest.raises(DataError, match="tain.tsv: no such file; did you mean 'train.tsv'"):
        read(tmp_path / "tain.tsv")
    with pytest.raises(DataError, match="train.tsv: the file is empty"):
        read(tmp_path / "train.tsv")
    whole = gzip.compress(tsv_of(ROWS).encode())
    with pytest.raises(DataError, match="damaged or cut off"):
        read(written(tmp_path, "c.tsv.gz", whole[: len(whole) // 2]))
    with pytest.raises(DataError, match="not a sound Parquet file"):
        read(written(tmp_path, "d.parquet", "text"))
    with pytest.raises(DataError, match="is a folder where a file was expected"):
        read(tmp_path, "tsv")


@pytest.mark.parametrize(("english", "german"), [(12_001, 12_000), (12_000, 12_001), (3, 25_000), (25_000, 3)])
def test_unequal_line_files_are_refused_with_both_counts(tmp_path, english, german):
    files = {"en": written(tmp_path, "t.en", "a\n" * english), "de": written(tmp_path, "t.de", "b\n" * german)}
    with pytest.raises(DataError, match=f"t.en has {english:,} lines where .*t.de has {german:,} lines"):
        read(files, columns=["en", "de"])


def test_blank_lines_of_line_files_keep_the_files_in_step(tmp_path):
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
    with pytest.raises(DataError, match="no column 'text'; known: body"):
        read(tmp_path / "a.mbox", columns=["text"])


def test_a_folder_of_raw_mails_gives_its_folders_as_labels(tmp_path):
    for folder, name, raw in (("spam", "2", BARE), ("ham", "1", PLAIN), ("ham", "3", PARTS)):
        (tmp_path / folder).mkdir(exist_ok=True)
        written(tmp_path / folder, name, raw)
    rows, _, _ = read(tmp_path, columns=["folder", "file", "subject"])
    assert rows == [("ham", "1", "Grüße again"), ("ham", "3", "parts"), ("spam", "2", "bäre")]
    # Outside an mbox a ">From " line is the sender's own.
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
