"""Line files side by side: line k of train.en and line k of train.de are one row."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from textpipe.config.sections import Section
from textpipe.data import text_file
from textpipe.data.rows import Repairs, Rows
from textpipe.errors import DataError

SUFFIXES = (".txt",)
TAKES_ENCODING = True
FIRST_STEP = 100  # lines taken from each file at first: the others' may be long where the first file's are short
MAX_STEP = 1_000  # taken at a time where lines turn out short
MAX_CHARACTERS = 1 << 24  # of lines side by side that are held at once


class Config(Section):
    """format = "lines". The source is { en = "train.en", de = "train.de" }, or one file with the column "text".

    member: the file inside a zip archive, of the same name in each.
    """

    kind: Literal["lines"] = "lines"
    member: str | None = None


def read(
    source: Path | dict[str, Path], config: Config, repairs: Repairs, wanted: Sequence[str | int]
) -> Iterator[Rows]:
    """Rows of the wanted files; raises DataError naming both counts when they have unequal numbers of lines."""
    files = source if isinstance(source, dict) else {"text": source}
    names = list(files)
    place = " and ".join(str(files[name]) for name in names)
    chosen = [files[names[number]] for number in text_file.columns_at(place, names, wanted)]
    leading = text_file.lines(chosen[0], config.member, repairs)
    others = [
        chain.from_iterable(lines for _, lines in text_file.lines(path, config.member, repairs)) for path in chosen[1:]
    ]
    total, step = 0, FIRST_STEP
    for _, lines in leading:
        columns: list[list[str]] = [[] for _ in chosen]
        size = start = 0
        while start < len(lines):
            part = [lines[start : start + step]]
            start += len(part[0])
            part += [list(islice(other, len(part[0]))) for other in others]
            if any(len(column) != len(part[0]) for column in part):
                held = total + len(columns[0])
                counts = [total + len(lines) + sum(len(more) for _, more in leading)]
                counts += [
                    held + len(column) + sum(1 for _ in other) for column, other in zip(part[1:], others, strict=True)
                ]
                raise line_count_error(chosen, counts)
            for column, more in zip(columns, part, strict=True):
                column += more
            taken = sum(len(line) for more in part for line in more)
            step = max(1, min(MAX_STEP, MAX_CHARACTERS // 16 * len(part[0]) // (taken + 1)))
            size += taken
            if size > MAX_CHARACTERS:
                yield make_rows(place, total, columns)
                total += len(columns[0])
                columns, size = [[] for _ in chosen], 0
        yield make_rows(place, total, columns)
        total += len(columns[0])
    left = [sum(1 for _ in other) for other in others]
    if any(left):
        raise line_count_error(chosen, [total, *(total + more for more in left)])


def make_rows(place: str, start: int, columns: list[list[str]]) -> Rows:
    """Rows from the line after `start` on."""
    stop = start + len(columns[0])
    return Rows(place, list(range(start, stop)), list(range(start + 1, stop + 1)), columns)


def line_count_error(paths: Sequence[Path], counts: Sequence[int]) -> DataError:
    """The error that names every file and its number of lines."""
    parts = [f"{path} has {count:,} lines" for path, count in zip(paths, counts, strict=True)]
    return DataError(f"{' where '.join(parts)}; line k of each must be one row")
