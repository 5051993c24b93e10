"""Parallel line files: line k of train.en and line k of train.de form one row."""

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
FIRST_STEP = 100  # lines read from each file at first; lines of the other files may be much longer
MAX_STEP = 1_000  # lines read at a time once lines have proved short
MAX_CHARACTERS = 1 << 24  # characters of all files held in memory at once


class Config(Section):
    """format = "lines". The source is { en = "train.en", de = "train.de" }, or one file whose lines are the column "text".

    member: the file inside a zip archive; the same name is used for all archives.
    """

    kind: Literal["lines"] = "lines"
    member: str | None = None


def read(
    source: Path | dict[str, Path], config: Config, repairs: Repairs, columns: Sequence[str | int]
) -> Iterator[Rows]:
    """Yield rows of parallel files. Raises DataError with the line counts if they differ."""
    files = source if isinstance(source, dict) else {"text": source}
    names = list(files)
    source_names = " and ".join(str(files[name]) for name in names)
    paths = [files[names[index]] for index in text_file.column_indices(source_names, names, columns)]
    first = text_file.lines(paths[0], config.member, repairs)
    other_files = [
        chain.from_iterable(lines for _, lines in text_file.lines(path, config.member, repairs)) for path in paths[1:]
    ]
    total, step = 0, FIRST_STEP
    for _, lines in first:
        batch: list[list[str]] = [[] for _ in paths]
        size = start = 0
        while start < len(lines):
            chunk = [lines[start : start + step]]
            start += len(chunk[0])
            chunk += [list(islice(lines_of_file, len(chunk[0]))) for lines_of_file in other_files]
            if any(len(column) != len(chunk[0]) for column in chunk):
                read_so_far = total + len(batch[0])
                counts = [total + len(lines) + sum(len(rest) for _, rest in first)]
                counts += [
                    read_so_far + len(column) + sum(1 for _ in lines_of_file)
                    for column, lines_of_file in zip(chunk[1:], other_files, strict=True)
                ]
                raise line_count_error(paths, counts)
            for column, new_lines in zip(batch, chunk, strict=True):
                column += new_lines
            characters = sum(len(line) for column in chunk for line in column)
            step = max(1, min(MAX_STEP, MAX_CHARACTERS // 16 * len(chunk[0]) // (characters + 1)))
            size += characters
            if size > MAX_CHARACTERS:
                yield make_rows(source_names, total, batch)
                total += len(batch[0])
                batch, size = [[] for _ in paths], 0
        yield make_rows(source_names, total, batch)
        total += len(batch[0])
    remaining = [sum(1 for _ in lines_of_file) for lines_of_file in other_files]
    if any(remaining):
        raise line_count_error(paths, [total, *(total + count for count in remaining)])


def make_rows(source_names: str, start: int, columns: list[list[str]]) -> Rows:
    """Build rows from columns of lines; start: number of lines before them."""
    stop = start + len(columns[0])
    return Rows(source_names, list(range(start, stop)), list(range(start + 1, stop + 1)), columns)


def line_count_error(paths: Sequence[Path], counts: Sequence[int]) -> DataError:
    """Return the error that lists every file and its number of lines."""
    parts = [f"{path} has {count:,} lines" for path, count in zip(paths, counts, strict=True)]
    return DataError(f"{' where '.join(parts)}; line k of each must be one row")
