"""Answer files of any size in chunks, and resume interrupted runs.

Answers are appended to OUT.part and synced to disk after every chunk; OUT.part.json records the request. A run with the
same request resumes after the last complete record. OUT.part is renamed to OUT when the last row is answered.
"""

import contextlib
import errno
import fcntl
import itertools
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from textpipe.cache.store import write_atomically
from textpipe.errors import ArtifactError, ConfigError, DataError, ResourceError, suggest
from textpipe.inference import records

CHUNK_ROWS = 1024  # rows per write
INPUTS = "inputs"  # in --keep: all fields of the model
EARLIER = "earlier"  # in OUT.part.json: {earlier version of the model: rows answered when it was replaced}

Predict = Callable[[list[Any]], list[dict[str, Any]]]
MapChunks = Callable[[Predict, Iterator[list[Any]]], Iterator[list[dict[str, Any]]]]
OnProgress = Callable[[int, int], None]
Finish = Callable[[Path, Path], None]


def answer_file(
    predict: Predict,
    rows: Iterator[Any],
    output: Path,
    *,
    request: Mapping[str, Any],
    force: bool = False,
    chunk_rows: int = CHUNK_ROWS,
    file_format: str = "jsonl",
    new_version: bool = False,
    map_chunks: MapChunks = map,
    on_progress: OnProgress = lambda done, resumed: None,
    finish: Finish = os.replace,
    whole_chunks: bool = False,
) -> int:
    """Write an answer for each row to output; returns the number of rows.

    request: everything the answers depend on. An unfinished output of another request is refused, unless only the model's
    "version" differs and new_version is set. file_format: one of records.FORMATS. map_chunks: applies predict to chunks of rows,
    in order; that of an engine does so in several processes. on_progress(done, resumed): called after every chunk.
    finish(part, output): makes the output of OUT.part at the end. whole_chunks: resume after the last complete chunk, so that rows are
    answered in the same chunks as in an unbroken run, whose rounding, and so bytes, may depend on them. Raises
    ArtifactError if output exists and force is not set, or if another run is writing it, and ResourceError if the disk is full.
    """
    part, about = part_paths(output)
    with explain_full_disk(part):
        output.parent.mkdir(parents=True, exist_ok=True)
        with lock_part(output, part, force) as file:
            done = resumed = resume(part, about, request, file_format, new_version, chunk_rows if whole_chunks else 1)
            on_progress(done, resumed)
            for answers in map_chunks(predict, chunks(itertools.islice(rows, done, None), chunk_rows)):
                if not os.fstat(file.fileno()).st_size and answers:
                    file.write(records.encode_header(file_format, list(answers[0])))
                file.write(records.encode(file_format, answers))
                file.flush()
                os.fsync(file.fileno())
                done += len(answers)
                on_progress(done, resumed)
            finish(part, output)
            about.unlink()
    return done


def answer_stream(
    predict: Predict, rows: Iterator[Any], sink: BinaryIO, *, file_format: str = "jsonl", chunk_rows: int = CHUNK_ROWS,
    map_chunks: MapChunks = map, on_progress: OnProgress = lambda done, resumed: None,
) -> int:  # fmt: skip
    """Write an answer for each row to an open file, without resuming; returns the number of rows."""
    done = 0
    for answers in map_chunks(predict, chunks(rows, chunk_rows)):
        if not done and answers:
            sink.write(records.encode_header(file_format, list(answers[0])))
        sink.write(records.encode(file_format, answers))
        sink.flush()
        done += len(answers)
        on_progress(done, 0)
    return done


