"""Answers of several systems to the same rows: read from runs, or computed by SavedModels.

A run is a pipeline file, the directory of its evaluate artifact, or a predictions.jsonl; anything else is a SavedModel.
"""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from textpipe.cache import integrity
from textpipe.config import plugins
from textpipe.config.fields import Field
from textpipe.errors import ArtifactError, DataError, suggest
from textpipe.pipeline import runner
from textpipe.report.systems import PREDICTIONS, pipeline_file, short_names
from textpipe.savedmodel import description, locations

METRICS = "metrics.json"


@dataclass(frozen=True)
class Rows:
    """Cells of the source fields, {field: cell} of each row, and references, with their fields; answer: a module of answers/.

    A reference is a text, or a list if several answers are correct.
    """

    fields: tuple[Field, ...]
    target: Field
    answer: str
    inputs: list[dict[str, Any]]
    references: list[str | list[str]]

    def __len__(self) -> int:
        return len(self.inputs)

    @cached_property
    def sources(self) -> list[str]:
        """The cells of each row as one text: with several fields, "field: cell" for each."""
        return [joined(self.fields, row) for row in self.inputs]

    @property
    def view(self) -> ModuleType:
        """The module of views/ that shows the answers."""
        return view_of(self.answer)


@dataclass(frozen=True)
class Answers:
    """A system's answers and their scores, in the order of the rows."""

    name: str
    rows: Rows
    answers: list[str]
    scores: list[float | None]


def load(
    systems: Sequence[str], *, rows: str | None = None, artifacts: Path = runner.ARTIFACTS,
    overrides: Sequence[Sequence[str]] = (), names: Sequence[str] = (),
) -> list[Answers]:  # fmt: skip
    """The answers of every system, all to the same rows.

    overrides: the KEY=VALUE settings of each system that is a pipeline file; none by default.
    names: of the systems; derived from their paths by default.
    rows: input of SavedModels, a pipeline file (its test split) or a file with a column for each field; by default the rows
    of the first run. Raises DataError if there are no rows, or the rows of two systems differ.
    """
    settings = [tuple(assignments) for assignments in overrides] or [()] * len(systems)
    names = names or short_names(systems, settings)
    files = [predictions_file(system, artifacts, assigned) for system, assigned in zip(systems, settings, strict=True)]
    runs = {at: read_answers(names[at], file) for at, file in enumerate(files) if file}
    shared_rows = next((run.rows for run in runs.values()), None)
    for at in range(len(systems)):
        if at not in runs:
            locations.find_version(Path(systems[at]))  # before any model is loaded
    answers = []
    for at, system in enumerate(systems):
        if at not in runs:
            if shared_rows is None and rows is None:
                raise DataError(
                    f"{system}: is a model, and there are no rows for it to answer; give --rows PIPELINE or --rows FILE"
                )
            from textpipe.savedmodel.loader import Model

            model = Model.load(system)
            if rows is not None:
                shared_rows = read_rows(rows, model_fields(model.about, system), artifacts)
                rows = None
            elif shared_rows and (shown := next((item for item in shared_rows.fields if has_excerpts(item)), None)):
                raise DataError(
                    f"{system}: is a model, and a run has {shown.cells.PLURAL} in {shown.name!r} as words, which it cannot answer; "
                    "give --rows PIPELINE or --rows FILE"
                )
            assert shared_rows is not None
            runs[at] = predict_rows(names[at], model, shared_rows)
        answers.append(runs[at])
    for other in answers[1:]:
        check_same_rows(answers[0], other)
    if not len(answers[0].rows):
        raise DataError(f"{systems[0]}: has no rows to compare on")
    return answers


def predictions_file(system: str, artifacts: Path, overrides: tuple[str, ...] = ()) -> Path | None:
    """The predictions.jsonl of a run; None for a model."""
    path, file = Path(system), pipeline_file(system)
    if file:
        return stored_artifact(file, "evaluate", artifacts, overrides) / PREDICTIONS
    if path.suffix in (".jsonl", ".ndjson"):
        return path
    if not (path / PREDICTIONS).is_file():
        return None
    integrity.check(path)
    return path / PREDICTIONS


