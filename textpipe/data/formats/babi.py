"""The bAbI tasks' own files: numbered lines, and questions with answers and supporting facts behind tabs.

1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary?        bathroom        1

Number 1 begins a new story. A question is asked about the sentences before it. Columns: story (one sentence per line), question, answer
("milk,football": a list is one answer), supporting (the numbers of the supporting sentences within the story, from 1, "1 3"), task (the
number in the file's name, "qa1_..." -> "1", else the name without that of its split).

Weston et al. 2015, Towards AI-Complete Question Answering: A Set of Prerequisite Toy Tasks.
"""

import fnmatch
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from textpipe.config.sections import Section
from textpipe.data import text_file
from textpipe.data.rows import BATCH_ROWS, Repairs, Rows
from textpipe.errors import DataError

SUFFIXES: tuple[str, ...] = ()  # the files end in .txt, as others do: name the format
COLUMNS = ("story", "question", "answer", "supporting", "task")
NUMBERED = re.compile(r"(\d+) (.*)")
TASK = re.compile(r"qa(\d+)_")
OF_SPLIT = re.compile(r"_(train|valid|test)$")


class Config(Section):
    """format = "babi". Reads a file, a folder of files or a tar archive.

    tasks: numbers of the tasks to read from a folder or an archive; all by default.
    pattern: glob pattern of the file names; by default "*_train.txt" for train and valid and "*_test.txt" for test.
    """

    kind: Literal["babi"] = "babi"
    tasks: list[int] = []
    pattern: str | None = None


def for_split(config: Config, split: str) -> Config:
    """The options for a split: with the files of that split."""
    default = "*_test.txt" if split == "test" else "*_train.txt"
    return config if config.pattern else config.model_copy(update={"pattern": default})


def read(source: Path, config: Config, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield the requested columns, one row per question; tasks in the order of their numbers."""
    indices = text_file.column_indices(str(source), COLUMNS, columns)
    rows, count = Rows(str(source), [], [], [[] for _ in columns]), 0
    for name, lines in files(source, config):
        rows = Rows(f"{source}/{name}" if name else str(source), [], [], [[] for _ in columns])
        for number, cells in questions(rows.source, task_of(name or source.name), lines, repairs):
            for column, index in zip(rows.columns, indices, strict=True):
                column.append(cells[index])
            rows.positions.append(count)
            rows.lines.append(number)
            count += 1
            if len(rows) == BATCH_ROWS:
                yield rows
                rows = Rows(rows.source, [], [], [[] for _ in columns])
        yield rows
    if not count:
        raise DataError(f"{source}: no questions; expected lines such as 3 Where is Mary?<TAB>bathroom<TAB>1")


def files(source: Path, config: Config) -> Iterator[tuple[str, Iterable[str]]]:
    """(name, lines) of each file: of a folder or an archive those of the tasks that match the pattern; else the file itself, named ""."""
    text_file.check_exists(source)
    if not source.is_dir() and not tarfile.is_tarfile(source):
        yield "", [line for _, block in text_file.lines(source) for line in block]
        return
    if source.is_dir():
        paths = {path.relative_to(source).as_posix(): path for path in source.rglob("*") if path.is_file()}
        chosen = chosen_names(source, paths, config)
        for name in chosen:
            yield name, [line for _, block in text_file.lines(paths[name]) for line in block]
        return
    with tarfile.open(source) as archive:
        members = {member.name: member for member in archive.getmembers() if member.isfile()}
        for name in chosen_names(source, members, config):
            file = archive.extractfile(members[name])
            assert file is not None
            yield name, text_file.decode(file.read()).splitlines()


def chosen_names(source: Path, names: Iterable[str], config: Config) -> list[str]:
    """The names that match the pattern and tasks, by number. Raises DataError if a task has no file or there is none at all."""
    pattern = config.pattern or "*.txt"
    matching = [name for name in names if fnmatch.fnmatch(name.rsplit("/", 1)[-1], pattern)]
    numbers = {name: int(task) if (task := task_of(name)).isdigit() else 0 for name in matching}
    if missing := sorted(set(config.tasks) - set(numbers.values())):
        known = ", ".join(map(str, sorted(set(numbers.values()))))
        raise DataError(f"{source}: no file {pattern} of task {missing[0]}; it has tasks {known or 'none'}")
    chosen = [name for name in matching if not config.tasks or numbers[name] in config.tasks]
    if not chosen:
        raise DataError(f"{source}: no file matches {pattern}; set format.pattern")
    return sorted(chosen, key=lambda name: (numbers[name], name))


def task_of(name: str) -> str:
    """ "en/qa12_conjunction_train.txt" -> "12", "where_train.txt" -> "where"."""
    file = name.rsplit("/", 1)[-1]
    numbered = TASK.match(file)
    return numbered[1] if numbered else OF_SPLIT.sub("", file.split(".", 1)[0])


def questions(
    place: str, task: str, lines: Iterable[str], repairs: Repairs
) -> Iterator[tuple[int, tuple[str, str, str, str, str]]]:
    """(line number, cells in the order of COLUMNS) of each question. Lines that fit no rule, and questions about nothing, are bad rows."""
    story: list[str] = []
    numbers: dict[int, int] = {}  # number of a line -> of its sentence
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parsed = NUMBERED.match(line)
        if parsed is None:
            repairs.bad_row(
                f"{place}, line {at}",
                "does not start with a number",
                "write the number of the line in its story, then a space",
            )
            continue
        number = int(parsed[1])
        if number == 1:
            story, numbers = [], {}
        text, *cells = parsed[2].split("\t")
        if not cells:
            story.append(text.strip())
            numbers[number] = len(story)
            continue
        if not story or not text.strip() or not cells[0].strip():
            missing = "sentence before it" if not story else "text" if not text.strip() else "answer"
            repairs.bad_row(f"{place}, line {at}", f"a question without {missing}", "correct the line")
            continue
        facts = cells[1].split() if len(cells) > 1 else []
        supporting = " ".join(str(numbers[int(fact)]) for fact in facts if fact.isdigit() and int(fact) in numbers)
        yield at, ("\n".join(story), text.strip(), cells[0].strip(), supporting, task)
