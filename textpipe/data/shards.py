"""Rows on disk: one folder a split, shards of at most 100,000 rows, read back as a stream.

    folder/train/00000.parquet  folder/train/00001.parquet ...      between ingest and tokenize
    folder/train/00000.arrow ...                                    after vectorize: memory-mapped, no decoding

The bytes of a shard depend on its rows alone: settings are fixed and incoming batches are cut anew, so a stage that
is run again writes equal files and the stages after it need not run.
"""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from textpipe.errors import ArtifactError, suggest

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS = ("train", "valid", "test")
SHARD_ROWS = 100_000
GROUP_ROWS = 10_000  # rows of one Parquet row group or Arrow record batch; divides ROWS
GROUP_BYTES = 32 * 2**20  # groups of very long rows are cut earlier, so that a group always fits in memory
SUFFIXES = (".parquet", ".arrow")


class Writer:
    """Writes the rows of one split and cuts the shards.

        with Writer(folder, "train", schema) as writer:
            for batch in batches:
                writer.write(batch)             # pa.Table or pa.RecordBatch of exactly this schema

    A shard gets its name when it is complete; when the block raises, every shard of the split is removed. A split
    without rows gets one empty shard, which keeps its schema.
    """

    def __init__(
        self, folder: str | Path, split: str, schema: "pa.Schema", kind: Literal["parquet", "arrow"] = "parquet"
    ) -> None:
        assert split in SPLITS, split
        assert kind in ("parquet", "arrow"), kind
        self.folder = Path(folder) / split
        self.schema = schema
        self.kind = kind
        self.rows = 0  # rows written so far, those still held back included
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = self._pending_bytes = 0
        self._shard = -1
        self._sink: Any = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.close()
        except BaseException:
            self._abandon()
            raise
        if error is not None:
            self._abandon()

    def write(self, rows: "pa.Table | pa.RecordBatch") -> None:
        """Append rows; they reach the disk in groups of 10,000."""
        import pyarrow as pa

        assert rows.schema.equals(self.schema), f"{rows.schema}\nwhere the writer has\n{self.schema}"
        for batch in rows.to_batches() if isinstance(rows, pa.Table) else [rows]:
            start = 0
            while start < batch.num_rows:
                room = min(GROUP_ROWS - self._pending_rows, SHARD_ROWS - self.rows % SHARD_ROWS)
                piece = batch.slice(start, room)
                start += piece.num_rows
                self._pending.append(piece)
                self._pending_rows += piece.num_rows
                self._pending_bytes += piece.nbytes
                self.rows += piece.num_rows
                if piece.num_rows == room or self._pending_bytes >= GROUP_BYTES:
                    self._flush()

    def close(self) -> None:
        """Write what is held back and finish the last shard; leaving the `with` block does this."""
        self._flush()
        if self._shard < 0:
            self._open()
        self._finish()

    def discard(self) -> None:
        """Remove every shard of the split."""
        self._abandon()

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._pending_rows:
            return
        # Copied, not sliced: Arrow pads a slice with the bytes of the rows behind it, which would reach the file.
        columns = [pa.concat_arrays([batch.column(n) for batch in self._pending]) for n in range(len(self.schema))]
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        if self._sink is None:
            self._open()
        self._sink.write_table(pa.Table.from_arrays(columns, schema=self.schema))
        if self.rows % SHARD_ROWS == 0:
            self._finish()

    def _path(self) -> Path:
        return self.folder / f"{self._shard:05d}.{self.kind}"

    def _open(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._shard += 1
        part = self._path().with_name(self._path().name + ".part")
        if self.kind == "parquet":
            # Text hardly repeats: a dictionary would be built, outgrown and thrown away for every row group.
            self._sink = pq.ParquetWriter(
                part,
                self.schema,
                version="2.6",
                compression="zstd",
                compression_level=1,
                use_dictionary=False,
                write_statistics=False,
            )
        else:
            self._sink = pa.ipc.new_file(str(part), self.schema)

    def _finish(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None
            part = self._path().with_name(self._path().name + ".part")
            part.replace(self._path())

    def _abandon(self) -> None:
        if self._sink is not None:
            with contextlib.suppress(Exception):  # the disk may be full; the first error is the one to report
                self._sink.close()
            self._sink = None
        shutil.rmtree(self.folder, ignore_errors=True)


def paths(folder: str | Path, split: str) -> list[Path]:
    """The shards of a split in row order; empty when there is no such split."""
    place = Path(folder) / split
    return sorted(path for path in place.glob("[0-9]*") if path.suffix in SUFFIXES)


def schema(folder: str | Path, split: str) -> "pa.Schema":
    """The columns of a split; raises ArtifactError when it has no shards."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = paths(folder, split)
    if not files:
        raise ArtifactError(f"{Path(folder) / split}: no shards; run the stage that writes them")
    if files[0].suffix == ".parquet":
        return pq.read_schema(files[0])
    with pa.memory_map(str(files[0])) as source:
        return pa.ipc.open_file(source).schema


def read(folder: str | Path, split: str, columns: Sequence[str] | None = None) -> "Iterator[pa.RecordBatch]":
    """The rows of a split in order, as record batches of 1 to 10,000 rows; nothing when there is no such split.

    columns: the columns wanted, in this order; all when None. Arrow shards are memory-mapped, not copied.
    """
    for path in paths(folder, split):
        for batch in _batches(path, columns):
            for start in range(0, batch.num_rows, GROUP_ROWS):
                yield batch.slice(start, GROUP_ROWS)


def count(folder: str | Path, split: str) -> int:
    """How many rows a split has, from the shards' footers; 0 when there is no such split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    total = 0
    for path in paths(folder, split):
        if path.suffix == ".parquet":
            total += pq.read_metadata(path).num_rows
        else:
            with pa.memory_map(str(path)) as source:
                reader = pa.ipc.open_file(source)
                total += sum(reader.get_batch(number).num_rows for number in range(reader.num_record_batches))
    return total


def _batches(path: Path, columns: Sequence[str] | None) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path, memory_map=True) as file:
                _check_columns(path, file.schema_arrow.names, columns)
                wanted = None if columns is None else list(columns)
                for batch in file.iter_batches(GROUP_ROWS, columns=wanted, use_threads=False):
                    yield batch if columns is None else batch.select(list(columns))
        else:
            source = pa.memory_map(str(path))  # left open: the batches are views of it
            reader = pa.ipc.open_file(source)
            _check_columns(path, reader.schema.names, columns)
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                yield batch if columns is None else batch.select(list(columns))
    except pa.ArrowInvalid as error:
        raise ArtifactError(f"{path}: damaged ({error}); delete the artifact and run its stage again") from None


def _check_columns(path: Path, found: list[str], columns: Sequence[str] | None) -> None:
    for name in columns or ():
        if name not in found:
            raise ArtifactError(f"{path}: no column {name!r}{suggest(name, found)}")