def stored_artifact(pipeline: Path, stage: str, artifacts: Path, overrides: tuple[str, ...] = ()) -> Path:
    """The stored result of a stage under a pipeline file's current settings; raises ArtifactError if there is none."""
    steps = runner.plan(runner.Pipeline.load(pipeline, overrides), until=stage, artifacts=artifacts, contents=True)
    if steps[-1].path is None:
        missing = next((step for step in steps if step.state == "run"), steps[-1])
        why = f"{missing.stage}: {'; '.join(missing.reasons)}"
        command = shlex.join(["textpipe", stage, str(pipeline), *(word for text in overrides for word in ("-s", text))])
        raise ArtifactError(f"{pipeline}: the result of {stage} is not in {artifacts} ({why}); run `{command}` first")
    return steps[-1].path


def read_answers(name: str, file: Path) -> Answers:
    """The answers of a run; raises DataError, naming the line, if one is not in the format of `evaluate`."""
    lines = list(json_objects(file))
    if not lines:
        raise DataError(f"{file}: has no rows")
    fields, target, answer = fields_and_answer(file, lines[0])
    for number, line in enumerate(lines, 1):
        for key in (*(item.name for item in fields if item.has_text), target.name, "answer"):
            if not isinstance(line.get(key), str):
                raise DataError(f"{file}, line {number}: expected a text under {key!r}, found {line.get(key)!r}")
        for item in fields:
            if item.name not in line:
                raise DataError(f"{file}, line {number}: expected a cell under {item.name!r}, found none")
    inputs = [{item.name: line[item.name] for item in fields} for line in lines]
    references = [references_of(line, target.name) for line in lines]
    answers, scores = [line["answer"] for line in lines], [line.get("score") for line in lines]
    return Answers(name, Rows(fields, target, answer, inputs, references), answers, scores)


def references_of(line: dict[str, Any], target: str) -> str | list[str]:
    """The reference of a line of predictions.jsonl: one text, or a list of several."""
    return line.get("references") or line[target]


def json_objects(file: Path) -> Iterator[dict[str, Any]]:
    """Read the objects of a file of JSON lines; raises DataError for anything else."""
    if not file.is_file():
        near = sorted(sibling.name for sibling in file.parent.glob("*.jsonl")) if file.parent.is_dir() else []
        raise DataError(f"{file}: no such file{suggest(file.name, near) if near else ''}")
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, text in enumerate(lines, 1):
            if not text.strip():
                continue
            try:
                value = json.loads(text)
            except ValueError as error:
                raise DataError(f"{file}, line {number}: not JSON ({error}); write one object per line") from None
            if not isinstance(value, dict):
                raise DataError(f"{file}, line {number}: expected an object, found {type(value).__name__}")
            yield value


def fields_and_answer(file: Path, line: dict[str, Any]) -> tuple[tuple[Field, ...], Field, str]:
    """The source fields and the target of a run, and its answer: those of its task, or of the task that matches the first line."""
    task = None
    if (file.parent / METRICS).is_file():
        task = json.loads((file.parent / METRICS).read_text(encoding="utf-8")).get("task")
    tasks = [task] if task else plugins.names("tasks")
    for module in (plugins.find("tasks", name) for name in tasks):
        if all(field.name in line for field in module.FIELDS):
            return sources_of(module.FIELDS), source_and_target(module.FIELDS)[1], module.ANSWER
    known = "; ".join(", ".join(field.name for field in plugins.find("tasks", name).FIELDS) for name in tasks)
    raise DataError(
        f"{file}, line 1: expected the fields of a task ({known}), found {', '.join(line)}; rename the keys"
    )


def source_and_target(fields: Sequence[Field]) -> tuple[Field, Field]:
    """The source and the target field."""
    source, target = (next(field for field in fields if field.side == side) for side in ("source", "target"))
    return source, target


def sources_of(fields: Sequence[Field]) -> tuple[Field, ...]:
    """The source fields."""
    return tuple(field for field in fields if field.side == "source")


def joined(fields: Sequence[Field], row: dict[str, Any]) -> str:
    """The cells of a row as one text, bytes as their kind's excerpt."""
    texts = [item.cells.excerpt(cell) if isinstance(cell := row[item.name], bytes) else str(cell) for item in fields]
    if len(texts) == 1:
        return texts[0]
    return "\n".join(f"{item.name}: {text}" for item, text in zip(fields, texts, strict=True))


def has_excerpts(item: Field) -> bool:
    """Whether a run's predictions.jsonl has other texts than the field's cells."""
    return hasattr(item.cells, "excerpt")


