"""One run of `textpipe augment`: texts -> model -> rows in a file that [ingest.synthetic] reads.

backward: a model of the opposite direction translates texts of the target language (Sennrich, Haddow and Birch 2016, Improving Neural Machine
Translation Models with Monolingual Data); the text is the target of the row, its translation the source. forward: a teacher translates
sources, and its answers are the targets (Kim and Rush 2016, Sequence-Level Knowledge Distillation).
"""

import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from textpipe.augmentation.languages import MAX_TEXTS, LanguagePair
from textpipe.augmentation.noise import Noise
from textpipe.augmentation.texts import HeldOut, TextFilter
from textpipe.cache.store import write_atomically
from textpipe.config import plugins
from textpipe.config.fields import Field
from textpipe.data import shards
from textpipe.errors import ConfigError, DataError, ModelError
from textpipe.inference import records
from textpipe.savedmodel import manifest

BACKWARD, FORWARD = "backward", "forward"
DIRECTIONS = (BACKWARD, FORWARD)
FORMATS = ("jsonl", "csv")  # of the rows; ingest reads every text in them as it is
ORIGIN = "origin"  # a column of the rows: the direction
CHUNK_ROWS = 1024  # rows filtered at once
PROBE_ROWS = 64  # training rows whose translation shows the direction of a model
MAX_WRONG = 0.5  # of their translations in another language

MakeRow = Callable[[str, str], dict[str, str]]


@dataclasses.dataclass(frozen=True)
class Job:
    """What a run does. source, target: fields of the pipeline; ingested: the result of its ingest; languages: of the texts to be
    translated and of their translations.
    """

    direction: str
    source: Field
    target: Field
    ingested: Path
    languages: LanguagePair
    noise: Noise
    seed: int

    @property
    def text_field(self) -> Field:
        """The field that has the texts; the model writes the other one."""
        return self.target if self.direction == BACKWARD else self.source

    @property
    def answer_field(self) -> Field:
        """The field that the model writes."""
        return self.source if self.direction == BACKWARD else self.target

    def row(self, text: str, answer: str) -> dict[str, str]:
        """The synthetic row of a text and the model's answer."""
        cells = {self.text_field.name: text, self.answer_field.name: answer}
        return {
            self.source.name: cells[self.source.name],
            self.target.name: cells[self.target.name],
            ORIGIN: self.direction,
        }

    def with_noise(self, row: dict[str, str]) -> dict[str, str]:
        """A row with noise in its source."""
        return {**row, self.source.name: self.noise.apply(row[self.source.name], self.seed)}

    def held_out(self, field: Field) -> HeldOut:
        """The texts of a field in valid and test."""
        return HeldOut(
            batch.column(0).to_pylist()
            for split in ("valid", "test")
            for batch in shards.read(self.ingested, split, [field.name])
        )

    def training_texts(self) -> Iterator[str]:
        """The texts of train that the model translates."""
        for batch in shards.read(self.ingested, "train", [self.text_field.name]):
            yield from batch.column(0).to_pylist()


def text_fields(task: str) -> tuple[Field, Field]:
    """The source and the target of a task. Raises ConfigError for one that has not one source text and a target text."""
    fields = plugins.find("tasks", task).FIELDS
    target = next(item for item in fields if item.side == "target")
    source, *more = [item for item in fields if item.side == "source"]
    alike = all(item.has_text and item.cells.FEATURE == target.cells.FEATURE for item in (source, target))
    if more or not alike or target.column_of is not None:
        raise ConfigError(
            f"task {task!r}: expected one source text and a target text, as translate and reply have; use such a pipeline"
        )
    return source, target


def create(direction: str, task: str, ingested: Path, noise: Noise, seed: int) -> Job:
    """The job of a pipeline, with the languages of its training rows. Raises ConfigError as text_fields does."""
    source, target = text_fields(task)
    texts: list[list[str]] = [[], []]
    for batch in shards.read(ingested, "train", [source.name, target.name]):
        for column, values in zip(texts, batch.columns, strict=True):
            column += values.to_pylist()
        if len(texts[0]) >= MAX_TEXTS:
            break
    pair = LanguagePair.learn(texts[1][:MAX_TEXTS], texts[0][:MAX_TEXTS])
    return Job(direction, source, target, ingested, pair if direction == BACKWARD else pair.swapped(), noise, seed)


