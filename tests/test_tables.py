"""Shards and readers."""

import hashlib

import pyarrow as pa
import pytest

from textpipe.errors import ArtifactError
from textpipe.tables import shards

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