def view_of(answer: str) -> ModuleType:
    """The module of views/ that shows an answer."""
    return plugins.find("report.views", plugins.find("answers", answer).VIEW)


def model_fields(about: dict[str, Any], system: str) -> tuple[tuple[Field, ...], Field, str]:
    """The fields a model was trained on and its answer, from its textpipe.json."""
    try:
        fields = [Field(item["name"], item["side"], item["kind"]) for item in about["fields"]]
        return sources_of(fields), source_and_target(fields)[1], description.answer_kind(about)
    except (KeyError, TypeError, StopIteration):
        raise DataError(
            f"{system}: does not record which fields it was trained on, so no rows can be read for it; compare it with a "
            "run, whose rows it then answers"
        ) from None


def read_rows(path: str, fields: tuple[tuple[Field, ...], Field, str], artifacts: Path) -> Rows:
    """Rows for a model to answer: the test split of a pipeline file, or a file with columns named after the fields, whose cells
    are read as by `predict`. Raises DataError with file and line of a cell that cannot be read.
    """
    sources, target, answer = fields
    names = [*(item.name for item in sources), target.name]
    columns: list[list[Any]] = [[] for _ in names]
    if file := pipeline_file(path):
        from textpipe.data import shards

        folder = stored_artifact(file, "ingest", artifacts)
        for batch in shards.read(folder, "test"):
            for name, values in zip(names, columns, strict=True):
                if name not in batch.schema.names:
                    raise DataError(
                        f"{path}: has no field {name!r}, which the model needs; it has {batch.schema.names[1:]}"
                    )
                values += batch.column(name).to_pylist()
    else:
        from textpipe.data import sources as data_files
        from textpipe.data import text_file
        from textpipe.data.rows import Repairs
        from textpipe.inference.cells import CellReader

        text_file.check_exists(Path(path))
        kind = data_files.infer_format(path)
        if kind is None:
            raise DataError(f"{path}: cannot tell the format from the name; name it .tsv, .csv, .jsonl or .parquet")
        reader = CellReader.of({item.name: item.cells for item in sources}, Path(path).parent)
        options, repairs = plugins.find(data_files.PACKAGE, kind).Config(), Repairs(list_columns=reader.lists)
        for batch in data_files.read(Path(path), options, repairs, names, "test"):
            rows = repairs.repair(batch)
            for name, column, values in zip(names, rows.columns, columns, strict=True):
                values += [
                    reader.read_cell(name, cell, f"{path}, {rows.unit} {line}")
                    for line, cell in zip(rows.lines, column, strict=True)
                ]
    inputs = [dict(zip(names, row, strict=False)) for row in zip(*columns[:-1], strict=True)]
    return Rows(sources, target, answer, inputs, columns[-1])


def predict_rows(name: str, model: Any, rows: Rows) -> Answers:
    """A model's answers to rows."""
    predictions = model.predict(rows.inputs)
    if predictions and "answer" not in predictions[0]:
        raise DataError(f"{model.path}: gives {', '.join(predictions[0])} and no answer, so it cannot be compared")
    answers = [str(prediction["answer"]) for prediction in predictions]
    return Answers(name, rows, answers, [prediction.get("score") for prediction in predictions])


def check_same_rows(first: Answers, other: Answers) -> None:
    """Raise DataError, naming the first row that differs, unless two systems answered the same rows."""
    first_rows, other_rows = first.rows, other.rows
    cure = "both must be scored on the same rows in the same order"
    if first_rows.answer != other_rows.answer:
        raise DataError(
            f"{first.name} and {other.name}: one answers with a {first_rows.answer}, the other with a "
            f"{other_rows.answer}; compare runs of one task"
        )
    for name in ("sources", "references"):
        pairs = zip(getattr(first_rows, name), getattr(other_rows, name), strict=False)
        for number, (first_value, other_value) in enumerate(pairs, 1):
            if first_value != other_value:
                raise DataError(
                    f"{first.name} and {other.name}: their {name} differ from row {number} on, {str(first_value)[:60]!r} and "
                    f"{str(other_value)[:60]!r}; {cure}"
                )
    if len(first_rows) != len(other_rows):
        raise DataError(f"{first.name} and {other.name}: have {len(first_rows)} and {len(other_rows)} rows; {cure}")