def chunks(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Rows as lists of at most `size`, as they arrive."""
    while batch := list(itertools.islice(rows, size)):
        yield batch


def part_paths(output: Path) -> tuple[Path, Path]:
    """OUT.part and OUT.part.json."""
    return output.with_name(output.name + ".part"), output.with_name(output.name + ".part.json")


@contextlib.contextmanager
def explain_full_disk(part: Path) -> Iterator[None]:
    """Turn a full disk into a ResourceError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ResourceError(
            f"{part}: the disk is full; the rows answered so far are kept; free some space and run the same command again"
        ) from None


@contextlib.contextmanager
def lock_part(output: Path, part: Path, force: bool) -> Iterator[BinaryIO]:
    """OUT.part, opened for appending and locked; raises ArtifactError if another run holds the lock."""
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = os.path.samestat(os.fstat(file.fileno()), part.stat())
        except (BlockingIOError, FileNotFoundError):  # another run holds it, or has just finished
            locked = False
        if not locked:
            raise ArtifactError(
                f"{part}: another run is writing this file; wait until it ends, or choose another output"
            )
        if output.exists() and not force:
            if not part.stat().st_size:
                part.unlink()
            raise ArtifactError(f"{output}: already exists; choose another file, or give --force to overwrite it")
        yield file


def check_output(output: Path, force: bool) -> None:
    """Raise ArtifactError or ResourceError, before any work, for an output that exists or cannot be written."""
    if output.is_dir():
        raise ArtifactError(f"{output}: is a directory; give the name of a file")
    if output.exists() and not force:
        raise ArtifactError(f"{output}: already exists; choose another file, or give --force to overwrite it")
    folder = next(folder for folder in output.absolute().parents if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ResourceError(f"{output}: {folder} is not a writable directory; choose another output")


def read_request(output: Path) -> dict[str, Any] | None:
    """The request of an interrupted run, None if there is none or it cannot be read."""
    part, about = part_paths(output)
    try:
        earlier = json.loads(about.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(earlier, dict) or not part.exists():
        return None
    named = re.fullmatch(r"(.+?)(?:/versions)?/([0-9]+)", str(earlier.get("model", "")))
    if "version" not in earlier and named:  # the format of earlier releases
        earlier |= {"model": named[1], "version": named[2]}
    return earlier


def resume(
    part: Path, about: Path, request: Mapping[str, Any], file_format: str, new_version: bool, multiple: int = 1
) -> int:
    """The number of complete records of an interrupted run for the same request, rounded down to a multiple; truncates the
    rest. Else starts a new OUT.part.
    """
    current = json.loads(json.dumps(request))
    earlier = read_request(part.with_name(part.name.removesuffix(".part")))
    if earlier is None and about.exists() and part.stat().st_size:
        raise ArtifactError(f"{about}: is damaged, so the request of {part} is unknown; delete both files")
    if earlier is None or not part.stat().st_size:
        os.truncate(part, 0)
        write_atomically(about, json.dumps(current, indent=1) + "\n")
        return 0
    versions = earlier.pop(EARLIER, {})
    changed = sorted(key for key in {*current, *earlier} if earlier.get(key) != current.get(key))
    if changed == ["version"] and not new_version:
        raise ArtifactError(
            f"{part}: was started with version {earlier.get('version')} of the model; give --model-version {current['version']} "
            f"to continue with that one, or delete {part.name} to start over"
        )
    if changed and changed != ["version"]:
        raise ArtifactError(
            f"{part}: was started for another request ({', '.join(changed)} changed); delete it, or choose another output"
        )
    with part.open("rb+") as file:
        count, end = records.count_complete(file_format, file, multiple)
        file.truncate(end)
    if changed:
        write_atomically(
            about, json.dumps({**current, EARLIER: {**versions, str(earlier.get("version")): count}}, indent=1) + "\n"
        )
    return count


def read_rows(
    path: Path, fields: tuple[str, ...], columns: Mapping[str, str | int], form: Any = None
) -> Iterator[dict[str, str]]:
    """The rows of a file by field, read as in [ingest]; a file of unknown format is read as one text per line.

    Raises DataError naming file and line, ConfigError for a field that the model does not have.
    """
    return (row for row, _ in read_rows_and_kept(path, fields, columns, form))


def read_rows_and_kept(
    path: Path,
    fields: tuple[str, ...],
    columns: Mapping[str, str | int],
    form: Any = None,
    keep: Sequence[str | int] = (),
    lists: Collection[str | int] = (),
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """The rows of a file by field, each with the cells to copy in front of its answer, by name.

    keep: columns of the file by name or number, fields of the model, and "inputs" for all fields. lists: the fields whose
    cells may be lists, which are given as JSON.
    """
    from textpipe.data import sources, statistics, text_file
    from textpipe.data.rows import Repairs

    for field in columns:
        if field not in fields:
            raise ConfigError(f"--columns {field}: the model has no such field{suggest(field, fields)}")
    names = list(dict.fromkeys(name for column in keep for name in (fields if column == INPUTS else (column,))))
    extra = [name for name in names if name not in fields]
    text_file.check_exists(path)
    file_format = form or sources.infer_format(path)
    column_names: list[str | int] = [columns.get(field, field) for field in fields]
    origin: sources.Source = path
    if file_format in (None, "lines"):
        if len(fields) > 1:
            raise DataError(
                f"{path}: the model reads {', '.join(fields)}, but lines of text hold only one field; give a table"
            )
        file_format, origin, column_names = "lines", {fields[0]: path}, [fields[0]]
    column_names += extra
    options = sources.format_options(path, file_format, given=form is not None)
    repairs = Repairs(list_columns=frozenset(columns.get(str(field), field) for field in lists))
    for chunk in sources.read(origin, options, repairs, column_names, "test"):
        chunk = repairs.repair(chunk)
        for values in zip(*chunk.columns, strict=True):
            cells = dict(zip((*fields, *extra), values, strict=True))
            yield {field: cells[field] for field in fields}, {str(name): cells[name] for name in names}
    statistics.log_repairs(path, repairs)


def read_lines(stream: BinaryIO, field: str, source: str) -> Iterator[dict[str, str]]:
    """The lines of an open file as they arrive, repaired as in ingest."""
    from textpipe.data import encodings, statistics
    from textpipe.data.rows import Repairs, Rows

    repairs = Repairs()
    for number, line in enumerate(stream):
        if number == 0:
            encodings.detect(source, line[:1024], encodings.UTF8)
        raw = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        text = raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")
        for repaired in zip(*repairs.repair(Rows(source, [number], [number + 1], [[text]])).columns, strict=True):
            yield {field: repaired[0]}
    statistics.log_repairs(source, repairs)


def answer_chunk(
    predict: Predict, batch: Sequence[tuple[Mapping[str, str], Mapping[str, str]]]
) -> list[dict[str, Any]]:
    """The answers to rows of read_rows_and_kept, each after the cells kept of its row."""
    answers = predict([row for row, _ in batch])
    for name in batch[0][1]:
        if name in answers[0]:
            raise ConfigError(f"--keep {name}: the model's answers also have {name!r}; rename the column of IN")
    return [{**kept_cells, **answer} for (_, kept_cells), answer in zip(batch, answers, strict=True)]


def fingerprint(path: Path) -> dict[str, Any]:
    """Identifies a file without reading it: path, size and modification time."""
    state = path.stat()
    return {"file": str(path.resolve()), "bytes": state.st_size, "mtime_ns": state.st_mtime_ns}
