"""What systems answered to the same rows: read from runs, or asked of SavedModels.

A run is a pipeline file, the directory of its evaluate artifact, or a predictions.jsonl; anything else is a SavedModel.
"""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from textpipe.cache import integrity
from textpipe.config import plugins
from textpipe.config.fields import Field
from textpipe.errors import ArtifactError, DataError, suggest
from textpipe.pipeline import runner
from textpipe.report.systems import PREDICTIONS, distinct, pipeline_file
from textpipe.savedmodel import description

METRICS = "metrics.json"


@dataclass(frozen=True)
class Rows:
    """What was asked: sources and what should be answered, and the two fields these are; answer: a module of answers/.

    A reference is a text, or a list where several answers are right.
    """

    source: Field
    target: Field
    answer: str
    sources: list[str]
    references: list[str | list[str]]

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def view(self) -> ModuleType:
        """How answers are shown: a module of views/."""
        return view_of(self.answer)


@dataclass(frozen=True)
class Answers:
    """A system's answers to rows, with the scores it gave them, in the rows' order."""

    name: str
    rows: Rows
    answers: list[str]
    scores: list[float | None]


def load(
    systems: Sequence[str], *, rows: str | None = None, artifacts: Path = runner.ARTIFACTS,
    overrides: Sequence[Sequence[str]] = (), names: Sequence[str] = (),
) -> list[Answers]:  # fmt: skip
    """The answers of every system, all to the same rows.

    overrides: of each system that is a pipeline file, the KEY=VALUE settings it was run with; none when left out.
    names: of the systems; made from their paths when left out.
    rows: what SavedModels are asked, a pipeline file (its test split) or a file with a column for each field; without
    it they are asked the rows of the first run. Raises DataError when the rows of two systems differ, or there are
    none.
    """
    given = [tuple(one) for one in overrides] or [()] * len(systems)
    names = names or distinct(systems, given)
    files = [predictions(system, artifacts, own) for system, own in zip(systems, given, strict=True)]
    runs = {at: read(names[at], file) for at, file in enumerate(files) if file}
    asked = next((run.rows for run in runs.values()), None)
    found = []
    for at, system in enumerate(systems):
        if at not in runs:
            if asked is None and rows is None:
                raise DataError(
                    f"{system}: is a model, and there are no rows to ask it; give --rows PIPELINE or --rows FILE"
                )
            from textpipe.savedmodel.loader import Model

            model = Model.load(system)
            if rows is not None:
                asked = rows_of(rows, fields_of(model.about, system), artifacts)
                rows = None
            assert asked is not None
            runs[at] = ask(names[at], model, asked)
        found.append(runs[at])
    for other in found[1:]:
        check(found[0], other)
    if not len(found[0].rows):
        raise DataError(f"{systems[0]}: has no rows to compare on")
    return found


def predictions(system: str, artifacts: Path, overrides: tuple[str, ...] = ()) -> Path | None:
    """The predictions.jsonl of a run; None when a path is that of a model."""
    path, file = Path(system), pipeline_file(system)
    if file:
        return artifact_of(file, "evaluate", artifacts, overrides) / PREDICTIONS
    if path.suffix in (".jsonl", ".ndjson"):
        return path
    if not (path / PREDICTIONS).is_file():
        return None
    integrity.check(path)
    return path / PREDICTIONS


def artifact_of(place: Path, stage: str, artifacts: Path, overrides: tuple[str, ...] = ()) -> Path:
    """The stored result of a stage of a pipeline file as it stands; raises ArtifactError when it is not built."""
    steps = runner.plan(runner.Pipeline.load(place, overrides), until=stage, artifacts=artifacts, contents=True)
    if steps[-1].path is None:
        reasons = next((step for step in steps if step.state == "run"), steps[-1])
        why = f"{reasons.stage}: {'; '.join(reasons.reasons)}"
        words = shlex.join(["textpipe", stage, str(place), *(word for one in overrides for word in ("-s", one))])
        raise ArtifactError(f"{place}: its {stage} is not in {artifacts} ({why}); run `{words}` first")
    return steps[-1].path


def read(name: str, file: Path) -> Answers:
    """The answers of a run; raises DataError, naming the line, when one is not as `evaluate` writes them."""
    lines = list(objects(file))
    if not lines:
        raise DataError(f"{file}: has no rows")
    source, target, answer = sides(file, lines[0])
    wanted = (source.name, target.name, "answer")
    for number, line in enumerate(lines, 1):
        for key in wanted:
            if not isinstance(line.get(key), str):
                raise DataError(f"{file}, line {number}: expected a text under {key!r}, found {line.get(key)!r}")
    sources, _, answers = ([line[key] for line in lines] for key in wanted)
    references = [references_of(line, target.name) for line in lines]
    return Answers(
        name, Rows(source, target, answer, sources, references), answers, [line.get("score") for line in lines]
    )


def references_of(line: dict[str, Any], target: str) -> str | list[str]:
    """What a line of predictions.jsonl should have answered: one text, or all that are right."""
    return line.get("references") or line[target]