def check_model(job: Job, model: Any, predict: Any, name: str, max_foreign: float) -> None:
    """Raise ModelError for a model that does not generate texts from one text, or that writes another language than the pipeline's.

    model: a loaded or served one; predict(texts) -> answers; name: in messages.
    """
    if len(model.fields) != 1 or next(iter(model.dtypes.values())) != "string":
        raise ModelError(
            f"{name}: reads {', '.join(model.fields)}, but only one text is translated; give a model of task translate or reply"
        )
    if not any(signature.search is not None for signature in model.described.values()):
        raise ModelError(f"{name}: does not generate text; give a model of task translate or reply")
    if max_foreign >= 1:
        return
    texts = list(islice((text for text in job.training_texts() if text.strip()), PROBE_ROWS))
    answered = [(text, answer) for text, answer in zip(texts, predict(texts), strict=True) if answer.strip()]
    if not answered:
        return
    answers = [answer for _, answer in answered]
    pair = job.languages.swapped()  # of the translations
    back, wrong = pair.swapped_texts(answers), pair.is_foreign(answers)
    text, answer = answered[0]
    shown = f"for example {text[:40]!r} -> {answer[:40]!r}"
    if back.mean() > MAX_WRONG:
        opposite = BACKWARD if job.direction == FORWARD else FORWARD
        raise ModelError(
            f"{name}: {back.mean():.0%} of its answers to {len(texts)} training texts of {job.text_field.name!r} are in the language of those texts, "
            f"not of {job.answer_field.name!r} ({shown}): it translates the other way; give the model of the opposite direction, or --direction "
            f"{opposite}"
        )
    if wrong.mean() > MAX_WRONG:
        raise ModelError(
            f"{name}: {wrong.mean():.0%} of its answers to {len(texts)} training texts of {job.text_field.name!r} are not in the language of "
            f"{job.answer_field.name!r} ({shown}); give a model that translates {job.text_field.name} to {job.answer_field.name}, or --max-foreign 1 to use "
            "it anyway"
        )


def answer_rows(make_row: MakeRow, predict: Any, texts: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a chunk of texts, one for each, also where the answer is empty: an interrupted run goes on after the last one."""
    return [make_row(text, answer) for text, answer in zip(texts, predict(texts), strict=True)]


def finish(job: Job, checked: TextFilter, about: Mapping[str, Any], part: Path, output: Path, file_format: str) -> None:
    """Write the rows of part, JSON lines, to output, without empty ones and those of valid and test, with noise, and the manifest beside it."""
    held_out = job.held_out(job.answer_field)
    counts = Counter(read=0, empty=0, held_out=0, kept=0)
    temporary = part.with_name(f"{part.name}.rows")
    digest = hashlib.sha256()
    with part.open("rb") as lines, temporary.open("wb") as file:

        def write(data: bytes) -> None:
            file.write(data)
            digest.update(data)

        write(records.encode_header(file_format, [job.source.name, job.target.name, ORIGIN]))
        while rows := [json.loads(line) for line in islice(lines, CHUNK_ROWS)]:
            answers = [row[job.answer_field.name] for row in rows]
            empty = np.array([not answer.strip() for answer in answers], bool)
            leaked = held_out.contains(answers) & ~empty
            kept_rows = [row for row, dropped in zip(rows, empty | leaked, strict=True) if not dropped]
            counts.update(read=len(rows), empty=int(empty.sum()), held_out=int(leaked.sum()), kept=len(kept_rows))
            write(records.encode(file_format, map(job.with_noise, kept_rows)))
        file.flush()
        os.fsync(file.fileno())
    if not counts["kept"]:
        temporary.unlink()
        raise DataError(
            f"{output}: no row is left: {describe(checked.table())} texts, {describe(counts)} answers; use other texts or another model"
        )
    table = {**about, "texts": checked.table(), "answers": dict(counts), "sha256": digest.hexdigest()}
    write_atomically(manifest_path(output), json.dumps(table, indent=1) + "\n")  # names of files may be no UTF-8
    os.replace(temporary, output)
    part.unlink()


def manifest_path(output: Path) -> Path:
    """OUT.manifest.json."""
    return output.with_name(output.name + ".manifest.json")


def model_digest(model: Any) -> str | None:
    """The SHA-256 of the manifest of a model on disk, which lists its files; None for a served one, or one of another tool."""
    path = Path(getattr(model, "path", "")) / manifest.NAME
    return hashlib.sha256(path.read_bytes()).hexdigest() if hasattr(model, "path") and path.is_file() else None


def describe(counts: Mapping[str, int]) -> str:
    """ "1,000 read, 12 empty, 988 kept"."""
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
