"""Line files side by side: line k of train.en and line k of train.de are one row."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from textpipe.config import Section
from textpipe.errors import DataError
from textpipe.tables import textfile
from textpipe.tables.rows import Repairs, Rows

SUFFIXES = (".txt",)


class Config(Section):
    """format = "lines". The source is { en = "train.en", de = "train.de" }, or one file with the column "text"."""

    kind: Literal["lines"] = "lines"


def read(
    source: Path | dict[str, Path], config: Config, repairs: Repairs, wanted: Sequence[str | int]
) -> Iterator[Rows]:
    """Rows of the wanted files; raises DataError naming both counts when they have unequal numbers of lines."""
    files = source if isinstance(source, dict) else {"text": source}
    names = list(files)
    place = " and ".join(str(files[name]) for name in names)
    chosen = [files[names[number]] for number in textfile.columns_at(place, names, wanted)]
    leading = textfile.lines(chosen[0])
    others = [chain.from_iterable(lines for _, lines in textfile.lines(path)) for path in chosen[1:]]
    total = 0
    for number, lines in leading:
        columns = [lines, *(list(islice(other, len(lines))) for other in others)]
        if any(len(column) != len(lines) for column in columns):
            counts = [total + len(lines) + sum(len(more) for _, more in leading)]
            counts += [
                total + len(column) + sum(1 for _ in other) for column, other in zip(columns[1:], others, strict=True)
            ]
            raise unequal(chosen, counts)
        yield Rows(place, range(total, total + len(lines)), range(number, number + len(lines)), columns)
        total += len(lines)
    left = [sum(1 for _ in other) for other in others]
    if any(left):
        raise unequal(chosen, [total, *(total + more for more in left)])


def unequal(paths: Sequence[Path], counts: Sequence[int]) -> DataError:
    """The error that names every file and its number of lines."""
    parts = [f"{path} has {count:,} lines" for path, count in zip(paths, counts, strict=True)]
    return DataError(f"{' where '.join(parts)}; line k of each must be one row")