def objects(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    if not file.is_file():
        near = sorted(other.name for other in file.parent.glob("*.jsonl")) if file.parent.is_dir() else []
        raise DataError(f"{file}: no such file{suggest(file.name, near) if near else ''}")
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, text in enumerate(lines, 1):
            if not text.strip():
                continue
            try:
                value = json.loads(text)
            except ValueError as error:
                raise DataError(f"{file}, line {number}: not JSON ({error}); write one object a line") from None
            if not isinstance(value, dict):
                raise DataError(f"{file}, line {number}: expected an object, found {type(value).__name__}")
            yield value


def sides(file: Path, line: dict[str, Any]) -> tuple[Field, Field, str]:
    """The source and the target field of a run and what it answers: its task's, or those of the task whose fields the first
    line has."""
    task = None
    if (file.parent / METRICS).is_file():
        task = json.loads((file.parent / METRICS).read_text(encoding="utf-8")).get("task")
    tasks = [task] if task else plugins.names("tasks")
    for module in (plugins.find("tasks", name) for name in tasks):
        if all(field.name in line for field in module.FIELDS):
            return *pair(module.FIELDS), module.ANSWER
    known = "; ".join(", ".join(field.name for field in plugins.find("tasks", name).FIELDS) for name in tasks)
    raise DataError(
        f"{file}, line 1: expected the fields of a task ({known}), found {', '.join(line)}; rename the keys"
    )


def pair(fields: Sequence[Field]) -> tuple[Field, Field]:
    """The source and the target field."""
    source, target = (next(field for field in fields if field.side == side) for side in ("source", "target"))
    return source, target


def view_of(answer: str) -> ModuleType:
    """The module of views/ that shows a kind of answer."""
    return plugins.find("report.views", plugins.find("answers", answer).VIEW)


def fields_of(about: dict[str, Any], system: str) -> tuple[Field, Field, str]:
    """The fields that a model says it was trained on, and what it answers."""
    try:
        found = pair([Field(item["name"], item["side"], item["kind"]) for item in about["fields"]])
        return *found, description.answer(about)
    except (KeyError, TypeError, StopIteration):
        raise DataError(
            f"{system}: does not say which fields it was trained on, so rows cannot be read for it; compare it with a "
            "run, whose rows it is then asked"
        ) from None


def rows_of(place: str, asked: tuple[Field, Field, str], artifacts: Path) -> Rows:
    """Rows to ask a model: the test split of a pipeline file, or a file with columns named after the fields."""
    source, target, answer = asked
    names = [source.name, target.name]
    columns: list[list[str]] = [[], []]
    if file := pipeline_file(place):
        from textpipe.data import shards

        folder = artifact_of(file, "ingest", artifacts)
        for batch in shards.read(folder, "test"):
            for name, values in zip(names, columns, strict=True):
                if name not in batch.schema.names:
                    raise DataError(
                        f"{place}: has no field {name!r}, which the model needs; it has {batch.schema.names[1:]}"
                    )
                values += batch.column(name).to_pylist()
    else:
        from textpipe.data import sources, text_file
        from textpipe.data.rows import Repairs

        text_file.must_exist(Path(place))
        kind = sources.guess(place)
        if kind is None:
            raise DataError(f"{place}: the format cannot be told from the name; name it .tsv, .csv, .jsonl or .parquet")
        options, repairs = plugins.find(sources.ROOM, kind).Config(), Repairs()
        for batch in sources.read(Path(place), options, repairs, names, "test"):
            for column, values in zip(repairs.mend(batch).columns, columns, strict=True):
                values += column
    return Rows(source, target, answer, columns[0], [*columns[1]])


def ask(name: str, model: Any, rows: Rows) -> Answers:
    """A model's answers to rows."""
    given = model.predict([{rows.source.name: text} for text in rows.sources])
    if given and "answer" not in given[0]:
        raise DataError(f"{model.path}: gives {', '.join(given[0])} and no answer, so it cannot be compared")
    return Answers(name, rows, [str(row["answer"]) for row in given], [row.get("score") for row in given])


def check(first: Answers, other: Answers) -> None:
    """Raise DataError, naming the first row that differs, unless two systems answered the same rows."""
    mine, theirs = first.rows, other.rows
    cure = "both must be scored on the same rows in the same order"
    if mine.answer != theirs.answer:
        raise DataError(
            f"{first.name} and {other.name}: one answers with a {mine.answer}, the other with a "
            f"{theirs.answer}; compare runs of one task"
        )
    for what in ("sources", "references"):
        for number, (ours, others) in enumerate(zip(getattr(mine, what), getattr(theirs, what), strict=False), 1):
            if ours != others:
                raise DataError(
                    f"{first.name} and {other.name}: their {what} differ from row {number} on, {str(ours)[:60]!r} and "
                    f"{str(others)[:60]!r}; {cure}"
                )
    if len(mine) != len(theirs):
        raise DataError(f"{first.name} and {other.name}: have {len(mine)} and {len(theirs)} rows; {cure}")
