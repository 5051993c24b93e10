"""Answer a file of any size: read and written piece by piece, and taken up again where a run was broken off.

Answers collect in OUT.part, a JSON object a line, forced to the disk after each piece; OUT.part.json says of what. A
run with the same question goes on behind the last whole line. OUT appears, whole, when the last row is answered.
"""

import contextlib
import fcntl
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from textpipe.errors import ArtifactError, ConfigError, DataError, suggest

PIECE = 1024  # rows answered between two writes

Predict = Callable[[list[dict[str, str]]], list[dict[str, Any]]]


def bulk(
    predict: Predict,
    rows: Iterator[dict[str, str]],
    output: Path,
    *,
    question: Mapping[str, Any],
    force: bool = False,
    piece: int = PIECE,
    told: Callable[[int, int], None] = lambda done, resumed: None,
) -> int:
    """Write an answer for each row to output; how many there are now.

    question: what the answers depend on; a part that was begun for another one is not gone on with. told(done,
    resumed): hears of every piece. Raises ArtifactError when output is there already and force is not set, or when
    another run is writing it.
    """
    part, about = output.with_name(output.name + ".part"), output.with_name(output.name + ".part.json")
    output.parent.mkdir(parents=True, exist_ok=True)
    with alone(output, part, force) as file:
        done = resumed = taken_up(part, about, question)
        told(done, resumed)
        rows = itertools.islice(rows, done, None)
        while batch := list(itertools.islice(rows, piece)):
            answers = predict(batch)
            file.write(
                b"".join(
                    json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for answer in answers
                )
            )
            file.flush()
            os.fsync(file.fileno())
            done += len(batch)
            told(done, resumed)
        os.replace(part, output)
        about.unlink()
    return done


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


def taken_up(part: Path, about: Path, question: Mapping[str, Any]) -> int:
    """Whole lines of an earlier run for the same question; a line that was cut is dropped. Else begins a new part."""
    if part.exists() and about.exists():
        try:
            before = json.loads(about.read_text(encoding="utf-8"))
        except ValueError:
            before = None
        if before != json.loads(json.dumps(question)):
            differ = sorted(key for key in question if not isinstance(before, dict) or before.get(key) != question[key])
            raise ArtifactError(
                f"{part}: was begun for another question ({', '.join(differ)} differ); delete it, or name another output"
            )
        with part.open("rb+") as file:
            count = end = 0
            for line in file:
                if not line.endswith(b"\n"):
                    break
                count, end = count + 1, end + len(line)
            file.truncate(end)
        return count
    os.truncate(part, 0)
    about.write_text(json.dumps(question, indent=1) + "\n", encoding="utf-8")
    return 0


def read(
    path: Path, fields: tuple[str, ...], columns: Mapping[str, str | int], form: Any = None
) -> Iterator[dict[str, str]]:
    """The rows of a file by field, as [ingest] reads them; a file whose name tells no format has a text on each line.

    Raises DataError naming file and line, ConfigError for a column of a field the model has not.
    """
    from textpipe.tables import sources, textfile
    from textpipe.tables.rows import Repairs

    for field in columns:
        if field not in fields:
            raise ConfigError(f"--columns {field}: the model has no such field{suggest(field, fields)}")
    textfile.must_exist(path)
    guessed = form or sources.guess(path)
    wanted: list[str | int] = [columns.get(field, field) for field in fields]
    origin: sources.Source = path
    if guessed in (None, "lines"):
        if len(fields) > 1:
            raise DataError(
                f"{path}: the model takes {', '.join(fields)}, which lines of text do not hold; give a table"
            )
        guessed, origin, wanted = "lines", {fields[0]: path}, [fields[0]]
    options = sources.options_of(path, guessed, given=form is not None)
    repairs = Repairs()
    for found in sources.read(origin, options, repairs, wanted, "test"):
        found = repairs.mend(found)
        for values in zip(*found.columns, strict=True):
            yield dict(zip(fields, values, strict=True))


def fingerprint(path: Path) -> dict[str, Any]:
    """What tells one file from another without reading it."""
    state = path.stat()
    return {"file": str(path.resolve()), "bytes": state.st_size, "changed": state.st_mtime_ns}
