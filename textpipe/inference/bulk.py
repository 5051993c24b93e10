"""Answer a file of any size: read and written piece by piece, and taken up again where a run was broken off.

Answers collect in OUT.part, forced to the disk after each piece; OUT.part.json says of what. A run with the same question
goes on behind the last whole record. OUT appears, whole, when the last row is answered.
"""

import contextlib
import errno
import fcntl
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from textpipe.cache.store import write_atomically
from textpipe.errors import ArtifactError, ConfigError, DataError, ResourceError, suggest
from textpipe.inference import records

PIECE = 1024  # rows answered between two writes
INPUTS = "inputs"  # to keep: all fields of the model
EARLIER = "earlier"  # in OUT.part.json: {version of the model: rows answered until it was left}

Predict = Callable[[list[Any]], list[dict[str, Any]]]
Told = Callable[[int, int], None]


def bulk(
    predict: Predict,
    rows: Iterator[Any],
    output: Path,
    *,
    question: Mapping[str, Any],
    force: bool = False,
    piece: int = PIECE,
    kind: str = "jsonl",
    new_version: bool = False,
    told: Told = lambda done, resumed: None,
) -> int:
    """Write an answer for each row to output; how many there are now.

    question: what the answers depend on; a part that was begun for another one is not gone on with, unless only the
    model's "version" differs and new_version is set. kind: of records.KINDS. told(done, resumed): hears of every piece.
    Raises ArtifactError when output is there already and force is not set, or when another run is writing it, and
    ResourceError when the disk is full.
    """
    part, about = parts_of(output)
    with kept_when_full(part):
        output.parent.mkdir(parents=True, exist_ok=True)
        with alone(output, part, force) as file:
            done = resumed = taken_up(part, about, question, kind, new_version)
            told(done, resumed)
            rows = itertools.islice(rows, done, None)
            while batch := list(itertools.islice(rows, piece)):
                answers = predict(batch)
                if not os.fstat(file.fileno()).st_size and answers:
                    file.write(records.header(kind, list(answers[0])))
                file.write(records.encoded(kind, answers))
                file.flush()
                os.fsync(file.fileno())
                done += len(batch)
                told(done, resumed)
            os.replace(part, output)
            about.unlink()
    return done


def stream(
    predict: Predict, rows: Iterator[Any], sink: BinaryIO, *, kind: str = "jsonl", piece: int = PIECE,
    told: Told = lambda done, resumed: None,
) -> int:  # fmt: skip
    """Write an answer for each row to an open file, nothing kept for another run; how many there are."""
    done = 0
    while batch := list(itertools.islice(rows, piece)):
        answers = predict(batch)
        if not done and answers:
            sink.write(records.header(kind, list(answers[0])))
        sink.write(records.encoded(kind, answers))
        sink.flush()
        done += len(batch)
        told(done, 0)
    return done


def parts_of(output: Path) -> tuple[Path, Path]:
    """OUT.part and OUT.part.json."""
    return output.with_name(output.name + ".part"), output.with_name(output.name + ".part.json")


