"""Sharded rows on disk: one folder per split, shards of at most 100,000 rows, read as a stream.

    folder/train/00000.parquet  folder/train/00001.parquet ...      between ingest and tokenize
    folder/train/00000.arrow ...                                    after vectorize: memory-mapped, no decoding

The bytes of a shard depend only on its rows: settings are fixed and incoming batches are re-chunked, so a stage that
runs again writes identical files and later stages are not rerun.
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
GROUP_ROWS = 10_000  # rows per Parquet row group or Arrow record batch; divides SHARD_ROWS
GROUP_BYTES = 32 * 2**20  # groups of very long rows are smaller, so that a group always fits in memory
SUFFIXES = (".parquet", ".arrow")


class Writer:
    """Writes the rows of one split as shards.

        with Writer(folder, "train", schema) as writer:
            for batch in batches:
                writer.write(batch)             # pa.Table or pa.RecordBatch with exactly this schema

    A shard is renamed to its final name when it is complete; if the block raises, all shards of the split are removed.
    A split without rows gets one empty shard, which records the schema.

    number: write this shard alone, of at most SHARD_ROWS rows, beside others; what an interrupted attempt left is replaced.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str,
        schema: "pa.Schema",
        kind: Literal["parquet", "arrow"] = "parquet",
        *,
        number: int | None = None,
    ) -> None:
        assert split in SPLITS, split
        assert kind in ("parquet", "arrow"), kind
        self.folder = Path(folder) / split
        self.schema = schema
        self.kind = kind
        self.number = number
        self.rows = 0  # rows written so far, including buffered ones
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = self._pending_bytes = 0
        self._first = number or 0
        self._shard = self._first - 1
        self._sink: Any = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=self.number is not None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.close()
        except BaseException:
            self.discard()
            raise
        if error is not None:
            self.discard()

    def write(self, rows: "pa.Table | pa.RecordBatch") -> None:
        """Append rows, which are written to disk in groups of 10,000."""
        import pyarrow as pa

        assert rows.schema.equals(self.schema), f"{rows.schema}\nwhere the writer has\n{self.schema}"
        for batch in rows.to_batches() if isinstance(rows, pa.Table) else [rows]:
            start = 0
            while start < batch.num_rows:
                capacity = min(GROUP_ROWS - self._pending_rows, SHARD_ROWS - self.rows % SHARD_ROWS)
                chunk = batch.slice(start, capacity)
                start += chunk.num_rows
                self._pending.append(chunk)
                self._pending_rows += chunk.num_rows
                self._pending_bytes += chunk.nbytes
                self.rows += chunk.num_rows
                if chunk.num_rows == capacity or self._pending_bytes >= GROUP_BYTES:
                    self._flush()

    def close(self) -> None:
        """Write buffered rows and finish the last shard; called when the `with` block ends."""
        self._flush()
        if self._shard < self._first:
            self._open()
        self._finish()
        assert self.number is None or self._shard == self._first, f"{self.rows} rows in one shard"

    def discard(self) -> None:
        """Remove all shards of the split, or leave a single one unfinished."""
        if self._sink is not None:
            with contextlib.suppress(Exception):  # the disk may be full; the first error is the one to report
                self._sink.close()
            self._sink = None
        if self.number is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._pending_rows:
            return
        # Copied, not sliced: Arrow pads a slice with the bytes of the following rows, which would end up in the file.
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
            # Texts rarely repeat: a dictionary would be built, outgrown and discarded for every row group.
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


def paths(folder: str | Path, split: str) -> list[Path]:
    """Return the shards of a split in row order; [] if there is no such split."""
    folder = Path(folder) / split
    files = [path for path in folder.glob("[0-9]*") if path.suffix in SUFFIXES]
    return sorted(files, key=lambda path: (len(path.name), path.name))  # 99999 is followed by 100000


def files_of(folder: str | Path, split: str, number: int) -> list[Path]:
    """The file of one shard, without listing the others; [] if there is no such shard."""
    files = (Path(folder) / split / f"{number:05d}{suffix}" for suffix in SUFFIXES)
    return [path for path in files if path.exists()]


def numbered(folder: str | Path) -> list[tuple[str, int]]:
    """Return all shards of a folder as (split, number), for `runtime.engine.map_shards`."""
    return [(split, number) for split in SPLITS for number in range(len(paths(folder, split)))]


def schema(folder: str | Path, split: str) -> "pa.Schema":
    """Return the schema of a split. Raises ArtifactError if it has no shards."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = files_of(folder, split, 0)
    if not files:
        raise ArtifactError(f"{Path(folder) / split}: no shards; run the stage that writes them")
    if files[0].suffix == ".parquet":
        return pq.read_schema(files[0])
    with pa.memory_map(str(files[0])) as source:
        return pa.ipc.open_file(source).schema


def read(
    folder: str | Path, split: str, columns: Sequence[str] | None = None, *, number: int | None = None
) -> "Iterator[pa.RecordBatch]":
    """Yield the rows of a split in order, as record batches of 1 to 10,000 rows; none if there is no such split.

    columns: the columns to read, in this order; all if None. number: of the only shard to read. Arrow shards are memory-mapped,
    not copied.
    """
    for path in paths(folder, split) if number is None else files_of(folder, split, number):
        for batch in _batches(path, columns):
            for start in range(0, batch.num_rows, GROUP_ROWS):
                yield batch.slice(start, GROUP_ROWS)


def sample(folder: str | Path, split: str, columns: Sequence[str], count: int) -> dict[str, list[Any]]:
    """At most `count` rows of a split, evenly spaced over its first record batch: {column: cells}; empty lists without rows."""
    rows = next(read(folder, split, columns), None)
    total = rows.num_rows if rows is not None else 0
    positions = [at * total // min(count, total) for at in range(min(count, total))]
    return {name: [rows[name][at].as_py() for at in positions] if rows is not None else [] for name in columns}


def count_rows(folder: str | Path, split: str) -> int:
    """Return the number of rows of a split, from the shards' footers; 0 if there is no such split."""
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
                selected = None if columns is None else list(columns)
                for batch in file.iter_batches(GROUP_ROWS, columns=selected, use_threads=False):
                    yield batch if columns is None else batch.select(list(columns))
        else:
            source = pa.memory_map(str(path))  # left open because the batches are views of it
            reader = pa.ipc.open_file(source)
            _check_columns(path, reader.schema.names, columns)
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                yield batch if columns is None else batch.select(list(columns))
    except pa.ArrowInvalid as error:
        raise ArtifactError(f"{path}: damaged ({error}); delete the artifact and run its stage again") from None


def _check_columns(path: Path, names: list[str], columns: Sequence[str] | None) -> None:
    for name in columns or ():
        if name not in names:
            raise ArtifactError(f"{path}: no column {name!r}{suggest(name, names)}")