@contextlib.contextmanager
def kept_when_full(part: Path) -> Iterator[None]:
    """A full disk as an error with its cure."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ResourceError(
            f"{part}: the disk is full; the rows answered so far are kept: free some space, and the same command goes on"
        ) from None


@contextlib.contextmanager
def alone(output: Path, part: Path, force: bool) -> Iterator[BinaryIO]:
    """The part, open at its end, for nobody else as long as it is; raises ArtifactError when another run has it."""
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.path.samestat(os.fstat(file.fileno()), part.stat())
        except (BlockingIOError, FileNotFoundError):  # at work, or done this moment
            ours = False
        if not ours:
            raise ArtifactError(f"{part}: another run is writing it; wait for that, or name another output")
        if output.exists() and not force:
            if not part.stat().st_size:
                part.unlink()
            raise ArtifactError(f"{output}: is there already; name another file, or give --force to replace it")
        yield file


def begun(output: Path) -> dict[str, Any] | None:
    """The question that an earlier run was broken off at, None when there is none or it cannot be read."""
    part, about = parts_of(output)
    try:
        before = json.loads(about.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(before, dict) or not part.exists():
        return None
    named = re.fullmatch(r"(.+?)(?:/versions)?/([0-9]+)", str(before.get("model", "")))
    if "version" not in before and named:  # as earlier versions wrote it
        before |= {"model": named[1], "version": named[2]}
    return before


def taken_up(part: Path, about: Path, question: Mapping[str, Any], kind: str, new_version: bool) -> int:
    """Whole records of an earlier run for the same question; one that was cut is dropped. Else begins a new part."""
    asked = json.loads(json.dumps(question))
    before = begun(part.with_name(part.name.removesuffix(".part")))
    if before is None and about.exists() and part.stat().st_size:
        raise ArtifactError(f"{about}: is damaged, so what {part} was begun for is not known; delete both")
    if before is None:
        os.truncate(part, 0)
        write_atomically(about, json.dumps(asked, indent=1) + "\n")
        return 0
    earlier = before.pop(EARLIER, {})
    differ = sorted(key for key in {*asked, *before} if before.get(key) != asked.get(key))
    if differ == ["version"] and not new_version:
        raise ArtifactError(
            f"{part}: was begun with version {before.get('version')} of the model; give --model-version {asked['version']} to "
            f"go on with that one, or delete {part.name} to begin again"
        )
    if differ and differ != ["version"]:
        raise ArtifactError(
            f"{part}: was begun for another question ({', '.join(differ)} differ); delete it, or name another output"
        )
    with part.open("rb+") as file:
        count, end = records.whole(kind, file)
        file.truncate(end)
    if differ:
        write_atomically(
            about, json.dumps({**asked, EARLIER: {**earlier, str(before.get("version")): count}}, indent=1) + "\n"
        )
    return count


def read(
    path: Path, fields: tuple[str, ...], columns: Mapping[str, str | int], form: Any = None
) -> Iterator[dict[str, str]]:
    """The rows of a file by field, as [ingest] reads them; a file whose name tells no format has a text on each line.

    Raises DataError naming file and line, ConfigError for a column of a field the model has not.
    """
    return (row for row, _ in read_kept(path, fields, columns, form))


def read_kept(
    path: Path,
    fields: tuple[str, ...],
    columns: Mapping[str, str | int],
    form: Any = None,
    keep: Sequence[str | int] = (),
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """The rows of a file by field, and of each what is to be repeated beside its answer, by name.

    keep: columns of the file by name or number, fields of the model, and "inputs" for all of these.
    """
    from textpipe.data import sources, statistics, text_file
    from textpipe.data.rows import Repairs

    for field in columns:
        if field not in fields:
            raise ConfigError(f"--columns {field}: the model has no such field{suggest(field, fields)}")
    names = list(dict.fromkeys(name for asked in keep for name in (fields if asked == INPUTS else (asked,))))
    further = [name for name in names if name not in fields]
    text_file.must_exist(path)
    guessed = form or sources.guess(path)
    wanted: list[str | int] = [columns.get(field, field) for field in fields]
    origin: sources.Source = path
    if guessed in (None, "lines"):
        if len(fields) > 1:
            raise DataError(
                f"{path}: the model takes {', '.join(fields)}, which lines of text do not hold; give a table"
            )
        guessed, origin, wanted = "lines", {fields[0]: path}, [fields[0]]
    wanted += further
    options = sources.options_of(path, guessed, given=form is not None)
    repairs = Repairs()
    for found in sources.read(origin, options, repairs, wanted, "test"):
        found = repairs.mend(found)
        for values in zip(*found.columns, strict=True):
            cells = dict(zip((*fields, *further), values, strict=True))
            yield {field: cells[field] for field in fields}, {str(name): cells[name] for name in names}
    statistics.tell(path, repairs)


def lines(stream: BinaryIO, field: str, place: str) -> Iterator[dict[str, str]]:
    """Lines of an open file as they come, mended as ingest does."""
    from textpipe.data import encodings, statistics
    from textpipe.data.rows import Repairs, Rows

    repairs = Repairs()
    for number, line in enumerate(stream):
        if number == 0:
            encodings.of_start(place, line[:1024], encodings.UTF8)
        raw = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        text = raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")
        for mended in zip(*repairs.mend(Rows(place, [number], [number + 1], [[text]])).columns, strict=True):
            yield {field: mended[0]}
    statistics.tell(place, repairs)


def answered(predict: Predict, batch: Sequence[tuple[Mapping[str, str], Mapping[str, str]]]) -> list[dict[str, Any]]:
    """The answers to rows of read_kept, what is kept of each row before its answer."""
    answers = predict([row for row, _ in batch])
    for name in batch[0][1]:
        if name in answers[0]:
            raise ConfigError(
                f"--keep {name}: the model's answers have a {name!r} of their own; rename the column of IN"
            )
    return [{**kept, **answer} for (_, kept), answer in zip(batch, answers, strict=True)]


def fingerprint(path: Path) -> dict[str, Any]:
    """What tells one file from another without reading it."""
    state = path.stat()
    return {"file": str(path.resolve()), "bytes": state.st_size, "changed": state.st_mtime_ns}
